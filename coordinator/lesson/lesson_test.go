package lesson

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const start = timeline.Time(1_800_000_000_000)

var (
	slow    = proto.CPU{Model: "slow", Score: 100}
	fast    = proto.CPU{Model: "fast", Score: 200}
	unknown = proto.CPU{Model: "unknown"}
)

// moves is so many lessons of an application's moves between two CPUs with a ratio in thousandths.
func moves(n int, app string, from, to proto.CPU, ratio int64) Book {
	out := make(Book, n)
	for i := range out {
		out[i] = Entry{proto.Lesson{From: from, To: to, Ratio: ratio}, app, proto.Standard}
	}
	return out
}

func TestAFactorIsLearnedElseFromBenchmarksElseOneWithAWiderBand(t *testing.T) {
	for _, c := range []struct {
		name     string
		book     Book
		from, to proto.CPU
		by, band float64
		says     string
	}{
		{"the same model", moves(9, "web", slow, fast, 900), slow, proto.CPU{Model: "slow", Score: 70}, 1, 0, ""},
		{"benchmarks", nil, slow, fast, .5, byScores, "b's CPU does 2 of the work of a's by benchmarks: CPU is forecast as 0.5 times"},
		{"benchmarks the other way", nil, fast, slow, 2, byScores, "b's CPU does 0.5 of the work of a's by benchmarks: CPU is forecast as 2 times"},
		{"nothing", nil, slow, unknown, 1, byNobody, "not known"},
		{"one move beside benchmarks", moves(1, "web", slow, fast, 800), slow, fast, math.Exp((3*math.Log(.5) + math.Log(.8)) / 4), byScores * math.Sqrt(.75), "one earlier move and benchmarks"},
		{"the way back", moves(1, "web", fast, slow, 1250), slow, fast, math.Exp((3*math.Log(.5) + math.Log(.8)) / 4), byScores * math.Sqrt(.75), "one earlier move"},
		{"moves without benchmarks", moves(3, "web", slow, unknown, 700), slow, unknown, math.Sqrt(.7), byNobody * math.Sqrt(.5), "by 3 earlier moves:"},
		{"of other applications of the class", moves(3, "db", slow, fast, 800), slow, fast, math.Sqrt(.5 * .8), byScores * math.Sqrt(.5), "3 earlier moves"},
		{"of the application beside others of the class", append(moves(3, "web", slow, fast, 800), moves(3, "db", slow, fast, 400)...), slow, fast,
			math.Exp(((math.Log(.5)+math.Log(.4))/2 + math.Log(.8)) / 2), byScores * .5, "6 earlier moves and benchmarks"},
		{"between others", moves(9, "web", slow, unknown, 700), slow, fast, .5, byScores, "by benchmarks"},
		{"of another class", Book{{proto.Lesson{From: slow, To: fast, Ratio: 900}, "db", proto.Critical}}, slow, fast, .5, byScores, "by benchmarks"},
		{"many moves", moves(900, "web", slow, fast, 800), slow, fast, .8, leastOf, "900 earlier moves"},
		{"beyond what a CPU does", nil, proto.CPU{Model: "x", Score: 1}, fast, 1 / mostOf, byScores, ""},
	} {
		f := c.book.Factor(c.from, c.to, "web", proto.Standard)
		if math.Abs(f.By-c.by) > .002 || math.Abs(f.Band-c.band) > 1e-9 {
			t.Errorf("%s: %.4f with a band of %.4f, want %.4f with %.4f", c.name, f.By, f.Band, c.by, c.band)
		}
		if got := f.Says("a", "b"); !strings.Contains(got, c.says) || (got == "") != f.Same() {
			t.Errorf("%s: %q, want %q in it", c.name, got, c.says)
		}
	}
}

func TestWhatIsOfNoApplicationIsNotAlikeForThat(t *testing.T) {
	if f := moves(3, "", slow, fast, 800).Factor(slow, fast, "", proto.Critical); f.Moves != 0 || math.Abs(f.By-.5) > .001 {
		t.Errorf("moves of another class, of no application, make it %+v", f)
	}
}

