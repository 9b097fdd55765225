package replan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// tester is a test, drawn or not.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a fleet of hosts of two cores whose instances are expected to use as much CPU time as demand says, all the time.
type world struct {
	t      tester
	s      *state.State
	n      int
	now    timeline.Time
	demand map[string]int64
}

const mib = 1 << 20

func newWorld(t tester, hosts ...string) *world {
	w := &world{t: t, s: state.New(), now: timeline.Time(1e12).Floor(grid), demand: map[string]int64{}}
	w.must(&proto.FleetInit{Fleet: "f", GridStep: grid.Milliseconds(), Policy: proto.DefaultPolicy()})
	w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c1", RPCAddr: "c1:7647", Commands: proto.KnownCommands()}})
	for _, name := range hosts {
		v := resource.Vector{2000, 1 << 30, 1e5, 1e5, 1 << 40, 1 << 40, 1e11, 1e11}
		w.must(&proto.HostRegister{Incarnation: w.s.View().Fleet().Incarnation, Facts: proto.HostFacts{
			Name: name, MachineID: "m-" + name, BootID: "b", Capacity: v, Allocatable: v, Controllers: []string{"cpu", "io", "memory"}, SyncAddr: name + ":7647",
		}})
	}
	large := resource.Uniform(resource.Unlimited)
	large[resource.CPU], large[resource.Memory] = 2000, 64*mib
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "m.large", Max: large}})
	return w
}

func (w *world) apply(body proto.Body) proto.Result {
	w.n++
	cmd, err := proto.NewCommand(fmt.Sprint("r", w.n), "home c1", body)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	cmd.At = w.now
	r, _ := w.s.Apply(cmd)
	return r
}

func (w *world) must(body proto.Body) {
	w.t.Helper()
	if r := w.apply(body); !r.OK() {
		w.t.Fatalf("%s: %s", body.Command(), r.Message)
	}
}

// want returns what an instance should hold.
func (w *world) want(name string, class proto.Class) Want {
	kind, _ := w.s.View().Type("m.large")
	v := resource.Vector{resource.CPU: w.demand[name], resource.Memory: 8 * mib}
	flat := timeline.Flat(planner.Grid(w.now, grid), v)
	out := Want{
		Sizing:   planner.NewSizing(class, kind, proto.Application{}, proto.DefaultPolicy()),
		Forecast: proto.ForecastReply{Start: w.now, Step: grid.Milliseconds(), Quantiles: []int{500, 950, 990}, Profiles: []timeline.Profile{flat, flat, flat}, Observed: 1},
	}
	out.Allocation, _ = out.Sizing.Allocation(out.Forecast)
	out.Envelope = out.Sizing.Envelope(out.Allocation, out.Forecast)
	return out
}

// run puts an instance on a host.
func (w *world) run(name, host string, class proto.Class, demand int64) {
	w.t.Helper()
	w.demand[name] = demand
	want := w.want(name, class)
	w.must(&proto.InstanceApply{Envelope: want.Envelope, Floor: want.Sizing.Floor, Spec: proto.InstanceSpec{
		Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: host, Type: "m.large", Class: class, Mode: proto.Enforce,
	}})
	i, _ := w.s.View().Instance(name)
	w.must(&proto.InstanceAdopted{Instance: name, Fence: i.Fence})
}

// input returns what is known of a host.
func (w *world) input(host string, turn bool) Input {
	v := w.s.View()
	in := Input{Host: host, View: v, Now: w.now, Turn: turn, Data: func(string) int64 { return 3 << 30 }}
	for _, i := range v.InstancesOn(host) {
		want := w.want(i.Name(), i.Spec.Class)
		want.Reservation, _ = v.Reservation(i.Reservation)
		in.Wants = append(in.Wants, want)
	}
	for n := range v.Notices() {
		if n.Host == host && n.ClearedAt == 0 {
			in.Notices = append(in.Notices, n)
		}
	}
	return in
}

