package state

import (
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// admit changes reservations for which others yield.
func (x *tx) admit(b *proto.Admit) proto.Result {
	return x.changeReservations(&b.Change, func(c ledger.Change) ([]proto.Reservation, proto.Result) { return x.yields(c, b.Yield) })
}

// yields returns the reservations that yield for a change, as they are then. Who yields least was found by whoever proposes it; here it is held that each
// of them may be asked to: for one of a higher class on its host, of no more than it has above its floor.
func (x *tx) yields(c ledger.Change, list []proto.Yield) ([]proto.Reservation, proto.Result) {
	var out []proto.Reservation
	for _, y := range list {
		r, ok := x.ledger.Reservation(y.ID)
		if !ok {
			return nil, missing("reservation", y.ID)
		}
		if y.From != r.Revision {
			return nil, stale("reservation %s has revision %d, not %d: ask again who yields", r.ID, r.Revision, y.From)
		}
		if err := text("reason", y.Why); err != nil {
			return nil, invalid("reservation %s yields: %s", r.ID, err)
		}
		if res := x.mayYield(r); !res.OK() {
			return nil, res
		}
		to, ok := given(c, y.For)
		switch {
		case !ok:
			return nil, invalid("reservation %s would yield to %q, which is not of this change", r.ID, y.For)
		case to.Host != r.Host:
			return nil, invalid("reservation %s on %s would yield to %s on %s", r.ID, r.Host, to.ID, to.Host)
		case rank(to.Class) <= rank(r.Class):
			return nil, refused("reservation %s is %s and does not yield to %s, which is %s: only a higher class is given room", r.ID, r.Class, to.ID, to.Class)
		case r.Envelope.Open() != y.Envelope.Open():
			return nil, invalid("the envelope of reservation %s would have another end: what yields gets less for a time", r.ID)
		}
		if err := yieldFault(r, y.Envelope, x.now); err != nil {
			return nil, invalid("reservation %s yields: %s", r.ID, err)
		}
		r.Envelope = y.Envelope
		r.Squeezed = &proto.Squeeze{For: y.For, Why: y.Why, At: x.now}
		out = append(out, r)
	}
	return out, done()
}

// mayYield refuses to squeeze what is a fact, what moves, and what belongs to a migration.
func (x *tx) mayYield(r proto.Reservation) proto.Result {
	i, ok := x.instances.get(r.Instance)
	switch {
	case r.Forced || r.Purpose == proto.PurposeSystem:
		return refused("reservation %s is a fact: it does not yield", r.ID)
	case r.Purpose == proto.PurposeMigration || ok && i.Migration != "":
		return refused("reservation %s is of an instance that moves: it does not yield before that has ended", r.ID)
	}
	return done()
}

// given returns the reservation that a change holds or revises.
func given(c ledger.Change, id string) (proto.Reservation, bool) {
	for _, list := range [...][]proto.Reservation{c.Hold, c.Revise} {
		if at := slices.IndexFunc(list, func(r proto.Reservation) bool { return r.ID == id }); at >= 0 {
			return list[at], true
		}
	}
	return proto.Reservation{}, false
}

// rank orders classes: who has more may squeeze who has less.
func rank(c proto.Class) int {
	return slices.Index([]proto.Class{proto.BestEffort, proto.Standard, proto.Critical}, c)
}

// yieldFault returns an error where, from now on, the envelope takes anything that r has not, or leaves less than its floor: of what is firm, and of what is expected.
func yieldFault(r proto.Reservation, e proto.Envelope, now timeline.Time) error {
	for _, span := range spans(r.Envelope, e) {
		if span.End <= now {
			continue
		}
		was, is := r.Envelope.At(span.Start), e.At(span.Start)
		for k := range was.Firm {
			if is.Firm[k] > was.Firm[k] || is.Mean[k] > was.Mean[k] || is.Own[k] > was.Own[k] || is.Common[k] > was.Common[k] {
				return fmt.Errorf("it would have more in %s", span)
			}
			if is.Firm[k] < min(was.Firm[k], r.Floor[k]) || is.Firm[k]+is.Mean[k] < min(was.Firm[k]+was.Mean[k], r.Floor[k]) {
				return fmt.Errorf("it would have less than its floor in %s", span)
			}
		}
	}
	return nil
}

// spans returns the intervals in which neither of two envelopes changes.
func spans(a, b proto.Envelope) []timeline.Span {
	var cuts []timeline.Time
	for _, e := range []proto.Envelope{a, b} {
		for _, s := range e {
			cuts = append(cuts, s.Start, s.End)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var out []timeline.Span
	for i := 1; i < len(cuts); i++ {
		out = append(out, timeline.Span{Start: cuts[i-1], End: cuts[i]})
	}
	return out
}

// unsqueeze takes the squeeze off what a change gives another envelope, and returns the identifiers of all that had yielded and then has not any more.
func (x *tx) unsqueeze(c *ledger.Change) (over []string) {
	for i := range c.Revise {
		r := &c.Revise[i]
		if r.Squeezed == nil {
			continue
		}
		if old, ok := x.ledger.Reservation(r.ID); ok && !slices.Equal(old.Envelope, r.Envelope) {
			r.Squeezed = nil
			over = append(over, r.ID)
		}
	}
	for _, id := range c.Release {
		if r, ok := x.ledger.Reservation(id); ok && r.Squeezed != nil {
			over = append(over, id)
		}
	}
	return over
}

// tellYields tells the owners of what has yielded.
func (x *tx) tellYields(list []proto.Reservation) {
	for _, r := range list {
		x.tell(proto.Notice{
			ID: proto.NoticeID(proto.NoticeSqueezed, r.ID), Kind: proto.NoticeSqueezed, Host: r.Host, Instance: r.Instance, Reservation: r.ID,
			Says: fmt.Sprintf("reservation %s (%s) on %s yields to %s: %s", r.ID, r.Class, r.Host, r.Squeezed.For, r.Squeezed.Why),
		})
	}
}
