package home

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

const grid = 5 * time.Minute

// world is a fleet whose host-a, at home at c1, runs cache-1; its history is a day of 100m with campaigns of 600m.
type world struct {
	t     testing.TB
	mu    sync.Mutex
	state *state.State
	n     int
	docs  []proto.Document
	away  bool
	mute  bool // the host has not sent a single sample of its own use
	meter counts
	cards *Cards
}

func (w *world) propose(_ context.Context, id, actor string, body proto.Body) (proto.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cmd, err := proto.NewCommand(id, actor, body)
	if err != nil {
		return proto.Result{}, err
	}
	cmd.At = timeline.Of(time.Now())
	r, _ := w.state.Apply(cmd)
	return r, nil
}

func (w *world) view() *state.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.View()
}

func (w *world) must(body proto.Body) {
	w.t.Helper()
	w.n++
	r, err := w.propose(context.Background(), fmt.Sprint("r", w.n), "test", body)
	if err != nil || !r.OK() {
		w.t.Fatalf("%s: %s %v", body.Command(), r.Message, err)
	}
}

func newWorld(t testing.TB, class proto.Class) *world {
	t.Helper()
	cards, err := OpenCards(durable.OS{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, state: state.New(), cards: cards}
	w.must(&proto.FleetInit{Fleet: "f", GridStep: grid.Milliseconds(), Policy: proto.DefaultPolicy()})
	for _, c := range []string{"c1", "c2"} {
		w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: c, RPCAddr: c + ":7647", Commands: proto.KnownCommands()}})
	}
	for _, name := range []string{"host-a", "host-b"} {
		v := resource.Vector{2000, 1 << 30, 10000, 10000, 1 << 30, 1 << 30, 1e9, 1e9}
		w.must(&proto.HostRegister{Incarnation: w.view().Fleet().Incarnation, Facts: proto.HostFacts{
			Name: name, MachineID: "m-" + name, BootID: "b", Capacity: v, Allocatable: v,
			Controllers: []string{"cpu", "io", "memory"}, SyncAddr: name + ":7647",
		}})
		w.must(&proto.HostHome{Host: name, Home: "c1", Standby: "c2"})
	}
	large := resource.Uniform(resource.Unlimited)
	large[resource.CPU], large[resource.Memory] = 1000, 384<<20
	w.must(&proto.AppPut{Application: proto.Application{Name: "redis", Startup: resource.Vector{resource.CPU: 300}, Decay: 10}})
	kind := proto.InstanceType{Name: "m.large", Max: large}
	w.must(&proto.TypePut{Type: kind})
	sizing := planner.NewSizing(class, kind, proto.Application{}, proto.DefaultPolicy())
	cold := sizing.Cold(planner.Grid(timeline.Of(time.Now()), grid))
	allocation, _ := sizing.Allocation(cold)
	w.must(&proto.InstanceApply{Envelope: sizing.Envelope(allocation, cold), Floor: sizing.Floor, Spec: proto.InstanceSpec{
		Name: "cache-1", Driver: "service", Service: &proto.ServiceSpec{Unit: "redis-server.service"},
		Host: "host-a", Type: "m.large", Class: class, Mode: proto.Enforce, Application: "redis",
	}})
	i, _ := w.view().Instance("cache-1")
	w.must(&proto.InstanceAdopted{Instance: "cache-1", Fence: i.Fence})
	return w
}

// campaigns registers three past ones and one that begins in two hours.
func (w *world) campaigns() {
	now := timeline.Of(time.Now())
	for n, at := range []time.Duration{-72 * time.Hour, -48 * time.Hour, -24 * time.Hour, 2 * time.Hour} {
		start := now.Floor(grid).Add(at)
		w.must(&proto.EventPut{Event: proto.Event{
			ID: fmt.Sprint("e", n), Kind: "campaign", Span: timeline.Span{Start: start, End: start.Add(30 * time.Minute)}, Instances: []string{"cache-1"},
		}})
	}
}

