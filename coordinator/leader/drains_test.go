package leader

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// drained is a fleet in a bubble of time, of which host-a has instances and is emptied. What walks migrations is here, and does so at once.
type drained struct {
	t     *testing.T
	mu    sync.Mutex // of the tables: two loops are at them
	s     *state.State
	n     int
	fails map[string]bool // instances whose moves are given up while they copy
	hangs map[string]bool // whose moves go no further than that
	hung  string          // host whose home does not answer, nor refuse
	slow  time.Duration   // that homes take to answer for a drain
}

// What each host has of everything, what an instance holds of that, and how long probation takes.
const (
	hostHas       = 2_000_000_000
	instanceTakes = 600_000_000
	probation     = 10 * time.Minute
)

func newDrained(t *testing.T, instances ...string) *drained {
	w := &drained{t: t, s: state.New(), fails: map[string]bool{}, hangs: map[string]bool{}}
	policy := proto.DefaultPolicy()
	policy.MovesHost, policy.Probation = 1, (6 * probation).Milliseconds() // drains say a shorter one
	w.must(&proto.FleetInit{Fleet: "f", GridStep: 300_000, Policy: policy})
	w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c1", Commands: proto.KnownCommands()}})
	for _, name := range []string{"host-a", "host-b", "host-c"} {
		w.must(&proto.HostRegister{Incarnation: 1, Facts: proto.HostFacts{
			Name: name, MachineID: name, BootID: "b", Allocatable: resource.Uniform(hostHas), Capacity: resource.Uniform(hostHas),
			Controllers: []string{"cpu", "io", "memory"}, Segment: "lan", SyncAddr: name + ":7647",
		}})
	}
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "small", Max: resource.Uniform(instanceTakes)}})
	for _, name := range instances {
		w.adopt(name)
	}
	return w
}

func (w *drained) do(body proto.Body) proto.Result {
	w.t.Helper()
	cmd, err := proto.NewCommand(w.id(), "test", body)
	if err != nil {
		w.t.Error(err)
	}
	cmd.At = timeline.Of(time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	r, _ := w.s.Apply(cmd)
	return r
}

func (w *drained) view() *state.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.s.View()
}

func (w *drained) id() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	return fmt.Sprint("test", w.n)
}

func (w *drained) must(body proto.Body) proto.Result {
	w.t.Helper()
	r := w.do(body)
	if !r.OK() {
		w.t.Fatalf("%s: %s", body.Command(), r.Message)
	}
	return r
}

func (w *drained) adopt(name string) {
	w.t.Helper()
	r := w.must(&proto.InstanceApply{
		Spec:     proto.InstanceSpec{Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: "host-a", Type: "small", Class: proto.Standard, Mode: proto.Enforce},
		Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Uniform(instanceTakes)}},
	})
	w.must(&proto.InstanceAdopted{Instance: name, Fence: r.Fence})
}

// drain takes the drain of host-a to a state, as an operator.
func (w *drained) drain(to proto.DrainState, deadline timeline.Time) {
	w.t.Helper()
	w.must(&proto.HostDrain{Host: "host-a", From: w.state(), To: to, Deadline: deadline, Probation: probation.Milliseconds()})
}

func (w *drained) state() proto.DrainState { return w.stateOf("host-a") }

func (w *drained) stateOf(host string) proto.DrainState {
	h, _ := w.view().Host(host)
	if h.Drain == nil {
		return proto.DrainNone
	}
	return h.Drain.State
}

// sell holds so much of a host.
func (w *drained) sell(host string, n int64) {
	w.t.Helper()
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{{
		ID: "sold-" + host, Host: host, Class: proto.Critical, Purpose: proto.PurposeHold, Until: timeline.Of(time.Now().Add(240 * time.Hour)),
		Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Uniform(n)}},
	}}})
}

func (w *drained) giveBack(host string) {
	w.t.Helper()
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Release: []string{"sold-" + host}})
}

const dataOfEach = 60 << 20 // bytes

