package planner

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// crowd is a fleet of n hosts, each in one of two segments, with an instance of each class on every one.
func crowd(t interface {
	Helper()
	Fatalf(string, ...any)
}, n int, policy proto.Policy) *world {
	w := newWorld(t)
	w.must(&proto.PolicyPut{Policy: policy})
	for h := range n {
		f := facts(fmt.Sprintf("h%d", h), 16000)
		f.Segment = fmt.Sprintf("lan%d", h%2)
		w.must(&proto.HostRegister{Facts: f, Incarnation: w.state.View().Fleet().Incarnation})
		for _, class := range []proto.Class{proto.Critical, proto.Standard, proto.BestEffort} {
			name := fmt.Sprintf("%s-%d", class, h)
			open := timeline.Span{Start: begin.Floor(grid), End: timeline.Forever}
			w.must(&proto.InstanceApply{
				Spec: proto.InstanceSpec{
					Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service", Data: []string{"/var/lib/" + name}},
					Host: f.Name, Type: "m.small", Class: class, Mode: proto.Enforce,
				},
				Envelope: proto.FirmEnvelope(timeline.Flat(open, leastFloor)), Floor: leastFloor,
			})
			i, _ := w.state.View().Instance(name)
			w.must(&proto.InstanceAdopted{Instance: name, Fence: i.Fence})
		}
	}
	return w
}

func stored(id string, made timeline.Time, moves ...proto.Move) proto.StoredPlan {
	return proto.StoredPlan{ID: id, Kind: proto.PlanMigrate, Status: proto.PlanQueued, Moves: moves, MadeAt: made}
}

func to(class proto.Class, from, to int) proto.Move {
	return proto.Move{Instance: fmt.Sprintf("%s-%d", class, from), Source: fmt.Sprintf("h%d", from), Target: fmt.Sprintf("h%d", to)}
}

func TestTheQueueGoesByClassDeadlineAndWhoAskedFirst(t *testing.T) {
	policy := proto.DefaultPolicy()
	policy.MovesFleet = 5
	w := crowd(t, 8, policy)
	due := stored("due", begin, to(proto.Standard, 1, 0))
	due.Deadline = begin.Add(time.Hour)
	paused, whatIf, begun := stored("paused", begin-9, to(proto.Critical, 6, 7)), stored("what-if", begin-9, to(proto.Critical, 6, 7)), stored("begun", begin-9, to(proto.Critical, 6, 7))
	paused.Status, whatIf.WhatIf, begun.Moves[0].Migration = proto.PlanPaused, &proto.WhatIf{Add: 1}, "m1"
	later := stored("later", begin-9, to(proto.Critical, 6, 7))
	later.Moves[0].Start = begin + 1
	plans := []proto.StoredPlan{
		paused, whatIf, begun, later,
		stored("cheap", begin-5, to(proto.BestEffort, 2, 3)), stored("second", begin-1, to(proto.Standard, 3, 4)), due,
		stored("first", begin-2, to(proto.Standard, 4, 5)), stored("most", begin, to(proto.Critical, 5, 6)), stored("sixth", begin, to(proto.BestEffort, 0, 7)),
	}
	want := []Ready{{"most", 0}, {"due", 0}, {"first", 0}, {"second", 0}, {"cheap", 0}}
	if diff := cmp.Diff(want, Queue(plans, w.state.View(), begin, nil)); diff != "" {
		t.Error(diff)
	}
}

func TestAMoveWaitsForThoseBeforeIt(t *testing.T) {
	w := crowd(t, 4, proto.DefaultPolicy())
	second := to(proto.Standard, 1, 0)
	second.After = []int{0}
	p := stored("swap", begin, to(proto.Standard, 0, 2), second)
	if diff := cmp.Diff([]Ready{{"swap", 0}}, Queue([]proto.StoredPlan{p}, w.state.View(), begin, nil)); diff != "" {
		t.Error(diff)
	}
	p.Moves[0].Migration, p.Moves[0].Outcome = "m1", proto.OutcomeAborted
	if got := Queue([]proto.StoredPlan{p}, w.state.View(), begin, nil); len(got) != 0 {
		t.Errorf("%v begin though what they wait for was aborted", got)
	}
	p.Moves[0].Outcome = proto.OutcomeCompleted
	if diff := cmp.Diff([]Ready{{"swap", 1}}, Queue([]proto.StoredPlan{p}, w.state.View(), begin, nil)); diff != "" {
		t.Error(diff)
	}
}