// settle does what is decided on a host until that is nothing, and returns the commands.
func (w *world) settle(host string) []proto.Body {
	w.t.Helper()
	var out []proto.Body
	for range 20 {
		proposals := Decide(w.input(host, true))
		if len(proposals) == 0 {
			return out
		}
		for _, p := range proposals {
			w.must(p.Body)
			out = append(out, p.Body)
		}
	}
	w.t.Fatalf("it does not come to an end: %s", kinds(out))
	return nil
}

func kinds(list []proto.Body) string {
	var out []string
	for _, b := range list {
		out = append(out, b.Command().String())
	}
	return strings.Join(out, " ")
}

// told returns the notices that are not cleared, by their identifiers.
func (w *world) told() map[string]proto.Notice {
	out := map[string]proto.Notice{}
	for n := range w.s.View().Notices() {
		if n.ClearedAt == 0 {
			out[n.ID] = n
		}
	}
	return out
}

func (w *world) cpu(instance string) int64 {
	i, _ := w.s.View().Instance(instance)
	r, _ := w.s.View().Reservation(i.Reservation)
	v, _ := planner.Promised(r.Envelope).At(w.now)
	return v[resource.CPU]
}

func TestAHostsRevisionsAreOneCommandAndNoneWhereNothingChanges(t *testing.T) {
	w := newWorld(t, "host-a")
	for i := range 5 {
		w.run(fmt.Sprint("i", i), "host-a", proto.Standard, 100)
	}
	if got := w.settle("host-a"); len(got) > 0 {
		t.Errorf("%s for what is as it should be", kinds(got))
	}
	w.now = w.now.Add(reviseEvery * grid)
	for i := range 4 {
		w.demand[fmt.Sprint("i", i)] = 50 + 200*int64(i%2)
	}
	got := w.settle("host-a")
	if c, ok := got[0].(*proto.ReservationChange); len(got) != 1 || !ok || len(c.Revise) != 4 {
		t.Fatalf("%s of %+v", kinds(got), got)
	}
	if w.cpu("i0") != 50 || w.cpu("i1") != 250 || w.cpu("i4") != 100 {
		t.Errorf("%d, %d and %d are held", w.cpu("i0"), w.cpu("i1"), w.cpu("i4"))
	}
}

func TestOutOfTurnOnlyWhatIsUrgentIsRevised(t *testing.T) {
	w := newWorld(t, "host-a")
	w.run("i", "host-a", proto.Critical, 100)
	w.now = w.now.Add(reviseEvery * grid)
	w.demand["i"] = 50
	if got := Decide(w.input("host-a", false)); len(got) > 0 {
		t.Errorf("%+v to give back", got)
	}
	in := w.input("host-a", false)
	later := in.Wants[0].Allocation.Span()
	later.Start = w.now.Add(soonSteps * grid)
	raised := in.Wants[0].Allocation[0].Amount
	raised[resource.CPU] = 500
	in.Wants[0].Allocation = in.Wants[0].Allocation.Max(timeline.Flat(later, raised))
	in.Wants[0].Envelope = in.Wants[0].Sizing.Envelope(in.Wants[0].Allocation, in.Wants[0].Forecast)
	if got := Decide(in); len(got) > 0 {
		t.Errorf("%+v for what comes in two steps", got)
	}
	in.Turn = true
	if got := Decide(in); len(got) != 1 {
		t.Errorf("%+v for what comes in two steps, in the host's turn", got)
	}
	w.demand["i"] = 500
	if got := Decide(w.input("host-a", false)); len(got) != 1 || got[0].Body.Command() != proto.CmdReservationChange {
		t.Errorf("%+v for what is now", got)
	}
}

