package forecast

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// addEvents adds to one resource's values what the events do in each step: the learned effect, drawn to the stated size
// as if that were one more occurrence. values are indexed by quantile and step.
func addEvents(values [][]float64, start timeline.Time, step time.Duration, events []Event, effects []kindEffect,
	kind resource.Kind, fold Fold, quantiles []float64, holiday *sundays) {
	covered := timeline.Span{Start: start, End: start.Add(time.Duration(len(values[0])) * step)}
	for _, e := range events {
		in := e.Span.Intersect(covered)
		k := find(effects, e.Kind)
		if in.Empty() || k == nil || e.Not[kind] {
			continue
		}
		for i := int(in.Start.Sub(start) / step); i < len(values[0]) && start.Add(time.Duration(i)*step) < in.End; i++ {
			s := timeline.Span{Start: start.Add(time.Duration(i) * step), End: start.Add(time.Duration(i+1) * step)}
			mean, spread := k.during(e, s.Intersect(e.Span), float64(e.Stated[kind]))
			if IsHoliday(e.Kind) {
				mean, spread = holiday.drawn(k, s.Start.Add(step/2), mean, spread)
			}
			if fold == Mean {
				share := float64(s.Intersect(e.Span).Length()) / float64(step)
				mean, spread = mean*share, spread*share
			}
			addEffect(values, i, mean, spread, k.excess, quantiles)
		}
	}
}

// during returns the expectation and the standard deviation of what event e adds while s, a part of its span, lasts:
// that of the highest part that s touches.
func (k *kindEffect) during(e Event, s timeline.Span, stated float64) (mean, spread float64) {
	mean = math.Inf(-1)
	for p := partOf(e.Span, s.Start); p <= partOf(e.Span, s.End-1); p++ {
		mean = max(mean, e.size()*k.part[p])
	}
	spread = e.size() * k.spread
	if stated > 0 {
		n := float64(k.occurrences)
		mean = (stated + n*mean) / (1 + n)
		spread = max(spread, assumedSpread*mean)
	}
	return mean, spread
}

// addEffect adds an effect to step i. The distances from the median to a quantile, the forecast's own and the effect's,
// are of independent causes: they add as the sides of a right angle do, unless errors during events were seen to be wider.
func addEffect(values [][]float64, i int, mean, spread float64, excess, quantiles []float64) {
	middle := median(values, quantiles, i)
	for qi, q := range quantiles {
		own := values[qi][i] - middle
		effect := spread * normal(q)
		far := math.Hypot(own, effect)
		if q < .5 {
			far = -far
		} else {
			far = max(far, own+excess[qi])
		}
		values[qi][i] = middle + mean + far
	}
}

// median returns the value at the quantile nearest to .5.
func median(values [][]float64, quantiles []float64, i int) float64 {
	best := 0
	for qi, q := range quantiles {
		if math.Abs(q-.5) < math.Abs(quantiles[best]-.5) {
			best = qi
		}
	}
	return values[best][i]
}

// normal returns the quantile q of the standard normal distribution.
func normal(q float64) float64 { return math.Sqrt2 * math.Erfinv(2*q-1) }
