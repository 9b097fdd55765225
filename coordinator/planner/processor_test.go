package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// runsOn states a host's CPU.
func (w *world) runsOn(host, model string, score int64) {
	w.t.Helper()
	h, _ := w.state.View().Host(host)
	f := h.Facts
	f.CPUModel, f.CPUScore = model, score
	w.must(&proto.HostRegister{Facts: f, Incarnation: w.state.View().Fleet().Incarnation})
}

// quiet returns what a plan allocates in its quiet time.
func quiet(t *testing.T, p proto.Plan) resource.Vector {
	t.Helper()
	for _, s := range p.Profile {
		if s.Contains(begin.Add(time.Hour)) {
			return s.Allocation
		}
	}
	t.Fatal("no step after an hour")
	return resource.Vector{}
}

func TestAPlanIsMadeWithDemandAsItIsOnTheTargetsCPU(t *testing.T) {
	for _, c := range []struct {
		name        string
		model       string
		score       int64
		least, most int64 // of CPU, where 110 are allocated on the source's model
		says        string
	}{
		{"the same model", "xeon", 70, 110, 110, ""},
		{"a slower one", "atom", 80, 137, 150, "host-b's CPU does 0.8 of the work of host-a's by benchmarks: CPU is forecast as 1.25 times"},
		{"a faster one", "epyc", 200, 55, 66, "does 2 of the work"},
		{"one that nothing is known of", "arm", 0, 111, 150, "with a wider band"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.runsOn("host-a", "xeon", 100)
			w.runsOn("host-b", c.model, c.score)
			for _, target := range []string{"host-b", ""} {
				w.must(&proto.HostSet{Host: "host-c", Cordoned: true})
				r, err := w.plan(Request{Instance: "cache-1", Target: target, Type: "m.large"})
				if err != nil {
					t.Fatal(err)
				}
				if got := quiet(t, r.Plan)[resource.CPU]; got < c.least || got > c.most {
					t.Errorf("to %q: %d of CPU, want %d to %d", target, got, c.least, c.most)
				}
				if held, _ := r.Reservation.Envelope.Expected().At(begin.Add(time.Hour)); held[resource.CPU] < c.least || held[resource.CPU] > c.most {
					t.Errorf("to %q: %d of CPU are held", target, held[resource.CPU])
				}
				said := slices.ContainsFunc(r.Plan.Reasons, func(s string) bool { return strings.Contains(s, "'s CPU") })
				if said != (c.says != "") || said && !strings.Contains(strings.Join(r.Plan.Reasons, "\n"), c.says) {
					t.Errorf("to %q: reasons %q, want %q", target, r.Plan.Reasons, c.says)
				}
			}
		})
	}
}

func TestWhatStandsInForDemandIsMoreOnASlowerCPUAndNoLessOnAFasterOne(t *testing.T) {
	for _, c := range []struct{ score, say, least, most int64 }{{50, 200, 420, 600}, {50, 800, 1000, 1000}, {200, 200, 210, 210}} {
		w := newWorld(t)
		w.runsOn("host-a", "xeon", 100)
		w.runsOn("host-b", "other", c.score)
		f := forecast(c.say)
		f.Cold = true
		for i := range f.Profiles {
			f.Profiles[i] = timeline.Flat(f.Profiles[i].Span(), resource.Vector{resource.CPU: c.say, resource.Memory: 64 << 20})
		}
		r, err := Make(Input{Request: Request{Instance: "cache-1", Target: "host-b", Type: "m.large"}, View: w.state.View(), Now: begin, Forecast: f, Costs: DefaultCosts()})
		if err != nil {
			t.Fatal(err)
		}
		if got := quiet(t, r.Plan)[resource.CPU]; got < c.least || got > c.most {
			t.Errorf("%d on a CPU of %d: %d, want %d to %d", c.say, c.score, got, c.least, c.most)
		}
		if slices.ContainsFunc(r.Plan.Warnings, func(s string) bool { return strings.Contains(s, "exceeds") }) && c.say < 800 {
			t.Errorf("warnings %q", r.Plan.Warnings)
		}
	}
}

func TestHostsOfTwoModelsAreWeighedEachByItsOwn(t *testing.T) {
	w := newWorld(t)
	w.runsOn("host-a", "xeon", 100)
	w.runsOn("host-b", "atom", 50)
	w.runsOn("host-c", "epyc", 400)
	// Of the campaign's 735 a half fits on the fast host, and twice as much on no other.
	w.must(&proto.HostSet{Host: "host-c", Override: resource.Vector{resource.CPU: 600}})
	w.must(&proto.HostSet{Host: "host-b", Override: resource.Vector{resource.CPU: 1000}})
	large := resource.Uniform(resource.Unlimited)
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "m.huge", Max: large}})
	r, err := w.plan(Request{Instance: "cache-1", Type: "m.huge"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Plan.Target != "host-c" {
		t.Errorf("it is to go to %s", r.Plan.Target)
	}
	if !slices.ContainsFunc(r.Plan.Considered, func(c proto.Considered) bool {
		return c.Host == "host-b" && strings.Contains(c.Reason, "short of cpu")
	}) {
		t.Errorf("host-b is not short of CPU: %+v", r.Plan.Considered)
	}
	if res := w.apply(&proto.MigrationStart{ID: "m1", Plan: r.Plan, Reservation: r.Reservation, Extra: r.Extra}); !res.OK() {
		t.Fatal(res.Message)
	}
}

func TestStartUpDemandThatWasLearnedIsPlannedFor(t *testing.T) {
	w := newWorld(t)
	w.must(&proto.AppPut{Application: proto.Application{Name: "redis"}})
	r, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Type: "m.large"})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Plan.Profile[1].Allocation[resource.CPU]; got > 200 {
		t.Fatalf("where nothing is known a start gets %d", got)
	}
	// It goes there, and shows what a start takes.
	w.must(&proto.MigrationStart{ID: "m1", Plan: r.Plan, Reservation: r.Reservation, Extra: r.Extra})
	fence := func() uint64 { i, _ := w.state.View().Instance("cache-1"); return i.Fence }
	w.must(&proto.MigrationAdvance{Migration: "m1", From: proto.PhasePrepare, To: proto.PhaseCopy})
	w.must(&proto.MigrationFreeze{Migration: "m1", Fence: fence()})
	w.must(&proto.MigrationCommit{Migration: "m1", Fence: fence()})
	w.must(&proto.MigrationConfirm{Migration: "m1", Fence: fence(), Until: begin + 1})
	w.must(&proto.MigrationAdvance{Migration: "m1", From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.must(&proto.MigrationComplete{Migration: "m1", Fence: fence()})
	w.must(&proto.MigrationLearned{Migration: "m1", Lesson: proto.Lesson{Start: &proto.Start{Extra: resource.Vector{resource.CPU: 500}, Decay: 90_000}}})
	r, err = w.plan(Request{Instance: "cache-1", Target: "host-c", Type: "m.large"})
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(r.Plan.Profile, func(s proto.PlanStep) bool { return strings.Contains(s.Reason, "start-up") })
	if at < 0 || r.Plan.Profile[at].Allocation[resource.CPU] < 600 {
		t.Errorf("no start-up demand in %+v", r.Plan.Profile[:3])
	}
	if warm := r.Plan.Phases[3].Length(); warm != 270*time.Second {
		t.Errorf("it warms for %s", warm)
	}
	if all := strings.Join(r.Plan.Reasons, "\n"); !strings.Contains(all, "application redis takes") || !strings.Contains(all, "by one earlier start") {
		t.Errorf("reasons %q", r.Plan.Reasons)
	}
}
