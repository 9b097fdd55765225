package state

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/proto"
)

func TestReportsThatContradictTheTablesAreFound(t *testing.T) {
	s := New()
	for name, i := range map[string]proto.Instance{
		"still":    {Owner: "a", State: proto.InstanceRunning, Fence: 5},
		"adopting": {Owner: "a", State: proto.InstanceAdopting, Fence: 5},
		"copied":   {Owner: "a", State: proto.InstanceRunning, Fence: 5, Migration: "m1"},
		"starting": {Owner: "b", State: proto.InstanceStarting, Fence: 7, Migration: "m2"},
		"thawing":  {Owner: "a", State: proto.InstanceThawing, Fence: 8, Migration: "m3"},
		"left":     {Owner: "b", State: proto.InstanceRunning, Fence: 7},
		"given-up": {Owner: "a", State: proto.InstanceThawing, Fence: 8, Migration: "m4"},
	} {
		i.Spec.Name = name
		s.view.instances.put(name, i)
	}
	s.view.migrations.put("m1", proto.Migration{ID: "m1", Instance: "copied", Source: "a", Target: "b", Phase: proto.PhaseCopy})
	s.view.migrations.put("m2", proto.Migration{ID: "m2", Instance: "starting", Source: "a", Target: "b", Phase: proto.PhaseSwitch})
	s.view.migrations.put("m3", proto.Migration{ID: "m3", Instance: "thawing", Source: "a", Target: "b", Phase: proto.PhaseUndo})
	s.view.migrations.put("m4", proto.Migration{ID: "m4", Instance: "given-up", Source: "a", Target: "b", Phase: proto.PhaseUndo, Loss: true})
	s.view.migrations.put("m5", proto.Migration{
		ID: "m5", Instance: "left", Source: "a", Target: "b", Phase: proto.PhaseEnded, Outcome: proto.OutcomeCompleted, Operations: []proto.OperationRecord{{Kind: proto.OpRetire, Host: "a"}},
	})
	for _, c := range []struct {
		what, host, instance string
		state                proto.FenceState
		fence                uint64
		says                 string // "": no conflict of the instance
		blocks               bool
	}{
		{"owner", "a", "still", proto.FenceOwner, 9, "", false},
		{"gave it away since", "a", "still", proto.FenceRetired, 7, "a is its owner", true},
		{"was moved here since", "b", "still", proto.FenceOwner, 7, "a is its owner", true},
		{"gave it away before", "b", "still", proto.FenceRetired, 4, "", false},
		{"not taken over yet", "a", "adopting", proto.FenceNone, 0, "", false},
		{"source", "a", "copied", proto.FenceOwner, 5, "", false},
		{"target", "b", "copied", proto.FenceTarget, 5, "", false},
		{"source was frozen since", "a", "copied", proto.FenceFrozen, 6, "has seen fence 6", true},
		{"source is frozen", "a", "starting", proto.FenceFrozen, 6, "", false},
		{"target starts", "b", "starting", proto.FenceStarting, 7, "", false},
		{"target was confirmed since", "b", "starting", proto.FenceOwner, 7, "clients may have been served", true},
		{"adopted since", "b", "new", proto.FenceOwner, 3, "adopt it again", false},
		{"source is frozen yet", "a", "thawing", proto.FenceFrozen, 6, "", false},
		{"source went on", "a", "thawing", proto.FenceOwner, 8, "", false},
		{"source gave it away since", "a", "thawing", proto.FenceRetired, 7, "may have been given away", true},
		{"source gave it away, and its loss was accepted", "a", "given-up", proto.FenceRetired, 7, "", false},
		{"target was given up before", "b", "given-up", proto.FenceOwner, 7, "", false},
		{"target was given up, and chosen again since", "b", "given-up", proto.FenceOwner, 9, "has seen fence 9", true},
		{"a copy of since", "b", "still", proto.FenceTarget, 5, "by migration since", false},
		{"source has not heard yet that it left", "a", "left", proto.FenceFrozen, 6, "", false},
		{"source was chosen again since", "a", "left", proto.FenceFrozen, 9, "b is its owner", true},
		{"source runs it", "a", "left", proto.FenceOwner, 6, "b is its owner", true},
		{"nothing of it", "a", "", proto.FenceNone, 0, "", false},
	} {
		var held []proto.Holding
		if c.instance != "" {
			i, _ := s.view.instances.get(c.instance)
			held = []proto.Holding{{
				Instance: c.instance, State: c.state, Fence: c.fence, Incarnation: 1, Running: c.state == proto.FenceOwner, Migration: cmp.Or(i.Migration, map[string]string{"left": "m5"}[c.instance], "since"),
			}}
		}
		found := proto.Conflict{}
		for _, x := range s.View().Contradictions(c.host, held) {
			if x.Instance == c.instance {
				found = x
			}
		}
		if (c.says == "") != (found.What == "") || !strings.Contains(found.What, c.says) || found.Blocks != c.blocks {
			t.Errorf("%s: %+v", c.what, found)
		}
	}
	missing := s.View().Contradictions("a", nil)
	var names []string
	for _, m := range missing {
		names = append(names, m.Instance)
	}
	if !slices.Equal(names, []string{"copied", "given-up", "still", "thawing"}) || !Blocked(missing) {
		t.Errorf("an owner that holds nothing: %+v", missing)
	}
	if got := s.View().Contradictions("a", []proto.Holding{{Instance: "../x", State: proto.FenceOwner}}); len(got) != 4 {
		t.Errorf("a name that nothing can have: %+v", got)
	}
}

