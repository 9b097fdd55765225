package state

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// restored begins another incarnation of w, to which hosts a and c have reported what the tables say.
func (w *world) restored() {
	w.t.Helper()
	w.must(&proto.IncarnationRaise{From: w.s.View().Fleet().Incarnation, Reason: "restored"})
	for _, host := range []string{"a", "c"} {
		w.report(host, w.owned(host)...)
	}
}

// owned is what a host's agent holds by the tables.
func (w *world) owned(host string) []proto.Holding {
	var out []proto.Holding
	for i := range w.s.View().Instances() {
		if i.Owner == host {
			out = append(out, proto.Holding{Instance: i.Name(), State: proto.FenceOwner, Fence: i.Fence, Running: true})
		}
	}
	return out
}

// report registers a host as its agent's report asks for.
func (w *world) report(host string, held ...proto.Holding) {
	w.t.Helper()
	v := w.s.View()
	b := &proto.HostRegister{Facts: facts(host, 100), Incarnation: v.Fleet().Incarnation}
	found := v.Contradictions(host, held)
	if h, _ := v.Host(host); h.Incarnation == b.Incarnation {
		b.Conflicts = Remaining(h.Conflicts, found)
	} else {
		b.Conflicts = Hold(found)
	}
	w.must(b)
}

func (w *world) limit(host string) int64 {
	return w.s.View().Ledger().Steps(host)[0].Limit[resource.CPU]
}

// inConflict is a restored fleet: by the tables i is on a, and b's agent says that it runs there. b has j, too.
func inConflict(t *testing.T) *world {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.adopt("j", "b", 20)
	w.restored()
	w.report("b", append(w.owned("b"), proto.Holding{Instance: "i", State: proto.FenceOwner, Fence: w.fence("i") + 2, Running: true, Granted: resource.Uniform(30)})...)
	return w
}

func TestAnInstanceInConflictIsHeldAndItsHostIsNot(t *testing.T) {
	w := inConflict(t)
	v := w.s.View()
	if h, _ := v.Host("b"); h.Incarnation != v.Fleet().Incarnation || len(h.HeldThere()) != 1 {
		t.Fatalf("b: %+v", h)
	}
	if held := v.Held("i"); len(held) != 1 || held[0].Host != "b" || !held[0].There || len(v.Held("j")) != 0 {
		t.Fatalf("held: %+v", held)
	}
	// Nothing is decided on it, whatever it is.
	for _, b := range []proto.Body{w.startOf("m", "i", "c", 40), w.startOf("m", "i", "b", 40), &proto.InstanceRelease{Instance: "i"}} {
		if r := w.want(proto.ResultRefused, b); !strings.Contains(r.Message, "instance i is held: b reports otherwise") {
			t.Errorf("%s: %s", b.Command(), r.Message)
		}
	}
	w.want(proto.ResultRefused, &proto.HostForget{Host: "b"})
	if f := w.s.View().Forgetting("b"); len(f.Undecided) != 1 || !strings.Contains(f.Undecided[0], "glidepath instance forget i") {
		t.Errorf("undecided: %q", f.Undecided)
	}
	w.must(&proto.HostDrain{Host: "b", To: proto.DrainGoesOn})
	w.must(&proto.HostDrain{Host: "b", From: proto.DrainGoesOn, To: proto.DrainNone})
	w.must(&proto.HostSet{Host: "b"})
	// What it takes of b nobody else is promised; all else goes on.
	if got := w.limit("b"); got != 70 {
		t.Errorf("b may promise %d, want 70", got)
	}
	w.want(proto.ResultRefused, &proto.InstanceApply{Spec: spec("k", "b"), Envelope: open(46)})
	w.adopt("k", "b", 44)
	w.settled("m", "j", "c", 40)
	w.must(&proto.MigrationComplete{Migration: "m", Fence: w.fence("j")})
	w.must(&proto.HostDrain{Host: "b", To: proto.DrainGoesOn})
	w.must(&proto.InstanceRelease{Instance: "k"})
	w.must(&proto.InstanceRemove{Instance: "k", Fence: w.fence("k")})
	if r := w.want(proto.ResultRefused, &proto.HostDrain{Host: "b", From: proto.DrainGoesOn, To: proto.DrainDone}); !strings.Contains(r.Message, "instance i runs there") {
		t.Errorf("drained: %s", r.Message)
	}
	// The agent is away: nothing changes. It comes back and holds nothing: all is as the tables say.
	w.now += 100_000_000
	w.must(&proto.Tick{})
	if got := w.limit("b"); got != 70 {
		t.Errorf("b may promise %d, want 70", got)
	}
	w.report("b", w.owned("b")...)
	if len(w.s.View().Held("i")) != 0 || w.limit("b") != 100 {
		t.Errorf("held %+v, b may promise %d", w.s.View().Held("i"), w.limit("b"))
	}
	w.must(w.startOf("n", "i", "c", 20))
}