// Demand makes up four days of history: 100m and 64 MiB, and 600m in the past campaigns.
func (w *world) Demand(_ context.Context, instance string, span timeline.Span, _ bool) (h forecast.History, err error) {
	w.mu.Lock()
	mute := w.mute
	w.mu.Unlock()
	if mute && instance != "cache-1" {
		return h, nil
	}
	start := span.End.Add(-96 * time.Hour).Floor(grid)
	for k := range h {
		h[k] = forecast.Series{Start: start, Step: grid, Fold: forecast.Max, Values: make([]float64, 96*12)}
	}
	view := w.view()
	for i := range h[0].Values {
		at := start.Add(time.Duration(i) * grid)
		h[resource.CPU].Values[i] = 100 + 10*math.Sin(float64(i))
		h[resource.Memory].Values[i] = 64 << 20
		for e := range view.Events() {
			if instance == "cache-1" && e.Span.Contains(at) {
				h[resource.CPU].Values[i] = 600
			}
		}
	}
	return h, nil
}

// call is the agent of host-a: it stores documents as real ones do.
func (w *world) call(_ context.Context, host, method string, body []byte) ([]byte, error) {
	var d proto.Document
	if err := proto.Unmarshal(body, &d); err != nil || method != proto.MethodDocument {
		return nil, errors.Join(err, errors.New(method))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var stored proto.DocumentVersion
	for _, old := range w.docs {
		if old.Host == host {
			stored = old.Version
		}
	}
	if d.Version.Newer(stored) {
		w.docs = append(w.docs, d)
		stored = d.Version
	}
	return proto.Marshal(stored)
}

func (w *world) online() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return nil
	}
	return []string{"host-a"}
}

func (w *world) homes(arrived <-chan struct{}) *Homes {
	changed := make(chan struct{})
	return New(Config{
		Name: "c1", View: w.view, Changed: func() <-chan struct{} { return changed }, Store: w, Call: w.call, Online: w.online,
		Arrived: func() <-chan struct{} { return arrived }, Propose: w.propose, Meter: &w.meter, Log: slog.New(slog.DiscardHandler),
		Cards: w.cards, Copy: func(context.Context, proto.Scorecard) error { return nil },
		Silent: func(context.Context) map[string]timeline.Time { return nil }, DataBytes: func(context.Context, string) (int64, error) { return 0, nil },
	})
}

// run lets homes work for a while and returns the last document of host-a.
func (w *world) run(d time.Duration) proto.Document {
	ctx, cancel := context.WithCancel(context.Background())
	arrived := make(chan struct{}, 1)
	ended := make(chan error, 1)
	h := w.homes(arrived)
	go func() { ended <- h.Run(ctx) }()
	time.Sleep(d)
	cancel()
	if err := <-ended; err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.docs) == 0 {
		w.t.Fatal("no document was pushed")
	}
	return w.docs[len(w.docs)-1]
}

// ordered checks what every agent insists on.
func ordered(t *testing.T, d proto.Document) {
	t.Helper()
	for _, s := range d.Instances {
		if err := errors.Join(s.Schedule.Valid(), s.Promised.Valid()); err != nil {
			t.Error(err)
		}
		if !s.Floor.Fits(s.Safe) || !s.Safe.Fits(s.Max) {
			t.Errorf("%s: floor %v, safe %v, max %v", s.Instance, s.Floor, s.Safe, s.Max)
		}
		for i, step := range s.Schedule {
			promised, in := s.Promised.At(step.Start)
			if !in || !s.Safe.Fits(step.Amount) || !step.Amount.Fits(promised) || !promised.Fits(s.Max) {
				t.Errorf("%s at %s: safe %v, schedule %v, promised %v", s.Instance, step.Start, s.Safe, step.Amount, promised)
			}
			if i > 0 && s.Schedule[i-1].End != step.Start {
				t.Errorf("%s has a gap at %s", s.Instance, step.Start)
			}
		}
	}
}

func TestSchedulesRiseBeforeTheCampaignAndReservationsFollowTheForecast(t *testing.T) {
	for _, class := range []proto.Class{proto.Critical, proto.Standard} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, class)
			w.campaigns()
			begin := timeline.Of(time.Now())
			w.run(65 * time.Minute)
			d := w.run(10 * time.Second)
			ordered(t, d)
			if len(d.Instances) != 1 || !d.Instances[0].Limited {
				t.Fatalf("%+v", d.Instances)
			}
			s := d.Instances[0]
			campaign := begin.Floor(grid).Add(2 * time.Hour)
			quiet, _ := s.Schedule.At(campaign.Add(-10 * time.Minute))
			loud, _ := s.Schedule.At(campaign)
			if quiet[resource.CPU] > 250 || loud[resource.CPU] < 500 {
				t.Errorf("%s: %d before the campaign, %d in it", class, quiet[resource.CPU], loud[resource.CPU])
			}
			if loud[resource.NetTx] != resource.Unlimited {
				t.Errorf("network is limited to %d, which the type does not", loud[resource.NetTx])
			}
			i, _ := w.view().Instance("cache-1")
			r, _ := w.view().Reservation(i.Reservation)
			if held := planner.Promised(r.Envelope).MaxOver(timeline.Span{Start: begin, End: begin.Add(20 * time.Hour)}); held[resource.CPU] > 900 {
				t.Errorf("%s: %d is still held for the type's maximum", class, held[resource.CPU])
			}
			if _, ok := w.view().Reservation(proto.SystemReservation("host-a")); !ok {
				t.Error("the system has no reservation")
			}
			if v := state.Check(w.view()); len(v) > 0 {
				t.Error(v)
			}
		})
	}
}

