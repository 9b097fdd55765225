package forecast

import (
	"math"
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Drift watches whether what comes is still as a forecast said, step by step, in both directions: two cumulative sums for each resource of how
// much likelier a step is if demand has risen, or fallen, than if the forecast is right. (Page, Continuous inspection schemes, Biometrika 1954.)
//
// A sum that reaches driftAlarm is an alarm. Of a forecast whose quantiles are right, with steps independent of each other, that is within twelve
// steps, an hour of five minutes, in .9 % of the cases upwards and in .5 % downwards, per resource. Real steps hang together, and alarm more often; it
// takes two of them at least, and costs a training.
type Drift struct {
	f        *Forecast
	next     timeline.Time // the first step that was not seen
	up, down [resource.Kinds]float64
}

// Drifted is a resource that drifted.
type Drifted struct {
	Resource resource.Kind
	Up       bool // more came than was forecast
}

// driftAlarm is the sum of logarithms at which there is an alarm.
const driftAlarm = 5

// How often a step comes below the median, and up to .9, .95, .99 and above: if the forecast is right, and after a rise or a fall.
func driftShares() (right, risen, fallen [5]float64) {
	return [5]float64{.5, .4, .05, .04, .01}, [5]float64{.1, .3, .15, .2, .25}, [5]float64{.9, .09, .005, .004, .001}
}

// NewDrift watches a forecast with the default quantiles from a time on; of one with others it watches nothing.
func NewDrift(f *Forecast, from timeline.Time) *Drift {
	d := &Drift{f: f, next: max(f.Start, from.Ceil(f.Step))}
	if !slices.Equal(f.Quantiles, DefaultQuantiles()) {
		d.next = f.Span().End
	}
	return d
}

// Wants returns the time whose demand See would look at, of which nothing may be known yet; an empty span once the forecast has run out.
func (d *Drift) Wants(now timeline.Time) timeline.Span {
	return timeline.Span{Start: d.next, End: min(now, d.f.Span().End)}
}

// See looks at the steps that have come since it last did: those of which something later is known. It returns the resources of which demand has
// drifted away from the forecast.
func (d *Drift) See(h History) []Drifted {
	var known timeline.Time
	for k := range h {
		h[k] = h[k].Resample(d.f.Step)
		known = max(known, h[k].End())
	}
	var out []Drifted
	for ; d.next < d.f.Span().End && d.next.Add(d.f.Step) < known; d.next = d.next.Add(d.f.Step) {
		for k := range h {
			if i := int(d.next.Sub(h[k].Start) / d.f.Step); d.next >= h[k].Start && i < len(h[k].Values) && !d.f.Reasons[k].Cold {
				out = append(out, d.step(k, h[k].Values[i])...)
			}
		}
	}
	return out
}

// step takes what came of one resource in the next step. At the median itself, where many series rest, it says nothing.
func (d *Drift) step(k int, came float64) []Drifted {
	i := int(d.next.Sub(d.f.Start) / d.f.Step)
	if math.IsNaN(came) || came == d.f.Values[k][0][i] {
		return nil
	}
	at := 0
	for at < len(d.f.Quantiles) && came > d.f.Values[k][at][i] {
		at++
	}
	right, risen, fallen := driftShares()
	var out []Drifted
	for _, side := range []struct {
		sum   *float64
		share float64
		up    bool
	}{{&d.up[k], risen[at], true}, {&d.down[k], fallen[at], false}} {
		*side.sum = max(0, *side.sum+math.Log(side.share/right[at]))
		if *side.sum >= driftAlarm {
			*side.sum = 0
			out = append(out, Drifted{resource.Kind(k), side.up})
		}
	}
	return out
}