func TestAFewOddMovesDoNotMakeAFactor(t *testing.T) {
	book := append(moves(7, "web", slow, fast, 500), moves(2, "web", slow, fast, 4000)...)
	if f := book.Factor(slow, fast, "web", proto.Standard); math.Abs(f.By-.5) > .001 {
		t.Errorf("two moves of nine make it %.3f", f.By)
	}
}

func reply(middle, high int64) proto.ForecastReply {
	span := timeline.Span{Start: start, End: start.Add(time.Hour)}
	flat := func(cpu int64) timeline.Profile {
		return timeline.Flat(span, resource.Vector{resource.CPU: cpu, resource.Memory: 1 << 30})
	}
	return proto.ForecastReply{Start: start, Step: 300_000, Quantiles: []int{500, 950}, Profiles: []timeline.Profile{flat(middle), flat(high)}}
}

func TestAForecastOnAnotherCPUIsMultipliedAndAsMuchWiderAsTheFactorIsUnsure(t *testing.T) {
	at := func(r proto.ForecastReply, q int) resource.Vector { v, _ := r.At(q).At(start); return v }
	r := reply(100, 300)
	sure := Factor{By: 1.5}.Forecast(r)
	if got := [2]int64{at(sure, 500)[resource.CPU], at(sure, 950)[resource.CPU]}; got != [2]int64{150, 450} {
		t.Errorf("1.5 times: %v", got)
	}
	unsure := Factor{By: 1, Band: .3}.Forecast(reply(1000, 1000))
	if m, h := at(unsure, 500)[resource.CPU], at(unsure, 950)[resource.CPU]; m != 1000 || h < 1490 || h > 1500 { // 1.645 × .3
		t.Errorf("unsure: median %d, p95 %d", m, h)
	}
	// Its own band and that of the factor are of independent causes: 300 and 493 are 577.
	wide := reply(1000, 1300)
	wide.Quantiles, wide.Profiles = []int{50, 500, 950}, append([]timeline.Profile{reply(700, 0).Profiles[0]}, wide.Profiles...)
	wide = Factor{By: 1, Band: .3}.Forecast(wide)
	if l, h := at(wide, 50)[resource.CPU], at(wide, 950)[resource.CPU]; l < 415 || l > 430 || h < 1570 || h > 1585 {
		t.Errorf("both: p5 %d, p95 %d", l, h)
	}
	if got := at(unsure, 950)[resource.Memory]; got != 1<<30 {
		t.Errorf("memory became %d", got)
	}
	if got, _ := r.At(950).At(start); got[resource.CPU] != 300 {
		t.Errorf("the forecast itself became %v", got)
	}
}

func TestWhatHasNoLimitHasNoneOnAnotherCPU(t *testing.T) {
	f := Factor{By: .5, Band: .1}
	got := f.Forecast(reply(100, resource.Unlimited))
	if m, h := got.Profiles[0][0].Amount[resource.CPU], got.Profiles[1][0].Amount[resource.CPU]; m != 50 || h != resource.Unlimited {
		t.Errorf("%d and %d", m, h)
	}
	if n := f.Amount(resource.Unlimited); n != resource.Unlimited || f.Amount(100) != 50 {
		t.Errorf("%d, and of 100 %d", n, f.Amount(100))
	}
}

func TestQuantilesOnAnotherCPUNeverCross(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		middle := rapid.Int64Range(0, 1e6).Draw(t, "middle")
		high := middle + rapid.Int64Range(0, 1e6).Draw(t, "more")
		f := Factor{By: rapid.Float64Range(.125, 8).Draw(t, "by"), Band: rapid.Float64Range(0, .3).Draw(t, "band")}
		got := f.Forecast(reply(middle, high))
		m, h := got.Profiles[0][0].Amount[resource.CPU], got.Profiles[1][0].Amount[resource.CPU]
		if m > h || m < 0 || float64(h) < f.By*float64(high)-1 {
			t.Fatalf("%d and %d became %d and %d", middle, high, m, h)
		}
	})
}

