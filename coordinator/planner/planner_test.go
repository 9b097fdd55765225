package planner

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/lesson"
	"github.com/glidepath/glidepath/coordinator/planner/plannertest"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	begin = timeline.Time(1_800_000_000_000)
	grid  = 5 * time.Minute
)

// world is a fleet with hosts a, b and c, of which a runs cache-1.
type world struct {
	t interface {
		Helper()
		Fatalf(string, ...any)
	}
	state *state.State
	n     int
}

func (w *world) apply(body proto.Body) proto.Result {
	w.t.Helper()
	w.n++
	cmd, err := proto.NewCommand(fmt.Sprint("r", w.n), "test", body)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	cmd.At = begin
	r, _ := w.state.Apply(cmd)
	return r
}

func (w *world) must(body proto.Body) {
	w.t.Helper()
	if r := w.apply(body); !r.OK() {
		w.t.Fatalf("%s: %s", body.Command(), r.Message)
	}
}

func facts(name string, cpu int64) proto.HostFacts {
	v := resource.Vector{cpu, 4 << 30, 10000, 10000, 1 << 30, 1 << 30, 1e9, 1e9}
	return proto.HostFacts{
		Name: name, MachineID: "m-" + name, BootID: "b", Capacity: v, Allocatable: v, Controllers: []string{"cpu", "io", "memory"},
		Segment: "lan", SyncAddr: name + ":7647",
	}
}

func newWorld(t interface {
	Helper()
	Fatalf(string, ...any)
}) *world {
	t.Helper()
	w := &world{t: t, state: state.New()}
	w.must(&proto.FleetInit{Fleet: "f", GridStep: grid.Milliseconds(), Policy: proto.DefaultPolicy()})
	for name, cpu := range map[string]int64{"host-a": 4000, "host-b": 2000, "host-c": 4000} {
		w.must(&proto.HostRegister{Facts: facts(name, cpu), Incarnation: w.state.View().Fleet().Incarnation})
	}
	small, large := resource.Uniform(resource.Unlimited), resource.Uniform(resource.Unlimited)
	small[resource.CPU], small[resource.Memory] = 250, 128<<20
	large[resource.CPU], large[resource.Memory] = 1000, 384<<20
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "m.small", Max: small}})
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "m.large", Max: large}})
	w.must(&proto.AppPut{Application: proto.Application{Name: "redis", Startup: resource.Vector{resource.CPU: 300}, Decay: 60}})
	sizing := NewSizing(proto.Critical, proto.InstanceType{Max: small}, proto.Application{}, proto.DefaultPolicy())
	cold := sizing.Cold(timeline.Span{Start: begin, End: begin.Add(48 * time.Hour)})
	allocation, _ := sizing.Allocation(cold)
	w.must(&proto.InstanceApply{
		Spec: proto.InstanceSpec{
			Name: "cache-1", Driver: "service", Service: &proto.ServiceSpec{Unit: "redis-server.service", Data: []string{"/var/lib/redis"}},
			Host: "host-a", Addresses: []string{"10.77.0.60/24"}, Type: "m.small", Class: proto.Critical, Application: "redis", Mode: proto.Enforce,
		},
		Envelope: sizing.Envelope(allocation, cold), Floor: sizing.Floor,
	})
	i, _ := w.state.View().Instance("cache-1")
	w.must(&proto.InstanceAdopted{Instance: "cache-1", Fence: i.Fence})
	return w
}

// forecast is 100m of CPU and 64 MiB, and a campaign of peak CPU from 2 h to 3 h from begin.
func forecast(peak int64) proto.ForecastReply {
	base := resource.Vector{resource.CPU: 100, resource.Memory: 64 << 20, resource.WriteBytes: 1 << 20, resource.NetTx: 1e6}
	high := base
	high[resource.CPU] = peak
	span := func(from, to time.Duration) timeline.Span {
		return timeline.Span{Start: begin.Add(from), End: begin.Add(to)}
	}
	p := timeline.Profile{{Span: span(0, 2*time.Hour), Amount: base}, {Span: span(2*time.Hour, 3*time.Hour), Amount: high}, {Span: span(3*time.Hour, 48*time.Hour), Amount: base}}
	half := p.Map(func(v resource.Vector) resource.Vector { return v.Scale(1, 2) })
	return proto.ForecastReply{
		Instance: "cache-1", Start: begin, Step: grid.Milliseconds(), Quantiles: []int{500, 950, 990},
		Profiles: []timeline.Profile{half, p, p}, Reasons: []string{"campaign: +0.6 cores for 1 h, from 3 occurrences"},
	}
}

