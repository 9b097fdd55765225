package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// planned is a fleet of three hosts with an instance on host-a, in a bubble of time.
type planned struct {
	t     *testing.T
	s     *state.State
	n     int
	asked []proto.Body // by the loop
	lost  int          // answers to beginnings that are lost still, although those are committed
	away  error        // of the source's agent

	hung map[string]bool // instances whose home does not answer, nor refuse
	mu   sync.Mutex      // of asks
	asks map[string]int  // for what moves of an instance are planned by
}

// What each host has of CPU, of which a twentieth is promised to nobody, and what the instances' type allows of it.
const (
	room  = 2000
	takes = 700
)

// hostOf returns the facts of a host with so much CPU, and plenty of the rest.
func hostOf(name string, cpu int64) proto.HostFacts {
	has := resource.Vector{cpu, 4 << 30, 10000, 10000, 1 << 30, 1 << 30, 1e9, 1e9}
	return proto.HostFacts{
		Name: name, MachineID: name, BootID: "b", Allocatable: has, Capacity: has, Controllers: []string{"cpu", "io", "memory"}, Segment: "lan", SyncAddr: name + ":7647",
	}
}

func newPlanned(t *testing.T) *planned {
	w := &planned{t: t, s: state.New(), asks: map[string]int{}}
	w.must(&proto.FleetInit{Fleet: "f", GridStep: 300_000, Policy: proto.DefaultPolicy()})
	w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c1", Commands: proto.KnownCommands()}})
	for _, name := range []string{"host-a", "host-b", "host-c"} {
		w.must(&proto.HostRegister{Incarnation: 1, Facts: hostOf(name, room)})
	}
	most := resource.Uniform(resource.Unlimited)
	most[resource.CPU], most[resource.Memory] = takes, 128<<20
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "small", Max: most}})
	w.adopt("i")
	return w
}

func (w *planned) apply(id string, body proto.Body) proto.Result {
	w.t.Helper()
	cmd, err := proto.NewCommand(id, "test", body)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.At = timeline.Of(time.Now())
	r, _ := w.s.Apply(cmd)
	return r
}

func (w *planned) must(body proto.Body) proto.Result {
	w.t.Helper()
	w.n++
	r := w.apply(fmt.Sprint("test", w.n), body)
	if !r.OK() {
		w.t.Fatal(r.Message)
	}
	return r
}

func (w *planned) adopt(name string) {
	w.t.Helper()
	r := w.must(&proto.InstanceApply{
		Spec:     proto.InstanceSpec{Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: "host-a", Type: "small", Class: proto.Standard, Mode: proto.Enforce},
		Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Vector{resource.CPU: takes, resource.Memory: 128 << 20}}},
	})
	w.must(&proto.InstanceAdopted{Instance: name, Fence: r.Fence})
}

// plan plans without a forecast: all that the type allows is held.
func (w *planned) plan(view *state.View, request planner.Request, rate int64) (planner.Result, error) {
	costs := planner.DefaultCosts()
	costs.Rate = min(costs.Rate, rate)
	return planner.Make(planner.Input{Request: request, View: view, Now: timeline.Of(time.Now()), Data: 60 << 20, Costs: costs})
}

// store stores a plan to move an instance, and what holds its room.
func (w *planned) store(id string, status proto.PlanStatus, request planner.Request) {
	w.t.Helper()
	r, err := w.plan(w.s.View(), request, planner.DefaultCosts().Rate)
	if err != nil {
		w.t.Fatal(err)
	}
	p := proto.StoredPlan{ID: id, Kind: proto.PlanMigrate, Status: status, Moves: []proto.Move{r.Move(request.Target == "")}, Deadline: request.Before, Windows: request.Windows}
	b := &proto.PlanPut{Plan: p}
	if status != proto.PlanKept {
		b.Hold = r.Holds(id, 0, &p.Moves[0])
	}
	w.must(b)
}