func TestAnInstanceThatIsHeldIsInDoubt(t *testing.T) {
	w := inConflict(t)
	d := w.s.View().InDoubt(w.now)
	if len(d) != 1 || d[0].Instance != "i" || d[0].Since != w.s.View().Fleet().RaisedAt || !strings.Contains(d[0].Known, "by the tables a is its owner, and b holds it as \"owner\"") ||
		len(d[0].Decide) != 2 || !strings.Contains(d[0].Decide[0], "glidepath instance forget i") || !strings.Contains(d[0].Decide[1], "then adopt it again on b") {
		t.Fatalf("%+v", d)
	}
	w.must(&proto.InstanceForget{Instance: "i", Fence: w.fence("i")})
	if d := w.s.View().InDoubt(w.now); len(d) != 1 || d[0].Instance != "i" || len(d[0].Decide) != 1 || !strings.HasPrefix(d[0].Decide[0], "adopt it again on b: ") {
		t.Fatalf("once it is forgotten: %+v", d)
	}
}

func TestAnInstanceThatIsForgottenIsAdoptedWhereItRuns(t *testing.T) {
	w := inConflict(t)
	w.want(proto.ResultNotFound, &proto.InstanceForget{Instance: "x"})
	w.want(proto.ResultStale, &proto.InstanceForget{Instance: "i", Fence: w.fence("i") + 1})
	if r := w.want(proto.ResultRefused, &proto.InstanceForget{Instance: "j", Fence: w.fence("j")}); !strings.Contains(r.Message, "not held") {
		t.Errorf("what nobody contradicts: %s", r.Message)
	}
	w.must(&proto.InstanceForget{Instance: "i", Fence: w.fence("i"), Reason: "it was moved"})
	v := w.s.View()
	if _, there := v.Instance("i"); there || len(v.ReservationsOn("a")) != 1 || len(v.Held("i")) != 1 || w.limit("b") != 70 {
		t.Fatalf("held %+v; a has %+v; b may promise %d", v.Held("i"), v.ReservationsOn("a"), w.limit("b"))
	}
	// Nobody else may have it.
	if r := w.want(proto.ResultRefused, &proto.InstanceApply{Spec: spec("i", "a"), Envelope: open(10)}); !strings.Contains(r.Message, "runs on b") {
		t.Errorf("adopted on a: %s", r.Message)
	}
	// What does not fit leaves it held.
	before := w.s.View()
	s := spec("i", "b")
	s.Type = "large"
	w.want(proto.ResultRefused, &proto.InstanceApply{Spec: s, Envelope: open(76)})
	if changed := Difference(before, w.s.View()); len(changed) > 0 || w.limit("b") != 70 || len(w.s.View().Held("i")) != 1 {
		t.Errorf("a refused adoption changed %v, b may promise %d", changed, w.limit("b"))
	}
	// It takes the place of what was kept for it: without that it would not fit.
	f := w.must(&proto.InstanceApply{Spec: s, Envelope: open(75)}).Fence
	w.must(&proto.InstanceAdopted{Instance: "i", Fence: f})
	if len(w.s.View().Held("i")) != 0 || w.limit("b") != 100 {
		t.Errorf("held %+v, b may promise %d", w.s.View().Held("i"), w.limit("b"))
	}
	w.report("b", w.owned("b")...)
	w.must(w.startOf("m", "i", "c", 75))
}