func TestAMoveBeginsOnlyIfItEndsInItsWindow(t *testing.T) {
	policy := proto.DefaultPolicy()
	policy.Windows = []proto.MoveWindow{{Span: timeline.Span{Start: begin, End: begin.Add(time.Hour)}}}
	w := crowd(t, 4, policy)
	p := stored("p", begin, to(proto.Standard, 0, 2))
	p.Moves[0].Figures.Duration.High = (30 * time.Minute).Milliseconds()
	for after, want := range map[time.Duration]int{-time.Minute: 0, 0: 1, 30 * time.Minute: 1, 31 * time.Minute: 0} {
		if got := Queue([]proto.StoredPlan{p}, w.state.View(), begin.Add(after), nil); len(got) != want {
			t.Errorf("%s after its window opens %v begin", after, got)
		}
	}
	p.Windows = []proto.MoveWindow{{Forbid: true, Span: timeline.Span{Start: begin.Add(10 * time.Minute), End: begin.Add(20 * time.Minute)}}}
	if got := Queue([]proto.StoredPlan{p}, w.state.View(), begin, nil); len(got) != 0 {
		t.Errorf("%v begin though the plan forbids it", got)
	}
}

func TestNoMoreBeginThanThePolicyAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := proto.DefaultPolicy()
		policy.MovesHost, policy.MovesFleet = rapid.IntRange(1, 3).Draw(t, "host"), rapid.IntRange(1, 6).Draw(t, "fleet")
		policy.MovesLink = rapid.IntRange(0, 4).Draw(t, "link")
		w := crowd(t, 5, policy)
		going := map[string]bool{}
		for range rapid.IntRange(0, 2).Draw(t, "going") { // as the commands of before allow it
			from, target := rapid.IntRange(0, 4).Draw(t, "from"), rapid.IntRange(0, 4).Draw(t, "to")
			m := to(proto.Standard, from, target)
			open := proto.FirmEnvelope(timeline.Flat(timeline.Span{Start: begin, End: timeline.Forever}, leastFloor))
			i, _ := w.state.View().Instance(m.Instance)
			w.apply(&proto.MigrationStart{
				ID: "m-" + m.Instance, Plan: proto.Plan{Instance: m.Instance, Source: m.Source, Target: m.Target, FromType: "m.small", ToType: "m.small", Fence: i.Fence},
				Reservation: proto.Reservation{ID: "r-" + m.Instance, Envelope: open, Floor: leastFloor, Until: begin.Add(time.Hour)},
			})
		}
		var plans []proto.StoredPlan
		for n := range rapid.IntRange(0, 12).Draw(t, "plans") {
			from := rapid.IntRange(0, 4).Draw(t, "from")
			class := rapid.SampledFrom([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort}).Draw(t, "class")
			plans = append(plans, stored(fmt.Sprint("p", n), begin, to(class, from, (from+rapid.IntRange(1, 4).Draw(t, "by"))%5)))
		}
		ready := Queue(plans, w.state.View(), begin, nil)
		all, hosts, segments := 0, map[string]int{}, map[string]int{}
		count := func(source, target string) {
			all++
			seen := map[string]bool{}
			for _, name := range []string{source, target} {
				h, _ := w.state.View().Host(name)
				hosts[name]++
				if !seen[h.Facts.Segment] {
					segments[h.Facts.Segment]++
				}
				seen[h.Facts.Segment] = true
			}
		}
		for m := range w.state.View().ActiveMigrations() {
			going[m.Instance] = true
			count(m.Source, m.Target)
		}
		moves := map[string]bool{}
		for _, r := range ready {
			m := plans[slot(plans, r.Plan)].Moves[r.Move]
			if moves[m.Instance] || going[m.Instance] {
				t.Fatalf("%s is moved twice at once", m.Instance)
			}
			moves[m.Instance] = true
			count(m.Source, m.Target)
		}
		for host, n := range hosts {
			if n > policy.MovesHost && len(ready) > 0 && touched(plans, ready, host) {
				t.Fatalf("%d moves touch %s at once, %d are allowed", n, host, policy.MovesHost)
			}
		}
		if len(ready) > 0 && all > policy.MovesFleet {
			t.Fatalf("%d moves at once, %d are allowed", all, policy.MovesFleet)
		}
		for segment, n := range segments {
			if policy.MovesLink > 0 && n > policy.MovesLink && len(ready) > 0 && segment != "" && begins(w, plans, ready, segment) {
				t.Fatalf("%d moves over %s at once, %d are allowed", n, segment, policy.MovesLink)
			}
		}
		// The first one that can go on goes on: nobody waits for nothing.
		if len(plans) > 0 && len(ready) == 0 && all == 0 {
			t.Fatal("nothing begins though nothing goes on")
		}
	})
}

