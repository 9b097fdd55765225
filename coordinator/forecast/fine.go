package forecast

import (
	"math"
	"time"
)

// Where a forecast's steps are finer than the model's, and the history has such steps, its quantiles are those of single fine steps: not those of a model step's
// highest, nor of its mean. So of each model step one fine step is taken at a place that wanders through it, evenly over hours, days and weeks, and that is what errors and
// quantiles are of. Levels and seasons are those of the means, which say more.

// fineGrid puts s, whose steps are shorter than step, on model steps: one fine step of each, and their means beside them.
func fineGrid(s Series, step, window time.Duration, loc *time.Location, beyond int) *grid {
	if thick := dropThinEnd(s, step); observed(thick.Values) > 0 {
		s = thick
	}
	g := newGrid(s.oneOfEach(step), step, window, loc, beyond)
	g.lately = s
	if n := int(time.Hour / s.Step); n < len(s.Values) {
		g.lately.Start, g.lately.Values = s.End().Add(-time.Duration(n)*s.Step), s.Values[len(s.Values)-n:]
	}
	s.Fold = Mean
	g.means = newGrid(s.Resample(step), step, window, loc, beyond)
	return g
}

// hourOfFine returns what the fine steps of the last hour showed outside events.
func (g *grid) hourOfFine() []float64 {
	var seen []float64
	for k, v := range g.lately.Values {
		i := int(g.lately.Start.Add(time.Duration(k)*g.lately.Step).Sub(g.start) / g.step)
		if i >= 0 && i < len(g.y) && !math.IsNaN(g.y[i]) && !math.IsNaN(v) {
			seen = append(seen, v)
		}
	}
	return seen
}

// level returns the grid that levels and seasons are learned of.
func (g *grid) level() *grid {
	if g.means != nil {
		return g.means
	}
	return g
}

// golden is the part of the golden ratio beyond one: multiples of it spread most evenly over a unit, however many there are.
const golden = .6180339887498949

// oneOfEach returns s on longer steps, aligned to the epoch: each with one of the values that begin in it, or none where none is known.
func (s Series) oneOfEach(step time.Duration) Series {
	out := Series{Start: s.Start.Floor(step), Step: step, Fold: s.Fold}
	ms, width, before := step.Milliseconds(), s.Step.Milliseconds(), int64(s.Start-out.Start)
	out.Values = make([]float64, (before+int64(len(s.Values)-1)*width)/ms+1)
	for i := range out.Values {
		out.Values[i] = math.NaN()
		from := max(0, (int64(i)*ms-before+width-1)/width)
		n := min(int64(len(s.Values)), (int64(i+1)*ms-before+width-1)/width) - from
		_, place := math.Modf(float64(int64(out.Start)/ms+int64(i)) * golden)
		for k := range n { // the first from there on that is known
			if v := s.Values[from+(int64(math.Abs(place)*float64(n))+k)%n]; !math.IsNaN(v) {
				out.Values[i] = v
				break
			}
		}
	}
	return out
}
