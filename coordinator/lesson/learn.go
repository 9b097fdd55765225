package lesson

import (
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const day = 24 * time.Hour

// What has to be known for a ratio.
const (
	RatioAfter = day + 10*time.Minute // a move, it is known
	RatioFrom  = 2 * day              // before a move, history is asked for
	ratioSkips = 30 * time.Minute     // after the move: caches are cold
	ratioShare = .75                  // of the day that has to be known on both sides
	alike      = 1.25                 // times that load may differ by
	leastMean  = 20                   // thousandths of a core, below which a ratio says nothing
)

// leastLoad is how much of a resource is taken for load: less is chatter.
var leastLoad = resource.Vector{resource.WriteIOPS: 2, resource.WriteBytes: 64 << 10, resource.NetTx: 50_000, resource.NetRx: 50_000}

// Ratio returns the mean demand for CPU in the day after a move, relative to that in the day before at the same times of day, from a history of means; false where
// that is not known, or the load was another. What came over the network and was written tells of the load, as it does not depend on the CPU. Where there was hardly
// any of it, the demand for CPU has to have been the same on the two days before.
func Ratio(h forecast.History, at timeline.Time) (float64, bool) {
	before, after, ok := days(h[resource.CPU], at, day)
	if !ok || before < leastMean {
		return 0, false
	}
	same := func(a, b float64) bool { return a <= alike*b && b <= alike*a }
	seen := false
	for k, least := range leastLoad {
		if least == 0 {
			continue
		}
		was, is, ok := days(h[k], at, day)
		if !ok || max(was, is) < float64(least) {
			continue
		}
		if !same(was, is) {
			return 0, false
		}
		seen = true
	}
	if !seen {
		earlier, last, ok := days(h[resource.CPU], at.Add(-day), day)
		if !ok || !same(earlier, last) {
			return 0, false
		}
	}
	r := after / before
	return r, r > 1/mostOf && r < mostOf
}

// days returns the means of a series over the time until at and after it, of the steps that are known at the same times of both.
func days(s forecast.Series, at timeline.Time, length time.Duration) (before, after float64, ok bool) {
	if s.Step <= 0 || length%s.Step != 0 {
		return 0, 0, false
	}
	apart, steps := int(length/s.Step), 0
	first := int(at.Add(-length).Ceil(s.Step).Sub(s.Start) / s.Step)
	for i := first; i < first+apart; i++ {
		if i < 0 || i+apart >= len(s.Values) || s.Start.Add(time.Duration(i+apart)*s.Step) < at.Add(ratioSkips) {
			continue
		}
		a, b := s.Values[i], s.Values[i+apart]
		if math.IsNaN(a) || math.IsNaN(b) {
			continue
		}
		before, after, steps = before+a, after+b, steps+1
	}
	if float64(steps) < ratioShare*float64(apart) {
		return 0, 0, false
	}
	return before / float64(steps), after / float64(steps), true
}

// What has to be known of a start.
const (
	StartAfter  = time.Hour + time.Minute // it, what it took is known
	startFirst  = 2 * time.Minute         // within which it takes most
	startOver   = 10 * time.Minute        // after which it is over
	startRest   = 20 * time.Minute        // from when on it is taken to run as ever, until an hour
	startShare  = .5                      // of the windows of that time that have to be known
	startTenth  = 10                      // part of the usual demand below which more is no start-up demand
	steadyShare = .95                     // of the usual highest demand that more has to pass
)

// leastExtra is how much more of a resource is taken for start-up demand.
var leastExtra = resource.Vector{
	resource.CPU: 50, resource.Memory: 16 << 20, resource.ReadIOPS: 20, resource.WriteIOPS: 20,
	resource.ReadBytes: 1 << 20, resource.WriteBytes: 1 << 20, resource.NetTx: 2_000_000, resource.NetRx: 2_000_000,
}

// StartOf returns what an instance took after a start on top of what it took in the rest of the hour, from windows of means and of the highest demand in each; false
// where too little of the hour is known.
func StartOf(means, highest forecast.History, at timeline.Time) (proto.Start, bool) {
	var out proto.Start
	rest := timeline.Span{Start: at.Add(startRest), End: at.Add(time.Hour)}
	first := timeline.Span{Start: at, End: at.Add(startFirst)}
	longest := 0.0
	for k := range means {
		usual, usually := known(means[k], rest), known(highest[k], rest)
		early, most := known(means[k], timeline.Span{Start: at, End: at.Add(startOver)}), known(highest[k], first)
		if resource.Kind(k) == resource.CPU && (means[k].Step <= 0 || len(most) == 0 || float64(len(usual)) < startShare*float64(rest.Length()/means[k].Step)) {
			return out, false
		}
		if len(usual) == 0 || len(usually) == 0 || len(most) == 0 {
			continue
		}
		base := median(usual)
		slices.Sort(usually)
		steady := usually[int(steadyShare*float64(len(usually)-1))]
		extra := slices.Max(most) - steady
		if extra < max(float64(leastExtra[k]), steady/startTenth) {
			continue
		}
		out.Extra[k] = int64(math.Ceil(extra))
		area := 0.0
		for _, v := range early {
			area += max(0, v-base) * means[k].Step.Seconds()
		}
		// Of what fades exponentially, the area is the height times the decay.
		longest = max(longest, area/extra)
	}
	if !out.Extra.IsZero() {
		out.Decay = max(leastDecay, min(startOver, time.Duration(longest*float64(time.Second)))).Milliseconds()
	}
	return out, true
}

// known returns the values of a series in a span that are known.
func known(s forecast.Series, span timeline.Span) []float64 {
	var out []float64
	for i, v := range s.Values {
		at := s.Start.Add(time.Duration(i) * s.Step)
		if at >= span.End {
			break
		}
		if at.Add(s.Step) > span.Start && !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	return out
}