// plans is what begins the moves of plans.
func (w *drained) plans() *Plans {
	return &Plans{
		View: w.view, Own: w.view, Rate: planner.DefaultCosts().Rate, Log: slog.New(slog.DiscardHandler), NewID: w.id,
		Propose: func(_ context.Context, _ string, body proto.Body) (proto.Result, error) { return w.do(body), nil },
		Ask: func(context.Context, string) (planner.Input, error) {
			return planner.Input{Now: timeline.Of(time.Now()), Data: dataOfEach, Costs: planner.DefaultCosts()}, nil
		},
	}
}

// lead leads for a while, as a leader that knows nothing but the tables.
func (w *drained) lead(d time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var loops sync.WaitGroup
	drains := &Drains{
		View: w.view, Log: slog.New(slog.DiscardHandler), NewID: w.id,
		Propose: func(_ context.Context, body proto.Body) (proto.Result, error) { return w.do(body), nil },
		Plan: func(ctx context.Context, in planner.DrainInput) (proto.StoredPlan, error) {
			if in.Host == w.hung {
				<-ctx.Done()
				return proto.StoredPlan{}, ctx.Err()
			}
			time.Sleep(w.slow)
			in.View, in.Costs = w.view(), planner.DefaultCosts()
			in.Of = func(string) planner.MovingFigures { return planner.MovingFigures{Data: dataOfEach} }
			plan, blocked, err := planner.Drain(in)
			return plan.Stored(in, blocked), err
		},
	}
	for _, run := range []func(context.Context) error{drains.Run, w.plans().Run} {
		loops.Go(func() {
			if err := run(ctx); err != nil {
				w.t.Error(err)
			}
		})
	}
	for range d / time.Second {
		time.Sleep(time.Second)
		synctest.Wait() // the loops wait for their ticks
		w.walk()
	}
	cancel()
	loops.Wait()
}

// walk takes every migration as far as it goes now.
func (w *drained) walk() {
	w.t.Helper()
	var active []proto.Migration
	for m := range w.view().ActiveMigrations() {
		active = append(active, m)
	}
	for _, m := range active {
		i, _ := w.view().Instance(m.Instance)
		settles := m.Plan.Probation
		if settles == 0 {
			settles = w.view().Fleet().Policy.Probation
		}
		switch {
		case w.hangs[m.Instance]:
		case w.fails[m.Instance] && m.Phase == proto.PhasePrepare:
			w.must(&proto.MigrationAbort{Migration: m.ID, Fence: i.Fence, Reason: "the health check did not pass"})
			w.must(&proto.MigrationEnd{Migration: m.ID, Outcome: proto.OutcomeAborted})
		case m.Phase == proto.PhasePrepare:
			w.must(&proto.MigrationAdvance{Migration: m.ID, From: proto.PhasePrepare, To: proto.PhaseCopy})
			fence := w.must(&proto.MigrationFreeze{Migration: m.ID, Fence: i.Fence}).Fence
			fence = w.must(&proto.MigrationCommit{Migration: m.ID, Fence: fence}).Fence
			w.must(&proto.MigrationConfirm{Migration: m.ID, Fence: fence, Until: timeline.Of(time.Now().Add(time.Hour))})
			w.must(&proto.MigrationAdvance{Migration: m.ID, From: proto.PhaseWarm, To: proto.PhaseSettle})
		case m.Phase == proto.PhaseSettle && m.Returning == "" && timeline.Of(time.Now()).Sub(m.Phases[len(m.Phases)-1].At).Milliseconds() >= settles:
			w.must(&proto.MigrationComplete{Migration: m.ID, Fence: i.Fence})
		}
	}
}

// moves returns the migrations so far, sorted: instance, target and how it ended.
func (w *drained) moves() []string {
	out := []string{}
	for m := range w.view().Migrations() {
		out = append(out, strings.TrimSpace(m.Instance+" "+m.Target+" "+string(m.Outcome)))
	}
	slices.Sort(out)
	return out
}

