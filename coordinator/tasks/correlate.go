package tasks

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Candidate is a task that may move an instance's demand.
type Candidate struct {
	Name string
	Own  bool            // it starts a unit of the instance itself
	Runs []timeline.Time // ascending
}

// Finding is a task that moves the demand of an instance.
type Finding struct {
	Name   string
	Length time.Duration        // how long demand is raised, from the start of a run
	Runs   int                  // past ones, of those with samples
	Moves  [resource.Kinds]bool // which resources
}

// Events returns the task's runs as a forecast takes them, without a kind.
func (f Finding) Events(runs []timeline.Time) []forecast.Event {
	var not [resource.Kinds]bool
	for k, moves := range f.Moves {
		not[k] = !moves
	}
	var out []forecast.Event
	for i, t := range runs {
		if i > 0 && sameStep(runs[i-1], t) {
			continue // it was learned once, and would be added twice
		}
		start := t.Floor(step)
		out = append(out, forecast.Event{Span: timeline.Span{Start: start, End: start.Add(f.Length)}, Not: not})
	}
	return out
}

func sameStep(a, b timeline.Time) bool { return a.Floor(step) == b.Floor(step) }

// wall returns t as if the clock of loc showed UTC: what is at the same time of day there is whole days apart.
func wall(t timeline.Time, loc *time.Location) timeline.Time {
	_, ahead := t.Std().In(loc).Zone()
	return t.Add(time.Duration(ahead) * time.Second)
}

// What a task has to do to be found.
const (
	falseAlarms = .001 // probability of any false finding for an instance, over all of its host's tasks, resources and lengths
	leastRuns   = 5    // with samples
	leastRise   = .05  // of the mean demand
	leastOften  = 2.0 / 3
	mostly      = .9 // of the runs, for the season to have them
	mostFound   = 8
	mostTasks   = 512 // that are looked at

	step      = 5 * time.Minute
	day       = 24 * time.Hour
	perHour   = int(time.Hour / step)
	perDay    = int(day / step)
	perWeek   = 7 * perDay
	leastDays = 4 // of history
)

// lengths are how long a run may raise demand, in steps.
var lengths = [...]int{1, 3, 9, 27}

// Correlate returns the tasks whose runs raise demand, significantly and again and again; the surest first, at most eight. Times of day are those of loc, by which the
// tasks run: by UTC all that people and tasks do is an hour off its season when the clock changes, and one would be taken for the cause of the other.
//
// It looks at what the season leaves: each step less the mean of the same time in other weeks (of other days, while no other week is there). So a task at the same
// time of every day, or of every week, is never found: the season has it already. Of that, what comes after a run is compared with what was before it,
// and takes its rank among the same differences at all other times of the hour of the day. Under the hypothesis that the runs do nothing a rank is uniform
// whatever the noise is like, whether demand bursts, drifts or differs from hour to hour; the normal scores of the ranks add up to a normal
// variable (van der Waerden, Order tests for the two-sample problem, 1952). A single burst counts no more than the highest rank, so that nothing is found of less than a few runs. The
// bar is Bonferroni's, over everything that is tried; half of it belongs to the tasks of the instance itself.
func Correlate(h forecast.History, candidates []Candidate, loc *time.Location) []Finding {
	var rest []*leftover
	span := timeline.Span{}
	for k, s := range h {
		if l := leave(resource.Kind(k), s, loc); l != nil {
			rest = append(rest, l)
			if own := l.span(); own.Length() > span.Length() {
				span = own
			}
		}
	}
	var tried []Candidate
	own := 0
	for _, c := range candidates[:min(len(candidates), mostTasks)] {
		c.Runs = slices.DeleteFunc(slices.Clone(c.Runs), func(t timeline.Time) bool { return !span.Contains(t) })
		c.Runs = slices.CompactFunc(c.Runs, sameStep) // of which the demand can only say one thing
		if len(c.Runs) < leastRuns || seasonal(c.Runs, span, loc) {
			continue
		}
		if tried = append(tried, c); c.Own {
			own++
		}
	}
	type judged struct {
		Finding
		sure float64
		in   *leftover // where it is surest
		runs []timeline.Time
	}
	all, most := make([]judged, len(tried)), make([]int, len(tried))
	for i, c := range tried {
		most[i] = longest(c.Runs)
	}
	for _, l := range rest {
		if len(tried) == 0 {
			break
		}
		for _, length := range lengths {
			ranks := l.ranks(length)
			for i, c := range tried {
				if length > most[i] {
					continue
				}
				z, n, ok := ranks.score(c.Runs)
				if !ok || tail(z) > bar(c.Own, own, len(tried))/float64(len(rest)*len(lengths)) {
					continue
				}
				f := &all[i]
				f.Name, f.Moves[l.kind] = c.Name, true
				if z > f.sure {
					f.sure, f.in, f.runs, f.Runs = z, l, c.Runs, n
				}
			}
		}
	}
	all = slices.DeleteFunc(all, func(f judged) bool { return f.sure == 0 })
	slices.SortStableFunc(all, func(a, b judged) int { return cmp.Or(cmp.Compare(b.sure, a.sure), cmp.Compare(a.Name, b.Name)) })
	var out []Finding
	for _, f := range all[:min(len(all), mostFound)] {
		f.Length = time.Duration(f.in.lasts(f.runs)) * step
		out = append(out, f.Finding)
	}
	return out
}

