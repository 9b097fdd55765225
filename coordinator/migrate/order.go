package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// order is an operation that a step wants done, and how long it puts up with its failing.
type order struct {
	kind  proto.OperationKind
	host  string
	of    string // migration in whose name it is done, if it is not the one that is walked
	round int
	facts *proto.SourceFacts
	hook  proto.HookPoint // of hooks: when
	aside bool            // of hooks: beside another operation, which is the one that is shown
	owed  bool            // of hooks: run when the host is back, if it does not answer now
	older bool            // what the host holds was decided before: it may be stopped although it has not reported all that it runs

	limit   time.Duration // after which the agent gives it up; 0: never
	silence time.Duration // see terms; 0: for ever
	stall   time.Duration // see terms; 0: for ever
	retry   time.Duration // for how long from the first failure on failures are tried again
	heard   func() time.Time
}

// is reports whether a record is of an attempt at the order under the fence.
func (o order) is(r proto.OperationRecord, fence uint64) bool {
	return r.Kind == o.kind && r.Host == o.host && r.Round == o.round && r.Hook == o.hook && r.Fence == fence
}

// last returns the record of the newest attempt at the order, and how many there were.
func last(m proto.Migration, o order, fence uint64) (r proto.OperationRecord, attempts int) {
	for _, e := range m.Operations {
		if o.is(e, fence) {
			r = e
			attempts++
		}
	}
	return r, attempts
}

// failures returns how many attempts at the order failed, and when the first did.
func failures(m proto.Migration, o order, fence uint64) (n int, first timeline.Time) {
	for _, e := range m.Operations {
		if o.is(e, fence) && e.Result != nil && e.Result.Error != nil {
			if n++; n == 1 {
				first = e.EndedAt
			}
		}
	}
	return n, first
}

// succeeded returns the result of an operation of the kind on the host that was done, under whatever fence.
func succeeded(m proto.Migration, k proto.OperationKind, host string) (proto.OperationResult, bool) {
	for _, e := range m.Operations {
		if e.Kind == k && e.Host == host && e.Result != nil && e.Result.Error == nil {
			return *e.Result, true
		}
	}
	return proto.OperationResult{}, false
}

// operationID names an attempt. It follows from the tables, so that another leader comes to the same one.
func operationID(m proto.Migration, o order, fence uint64, attempt int) string {
	what := string(o.kind)
	if o.hook != "" {
		what += "." + string(o.hook) + "." + string(sideOf(m, o.host))
	}
	return fmt.Sprintf("%s/%s/%d/%d/%d", m.ID, what, fence, o.round, attempt)
}

// name is the order in words.
func (o order) name() string {
	if o.hook != "" {
		return string(o.hook) + " " + string(o.kind)
	}
	return string(o.kind)
}

// perform has an order carried out: it records an attempt, sends it, and records its result. An attempt that was recorded and has
// no result is sent again; one that succeeded is not. The error is a *proto.Fault when the agent could not do it, else as
// that of send.
func (w *walker) perform(ctx context.Context, s scene, o order) (proto.OperationResult, error) {
	r, attempts := last(s.m, o, s.i.Fence)
	if r.Result != nil && r.Result.Error == nil {
		return *r.Result, nil
	}
	begin := attempts == 0 || r.Result != nil
	if begin {
		r = proto.OperationRecord{ID: operationID(s.m, o, s.i.Fence, attempts+1), Kind: o.kind, Host: o.host, Fence: s.i.Fence, Round: o.round, Hook: o.hook}
	}
	op, err := w.operation(s, o, r)
	if err == nil && begin {
		err = w.decide(ctx, &proto.MigrationRecord{Migration: s.m.ID, Operation: r})
	}
	if err != nil {
		return proto.OperationResult{}, err
	}
	trouble := w.trouble
	shown := func(change func(*Progress)) { w.show(w.id, change) }
	if o.aside {
		trouble, shown = func(error) {}, func(func(*Progress)) {}
	}
	shown(func(p *Progress) {
		*p = Progress{Operation: o.kind, Host: o.host, Stage: o.name(), Round: o.round, Sent: sent(s.m), Trouble: p.Trouble, Since: p.Since}
	})
	result, err := w.send(ctx, o.host, op, terms{
		silence: o.silence, stall: o.stall, heard: o.heard, trouble: trouble,
		wanted: func() bool { return w.stands(s) },
		seen: func(p proto.Progress) {
			shown(func(now *Progress) { now.Stage, now.Bytes, now.Total = p.Stage, p.Bytes, p.Total })
		},
	})
	if err != nil {
		return proto.OperationResult{}, err
	}
	w.record(ctx, s.m.ID, r, result)
	if result.Error != nil {
		return result, result.Error
	}
	return result, nil
}