// world is a fleet with an instance i of application web on host slow.
type world struct {
	t   *testing.T
	s   *state.State
	n   int
	now timeline.Time
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, s: state.New(), now: start}
	w.must(&proto.FleetInit{Fleet: "f", GridStep: 300_000, Policy: proto.DefaultPolicy()})
	v := resource.Uniform(1 << 40)
	for _, c := range []proto.CPU{slow, fast} {
		w.must(&proto.HostRegister{Incarnation: 1, Facts: proto.HostFacts{
			Name: c.Model, MachineID: c.Model, CPUModel: c.Model, CPUScore: c.Score, Capacity: v, Allocatable: v, Controllers: []string{"cpu"},
		}})
	}
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "any", Max: resource.Uniform(resource.Unlimited)}})
	w.must(&proto.AppPut{Application: proto.Application{Name: "web"}})
	w.must(&proto.InstanceApply{Envelope: open(10), Spec: proto.InstanceSpec{
		Name: "i", Driver: "service", Service: &proto.ServiceSpec{Unit: "i.service"}, Host: "slow", Type: "any", Class: proto.Standard, Application: "web", Mode: proto.Enforce,
	}})
	w.must(&proto.InstanceAdopted{Instance: "i", Fence: w.fence()})
	return w
}

func open(n int64) proto.Envelope {
	return proto.FirmEnvelope(timeline.Flat(timeline.Span{Start: 0, End: timeline.Forever}, resource.Uniform(n)))
}

func (w *world) must(b proto.Body) proto.Result {
	w.t.Helper()
	w.n++
	cmd, err := proto.NewCommand(fmt.Sprint("r", w.n), "test", b)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.At = w.now
	r, _ := w.s.Apply(cmd)
	if !r.OK() {
		w.t.Fatalf("%s: %s", b.Command(), r.Message)
	}
	return r
}

func (w *world) fence() uint64 {
	i, _ := w.s.View().Instance("i")
	return i.Fence
}

// move moves the instance up to its commit, an hour on.
func (w *world) move(id, target string) {
	w.t.Helper()
	w.now = w.now.Add(time.Hour)
	i, _ := w.s.View().Instance("i")
	w.must(&proto.MigrationStart{ID: id, Plan: proto.Plan{Instance: "i", Source: i.Owner, Target: target, FromType: "any", ToType: "any", Fence: i.Fence, MadeAt: w.now},
		Reservation: proto.Reservation{ID: id, Envelope: open(10), Until: w.now + 3_600_000}})
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhasePrepare, To: proto.PhaseCopy})
	w.must(&proto.MigrationFreeze{Migration: id, Fence: w.fence()})
	w.must(&proto.MigrationCommit{Migration: id, Fence: w.fence()})
}

func (w *world) complete(id string) {
	w.t.Helper()
	w.must(&proto.MigrationConfirm{Migration: id, Fence: w.fence(), Until: w.now + 600_000})
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.must(&proto.MigrationComplete{Migration: id, Fence: w.fence()})
}