// lasts returns for how many steps the runs raise demand: the length over which the mean rise stands out most from noise, which falls with the root
// of it. Ranks do not tell: where one step is beyond all others several are, too.
func (l *leftover) lasts(runs []timeline.Time) int {
	most := min(lengths[len(lengths)-1], longest(runs))
	sum, n := make([]float64, most), make([]float64, most)
	for _, t := range runs {
		i := int(t.Sub(l.start) / step)
		before, seen := 0.0, 0.0
		for j := max(0, i-3); j < min(i, len(l.over)); j++ {
			if v := l.over[j]; !math.IsNaN(v) {
				before, seen = before+v, seen+1
			}
		}
		for j := 0; j < most && i+j < len(l.over) && seen > 0; j++ {
			if v := l.over[i+j]; !math.IsNaN(v) {
				sum[j] += v - before/seen
				n[j]++
			}
		}
	}
	best, length, all := 0.0, 1, 0.0
	for j := range sum {
		all += sum[j] / max(1, n[j])
		if out := all / math.Sqrt(float64(j+1)); out > best {
			best, length = out, j+1
		}
	}
	return length
}

// bar is the probability of a false alarm that one of the tried tasks may have.
func bar(isOwn bool, own, tried int) float64 {
	switch {
	case own == 0 || own == tried:
		return falseAlarms / float64(tried)
	case isOwn:
		return falseAlarms / 2 / float64(own)
	}
	return falseAlarms / 2 / float64(tried-own)
}

// tail is the probability that a standard normal variable passes z.
func tail(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }

// longest returns how many steps a run of the task may count for: a third of what commonly lies between two.
func longest(runs []timeline.Time) int {
	gaps := make([]time.Duration, 0, len(runs))
	for i := 1; i < len(runs); i++ {
		gaps = append(gaps, runs[i].Sub(runs[i-1]))
	}
	slices.Sort(gaps)
	return int(gaps[len(gaps)/2] / step / 3)
}

// seasonal reports whether the runs are at the same times of every day or week, but for a tenth of them: whatever they do is a part of the season. With less than two
// weeks to look at that is told from no other week, so that runs at the same time of some days count, too.
func seasonal(runs []timeline.Time, span timeline.Span, loc *time.Location) bool {
	clock := make([]timeline.Time, len(runs))
	for i, t := range runs {
		clock[i] = wall(t, loc)
	}
	if span.Length() < 14*day {
		for i, t := range clock {
			clock[i] = t - t.Floor(day)
		}
		slices.Sort(clock)
		near := func(i, j int) bool {
			return i >= 0 && j < len(clock) && clock[j].Sub(clock[i]) <= step
		}
		same := 0
		for i := range clock {
			if near(i-1, i) || near(i, i+1) {
				same++
			}
		}
		return float64(same) >= mostly*float64(len(runs))
	}
	slices.Sort(clock) // an hour is shown twice when the clock goes back
	end := wall(span.End, loc)
	for _, period := range []time.Duration{day, 7 * day} {
		again, of := 0, 0
		for _, t := range clock {
			next := t.Add(period)
			if next >= end {
				break
			}
			of++
			i, _ := slices.BinarySearch(clock, next.Add(-step))
			if i < len(clock) && clock[i] <= next.Add(step) {
				again++
			}
		}
		if of > 0 && float64(again) >= mostly*float64(of) {
			return true
		}
	}
	return false
}

// leftover is what the season leaves of one resource's demand, on steps of five minutes.
type leftover struct {
	kind  resource.Kind
	start timeline.Time
	over  []float64 // NaN where nothing is known
	clock []int     // the step of the week, by the clock of its place
	mean  float64   // of the demand itself
}