func TestBesteffortYieldsAndIsRaisedAgainWhenThatFits(t *testing.T) {
	w := newWorld(t, "host-a", "host-b")
	w.run("shop", "host-a", proto.Critical, 800)
	w.run("web", "host-a", proto.Standard, 400)
	w.run("batch", "host-a", proto.BestEffort, 700)
	w.demand["shop"] = 1200
	got := w.settle("host-a")
	if len(got) != 1 || got[0].Command() != proto.CmdAdmit {
		t.Fatalf("%s", kinds(got))
	}
	i, _ := w.s.View().Instance("batch")
	n, ok := w.told()[proto.NoticeID(proto.NoticeSqueezed, i.Reservation)]
	if !ok || n.Instance != "batch" || w.cpu("shop") < 1260 || w.cpu("web") != 400 || w.cpu("batch") >= 400 || len(w.told()) != 1 {
		t.Errorf("%d for shop, %d for web, %d for batch: %+v", w.cpu("shop"), w.cpu("web"), w.cpu("batch"), w.told())
	}
	for range 3 { // it would not fit: nobody tries
		w.now = w.now.Add(grid)
		if again := w.settle("host-a"); len(again) > 0 {
			t.Fatalf("%s while it does not fit", kinds(again))
		}
	}
	w.now = w.now.Add(reviseEvery * grid)
	w.demand["shop"] = 500
	if got = w.settle("host-a"); len(got) != 1 || w.cpu("batch") != 700 || len(w.told()) != 0 {
		t.Errorf("%s: %d for batch, and it is told: %+v", kinds(got), w.cpu("batch"), w.told())
	}
}

func TestWhereNobodyYieldsAMoveIsSuggestedAndTakenBackWhenItIsOver(t *testing.T) {
	w := newWorld(t, "host-a", "host-b")
	w.run("shop", "host-a", proto.Critical, 800)
	w.run("web", "host-a", proto.Standard, 900)
	w.demand["shop"] = 1400
	got := w.settle("host-a")
	if kinds(got) != kinds([]proto.Body{&proto.PlanPut{}, &proto.NoticePut{}}) {
		t.Fatalf("%s", kinds(got))
	}
	plan := got[0].(*proto.PlanPut).Plan
	if m := plan.Moves[0]; plan.Status != proto.PlanSuggested || m.Instance != "web" || m.Source != "host-a" || m.Target != "host-b" || !m.Chosen {
		t.Errorf("%+v", plan)
	}
	refused, proposed := w.told()[proto.NoticeID(proto.NoticeRefused, "shop")], w.told()[proto.NoticeID(proto.NoticeProposed, "host-a")]
	if refused.Missing <= 0 || refused.Resource != resource.CPU || refused.Span.Start != w.now || refused.Plan != plan.ID || !strings.Contains(refused.Proposes, "move web to host-b") {
		t.Errorf("%+v", refused)
	}
	for _, text := range []string{proposed.Says, plan.Reason} {
		if !strings.Contains(text, "; it has 3GiB of data, and takes about ") || !strings.Contains(text, "clients wait for about ") {
			t.Errorf("it does not say what it takes: %q", text)
		}
	}
	if m := plan.Moves[0]; m.Figures.Bytes.Median < 3<<30 || m.Figures.Duration.Median < 1000 {
		t.Errorf("%+v", m.Figures)
	}
	if proposed.Plan != plan.ID || proposed.Instance != "web" {
		t.Errorf("%+v", proposed)
	}
	for range 15 { // an hour, and more: as long as it stands there is no other
		w.now = w.now.Add(grid)
		if again := w.settle("host-a"); len(again) > 0 {
			t.Fatalf("%s: %+v", kinds(again), again[0])
		}
	}
	w.demand["web"] = 300
	got = w.settle("host-a")
	if p, _ := w.s.View().Plan(plan.ID); p.Status != proto.PlanStale || len(w.told()) != 0 || w.cpu("shop") < 1400 {
		t.Errorf("%s: plan %+v, told %+v, %d for shop", kinds(got), p, w.told(), w.cpu("shop"))
	}
}

