package ledger

import (
	"errors"
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// ErrYield is the refusal of a yield that the classes and floors do not allow.
var ErrYield = errors.New("it does not give way")

// lower reports whether a reservation of class a gives way to one of class b.
func lower(a, b proto.Class) bool {
	switch a {
	case proto.BestEffort:
		return b == proto.Standard || b == proto.Critical
	case proto.Standard:
		return b == proto.Critical
	default:
		return false
	}
}

// MayYield returns why a reservation never gives way to anybody of the class; nil where it does, down to its floor. Whose instance
// is moving the ledger does not know: that is for the caller to add.
func MayYield(r proto.Reservation, to proto.Class) error {
	switch {
	case r.Purpose != proto.PurposeInstance && r.Purpose != proto.PurposeHold:
		return fmt.Errorf("reservation %s: %w: its purpose is %s", r.ID, ErrYield, r.Purpose)
	case r.Forced:
		return fmt.Errorf("reservation %s: %w: it is a fact", r.ID, ErrYield)
	case !lower(r.Class, to):
		return fmt.Errorf("reservation %s: %w: its class is %s, and %s is not above it", r.ID, ErrYield, r.Class, to)
	}
	return nil
}

// CheckYield returns why next is not what was may become by giving way to the class: it is of a class that is not lower, it
// rises somewhere, falls below its floor, or is changed in something else than its envelope.
func CheckYield(was, next proto.Reservation, to proto.Class) error {
	if err := MayYield(was, to); err != nil {
		return err
	}
	if next.ID != was.ID || next.Envelope.End() != was.Envelope.End() {
		return fmt.Errorf("reservation %s: %w: it would be another one, or end at another time", was.ID, ErrYield)
	}
	rest := next
	rest.Envelope = was.Envelope
	if !same(keep(&rest), keep(&was)) {
		return fmt.Errorf("reservation %s: %w: more than its envelope would change", was.ID, ErrYield)
	}
	for span, p := range together(was.Envelope, next.Envelope) {
		for k := range resource.Kinds {
			a, b := partOf(p[0], k), partOf(p[1], k)
			if b.firm > a.firm || b.mean > a.mean || b.own > a.own || b.common > a.common {
				return fmt.Errorf("reservation %s: %w: its %s would rise in %s", was.ID, ErrYield, resource.Kind(k), span)
			}
			if floor := was.Floor[k]; b.firm < min(a.firm, floor) || b.sum() < min(a.sum(), floor) {
				return fmt.Errorf("reservation %s: %w: its %s would fall below its floor, %s, in %s", was.ID, ErrYield,
					resource.Kind(k), resource.Format(resource.Kind(k), floor), span)
			}
		}
	}
	return nil
}

// CheckYields returns why the reservations may not give way to the change in the way that yields says; nil where they may. Each has
// to be of a lower class than everybody who claims more on its host. Whether all of it fits together is for Fits to say.
func (l *Ledger) CheckYields(c Change, yields []proto.Reservation) error {
	type claim struct {
		lowest proto.Reservation
		ok     bool
	}
	claims := map[string]claim{} // by host: many may yield on one
	for _, y := range yields {
		was, ok := l.get(y.ID)
		if !ok {
			return fmt.Errorf("reservation %s: %w", y.ID, ErrUnknownReservation)
		}
		to, looked := claims[was.Host]
		if !looked {
			to.lowest, to.ok = l.claimant(c, was.Host)
			claims[was.Host] = to
		}
		if !to.ok {
			return fmt.Errorf("reservation %s: %w: nobody claims more on %s", y.ID, ErrYield, was.Host)
		}
		if err := CheckYield(was.whole(), y, to.lowest.Class); err != nil {
			return err
		}
	}
	return nil
}

// claimant returns the one of the lowest class of those to whom a change gives more on a host, and false where it gives nobody more.
// What is stated as a fact claims nothing: it needs no room.
func (l *Ledger) claimant(c Change, host string) (lowest proto.Reservation, ok bool) {
	claims := func(r proto.Reservation) {
		if r.Host == host && !r.Forced && (!ok || lower(r.Class, lowest.Class)) {
			lowest, ok = r, true
		}
	}
	for _, r := range c.Hold {
		claims(r)
	}
	for _, r := range c.Revise {
		if r.Host != host {
			continue
		}
		if old, there := l.get(r.ID); !there || old.Forced || rises(old.whole().Envelope, r.Envelope) {
			claims(r)
		}
	}
	return lowest, ok
}

// rises reports whether an envelope is anywhere above what it was.
func rises(was, next proto.Envelope) bool {
	for _, p := range together(was, next) {
		for k := range resource.Kinds {
			a, b := partOf(p[0], k), partOf(p[1], k)
			if b.sum() > a.sum() || b.own > a.own || b.common > a.common {
				return true
			}
		}
	}
	return false
}

// part is what a segment holds of one resource.
type part struct{ firm, mean, own, common int64 }

// partOf returns what a segment holds of a resource; nothing for no segment.
func partOf(s *proto.Segment, k int) part {
	if s == nil {
		return part{}
	}
	return part{firm: s.Firm[k], mean: s.Mean[k], own: s.Own[k], common: s.Common[k]}
}

func (p part) sum() int64 { return p.firm + p.mean }

// all returns what is measured when it is taken: every part, a deviation like an amount.
func (p part) all() int64 { return p.firm + p.mean + p.own + p.common }

// together walks over two envelopes: the spans in which neither changes, and the segment that each has there; nil for none.
func together(a, b proto.Envelope) func(yield func(timeline.Span, [2]*proto.Segment) bool) {
	return func(yield func(timeline.Span, [2]*proto.Segment) bool) {
		cuts := make([]timeline.Time, 0, 2*(len(a)+len(b)))
		for _, e := range [...]proto.Envelope{a, b} {
			for i := range e {
				cuts = append(cuts, e[i].Start, e[i].End)
			}
		}
		slices.Sort(cuts)
		cuts = slices.Compact(cuts)
		for i := 1; i < len(cuts); i++ {
			span := timeline.Span{Start: cuts[i-1], End: cuts[i]}
			p := [2]*proto.Segment{segmentAt(a, span.Start), segmentAt(b, span.Start)}
			if (p[0] != nil || p[1] != nil) && !yield(span, p) {
				return
			}
		}
	}
}

// segmentAt returns the segment that holds at t; nil for none.
func segmentAt(e proto.Envelope, t timeline.Time) *proto.Segment {
	for i := range e {
		if e[i].Contains(t) {
			return &e[i]
		}
	}
	return nil
}
