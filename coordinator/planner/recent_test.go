package planner

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// fence returns the fence of cache-1.
func (w *world) fence() uint64 {
	i, _ := w.state.View().Instance("cache-1")
	return i.Fence
}

// copying begins a migration of cache-1 to a host that is named.
func (w *world) copying(id, target string) {
	w.t.Helper()
	r, err := Make(w.input(Request{Instance: "cache-1", Target: target}))
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	w.must(&proto.MigrationStart{ID: id, Plan: r.Plan, Reservation: r.Reservation, Extra: r.Extra})
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhasePrepare, To: proto.PhaseCopy})
}

// moved takes cache-1 to a host; the migration ends at begin.
func (w *world) moved(id, target string) {
	w.t.Helper()
	w.copying(id, target)
	w.must(&proto.MigrationFreeze{Migration: id, Fence: w.fence()})
	w.must(&proto.MigrationCommit{Migration: id, Fence: w.fence()})
	w.must(&proto.MigrationConfirm{Migration: id, Fence: w.fence(), Until: begin + 600_000})
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.must(&proto.MigrationComplete{Migration: id, Fence: w.fence()})
}

func TestNoBackAndForth(t *testing.T) {
	w := newWorld(t) // host-a and host-c are alike, host-b is smaller
	w.moved("m1", "host-c")
	plan := func(after time.Duration, r Request) (Result, error) {
		in := w.input(r)
		in.Now = begin.Add(after)
		return Make(in)
	}
	r, err := plan(time.Hour, Request{Instance: "cache-1"})
	if err != nil || r.Plan.Target != "host-b" {
		t.Fatalf("an hour after it left host-a: to %q: %v", r.Plan.Target, err)
	}
	if last := r.Plan.Considered[1]; last.Host != "host-a" || last.Violates != "left" || !strings.Contains(last.Reason, "with migration m1") {
		t.Errorf("%+v", last)
	}
	if _, err = plan(time.Hour, Request{Instance: "cache-1", Target: "host-a"}); err != nil {
		t.Errorf("where it is told to go it goes: %v", err)
	}
	if r, err = plan(25*time.Hour, Request{Instance: "cache-1"}); err != nil || r.Plan.Target != "host-a" {
		t.Errorf("a day later: to %q: %v", r.Plan.Target, err)
	}
}

func TestAMoveForTheBalancesSakeWaitsAndWinsByAMargin(t *testing.T) {
	w := newWorld(t)
	w.must(&proto.HostRegister{Facts: facts("host-d", 1600), Incarnation: w.state.View().Fleet().Incarnation})
	w.moved("m1", "host-b")
	w.hold("h1", "host-b", resource.Vector{resource.CPU: 800})
	plan := func(after time.Duration) (Result, error) {
		in := w.input(Request{Instance: "cache-1", Margin: MarginOfBalance})
		in.Now = begin.Add(after)
		return Make(in)
	}
	var no *Refusal
	if _, err := plan(10 * time.Minute); !errors.As(err, &no) || !strings.Contains(no.Reason, "came to host-b 10 min ago with migration m1: it stays for 30 min") {
		t.Errorf("%v", err)
	}
	r, err := plan(time.Hour)
	if err != nil || r.Plan.Target != "host-c" || !strings.Contains(strings.Join(r.Plan.Reasons, "\n"), "to stay on host-b scores 0.") {
		t.Fatalf("from a host with half of the room: to %q: %v", r.Plan.Target, err)
	}
	w.moved("m2", "host-c")
	if _, err = plan(time.Hour); !errors.As(err, &no) || !strings.Contains(no.Reason, "instance cache-1 stays on host-c: that scores 0.") {
		t.Errorf("where nothing is better it stays: %v", err)
	}
	if _, err = Make(w.input(Request{Instance: "cache-1"})); err != nil {
		t.Errorf("an operator's word needs no margin: %v", err)
	}
}

func TestAMoveThatWasGivenUpSpeaksAgainstItsTarget(t *testing.T) {
	w := newWorld(t)
	big := facts("host-b", 4000)
	w.must(&proto.HostRegister{Facts: big, Incarnation: w.state.View().Fleet().Incarnation}) // as host-c: the first by name is chosen
	if r, err := Make(w.input(Request{Instance: "cache-1"})); err != nil || r.Plan.Target != "host-b" {
		t.Fatalf("to %q: %v", r.Plan.Target, err)
	}
	w.copying("m1", "host-b")
	w.must(&proto.MigrationAbort{Migration: "m1", Fence: w.fence()})
	w.must(&proto.MigrationEnd{Migration: "m1", Outcome: proto.OutcomeAborted})
	r, err := Make(w.input(Request{Instance: "cache-1"}))
	if err != nil || r.Plan.Target != "host-c" {
		t.Fatalf("to %q: %v", r.Plan.Target, err)
	}
	if why := r.Plan.Considered[1].Reason; !strings.Contains(why, "it scores 0.1 less than host-c, most of it for gave up: migration m1 to it was given up") {
		t.Errorf("%q", why)
	}
	in := w.input(Request{Instance: "cache-1"})
	in.Now = begin.Add(gaveUp)
	if r, err = Make(in); err != nil || r.Plan.Target != "host-b" {
		t.Errorf("later: to %q: %v", r.Plan.Target, err)
	}
}

func TestReturnsCountAsHavingLeftTheTarget(t *testing.T) {
	r := recent{left: map[string]past{}, gaveUp: map[string]past{}}
	for _, m := range []proto.Migration{
		{ID: "m1", Source: "host-a", Target: "host-b", Phase: proto.PhaseEnded, Outcome: proto.OutcomeReturned, EndedAt: begin},
		{ID: "m0", Source: "host-b", Target: "host-a", Phase: proto.PhaseEnded, Outcome: proto.OutcomeCompleted, EndedAt: begin.Add(-time.Hour)},
		{ID: "m2", Source: "host-a", Target: "host-c", Phase: proto.PhaseCopy, CreatedAt: begin},
		{ID: "m3", Source: "host-a", Target: "host-d", Phase: proto.PhaseEnded, Outcome: proto.OutcomeFailed, EndedAt: begin},
	} {
		r.note(m)
	}
	if want := (past{"m1", begin}); r.moved != want || r.left["host-b"] != want || len(r.left) != 1 || len(r.gaveUp) != 0 {
		t.Errorf("%+v", r)
	}
}
