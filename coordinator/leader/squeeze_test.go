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

// lodge puts a besteffort instance on host-b that leaves a twentieth of the least that is promised there.
func (w *drained) lodge(name string) {
	w.t.Helper()
	const most = hostHas / 100 * 90
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "big", Max: resource.Uniform(hostHas)}})
	r := w.must(&proto.InstanceApply{
		Spec:     proto.InstanceSpec{Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: "host-b", Type: "big", Class: proto.BestEffort, Mode: proto.Enforce},
		Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Uniform(most)}}, Floor: resource.Uniform(hostHas / 20),
	})
	w.must(&proto.InstanceAdopted{Instance: name, Fence: r.Fence})
}

func TestADrainHasLowerClassesYieldWhereItIsToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i", "j")
		w.sell("host-c", hostHas/100*95)
		w.lodge("batch")
		w.drain(proto.DrainGoesOn, 0)
		w.lead(time.Minute)
		if len(w.moves()) != 0 || w.state() != proto.DrainBlocked {
			t.Fatalf("%s: %q", w.state(), w.moves())
		}
		w.drain(proto.DrainNone, 0)
		w.lead(time.Minute)
		w.must(&proto.HostDrain{Host: "host-a", To: proto.DrainGoesOn, Probation: probation.Milliseconds(), Squeeze: true})
		w.lead(30 * time.Minute)
		w.want(proto.DrainDone, 2, proto.PlanDone)
		batch, _ := w.view().Reservation("batch@host-b")
		if batch.Squeezed == nil || batch.Envelope[len(batch.Envelope)-1].Firm[resource.Memory] < hostHas/20 {
			t.Fatalf("%+v", batch)
		}
		told := map[string]bool{}
		for _, m := range w.plan().Moves {
			told[m.Instance] = len(m.Yields) > 0 && strings.Contains(m.Yields[0].Why, "batch (besteffort) gives way")
		}
		if !told["i"] || !told["j"] {
			t.Errorf("%+v", w.plan().Moves)
		}
	})
}

// A move that is due, and for which others have to yield memory, holds its room from then on and begins when that has been given back.
func TestAMoveThatIsDueIsPutOffUntilMemoryIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.store("p", proto.PlanKept, planner.Request{Instance: "i", Target: "host-b"})
		p := w.stored("p")
		p.Status, p.Squeeze = proto.PlanQueued, true
		w.must(&proto.PlanPut{Plan: p, From: p.Revision})
		most := resource.Uniform(resource.Unlimited)
		w.must(&proto.TypePut{Type: proto.InstanceType{Name: "free", Max: most}})
		r := w.must(&proto.InstanceApply{
			Spec:     proto.InstanceSpec{Name: "batch", Driver: "service", Service: &proto.ServiceSpec{Unit: "batch.service"}, Host: "host-b", Type: "free", Class: proto.BestEffort, Mode: proto.Enforce},
			Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Vector{resource.CPU: 1, resource.Memory: 4090 << 20}}},
		})
		w.must(&proto.InstanceAdopted{Instance: "batch", Fence: r.Fence})
		due := timeline.Of(time.Now())
		w.lead(proto.MemoryYields - 5*time.Second)
		p = w.stored("p")
		batch, _ := w.s.View().Reservation("batch@host-b")
		if len(w.migrations()) != 0 || w.holds("p") != 3 || batch.Squeezed == nil || p.Moves[0].Start < due.Add(proto.MemoryYields) || len(p.Moves[0].Yields) != 1 {
			t.Fatalf("begun %q, %d held, squeezed %+v, %+v", w.migrations(), w.holds("p"), batch.Squeezed, p.Moves[0])
		}
		w.lead(15 * time.Second)
		if got := w.migrations(); len(got) != 1 || w.holds("p") != 0 {
			t.Fatalf("%q, %d held: %+v", got, w.holds("p"), w.stored("p"))
		}
		if again, _ := w.s.View().Reservation("batch@host-b"); again.Revision != batch.Revision {
			t.Errorf("it yielded again: %+v", again)
		}
	})
}