func TestAMoveThatIsCarriedOutIsNotProposedAnyMore(t *testing.T) {
	w := newWorld(t, "host-a", "host-b")
	w.run("shop", "host-a", proto.Critical, 800)
	w.run("web", "host-a", proto.Standard, 900)
	w.demand["shop"] = 1400
	plan := w.settle("host-a")[0].(*proto.PlanPut).Plan
	w.must(&proto.PlanChange{ID: plan.ID, From: proto.PlanSuggested, To: proto.PlanQueued})
	for range 2 {
		w.now = w.now.Add(grid)
		w.settle("host-a")
	}
	if n, there := w.told()[proto.NoticeID(proto.NoticeProposed, "host-a")]; there {
		t.Errorf("%+v", n)
	}
	if n := w.told()[proto.NoticeID(proto.NoticeRefused, "shop")]; n.Plan != plan.ID {
		t.Errorf("%+v", n)
	}
	if p, _ := w.s.View().Plan(plan.ID); p.Status != proto.PlanQueued {
		t.Errorf("%+v", p)
	}
}

func TestWhereNoMoveHelpsANoticeSaysWhy(t *testing.T) {
	w := newWorld(t, "host-a")
	w.run("shop", "host-a", proto.Critical, 1000)
	w.run("web", "host-a", proto.Standard, 700)
	w.demand["shop"] = 1500
	got := w.settle("host-a")
	n := w.told()[proto.NoticeID(proto.NoticeRefused, "shop")]
	if len(got) != 1 || len(w.told()) != 1 || !strings.Contains(n.Says, "instance shop (critical) is expected to need more than host-a has left: host-a is short of cpu by ") ||
		!strings.Contains(n.Proposes, "there is no host but host-a") {
		t.Errorf("%s: %+v", kinds(got), w.told())
	}
	// Whoever has no forecast for a while is not well again.
	w.now = w.now.Add(grid)
	in := w.input("host-a", true)
	in.Wants = slices.DeleteFunc(in.Wants, func(x Want) bool { return x.Reservation.Instance == "shop" })
	if got := Decide(in); len(got) > 0 {
		t.Errorf("%+v without a forecast", got)
	}
	w.demand["shop"] = 1000
	if got := w.settle("host-a"); len(got) != 1 || len(w.told()) != 0 {
		t.Errorf("%s: %+v", kinds(got), w.told())
	}
}

func TestAShortHostIsToldOfWithWhatTheLedgerProposes(t *testing.T) {
	w := newWorld(t, "host-a", "host-b")
	w.run("web", "host-a", proto.Standard, 900)
	w.run("batch", "host-a", proto.BestEffort, 900)
	span := timeline.Span{Start: w.now.Add(2 * time.Hour), End: w.now.Add(4 * time.Hour)}
	window := proto.CapacityWindow{ID: "repair", Span: span, Amount: resource.Vector{resource.CPU: 1000}, Reason: "repair"}
	w.must(&proto.HostWindow{Host: "host-a", Put: &window, Force: true})
	in := w.input("host-a", false) // it waits for no turn
	got := Decide(in)
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	w.must(got[0].Body)
	n := w.told()[proto.NoticeID(proto.NoticeShort, "host-a")]
	if n.Resource != resource.CPU || n.Missing < 700 || n.Span != span || !strings.Contains(n.Proposes, "batch (besteffort) gives way") {
		t.Errorf("%+v", n)
	}
	if again := w.settle("host-a"); len(again) > 0 {
		t.Errorf("%s while nothing changes", kinds(again))
	}
	w.must(&proto.HostWindow{Host: "host-a", Drop: "repair"})
	if got := w.settle("host-a"); len(got) != 1 || len(w.told()) != 0 {
		t.Errorf("%s: %+v", kinds(got), w.told())
	}
}

func TestNothingIsProposedThatAnOldCoordinatorDoesNotKnow(t *testing.T) {
	w := newWorld(t, "host-a", "host-b")
	old := slices.DeleteFunc(proto.KnownCommands(), func(k proto.KnownType) bool {
		return k.Type == proto.CmdAdmit || k.Type == proto.CmdNotice || k.Type == proto.CmdPlanPut
	})
	w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c2", RPCAddr: "c2:7647", Commands: old}})
	w.run("shop", "host-a", proto.Critical, 800)
	w.run("batch", "host-a", proto.BestEffort, 900)
	w.demand["shop"] = 1400
	if got := w.settle("host-a"); len(got) > 0 {
		t.Errorf("%s", kinds(got))
	}
}