// stands reports whether what a scene shows is still what holds, as far as operations depend on it.
func (w *walker) stands(s scene) bool {
	view := w.cfg.View()
	m, ok := view.Migration(s.m.ID)
	if !ok || !m.Active() {
		return false
	}
	i, _ := view.Instance(m.Instance)
	return i.Fence == s.i.Fence && m.Phase == s.m.Phase && m.Returning == s.m.Returning
}

// record commits the result of an operation, while the walk goes on: the next decision does not wait for it, the next
// step does.
func (w *walker) record(ctx context.Context, migration string, r proto.OperationRecord, result proto.OperationResult) {
	r.Result = &result
	w.recording.Go(func() {
		err := w.decide(ctx, &proto.MigrationRecord{Migration: migration, Operation: r})
		if err != nil && ctx.Err() == nil {
			w.log.Warn("the result of an operation was not recorded; it is asked for again", "operation", r.ID, "error", err)
		}
	})
}

// operation returns what is sent for an order.
func (w *walker) operation(s scene, o order, r proto.OperationRecord) (proto.Operation, error) {
	fleet := s.view.Fleet()
	if _, known := s.view.Host(o.host); !known {
		return proto.Operation{}, fmt.Errorf("host %s does not belong to the fleet any more", o.host)
	}
	if why := waits(s, o); why != "" {
		return proto.Operation{}, errors.New(why)
	}
	op := proto.Operation{
		ID: r.ID, Kind: o.kind, Migration: s.m.ID, Instance: s.m.Instance, Incarnation: fleet.Incarnation, Fence: r.Fence,
		Spec: s.i.Spec, Round: o.round, Rate: s.m.Plan.Rate, Facts: o.facts,
	}
	other := s.m.Source
	op.Spec.Type = s.m.ToType
	if o.host == s.m.Source {
		other, op.Spec.Type = s.m.Target, s.m.FromType
	}
	peer, _ := s.view.Host(other)
	op.Peer = proto.Peer{Host: other, SyncAddr: peer.Facts.SyncAddr}
	if o.of != "" {
		op.Migration = o.of
	}
	if o.limit > 0 {
		op.Deadline = timeline.Of(time.Now()).Add(o.limit)
	}
	switch {
	case o.kind == proto.OpStart:
		op.Permit = timeline.Time(permitLength.Milliseconds())
	case o.kind == proto.OpPrepareTarget && s.i.Spec.Mode == proto.Enforce && len(s.view.PausedBy(s.i, o.host)) == 0:
		kind, known := s.view.Type(op.Spec.Type)
		if !known {
			return proto.Operation{}, fmt.Errorf("instance type %s is not known any more", op.Spec.Type)
		}
		op.Max = kind.Max // as the document will say, or systemd would have to read another drop-in as soon as it comes
	case o.kind == proto.OpHook:
		op.Hook = callOf(s.m, o, r.ID)
	}
	return op, nil
}

// waits says why an order can't be sent by what agents have reported since the fleet was restored; "" when it can. What lets a host run the instance
// waits for the other one, too: that may run it, by what was decided after the backup. Whoever accepted the loss of what is there has decided already.
func waits(s scene, o order) string {
	if why := s.view.Unreported(o.host); why != "" && !o.older {
		return why
	}
	switch o.kind {
	case proto.OpStart, proto.OpConfirm, proto.OpThaw:
		if !s.m.Loss {
			return cmp.Or(s.view.Unreported(s.m.Source), s.view.Unreported(s.m.Target))
		}
	}
	return ""
}

// sent returns the bytes of all rounds that have ended.
func sent(m proto.Migration) int64 {
	var n int64
	for _, o := range m.Operations {
		if o.Result != nil && o.Result.Round != nil {
			n += o.Result.Round.Bytes
		}
	}
	return n
}

// newID returns the identifier of a request that is made once.
func newID() string { return ulid.Make().String() }
