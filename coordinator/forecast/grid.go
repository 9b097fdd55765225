package forecast

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

const (
	day          = 24 * time.Hour
	minModelStep = 5 * time.Minute
	maxModelStep = 6 * time.Hour
	clockReach   = 31 * day // past the history's end, within which changes of the clock are followed
)

// grid is one series as the members see it: on model steps that divide the day, events taken out, gaps filled.
type grid struct {
	start timeline.Time
	step  time.Duration
	day   int       // steps per day
	hour  int       // steps per hour, at least 1
	y     []float64 // what was observed outside events; NaN = missing or during an event
	x     []float64 // y with its gaps filled from the past: what members read
	// wall is by how many steps local time at each step is ahead of UTC, beyond the last observation too; nil when
	// that does not change in the window.
	wall []int
	// from is the first step that anything reads of what members keep by the time of day; 0: all is read.
	from int

	meanDay []float64 // profile of x, once a member has asked for it
	shape   []float64 // what steps have over their hour, likewise

	rolling []origin // see origins, once they were asked for

	cycleLength float64 // see cycle, once cycleKnown
	cycleKnown  bool

	means  *grid  // see fineGrid; nil where the forecast has the grid's own steps
	lately Series // where there are means: the fine steps of the last hour
}

// modelStep returns the shortest of the allowed steps that is at least as long as each of the given ones. Finer
// history is folded: the model learns seasons and errors, for which five minutes are fine enough.
func modelStep(steps ...time.Duration) time.Duration {
	for _, m := range []time.Duration{5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360} {
		fits := true
		for _, s := range steps {
			fits = fits && s <= m*time.Minute
		}
		if fits {
			return m * time.Minute
		}
	}
	return maxModelStep
}

// newGrid puts s on model steps of length step; beyond is of how many steps past its end the clock is looked at.
// Values before and after the first and last sample are cut off.
func newGrid(s Series, step time.Duration, window time.Duration, loc *time.Location, beyond int) *grid {
	if keep := int(window / s.Step); keep < len(s.Values) {
		cut := len(s.Values) - keep
		s.Start, s.Values = s.Start.Add(time.Duration(cut)*s.Step), s.Values[cut:]
	}
	if thick := dropThinEnd(s, step); observed(thick.Values) > 0 { // else there is nothing but that
		s = thick
	}
	s = s.Resample(step)
	from, to := 0, len(s.Values)
	for from < to && math.IsNaN(s.Values[from]) {
		from++
	}
	for to > from && math.IsNaN(s.Values[to-1]) {
		to--
	}
	g := &grid{
		start: s.Start.Add(time.Duration(from) * step), step: step,
		day: int(day / step), hour: max(1, int(time.Hour/step)),
		y: append([]float64(nil), s.Values[from:to]...),
	}
	g.wall = wallClock(g.start, step, len(g.y)+beyond, loc)
	return g
}

// dropThinEnd cuts the samples of a last step that is less than half over: what they say of it is too low, or by chance.
func dropThinEnd(s Series, step time.Duration) Series {
	end := s.End()
	whole := end.Floor(step)
	if end.Sub(whole) >= step/2 {
		return s
	}
	return s.Before(whole)
}

// wallClock returns the offset of local time in steps for n steps, or nil when it is the same throughout.
func wallClock(start timeline.Time, step time.Duration, n int, loc *time.Location) []int {
	offset := func(i int) int {
		_, seconds := start.Add(time.Duration(i) * step).Std().In(loc).Zone()
		return int(math.Round(float64(seconds) / step.Seconds()))
	}
	perDay := int(day / step)
	constant := true
	for i := perDay; i < n+perDay && constant; i += perDay {
		constant = offset(min(i, n)) == offset(0)
	}
	if constant {
		return nil
	}
	wall := make([]int, n)
	for i := range wall {
		wall[i] = offset(i)
	}
	return wall
}

// timeOf returns the start of step i.
func (g *grid) timeOf(i int) timeline.Time { return g.start.Add(time.Duration(i) * g.step) }

// same returns the newest step at the wall-clock time of step i, a multiple of period steps earlier, that lies at
// least margin steps before the origin o; -1 if the history does not reach back to one.
func (g *grid) same(i, o, period, margin int) int {
	newest := o - 1 - margin
	if newest < 0 {
		return -1
	}
	k := max(1, (i-newest+period-1)/period)
	j := i - k*period
	if g.wall == nil {
		return max(j, -1)
	}
	j += g.wallAt(i) - g.wallAt(j)
	for j > newest {
		j -= period
	}
	for period < g.day && j+period <= newest { // a change of the clock is no hour
		j += period
	}
	return max(j, -1)
}

// before returns the step at the same wall-clock time one period before step i; negative if there is none.
func (g *grid) before(i, period int) int {
	if g.wall == nil {
		return i - period
	}
	return g.same(i, i, period, 0)
}

// sames calls f with each h in [0, n) and what same returns for the step o+h.
func (g *grid) sames(n, o, period, margin int, f func(h, j int)) {
	g.runs(n, o, period, margin, func(h, j, count int) {
		for range count {
			f(h, j)
			if h++; j >= 0 {
				j++
			}
		}
	})
}

// runs calls f with the same steps in runs: so many from h on for which same returns j, j+1, …, or -1 for all of them. It walks instead of dividing.
func (g *grid) runs(n, o, period, margin int, f func(h, j, count int)) {
	if g.wall != nil {
		for h := 0; h < n; {
			j, count := g.same(o+h, o, period, margin), 1
			for h+count < n {
				if next := g.same(o+h+count, o, period, margin); next != j+count && (next >= 0 || j >= 0) {
					break
				}
				count++
			}
			f(h, j, count)
			h += count
		}
		return
	}
	newest, j := o-1-margin, g.same(o, o, period, margin)
	if j < 0 { // not known at first, or never
		j = o - period*max(1, (margin+1+period-1)/period)
	}
	for h := 0; h < n; {
		if j > newest {
			j -= period
		}
		count := min(n-h, newest+1-j)
		if j < 0 {
			count = min(count, -j)
		}
		f(h, max(j, -1), count)
		h += count
		j += count
	}
}

func (g *grid) wallAt(i int) int { return g.wall[min(max(i, 0), len(g.wall)-1)] }

// fill computes x: a missing step takes the value of the same time a day or a week before, else the one before it.
func (g *grid) fill() {
	g.x = make([]float64, len(g.y))
	last := 0.0
	for _, v := range g.y {
		if !math.IsNaN(v) {
			last = v
			break
		}
	}
	for i, v := range g.y {
		if math.IsNaN(v) {
			v = last
			if j := g.before(i, g.day); j >= 0 {
				v = g.x[j]
			}
		}
		g.x[i], last = v, v
	}
}

// observed returns how many steps have a value.
func observed(y []float64) int {
	n := 0
	for _, v := range y {
		if !math.IsNaN(v) {
			n++
		}
	}
	return n
}