// lead leads for a while, as a leader that knows nothing but the tables.
func (w *planned) lead(d time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	p := &Plans{
		View: w.s.View, Own: w.s.View, Rate: planner.DefaultCosts().Rate, Log: slog.New(slog.DiscardHandler),
		Ask: func(ctx context.Context, instance string) (planner.Input, error) {
			w.mu.Lock()
			w.asks[instance]++
			w.mu.Unlock()
			if w.hung[instance] {
				<-ctx.Done()
				return planner.Input{}, ctx.Err()
			}
			return planner.Input{Now: timeline.Of(time.Now()), Data: 60 << 20, Costs: planner.DefaultCosts()}, w.away
		},
		Propose: func(_ context.Context, id string, body proto.Body) (proto.Result, error) {
			w.asked = append(w.asked, body)
			r := w.apply(id, body)
			if _, begins := body.(*proto.PlanBegin); begins && w.lost > 0 {
				w.lost--
				return proto.Result{}, errors.New("no answer")
			}
			return r, nil
		},
		NewID: func() string {
			w.n++
			return fmt.Sprint("m", w.n)
		},
	}
	go func() {
		err := p.Run(ctx)
		for err != nil && ctx.Err() == nil { // it is begun again
			err = p.Run(ctx)
		}
		ended <- err
	}()
	time.Sleep(d)
	synctest.Wait()
	cancel()
	if err := <-ended; err != nil {
		w.t.Error(err)
	}
}

func (w *planned) stored(id string) proto.StoredPlan {
	w.t.Helper()
	p, ok := w.s.View().Plan(id)
	if !ok {
		w.t.Fatalf("there is no plan %s", id)
	}
	return p
}

func (w *planned) migrations() (ids []string) {
	for m := range w.s.View().Migrations() {
		ids = append(ids, m.ID+" "+m.Instance+" to "+m.Target)
	}
	return ids
}

// sell holds so much CPU of a host.
func (w *planned) sell(host string, n int64) {
	w.t.Helper()
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{{
		ID: "sold-" + host, Host: host, Class: proto.Critical, Purpose: proto.PurposeHold, Until: timeline.Of(time.Now().Add(24 * time.Hour)),
		Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Vector{resource.CPU: n}}},
	}}})
}

// holds returns how many reservations keep room for a plan.
func (w *planned) holds(plan string) (n int) {
	for r := range w.s.View().Ledger().Reservations() {
		if proto.HoldsOf(plan, r.ID) {
			n++
		}
	}
	return n
}

func (w *planned) end(outcome proto.Outcome) {
	w.t.Helper()
	for m := range w.s.View().ActiveMigrations() {
		i, _ := w.s.View().Instance(m.Instance)
		if outcome == proto.OutcomeAborted {
			w.must(&proto.MigrationAbort{Migration: m.ID, Fence: i.Fence, Reason: "no"})
			w.must(&proto.MigrationEnd{Migration: m.ID, Outcome: outcome})
			continue
		}
		w.must(&proto.MigrationAdvance{Migration: m.ID, From: proto.PhasePrepare, To: proto.PhaseCopy})
		fence := w.must(&proto.MigrationFreeze{Migration: m.ID, Fence: i.Fence}).Fence
		fence = w.must(&proto.MigrationCommit{Migration: m.ID, Fence: fence}).Fence
		fence = w.must(&proto.MigrationConfirm{Migration: m.ID, Fence: fence, Until: timeline.Of(time.Now().Add(time.Hour))}).Fence
		w.must(&proto.MigrationAdvance{Migration: m.ID, From: proto.PhaseWarm, To: proto.PhaseSettle})
		w.must(&proto.MigrationComplete{Migration: m.ID, Fence: fence})
	}
}

func after(d time.Duration) timeline.Time { return timeline.Of(time.Now().Add(d)) }

func TestAScheduledPlanBeginsAtItsStartOnceWhoeverLeadsThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.store("p", proto.PlanScheduled, planner.Request{Instance: "i", Target: "host-b", At: after(2 * time.Hour)})
		if n := w.holds("p"); n != 3 {
			t.Fatalf("%d reservations keep its room", n)
		}
		w.lead(time.Hour)
		if len(w.asked) != 0 {
			t.Fatalf("asked for %v before its time", w.asked)
		}
		w.lost = 1 // the leader is gone before it learns that it has begun
		w.lead(time.Hour + time.Minute)
		w.lead(time.Minute)
		p := w.stored("p")
		if got := w.migrations(); len(got) != 1 || !strings.HasSuffix(got[0], " i to host-b") || p.Status != proto.PlanRunning || p.Moves[0].Migration == "" || w.holds("p") != 0 {
			t.Fatalf("migrations %q, plan %+v, %d holds", got, p, w.holds("p"))
		}
		m, _ := w.s.View().Migration(p.Moves[0].Migration)
		if m.Plan.Stored != "p" || m.Plan.MadeAt < p.Moves[0].Start {
			t.Errorf("%+v: it was not planned again", m.Plan)
		}
		w.end(proto.OutcomeCompleted)
		w.lead(5 * time.Second)
		if p := w.stored("p"); p.Status != proto.PlanDone || p.Reason != "" {
			t.Errorf("%s: %s", p.Status, p.Reason)
		}
		if len(w.asked) != 2 {
			t.Errorf("asked %d times", len(w.asked))
		}
	})
}

