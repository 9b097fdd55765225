package planner

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// newFleet is a fleet of hosts host-a, host-b and so on, with so much CPU each.
func newFleet(t interface {
	Helper()
	Fatalf(string, ...any)
}, cpu ...int64) *world {
	t.Helper()
	w := &world{t: t, state: state.New()}
	w.must(&proto.FleetInit{Fleet: "f", GridStep: grid.Milliseconds(), Policy: proto.DefaultPolicy()})
	w.must(&proto.AppPut{Application: proto.Application{Name: "app"}})
	for i, n := range cpu {
		w.must(&proto.HostRegister{Facts: facts(hostName(i), n), Incarnation: w.state.View().Fleet().Incarnation})
	}
	return w
}

func hostName(i int) string { return "host-" + string(rune('a'+i)) }

// run has a host run a critical instance, which holds exactly so much CPU at all times.
func (w *world) run(name, host string, cpu int64, change ...func(*proto.InstanceSpec)) {
	w.t.Helper()
	most := resource.Uniform(resource.Unlimited)
	most[resource.CPU], most[resource.Memory] = cpu, 32<<20
	typ := fmt.Sprintf("m.%d", cpu)
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: typ, Max: most}})
	sizing := NewSizing(proto.Critical, proto.InstanceType{Max: most}, proto.Application{}, proto.DefaultPolicy())
	cold := sizing.Cold(timeline.Span{Start: begin, End: begin.Add(48 * time.Hour)})
	allocation, _ := sizing.Allocation(cold)
	spec := proto.InstanceSpec{
		Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service", Data: []string{"/var/lib/" + name}},
		Host: host, Type: typ, Class: proto.Critical, Application: "app", Mode: proto.Enforce,
	}
	for _, f := range change {
		f(&spec)
	}
	w.must(&proto.InstanceApply{Spec: spec, Envelope: sizing.Envelope(allocation, cold), Floor: sizing.Floor})
	i, _ := w.state.View().Instance(name)
	w.must(&proto.InstanceAdopted{Instance: name, Fence: i.Fence})
}

func (w *world) drain(host string) DrainInput {
	return DrainInput{
		Host: host, View: w.state.View(), Now: begin, Costs: DefaultCosts(),
		Of: func(string) MovingFigures { return MovingFigures{Data: 60 << 20} },
	}
}

type failing interface {
	Helper()
	Fatalf(string, ...any)
}

// check checks what holds of every plan: begun and ended at the times that it says, each move is admitted when it begins; together they fit; hosts and links have no
// more at once than they may; nothing goes to the host, and nothing moves twice but what was parked.
func (d *drain) check(t failing) {
	t.Helper()
	if err := d.base.Fits(d.change()); err != nil {
		t.Fatalf("all moves together: %v", err)
	}
	seen := map[string]int{}
	for n, m := range d.trips {
		now := d.base.Clone()
		for k, before := range d.trips {
			if k != n && (before.Start < m.Start || before.Start == m.Start && k < n) {
				if err := now.Hold(before.holds...); err != nil {
					t.Fatalf("move %d before %d: %v", k, n, err)
				}
				if before.gone <= m.Start {
					if err := now.Release(before.source); err != nil {
						t.Fatalf("%v", err)
					}
				}
			}
		}
		if err := now.Hold(m.holds...); err != nil {
			t.Fatalf("move %d, of %s to %s at %s, is not admitted: %v", n, m.Instance, m.Target, m.Start, err)
		}
		var rate int64
		going := map[string]int{}
		for k, o := range d.trips {
			if o.Start <= m.Start && m.Start < o.left {
				if o.Source == m.Source && o.Start.Floor(d.grid) <= m.Start {
					rate += o.Rate
				}
				going[o.Source]++
				going[o.Target]++
			}
			if k < n && o.Instance == m.Instance && !o.Parked {
				t.Fatalf("%s moves twice", m.Instance)
			}
		}
		for host, n := range going {
			if n > d.limits.host {
				t.Fatalf("%d moves at once at %s", n, host)
			}
		}
		if most := room(d.base, m.Source)[link{m.Source, resource.NetTx}].least(timeline.Span{Start: m.Start, End: m.left}); rate > most {
			t.Fatalf("transfers from %s take %d bit/s, and may take %d", m.Source, rate, most)
		}
		for _, before := range m.After {
			if before >= n || d.trips[before].gone > m.Start {
				t.Fatalf("move %d begins at %s, before move %d is over", n, m.Start, before)
			}
		}
		if host, _ := d.View.Host(m.Target); m.Target == d.Host || host.Cordoned || host.Drain != nil {
			t.Fatalf("%s goes to %s", m.Instance, m.Target)
		}
		if d.Deadline != 0 && m.left > d.Deadline {
			t.Fatalf("%s leaves by %s", m.Instance, m.left)
		}
		seen[m.Instance] = n
	}
	for name, n := range seen {
		if d.trips[n].Parked {
			t.Fatalf("%s is parked for good", name)
		}
	}
}

