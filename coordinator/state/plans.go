package state

import (
	"cmp"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// mayGo reports whether nothing follows of a plan by itself, so that it may make room for others.
func mayGo(p proto.StoredPlan) bool {
	return p.Status.Ended() || p.Status == proto.PlanKept || p.Status == proto.PlanSuggested
}

// mayHold reports whether the moves of a plan may keep room: one that was only asked for promises nothing.
func mayHold(p proto.StoredPlan) bool { return !mayGo(p) && p.WhatIf == nil }

// planPut keeps a plan, with what it holds, or replaces one.
func (x *tx) planPut(b *proto.PlanPut) proto.Result {
	p := b.Plan
	if r := validPlan(p); !r.OK() {
		return r
	}
	p.Size = x.size
	old, known := x.plans.get(p.ID)
	if r := x.mayPut(p, old, known, b.From); !r.OK() {
		return r
	}
	p.Moves = slices.Clone(p.Moves)
	for i := range p.Moves {
		p.Moves[i].Migration, p.Moves[i].Outcome = "", proto.OutcomeNone
	}
	var before []string
	for i, m := range old.Moves {
		before = append(before, m.Holds...)
		switch {
		case m.Migration == "":
		case i >= len(p.Moves) || p.Moves[i].Instance != m.Instance:
			return stale("move %d of plan %s, of instance %s, has begun: it stays at its place", i+1, p.ID, m.Instance)
		default:
			p.Moves[i] = m
		}
	}
	c, r := x.planHolds(p, before, b.Hold)
	if !r.OK() {
		return r
	}
	yields, r := x.yields(c, b.Yield, yielding{by: x.claims(p)})
	if !r.OK() {
		return r
	}
	if r := x.reserve(c, yields...); !r.OK() {
		return r
	}
	x.tellYields(yields)
	p.MadeBy, p.MadeAt, p.EndedAt = x.actor, x.now, 0
	if known {
		p.MadeBy, p.MadeAt = old.MadeBy, old.MadeAt
	}
	p.Revision = old.Revision
	x.putPlan(p)
	return done()
}

// putPlan puts a plan as its next revision, and drops the oldest of those of which nothing follows where there are too many, or all together are too large.
func (x *tx) putPlan(p proto.StoredPlan) {
	p.Revision++
	p.ChangedAt = x.now
	put(x, x.plans, p.ID, p)
	var idle []proto.StoredPlan
	size, most := 0, proto.MaxPlansEnded
	for other := range x.plans.all() {
		size += other.Size
		switch {
		case !mayGo(other):
		case other.ID == p.ID: // it is the newest, and stays
			most--
		default:
			idle = append(idle, other)
		}
	}
	if len(idle) <= most && size <= proto.MaxPlansSize {
		return
	}
	slices.SortStableFunc(idle, func(a, b proto.StoredPlan) int { return cmp.Compare(a.ChangedAt, b.ChangedAt) })
	for i, old := range idle {
		if len(idle)-i <= most && size <= proto.MaxPlansSize {
			return
		}
		size -= old.Size
		drop(x, x.plans, old.ID)
	}
}

// validPlan checks what can be told of a plan by itself.
func validPlan(p proto.StoredPlan) proto.Result {
	if err := proto.ValidName("plan", p.ID); err != nil {
		return invalid("%s", err)
	}
	if p.Kind != proto.PlanMigrate && p.Kind != proto.PlanDrain && p.Kind != proto.PlanRebalance {
		return invalid("plan %s: %q is no kind: use migrate, drain or rebalance", p.ID, p.Kind)
	}
	if (p.Kind == proto.PlanDrain) != (p.Host != "") {
		return invalid("plan %s is of kind %s: that of a drain names its host, and no other does", p.ID, p.Kind)
	}
	if p.Deadline < 0 || p.Deadline >= timeline.Forever || p.LeastGain < 0 {
		return invalid("plan %s has a deadline of %s and a least gain of %d: neither can be", p.ID, p.Deadline, p.LeastGain)
	}
	if r := validWindows(p.Windows); !r.OK() {
		return r
	}
	if p.WhatIf != nil {
		if err := p.WhatIf.Valid(); err != nil {
			return invalid("plan %s: %s", p.ID, err)
		}
	}
	if len(p.Moves) > proto.MaxMoves {
		return refused("plan %s has %d moves: at most %d are kept in one; plan for fewer instances at once", p.ID, len(p.Moves), proto.MaxMoves)
	}
	held := map[string]bool{}
	for i, m := range p.Moves {
		if r := validMove(p, i, m, held); !r.OK() {
			return r
		}
	}
	return done()
}

// validMove checks one move, and notes in held what it holds.
func validMove(p proto.StoredPlan, i int, m proto.Move, held map[string]bool) proto.Result {
	for _, name := range []string{m.Instance, m.Source, m.Target, m.FromType, m.ToType} {
		if name == "" || len(name) > proto.MaxIDLength {
			return invalid("move %d of plan %s does not name its instance, hosts and types, or one of them is too long", i+1, p.ID)
		}
	}
	for _, before := range m.After {
		if before < 0 || before >= i {
			return invalid("move %d of plan %s comes after move %d: moves are in an order in which they can be done", i+1, p.ID, before+1)
		}
	}
	for _, id := range m.Holds {
		if !proto.HoldsOf(p.ID, id) || held[id] {
			return invalid("move %d of plan %s holds %s, which another one holds or which is of another plan", i+1, p.ID, id)
		}
		held[id] = true
	}
	if len(m.Holds) > 0 && !mayHold(p) {
		return invalid("plan %s is %s: it holds nothing before it is scheduled", p.ID, p.Status)
	}
	return done()
}

// mayPut checks a plan against the one that it replaces.
func (x *tx) mayPut(p, old proto.StoredPlan, known bool, from uint64) proto.Result {
	switch {
	case known && from == 0:
		return conflict("there is a plan %s", p.ID)
	case !known && from != 0:
		return missing("plan", p.ID)
	case known && from != old.Revision:
		return stale("plan %s has revision %d, not %d: read it again", p.ID, old.Revision, from)
	case known && old.Status.Ended():
		return stale("plan %s has ended: %s", p.ID, old.Status)
	case known && (p.Kind != old.Kind || p.Host != old.Host || (p.WhatIf == nil) != (old.WhatIf == nil)):
		return invalid("plan %s is of another kind, for another host, or of another fleet: store it under another identifier", p.ID)
	case known && p.Status != old.Status && !old.Status.May(p.Status):
		return refused("plan %s is %s: it can't be %s next", p.ID, old.Status, p.Status)
	case p.Status.Ended() || !p.Status.Known() || !known && (p.Status == proto.PlanRunning || p.Status == proto.PlanPaused):
		return invalid("plan %s would be put as %s: a plan begins as kept, suggested, scheduled, queued or blocked", p.ID, p.Status)
	case p.WhatIf != nil && p.Status != proto.PlanKept:
		return invalid("plan %s is of a fleet that is not there: it can only be kept", p.ID)
	}
	return x.roomFor(p)
}

// roomFor refuses a plan that goes on where too many do, and any that is too large beside those.
func (x *tx) roomFor(p proto.StoredPlan) proto.Result {
	live, size := 0, 0
	for other := range x.plans.all() {
		if other.ID != p.ID && !mayGo(other) {
			live++
			size += other.Size
		}
	}
	switch {
	case live >= proto.MaxPlans && !mayGo(p):
		return refused("%d plans go on: no more are taken; cancel one, or wait for its end", live)
	case size+p.Size > proto.MaxPlansSize && !p.Status.Ended():
		return refused("plan %s has %d bytes, and the %d that go on have %d: together they may have %d; cancel one, or wait for its end", p.ID, p.Size, live, size, proto.MaxPlansSize)
	}
	return done()
}

// planHolds returns the change of reservations by which the moves of a plan hold what they name: what is new or changed is in hold, and what was held before and
// is named no more is given back.
func (x *tx) planHolds(p proto.StoredPlan, before []string, hold []proto.Reservation) (ledger.Change, proto.Result) {
	var c ledger.Change
	named := map[string]bool{}
	for _, m := range p.Moves {
		for _, id := range m.Holds {
			named[id] = true
		}
	}
	was := map[string]bool{}
	for _, id := range before {
		was[id] = true
	}
	stated := map[string]bool{}
	for _, r := range hold {
		if !named[r.ID] || stated[r.ID] {
			return c, invalid("no move of plan %s that is to begin holds %s, or it is there twice", p.ID, r.ID)
		}
		stated[r.ID] = true
		if r.Purpose != proto.PurposeHold || r.Instance != "" || r.Migration != "" || r.End() <= x.now || r.End() >= timeline.Forever {
			return c, invalid("reservation %s of plan %s has to be of purpose hold, of no instance, and to end later than now", r.ID, p.ID)
		}
		r.Forced = false
		old, there := x.ledger.Reservation(r.ID)
		switch {
		case !there:
			c.Hold = append(c.Hold, r)
		case was[r.ID] && old.Host == r.Host:
			r.Revision, r.CreatedAt = old.Revision, old.CreatedAt
			c.Revise = append(c.Revise, r)
		default:
			return c, conflict("there is a reservation %s", r.ID)
		}
	}
	for _, m := range p.Moves {
		for _, id := range m.Holds {
			if _, there := x.ledger.Reservation(id); !stated[id] && (!there || !was[id]) {
				return c, stale("reservation %s of plan %s is not held any more: hold it again", id, p.ID)
			}
		}
	}
	for _, id := range x.held(before) {
		if !named[id] {
			c.Release = append(c.Release, id)
		}
	}
	return c, done()
}

// claims returns of what class the instance is for whose move a reservation of a plan is held; of the lowest one where there is none.
func (x *tx) claims(p proto.StoredPlan) func(hold string) proto.Class {
	return func(hold string) proto.Class {
		for _, m := range p.Moves {
			if i, ok := x.instances.get(m.Instance); ok && slices.Contains(m.Holds, hold) {
				return i.Spec.Class
			}
		}
		return proto.BestEffort
	}
}

// planChange changes the status of a plan. Where it ends it holds nothing any more.
func (x *tx) planChange(b *proto.PlanChange) proto.Result {
	p, ok := x.plans.get(b.ID)
	if !ok {
		return missing("plan", b.ID)
	}
	if p.Status != b.From {
		return stale("plan %s is %s, not %s", p.ID, p.Status, b.From)
	}
	if !p.Status.May(b.To) {
		return refused("plan %s is %s: it can't be %s next", p.ID, p.Status, b.To)
	}
	if p.WhatIf != nil && !b.To.Ended() {
		return refused("plan %s is of a fleet that is not there: it can't be carried out; plan again without what-if", p.ID)
	}
	if err := text("reason", b.Reason); err != nil {
		return invalid("%s", err)
	}
	if at := slices.IndexFunc(p.Moves, func(m proto.Move) bool { return m.Outcome == proto.OutcomeNone }); at >= 0 && b.To == proto.PlanDone {
		return refused("move %d of plan %s, of instance %s, has not ended: the plan is not done", at+1, p.ID, p.Moves[at].Instance)
	}
	p.Status, p.Reason = b.To, b.Reason
	if r := x.roomFor(p); !r.OK() {
		return r
	}
	if b.To.Ended() {
		var holds []string
		p.Moves = slices.Clone(p.Moves)
		for i := range p.Moves {
			holds = append(holds, p.Moves[i].Holds...)
			p.Moves[i].Holds = nil
		}
		if r := x.release(holds); !r.OK() {
			return r
		}
		p.EndedAt = x.now
	}
	x.putPlan(p)
	return done()
}

// moveEnded notes with the stored plan of a migration how that ended.
func (x *tx) moveEnded(m proto.Migration) {
	p, ok := x.plans.get(m.Plan.Stored)
	if !ok {
		return
	}
	if i := slices.IndexFunc(p.Moves, func(move proto.Move) bool { return move.Migration == m.ID }); i >= 0 {
		p.Moves = slices.Clone(p.Moves)
		p.Moves[i].Outcome = m.Outcome
		x.putPlan(p)
	}
}
