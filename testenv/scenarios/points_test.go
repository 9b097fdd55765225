//go:build linux

package scenarios

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// point is something that a migration is at one time and not at another.
type point struct {
	name string
	slow bool // the link is held slow until harm is done, as it lasts too shortly otherwise
	// holds says by a migration's record whether it was at the point at a time.
	holds func(proto.Migration, timeline.Time) bool
}

// Points of a migration.
var (
	ended    = point{name: "ended", holds: func(m proto.Migration, _ timeline.Time) bool { return !m.Active() }}
	warm     = point{name: "warm", holds: func(m proto.Migration, _ timeline.Time) bool { return m.Phase == proto.PhaseWarm }}
	copying  = point{name: "copying", slow: true, holds: unanswered(proto.OpSyncRound)}
	frozen   = point{name: "between freeze and commit", holds: decided(proto.DecideFreeze)}
	starting = point{name: "between commit and confirmation", holds: decided(proto.DecideCommit)}
)

// unanswered says whether an operation of a kind had been sent, and had no result yet.
func unanswered(kind proto.OperationKind) func(proto.Migration, timeline.Time) bool {
	return func(m proto.Migration, at timeline.Time) bool {
		return slices.ContainsFunc(m.Operations, func(o proto.OperationRecord) bool {
			return o.Kind == kind && o.SentAt <= at && (o.Result == nil || o.EndedAt > at)
		})
	}
}

// decided says whether a decision was the last one.
func decided(kind proto.DecisionKind) func(proto.Migration, timeline.Time) bool {
	return func(m proto.Migration, at timeline.Time) bool {
		var last proto.DecisionKind
		for _, d := range m.Decisions {
			if d.At <= at {
				last = d.Kind
			}
		}
		return last == kind
	}
}

// broke says whether an operation that was under way when harm began failed before that was done: it was hit.
func broke(m proto.Migration, began, done timeline.Time) bool {
	return slices.ContainsFunc(m.Operations, func(o proto.OperationRecord) bool {
		return o.SentAt <= began && began < o.EndedAt && o.EndedAt <= done && o.Result != nil && o.Result.Error != nil
	})
}

// when waits until a migration is at a point.
func (tr *trial) when(id string, p point) proto.Migration {
	tr.Helper()
	var m proto.Migration
	tr.wait("the migration is "+p.name, moveWithin, func() (bool, error) {
		var err error
		if m, err = tr.f.Migration(tr.ctx, id); err != nil {
			return false, err
		}
		is := p.holds(m, timeline.Of(time.Now()))
		if !is && !m.Active() {
			tr.Fatalf("migration %s was %s before it was %s: %s", id, m.Outcome, p.name, m.Reason)
		}
		return is, nil
	})
	return m
}

// strike does harm to a migration that is at a point. It returns what checks, when the migration has ended, that the harm was not done too late:
// by its record it was at the point still. The coordinators that keep the record have this machine's clock.
func (tr *trial) strike(id string, p point, harm func() error) (hit func(proto.Migration)) {
	tr.Helper()
	if p.slow {
		must(tr.T, tr.f.VM.Slow(tr.ctx, tr.target, heldOpen))
		defer func() { must(tr.T, tr.f.VM.Slow(context.WithoutCancel(tr.ctx), tr.target, 0)) }()
	}
	tr.when(id, p)
	began := timeline.Of(time.Now())
	must(tr.T, harm())
	done := timeline.Of(time.Now())
	tr.Logf("harmed within %s", done.Sub(began))
	return func(m proto.Migration) {
		tr.Helper()
		if p.holds(m, done) || broke(m, began, done) {
			return
		}
		text := ""
		for _, d := range m.Decisions {
			text += fmt.Sprintf(", %s at %s", d.Kind, d.At)
		}
		for _, o := range m.Operations {
			text += fmt.Sprintf(", %s on %s from %s to %s", o.Kind, o.Host, o.SentAt, o.EndedAt)
		}
		tr.Errorf("the harm was done too late: at %s the migration was not %s any more%s", done, p.name, text)
	}
}

func TestAPointIsKnownByTheRecord(t *testing.T) {
	m := proto.Migration{
		Operations: []proto.OperationRecord{
			{Kind: proto.OpSyncRound, Round: 1, SentAt: 10, EndedAt: 20, Result: &proto.OperationResult{}},
			{Kind: proto.OpSyncRound, Round: 2, SentAt: 25, EndedAt: 30, Result: &proto.OperationResult{}},
			{Kind: proto.OpFinalSync, SentAt: 45},
		},
		Decisions: []proto.Decision{{Kind: proto.DecideFreeze, At: 40}, {Kind: proto.DecideCommit, At: 50}, {Kind: proto.DecideAbort, At: 60}},
	}
	for _, p := range []point{copying, frozen, starting} {
		var held []timeline.Time
		for at := timeline.Time(5); at < 70; at += 5 {
			if p.holds(m, at) {
				held = append(held, at)
			}
		}
		want := map[string][]timeline.Time{copying.name: {10, 15, 25}, frozen.name: {40, 45}, starting.name: {50, 55}}[p.name]
		if !slices.Equal(held, want) {
			t.Errorf("%s at %d, want %d", p.name, held, want)
		}
	}
}

func TestWhatFailedWhileHarmWasDoneWasHit(t *testing.T) {
	failed := &proto.OperationResult{Error: &proto.Fault{Code: proto.FaultStalled}}
	for _, test := range []struct {
		record proto.OperationRecord
		want   bool
	}{
		{proto.OperationRecord{SentAt: 10, EndedAt: 25, Result: failed}, true},
		{proto.OperationRecord{SentAt: 10, EndedAt: 25, Result: &proto.OperationResult{}}, false}, // it was done by then
		{proto.OperationRecord{SentAt: 10, EndedAt: 15, Result: failed}, false},                   // for another reason
		{proto.OperationRecord{SentAt: 22, EndedAt: 25, Result: failed}, false},                   // it came later
	} {
		if got := broke(proto.Migration{Operations: []proto.OperationRecord{test.record}}, 20, 30); got != test.want {
			t.Errorf("%+v was hit: %v", test.record, got)
		}
	}
}