// planned plans a drain and checks it.
func plannedDrain(t failing, in DrainInput) (DrainPlan, *proto.Blocked) {
	t.Helper()
	d, found, err := drained(in)
	if err != nil {
		t.Fatalf("%v", err)
	}
	d.check(t)
	b := d.blocked(found)
	return d.finished(b), b
}

func TestADrainEmptiesAHostByItsDeadline(t *testing.T) {
	w := newFleet(t, 4000, 1500, 1500)
	for i := range 6 {
		w.run(fmt.Sprintf("i-%d", i), "host-a", 400)
	}
	in := w.drain("host-a")
	in.Deadline = begin.Add(2 * time.Hour)
	p, blocked := plannedDrain(t, in)
	if blocked != nil || len(p.Moves) != 6 || p.Left > in.Deadline || p.Empty < p.Left.Add(10*time.Minute) || len(p.Says) == 0 {
		t.Fatalf("%+v %+v", blocked, p.Says)
	}
	if p.Moves[0].Start != begin || p.Moves[1].Start != begin || p.Moves[2].Start == begin {
		t.Error("two moves go on at once at a host, by the policy")
	}
	w.must(&proto.PlanPut{Plan: keptDrain(p, in)})
}

func keptDrain(p DrainPlan, in DrainInput) proto.StoredPlan {
	out := p.Stored(in, nil)
	out.ID, out.Status = "drain-1", proto.PlanQueued
	return out
}

func TestABlockedDrainSaysWhoStaysAndWhatWouldHelp(t *testing.T) {
	w := newFleet(t, 4000, 1000)
	w.run("big", "host-a", 900)
	w.run("small", "host-a", 300)
	w.run("other", "host-b", 300)
	p, b := plannedDrain(t, w.drain("host-a"))
	if b == nil || strings.Join(b.Instances, " ") != "big" || b.Proof != proto.BlockedSmallest || b.Host != "host-b" || b.Resource != resource.CPU || b.Missing <= 0 || b.Span.Empty() {
		t.Fatalf("%+v", b)
	}
	if len(p.Moves) != 1 || p.Moves[0].Instance != "small" || len(p.Stays) != 1 {
		t.Errorf("%+v", p)
	}
	has := map[proto.UnblockBy]string{}
	for _, u := range b.Unblock {
		has[u.What] = u.Says
	}
	if has[proto.UnblockHost] != "1 more like host-a" {
		t.Errorf("%+v", b.Unblock)
	}
	in := w.drain("host-a")
	in.WhatIf = &proto.WhatIf{Add: 1, Like: "host-a"}
	if p, b, err := Drain(in); err != nil || b != nil || len(p.Moves) != 2 || p.WhatIf == nil {
		t.Errorf("what would help does not: %+v %v", b, err)
	}
}