func TestAHostWithABlockingConflictDoesNotCountAsHavingReported(t *testing.T) {
	w := newWorld(t)
	w.must(&proto.IncarnationRaise{From: 1, Reason: "test"})
	found := []proto.Conflict{{Instance: "i", What: "both", Blocks: true}}
	w.want(proto.ResultInvalid, &proto.HostRegister{Facts: facts("a", 100), Incarnation: 2, Conflicts: found})
	w.must(&proto.HostRegister{Facts: facts("a", 100), Incarnation: 1, Conflicts: found})
	if h, _ := w.s.View().Host("a"); h.Incarnation != 1 || len(h.Conflicts) != 1 {
		t.Errorf("%+v", h)
	}
	found[0].Blocks = false
	w.must(&proto.HostRegister{Facts: facts("a", 100), Incarnation: 2, Conflicts: found})
	if h, _ := w.s.View().Host("a"); h.Incarnation != 2 || len(h.Conflicts) != 1 {
		t.Errorf("%+v", h)
	}
}

func TestRecoveredTablesBeginANewLifeWithOneCoordinator(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"c1", "c2"} {
		w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: name, Identity: "key of " + name, Commands: proto.KnownCommands()}})
	}
	w.must(&proto.HostHome{Host: "a", From: "c1", Home: "c2", Standby: "c1"})
	w.adopt("i", "a", 10)
	w.must(w.startOf("m", "i", "b", 10))
	before := w.s.View()
	r := Recovery{By: proto.Coordinator{Name: "c1", Identity: "new key"}, At: before.Now(), Reason: "test", Forget: []string{"i"}}
	if err := w.s.Recover(r); err != nil {
		t.Fatal(err)
	}
	first := w.s.View()
	for _, v := range Check(first) {
		t.Errorf("%s: %s", v.Invariant, v.What)
	}
	f := first.Fleet()
	if f.Incarnation <= 1 || len(f.Removed) != 2 || f.RaisedFor != "test" {
		t.Errorf("%+v", f)
	}
	if h, _ := first.Host("a"); h.Home != "c1" || h.Standby != "" || h.Incarnation == f.Incarnation {
		t.Errorf("%+v", h)
	}
	if _, there := first.Instance("i"); there {
		t.Error("it was not forgotten")
	}
	if m, _ := first.Migration("m"); m.Active() || m.Outcome != proto.OutcomeFailed {
		t.Errorf("%+v", m)
	}
	w.want(proto.ResultRefused, &proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c2", Identity: "key of c2"}})
	// The same backup once more, a second later: agents must be able to tell the two apart.
	r.At, r.Forget, r.By.Identity = r.At+1000, nil, "newer key"
	if err := w.s.Recover(r); err != nil || w.s.View().Fleet().Incarnation <= f.Incarnation {
		t.Errorf("%v, incarnation %d after %d", err, w.s.View().Fleet().Incarnation, f.Incarnation)
	}
}
