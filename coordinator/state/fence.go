package state

import (
	"cmp"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Who may run an instance, and when:
//
//	           freeze             commit             confirm
//	running ──────────► frozen ──────────► starting ─────────► running on the target
//	   │                  │                   │                   │
//	   │ abort            │ abort             │ abort             │ accept-loss
//	   ▼                  ▼                   ▼                   ▼
//	running            thawing             thawing             thawing ── thaw ──► running on the source
//
// Every arrow but confirm and thaw raises the fence, and each is a compare-and-set on it: of two decisions that were
// made on the same fence the first one wins and the other is stale.
//
// Between the decision to confirm and its arrival at the target the permit may run out there. A target that has then
// durably refused the fence never announced the address, so that abort is possible once more, at no loss.

// decide returns the migration and its instance for a decision made on a fence, or why the decision comes too late.
func (x *tx) decide(id string, fence uint64) (proto.Migration, proto.Instance, proto.Result) {
	m, i, r := x.moving(id)
	if r.OK() && i.Fence != fence {
		r = stale("instance %s is under fence %d, the decision was made on %d: another one was first", i.Name(), i.Fence, fence)
		r.Fence = i.Fence
	}
	return m, i, r
}

// decided returns the migration with the decision on record.
func (x *tx) decided(m proto.Migration, k proto.DecisionKind, fence uint64, reason string) proto.Migration {
	m.Decisions = append(slices.Clone(m.Decisions), proto.Decision{Kind: k, Fence: fence, At: x.now, By: x.actor, Reason: reason})
	return m
}

func (x *tx) migrationFreeze(b *proto.MigrationFreeze) proto.Result {
	m, i, r := x.decide(b.Migration, b.Fence)
	if !r.OK() {
		return r
	}
	if m.Phase != proto.PhaseCopy || i.State != proto.InstanceRunning {
		return stale("migration %s is in phase %s and %s is %s: it is frozen while it runs and is copied", m.ID, m.Phase, i.Name(), i.State)
	}
	if r := x.reported(m.Source, m.Target); !r.OK() {
		return r
	}
	i.State, i.Fence = proto.InstanceFrozen, i.Fence+1
	x.putInstance(i)
	x.putMigration(x.decided(x.enter(m, proto.PhaseSwitch), proto.DecideFreeze, i.Fence, ""))
	return fenced(i.Fence)
}

func (x *tx) migrationCommit(b *proto.MigrationCommit) proto.Result {
	m, i, r := x.decide(b.Migration, b.Fence)
	if !r.OK() {
		return r
	}
	if i.State != proto.InstanceFrozen {
		return stale("instance %s is %s: only a frozen one is committed to its target", i.Name(), i.State)
	}
	if r := x.reported(m.Source, m.Target); !r.OK() {
		return r
	}
	i.State, i.Fence = proto.InstanceStarting, i.Fence+1
	i.Owner, i.Reservation, i.Spec.Type = m.Target, m.TargetReservation, m.ToType
	x.putInstance(i)
	x.putMigration(x.decided(m, proto.DecideCommit, i.Fence, ""))
	return fenced(i.Fence)
}

// migrationConfirm makes the target's reservation that of the instance, and the source's the slot kept for a return.
func (x *tx) migrationConfirm(b *proto.MigrationConfirm) proto.Result {
	m, i, r := x.decide(b.Migration, b.Fence)
	if !r.OK() {
		return r
	}
	if i.State != proto.InstanceStarting {
		return stale("instance %s is %s: only a starting one is confirmed", i.Name(), i.State)
	}
	if b.Until <= x.now || b.Until >= timeline.Forever {
		return invalid("the source's slot would be kept until %s: name a time later than now", b.Until)
	}
	if r := x.settleOn(m.TargetReservation, m.SourceReservation, m.ID, b.Until); !r.OK() {
		return r
	}
	i.State = proto.InstanceRunning
	x.putInstance(i)
	x.putMigration(x.decided(x.enter(m, proto.PhaseWarm), proto.DecideConfirm, i.Fence, ""))
	return fenced(i.Fence)
}

// settleOn makes one reservation that of the instance where it lives, and the other a slot that ends with the migration.
func (x *tx) settleOn(lives, slot, migration string, until timeline.Time) proto.Result {
	a, inA := x.ledger.Reservation(lives)
	b, inB := x.ledger.Reservation(slot)
	if !inA || !inB {
		return missing("reservation", lives+" or "+slot)
	}
	a.Purpose, a.Migration, a.Until = proto.PurposeInstance, "", 0
	b.Purpose, b.Migration, b.Until = proto.PurposeMigration, migration, until
	return x.reserve(ledger.Change{Revise: []proto.Reservation{a, b}})
}

// refusedByTarget reports whether the target of a migration has durably refused to run the instance under the fence.
func refusedByTarget(m proto.Migration, fence uint64) bool {
	return slices.ContainsFunc(m.Operations, func(o proto.OperationRecord) bool {
		return o.Kind == proto.OpRefuse && o.Host == m.Target && o.Fence == fence && o.Result != nil && o.Result.Error == nil
	})
}

func (x *tx) migrationAbort(b *proto.MigrationAbort) proto.Result {
	m, i, r := x.decide(b.Migration, b.Fence)
	if !r.OK() {
		return r
	}
	if err := text("reason", b.Reason); err != nil {
		return invalid("%s", err)
	}
	confirmed := m.Confirmed()
	switch {
	case m.Phase == proto.PhaseUndo:
		return stale("migration %s is being undone already", m.ID)
	case confirmed && !refusedByTarget(m, i.Fence):
		remedy := "Take it back with `glidepath migration return " + m.ID + "`"
		if m.Returns != "" {
			remedy = "Migrate the instance once it has ended"
		}
		return refused("migration %s is confirmed: its target has served clients. %s; if the target died for good, see `glidepath migration abort %s --accept-loss`", m.ID, remedy, m.ID)
	case confirmed:
		if r := x.settleOn(m.SourceReservation, m.TargetReservation, cmp.Or(m.Returns, m.ID), x.until(m.SourceReservation)); !r.OK() {
			return r
		}
	}
	if confirmed || i.State != proto.InstanceRunning {
		i.State = proto.InstanceThawing
	}
	i.Fence++
	i.Owner, i.Reservation, i.Spec.Type = m.Source, m.SourceReservation, m.FromType
	m.Reason = b.Reason
	x.putInstance(i)
	x.putMigration(x.decided(x.enter(m, proto.PhaseUndo), proto.DecideAbort, i.Fence, b.Reason))
	return fenced(i.Fence)
}

// acceptLoss takes the instance back to its source although its target served clients. A way back that has not been
// confirmed ends with it.
func (x *tx) acceptLoss(b *proto.AcceptLoss) proto.Result {
	m, ok := x.migrations.get(b.Migration)
	if !ok {
		return missing("migration", b.Migration)
	}
	i, _ := x.instances.get(m.Instance)
	back, returning := x.migrations.get(m.Returning)
	switch {
	case !m.Active():
		return stale("migration %s has ended: %s", m.ID, m.Outcome)
	case i.Fence != b.Fence:
		return stale("instance %s is under fence %d, the decision was made on %d: another one was first", i.Name(), i.Fence, b.Fence)
	case !m.Confirmed():
		return refused("migration %s is not confirmed: nothing is lost by aborting it", m.ID)
	case m.Phase == proto.PhaseUndo:
		return stale("migration %s is being undone already", m.ID)
	case givenAway(m, m.Source) || returning && givenAway(back, m.Source):
		return refused("%s has given the instance away for good, or is about to, since migration %s had served its time on probation: there is nothing to go back to; its data are in %s's retention folder", m.Source, m.ID, m.Source)
	case returning && back.Confirmed():
		return refused("migration %s is on its source already, by migration %s", m.ID, back.ID)
	}
	if err := text("reason", b.Reason); err != nil {
		return invalid("%s", err)
	}
	if returning {
		if r := x.release(back.Extra); !r.OK() {
			return r
		}
		x.end(back, proto.OutcomeFailed, "loss was accepted: "+b.Reason)
	}
	if r := x.settleOn(m.SourceReservation, m.TargetReservation, m.ID, x.until(m.SourceReservation)); !r.OK() {
		return r
	}
	i.State, i.Fence, i.Migration = proto.InstanceThawing, i.Fence+1, m.ID
	i.Owner, i.Reservation, i.Spec.Type = m.Source, m.SourceReservation, m.FromType
	m.Reason, m.Loss, m.Returning = b.Reason, true, ""
	x.putInstance(i)
	x.putMigration(x.decided(x.enter(m, proto.PhaseUndo), proto.DecideAcceptLoss, i.Fence, b.Reason))
	return fenced(i.Fence)
}

// givenAway reports whether a host was told, in a migration, to put the instance's data away. It is on record before the host hears of it. One
// that could not do it takes back what it had begun.
func givenAway(m proto.Migration, host string) bool {
	return slices.ContainsFunc(m.Operations, func(o proto.OperationRecord) bool {
		return o.Kind == proto.OpRetire && o.Host == host && (o.Result == nil || o.Result.Error == nil)
	})
}

func (x *tx) migrationThaw(b *proto.MigrationThaw) proto.Result {
	m, i, r := x.decide(b.Migration, b.Fence)
	if !r.OK() {
		return r
	}
	if i.State != proto.InstanceThawing {
		return stale("instance %s is %s, not thawing", i.Name(), i.State)
	}
	i.State = proto.InstanceRunning
	x.putInstance(i)
	x.putMigration(x.decided(m, proto.DecideThaw, i.Fence, ""))
	return fenced(i.Fence)
}