func TestWhateverIsForecastItComesToAnEndAndIsHeldToldOrWaits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, "host-a", "host-b")
		classes := []proto.Class{proto.Critical, proto.Standard, proto.BestEffort}
		n := rapid.IntRange(1, 6).Draw(t, "instances")
		class := map[string]proto.Class{}
		for i := range n {
			name := fmt.Sprint("i", i)
			class[name] = rapid.SampledFrom(classes).Draw(t, "class")
			w.run(name, "host-a", class[name], 100)
		}
		for range rapid.IntRange(1, 6).Draw(t, "turns") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 14).Draw(t, "steps")) * grid)
			for i := range n {
				if rapid.Bool().Draw(t, "changes") {
					w.demand[fmt.Sprint("i", i)] = rapid.Int64Range(20, 1200).Draw(t, "demand")
				}
			}
			w.settle("host-a")
			view := w.s.View()
			if wrong := state.Check(view); len(wrong) > 0 {
				t.Fatalf("%v", wrong)
			}
			told := w.told()
			for _, want := range w.input("host-a", true).Wants {
				r := want.Reservation
				_, refused := told[proto.NoticeID(proto.NoticeRefused, r.Instance)]
				_, squeezed := told[proto.NoticeID(proto.NoticeSqueezed, r.ID)]
				leaves := outgrown(&want, w.now, grid) >= left
				if leaves != refused && !squeezed || refused && squeezed || squeezed != (r.Squeezed != nil) {
					t.Fatalf("%s (%s) needs more: %v; it is told that it is refused: %v, that it has yielded: %v", r.Instance, r.Class, leaves, refused, squeezed)
				}
				if squeezed && r.Class != proto.BestEffort {
					t.Fatalf("%s (%s) has yielded to a forecast", r.Instance, r.Class)
				}
			}
		}
	})
}

// When a host is too small for all of its instances it takes a few notices, and once as many are told as are kept nothing is proposed again and again.
func TestNoticesAreBounded(t *testing.T) {
	w := newWorld(t, "host-a")
	const instances = 2 * refusedMost
	for i := range instances {
		w.run(fmt.Sprintf("i-%02d", i), "host-a", proto.Critical, 100)
	}
	for i := range instances {
		w.demand[fmt.Sprintf("i-%02d", i)] = 1000
	}
	w.settle("host-a")
	told := w.told()
	var said []string
	for _, n := range told {
		if n.Kind == proto.NoticeRefused {
			said = append(said, n.Says)
		}
	}
	if len(said) != refusedMost || !slices.ContainsFunc(said, func(s string) bool {
		return strings.HasSuffix(s, fmt.Sprintf("; so are %d more on it", instances-refusedMost))
	}) {
		t.Fatalf("%d of %d are told of: %q", len(said), instances, said)
	}
	w = newWorld(t, "host-a")
	for i := range proto.MaxNotices {
		w.must(&proto.NoticePut{Put: []proto.Notice{{ID: fmt.Sprint("short/", i), Kind: proto.NoticeShort, Host: fmt.Sprint("h", i)}}})
	}
	w.run("shop", "host-a", proto.Critical, 1000)
	w.run("web", "host-a", proto.Standard, 700)
	w.demand["shop"] = 1500
	if got := w.settle("host-a"); len(got) > 0 {
		t.Errorf("%s where no notice is kept", kinds(got))
	}
	w.must(&proto.NoticePut{Clear: []string{"short/0"}})
	if got := w.settle("host-a"); kinds(got) != kinds([]proto.Body{&proto.NoticePut{}}) {
		t.Errorf("%s where one is kept", kinds(got))
	}
}