func TestNothingIsHeldForAHostsOwnUseBeforeItsFirstSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		w.mute = true
		w.run(30 * time.Second)
		if r, ok := w.view().Reservation(proto.SystemReservation("host-a")); ok {
			t.Errorf("%v is held without a sample", planner.Promised(r.Envelope).MaxOver(timeline.Span{End: timeline.Forever}))
		}
		time.AfterFunc(grid/2, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.mute = false
		})
		w.run(2 * grid)
		if r, ok := w.view().Reservation(proto.SystemReservation("host-a")); !ok || planner.Promised(r.Envelope).MaxOver(timeline.Span{End: timeline.Forever})[resource.Memory] > 128<<20 {
			t.Errorf("%v is held for 64 MiB", planner.Promised(r.Envelope).MaxOver(timeline.Span{End: timeline.Forever}))
		}
	})
}

func TestDocumentsArePushedWhenTheySaySomethingNewAndToAnAgentThatCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		first := w.run(30 * time.Second)
		if again := w.run(30 * time.Second); !again.Version.Newer(first.Version) {
			t.Errorf("a new life of the home pushed %v after %v", again.Version, first.Version)
		}
		w.mu.Lock()
		w.away, w.docs = true, w.docs[:1]
		w.mu.Unlock()
		n := len(w.docs)
		w.run(time.Minute)
		if len(w.docs) != n {
			t.Error("pushed to an agent that is away")
		}
		w.mu.Lock()
		w.away = false
		w.mu.Unlock()
		w.run(20 * time.Second)
		if len(w.docs) == n {
			t.Error("nothing was pushed to an agent that came back")
		}
		for i := 1; i < len(w.docs); i++ {
			if !w.docs[i].Version.Newer(w.docs[i-1].Version) {
				t.Errorf("%v after %v", w.docs[i].Version, w.docs[i-1].Version)
			}
		}
	})
}

func TestTheTargetFollowsThePlanUntilItIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		time.Sleep(grid - time.Minute) // so that the step of the planned switch ends soon
		now := timeline.Of(time.Now())
		little := timeline.Flat(planner.Grid(now, grid), resource.Vector{100, 64 << 20, 10, 10, 1 << 20, 1 << 20, 1e6, 1e6})
		result, err := planner.Make(planner.Input{
			Request: planner.Request{Instance: "cache-1", Target: "host-b"}, View: w.view(), Now: now, Data: 1 << 20, Costs: planner.DefaultCosts(),
			Forecast: proto.ForecastReply{Start: now, Step: grid.Milliseconds(), Quantiles: []int{500, 990}, Profiles: []timeline.Profile{little, little}},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.must(&proto.MigrationStart{ID: "m1", Plan: result.Plan, Reservation: result.Reservation, Extra: result.Extra})
		b, _ := w.view().Host("host-b")
		d := derive(w.view(), b, now, func(string) (proto.ForecastReply, bool) { return proto.ForecastReply{}, false })
		ordered(t, d)
		if len(d.Instances) != 1 {
			t.Fatalf("%+v", d.Instances)
		}
		for _, step := range result.Plan.Profile[:2] {
			if got, _ := d.Instances[0].Schedule.At(step.Start); got[resource.CPU] != step.Allocation[resource.CPU] {
				t.Errorf("at %s: %d, the plan says %d", step.Start, got[resource.CPU], step.Allocation[resource.CPU])
			}
		}
		// The switch comes later than planned: what a start takes comes with it.
		planned := result.Plan.Phases[2].Start
		time.Sleep(planned.Sub(now) + 90*time.Second)
		late := timeline.Of(time.Now())
		w.must(&proto.MigrationAdvance{Migration: "m1", From: proto.PhasePrepare, To: proto.PhaseCopy})
		w.must(&proto.MigrationFreeze{Migration: "m1", Fence: result.Plan.Fence})
		d = derive(w.view(), b, late, func(string) (proto.ForecastReply, bool) { return proto.ForecastReply{}, false })
		ordered(t, d)
		start := result.Plan.Profile[1].Allocation[resource.CPU]
		if got, _ := d.Instances[0].Schedule.At(late); got[resource.CPU] < start || start < 300 {
			t.Errorf("at a switch that is late: %d, a start takes %d", got[resource.CPU], start)
		}
	})
}