func TestAHistoryIsAsIfTheInstanceHadAlwaysRunOnItsCPU(t *testing.T) {
	w := newWorld(t)
	history := func() (out []float64) {
		var h forecast.History
		h[resource.CPU] = forecast.Series{Start: start, Step: time.Hour, Values: []float64{100, 100, 100, 100}}
		h[resource.Memory] = h[resource.CPU]
		got := History(h, Changes(w.s.View(), "i", start))
		if h[resource.CPU].Values[0] != 100 || got[resource.Memory].Values[0] != 100 {
			t.Fatal("what was measured was changed, or memory was")
		}
		return got[resource.CPU].Values
	}
	want := func(what string, values ...float64) {
		t.Helper()
		for i, v := range history() {
			if math.Abs(v-values[i]) > 1e-9 {
				t.Fatalf("%s: %v, want %v", what, history(), values)
			}
		}
	}
	want("before any move", 100, 100, 100, 100)
	w.move("m1", "fast") // after an hour, and twice as fast
	want("as soon as it runs there", 50, 100, 100, 100)
	w.complete("m1")
	want("when that is over", 50, 100, 100, 100)
	w.move("m2", "slow")
	w.complete("m2")
	want("back again", 100, 200, 100, 100)
	w.move("m3", "fast")
	w.now = w.now.Add(time.Minute)
	w.must(&proto.MigrationAbort{Migration: "m3", Fence: w.fence(), Reason: "no"})
	if _, there := Moved(mustMigration(t, w, "m3")); there {
		t.Fatal("a move that was given up counts")
	}
	for i, v := range history() {
		if want := []float64{100, 200, 100, 100}[i]; math.Abs(v-want) > 1e-9 {
			t.Fatalf("given up: %v", history())
		}
	}
	w.must(&proto.MigrationLearned{Migration: "m1", Lesson: proto.Lesson{From: slow, To: fast, Ratio: 800}})
	if got := history()[1]; math.Abs(got-100/math.Exp((3*math.Log(.5)+math.Log(.8))/4)) > 1e-6 {
		t.Fatalf("with what was learned: %.1f", got)
	}
}

// goBack takes the instance back from a move that was confirmed, up to the commit of the way back, an hour on.
func (w *world) goBack(id, of string) {
	w.t.Helper()
	m := mustMigration(w.t, w, of)
	w.must(&proto.MigrationReturn{ID: id, Returns: of, Fence: w.fence(), Plan: proto.Plan{
		Instance: "i", Source: m.Target, Target: m.Source, FromType: "any", ToType: "any", Fence: w.fence(), MadeAt: w.now,
	}})
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhasePrepare, To: proto.PhaseCopy})
	w.now = w.now.Add(time.Hour)
	w.must(&proto.MigrationFreeze{Migration: id, Fence: w.fence()})
	w.must(&proto.MigrationCommit{Migration: id, Fence: w.fence()})
}

func TestOnTheWayBackTheMoveThatIsUndoneStillCounts(t *testing.T) {
	w := newWorld(t)
	whole := timeline.Span{Start: start, End: start.Add(24 * time.Hour)}
	want := func(what string, alone bool, values ...float64) {
		t.Helper()
		var h forecast.History
		h[resource.CPU] = forecast.Series{Start: start, Step: time.Hour, Values: []float64{100, 100, 100}}
		changes := Changes(w.s.View(), "i", start)
		got := History(h, changes)[resource.CPU].Values
		for i, v := range got {
			if math.Abs(v-values[i]) > 1e-9 {
				t.Fatalf("%s: %v, want %v", what, got, values)
			}
		}
		if got := Alone(w.s.View(), "i", changes[0].At, whole); got != alone {
			t.Fatalf("%s: the move is alone: %v", what, got)
		}
	}
	w.move("m1", "fast")
	w.must(&proto.MigrationConfirm{Migration: "m1", Fence: w.fence(), Until: w.now.Add(24 * time.Hour)})
	want("there", true, 50, 100, 100)
	w.goBack("m2", "m1")
	want("back, on probation", false, 100, 200, 100)
	w.complete("m2")
	want("when that is over", false, 100, 200, 100)
}

func mustMigration(t *testing.T, w *world, id string) proto.Migration {
	m, ok := w.s.View().Migration(id)
	if !ok {
		t.Fatalf("no migration %s", id)
	}
	return m
}

func TestAModelsScoreIsTheMedianOfItsHosts(t *testing.T) {
	w := newWorld(t)
	for n, score := range []int64{5, 90, 0} {
		w.must(&proto.HostRegister{Incarnation: 1, Facts: proto.HostFacts{
			Name: fmt.Sprint("h", n), MachineID: fmt.Sprint(n), CPUModel: "slow", CPUScore: score, Capacity: resource.Uniform(1), Allocatable: resource.Uniform(1), Controllers: []string{"cpu"},
		}})
	}
	if got := Scores(w.s.View()); got["slow"] != 90 || got["fast"] != 200 || len(got) != 2 {
		t.Fatalf("%v", got)
	}
}