func TestBothHostsThatAnInstanceMovedBetweenHoldIt(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.must(&proto.IncarnationRaise{From: 1, Reason: "restored"})
	moved := proto.Holding{Instance: "i", State: proto.FenceRetired, Fence: w.fence("i") + 2}
	w.report("a", moved)
	w.report("c")
	if held := w.s.View().Held("i"); len(held) != 1 || held[0].There || w.limit("a") != 100 {
		t.Fatalf("%+v", held)
	}
	// b has not reported, and has it: nobody knows that yet.
	forget := &proto.InstanceForget{Instance: "i", Fence: w.fence("i")}
	if r := w.want(proto.ResultRefused, forget); !strings.Contains(r.Message, "host b has not yet reported") {
		t.Errorf("%s", r.Message)
	}
	moved.State, moved.Running = proto.FenceOwner, true
	w.report("b", moved)
	if held := w.s.View().Held("i"); len(held) != 2 || !held[1].There || held[1].Takes != resource.Uniform(40) {
		t.Fatalf("an agent that does not say what it takes: %+v", held)
	}
	w.must(forget)
	w.report("b", moved) // the tables have forgotten what they reserved for it
	if held := w.s.View().Held("i"); len(held) != 1 || held[0].Host != "b" || w.limit("b") != 60 {
		t.Fatalf("b may promise %d: %+v", w.limit("b"), held)
	}
}

func TestAMigrationOfAnInstanceThatIsHeldStandsStill(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.copying("m", "i", "b", 60)
	f := w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")}).Fence
	w.restored()
	w.report("a", proto.Holding{Instance: "i", State: proto.FenceFrozen, Fence: f})
	confirmed := proto.Holding{Instance: "i", State: proto.FenceOwner, Fence: f + 1, Running: true, Migration: "m", Granted: resource.Uniform(60)}
	w.report("b", confirmed)
	if held := w.s.View().Held("i"); len(held) != 1 || !held[0].Takes.IsZero() || w.limit("b") != 100 {
		t.Fatalf("the target has room reserved, and holds more: %+v", held)
	}
	for _, b := range []proto.Body{&proto.MigrationCommit{Migration: "m", Fence: f}, &proto.MigrationAbort{Migration: "m", Fence: f}, &proto.AcceptLoss{Migration: "m", Fence: f}} {
		w.want(proto.ResultRefused, b)
	}
	w.must(&proto.InstanceForget{Instance: "i", Fence: f})
	if m := w.migration("m"); m.Active() || m.Outcome != proto.OutcomeFailed {
		t.Errorf("%+v", m)
	}
	// What was reserved for it went with it, and it stays.
	if held := w.s.View().Held("i"); len(held) != 1 || held[0].Takes != resource.Uniform(60) || w.limit("b") != 40 {
		t.Errorf("b may promise %d: %+v", w.limit("b"), held)
	}
}

func TestAnInstanceWhoseMigrationWaitsForAHostThatIsGoneIsForgottenByAWordOnThat(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.copying("m", "i", "b", 60)
	f := w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")}).Fence
	f = w.must(&proto.MigrationAbort{Migration: "m", Fence: f}).Fence
	w.want(proto.ResultRefused, &proto.InstanceForget{Instance: "i", Fence: f})
	w.restored()
	d := w.s.View().InDoubt(w.now.Add(thawDoubt))
	if len(d) != 1 || !strings.Contains(d[0].Known, "host b has not yet reported") || !strings.Contains(d[0].Decide[1], "--unreported") {
		t.Errorf("%+v", d)
	}
	w.want(proto.ResultRefused, &proto.InstanceForget{Instance: "i", Fence: f})
	w.must(&proto.InstanceForget{Instance: "i", Fence: f, Unreported: true})
}

func TestAnInstanceThatTheTablesDontKnowIsHeldWhereItRuns(t *testing.T) {
	w := newWorld(t)
	w.restored()
	w.report("b", proto.Holding{Instance: "new", State: proto.FenceOwner, Fence: 9, Running: true, Granted: resource.Uniform(45)})
	h, _ := w.s.View().Host("b")
	if len(h.Conflicts) != 1 || !h.Conflicts[0].Holds || h.Incarnation != 2 || w.limit("b") != 55 {
		t.Fatalf("b may promise %d: %+v", w.limit("b"), h)
	}
	w.want(proto.ResultRefused, &proto.HostForget{Host: "b"})
	w.want(proto.ResultRefused, &proto.InstanceApply{Spec: spec("new", "a"), Envelope: open(10)})
	if f := w.s.View().Forgetting("b"); len(f.Undecided) != 0 {
		t.Errorf("%q", f.Undecided)
	}
	w.must(w.dead("b"))
	if len(w.s.View().Held("new")) != 0 {
		t.Error("it is held by a host that was forgotten")
	}
	w.adopt("new", "a", 10)
}

