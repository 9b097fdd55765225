package state

import (
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// migrationReturn begins the way back of a confirmed migration. Its capacity is the slot that was kept.
func (x *tx) migrationReturn(b *proto.MigrationReturn) proto.Result {
	if err := proto.ValidID("migration", b.ID); err != nil {
		return invalid("%s", err)
	}
	if x.migrations.has(b.ID) {
		return conflict("there is a migration %s", b.ID)
	}
	old, i, r := x.decide(b.Returns, b.Fence)
	if !r.OK() {
		return r
	}
	if old.Returns != "" || !old.Confirmed() || old.Phase != proto.PhaseWarm && old.Phase != proto.PhaseSettle {
		return refused("migration %s is in phase %s: only a confirmed one is returned, an earlier one is aborted", old.ID, old.Phase)
	}
	p := b.Plan
	if p.Instance != i.Name() || p.Source != old.Target || p.Target != old.Source || p.FromType != old.ToType || p.ToType != old.FromType {
		return stale("the plan does not take %s from %s back to %s: plan again", i.Name(), old.Target, old.Source)
	}
	if err := text("reason", b.Reason); err != nil {
		return invalid("%s", err)
	}
	if r := x.reported(p.Source, p.Target); !r.OK() {
		return r
	}
	extra, ids, r := extras(b.Extra, b.ID, p)
	if !r.OK() {
		return r
	}
	c := ledger.Change{Hold: extra, Release: x.held(old.Extra)} // its transfer is over
	if len(p.Envelope) > 0 {                                    // none: the slot as it was kept, which always fits
		slot, _ := x.ledger.Reservation(old.SourceReservation)
		slot.Envelope = p.Envelope
		if !slot.Envelope.Open() {
			return invalid("the envelope of reservation %s would end: where %s will live it has to be open", slot.ID, i.Name())
		}
		if r := x.withinType(slot, p.ToType); !r.OK() {
			return r
		}
		c.Revise = append(c.Revise, slot)
	}
	if r := x.reserve(c); !r.OK() {
		return r
	}
	m := x.enter(proto.Migration{
		ID: b.ID, Instance: i.Name(), Source: p.Source, Target: p.Target, FromType: p.FromType, ToType: p.ToType, Plan: p,
		Returns: old.ID, SourceReservation: old.TargetReservation, TargetReservation: old.SourceReservation, Extra: ids,
		StartedBy: x.actor, CreatedAt: x.now,
	}, proto.PhasePrepare)
	old.Returning, old.Extra = m.ID, nil
	i.Fence++
	i.Migration = m.ID
	x.putInstance(i)
	x.putMigration(x.decided(old, proto.DecideReturn, i.Fence, b.Reason))
	x.putMigration(m)
	return fenced(i.Fence)
}

// until returns when a slot lapses, at the earliest right after now.
func (x *tx) until(id string) timeline.Time {
	slot, _ := x.ledger.Reservation(id)
	return max(slot.Until, x.now+1)
}

// release ends reservations that a migration lived with.
func (x *tx) release(ids []string) proto.Result {
	return x.reserve(ledger.Change{Release: x.held(ids)})
}

// held returns which of the reservations are there: those that hold for a time lapse by themselves.
func (x *tx) held(ids []string) []string {
	var there []string
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if _, ok := x.ledger.Reservation(id); ok && !seen[id] {
			there = append(there, id)
		}
		seen[id] = true
	}
	return there
}

// end puts the migration as ended.
func (x *tx) end(m proto.Migration, o proto.Outcome, reason string) {
	m = x.enter(m, proto.PhaseEnded)
	m.Outcome, m.EndedAt, m.Extra = o, x.now, nil
	if reason != "" {
		m.Reason = reason
	}
	x.putMigration(m)
	x.moveEnded(m)
}

// migrationComplete releases what the source kept and hands the envelope to replan. The end of a way back ends the
// migration that it undid, too.
func (x *tx) migrationComplete(b *proto.MigrationComplete) proto.Result {
	m, i, r := x.decide(b.Migration, b.Fence)
	if !r.OK() {
		return r
	}
	if m.Phase != proto.PhaseSettle || i.State != proto.InstanceRunning {
		return stale("migration %s is in phase %s and %s is %s: it completes when it has settled", m.ID, m.Phase, i.Name(), i.State)
	}
	undone, returns := x.migrations.get(m.Returns)
	ids := append(slices.Clone(m.Extra), m.SourceReservation)
	if returns {
		ids = append(ids, undone.Extra...)
	}
	if r := x.release(ids); !r.OK() {
		return r
	}
	i.Migration = ""
	x.putInstance(i)
	x.end(m, proto.OutcomeCompleted, "")
	if returns {
		undone.Returning = ""
		x.end(undone, proto.OutcomeReturned, "")
	}
	return fenced(i.Fence)
}

// probationEnd ends probation by an operator's word. The executor completes the migration then.
func (x *tx) probationEnd(b *proto.ProbationEnd) proto.Result {
	m, i, r := x.decide(b.Migration, b.Fence)
	if !r.OK() {
		return r
	}
	if m.Phase != proto.PhaseWarm && m.Phase != proto.PhaseSettle {
		return refused("migration %s is in phase %s: it is on probation when its target serves clients", m.ID, m.Phase)
	}
	if err := text("reason", b.Reason); err != nil {
		return invalid("%s", err)
	}
	if !m.Satisfied() {
		x.putMigration(x.decided(m, proto.DecideComplete, i.Fence, b.Reason))
	}
	return fenced(i.Fence)
}

// migrationEnd ends a migration that was given up. A way back that was given up leaves the migration that it would have
// undone as it was.
func (x *tx) migrationEnd(b *proto.MigrationEnd) proto.Result {
	m, i, r := x.moving(b.Migration)
	if !r.OK() {
		return r
	}
	if b.Outcome != proto.OutcomeAborted && b.Outcome != proto.OutcomeFailed {
		return invalid("migration %s cannot end as %q: use aborted or failed", m.ID, b.Outcome)
	}
	if err := text("reason", b.Reason); err != nil {
		return invalid("%s", err)
	}
	if m.Phase != proto.PhaseUndo || i.State != proto.InstanceRunning {
		return stale("migration %s is in phase %s and %s is %s: it ends when it was undone and the source runs", m.ID, m.Phase, i.Name(), i.State)
	}
	ids := slices.Clone(m.Extra)
	undone, returns := x.migrations.get(m.Returns)
	if !returns { // the slots of a way back are those of the migration that it would have undone
		ids = append(ids, m.TargetReservation)
	}
	if returns && m.Loss { // it had taken over the slot that it leaves
		if r := x.settleOn(m.SourceReservation, m.TargetReservation, undone.ID, x.until(m.TargetReservation)); !r.OK() {
			return r
		}
	}
	if r := x.release(ids); !r.OK() {
		return r
	}
	outcome := b.Outcome
	if m.Loss && outcome == proto.OutcomeAborted {
		outcome = proto.OutcomeReturned
	}
	x.end(m, outcome, b.Reason)
	i.Migration = ""
	if returns {
		i.Migration = undone.ID
		undone.Returning = ""
		x.putMigration(undone)
	}
	x.putInstance(i)
	return fenced(i.Fence)
}