func TestAForecastIsAnsweredOnTheGridAndOnOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		w.campaigns()
		h := w.homes(nil)
		ctx := context.Background()
		for _, r := range []proto.ForecastRequest{{Instance: "cache-1"}, {Instance: "cache-1", Step: time.Minute.Milliseconds(), Steps: 120}, {Instance: "cache-1", Steps: 12, Means: true}} {
			got, err := h.Forecast(ctx, wire.Peer{}, r)
			if err != nil {
				t.Fatal(err)
			}
			if span := got.At(990).Span(); r.Steps > 0 && int(span.Length()/(time.Duration(got.Step)*time.Millisecond)) != r.Steps {
				t.Errorf("%+v spans %s", r, span)
			}
			if len(got.Reasons) == 0 {
				t.Errorf("%+v has no reasons", r)
			}
			if p := got.Patterns; len(p) != resource.Kinds || p[1].Resource != resource.Memory || p[1].Pattern != "steady" || p[1].Confidence < 500 {
				t.Errorf("%+v: patterns %+v, want memory to be steady", r, p)
			}
		}
		if _, err := h.Forecast(ctx, wire.Peer{}, proto.ForecastRequest{Instance: "cache-1", Steps: 1 << 30}); wire.CodeOf(err) != wire.Invalid {
			t.Error(err)
		}
	})
}

func TestAnEventThatIsRegisteredOrRemovedCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		h := w.homes(make(chan struct{}))
		highest := func() int64 {
			t.Helper()
			reply, err := h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: "cache-1", Steps: 36})
			if err != nil {
				t.Fatal(err)
			}
			return reply.At(500).MaxOver(reply.At(500).Span())[resource.CPU]
		}
		if got := highest(); got > 200 {
			t.Fatalf("without events up to %d are expected in the next three hours", got)
		}
		w.campaigns()
		if got := highest(); got < 450 {
			t.Errorf("with a campaign registered, up to %d are expected in the next three hours", got)
		}
		w.must(&proto.EventRemove{ID: "e3"})
		if got := highest(); got > 200 {
			t.Errorf("with that campaign removed, up to %d are expected", got)
		}
	})
}

func TestAForecastThatBeginsLaterReachesAsFarAsItIsAskedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		h := w.homes(nil)
		now := timeline.Of(time.Now()).Floor(grid)
		for _, c := range []struct {
			after time.Duration
			steps int
			most  int // missing at the end
		}{{0, planner.GridSteps, 0}, {time.Minute, planner.GridSteps, 0}, {grid, planner.GridSteps, 1}, {47 * time.Hour, 12, 0}, {47 * time.Hour, 48, 0}, {24 * time.Hour, planner.GridSteps, 0}, {9 * 24 * time.Hour, 0, 0}} {
			r, err := h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: "cache-1", From: now.Add(c.after), Steps: c.steps})
			if err != nil {
				t.Fatal(err)
			}
			want := timeline.Span{Start: now.Add(c.after).Floor(grid)}
			if c.steps == 0 {
				c.steps = planner.GridSteps
			}
			want.End = want.Start.Add(time.Duration(c.steps-c.most) * grid)
			if got := r.At(500).Span(); got != want || r.Start != want.Start {
				t.Errorf("%d steps from %s on: %s, want %s", c.steps, c.after, got, want)
			}
		}
		if _, err := h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: "cache-1", From: timeline.Forever - 1}); wire.CodeOf(err) != wire.Invalid {
			t.Errorf("at the end of time: %v", err)
		}
	})
}

func TestBeforeTheFleetIsKnownNothingIsForecast(t *testing.T) {
	h := New(Config{View: func() *state.View { return state.New().View() }})
	if _, err := h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: "cache-1"}); wire.CodeOf(err) != wire.Unavailable {
		t.Error(err)
	}
}
