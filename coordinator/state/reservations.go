package state

import (
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// reservationChange changes reservations by the rule of one author per envelope: migrate for what moves, replan for the
// rest, an operator or replan for holds.
func (x *tx) reservationChange(b *proto.ReservationChange) proto.Result {
	return x.changeReservations(b, func(ledger.Change) ([]proto.Reservation, proto.Result) { return nil, done() })
}

// changeReservations does the change, with those that yield for it.
func (x *tx) changeReservations(b *proto.ReservationChange, yield func(ledger.Change) ([]proto.Reservation, proto.Result)) proto.Result {
	c := ledger.Change{Hold: b.Hold, Release: b.Release}
	extra := map[string]proto.Migration{} // migrations whose list of extra reservations changes
	for i := range b.Hold {
		if res := x.mayHold(b.Author, &b.Hold[i], extra); !res.OK() {
			return res
		}
	}
	for _, v := range b.Revise {
		r, res := x.revised(b.Author, v)
		if !res.OK() {
			return res
		}
		c.Revise = append(c.Revise, r)
	}
	for _, id := range b.Release {
		if res := x.mayRelease(b.Author, id, extra); !res.OK() {
			return res
		}
	}
	yields, res := yield(c)
	if !res.OK() {
		return res
	}
	if res := x.reserve(c, yields...); !res.OK() {
		return res
	}
	for id, m := range extra {
		put(x, x.migrations, id, m)
	}
	x.tellYields(yields)
	return done()
}

func (x *tx) mayHold(a proto.Author, r *proto.Reservation, extra map[string]proto.Migration) proto.Result {
	r.Forced = false
	if r.End() <= x.now || r.End() >= timeline.Forever {
		return invalid("reservation %s has to end, and later than now: give its envelope an end or set until", r.ID)
	}
	switch {
	case r.Purpose == proto.PurposeHold && r.Instance == "" && r.Migration == "":
		if a != proto.AuthorOperator && a != proto.AuthorReplan {
			return refused("%s may not hold %s: holds are an operator's or replan's", a, r.ID)
		}
		return done()
	case r.Purpose == proto.PurposeMigration && r.Instance == "":
		if a != proto.AuthorMigrate {
			return refused("%s may not hold %s for a migration: only migrate may", a, r.ID)
		}
		m, res := x.movingWith(r, extra)
		if !res.OK() {
			return res
		}
		m.Extra = insert(m.Extra, r.ID)
		extra[m.ID] = m
		return done()
	default:
		return invalid("reservation %s of purpose %q for instance %q is not held by itself: its instance or migration makes it", r.ID, r.Purpose, r.Instance)
	}
}

// movingWith returns the active migration that a reservation is for, as far as it is changed already.
func (x *tx) movingWith(r *proto.Reservation, extra map[string]proto.Migration) (proto.Migration, proto.Result) {
	m, ok := extra[r.Migration]
	if !ok {
		m, ok = x.migrations.get(r.Migration)
	}
	if !ok {
		return m, missing("migration", r.Migration)
	}
	if !m.Active() {
		return m, stale("migration %s has ended: %s", m.ID, m.Outcome)
	}
	if r.Host != m.Source && r.Host != m.Target {
		return m, invalid("reservation %s is on %s, but migration %s goes from %s to %s", r.ID, r.Host, m.ID, m.Source, m.Target)
	}
	return m, done()
}

// revised returns the reservation as the revision wants it, if the author may and its type allows it.
func (x *tx) revised(a proto.Author, v proto.Revision) (proto.Reservation, proto.Result) {
	r, res := x.revisedAtAll(a, v)
	if i, ok := x.instances.get(r.Instance); ok && res.OK() {
		return r, x.withinType(r, x.typeOn(i, r))
	}
	return r, res
}

// revisedAtAll returns the reservation as the revision wants it, if the author may.
func (x *tx) revisedAtAll(a proto.Author, v proto.Revision) (proto.Reservation, proto.Result) {
	r, ok := x.ledger.Reservation(v.ID)
	if !ok {
		return r, missing("reservation", v.ID)
	}
	if v.From != 0 && v.From != r.Revision {
		return r, stale("reservation %s has revision %d, not %d: read it again", r.ID, r.Revision, v.From)
	}
	if res := x.mayRevise(a, r); !res.OK() {
		return r, res
	}
	open := r.Envelope.Open()
	if len(v.Envelope) > 0 {
		r.Envelope, r.Floor = v.Envelope, v.Floor
	}
	if r.Instance != "" && open && !r.Envelope.Open() {
		return r, invalid("the envelope of reservation %s would end: where an instance lives, or will, it has to be open", r.ID)
	}
	if v.Until != 0 {
		if r.Until == 0 {
			return r, invalid("reservation %s does not lapse: it ends with its instance", r.ID)
		}
		r.Until = v.Until
	}
	if r.Purpose == proto.PurposeHold && r.End() >= timeline.Forever {
		return r, invalid("reservation %s has to end", r.ID)
	}
	return r, done()
}

func (x *tx) mayRevise(a proto.Author, r proto.Reservation) proto.Result {
	want := []proto.Author{proto.AuthorReplan}
	switch r.Purpose {
	case proto.PurposeSystem:
		return refused("reservation %s is a fact that its host's home states: nobody revises it", r.ID)
	case proto.PurposeHold:
		want = []proto.Author{proto.AuthorOperator, proto.AuthorReplan}
	default:
		if i, ok := x.instances.get(r.Instance); !ok || i.Migration != "" {
			want = []proto.Author{proto.AuthorMigrate}
		}
	}
	if !slices.Contains(want, a) {
		return refused("%s may not revise reservation %s: its author is %s now", a, r.ID, want[0])
	}
	return done()
}

// typeOn returns the type that holds for an instance where the reservation is.
func (x *tx) typeOn(i proto.Instance, r proto.Reservation) string {
	m, moving := x.migrations.get(i.Migration)
	switch {
	case moving && r.ID == m.TargetReservation:
		return m.ToType
	case moving && r.ID == m.SourceReservation:
		return m.FromType
	default:
		return i.Spec.Type
	}
}

func (x *tx) mayRelease(a proto.Author, id string, extra map[string]proto.Migration) proto.Result {
	r, ok := x.ledger.Reservation(id)
	if !ok {
		return missing("reservation", id)
	}
	switch {
	case r.Purpose == proto.PurposeHold:
		if a != proto.AuthorOperator && a != proto.AuthorReplan {
			return refused("%s may not release %s: holds are an operator's or replan's", a, id)
		}
		return done()
	case r.Purpose == proto.PurposeMigration && r.Instance == "" && a == proto.AuthorMigrate:
		m, res := x.movingWith(&r, extra)
		if !res.OK() {
			return res
		}
		m.Extra = slices.DeleteFunc(slices.Clone(m.Extra), func(e string) bool { return e == id })
		extra[m.ID] = m
		return done()
	default:
		return refused("reservation %s is not released by itself: it ends with its instance or migration", id)
	}
}

// insert returns a sorted list with one more element.
func insert(list []string, s string) []string {
	i, there := slices.BinarySearch(list, s)
	if there {
		return list
	}
	return slices.Insert(slices.Clone(list), i, s)
}