func TestOnlyWhatIsHeldIsLookedAtAgain(t *testing.T) {
	w := inConflict(t)
	// j is in conflict for a moment, as it may be while it moves; i is still.
	w.report("b", proto.Holding{Instance: "i", State: proto.FenceOwner, Fence: w.fence("i") + 2, Granted: resource.Uniform(30)})
	h, _ := w.s.View().Host("b")
	if len(h.Conflicts) != 1 || h.Conflicts[0].Instance != "i" {
		t.Errorf("%+v", h.Conflicts)
	}
	old := []proto.Conflict{{Instance: "x", What: "of an older coordinator"}}
	if got := Remaining(old, nil); len(got) != 1 || got[0] != old[0] {
		t.Errorf("%+v", got)
	}
}

func TestMoreConflictsThanCanBeHeldBlockTheHost(t *testing.T) {
	w := newWorld(t)
	w.must(&proto.IncarnationRaise{From: 1, Reason: "restored"})
	var held []proto.Holding
	for n := range maxConflicts {
		held = append(held, proto.Holding{Instance: fmt.Sprintf("x%d", n), State: proto.FenceOwner, Fence: 3})
	}
	w.report("a", held...)
	found := w.s.View().Contradictions("b", append(held, proto.Holding{Instance: "y", State: proto.FenceOwner}))
	if list := Hold(found); len(list) != maxConflicts || !Blocked(list) || list[0].Holds {
		t.Errorf("%d, the first: %+v", len(list), list[0])
	}
	if list := Block(found); len(list) != maxConflicts || !Blocked(list) {
		t.Errorf("%d, the first: %+v", len(list), list[0])
	}
}

func TestConflictsThatHoldAreOnlyForCoordinatorsThatKnowThem(t *testing.T) {
	w := inConflict(t)
	found := w.s.View().Contradictions("b", []proto.Holding{{Instance: "i", State: proto.FenceOwner, Fence: 99, Granted: resource.Uniform(3)}})
	if got := (proto.HostRegister{Conflicts: Hold(found)}).Asks(); got != proto.CmdInstanceForget {
		t.Errorf("asks for %s", got)
	}
	if got := (proto.HostRegister{Conflicts: Block(found)}).Asks(); got != 0 {
		t.Errorf("asks for %s", got)
	}
	for _, c := range Block(found) {
		if c.Holds || c.There || !c.Takes.IsZero() {
			t.Errorf("%+v", c)
		}
	}
	w.want(proto.ResultInvalid, &proto.HostRegister{Facts: facts("c", 100), Incarnation: 2, Conflicts: []proto.Conflict{{Instance: "i", Takes: resource.Uniform(3)}}})
	w.want(proto.ResultInvalid, &proto.HostRegister{Facts: facts("c", 100), Incarnation: 2, Conflicts: []proto.Conflict{{Instance: "i", Holds: true, Takes: resource.Uniform(-3)}}})
}

func TestWhatIsHeldIsThereAfterAnExportAndGoneAfterARestore(t *testing.T) {
	w := inConflict(t)
	again, err := Import(bytes.NewReader(export(t, w.s.View())))
	if err != nil {
		t.Fatal(err)
	}
	if len(again.View().Held("i")) != 1 || again.View().Ledger().Steps("b")[0].Limit[resource.CPU] != 70 {
		t.Error("it is not held after an export")
	}
	if err := again.Recover(Recovery{By: proto.Coordinator{Name: "c1", Identity: "new key"}, At: w.now, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if len(again.View().Held("i")) != 0 || again.View().Ledger().Steps("b")[0].Limit[resource.CPU] != 100 {
		t.Error("it is held before an agent has reported")
	}
}
