package state

import (
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/proto"
)

// admit changes reservations for which others yield.
func (x *tx) admit(b *proto.Admit) proto.Result {
	return x.changeReservations(&b.Change, func(c ledger.Change) ([]proto.Reservation, proto.Result) {
		// What replan raises is needed by something that is there, and can't be put off: its agent has the rise wait for what is measured to have been given back.
		return x.yields(c, b.Yield, yielding{atOnce: b.Change.Author == proto.AuthorReplan})
	})
}

// yielding is on what terms reservations yield.
type yielding struct {
	by     func(claimant string) proto.Class // whom a reservation of the change is for; nil: for nobody else than it says itself
	atOnce bool                              // memory, too
}

// yields returns the reservations that yield for a change, as they are then. Who yields least was found by whoever proposes it; here it is held that each
// of them may be asked to: for one of a higher class on its host, of no more than it has above its floor.
func (x *tx) yields(c ledger.Change, list []proto.Yield, how yielding) ([]proto.Reservation, proto.Result) {
	var out []proto.Reservation
	memory := false
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
		to, ok := given(c, y.For)
		switch {
		case !ok:
			return nil, invalid("reservation %s would yield to %q, which is not of this change", r.ID, y.For)
		case to.Host != r.Host:
			return nil, invalid("reservation %s on %s would yield to %s on %s", r.ID, r.Host, to.ID, to.Host)
		case x.moves(r):
			return nil, refused("reservation %s is of an instance that moves: it does not yield before that has ended", r.ID)
		}
		class := to.Class
		if how.by != nil { // what a transfer takes is critical, and is for somebody who may not be
			class = how.by(y.For)
		}
		if err := ledger.MayYield(r, class); err != nil {
			return nil, refused("%s", err)
		}
		next := r
		next.Envelope = y.Envelope
		if err := ledger.CheckYield(r, next, to.Class); err != nil {
			return nil, invalid("%s", err)
		}
		memory = memory || ledger.GivesMemory(r.Envelope, y.Envelope)
		r.Envelope = y.Envelope
		r.Squeezed = &proto.Squeeze{For: y.For, Why: y.Why, At: x.now}
		out = append(out, r)
	}
	if err := x.ledger.CheckYields(c, out); err != nil { // no lower one gets room beside the one that it is asked for
		return nil, refused("%s", err)
	}
	if memory && !how.atOnce {
		if err := x.ledger.Before(c, x.now.Add(proto.MemoryGiveBack)); err != nil {
			return nil, refused("memory that others yield is there %s later, and is claimed before: %s: ask again, for a later start", proto.MemoryGiveBack, err)
		}
	}
	return out, done()
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