func TestADrainThatAWindowOfAnotherHostBlocksSaysWhichAndUntilWhen(t *testing.T) {
	w := newFleet(t, 4000, 1000)
	w.run("one", "host-a", 900)
	window := func(id string, from, to time.Duration) proto.CapacityWindow {
		return proto.CapacityWindow{ID: id, Span: timeline.Span{Start: begin.Add(from), End: begin.Add(to)}, Whole: true, Reason: "new disks"}
	}
	of := func(u []proto.Unblock) (out proto.Unblock) {
		for _, one := range u {
			if one.What == proto.UnblockWindow {
				out = one
			}
		}
		return out
	}
	disks := window("disks", 2*time.Hour, 4*time.Hour)
	w.must(&proto.HostWindow{Host: "host-b", Put: &disks})
	before := func() DrainInput { // it is over
		in := w.drain("host-a")
		in.Deadline = disks.Span.End
		return in
	}
	_, b := plannedDrain(t, before())
	if b == nil || b.Unblock[0].What != proto.UnblockWindow {
		t.Fatalf("%+v", b)
	}
	u := of(b.Unblock)
	for _, says := range []string{"window disks of host-b, which takes all of it in ", ": new disks: begin after " + disks.Span.End.String(), "or take it back: glidepath host window remove host-b disks"} {
		if !strings.Contains(u.Says, says) {
			t.Errorf("%q does not say %q", u.Says, says)
		}
	}
	in := w.drain("host-a")
	if in.Now = u.At; in.Now != disks.Span.End {
		t.Fatalf("it is said to help at %s", u.At)
	}
	if _, b := plannedDrain(t, in); b != nil {
		t.Errorf("to begin after it does not help: %+v", b)
	}
	// One that takes so little that it is not in the way is not named, nor is one beside that is.
	little := proto.CapacityWindow{ID: "little", Span: timeline.Span{Start: begin, End: timeline.Forever}, Amount: resource.Vector{resource.CPU: 1}}
	w.must(&proto.HostWindow{Host: "host-b", Put: &little})
	_, b = plannedDrain(t, before())
	if u := of(b.Unblock); !strings.HasPrefix(u.Says, "without window disks of host-b") || strings.Contains(u.Says, "little") {
		t.Errorf("%q", u.Says)
	}
	gone := window("gone", 3*time.Hour, 0)
	gone.Span.End = timeline.Forever
	w.must(&proto.HostWindow{Host: "host-b", Put: &gone})
	_, b = plannedDrain(t, before())
	if u := of(b.Unblock); !strings.Contains(u.Says, "window disks of host-b") || !strings.Contains(u.Says, ", and window gone of host-b") || u.At != 0 || !strings.Contains(u.Says, ": take them back: ") {
		t.Errorf("%+v", u)
	}
	w = newFleet(t, 4000, 1000)
	w.run("one", "host-a", 900)
	w.run("other", "host-b", 300)
	w.must(&proto.HostWindow{Host: "host-b", Put: &disks, Force: true})
	if _, b = plannedDrain(t, before()); b == nil || of(b.Unblock).Says != "" {
		t.Errorf("%+v, though there is no room without them", b.Unblock)
	}
}

func TestASmallerTypeOrMoreTimeUnblocksADrain(t *testing.T) {
	w := newFleet(t, 4000, 1000)
	w.run("one", "host-a", 900)
	small := resource.Uniform(resource.Unlimited)
	small[resource.CPU], small[resource.Memory] = 300, 32<<20
	w.must(&proto.TypePut{Type: proto.InstanceType{Name: "m.small", Max: small}})
	w.hold("night", "host-b", resource.Vector{resource.CPU: 600}, timeline.Span{Start: begin, End: begin.Add(3 * time.Hour)})
	in := w.drain("host-a")
	in.Deadline = begin.Add(time.Hour)
	_, b := plannedDrain(t, in)
	if b == nil || b.Proof != proto.BlockedSmallest {
		t.Fatalf("%+v", b)
	}
	has := map[proto.UnblockBy]proto.Unblock{}
	for _, u := range b.Unblock {
		has[u.What] = u
	}
	if !strings.HasPrefix(has[proto.UnblockType].Says, "one as m.small") || has[proto.UnblockHost].Says == "" {
		t.Errorf("%+v", b.Unblock)
	}
	if in.Deadline = has[proto.UnblockTime].At; in.Deadline < begin.Add(3*time.Hour) {
		t.Fatalf("time until %s", in.Deadline)
	}
	if _, b := plannedDrain(t, in); b != nil {
		t.Errorf("more time does not help: %+v", b)
	}
}