// plan returns the plan of the drain that was stored last.
func (w *drained) plan() (out proto.StoredPlan) {
	for p := range w.view().Plans() {
		if p.MadeAt >= out.MadeAt {
			out = p
		}
	}
	return out
}

func (w *drained) owned() (names []string) {
	for i := range w.view().Instances() {
		if i.Owner == "host-a" {
			names = append(names, i.Name())
		}
	}
	return names
}

func (w *drained) want(state proto.DrainState, moves int, status proto.PlanStatus) {
	w.t.Helper()
	if got, p := w.moves(), w.plan(); w.state() != state || len(got) != moves || p.Status != status {
		h, _ := w.view().Host("host-a")
		w.t.Fatalf("the drain is %+v, the plan %s (%s) of %d moves, blocked by %+v; moves %q; want %q, %s and %d of them", h.Drain, p.Status, p.Reason, len(p.Moves), p.Blocked, got, state, status, moves)
	}
}

func TestAHostIsEmptiedWithoutWaitingForProbation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i", "j", "k")
		w.drain(proto.DrainGoesOn, 0)
		w.lead(5 * time.Minute)
		w.want(proto.DrainGoesOn, 3, proto.PlanRunning)
		if left := w.owned(); len(left) != 0 {
			t.Fatalf("%q did not leave within the first probation", left)
		}
		w.lead(probation)
		w.want(proto.DrainDone, 3, proto.PlanDone)
		if h, _ := w.view().Host("host-a"); !h.Cordoned || len(w.view().InstancesOn("host-a")) != 0 {
			t.Errorf("%+v has %v", h, w.view().InstancesOn("host-a"))
		}
		w.drain(proto.DrainNone, 0)
		w.lead(time.Minute)
		if h, _ := w.view().Host("host-a"); h.Cordoned || h.Drain != nil || len(w.moves()) != 3 {
			t.Errorf("%+v", h)
		}
	})
}

func TestAPausedDrainBeginsNothingAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i", "j", "k")
		w.hangs = map[string]bool{"i": true, "j": true, "k": true}
		w.drain(proto.DrainGoesOn, 0)
		w.lead(time.Minute)
		w.want(proto.DrainGoesOn, 1, proto.PlanRunning)
		w.drain(proto.DrainPaused, 0)
		w.lead(5 * time.Second)
		w.want(proto.DrainPaused, 1, proto.PlanPaused)
		w.hangs = nil
		w.lead(time.Hour)
		w.want(proto.DrainPaused, 1, proto.PlanPaused)
		w.drain(proto.DrainGoesOn, 0)
		w.lead(5 * time.Minute)
		w.want(proto.DrainGoesOn, 3, proto.PlanRunning)
		w.lead(probation)
		w.want(proto.DrainDone, 3, proto.PlanDone)
	})
}

func TestNothingBeginsOfADrainThatIsPausedOrTakenBackWhileOthersArePlanned(t *testing.T) {
	for _, to := range []proto.DrainState{proto.DrainPaused, proto.DrainNone} {
		synctest.Test(t, func(t *testing.T) {
			w := newDrained(t, "i", "j")
			w.hangs = map[string]bool{"i": true, "j": true}
			w.drain(proto.DrainGoesOn, 0)
			w.lead(10 * time.Second)
			w.want(proto.DrainGoesOn, 1, proto.PlanRunning)
			w.hangs = nil
			w.walk() // the first one has moved: it is the turn of the other
			w.drain(to, 0)
			// Who drains is at another host for as long, and does not see it.
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			if err := w.plans().Run(ctx); err != nil {
				t.Fatal(err)
			}
			w.want(to, 1, proto.PlanRunning)
		})
	}
}

func TestADrainThatIsTakenBackBeginsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i", "j")
		w.hangs = map[string]bool{"i": true, "j": true}
		w.drain(proto.DrainGoesOn, 0)
		w.lead(time.Minute)
		w.want(proto.DrainGoesOn, 1, proto.PlanRunning)
		w.drain(proto.DrainNone, 0)
		w.lead(5 * time.Second)
		w.want(proto.DrainNone, 1, proto.PlanCancelled)
		w.hangs = nil
		w.lead(time.Hour)
		w.want(proto.DrainNone, 1, proto.PlanCancelled)
		if m := w.plan().Moves; m[0].Outcome != proto.OutcomeCompleted && m[1].Outcome != proto.OutcomeCompleted {
			t.Errorf("what came of the move that had begun is not told: %+v", m)
		}
		// It can be begun again, and goes by a plan of its own.
		w.drain(proto.DrainGoesOn, 0)
		w.lead(15 * time.Minute)
		w.want(proto.DrainDone, 2, proto.PlanDone)
	})
}

func TestADrainGoesOnWhoeverLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i", "j", "k")
		w.drain(proto.DrainGoesOn, timeline.Of(time.Now().Add(time.Hour)))
		for range 400 { // each leader lasts for three seconds
			w.lead(3 * time.Second)
		}
		w.want(proto.DrainDone, 3, proto.PlanDone)
		plans := 0
		for range w.view().Plans() {
			plans++
		}
		if plans != 1 {
			t.Errorf("it took %d plans", plans)
		}
	})
}

func TestAMoveThatFailsIsPlannedAgainAndGivenUpInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i", "j")
		w.fails["i"] = true
		w.drain(proto.DrainGoesOn, 0)
		w.lead(time.Minute)
		if got := w.moves(); len(got) != 2 || w.state() != proto.DrainGoesOn {
			t.Fatalf("%q, %s: j goes on, and i rests", got, w.state())
		}
		w.lead(9 * time.Minute)
		w.want(proto.DrainBlocked, 4, proto.PlanBlocked)
		h, _ := w.view().Host("host-a")
		notice, told := w.view().Notice(proto.NoticeID(proto.NoticeBlocked, "host-a"))
		for _, word := range []string{"3 moves of instance i", "the health check did not pass"} {
			if !strings.Contains(h.Drain.Reason, word) || !told || !strings.Contains(notice.Says, word) {
				t.Errorf("%q and %q don't say %q", h.Drain.Reason, notice.Says, word)
			}
		}
		w.lead(3 * time.Hour)
		w.want(proto.DrainBlocked, 4, proto.PlanBlocked)
		w.fails["i"] = false
		w.drain(proto.DrainGoesOn, 0)
		w.lead(15 * time.Minute)
		w.want(proto.DrainDone, 5, proto.PlanDone)
		if notice, _ := w.view().Notice(notice.ID); notice.ClearedAt == 0 {
			t.Error("that it is blocked is still told")
		}
	})
}

func TestADrainWhoseRoomIsSoldIsBlockedForWhatStaysAndGoesOnByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i", "j", "k")
		w.hangs = map[string]bool{"i": true, "j": true, "k": true}
		w.sell("host-c", hostHas)
		w.drain(proto.DrainGoesOn, 0)
		w.lead(time.Minute)
		w.want(proto.DrainGoesOn, 1, proto.PlanRunning) // all three fit on host-b
		w.sell("host-b", instanceTakes)                 // and now only one more does
		w.hangs = nil
		w.lead(10 * time.Minute)
		w.want(proto.DrainBlocked, 2, proto.PlanRunning)
		p := w.plan()
		if p.Blocked == nil || len(p.Blocked.Instances) != 1 || !slices.Equal(p.Blocked.Instances, w.owned()) {
			t.Fatalf("%+v is in the way, %q is there", p.Blocked, w.owned())
		}
		notice, _ := w.view().Notice(proto.NoticeID(proto.NoticeBlocked, "host-a"))
		if h, _ := w.view().Host("host-a"); !strings.Contains(h.Drain.Reason, p.Blocked.Instances[0]) || notice.Plan != p.ID || notice.ClearedAt != 0 || !strings.Contains(notice.Proposes, "1 more like host-") {
			t.Errorf("%+v, %+v", h.Drain, notice)
		}
		w.lead(2 * time.Hour)
		w.want(proto.DrainBlocked, 2, proto.PlanBlocked)
		w.giveBack("host-b")
		w.lead(30 * time.Minute)
		w.want(proto.DrainDone, 3, proto.PlanDone)
	})
}

