// Package replan decides which reservations on a host are revised for what is forecast now, and what is done where that does not fit. It only computes.
package replan

import (
	"hash/fnv"
	"sort"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Want is what a reservation should hold by the forecast.
type Want struct {
	Reservation proto.Reservation // as it is; of a host's own use, before it has one, no more than what identifies it
	Allocation  timeline.Profile
	Envelope    proto.Envelope // that would hold it
	Sizing      planner.Sizing
	Forecast    proto.ForecastReply // that both follow from
}

// A reservation is revised when the forecast leaves it, and when it holds much more than the forecast asks for; the
// latter is looked at more seldom, so that it settles.
const (
	reviseGap   = 20 // percent of the amount that is held in vain before it is given back
	reviseEvery = 12 // steps of the grid between two revisions that give back
	reviseRise  = 1  // the same of two for a forecast that leaves the reservation later than soon
	turnSteps   = 3  // of the grid between two turns of a host: what can wait is revised then, in one command
	soonSteps   = 4  // of the grid within which a reservation that is left is revised whatever else waits: it would not be in time after the next turn
)

// cause is why a reservation is revised; the later ones are the more pressing.
type cause int

const (
	fine   cause = iota
	vain         // it holds too much
	old          // the fine part of its envelope has run out
	left         // the forecast leaves it
	urgent       // and does so soon
)

// outgrown returns why a reservation should be revised. What a fresh envelope for the allocation would not hold either, since demand is pooled, is
// no reason, and neither is what half of the allocation's margin covers.
func outgrown(w *Want, now timeline.Time, step time.Duration) cause {
	held, best := planner.Promised(w.Reservation.Envelope), planner.Promised(w.Envelope)
	span := w.Allocation.Span()
	most, much := held.MaxOver(span), resource.Vector{}
	since := now.Sub(w.Reservation.ChangedAt)
	why := fine
	for _, s := range w.Allocation {
		much = much.Max(s.Amount)
		if why == urgent || w.Sizing.Enough(s.Amount).Min(lowestOver(best, s.Span)).Fits(lowestOver(held, s.Span)) {
			continue
		}
		why = left
		if s.Start < now.Add(soonSteps*step) {
			why = urgent
		}
	}
	switch {
	case why == urgent || why == left && since >= reviseRise*step:
		return why
	case since < reviseEvery*step:
		return fine
	}
	for k := range most {
		if most[k] > 0 && (most[k]-much[k])*100/most[k] >= reviseGap {
			return vain
		}
	}
	if since >= planner.GridSteps/2*step {
		return old
	}
	return fine
}

// lowestOver returns the least that a profile holds in a span.
func lowestOver(p timeline.Profile, s timeline.Span) resource.Vector {
	i := sort.Search(len(p), func(i int) bool { return p[i].End > s.Start })
	if i == len(p) || p[i].Start >= s.End {
		return resource.Vector{}
	}
	v := p[i].Amount
	for i++; i < len(p) && p[i].Start < s.End; i++ {
		v = v.Min(p[i].Amount)
	}
	return v
}

// Turn returns when the turn of a host began that goes on now. What can wait is revised once in each turn, and the turns of hosts begin at times of
// their own, so that those of a fleet are not all revised at once.
func Turn(host string, now timeline.Time, step time.Duration) timeline.Time {
	sum := fnv.New32a()
	sum.Write([]byte(host)) //nolint:errcheck // a hash takes everything
	whole := turnSteps * step
	later := whole / 1024 * time.Duration(sum.Sum32()%1024)
	later = later.Truncate(time.Millisecond)
	return now.Add(-later).Floor(whole).Add(later)
}