func (w *world) plan(r Request) (Result, error) {
	return Make(Input{Request: r, View: w.state.View(), Now: begin, Forecast: forecast(700), Data: 60 << 20, Costs: DefaultCosts()})
}

func TestAPlanIsAdmittedAsItStands(t *testing.T) {
	w := newWorld(t)
	r, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Type: "m.large"})
	if err != nil {
		t.Fatal(err)
	}
	if res := w.apply(&proto.MigrationStart{ID: "m1", Plan: r.Plan, Reservation: r.Reservation, Extra: r.Extra}); !res.OK() {
		t.Fatal(res.Message)
	}
	if v := state.Check(w.state.View()); len(v) > 0 {
		t.Fatal(v)
	}
	if r.Plan.Rounds < 1 || r.Plan.Bytes < 60<<20 || r.Plan.Downtime <= 0 || r.Plan.Duration <= r.Plan.Downtime {
		t.Errorf("rounds %d, bytes %d, downtime %d ms, duration %d ms", r.Plan.Rounds, r.Plan.Bytes, r.Plan.Downtime, r.Plan.Duration)
	}
}

func TestATransferTakesWhatTheLinksHaveLeftForAsLongAsItLasts(t *testing.T) {
	w := newWorld(t)
	// From the next step of the grid on the target's link has 100 Mbit/s left.
	soon := timeline.Span{Start: begin.Floor(grid).Add(grid), End: begin.Add(time.Hour)}
	w.must(&proto.HostSet{Host: "host-b", Reduced: timeline.Flat(soon, resource.Vector{resource.NetRx: 900_000_000})})
	r, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Type: "m.large"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Plan.Rate > 50_000_000-500_000 || r.Plan.Rate < 40_000_000 {
		t.Errorf("it is to move at %d bit/s; 100 Mbit/s are left", r.Plan.Rate)
	}
	if res := w.apply(&proto.MigrationStart{ID: "m1", Plan: r.Plan, Reservation: r.Reservation, Extra: r.Extra}); !res.OK() {
		t.Fatal(res.Message)
	}
}

func TestTheAllocationRisesBeforeTheCampaignAndForTheStart(t *testing.T) {
	w := newWorld(t)
	r, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Type: "m.large"})
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) proto.PlanStep {
		for _, s := range r.Plan.Profile {
			if s.Contains(begin.Add(d)) {
				return s
			}
		}
		t.Fatalf("no step at %s", d)
		return proto.PlanStep{}
	}
	running := r.Plan.Phases[2].Start
	if got := at(0).Allocation[resource.CPU]; got != leastFloor[resource.CPU] {
		t.Errorf("while nothing runs there it gets %d", got)
	}
	if got := at(running.Sub(begin)); got.Allocation[resource.CPU] < 400 || !strings.Contains(got.Reason, "start-up") {
		t.Errorf("at its start it gets %d (%s)", got.Allocation[resource.CPU], got.Reason)
	}
	if got := at(time.Hour).Allocation[resource.CPU]; got > 130 {
		t.Errorf("in quiet times it gets %d", got)
	}
	for _, d := range []time.Duration{2*time.Hour - grid, 2*time.Hour - time.Second, 2 * time.Hour, 2*time.Hour + 30*time.Minute} {
		if got := at(d).Allocation[resource.CPU]; got < 700 {
			t.Errorf("around the campaign, at %s, it gets %d", d, got)
		}
	}
	if got := at(2*time.Hour - grid - time.Second).Allocation[resource.CPU]; got > 130 {
		t.Errorf("more than a step of the grid before the campaign it gets %d already", got)
	}
}

func TestASwitchThatIsLateStillFindsWhatAStartTakes(t *testing.T) {
	w := newWorld(t)
	r, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Type: "m.large"})
	if err != nil {
		t.Fatal(err)
	}
	held := r.Plan.Envelope.Expected()
	planned := r.Plan.Phases[2].Start
	start := r.Plan.Profile[1].Allocation
	for _, late := range []time.Duration{0, 30 * time.Second, 2 * time.Minute} {
		if got, _ := held.At(planned.Add(late)); got[resource.CPU] < start[resource.CPU] {
			t.Errorf("%s late it finds %d, a start takes %d", late, got[resource.CPU], start[resource.CPU])
		}
	}
	if got, _ := held.At(planned.Add(time.Hour)); got[resource.CPU] >= start[resource.CPU] {
		t.Errorf("an hour later %d are held still", got[resource.CPU])
	}
}