// leave takes the season out of a series; nil of one that is too short, or never changes.
func leave(kind resource.Kind, s forecast.Series, loc *time.Location) *leftover {
	if len(s.Values) == 0 || s.Step > step {
		return nil
	}
	s = s.Resample(step)
	y, clock := s.Values, make([]int, len(s.Values))
	for i := range clock {
		at := wall(s.Start.Add(time.Duration(i)*step), loc)
		clock[i] = int(at.Sub(at.Floor(7*day)) / step)
	}
	weekSum, weekN := make([]float64, perWeek), make([]float64, perWeek)
	daySum, dayN := make([]float64, perDay), make([]float64, perDay)
	sum, n, low, high := 0.0, 0, math.Inf(1), math.Inf(-1)
	for i, v := range y {
		if math.IsNaN(v) {
			continue
		}
		weekSum[clock[i]] += v
		weekN[clock[i]]++
		daySum[clock[i]%perDay] += v
		dayN[clock[i]%perDay]++
		sum, n, low, high = sum+v, n+1, min(low, v), max(high, v)
	}
	if n < leastDays*perDay || high <= low {
		return nil
	}
	out := &leftover{kind: kind, start: s.Start, over: make([]float64, len(y)), clock: clock, mean: sum / float64(n)}
	for i, v := range y {
		w, d := clock[i], clock[i]%perDay
		switch {
		case math.IsNaN(v):
			out.over[i] = v
		case weekN[w] > 1:
			out.over[i] = v - (weekSum[w]-v)/(weekN[w]-1)
		case dayN[d] > 1:
			out.over[i] = v - (daySum[d]-v)/(dayN[d]-1)
		default:
			out.over[i] = math.NaN()
		}
	}
	return out
}

func (l *leftover) span() timeline.Span {
	return timeline.Span{Start: l.start, End: l.start.Add(time.Duration(len(l.over)) * step)}
}

// ranks are the rises over a length at every time, and half of those of each hour of the day in order.
type ranks struct {
	of     *leftover
	rise   []float64 // mean of a length from a step on less that of as long before it; NaN where less than half is known
	byHour [24][]float64
}

func (l *leftover) ranks(length int) *ranks {
	n := len(l.over)
	sum, seen := make([]float64, n+1), make([]float64, n+1)
	for i, v := range l.over {
		sum[i+1], seen[i+1] = sum[i], seen[i]
		if !math.IsNaN(v) {
			sum[i+1] += v
			seen[i+1]++
		}
	}
	before := max(length, 3) // one step alone is no level
	r := &ranks{of: l, rise: make([]float64, n)}
	for i := range r.rise {
		r.rise[i] = math.NaN()
		from, to := max(0, i-before), min(n, i+length)
		after, was := seen[to]-seen[i], seen[i]-seen[from]
		if 2*after >= float64(length) && 2*was >= float64(before) {
			r.rise[i] = (sum[to]-sum[i])/after - (sum[i]-sum[from])/was
			if i%2 == 0 { // neighbours say the same, and sorting takes the time
				hour := l.hour(i)
				r.byHour[hour] = append(r.byHour[hour], r.rise[i])
			}
		}
	}
	for h := range r.byHour {
		slices.Sort(r.byHour[h])
	}
	return r
}

func (l *leftover) hour(i int) int { return l.clock[i] % perDay / perHour }

// score returns the normal score of a task's runs, and how many of them have samples. It is not ok where these are too few, where demand rises too little, or after too few of them.
func (r *ranks) score(runs []timeline.Time) (z float64, n int, ok bool) {
	sum, rise, up := 0.0, 0.0, 0
	for _, t := range runs {
		i := int(t.Sub(r.of.start) / step)
		if t < r.of.start || i >= len(r.rise) || math.IsNaN(r.rise[i]) {
			continue
		}
		all := r.byHour[r.of.hour(i)]
		below, _ := slices.BinarySearch(all, r.rise[i])
		above, _ := slices.BinarySearchFunc(all, r.rise[i], func(v, x float64) int {
			if v <= x {
				return -1
			}
			return 1
		})
		if len(all) == 0 {
			continue
		}
		share := (float64(below+above)/2 + .5) / float64(len(all)+1)
		sum += math.Sqrt2 * math.Erfinv(2*share-1)
		rise += r.rise[i]
		n++
		if r.rise[i] > 0 {
			up++
		}
	}
	if n < leastRuns || rise/float64(n) < leastRise*r.of.mean || float64(up) < leastOften*float64(n) {
		return 0, n, false
	}
	return sum / math.Sqrt(float64(n)), n, true
}
