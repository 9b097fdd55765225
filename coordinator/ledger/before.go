package ledger

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Before reports whether the memory that a change claims before some time is there without anybody who yields: nil if it is, and else the first
// shortfall. What is claimed later is left out, and everything but memory.
func (l *Ledger) Before(c Change, at timeline.Time) error {
	early := Change{Release: c.Release}
	for _, r := range c.Hold {
		early.claim(r, nil, timeline.Span{Start: l.Start(), End: at})
	}
	for _, r := range c.Revise {
		if old, ok := l.get(r.ID); ok {
			early.claim(r, old.whole().Envelope, timeline.Span{Start: l.Start(), End: at})
		}
	}
	return l.Fits(early)
}

// claim adds what a reservation has of memory in a span, beyond what it had, as one that is held beside it.
func (c *Change) claim(r proto.Reservation, was proto.Envelope, within timeline.Span) {
	var more timeline.Profile
	for span, p := range together(was, r.Envelope) {
		n := partOf(p[1], int(resource.Memory)).firm - partOf(p[0], int(resource.Memory)).firm
		if in := span.Intersect(within); n > 0 && !in.Empty() && !r.Forced {
			more = append(more, timeline.Step{Span: in, Amount: resource.Vector{resource.Memory: n}})
		}
	}
	if len(more) == 0 {
		return
	}
	r.ID, r.Purpose, r.Floor, r.Squeezed, r.Revision = r.ID+"/before", proto.PurposeHold, resource.Vector{}, nil, 0
	r.Envelope = proto.FirmEnvelope(more)
	c.Hold = append(c.Hold, r)
}

// GivesMemory reports whether an envelope has less memory anywhere than it had.
func GivesMemory(was, next proto.Envelope) bool {
	for _, p := range together(was, next) {
		if partOf(p[1], int(resource.Memory)).firm < partOf(p[0], int(resource.Memory)).firm {
			return true
		}
	}
	return false
}

// GivesMemory reports whether memory is among what is yielded.
func (y Yielded) GivesMemory(l *Ledger) bool {
	for _, next := range y.Revise {
		if old, ok := l.get(next.ID); ok && GivesMemory(old.whole().Envelope, next.Envelope) {
			return true
		}
	}
	return false
}

// PutOff returns an envelope that has no memory before some time; as it is where that would make more segments than there may be.
func PutOff(e proto.Envelope, until timeline.Time) proto.Envelope {
	var out proto.Envelope
	for _, s := range e {
		without := s
		without.Firm[resource.Memory] = 0
		if without.End = min(s.End, until); s.Firm[resource.Memory] > 0 && s.Start < without.End {
			out = append(out, without)
			s.Start = without.End
		}
		if !s.Empty() {
			out = append(out, s)
		}
	}
	if len(out) > proto.MaxSegments {
		return e
	}
	return out
}