func slot(plans []proto.StoredPlan, id string) int {
	for i, p := range plans {
		if p.ID == id {
			return i
		}
	}
	return -1
}

// touched reports whether a move that begins touches the host.
func touched(plans []proto.StoredPlan, ready []Ready, host string) bool {
	for _, r := range ready {
		if m := plans[slot(plans, r.Plan)].Moves[r.Move]; m.Source == host || m.Target == host {
			return true
		}
	}
	return false
}

// begins reports whether a move that begins goes over the segment.
func begins(w *world, plans []proto.StoredPlan, ready []Ready, segment string) bool {
	for _, r := range ready {
		m := plans[slot(plans, r.Plan)].Moves[r.Move]
		for _, name := range []string{m.Source, m.Target} {
			if h, _ := w.state.View().Host(name); h.Facts.Segment == segment {
				return true
			}
		}
	}
	return false
}

// TestNobodyWaitsForGood has others ask for the same host again and again, each of a higher class than the one that waits.
func TestNobodyWaitsForGood(t *testing.T) {
	policy := proto.DefaultPolicy()
	policy.MovesHost = 1
	w := crowd(t, 6, policy)
	waits := stored("waits", begin, to(proto.BestEffort, 0, 1))
	now := begin
	for n := range 1000 { // each of the others takes five minutes, and the next one is asked for before that
		other := stored(fmt.Sprint("other", n), now, to(proto.Critical, 2+n%4, 1))
		ready := Queue([]proto.StoredPlan{waits, other}, w.state.View(), now, nil)
		if len(ready) != 1 {
			t.Fatalf("%v begin on one host", ready)
		}
		if ready[0].Plan == "waits" {
			if now.Sub(begin) < ageing {
				t.Errorf("it is before those of a higher class after %s already", now.Sub(begin))
			}
			return
		}
		if now = now.Add(5 * time.Minute); now.Sub(begin) > 3*ageing {
			t.Fatalf("it still waits after %s", now.Sub(begin))
		}
	}
}

// TestWhatIsFreedIsNotTakenByWhoComesLater has a move wait for two hosts, of which now one is free and now the other.
func TestWhatIsFreedIsNotTakenByWhoComesLater(t *testing.T) {
	policy := proto.DefaultPolicy()
	policy.MovesHost = 1
	w := crowd(t, 6, policy)
	open := proto.FirmEnvelope(timeline.Flat(timeline.Span{Start: begin, End: timeline.Forever}, leastFloor))
	i, _ := w.state.View().Instance("standard-2")
	w.must(&proto.MigrationStart{
		ID: "m1", Plan: proto.Plan{Instance: "standard-2", Source: "h2", Target: "h1", FromType: "m.small", ToType: "m.small", Fence: i.Fence},
		Reservation: proto.Reservation{ID: "r1", Envelope: open, Floor: leastFloor, Until: begin.Add(time.Hour)},
	})
	plans := []proto.StoredPlan{stored("later", begin+1, to(proto.Standard, 0, 3)), stored("first", begin, to(proto.Standard, 0, 1)), stored("apart", begin+2, to(proto.BestEffort, 4, 5))}
	if diff := cmp.Diff([]Ready{{"apart", 0}}, Queue(plans, w.state.View(), begin, nil)); diff != "" {
		t.Error(diff)
	}
}

// TestThoseThatWaitForOneHostKeepNobodyElseWaiting has more moves wait for a host than may go on in the fleet, or over its segment.
func TestThoseThatWaitForOneHostKeepNobodyElseWaiting(t *testing.T) {
	for _, link := range []int{0, 2} {
		policy := proto.DefaultPolicy()
		policy.MovesHost, policy.MovesFleet, policy.MovesLink = 1, 3, link
		w := crowd(t, 8, policy)
		drain := stored("drain", begin, to(proto.Critical, 0, 1), to(proto.Standard, 0, 3), to(proto.BestEffort, 0, 5))
		other := stored("other", begin+1, to(proto.BestEffort, 2, 4), to(proto.BestEffort, 6, 5))
		want := []Ready{{"drain", 0}, {"other", 0}} // the other one would take the place on h5 of one that waits
		if diff := cmp.Diff(want, Queue([]proto.StoredPlan{drain, other}, w.state.View(), begin, nil)); diff != "" {
			t.Errorf("with %d over a segment: %s", link, diff)
		}
	}
}