func TestARefusalNamesHostStepResourceAndAmount(t *testing.T) {
	w := newWorld(t)
	small := facts("host-b", 600)
	w.must(&proto.HostRegister{Facts: small, Incarnation: w.state.View().Fleet().Incarnation})
	_, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Type: "m.large"})
	var no *Refusal
	if !errors.As(err, &no) || len(no.Considered) != 1 || no.Considered[0].Shortfall == nil {
		t.Fatalf("%v", err)
	}
	short := no.Considered[0].Shortfall
	if short.Host != "host-b" || short.Resource != resource.CPU || short.Missing != 135 || !short.Span.Overlaps(timeline.Span{Start: begin.Add(2*time.Hour - grid), End: begin.Add(3 * time.Hour)}) {
		t.Errorf("%v", short)
	}
	if !strings.Contains(err.Error(), "host-b") || !strings.Contains(err.Error(), "135m") {
		t.Errorf("%v", err)
	}
}

func TestThePlannerChoosesTheHostWithMoreRoom(t *testing.T) {
	w := newWorld(t)
	r, err := w.plan(Request{Instance: "cache-1", Type: "m.large"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Plan.Target != "host-c" || len(r.Plan.Considered) != 2 {
		t.Fatalf("%s of %v", r.Plan.Target, r.Plan.Considered)
	}
	w.must(&proto.HostSet{Host: "host-c", Cordoned: true})
	if r, err = w.plan(Request{Instance: "cache-1", Type: "m.large"}); err != nil || r.Plan.Target != "host-b" {
		t.Fatalf("%s, %v", r.Plan.Target, err)
	}
}

func TestWhatCantBeIsRefusedWithTheReason(t *testing.T) {
	w := newWorld(t)
	other := facts("host-b", 2000)
	other.Segment = "elsewhere"
	w.must(&proto.HostRegister{Facts: other, Incarnation: w.state.View().Fleet().Incarnation})
	for want, r := range map[string]Request{
		"no instance cache-9":     {Instance: "cache-9"},
		"on host-a already":       {Instance: "cache-1", Target: "host-a"},
		"no host host-x":          {Instance: "cache-1", Target: "host-x"},
		"no instance type m.huge": {Instance: "cache-1", Target: "host-c", Type: "m.huge"},
		"belongs to segment lan":  {Instance: "cache-1", Target: "host-b"},
	} {
		if _, err := w.plan(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", r, err, want)
		}
	}
}

func TestAHostWhoseClockIsWrongTakesPartInNoMove(t *testing.T) {
	for _, host := range []string{"host-a", "host-b"} {
		w := newWorld(t)
		f := facts(host, 2000)
		f.Missing = []proto.Missing{{What: proto.LacksClock, Remedy: "set it"}}
		w.must(&proto.HostRegister{Facts: f, Incarnation: w.state.View().Fleet().Incarnation})
		_, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Type: "m.large"})
		var no *Refusal
		if !errors.As(err, &no) || !strings.Contains(no.Reason, host+": its clock does not agree with the coordinators': set it") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestAForecastAboveTheTypeIsAWarningNotASilentClamp(t *testing.T) {
	w := newWorld(t)
	r, err := w.plan(Request{Instance: "cache-1", Target: "host-b"}) // stays m.small: 250m
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Plan.Warnings) == 0 || !strings.Contains(r.Plan.Warnings[0], "m.small") || !strings.Contains(r.Plan.Warnings[0], "485m") {
		t.Fatalf("warnings %q", r.Plan.Warnings)
	}
}

func TestAPlanSaysForHowLongHooksMayKeepClientsWaiting(t *testing.T) {
	w := newWorld(t)
	i, _ := w.state.View().Instance("cache-1")
	hook := func(timeout proto.Seconds, on proto.HookSide) proto.Hook {
		return proto.Hook{Exec: []string{"/bin/true"}, Timeout: timeout, On: on}
	}
	warned := func() string {
		r, err := w.plan(Request{Instance: "cache-1", Target: "host-c", Type: "m.large"})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(r.Plan.Warnings, "\n")
	}
	for _, c := range []struct {
		hooks proto.Hooks
		want  string
	}{
		{proto.Hooks{BeforeFreeze: []proto.Hook{hook(9, "")}, AfterConfirm: []proto.Hook{hook(9, "")}, OnAbort: []proto.Hook{hook(9, "")}}, ""},
		{proto.Hooks{AfterFreeze: []proto.Hook{hook(2, ""), hook(3, "")}, BeforeStart: []proto.Hook{hook(0, proto.HookBoth), hook(7, proto.HookSource)}}, "up to 42s more"},
	} {
		spec := i.Spec
		spec.Hooks = c.hooks
		w.must(&proto.InstanceApply{Spec: spec})
		if got := warned(); strings.Contains(got, "hooks") != (c.want != "") || !strings.Contains(got, c.want) {
			t.Errorf("warnings %q, want %q", got, c.want)
		}
	}
}

func TestWithoutHistoryTheTypesMaximumStandsIn(t *testing.T) {
	w := newWorld(t)
	r, err := Make(Input{Request: Request{Instance: "cache-1", Target: "host-b", Type: "m.large"}, View: w.state.View(), Now: begin, Costs: DefaultCosts()})
	if err != nil {
		t.Fatal(err)
	}
	last := r.Plan.Profile[len(r.Plan.Profile)-1].Allocation
	if last[resource.CPU] != 1000 || last[resource.Memory] != 384<<20 {
		t.Errorf("%v", last)
	}
	if !strings.Contains(strings.Join(r.Plan.Reasons, " "), "no history") {
		t.Errorf("%q", r.Plan.Reasons)
	}
}

func TestAWideBandOnAFastLinkIsHeldUpToTheType(t *testing.T) {
	const link = 100_000_000_000 // bits in a second
	s := NewSizing(proto.Standard, proto.InstanceType{Max: resource.Uniform(link)}, proto.Application{}, proto.DefaultPolicy())
	span := timeline.Span{Start: begin, End: begin.Add(grid)}
	f := proto.ForecastReply{Start: begin, Step: grid.Milliseconds(), Quantiles: []int{500, 950}, Profiles: []timeline.Profile{
		timeline.Flat(span, resource.Uniform(link/5)), timeline.Flat(span, resource.Uniform(link*9/10)),
	}}
	allocation, _ := s.Allocation(f)
	for _, seg := range s.Envelope(allocation, f) {
		k := resource.NetTx
		held := seg.Firm[k] + seg.Mean[k] + (seg.Own[k]+seg.Common[k])*Deviations/100
		if held < link-10 || held > link {
			t.Errorf("%d of %d bit/s are held: %+v", held, int64(link), seg)
		}
		if seg.Own[k] < 3*seg.Common[k] {
			t.Errorf("the deviations are not in proportion: %+v", seg)
		}
	}
}

func TestEnvelopesCoverAllocationsWithinFloorAndType(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		class := rapid.SampledFrom([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort}).Draw(t, "class")
		s := NewSizing(class, proto.InstanceType{Max: resource.Uniform(rapid.Int64Range(1, 1<<45).Draw(t, "max"))}, proto.Application{}, proto.DefaultPolicy())
		f := plannertest.Forecast(t, begin, grid, 1<<44)
		allocation, cut := s.Allocation(f)
		e := s.Envelope(allocation, f)
		if err := e.Valid(class); err != nil {
			t.Fatal(err)
		}
		if !e.Open() {
			t.Fatal("the envelope ends")
		}
		for _, step := range allocation {
			if !s.Floor.Fits(step.Amount) || !step.Amount.Fits(s.Type) {
				t.Fatalf("%v is not between floor and type", step.Amount)
			}
			if want, _ := f.At(s.Quantile).At(step.Start); cut.IsZero() && !want.Fits(step.Amount) {
				t.Fatalf("%v is below the quantile %v", step.Amount, want)
			}
			for _, seg := range e {
				if !seg.Overlaps(step.Span) {
					continue
				}
				if class == proto.Critical && !step.Amount.Fits(seg.Firm) {
					t.Fatalf("critical: %v is not firm in %v", step.Amount, seg.Firm)
				}
				if seg.Firm[resource.Memory] < step.Amount[resource.Memory] {
					t.Fatal("memory is not firm")
				}
			}
		}
		if !s.Safe(f).Fits(s.Type) || !s.Floor.Fits(s.Safe(f)) {
			t.Fatal("the safe allocation is not between floor and type")
		}
	})
}

