package planner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// lodger is an instance of a class that runs on a host with so much.
func (w *world) lodger(name, host string, class proto.Class, firm, floor resource.Vector) {
	w.t.Helper()
	if _, there := w.state.View().Type("free"); !there {
		w.must(&proto.TypePut{Type: proto.InstanceType{Name: "free", Max: resource.Uniform(resource.Unlimited)}})
	}
	w.must(&proto.InstanceApply{
		Spec:     proto.InstanceSpec{Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: host, Type: "free", Class: class, Mode: proto.Enforce},
		Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: firm}}, Floor: floor,
	})
	i, _ := w.state.View().Instance(name)
	w.must(&proto.InstanceAdopted{Instance: name, Fence: i.Fence})
}

func (w *world) held(instance string) proto.Reservation {
	i, _ := w.state.View().Instance(instance)
	r, _ := w.state.View().Reservation(i.Reservation)
	return r
}

func cpu(n int64) resource.Vector { return resource.Vector{resource.CPU: n} }

func TestAMoveThatHasNoRoomIsPlannedWithThoseWhoYield(t *testing.T) {
	for class, yields := range map[proto.Class]bool{proto.BestEffort: true, proto.Standard: true, proto.Critical: false} {
		w := newWorld(t)
		w.lodger("batch", "host-b", class, cpu(1850), cpu(100))
		ask := Request{Instance: "cache-1", Target: "host-b", Type: "m.large"}
		var no *Refusal
		if _, err := w.plan(ask); !errors.As(err, &no) {
			t.Fatalf("%s: planned without a word of it: %v", class, err)
		}
		ask.Squeeze = true
		r, err := w.plan(ask)
		if !yields {
			if !errors.As(err, &no) {
				t.Errorf("%s: %v", class, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", class, err)
		}
		y := r.Yielded.Yield
		if len(y) != 1 || y[0].ID != "batch@host-b" || y[0].For != r.Reservation.ID || r.Yielded.Harm <= 0 {
			t.Fatalf("%s: %+v", class, r.Yielded)
		}
		told := r.Plan.Yields
		if len(told) != 1 || len(told[0].Envelope) != 0 || !strings.Contains(told[0].Why, "batch ("+string(class)+") gives way by up to") || !strings.Contains(told[0].Why, "its floor is 100m") {
			t.Errorf("%s: %+v", class, told)
		}
		if !strings.Contains(r.Plan.Reasons[0], "1 reservation of lower classes than critical") || !strings.Contains(r.Plan.Considered[0].Reason, "if others yield") {
			t.Errorf("%s: %q, %q", class, r.Plan.Reasons[0], r.Plan.Considered[0].Reason)
		}
		start := proto.MigrationStart{ID: "m", Plan: r.Plan, Reservation: r.Reservation, Extra: r.Extra}
		if res := w.apply(&start); res.Code != proto.ResultRefused {
			t.Errorf("%s: begun without anybody yielding: %+v", class, res)
		}
		w.must(&proto.MigrationAdmit{Start: start, Yield: y})
		if held := w.held("batch"); held.Squeezed == nil || held.Squeezed.For != r.Reservation.ID {
			t.Errorf("%s: %+v", class, held)
		}
		// Given up, there is room for what it had before.
		w.must(&proto.MigrationAbort{Migration: "m", Fence: w.fence(), Reason: "no"})
		w.must(&proto.MigrationEnd{Migration: "m", Outcome: proto.OutcomeAborted})
		was := w.held("batch")
		was.Envelope = proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: cpu(1850)}}
		if err := w.state.View().Ledger().Fits(ledger.Change{Revise: []proto.Reservation{was}}); err != nil {
			t.Errorf("%s: it can't be raised again: %v", class, err)
		}
	}
}

