package forecast

import (
	"math"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Event is something outside that moves demand during its span, in the past (learned from) or to come (forecast).
type Event struct {
	Kind string // what it has in common with others, such as "campaign"
	Span timeline.Span
	Size float64 // relative to an ordinary one of its kind; 0 means 1
	// Stated is what the event is said to add per resource; 0 means not stated. It weighs as much as one occurrence.
	Stated resource.Vector
	// Not are resources that it is known not to move: there it is as if it were not.
	Not [resource.Kinds]bool
}

// MaxEvents is how many events a model can take.
const MaxEvents = 10000

const (
	maxKinds = 32 // the most frequent ones are learned
	maxSize  = 1000
	parts    = 6 // of an event's span, each with an effect of its own
)

func checkEvents(events []Event) error {
	if len(events) > MaxEvents {
		return inputError("events", "%d of them: at most %d", len(events), MaxEvents)
	}
	for i, e := range events {
		object := "event " + e.Span.String() + " (" + e.Kind + ")"
		switch {
		case e.Kind == "":
			return inputError(object, "number %d has no kind", i+1)
		case e.Span.Empty():
			return inputError(object, "its span is empty")
		case e.Span.Start < earliest || e.Span.End > latest:
			return inputError(object, "its span lies outside the years 1900 to 2200")
		case !(e.Size >= 0 && e.Size <= maxSize):
			return inputError(object, "size %v is not between 0 and %d", e.Size, maxSize)
		}
		if err := e.Stated.Valid(); err != nil {
			return inputError(object, "stated size: %v", err)
		}
	}
	return nil
}

// moving returns the events that may move a resource.
func moving(events []Event, kind resource.Kind) []Event {
	not := func(e Event) bool { return e.Not[kind] }
	if !slices.ContainsFunc(events, not) {
		return events
	}
	return slices.DeleteFunc(slices.Clone(events), not)
}

func (e Event) size() float64 {
	if e.Size == 0 {
		return 1
	}
	return e.Size
}

// kindEffect is what one kind adds to one resource, per unit of size.
type kindEffect struct {
	kind        string
	part        [parts]float64 // expectation by relative position in the span
	spread      float64        // standard deviation of the next occurrence around the expectation
	excess      []float64      // per quantile: how far errors during events pass those at other times
	occurrences int
}

// learnEvents estimates the effects of the kinds in events on the grid and takes the events' spans out of g.y, so that
// no member mistakes an event for a season. Where events cover nearly everything nothing can be told apart: then they
// are not learned from. The result has every kind, sorted.
//
// It is a ridge regression of what events leave over the base, on kinds and on parts within a kind, solved by
// coordinate descent because events seldom overlap; the penalty is the noise of a mean of that length against the variance
// between occurrences (empirical Bayes: Efron and Morris, Stein's estimation rule and its competitors, 1973).
func (g *grid) learnEvents(events []Event, quantiles []float64) []kindEffect {
	masked, past := g.outside(events)
	var out []kindEffect
	for _, kind := range frequentKinds(events) {
		out = append(out, kindEffect{kind: kind, excess: make([]float64, len(quantiles))})
	}
	if len(past) == 0 || !g.enough(masked) {
		return out
	}
	base := g.base(masked)
	noise := meanNoise(masked, base, g.partLength(past))
	for range 3 {
		for i := range out {
			out[i].fit(g.cells(past, out[i], base, g.fitted(past, out)), noise)
		}
	}
	fitted := g.fitted(past, out)
	for i := range out {
		g.measure(&out[i], past, base, fitted, masked, quantiles)
	}
	g.y = masked
	return out
}

// outside returns what was observed in steps that no event touches, and the events that touch others.
func (g *grid) outside(events []Event) (masked []float64, past []Event) {
	masked = append([]float64(nil), g.y...)
	for _, e := range events {
		from, to := g.covered(e.Span)
		if from >= to {
			continue
		}
		past = append(past, e)
		for i := from; i < to; i++ {
			masked[i] = math.NaN()
		}
	}
	return masked, past
}

// enough reports whether enough of what was observed lies outside events for them to be told apart from the rest.
func (g *grid) enough(masked []float64) bool {
	return observed(masked) >= max(1, min(g.day, observed(g.y)/4))
}

// covered returns the steps of the grid, within its history, that the span touches.
func (g *grid) covered(s timeline.Span) (from, to int) {
	s = s.Intersect(timeline.Span{Start: g.start, End: g.timeOf(len(g.y))})
	if s.Empty() {
		return 0, 0
	}
	return int(s.Start.Sub(g.start) / g.step), int((s.End.Sub(g.start) + g.step - 1) / g.step)
}

// frequentKinds returns the kinds in events, sorted; of too many the most frequent.
func frequentKinds(events []Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Kind)
	}
	slices.Sort(all)
	type count struct {
		kind string
		n    int
	}
	var counts []count
	for i, kind := range all {
		if i == 0 || kind != all[i-1] {
			counts = append(counts, count{kind: kind})
		}
		counts[len(counts)-1].n++
	}
	slices.SortStableFunc(counts, func(a, b count) int { return b.n - a.n })
	var kinds []string
	for _, c := range counts[:min(len(counts), maxKinds)] {
		kinds = append(kinds, c.kind)
	}
	slices.SortFunc(kinds, strings.Compare)
	return kinds
}