func TestADrainThatMissesItsDeadlineGoesOnAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i", "j")
		w.hangs = map[string]bool{"i": true, "j": true}
		w.drain(proto.DrainGoesOn, timeline.Of(time.Now().Add(time.Hour)))
		w.lead(2 * time.Hour)
		w.want(proto.DrainGoesOn, 1, proto.PlanRunning)
		w.hangs = nil
		w.lead(30 * time.Minute)
		w.want(proto.DrainDone, 2, proto.PlanDone)
		if p := w.plan(); !slices.ContainsFunc(p.Says, func(s string) bool { return strings.Contains(s, "can't be kept") }) {
			t.Errorf("%q", p.Says)
		}
	})
}

func TestWhatComesBackToAHostThatIsEmptiedLeavesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i", "j")
		w.drain(proto.DrainGoesOn, 0)
		w.lead(2 * time.Minute)
		w.want(proto.DrainGoesOn, 2, proto.PlanRunning)
		var m proto.Migration
		for one := range w.view().ActiveMigrations() {
			if one.Instance == "i" {
				m = one
			}
		}
		back, err := planner.Make(planner.Input{Request: planner.Request{Instance: "i", Target: m.Source, Type: m.FromType, Returns: m.ID, Probation: probation.Milliseconds()}, View: w.view(), Now: timeline.Of(time.Now()), Costs: planner.DefaultCosts()})
		if err != nil {
			t.Fatal(err)
		}
		w.must(&proto.MigrationReturn{ID: "back", Returns: m.ID, Fence: back.Plan.Fence, Plan: back.Plan, Extra: back.Extra})
		w.lead(probation + 5*time.Second)
		if i, _ := w.view().Instance("i"); i.Owner != "host-a" || i.Migration != "" {
			t.Fatalf("%+v", i)
		}
		w.lead(15 * time.Minute)
		w.want(proto.DrainDone, 4, proto.PlanDone)
	})
}

func TestAMoveThatFailsIsGivenUpAlsoWhereTwoLeadersHavePlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i")
		w.hangs = map[string]bool{"i": true}
		w.drain(proto.DrainGoesOn, 0)
		w.lead(5 * time.Second)
		w.want(proto.DrainGoesOn, 1, proto.PlanRunning)
		other := w.plan()
		other.ID, other.Status = "zz", proto.PlanQueued
		w.must(&proto.PlanPut{Plan: other})
		w.hangs, w.fails["i"] = nil, true
		w.lead(time.Hour)
		if got := w.moves(); len(got) != drainFailures || w.state() != proto.DrainBlocked {
			t.Errorf("the drain is %s after %q", w.state(), got)
		}
	})
}

func TestAPlanThatIsNotTakenIsNotMadeAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i")
		for n := range proto.MaxPlans {
			w.must(&proto.PlanPut{Plan: proto.StoredPlan{ID: fmt.Sprint("p", n), Kind: proto.PlanMigrate, Status: proto.PlanScheduled}})
		}
		w.drain(proto.DrainGoesOn, 0)
		before := w.view().Applied()
		w.lead(time.Minute)
		if n := w.view().Applied() - before; n == 0 || n > 3 {
			t.Errorf("%d commands in a minute for a plan that is refused", n)
		}
		w.must(&proto.PlanChange{ID: "p0", From: proto.PlanScheduled, To: proto.PlanCancelled})
		w.lead(time.Minute)
		if got := w.moves(); len(got) != 1 {
			t.Errorf("%q once there is room for a plan", got)
		}
	})
}