func TestNobodyYieldsToABesteffortMove(t *testing.T) {
	w := newWorld(t)
	w.respec(func(s *proto.InstanceSpec) { s.Class = proto.BestEffort })
	w.lodger("batch", "host-b", proto.BestEffort, cpu(1850), cpu(100))
	w.lodger("std", "host-a", proto.Standard, resource.Vector{resource.NetTx: 995e6}, resource.Vector{}) // what it sends is critical, and is for no more than it is
	var no *Refusal
	for _, target := range []string{"host-b", "host-c"} {
		r, err := w.plan(Request{Instance: "cache-1", Target: target, Type: "m.large", Squeeze: true})
		if !errors.As(err, &no) {
			t.Errorf("%s: %v, %+v", target, err, r.Yielded)
		}
	}
}

func TestWhoChoosesTheHostLetsNobodyYieldForNothingAndElseThoseWhomItHarmsLeast(t *testing.T) {
	w := newWorld(t)
	w.lodger("batch-b", "host-b", proto.BestEffort, cpu(1850), cpu(100))
	ask := Request{Instance: "cache-1", Type: "m.large", Squeeze: true}
	r, err := w.plan(ask)
	if err != nil || r.Plan.Target != "host-c" || len(r.Yielded.Yield) != 0 {
		t.Fatalf("%v, to %s, %+v", err, r.Plan.Target, r.Yielded.Yield)
	}
	w.lodger("batch-c", "host-c", proto.BestEffort, cpu(3780), cpu(100)) // of which the same is a smaller part
	r, err = w.plan(ask)
	if err != nil || r.Plan.Target != "host-c" || len(r.Yielded.Yield) != 1 {
		t.Fatalf("%v, to %s, %+v", err, r.Plan.Target, r.Yielded.Yield)
	}
	named, err := w.plan(Request{Instance: "cache-1", Type: "m.large", Squeeze: true, Target: "host-b"})
	if err != nil || named.Yielded.Harm <= r.Yielded.Harm {
		t.Errorf("%v: on host-b it harms %d, on host-c %d", err, named.Yielded.Harm, r.Yielded.Harm)
	}
	if !slices.ContainsFunc(r.Plan.Considered, func(c proto.Considered) bool { return c.Host == "host-b" && c.Shortfall != nil }) {
		t.Errorf("%+v", r.Plan.Considered)
	}
}

func TestAMoveWaitsForMemoryThatIsYielded(t *testing.T) {
	w := newWorld(t)
	w.lodger("batch", "host-b", proto.BestEffort, resource.Vector{resource.Memory: 4090 << 20}, resource.Vector{resource.Memory: 512 << 20})
	r, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Squeeze: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Plan.Start != begin.Add(proto.MemoryYields) || r.Reservation.Envelope.Start() != r.Plan.Start || !strings.Contains(r.Plan.Reasons[1], "has to be given back first") {
		t.Fatalf("it begins at %s, and holds from %s on: %q", r.Plan.Start, r.Reservation.Envelope.Start(), r.Plan.Reasons)
	}
	admit := proto.MigrationAdmit{Start: proto.MigrationStart{ID: "m", Plan: r.Plan, Reservation: r.Reservation, Extra: r.Extra}, Yield: r.Yielded.Yield}
	soon := admit
	soon.Start.Reservation.Envelope = slices.Clone(r.Reservation.Envelope)
	soon.Start.Reservation.Envelope[0].Start = begin
	if res := w.apply(&soon); res.Code != proto.ResultRefused || !strings.Contains(res.Message, "claimed before") {
		t.Errorf("%+v", res)
	}
	w.must(&admit)
	// At the best start it is as at one that was asked for; what does not end in time then is refused.
	w = newWorld(t)
	w.lodger("batch", "host-b", proto.BestEffort, resource.Vector{resource.Memory: 4090 << 20}, resource.Vector{resource.Memory: 512 << 20})
	best, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Squeeze: true, Best: true, Before: begin.Add(time.Hour)})
	if err != nil || best.Plan.Start < begin.Add(proto.MemoryYields) || len(best.Yielded.Yield) != 1 {
		t.Errorf("%v: %s", err, best.Plan.Start)
	}
	var no *Refusal
	if late, err := w.plan(Request{Instance: "cache-1", Target: "host-b", Squeeze: true, Before: begin.Add(proto.MemoryYields)}); !errors.As(err, &no) {
		t.Errorf("%v: %s", err, late.Plan.Start)
	}
}

