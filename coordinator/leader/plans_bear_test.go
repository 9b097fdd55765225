package leader

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// fill holds so much CPU of host-b for a time.
func (w *planned) fill(id string, cpu int64, lasts time.Duration) {
	w.t.Helper()
	now := timeline.Of(time.Now())
	span := timeline.Span{Start: now, End: now.Add(lasts)}
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{{
		ID: id, Host: "host-b", Class: proto.Critical, Purpose: proto.PurposeHold, Until: span.End,
		Envelope: proto.FirmEnvelope(timeline.Flat(span, resource.Vector{resource.CPU: cpu})),
	}}})
}

// disk says how much of host-b's disk is free.
func (w *planned) disk(free int64) {
	w.t.Helper()
	f := hostOf("host-b", room)
	f.DiskFree = free
	w.must(&proto.HostRegister{Incarnation: 1, Facts: f})
}

func TestAPlanBearsWhatPassesForAsLongAsItHasTime(t *testing.T) {
	for name, c := range map[string]struct {
		full, free func(*planned)
		says       string
	}{
		"room that others hold for a while": {func(w *planned) { w.fill("busy", room-takes/2, 2*time.Hour) }, func(*planned) { time.Sleep(time.Hour) }, "host-b is short of cpu"},
		"a disk that is full":               {func(w *planned) { w.disk(1) }, func(w *planned) { w.disk(1 << 40) }, "of its disk are free"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newPlanned(t)
				w.store("p", proto.PlanKept, planner.Request{Instance: "i", Target: "host-b", Before: after(6 * time.Hour)})
				w.must(&proto.PlanChange{ID: "p", From: proto.PlanKept, To: proto.PlanQueued})
				c.full(w)
				w.lead(time.Hour)
				if p := w.stored("p"); p.Status != proto.PlanQueued || len(w.migrations()) != 0 || !strings.Contains(p.Reason, c.says) {
					t.Fatalf("%s: %s, %q", p.Status, p.Reason, w.migrations())
				}
				if n := len(w.asked); n < 1 || n > 6 { // an hour: each reason has its figures
					t.Errorf("%d commands say why it waits", n)
				}
				c.free(w)
				w.lead(planAgainMost)
				if p := w.stored("p"); p.Status != proto.PlanRunning || p.Reason != "" {
					t.Errorf("%s: %s", p.Status, p.Reason)
				}
			})
		})
	}
}

func TestAPlanDoesNotBearWhatPassesBeyondItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.store("p", proto.PlanKept, planner.Request{Instance: "i", Target: "host-b", Before: after(2 * time.Hour)})
		w.must(&proto.PlanChange{ID: "p", From: proto.PlanKept, To: proto.PlanQueued})
		w.disk(1)
		w.lead(2*time.Hour - time.Minute)
		if p := w.stored("p"); p.Status != proto.PlanQueued {
			t.Fatalf("%s: %s", p.Status, p.Reason)
		}
		w.lead(2 * time.Minute)
		if p := w.stored("p"); p.Status != proto.PlanStale || !strings.Contains(p.Reason, "it had to be over by") {
			t.Errorf("%s: %s", p.Status, p.Reason)
		}
	})
}

func TestAPlanIsStaleWhoseRoomComesBackTooLateForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.store("p", proto.PlanKept, planner.Request{Instance: "i", Target: "host-b", Before: after(2 * time.Hour)})
		w.must(&proto.PlanChange{ID: "p", From: proto.PlanKept, To: proto.PlanQueued})
		w.fill("busy", room-takes/2, 3*time.Hour)
		w.lead(time.Minute)
		if p := w.stored("p"); p.Status != proto.PlanStale || !strings.Contains(p.Reason, "host-b is short of cpu") {
			t.Errorf("%s: %s", p.Status, p.Reason)
		}
	})
}

func TestAMoveThatIsRefusedIsAskedForLessAndLessAndLetsOthersGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.adopt("j")
		policy := proto.DefaultPolicy()
		policy.MovesHost, policy.MovesFleet = 1, 1
		w.must(&proto.PolicyPut{Policy: policy})
		w.store("p", proto.PlanQueued, planner.Request{Instance: "i", Target: "host-b", Before: after(6 * time.Hour)}) // its turn comes first
		w.store("q", proto.PlanQueued, planner.Request{Instance: "j", Target: "host-c"})
		w.disk(1)
		w.lead(time.Hour)
		if got := w.migrations(); len(got) != 1 || !strings.HasSuffix(got[0], " j to host-c") {
			t.Errorf("%q", got)
		}
		w.end(proto.OutcomeCompleted)
		before := w.asks["i"]
		w.lead(time.Hour)
		if n := w.asks["i"] - before; n < 20 || n > 40 {
			t.Errorf("asked %d times in an hour", n)
		}
	})
}

func TestAHomeThatDoesNotAnswerHoldsUpOnlyItsOwnMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.adopt("j")
		w.hung = map[string]bool{"i": true}
		w.store("p", proto.PlanQueued, planner.Request{Instance: "i", Target: "host-b", Before: after(6 * time.Hour)}) // its turn comes first
		w.store("q", proto.PlanQueued, planner.Request{Instance: "j", Target: "host-c"})
		w.lead(2 * time.Second)
		if got := w.migrations(); len(got) != 1 || !strings.HasSuffix(got[0], " j to host-c") {
			t.Errorf("%q", got)
		}
	})
}

func TestMovesThatWaitForLinksHoldUpNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.adopt("j")
		policy := proto.DefaultPolicy()
		policy.MovesHost, policy.MovesFleet = 1, 1
		w.must(&proto.PolicyPut{Policy: policy})
		for id, r := range map[string]planner.Request{
			"p": {Instance: "i", Target: "host-b", Before: after(6 * time.Hour)}, // its turn comes first
			"q": {Instance: "j", Target: "host-c"},
		} {
			w.store(id, proto.PlanKept, r)
			w.must(&proto.PlanChange{ID: id, From: proto.PlanKept, To: proto.PlanQueued})
		}
		now := timeline.Of(time.Now())
		span := timeline.Span{Start: now, End: now.Add(2 * time.Hour)}
		w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{{
			ID: "backup", Host: "host-b", Class: proto.Critical, Purpose: proto.PurposeHold, Until: span.End,
			Envelope: proto.FirmEnvelope(timeline.Flat(span, resource.Vector{resource.NetRx: 995_000_000})), // of 1 Gbit/s
		}}})
		w.lead(time.Minute)
		if got := w.migrations(); len(got) != 1 || !strings.HasSuffix(got[0], " j to host-c") {
			t.Fatalf("%q", got)
		}
		w.end(proto.OutcomeCompleted)
		w.lead(2 * time.Hour)
		if got := w.migrations(); len(got) != 2 || w.stored("p").Status != proto.PlanRunning {
			t.Errorf("%q: %s", got, w.stored("p").Reason)
		}
	})
}