func TestWhatIsToldOfAHostEndsWithItsDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i")
		w.sell("host-b", hostHas*9/10)
		w.sell("host-c", hostHas*9/10)
		w.drain(proto.DrainGoesOn, 0)
		w.lead(time.Minute)
		w.want(proto.DrainBlocked, 0, proto.PlanBlocked)
		told := func() bool {
			n, ok := w.view().Notice(proto.NoticeID(proto.NoticeBlocked, "host-a"))
			return ok && n.ClearedAt == 0
		}
		if !told() {
			t.Fatal("nobody is told what is in the way")
		}
		// Who led ended the plan, and went before it looked again: the drain was taken back meanwhile.
		w.must(&proto.PlanChange{ID: w.plan().ID, From: proto.PlanBlocked, To: proto.PlanCancelled})
		w.drain(proto.DrainNone, 0)
		w.lead(10 * time.Second)
		if told() {
			t.Error("it is told that a host can't be emptied that is not")
		}
	})
}

func TestWhatIsToldOfAHostEndsWithTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t)
		var ids []string
		for _, kind := range []proto.NoticeKind{proto.NoticeShort, proto.NoticeBlocked} {
			ids = append(ids, proto.NoticeID(kind, "host-b"), proto.NoticeID(kind, "host-c"))
			for _, host := range []string{"host-b", "host-c"} {
				w.must(&proto.NoticePut{Put: []proto.Notice{{ID: proto.NoticeID(kind, host), Kind: kind, Host: host, Says: "it is short"}}})
			}
		}
		w.must(&proto.HostForget{Host: "host-c"})
		w.lead(10 * time.Second)
		for _, id := range ids {
			n, _ := w.view().Notice(id)
			stays := n.Host == "host-b" && n.Kind == proto.NoticeShort // host-b is of the fleet, and nobody empties it
			if (n.ClearedAt == 0) != stays {
				t.Errorf("%s: cleared at %s", id, n.ClearedAt)
			}
		}
	})
}

func TestAnEmptyHostIsDrainedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t)
		w.drain(proto.DrainGoesOn, 0)
		w.lead(5 * time.Second)
		w.want(proto.DrainDone, 0, "")
	})
}

func TestDrainsWaitUntilAllCoordinatorsKnowThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i")
		w.drain(proto.DrainGoesOn, 0)
		w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c2", Commands: []proto.KnownType{{Type: proto.CmdTick, Version: 1}}}})
		w.lead(time.Minute)
		w.want(proto.DrainGoesOn, 0, "")
	})
}

func TestMovesThatHaveBegunStayAtTheirPlaces(t *testing.T) {
	of := func(name, migration string, after ...int) proto.Move {
		return proto.Move{Instance: name, Migration: migration, After: after}
	}
	for name, c := range map[string]struct{ old, fresh, want []proto.Move }{
		"none begun":      {[]proto.Move{of("a", ""), of("b", "")}, []proto.Move{of("b", "")}, []proto.Move{of("b", "")}},
		"more come":       {[]proto.Move{of("a", "1"), of("b", "")}, []proto.Move{of("c", ""), of("b", "", 0)}, []proto.Move{of("a", "1"), of("c", ""), of("b", "", 1)}},
		"between":         {[]proto.Move{of("a", ""), of("b", "1")}, []proto.Move{of("c", ""), of("a", "", 0)}, []proto.Move{of("c", ""), of("b", "1"), of("a", "", 0)}},
		"nothing is left": {[]proto.Move{of("a", "1"), of("b", "")}, nil, []proto.Move{of("a", "1")}},
		"a place is left": {[]proto.Move{of("a", ""), of("b", "1")}, nil, nil},
	} {
		got, ok := merged(c.old, c.fresh)
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" || ok != (c.want != nil) {
			t.Errorf("%s: %v %s", name, ok, diff)
		}
	}
	if got, ok := merged(nil, make([]proto.Move, proto.MaxMoves+1)); !ok || len(got) != proto.MaxMoves {
		t.Errorf("a first plan has %d moves: more than are kept in one", len(got))
	}
}