func TestSwapsMakeRoom(t *testing.T) {
	fast := func(s *proto.InstanceSpec) {
		s.Placement = &proto.Placement{Require: []proto.Label{{Key: "disk", Value: "nvme"}}}
	}
	w := newFleet(t, 2000, 1000, 1000)
	f := facts("host-b", 1000)
	f.Labels = []proto.Label{{Key: "disk", Value: "nvme"}}
	w.must(&proto.HostRegister{Facts: f, Incarnation: w.state.View().Fleet().Incarnation})
	w.run("fast", "host-a", 700, fast)
	w.run("any", "host-b", 800)
	p, b := plannedDrain(t, w.drain("host-a"))
	if b != nil || len(p.Moves) != 2 || p.Moves[0].Instance != "any" || p.Moves[0].Target != "host-c" || p.Moves[1].Target != "host-b" || len(p.Moves[1].After) != 1 {
		t.Fatalf("%+v %+v", b, p.Moves)
	}
	if p.Moves[1].Start < begin.Add(10*time.Minute) {
		t.Errorf("it begins at %s, while the way back of the other one is kept", p.Moves[1].Start)
	}
	w.run("full", "host-c", 300)
	if _, b := plannedDrain(t, w.drain("host-a")); b == nil || b.Proof != proto.BlockedSmallest {
		t.Errorf("two full hosts have no room for a third: %+v", b)
	}
}

// newFull is a fleet in which host-a is emptied and the others are full. What is on host-b and host-c has to change places first, for which there is no room but on
// host-d, if that is there; and that has to be left again for what only goes there.
func newFull(t failing, third bool) *world {
	w := newFleet(t, 4000, 1000, 800)
	if third {
		f := facts("host-d", 600)
		f.Labels = []proto.Label{{Key: "zone", Value: "d"}}
		w.must(&proto.HostRegister{Facts: f, Incarnation: w.state.View().Fleet().Incarnation})
		w.run("bound", "host-a", 590, func(s *proto.InstanceSpec) { s.Placement = &proto.Placement{Require: f.Labels} })
	}
	w.run("large", "host-b", 700)
	w.run("small", "host-c", 600)
	w.run("first", "host-a", 400)
	return w
}

func TestTwoFullHostsSwapByAThirdAndCanNotWithoutOne(t *testing.T) {
	p, b := plannedDrain(t, newFull(t, true).drain("host-a"))
	var got []string
	for _, m := range p.Moves {
		got = append(got, fmt.Sprintf("%s %s-%s %v %v", m.Instance, m.Source, m.Target, m.Parked, m.After))
	}
	if b != nil || len(p.Moves) != 5 || !strings.Contains(strings.Join(got, "; "), "small host-c-host-d true []; large host-b-host-c false [0]") {
		t.Errorf("%+v %q", b, got)
	}
	if says := strings.Join(p.Says, "; "); !strings.Contains(says, "small moves more than once: it is parked on host-d, and goes on from there") {
		t.Errorf("%s", says)
	}
	p, b = plannedDrain(t, newFull(t, false).drain("host-a"))
	if b == nil || strings.Join(b.Instances, " ") != "first" || b.Proof != proto.BlockedSmallest || len(p.Moves) != 0 || b.Host != "host-b" || b.Missing != 100 {
		t.Fatalf("%+v %+v", b, p.Moves)
	}
	if u := b.Unblock; len(u) != 1 || u[0].What != proto.UnblockHost {
		t.Errorf("%+v", u)
	}
}