// asked holds that what a plan asks for is at every step what the type allows, and the host has left: by the steps of its ledger without the move.
func asked(t *rapid.T, got Result, class proto.Class, most resource.Vector, rest []ledger.Step) {
	expected := got.Plan.Envelope.Expected()
	for n, s := range got.Plan.Profile {
		if n > 0 && s.Start != got.Plan.Profile[n-1].End || s.Empty() || s.Reason == "" {
			t.Fatalf("step %d %s with the reason %q follows one until %s", n, s.Span, s.Reason, got.Plan.Profile[max(0, n-1)].End)
		}
		if !s.Allocation.Fits(most) {
			t.Fatalf("in %s it asks for %v, and the type allows %v", s.Span, s.Allocation, most)
		}
		for _, h := range rest {
			if !h.Overlaps(s.Span) {
				continue
			}
			if class == proto.Critical && !finite(s.Allocation).Fits(h.Headroom()) {
				t.Fatalf("in %s it asks for %v, and the host has %v left", s.Span, s.Allocation, h.Headroom())
			}
			if both := s.Intersect(h.Span); !expected.MaxOver(both).Fits(h.Headroom()) {
				t.Fatalf("in %s %v is expected, and the host has %v left", both, expected.MaxOver(both), h.Headroom())
			}
		}
	}
	if first := got.Plan.Profile[0]; first.Start != got.Plan.Start || first.End != got.Plan.Phases[2].Start || first.Allocation != got.Reservation.Floor {
		t.Fatalf("until the switch at %s it gets %v in %s; its floor is %v", got.Plan.Phases[2].Start, first.Allocation, first.Span, got.Reservation.Floor)
	}
}

// yielded holds that who yields to a result may be asked to, and has had time to give memory back before it is claimed.
func yielded(t *rapid.T, v *state.View, got Result, class proto.Class) {
	if err := v.Ledger().Fits(got.Change()); err != nil {
		t.Fatalf("what is planned does not fit: %v", err)
	}
	rank := []proto.Class{proto.BestEffort, proto.Standard, proto.Critical}
	for _, next := range got.Yielded.Revise {
		was, _ := v.Reservation(next.ID)
		if slices.Index(rank, was.Class) >= slices.Index(rank, class) {
			t.Fatalf("%s of class %s yields to %s", was.ID, was.Class, class)
		}
		for _, s := range next.Envelope {
			for k, n := range s.Firm {
				if had := was.Envelope.At(max(s.Start, v.Ledger().Start())).Firm[k]; n > had || n < min(had, was.Floor[k]) {
					t.Fatalf("%s is left with %d of %s in %s, of %d and a floor of %d", was.ID, n, resource.Kind(k), s.Span, had, was.Floor[k])
				}
			}
		}
	}
	for _, h := range got.Change().Hold {
		steps := v.Ledger().Steps(h.Host)
		for at := begin; at < begin.Add(proto.MemoryYields); at = at.Add(time.Second) {
			claimed := int64(0)
			for _, other := range got.Change().Hold {
				if other.Host == h.Host {
					claimed += other.Envelope.At(at).Firm[resource.Memory]
				}
			}
			for _, s := range steps {
				if s.Contains(at) && claimed > 0 && claimed > s.Headroom()[resource.Memory] {
					t.Fatalf("at %s, %s after it was decided, %d of memory are claimed on %s, where %d are left without what others yield", at, at.Sub(begin), claimed, h.Host, s.Headroom()[resource.Memory])
				}
			}
		}
	}
}