func TestRoundsShrinkUntilTheRestIsSmallOrGiveUp(t *testing.T) {
	c := DefaultCosts()
	quiet := c.transfer(60<<20, begin, flat(100<<10), flat(25_000_000))
	if quiet.Rounds != 1 || !quiet.Settled || quiet.Rest > smallRest {
		t.Errorf("%+v", quiet)
	}
	busy := c.transfer(1<<30, begin, flat(10<<20), flat(25_000_000))
	if busy.Rounds < 2 || !busy.Settled || busy.Downtime <= quiet.Downtime {
		t.Errorf("%+v", busy)
	}
	if hopeless := c.transfer(1<<30, begin, flat(100<<20), flat(25_000_000)); hopeless.Settled || hopeless.Rounds > maxRounds {
		t.Errorf("%+v", hopeless)
	}
}

func TestStartUpDemandWithoutADecayIsGoneAfterAMinute(t *testing.T) {
	demand := resource.Vector{resource.CPU: 1000}
	for _, c := range []struct {
		decay       int64
		since       time.Duration
		least, most int64
	}{
		{0, 0, 1000, 1000}, {0, time.Minute, 1, 60}, {0, 2 * time.Minute, 0, 0}, {60, time.Minute, 360, 370},
	} {
		p := planning{processors: processors{start: lesson.Book{}.Start(proto.Application{Startup: demand, Decay: c.decay}, proto.CPU{})}}
		if got := p.startup(c.since)[resource.CPU]; got < c.least || got > c.most {
			t.Errorf("decay %d, after %v: %d, want %d to %d", c.decay, c.since, got, c.least, c.most)
		}
	}
}

