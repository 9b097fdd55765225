// Package scorecard keeps what was forecast of an instance until it comes, scores it as it was issued, and decides who forecasts next.
package scorecard

import (
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// What is kept, and for how long.
const (
	shortestStep = 5 * time.Minute  // history knows no shorter one for long
	issueAhead   = 90 * time.Minute // of steps that are issued at most, for each lead
	issueLeast   = 15 * time.Minute // of them that are issued at least, so that they come in few pieces
	lateness     = 25 * time.Hour   // of demand that may still come
	piece        = 6 * time.Hour    // of time that a tally is of
	pieces       = 8 * day          // how far back; what is older is tallied by the day
	kept         = 31 * day
	day          = 24 * time.Hour
)

// Leads returns how long before the steps that they are of forecasts are kept, at least: what a schedule follows, and what an envelope is made of.
func Leads() []time.Duration { return []time.Duration{time.Hour, day} }

// Step returns the steps on which forecasts are scored in a fleet whose grid has the given ones.
func Step(grid time.Duration) time.Duration { return max(grid, shortestStep) }

// Horizon returns how far ahead of its beginning a forecast has to reach for Issue.
func Horizon(grid time.Duration) time.Duration {
	return Leads()[len(Leads())-1] + issueAhead + 2*Step(grid)
}

// Begin returns an instance's scorecard as it goes on: c, or a new one where c is of another instance, of other steps or of other quantiles.
func Begin(c proto.Scorecard, instance string, grid time.Duration, quantiles []int) proto.Scorecard {
	if step := Step(grid).Milliseconds(); c.Instance != instance || c.Step != step || !slices.Equal(c.Quantiles, quantiles) {
		return proto.Scorecard{Instance: instance, Step: step, Quantiles: quantiles}
	}
	return c
}

func stepOf(c *proto.Scorecard) time.Duration { return time.Duration(c.Step) * time.Millisecond }

func end(c *proto.Scorecard, is proto.Issue) timeline.Time {
	return is.Start.Add(time.Duration(is.Steps) * stepOf(c))
}

// due returns the steps that are to be issued at a time with a lead: those from the lead on for which nothing was issued yet, once there are
// enough of them. What was issued first counts, so that each step has one forecast of each lead; none is left out if the next follows within 70 minutes.
func due(c *proto.Scorecard, at timeline.Time, lead time.Duration) timeline.Span {
	first := at.Add(lead).Ceil(stepOf(c))
	steps := timeline.Span{Start: first, End: first.Add(issueAhead).Ceil(stepOf(c))}
	for _, is := range c.Issued {
		if is.Lead == lead.Milliseconds() {
			steps.Start = max(steps.Start, end(c, is))
		}
	}
	if steps.Length() < max(issueLeast, stepOf(c)) {
		return timeline.Span{}
	}
	return steps
}

// Due reports whether anything is to be issued at a time.
func Due(c *proto.Scorecard, at timeline.Time) bool {
	return slices.ContainsFunc(Leads(), func(lead time.Duration) bool { return !due(c, at, lead).Empty() })
}

// Issue keeps what is due at a time of the forecasts, one of each forecaster, that begin there or before and reach over Horizon. Resources that the
// model forecasts without enough history are left out: what stands in for them is no forecast.
func Issue(c *proto.Scorecard, at timeline.Time, said [proto.Forecasters]*forecast.Forecast) {
	for _, lead := range Leads() {
		steps := due(c, at, lead)
		if steps.Empty() {
			continue
		}
		is := proto.Issue{Lead: lead.Milliseconds(), Start: steps.Start, Steps: int(steps.Length() / stepOf(c)), Said: make([]proto.Said, proto.Forecasters)}
		for by, f := range said {
			for k := range f.Values {
				if said[proto.ByModel].Reasons[k].Cold {
					continue
				}
				for _, values := range f.Values[k] {
					is.Said[by].Amounts[k] = append(is.Said[by].Amounts[k], folded(values, f, is, stepOf(c)))
				}
			}
		}
		if slices.ContainsFunc(is.Said[proto.ByModel].Amounts[:], func(of [][]float32) bool { return len(of) > 0 }) {
			c.Issued = append(c.Issued, is)
		}
	}
}

// folded returns the highest of a forecast's values in each step of an issue, without the repetition at its end.
func folded(values []float64, f *forecast.Forecast, is proto.Issue, step time.Duration) []float32 {
	out := make([]float32, is.Steps)
	for i := range out {
		start := is.Start.Add(time.Duration(i) * step)
		from := int(start.Sub(f.Start) / f.Step)
		to := int((start.Add(step).Sub(f.Start) + f.Step - 1) / f.Step)
		for _, v := range values[min(from, len(values)-1):min(to, len(values))] {
			out[i] = max(out[i], whole(v))
		}
	}
	for len(out) > 1 && out[len(out)-1] == out[len(out)-2] {
		out = out[:len(out)-1]
	}
	return out
}

// whole returns an amount as it is promised: in whole units, rounded up, and up again to what can be kept, so that what holds a demand still does.
func whole(v float64) float32 {
	up := math.Ceil(v - 1e-6)
	kept := float32(up)
	if float64(kept) < up {
		kept = math.Nextafter32(kept, math.MaxFloat32)
	}
	return kept
}

// Mature scores what was issued of steps that have come, by the history as it is known at a time, and forgets what is too old. A step has come
// when something is known of a later one: windows arrive in order, however late. It reports whether anything was scored or forgotten.
func Mature(c *proto.Scorecard, h forecast.History, now timeline.Time) bool {
	before := len(c.Issued)
	sane(c, now)
	var known timeline.Time
	for k := range h {
		h[k].Fold = forecast.Max
		h[k] = h[k].Resample(stepOf(c))
		known = max(known, h[k].End())
	}
	c.Issued = slices.DeleteFunc(c.Issued, func(is proto.Issue) bool {
		over := end(c, is)
		if over > now || over >= known {
			return over < now.Add(-lateness)
		}
		score(c, is, h)
		return true
	})
	c.Tallies = condensed(c.Tallies, now)
	c.UpdatedAt = now
	return len(c.Issued) != before
}

// sane forgets what lies further ahead than anything that is issued now: the clock was wrong then, and nothing would come of it for as long.
func sane(c *proto.Scorecard, now timeline.Time) {
	ahead := now.Add(Horizon(stepOf(c)))
	c.Issued = slices.DeleteFunc(c.Issued, func(is proto.Issue) bool { return is.Start > ahead })
	c.Tallies = slices.DeleteFunc(c.Tallies, func(t proto.Tally) bool { return t.Start > now })
	for k := range c.Standing {
		c.Standing[k].Since = min(c.Standing[k].Since, now)
	}
}

// condensed returns tallies, those that are old by the day, and without those that are too old.
func condensed(tallies []proto.Tally, now timeline.Time) []proto.Tally {
	var out []proto.Tally
	for _, t := range tallies {
		if t.Start < now.Add(-pieces).Floor(day) {
			t.Start = t.Start.Floor(day)
		}
		if t.Start < now.Add(-kept).Floor(day) {
			continue
		}
		into := find(&out, t.Start, t.Lead)
		for k := range t.Of {
			into.Of[k] = sum(into.Of[k], t.Of[k])
		}
	}
	return out
}

// find returns the tally of a piece of time and a lead, which it makes where there is none.
func find(tallies *[]proto.Tally, start timeline.Time, lead int64) *proto.Tally {
	at, known := slices.BinarySearchFunc(*tallies, proto.Tally{Start: start, Lead: lead}, func(a, b proto.Tally) int {
		if a.Start != b.Start {
			return int(min(max(a.Start-b.Start, -1), 1))
		}
		return int(min(max(a.Lead-b.Lead, -1), 1))
	})
	if !known {
		*tallies = slices.Insert(*tallies, at, proto.Tally{Start: start, Lead: lead})
	}
	return &(*tallies)[at]
}

// sum adds up two tallies of the same quantiles.
func sum(a, b proto.TallyOf) proto.TallyOf {
	switch {
	case b.Steps == 0:
		return a
	case a.Steps == 0:
		a.Fared = make([]proto.Fared, len(b.Fared))
		for by, f := range b.Fared {
			a.Fared[by] = proto.Fared{Loss: slices.Clone(f.Loss), Covered: slices.Clone(f.Covered)}
		}
	default:
		for by, f := range b.Fared {
			for qi := range f.Loss {
				a.Fared[by].Loss[qi] += f.Loss[qi]
				a.Fared[by].Covered[qi] += f.Covered[qi]
			}
		}
	}
	a.Steps += b.Steps
	return a
}

// score tallies an issue whose steps have come. A step of which nothing is known counts for nothing.
func score(c *proto.Scorecard, is proto.Issue, h forecast.History) {
	for k := range resource.Kinds {
		if len(is.Said[proto.ByModel].Amounts[k]) == 0 {
			continue
		}
		for i := range is.Steps {
			at := is.Start.Add(time.Duration(i) * stepOf(c))
			came := valueAt(h[k], at)
			if math.IsNaN(came) {
				continue
			}
			one := proto.TallyOf{Steps: 1, Fared: make([]proto.Fared, proto.Forecasters)}
			for by := range one.Fared {
				one.Fared[by] = fared(came, is.Said[by].Amounts[k], i, c.Quantiles)
			}
			into := find(&c.Tallies, at.Floor(piece), is.Lead)
			into.Of[k] = sum(into.Of[k], one)
		}
	}
}

// fared scores what a forecaster said of step i, by quantile. What it did not say counts as 0.
func fared(came float64, amounts [][]float32, i int, quantiles []int) proto.Fared {
	out := proto.Fared{Loss: make([]float32, len(quantiles)), Covered: make([]int, len(quantiles))}
	for qi, q := range quantiles {
		said := 0.0
		if qi < len(amounts) {
			said = float64(amounts[qi][min(i, len(amounts[qi])-1)])
		}
		loss, _ := forecast.Pinball([]float64{came}, []float64{said}, float64(q)/1000)
		out.Loss[qi] = float32(loss)
		if came <= said {
			out.Covered[qi] = 1
		}
	}
	return out
}

// valueAt returns the value of a series in the step that begins at a time; NaN where nothing is known.
func valueAt(s forecast.Series, at timeline.Time) float64 {
	if len(s.Values) == 0 || at < s.Start || at >= s.End() {
		return math.NaN()
	}
	return s.Values[int(at.Sub(s.Start)/s.Step)]
}