func TestWhatIsKeptForAWayBackIsCountedAsGivenUpThen(t *testing.T) {
	w := newFleet(t, 2000, 1000, 1000)
	w.run("big", "host-a", 700)
	w.run("goes", "host-b", 800)
	w.run("stays", "host-c", 200)
	in := w.drain("host-a")
	r, err := Make(Input{Request: Request{Instance: "goes", Target: "host-c"}, View: in.View, Now: begin, Data: 60 << 20, Costs: DefaultCosts()})
	if err != nil {
		t.Fatal(err)
	}
	w.must(&proto.MigrationStart{ID: "m1", Plan: r.Plan, Reservation: r.Reservation, Extra: r.Extra})
	in = w.drain("host-a")
	p, b := plannedDrain(t, in)
	if end := r.Plan.Phases[len(r.Plan.Phases)-1].End; b != nil || len(p.Moves) != 1 || p.Moves[0].Target != "host-b" || p.Moves[0].Start < end || p.Moves[0].Start > end.Add(2*grid) {
		t.Errorf("%+v %+v; the slot is kept until %s", b, p.Moves, end)
	}
}

func TestADrainAsksForWhatIsThere(t *testing.T) {
	w := newFleet(t, 1000, 1000)
	w.run("one", "host-a", 100)
	for name, change := range map[string]func(*DrainInput){
		"no host host-z": func(in *DrainInput) { in.Host = "host-z" },
		"which is past":  func(in *DrainInput) { in.Deadline = begin },
		"window 1":       func(in *DrainInput) { in.Windows = []proto.MoveWindow{{From: -1}} },
		"could be like":  func(in *DrainInput) { in.WhatIf = &proto.WhatIf{Add: 1, Like: "host-z"} },
	} {
		in := w.drain("host-a")
		change(&in)
		var no *Refusal
		if _, _, err := Drain(in); !errors.As(err, &no) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// fewestLeft is the dumb twin: it looks at every placement that can be reached by moves each of which fits, and returns how few instances stay on host 0.
func fewestLeft(room []int64, at []int, size []int64) int {
	seen := map[string]bool{}
	best := len(at)
	var visit func()
	visit = func() {
		key := fmt.Sprint(at)
		if seen[key] {
			return
		}
		seen[key] = true
		left := 0
		used := make([]int64, len(room))
		for i, h := range at {
			used[h] += size[i]
			if h == 0 {
				left++
			}
		}
		best = min(best, left)
		for i, from := range at {
			for h := 1; h < len(room); h++ {
				if h != from && used[h]+size[i] <= room[h] {
					at[i] = h
					visit()
					at[i] = from
				}
			}
		}
	}
	visit()
	return best
}

func TestDrainBesideEveryPlacement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room := []int64{10_000}
		for range rapid.IntRange(1, 3).Draw(t, "others") {
			room = append(room, 100*rapid.Int64Range(1, 10).Draw(t, "room"))
		}
		w := newFleet(t, room...)
		free := append([]int64(nil), room...)
		var at []int
		var size []int64
		for i := range rapid.IntRange(1, 5).Draw(t, "instances") {
			n, h := 100*rapid.Int64Range(1, 6).Draw(t, "size"), rapid.IntRange(0, len(room)-1).Draw(t, "host")
			if n > free[h] {
				h = 0
			}
			free[h] -= n
			at, size = append(at, h), append(size, n)
			w.run(fmt.Sprintf("i-%d", i), hostName(h), n)
		}
		want := fewestLeft(room, at, size)
		p, b := plannedDrain(t, w.drain("host-a"))
		stay := 0
		if b != nil {
			stay = len(b.Instances)
			if b.Proof != proto.BlockedSmallest {
				t.Fatalf("%+v", b)
			}
		}
		if stay != want || len(p.Stays) != stay {
			t.Fatalf("%d stay, %d would have to: %+v", stay, want, p.Says)
		}
	})
}