func TestTheWarmPhaseLastsAsLongAsStartUpDemand(t *testing.T) {
	for decay, want := range map[int64]time.Duration{0: time.Minute, 60: 3 * time.Minute, 5: 15 * time.Second, 1: warmLeast} {
		w := newWorld(t)
		w.must(&proto.AppPut{Application: proto.Application{Name: "redis", Startup: resource.Vector{resource.CPU: 300}, Decay: decay}})
		r, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Type: "m.large"})
		if err != nil {
			t.Fatal(err)
		}
		for _, ph := range r.Plan.Phases {
			if got := ph.End.Sub(ph.Start); ph.Phase == proto.PhaseWarm && got != want {
				t.Errorf("decay %d: it is warm for %v, want %v", decay, got, want)
			}
		}
	}
}

func TestAMoveThatBeginsLaterTakesNothingBefore(t *testing.T) {
	w := newWorld(t)
	busy := timeline.Span{Start: begin, End: begin.Add(2 * time.Hour)}
	w.must(&proto.HostSet{Host: "host-b", Reduced: timeline.Flat(busy, resource.Vector{resource.NetRx: 900_000_000})})
	p, err := prepare(Input{
		Request: Request{Instance: "cache-1", Target: "host-b", Type: "m.large"}, View: w.state.View(), Now: begin,
		Forecast: forecast(700), Data: 60 << 20, Costs: DefaultCosts(),
	})
	if err != nil {
		t.Fatal(err)
	}
	host, _ := w.state.View().Host("host-b")
	start := begin.Add(4 * time.Hour)
	now, later := p.to(host, begin), p.to(host, start)
	if later.Plan.Start != start || later.Plan.Phases[0].Start != start || later.Plan.Profile[0].Start != start || later.Plan.MadeAt != begin {
		t.Errorf("it begins at %s, its phases at %s, its profile at %s", later.Plan.Start, later.Plan.Phases[0].Start, later.Plan.Profile[0].Start)
	}
	if later.Plan.Rate <= now.Plan.Rate || later.Plan.Duration >= now.Plan.Duration {
		t.Errorf("with the link free it moves at %d bit/s for %d ms, with little left at %d bit/s for %d ms", later.Plan.Rate, later.Plan.Duration, now.Plan.Rate, now.Plan.Duration)
	}
	for _, r := range append(later.Extra, later.Reservation) {
		if r.Envelope.Start() < start.Floor(grid) {
			t.Errorf("%s is held from %s on", r.ID, r.Envelope.Start())
		}
	}
	if err := w.state.View().Ledger().Fits(p.change(later)); err != nil {
		t.Error(err)
	}
}
