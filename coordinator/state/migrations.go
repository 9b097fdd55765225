package state

import (
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// maxResult is how large the record of one operation may be, in bytes.
const maxResult = 64 << 10

func (x *tx) putMigration(m proto.Migration) {
	if old, there := x.migrations.get(m.ID); there && !old.Active() {
		x.ended.drop(endedKey(old))
	}
	put(x, x.migrations, m.ID, m)
	x.note(m)
}

// enter returns the migration in another phase.
func (x *tx) enter(m proto.Migration, p proto.Phase) proto.Migration {
	m.Phase = p
	m.Phases = append(slices.Clone(m.Phases), proto.PhaseEntry{Phase: p, At: x.now})
	return m
}

func (x *tx) migrationStart(b *proto.MigrationStart) proto.Result {
	return x.begin(b, beginning{counts: proto.Migration.Active})
}

// migrationAdmit begins a migration for which others yield.
func (x *tx) migrationAdmit(b *proto.MigrationAdmit) proto.Result {
	return x.begin(&b.Start, beginning{counts: proto.Migration.Active, yield: b.Yield})
}

// beginning is how a migration begins, beside its plan.
type beginning struct {
	counts  func(proto.Migration) bool // those that go on and count for how many may at once
	segment int                        // of those, how many may be in the segment of the source; 0: any number
	release []string                   // reservations that are given back for it
	yield   []proto.Yield
}

func (x *tx) begin(b *proto.MigrationStart, how beginning) proto.Result {
	p := b.Plan
	if err := proto.ValidID("migration", b.ID); err != nil {
		return invalid("%s", err)
	}
	if x.migrations.has(b.ID) {
		return conflict("there is a migration %s", b.ID)
	}
	i, ok := x.instances.get(p.Instance)
	if !ok {
		return missing("instance", p.Instance)
	}
	if i.Migration != "" {
		return conflict("instance %s is moved by migration %s already", i.Name(), i.Migration)
	}
	if i.State != proto.InstanceRunning {
		return refused("instance %s is %s: only a running one can be moved", i.Name(), i.State)
	}
	if p.Fence != i.Fence || p.Source != i.Owner || p.FromType != i.Spec.Type {
		return stale("the plan is for instance %s on %s, type %s, fence %d; it is on %s, type %s, fence %d now: plan again",
			i.Name(), p.Source, p.FromType, p.Fence, i.Owner, i.Spec.Type, i.Fence)
	}
	if r := x.mayMove(p, how); !r.OK() {
		return r
	}
	target := b.Reservation
	target.Host, target.Instance, target.Migration, target.Class = p.Target, i.Name(), b.ID, i.Spec.Class
	target.Purpose, target.Forced = proto.PurposeMigration, false
	if !target.Envelope.Open() || target.Until <= x.now || target.Until >= timeline.Forever {
		return invalid("reservation %s for migration %s has to be open, so that %s can stay, and to lapse later than now", target.ID, b.ID, i.Name())
	}
	if r := x.withinType(target, p.ToType); !r.OK() {
		return r
	}
	extra, ids, res := extras(b.Extra, b.ID, p)
	if !res.OK() {
		return res
	}
	c := ledger.Change{Hold: append(extra, target), Release: how.release}
	yields, res := x.yields(c, how.yield, yielding{by: func(string) proto.Class { return i.Spec.Class }})
	if !res.OK() {
		return res
	}
	if r := x.reserve(c, yields...); !r.OK() {
		return r
	}
	x.tellYields(yields)
	m := x.enter(proto.Migration{
		ID: b.ID, Instance: i.Name(), Source: p.Source, Target: p.Target, FromType: p.FromType, ToType: p.ToType, Plan: p,
		SourceReservation: i.Reservation, TargetReservation: target.ID, Extra: ids, StartedBy: x.actor, CreatedAt: x.now,
	}, proto.PhasePrepare)
	i.Migration = m.ID
	x.putMigration(m)
	x.putInstance(i)
	return fenced(i.Fence)
}

// mayMove checks what a new migration needs of its hosts and types, and how many there are already.
func (x *tx) mayMove(p proto.Plan, how beginning) proto.Result {
	if p.Target == p.Source {
		return refused("instance %s is on %s already: name another target", p.Instance, p.Target)
	}
	if !x.types.has(p.ToType) {
		return missing("instance type", p.ToType)
	}
	target, ok := x.hosts.get(p.Target)
	if !ok {
		return missing("host", p.Target)
	}
	if target.Cordoned {
		return refused("host %s is cordoned: nothing new is placed there; uncordon it first", p.Target)
	}
	if r := x.reported(p.Source, p.Target); !r.OK() {
		return r
	}
	total, near, at := 0, 0, map[string]int{}
	segment := x.segment(p.Source)
	for m := range x.ActiveMigrations() {
		if !how.counts(m) {
			continue
		}
		total++
		at[m.Source]++
		at[m.Target]++
		if x.segment(m.Source) == segment {
			near++
		}
	}
	if limit := x.fleet.Policy.MovesFleet; total >= limit {
		return refused("%s going on: the policy allows %d at once", proto.CountIs(total, "migration", "is", "are"), limit)
	}
	if how.segment > 0 && near >= how.segment {
		return refused("%s over the segment %q of %s: the policy allows %d at once", proto.CountIs(near, "migration", "transfers", "transfer"), segment, p.Source, how.segment)
	}
	for _, host := range []string{p.Source, p.Target} {
		if limit := x.fleet.Policy.MovesHost; at[host] >= limit {
			return refused("%s %s: the policy allows %d at once", proto.CountIs(at[host], "migration", "touches", "touch"), host, limit)
		}
	}
	return done()
}

// segment returns the L2 segment of a host.
func (v *View) segment(host string) string {
	h, _ := v.hosts.get(host)
	return h.Facts.Segment
}

// Unreported returns why a host is not operated: its agent has not yet told this incarnation what it runs. It is "" for one that has.
func (v *View) Unreported(host string) string {
	h, known := v.hosts.get(host)
	if !known || h.Incarnation == v.fleet.Incarnation {
		return ""
	}
	return fmt.Sprintf("host %s has not yet reported what it runs to incarnation %d: it is not operated before; is its agent running?", host, v.fleet.Incarnation)
}

// reported refuses to operate on hosts whose agents have not yet told this incarnation what they run.
func (x *tx) reported(hosts ...string) proto.Result {
	for _, name := range hosts {
		h, ok := x.hosts.get(name)
		if !ok {
			return missing("host", name)
		}
		if h.Incarnation != x.fleet.Incarnation {
			return refused("host %s has not yet reported what it runs to incarnation %d: wait for its agent", name, x.fleet.Incarnation)
		}
	}
	return done()
}

// extras checks and completes the reservations that a transfer needs, and returns their identifiers, sorted.
func extras(list []proto.Reservation, migration string, p proto.Plan) ([]proto.Reservation, []string, proto.Result) {
	var out []proto.Reservation
	var ids []string
	for _, r := range list {
		if r.Host != p.Source && r.Host != p.Target {
			return nil, nil, invalid("reservation %s is on %s, but migration %s goes from %s to %s", r.ID, r.Host, migration, p.Source, p.Target)
		}
		if r.End() >= timeline.Forever {
			return nil, nil, invalid("reservation %s of the transfer has to end", r.ID)
		}
		r.Instance, r.Migration, r.Purpose, r.Forced = "", migration, proto.PurposeMigration, false
		out = append(out, r)
		ids = insert(ids, r.ID)
	}
	return out, ids, done()
}

// moving returns an active migration, whose way back has not begun, and its instance.
func (x *tx) moving(id string) (proto.Migration, proto.Instance, proto.Result) {
	m, ok := x.migrations.get(id)
	if !ok {
		return m, proto.Instance{}, missing("migration", id)
	}
	if !m.Active() {
		return m, proto.Instance{}, stale("migration %s has ended: %s", id, m.Outcome)
	}
	if m.Returning != "" {
		return m, proto.Instance{}, conflict("migration %s is being returned by migration %s", id, m.Returning)
	}
	i, ok := x.instances.get(m.Instance)
	if !ok || i.Migration != id {
		return m, i, stale("migration %s does not move instance %s any more", id, m.Instance)
	}
	return m, i, done()
}

func (x *tx) migrationAdvance(b *proto.MigrationAdvance) proto.Result {
	m, i, r := x.moving(b.Migration)
	if !r.OK() {
		return r
	}
	if m.Phase != b.From {
		return stale("migration %s is in phase %s, not %s", m.ID, m.Phase, b.From)
	}
	next := map[proto.Phase]proto.Phase{proto.PhasePrepare: proto.PhaseCopy, proto.PhaseWarm: proto.PhaseSettle}
	if to, ok := next[b.From]; !ok || to != b.To {
		return invalid("migration %s cannot advance from %s to %s: a decision takes it there, or nothing does", m.ID, b.From, b.To)
	}
	x.putMigration(x.enter(m, b.To))
	return fenced(i.Fence)
}

// migrationRecord records an operation of the fence that holds; the result of one that was recorded may come later.
func (x *tx) migrationRecord(b *proto.MigrationRecord) proto.Result {
	o := b.Operation
	if err := proto.ValidID("operation", o.ID); err != nil {
		return invalid("%s", err)
	}
	m, ok := x.migrations.get(b.Migration)
	if !ok {
		return missing("migration", b.Migration)
	}
	if x.size > maxResult {
		return invalid("the record of operation %s has %d bytes: at most %d are kept", o.ID, x.size, maxResult)
	}
	if o.Host != m.Source && o.Host != m.Target {
		return invalid("operation %s is for %s, but migration %s goes from %s to %s", o.ID, o.Host, m.ID, m.Source, m.Target)
	}
	at := slices.IndexFunc(m.Operations, func(e proto.OperationRecord) bool { return e.ID == o.ID })
	if at < 0 {
		return x.newOperation(m, o)
	}
	old := m.Operations[at]
	if old.Kind != o.Kind || old.Host != o.Host || old.Hook != o.Hook || old.Fence != o.Fence {
		return conflict("operation %s is %s on %s under fence %d", o.ID, old.Kind, old.Host, old.Fence)
	}
	if old.Result != nil && o.Result != nil && !equal(old.Result, o.Result) {
		return conflict("operation %s has another result already", o.ID)
	}
	if old.Result == nil && o.Result != nil {
		m.Operations = slices.Clone(m.Operations)
		m.Operations[at].Result, m.Operations[at].EndedAt = o.Result, x.now
		x.putMigration(m)
	}
	return done()
}

func (x *tx) newOperation(m proto.Migration, o proto.OperationRecord) proto.Result {
	m, i, r := x.moving(m.ID)
	if !r.OK() {
		return r
	}
	if o.Fence != i.Fence {
		return stale("operation %s is under fence %d, instance %s under %d", o.ID, o.Fence, i.Name(), i.Fence)
	}
	if len(m.Operations) >= proto.MaxOperations {
		return refused("migration %s has %d operations: no more are recorded; abort it", m.ID, len(m.Operations))
	}
	o.SentAt, o.EndedAt = x.now, 0
	if o.Result != nil {
		o.EndedAt = x.now
	}
	m.Operations = append(slices.Clone(m.Operations), o)
	x.putMigration(m)
	return fenced(i.Fence)
}

func (x *tx) migrationPrune(b *proto.MigrationPrune) proto.Result {
	var old []row[ended]
	x.ended.rows.Ascend(func(r row[ended]) bool {
		m, _ := x.migrations.get(r.record.id)
		if m.EndedAt < b.Before {
			old = append(old, r)
		}
		return m.EndedAt < b.Before
	})
	for _, r := range old {
		x.ended.drop(r.key)
		drop(x, x.migrations, r.record.id)
	}
	return done()
}
