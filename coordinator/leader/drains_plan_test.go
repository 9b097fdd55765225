package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestADrainThatMissesItsDeadlineGoesOnWithWhatIsNotStuck(t *testing.T) {
	stuck := func(names ...string) *proto.Blocked {
		if names == nil {
			return nil
		}
		return &proto.Blocked{Instances: names}
	}
	no := &planner.Refusal{Reason: "the host is to be empty by then, which is past"}
	for name, c := range map[string]struct {
		kept, late       *proto.Blocked
		keptErr, lateErr error
		want             bool // that it is planned without its deadline
	}{
		"it is met":                             {},
		"all of it leaves later":                {kept: stuck("i", "j"), want: true},
		"some of it leaves later":               {kept: stuck("i", "j"), late: stuck("i"), want: true},
		"the same is stuck later":               {kept: stuck("i"), late: stuck("i")},
		"it is refused":                         {keptErr: no, late: stuck("i"), want: true},
		"it is refused, and later, too":         {keptErr: no, lateErr: no},
		"what it needs to know is not told":     {keptErr: errors.New("no answer")},
		"it is told for once, and then no more": {kept: stuck("i"), lateErr: errors.New("no answer")},
	} {
		var asked []timeline.Time
		d := &Drains{Plan: func(_ context.Context, in planner.DrainInput) (proto.StoredPlan, error) {
			asked = append(asked, in.Deadline)
			p := proto.StoredPlan{Deadline: in.Deadline, Blocked: c.kept}
			if in.Deadline == 0 {
				p.Blocked = c.late
				return p, c.lateErr
			}
			return p, c.keptErr
		}}
		got, err := d.planned(t.Context(), emptying{now: 1, drain: proto.Drain{Deadline: 1000}})
		if late := err == nil && got.Deadline == 0; late != c.want || (err != nil) != (c.keptErr != nil && !c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if says := slices.ContainsFunc(got.Says, func(s string) bool { return strings.Contains(s, "can't be kept") }); err == nil && says != c.want {
			t.Errorf("%s: %q", name, got.Says)
		}
		if c.keptErr != nil && !errors.Is(c.keptErr, no) && len(asked) > 1 {
			t.Errorf("%s: it was asked %d times", name, len(asked))
		}
	}
}

func TestADrainWhoseHomeDoesNotAnswerHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i")
		w.must(&proto.HostRegister{Incarnation: 1, Facts: hostOf("host-0", room)}) // looked at first
		r := w.must(&proto.InstanceApply{
			Spec:     proto.InstanceSpec{Name: "z", Driver: "service", Service: &proto.ServiceSpec{Unit: "z.service"}, Host: "host-0", Type: "small", Class: proto.Standard, Mode: proto.Observe},
			Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}}},
		})
		w.must(&proto.InstanceAdopted{Instance: "z", Fence: r.Fence})
		w.must(&proto.HostDrain{Host: "host-0", To: proto.DrainGoesOn})
		w.hung = "host-0"
		w.drain(proto.DrainGoesOn, 0)
		w.lead(5 * time.Second)
		if got := w.moves(); len(got) != 1 || !strings.HasPrefix(got[0], "i ") {
			t.Errorf("%q", got)
		}
		for _, to := range []proto.DrainState{proto.DrainPaused, proto.DrainGoesOn} {
			w.must(&proto.HostDrain{Host: "host-0", From: w.stateOf("host-0"), To: to})
		}
		w.hung = ""
		w.lead(10 * time.Second)
		if got := w.moves(); len(got) != 2 {
			t.Errorf("%q once it answers", got)
		}
	})
}

func TestWhatWasPlannedForADrainThatIsPausedMeanwhileIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i")
		w.slow = 5 * time.Second
		w.drain(proto.DrainGoesOn, 0)
		done := make(chan bool)
		go func() {
			defer close(done)
			time.Sleep(3 * time.Second)
			w.drain(proto.DrainPaused, 0)
		}()
		w.lead(20 * time.Second)
		<-done
		if p := w.plan(); p.ID != "" || len(w.moves()) != 0 {
			t.Fatalf("%s, %q", fmt.Sprint(p), w.moves())
		}
		w.drain(proto.DrainGoesOn, 0)
		w.lead(10 * time.Second)
		if got := w.moves(); len(got) != 1 {
			t.Errorf("%q", got)
		}
	})
}

func TestALookAtManyDrainsLooksAtEachPlanOnce(t *testing.T) {
	const each = 4
	allocations := func(hosts int) float64 {
		w := newDrained(t)
		for n := range hosts {
			host := fmt.Sprintf("d%02d", n)
			w.must(&proto.HostRegister{Incarnation: 1, Facts: hostOf(host, room)})
			plan := proto.StoredPlan{ID: host, Kind: proto.PlanDrain, Host: host, Status: proto.PlanQueued}
			for i := range each {
				name := fmt.Sprintf("%s-%d", host, i)
				r := w.must(&proto.InstanceApply{
					Spec:     proto.InstanceSpec{Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: host, Type: "small", Class: proto.Standard, Mode: proto.Observe},
					Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}}},
				})
				w.must(&proto.InstanceAdopted{Instance: name, Fence: r.Fence})
				plan.Moves = append(plan.Moves, proto.Move{Instance: name, Source: host, Target: "host-b", FromType: "small", ToType: "small", Start: timeline.Of(time.Now())})
			}
			w.must(&proto.HostDrain{Host: host, To: proto.DrainGoesOn})
			w.must(&proto.PlanPut{Plan: plan})
		}
		d := &Drains{View: w.view, Log: slog.New(slog.DiscardHandler), Propose: func(_ context.Context, body proto.Body) (proto.Result, error) {
			t.Errorf("%s is asked for", body.Command())
			return proto.Result{}, nil
		}}
		return testing.AllocsPerRun(3, func() {
			if err := d.round(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	if few, many := allocations(10), allocations(40); many > 6*few {
		t.Errorf("with 10 hosts that are emptied a look takes %.0f allocations, with 40 it takes %.0f", few, many)
	}
}
