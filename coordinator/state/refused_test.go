package state

import (
	"testing"

	"github.com/glidepath/glidepath/proto"
)

// refuse records that a host refused, or could not.
func refuse(w *world, m, id, host string, fence uint64, fault *proto.Fault) {
	o := proto.OperationRecord{ID: id, Kind: proto.OpRefuse, Host: host, Fence: fence}
	w.must(&proto.MigrationRecord{Migration: m, Operation: o})
	o.Result = &proto.OperationResult{ID: id, Error: fault}
	w.must(&proto.MigrationRecord{Migration: m, Operation: o})
}

func TestAConfirmedMigrationIsAbortedOnlyWhenItsTargetHasRefused(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.copying("m", "i", "b", 70)
	f := w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")}).Fence
	refuse(w, "m", "early", "b", f, nil) // under the freeze's fence: says nothing about the commit's
	f = w.must(&proto.MigrationCommit{Migration: "m", Fence: f}).Fence
	w.must(&proto.MigrationConfirm{Migration: "m", Fence: f, Until: w.now + 600_000})
	abort := &proto.MigrationAbort{Migration: "m", Fence: f, Reason: "the permit ran out"}
	w.want(proto.ResultRefused, abort)
	refuse(w, "m", "failed", "b", f, &proto.Fault{Code: proto.FaultRefused, What: "it is the owner"})
	refuse(w, "m", "source", "a", f, nil)
	w.want(proto.ResultRefused, abort)
	refuse(w, "m", "done", "b", f, nil)
	f = w.must(abort).Fence
	if i := w.instance("i"); i.Owner != "a" || i.State != proto.InstanceThawing || i.Spec.Type != "small" || i.Fence != f {
		t.Fatalf("%+v", i)
	}
	w.must(&proto.MigrationThaw{Migration: "m", Fence: f})
	w.must(&proto.MigrationEnd{Migration: "m", Outcome: proto.OutcomeAborted})
	if r, ok := w.s.View().ReservationOf("i", "a"); !ok || r.Purpose != proto.PurposeInstance || r.Until != 0 {
		t.Fatalf("the source lives with %+v", r)
	}
	if _, left := w.s.View().ReservationOf("i", "b"); left {
		t.Fatal("the target's reservation is left")
	}
}

func TestAConfirmedReturnWhoseTargetRefusedLeavesTheMigrationAsItWas(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.settled("m", "i", "b", 70)
	f := w.must(returning(w)).Fence
	w.must(&proto.MigrationAdvance{Migration: "back", From: proto.PhasePrepare, To: proto.PhaseCopy})
	f = w.must(&proto.MigrationFreeze{Migration: "back", Fence: f}).Fence
	f = w.must(&proto.MigrationCommit{Migration: "back", Fence: f}).Fence
	w.must(&proto.MigrationConfirm{Migration: "back", Fence: f, Until: w.now + 600_000})
	refuse(w, "back", "done", "a", f, nil)
	f = w.must(&proto.MigrationAbort{Migration: "back", Fence: f}).Fence
	w.must(&proto.MigrationThaw{Migration: "back", Fence: f})
	w.must(&proto.MigrationEnd{Migration: "back", Outcome: proto.OutcomeAborted})
	if m := w.migration("m"); m.Phase != proto.PhaseSettle || m.Returning != "" {
		t.Fatalf("%s, returned by %q", m.Phase, m.Returning)
	}
	if slot, ok := w.s.View().ReservationOf("i", "a"); !ok || slot.Purpose != proto.PurposeMigration || slot.Migration != "m" {
		t.Fatalf("the slot that is kept: %+v", slot)
	}
	w.must(&proto.MigrationComplete{Migration: "m", Fence: f})
}