func TestAPlanWhoseRoomWasSoldIsPlannedAgainOnceAndThenStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.store("p", proto.PlanScheduled, planner.Request{Instance: "i", Target: "host-b", At: after(time.Hour)})
		// Its host loses what was held: what is there of it is less than what it takes.
		w.must(&proto.HostRegister{Incarnation: 1, Facts: hostOf("host-b", takes/2)})
		w.lead(time.Hour + 5*time.Second)
		if p := w.stored("p"); p.Status != proto.PlanScheduled {
			t.Fatalf("%s after one look: %s", p.Status, p.Reason)
		}
		w.lead(30 * time.Second)
		p := w.stored("p")
		if p.Status != proto.PlanStale || !strings.Contains(p.Reason, "host-b is short of cpu") || w.holds("p") != 0 {
			t.Fatalf("%s: %s, %d holds", p.Status, p.Reason, w.holds("p"))
		}
		if got := w.migrations(); len(got) != 0 {
			t.Errorf("begun: %q", got)
		}
	})
}

func TestAPlanFindsAnotherHostWhereNoneWasNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.sell("host-c", room-takes/2)
		w.store("p", proto.PlanKept, planner.Request{Instance: "i"})
		w.must(&proto.PlanChange{ID: "p", From: proto.PlanKept, To: proto.PlanQueued})
		if m := w.stored("p").Moves[0]; m.Target != "host-b" || !m.Chosen {
			t.Fatalf("%+v", m)
		}
		w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Release: []string{"sold-host-c"}})
		w.sell("host-b", room-takes/2)
		w.lead(time.Minute)
		if got := w.migrations(); len(got) != 1 || !strings.HasSuffix(got[0], " i to host-c") {
			t.Errorf("%q, %+v", got, w.stored("p"))
		}
	})
}

func TestAPlanThatHoldsItsRoomFindsAnotherHostWhereNoneWasNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.sell("host-c", room-takes/2)
		w.store("p", proto.PlanScheduled, planner.Request{Instance: "i", At: after(time.Hour)})
		w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Release: []string{"sold-host-c"}})
		w.must(&proto.HostRegister{Incarnation: 1, Facts: hostOf("host-b", takes/2)})
		w.lead(time.Hour + 5*time.Second)
		if got := w.migrations(); len(got) != 1 || !strings.HasSuffix(got[0], " i to host-c") || w.holds("p") != 0 {
			t.Fatalf("%q, %d holds, %+v", got, w.holds("p"), w.stored("p"))
		}
	})
}

func TestWhatAPlanHoldsGoesWithItFromHostToHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.store("p", proto.PlanScheduled, planner.Request{Instance: "i", At: after(time.Hour)})
		for _, target := range []string{"host-c", "host-b", "host-c"} {
			r, err := w.plan(w.s.View(), planner.Request{Instance: "i", Target: target, At: after(time.Hour)}, planner.DefaultCosts().Rate)
			if err != nil {
				t.Fatal(err)
			}
			p := w.stored("p")
			m := r.Move(true)
			m.Holds = p.Moves[0].Holds
			hold := r.Holds("p", 0, &m)
			p.Moves = []proto.Move{m}
			w.must(&proto.PlanPut{Plan: p, From: p.Revision, Hold: hold})
			if n := w.holds("p"); n != 3 {
				t.Fatalf("%d holds on the way to %s", n, target)
			}
		}
	})
}

func TestAPlanIsStaleWhoseInstanceIsNotWhatItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for says, change := range map[string]func(*planned){
			"on host-c, and on host-a no more": func(w *planned) {
				w.store("other", proto.PlanQueued, planner.Request{Instance: "i", Target: "host-c"})
				w.lead(5 * time.Second)
				w.end(proto.OutcomeCompleted)
			},
			"no instance i any more": func(w *planned) {
				r := w.must(&proto.InstanceRelease{Instance: "i"})
				w.must(&proto.InstanceRemove{Instance: "i", Fence: r.Fence})
			},
		} {
			w := newPlanned(t)
			w.store("p", proto.PlanScheduled, planner.Request{Instance: "i", Target: "host-b", At: after(time.Hour)})
			change(w)
			w.lead(5 * time.Second) // long before its start
			if p := w.stored("p"); p.Status != proto.PlanStale || !strings.Contains(p.Reason, says) || w.holds("p") != 0 {
				t.Errorf("%s: %s; it should say %q", p.Status, p.Reason, says)
			}
		}
	})
}

