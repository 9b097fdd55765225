package state

import (
	"slices"

	"github.com/glidepath/glidepath/proto"
)

// planBegin begins a move of a stored plan: once, by the plan as it is now, against what is committed now.
func (x *tx) planBegin(b *proto.PlanBegin) proto.Result {
	p, ok := x.plans.get(b.ID)
	if !ok {
		return missing("plan", b.ID)
	}
	if !p.Status.Begins() || p.WhatIf != nil {
		return refused("plan %s is %s: moves begin of one that is scheduled, queued or running, and is of the fleet that is there", p.ID, p.Status)
	}
	if b.Move < 0 || b.Move >= len(p.Moves) {
		return invalid("plan %s has %s: there is no move %d", p.ID, proto.Count(len(p.Moves), "move"), b.Move+1)
	}
	m := p.Moves[b.Move]
	if m.Migration != "" {
		return conflict("move %d of plan %s has begun: it is migration %s", b.Move+1, p.ID, m.Migration)
	}
	start := b.Start
	if s := start.Plan; s.Instance != m.Instance || s.Source != m.Source || s.Target != m.Target || s.FromType != m.FromType || s.ToType != m.ToType {
		return stale("move %d of plan %s takes %s from %s to %s as %s: it does not begin by a plan for anything else", b.Move+1, p.ID, m.Instance, m.Source, m.Target, m.ToType)
	}
	for _, before := range m.After {
		if first := p.Moves[before]; !x.left(first) {
			return refused("move %d of plan %s begins after %s has left %s", b.Move+1, p.ID, first.Instance, first.Source)
		}
	}
	start.Plan.Stored = p.ID
	r := x.begin(&start, beginning{counts: transfers, segment: x.fleet.Policy.MovesLink, release: x.held(m.Holds), yield: b.Yield})
	if !r.OK() {
		return r
	}
	p.Moves = slices.Clone(p.Moves)
	p.Moves[b.Move].Migration, p.Moves[b.Move].Holds = start.ID, nil
	p.Status, p.Reason = proto.PlanRunning, ""
	x.putPlan(p)
	return r
}

// left reports whether the instance of a move runs on its target, to stay there as far as is known.
func (x *tx) left(m proto.Move) bool {
	if m.Outcome != proto.OutcomeNone {
		return m.Outcome == proto.OutcomeCompleted
	}
	going, ok := x.migrations.get(m.Migration)
	return ok && going.Confirmed() && going.Phase != proto.PhaseUndo && going.Returning == ""
}

// transfers reports whether a migration takes anything of links and of its hosts beside their reservations: on probation it only waits.
func transfers(m proto.Migration) bool { return m.Active() && m.Phase != proto.PhaseSettle }
