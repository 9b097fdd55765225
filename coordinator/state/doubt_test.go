package state

import (
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestWhatHangsBetweenTwoHostsIsInDoubtAfterAWhile(t *testing.T) {
	freeze := func(w *world) uint64 {
		w.copying("m", "i", "b", 70)
		return w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")}).Fence
	}
	record := func(w *world, k proto.OperationKind, host string, fault *proto.Fault) {
		w.must(&proto.MigrationRecord{Migration: "m", Operation: proto.OperationRecord{
			ID: "o-" + string(k), Kind: k, Host: host, Fence: w.fence("i"), Result: &proto.OperationResult{ID: "o", Error: fault},
		}})
	}
	confirm := func(w *world) {
		f := w.must(&proto.MigrationCommit{Migration: "m", Fence: freeze(w)}).Fence
		w.must(&proto.MigrationConfirm{Migration: "m", Fence: f, Until: w.now + 1000})
	}
	for name, c := range map[string]struct {
		begin func(w *world)
		after time.Duration // 0: at once; below 0: never
		says  string
	}{
		"copied":                   {func(w *world) { w.copying("m", "i", "b", 70) }, -1, ""},
		"frozen":                   {func(w *world) { freeze(w) }, 2 * time.Minute, "migration abort m"},
		"starting":                 {func(w *world) { w.must(&proto.MigrationCommit{Migration: "m", Fence: freeze(w)}) }, 210 * time.Second, "migration abort m"},
		"confirmed, and not heard": {confirm, time.Minute, "migration abort m --accept-loss"},
		"confirmed, and heard":     {func(w *world) { confirm(w); record(w, proto.OpConfirm, "b", nil) }, -1, ""},
		"thawing":                  {func(w *world) { w.must(&proto.MigrationAbort{Migration: "m", Fence: freeze(w)}) }, time.Minute, "host forget a --dead"},
		"thawing, and somebody has its address": {func(w *world) {
			w.must(&proto.MigrationAbort{Migration: "m", Fence: freeze(w)})
			record(w, proto.OpThaw, "a", &proto.Fault{Code: proto.FaultInDoubt, What: "the address is in use", Remedy: "find that host"})
		}, 0, "find that host"},
		"back": {func(w *world) {
			f := w.must(&proto.MigrationAbort{Migration: "m", Fence: freeze(w)}).Fence
			w.must(&proto.MigrationThaw{Migration: "m", Fence: f})
		}, -1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.adopt("i", "a", 40)
			c.begin(w)
			at := func(d time.Duration) []Doubt { return w.s.View().InDoubt(w.now.Add(d)) }
			if c.after < 0 {
				if d := at(24 * time.Hour); len(d) > 0 {
					t.Errorf("%+v", d)
				}
				return
			}
			if d := at(c.after - time.Millisecond); c.after > 0 && len(d) > 0 {
				t.Errorf("too early: %+v", d)
			}
			d := at(c.after)
			if len(d) != 1 || d[0].Instance != "i" || d[0].Migration != "m" || d[0].Since == 0 || !strings.Contains(strings.Join(d[0].Decide, "\n"), c.says) {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestAnAdoptionWhoseAddressSomebodyHasIsInDoubt(t *testing.T) {
	w := newWorld(t)
	w.must(&proto.InstanceApply{Spec: spec("i", "a"), Envelope: open(40)})
	w.must(&proto.InstanceAdopted{Instance: "i", Fence: w.fence("i"), Fault: &proto.Fault{Code: proto.FaultInDoubt, What: "in use", Remedy: "find it"}})
	if d := w.s.View().InDoubt(timeline.Time(0)); len(d) != 1 || d[0].Decide[0] != "find it" {
		t.Errorf("%+v", d)
	}
}