// base is what would have been without events: the mean day of the unmasked steps, moved to the level of the half day
// before and after each step.
func (g *grid) base(masked []float64) []float64 {
	sum, n := make([]float64, g.day), make([]float64, g.day)
	slot := func(i int) int {
		if g.wall != nil {
			i += g.wallAt(i)
		}
		return ((i % g.day) + g.day) % g.day
	}
	for i, v := range masked {
		if !math.IsNaN(v) {
			sum[slot(i)] += v
			n[slot(i)]++
		}
	}
	season := make([]float64, g.day)
	half := g.hour / 2
	for s := range season {
		// Widen until something was observed at about that time of day.
		total, count := 0.0, 0.0
		for w := 0; w <= half || count == 0; w++ {
			a, b := (s+w)%g.day, (s-w+2*g.day)%g.day
			total, count = total+sum[a]+sum[b], count+n[a]+n[b]
		}
		season[s] = total / count
	}
	// Running sums of what the season leaves over, to have the level around any step at once.
	over, seen := make([]float64, len(masked)+1), make([]float64, len(masked)+1)
	for i, v := range masked {
		over[i+1], seen[i+1] = over[i], seen[i]
		if !math.IsNaN(v) {
			over[i+1] += v - season[slot(i)]
			seen[i+1]++
		}
	}
	base := make([]float64, len(masked))
	for i := range base {
		var level float64
		for reach := max(1, g.day/2); ; reach *= 2 {
			from, to := max(0, i-reach), min(len(masked), i+reach+1)
			if c := seen[to] - seen[from]; c > 0 {
				level = (over[to] - over[from]) / c
				break
			}
		}
		base[i] = max(0, season[slot(i)]+level)
	}
	return base
}

// partOf returns the part of the span that t is in.
func partOf(s timeline.Span, t timeline.Time) int {
	at := float64(t-s.Start) / float64(s.End-s.Start)
	return min(max(int(at*parts), 0), parts-1)
}

// at returns what the kind adds per unit of size at the position t of the span.
func (k *kindEffect) at(s timeline.Span, t timeline.Time) float64 { return k.part[partOf(s, t)] }

// find returns the effect of the kind, or nil for one that is not learned.
func find(effects []kindEffect, kind string) *kindEffect {
	i, ok := slices.BinarySearchFunc(effects, kind, func(e kindEffect, kind string) int { return strings.Compare(e.kind, kind) })
	if !ok {
		return nil
	}
	return &effects[i]
}

// fitted returns what all past events together are now thought to add at each step.
func (g *grid) fitted(past []Event, effects []kindEffect) []float64 {
	sum := make([]float64, len(g.y))
	for _, e := range past {
		if k := find(effects, e.Kind); k != nil {
			from, to := g.covered(e.Span)
			for i := from; i < to; i++ {
				sum[i] += e.size() * k.at(e.Span, g.middle(i))
			}
		}
	}
	return sum
}

func (g *grid) middle(i int) timeline.Time { return g.timeOf(i).Add(g.step / 2) }

// cell is one part of one past event: the mean of what it left over the base and over other events, per unit of size.
type cell struct {
	event, part int
	over        float64
}