func TestAnInstanceThatWasOnlyTouchedIsMovedByItsNewFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.store("p", proto.PlanScheduled, planner.Request{Instance: "i", Target: "host-b", At: after(time.Hour)})
		w.store("q", proto.PlanQueued, planner.Request{Instance: "i", Target: "host-c"})
		w.lead(5 * time.Second)
		w.end(proto.OutcomeAborted) // it was frozen for nobody, and has another fence
		w.lead(time.Hour + 5*time.Second)
		if p, q := w.stored("p"), w.stored("q"); p.Status != proto.PlanRunning || q.Status != proto.PlanDone || !strings.Contains(q.Reason, "was aborted") {
			t.Errorf("%s (%s), %s (%s)", p.Status, p.Reason, q.Status, q.Reason)
		}
	})
}

func TestNothingBeginsOfWhatIsCancelledKeptPausedOrNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		request := planner.Request{Instance: "i", Target: "host-b"}
		w.store("cancelled", proto.PlanQueued, request)
		w.must(&proto.PlanChange{ID: "cancelled", From: proto.PlanQueued, To: proto.PlanCancelled})
		w.store("paused", proto.PlanQueued, request)
		w.must(&proto.PlanChange{ID: "paused", From: proto.PlanQueued, To: proto.PlanPaused})
		w.store("kept", proto.PlanKept, request)
		what := w.stored("kept")
		what.ID, what.WhatIf = "what-if", &proto.WhatIf{Without: []string{"host-c"}}
		w.must(&proto.PlanPut{Plan: what})
		w.lead(time.Hour)
		if len(w.asked) != 0 || len(w.migrations()) != 0 {
			t.Errorf("asked for %v", w.asked)
		}
		w.must(&proto.PlanChange{ID: "kept", From: proto.PlanKept, To: proto.PlanQueued})
		w.lead(5 * time.Second)
		if got := w.migrations(); len(got) != 1 {
			t.Errorf("%q", got)
		}
	})
}

func TestAPlanWaitsForWhatIsNotKnownAndNotBeyondItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.store("p", proto.PlanScheduled, planner.Request{Instance: "i", Target: "host-b", At: after(time.Hour), Before: after(3 * time.Hour)})
		w.away = errors.New("the agent of host-a is out of reach")
		w.lead(2 * time.Hour)
		if p := w.stored("p"); p.Status != proto.PlanScheduled {
			t.Fatalf("%s: %s", p.Status, p.Reason)
		}
		w.lead(time.Hour + time.Minute)
		if p := w.stored("p"); p.Status != proto.PlanStale || !strings.Contains(p.Reason, "it had to be over by") {
			t.Errorf("%s: %s", p.Status, p.Reason)
		}
	})
}

func TestNothingIsProposedThatACoordinatorDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.store("p", proto.PlanQueued, planner.Request{Instance: "i", Target: "host-b"})
		w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c2", Commands: []proto.KnownType{{Type: proto.CmdTick, Version: 1}}}})
		w.lead(time.Minute)
		if len(w.asked) != 0 {
			t.Errorf("asked for %v", w.asked)
		}
	})
}

func TestMovesOfPlansWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		w.adopt("j")
		policy := proto.DefaultPolicy()
		policy.MovesHost = 1
		w.must(&proto.PolicyPut{Policy: policy})
		w.store("p", proto.PlanQueued, planner.Request{Instance: "i", Target: "host-b"})
		w.store("q", proto.PlanQueued, planner.Request{Instance: "j", Target: "host-c", Before: after(time.Hour)})
		w.lead(time.Minute)
		if got := w.migrations(); len(got) != 1 || !strings.HasSuffix(got[0], " j to host-c") {
			t.Fatalf("%q: that with a deadline comes first, and one at once", got)
		}
		w.end(proto.OutcomeCompleted)
		w.lead(time.Minute)
		if got := w.migrations(); len(got) != 2 {
			t.Errorf("%q", got)
		}
	})
}