func TestAskedIsWithinTypeAndHost(t *testing.T) {
	planned, stood := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		i, _ := w.state.View().Instance("cache-1")
		spec := i.Spec
		classes := rapid.SampledFrom([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort})
		spec.Class = classes.Draw(t, "class")
		if spec.Class != i.Spec.Class {
			w.must(&proto.InstanceApply{Spec: spec})
		}
		w.must(&proto.HostRegister{Facts: facts("host-b", rapid.Int64Range(4, 30).Draw(t, "tenths of a core")*100), Incarnation: w.state.View().Fleet().Incarnation})
		var left resource.Vector
		if steps := w.state.View().Ledger().Steps("host-b"); len(steps) > 0 {
			left = steps[0].Headroom()
		}
		for n := range rapid.IntRange(0, 3).Draw(t, "lodgers") {
			has := resource.Vector{
				resource.CPU:    left[resource.CPU] * rapid.Int64Range(0, 10).Draw(t, "tenths of cpu") / 10,
				resource.Memory: left[resource.Memory] - min(left[resource.Memory], rapid.Int64Range(0, 10).Draw(t, "but for")*40<<20),
			}
			w.lodger(fmt.Sprint("lodger-", n), "host-b", classes.Draw(t, "its class"), has, has.Scale(rapid.Int64Range(0, 1000).Draw(t, "floor"), 1000))
			left = left.Sub(has)
		}
		var cpu, writes []int64
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			n := rapid.IntRange(1, 24).Draw(t, "steps")
			cpu = append(cpu, repeat(n, rapid.Int64Range(0, 1500).Draw(t, "cpu"))...)
			writes = append(writes, repeat(n, rapid.Int64Range(0, 40<<20).Draw(t, "writes"))...)
		}
		r := Request{Instance: "cache-1", Target: "host-b", Type: "m.large", Best: rapid.Bool().Draw(t, "best"), Squeeze: rapid.Bool().Draw(t, "squeeze")}
		if !r.Best {
			r.At = begin.Add(time.Duration(rapid.Int64Range(0, 300).Draw(t, "minutes")) * time.Minute)
		}
		in := Input{Request: r, View: w.state.View(), Now: begin, Forecast: busy(writes, cpu), Data: rapid.Int64Range(0, 4<<30).Draw(t, "data"), Costs: DefaultCosts()}
		got, err := Make(in)
		if err != nil {
			return
		}
		planned++
		if got.Plan.Start < r.At {
			t.Fatalf("it begins at %s, and was to at %s", got.Plan.Start, r.At)
		}
		kind, _ := w.state.View().Type("m.large")
		after := w.state.View().Ledger().Clone()
		if err := after.Revise(got.Yielded.Revise...); err != nil {
			t.Fatal(err)
		}
		asked(t, got, spec.Class, kind.Max, after.Steps("host-b"))
		yielded(t, w.state.View(), got, spec.Class)

		// It is stored with what it holds, and planned again at its start, when others have been there meanwhile.
		p := stored("p", 0, got.Move(false))
		p.Squeeze, p.Status = r.Squeeze, proto.PlanScheduled
		hold := got.Holds("p", 0, &p.Moves[0])
		w.must(&proto.PlanPut{Plan: p, Hold: hold, Yield: got.HoldsYield(hold)})
		if more := rapid.Int64Range(0, 500).Draw(t, "sold"); more > 0 {
			w.apply(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{{
				ID: "sold", Host: "host-b", Class: proto.Standard, Purpose: proto.PurposeHold, Until: begin.Add(72 * time.Hour),
				Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Vector{resource.CPU: more}}},
			}}})
		}
		in.Request, in.Now = Again(p, p.Moves[0]), got.Plan.Start
		if in.View, err = w.state.View().Letting(p.Moves[0].Holds...); err != nil {
			t.Fatal(err)
		}
		again, err := Make(in)
		if err != nil {
			return // that is for its deadline, or what is written by then
		}
		stood++
		after = in.View.Ledger().Clone()
		if err := after.Revise(again.Yielded.Revise...); err != nil {
			t.Fatal(err)
		}
		asked(t, again, spec.Class, kind.Max, after.Steps("host-b"))
		if again.Plan.Start == in.Now {
			w.must(&proto.PlanBegin{ID: "p", Start: proto.MigrationStart{ID: "m", Plan: again.Plan, Reservation: again.Reservation, Extra: again.Extra}, Yield: again.Yielded.Yield})
		}
	})
	if planned == 0 || stood == 0 {
		t.Errorf("%d plans were made and %d made again: nothing was tried", planned, stood)
	}
}