// cells returns those of one kind, in order of events and parts.
func (g *grid) cells(past []Event, k kindEffect, base, fitted []float64) []cell {
	var out []cell
	for ei, e := range past {
		if e.Kind != k.kind {
			continue
		}
		var sum, n [parts]float64
		from, to := g.covered(e.Span)
		for i := from; i < to; i++ {
			middle := g.middle(i)
			if math.IsNaN(g.y[i]) || to-from > 2 && !e.Span.Contains(middle) {
				continue // a step at the edge that is mostly outside
			}
			p := partOf(e.Span, middle)
			sum[p] += g.y[i] - base[i] - (fitted[i] - e.size()*k.at(e.Span, middle))
			n[p]++
		}
		for p := range sum {
			if n[p] > 0 {
				out = append(out, cell{ei, p, sum[p] / n[p] / e.size()})
			}
		}
	}
	return out
}

// partLength returns how many steps a part of a typical event has: the median.
func (g *grid) partLength(past []Event) int {
	var lengths []int
	for _, e := range past {
		from, to := g.covered(e.Span)
		lengths = append(lengths, max(1, (to-from)/parts))
	}
	slices.Sort(lengths)
	return lengths[len(lengths)/2]
}

// fit estimates the kind's parts from its cells; noise is the variance of a cell of nothing.
func (k *kindEffect) fit(cells []cell, noise float64) {
	k.part, k.occurrences, k.spread = [parts]float64{}, 0, 0
	var sum, n [parts]float64
	total, square, count := 0.0, 0.0, float64(len(cells))
	for i, c := range cells {
		sum[c.part] += c.over
		n[c.part]++
		total += c.over
		square += c.over * c.over
		if i == 0 || cells[i-1].event != c.event {
			k.occurrences++
		}
	}
	if count == 0 {
		return
	}
	signal := square/count - noise
	if signal <= 1e-9*noise || signal <= 0 {
		return // no more than noise
	}
	lambda := noise / signal
	mean := total / (count + lambda)
	for p := range k.part {
		k.part[p] = mean
		if n[p] > 0 {
			k.part[p] += (sum[p]/n[p] - mean) * n[p] / (n[p] + 4*lambda)
		}
	}
	// How far each occurrence as a whole was off, with two assumed ones that were off by the usual.
	off, occurrences := 0.0, float64(k.occurrences)
	for i := 0; i < len(cells); {
		d, m, event := 0.0, 0.0, cells[i].event
		for ; i < len(cells) && cells[i].event == event; i++ {
			d += cells[i].over - k.part[cells[i].part]
			m++
		}
		off += (d / m) * (d / m)
	}
	usual := assumedSpread * k.mean()
	k.spread = math.Sqrt((off + 2*usual*usual) / (occurrences + 2) * (1 + 1/occurrences))
}

// assumedSpread is how much occurrences of a kind differ, relative to their mean, before anything is known of it.
const assumedSpread = .15

func (k *kindEffect) mean() float64 {
	sum := 0.0
	for _, v := range k.part {
		sum += v / parts
	}
	return sum
}

// measure finds how much wider errors are during the kind's events than at other times.
func (g *grid) measure(k *kindEffect, past []Event, base, fitted, masked []float64, quantiles []float64) {
	var during, outside []float64
	for _, e := range past {
		if e.Kind != k.kind {
			continue
		}
		from, to := g.covered(e.Span)
		for i := from; i < to; i++ {
			if !math.IsNaN(g.y[i]) {
				during = append(during, g.y[i]-base[i]-fitted[i])
			}
		}
	}
	for i, v := range masked {
		if !math.IsNaN(v) {
			outside = append(outside, v-base[i])
		}
	}
	if len(during) < minEvidence || len(outside) < minEvidence {
		return
	}
	in, out := make([]float64, len(quantiles)), make([]float64, len(quantiles))
	upperQuantiles(during, quantiles, in)
	upperQuantiles(outside, quantiles, out)
	for qi, q := range quantiles {
		if q > .5 {
			k.excess[qi] = max(0, in[qi]-out[qi])
		}
	}
}

// meanNoise returns the variance of means over length steps of what the base leaves over outside events.
func meanNoise(masked, base []float64, length int) float64 {
	sum, blocks := 0.0, 0.0
	for i := 0; i+length <= len(masked); i += length {
		over, n := 0.0, 0.0
		for j := i; j < i+length; j++ {
			if v := masked[j]; !math.IsNaN(v) {
				over += v - base[j]
				n++
			}
		}
		if n > 0 {
			sum += (over / n) * (over / n)
			blocks++
		}
	}
	if blocks == 0 {
		return 0
	}
	return sum / blocks
}
