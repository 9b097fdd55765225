package planner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// another adopts an instance as large as cache-1 on a host.
func (w *world) another(name, host string) {
	w.t.Helper()
	like, _ := w.state.View().Instance("cache-1")
	r, _ := w.state.View().Reservation(like.Reservation)
	spec := like.Spec
	spec.Name, spec.Host, spec.Addresses, spec.Application = name, host, nil, ""
	w.must(&proto.InstanceApply{Spec: spec, Envelope: r.Envelope, Floor: r.Floor})
	i, _ := w.state.View().Instance(name)
	w.must(&proto.InstanceAdopted{Instance: name, Fence: i.Fence})
}

// drains plans a drain of host-a in a fleet that is asked for, of instances whose demand nobody has forecast.
func (w *world) drains(what *proto.WhatIf) (DrainPlan, *proto.Blocked, error) {
	return Drain(DrainInput{
		Host: "host-a", View: w.state.View(), Now: begin, Deadline: begin.Add(4 * time.Hour), WhatIf: what, Costs: DefaultCosts(),
		Of: func(string) MovingFigures { return MovingFigures{Data: 10 << 20} },
	})
}

func leadsTo(p DrainPlan, instance string) string {
	to := ""
	for _, m := range p.Moves {
		if m.Instance == instance {
			to = m.Target
		}
	}
	return to
}

func TestAMoveCanBeAskedForInAFleetWithMoreHosts(t *testing.T) {
	w := newWorld(t)
	for _, host := range []string{"host-b", "host-c"} {
		w.must(&proto.HostSet{Host: host, Override: resource.Vector{resource.CPU: 10}})
	}
	w.must(&proto.HostSet{Host: "host-a", Cordoned: true})
	if _, err := w.plan(Request{Instance: "cache-1"}); err == nil {
		t.Fatal("there is room for it as it is")
	}
	r, err := w.plan(Request{Instance: "cache-1", WhatIf: &proto.WhatIf{Add: 2, Like: "host-a"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Plan.Target != "host-a+1" {
		t.Errorf("it goes to %s", r.Plan.Target)
	}
	want := "this is of a fleet that is not there, and can't be carried out: 2 hosts are added like host-a (host-a+1 to host-a+2), with its size, labels,"
	if len(r.Plan.Warnings) == 0 || !strings.HasPrefix(r.Plan.Warnings[0], want) || !strings.Contains(r.Plan.Warnings[0], "and no instance") {
		t.Errorf("%q", r.Plan.Warnings)
	}
	named, err := w.plan(Request{Instance: "cache-1", Target: "host-a+2", WhatIf: &proto.WhatIf{Add: 2, Like: "host-a"}})
	if err != nil || named.Plan.Target != "host-a+2" {
		t.Errorf("%s, %v", named.Plan.Target, err)
	}
	if _, err := w.plan(Request{Instance: "cache-1", Target: "host-a+3", WhatIf: &proto.WhatIf{Add: 2, Like: "host-a"}}); err == nil {
		t.Error("it goes to a host that is not asked for")
	}
}

func TestAHostThatIsLeftOutIsNoTarget(t *testing.T) {
	w := newWorld(t)
	if r, err := w.plan(Request{Instance: "cache-1"}); err != nil || r.Plan.Target != "host-c" {
		t.Fatalf("as it is it goes to %s: %v", r.Plan.Target, err)
	}
	r, err := w.plan(Request{Instance: "cache-1", WhatIf: &proto.WhatIf{Without: []string{"host-c"}}})
	if err != nil || r.Plan.Target != "host-b" {
		t.Fatalf("it goes to %s: %v", r.Plan.Target, err)
	}
	if said := r.Plan.Warnings[0]; !strings.HasSuffix(said, ": 1 host is left out (host-c): nothing is placed there, and what is there stays") {
		t.Error(said)
	}
	if c := r.Plan.Considered; len(c) != 2 || c[1].Host != "host-c" || c[1].Violates != "left out" || !strings.Contains(c[1].Reason, "it is left out") {
		t.Errorf("%+v", c)
	}
	var no *Refusal
	_, err = w.plan(Request{Instance: "cache-1", Target: "host-c", WhatIf: &proto.WhatIf{Without: []string{"host-c"}}})
	if !errors.As(err, &no) || no.Considered[0].Violates != "left out" || !strings.Contains(no.Remedy, "leave this one in") {
		t.Errorf("%+v", err)
	}
	// One that is replaced by others like it.
	r, err = w.plan(Request{Instance: "cache-1", WhatIf: &proto.WhatIf{Add: 1, Like: "host-c", Without: []string{"host-b", "host-c"}}})
	if err != nil || r.Plan.Target != "host-c+1" {
		t.Errorf("it goes to %s: %v", r.Plan.Target, err)
	}
}

func TestFleetsThatCanNotBeAskedForAreRefusedWithTheRemedy(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		what            proto.WhatIf
		reason, remedy  string
		drainToo, moves bool
	}{
		{what: proto.WhatIf{Add: 1, Like: "host-z"}, reason: `there is no host "host-z" that others could be like`, moves: true, drainToo: true},
		{what: proto.WhatIf{Without: []string{"host-z"}}, reason: `there is no host "host-z" to be without`, moves: true, drainToo: true},
		{what: proto.WhatIf{Add: -1, Like: "host-a"}, reason: "-1 hosts more", moves: true, drainToo: true},
		{what: proto.WhatIf{Add: 1}, reason: "it is not said like which one", moves: true, drainToo: true},
		{what: proto.WhatIf{}, reason: "is the fleet that is there", moves: true, drainToo: true},
		{
			what: proto.WhatIf{Without: []string{"host-b", "host-c"}}, reason: "without host-b, host-c there is no host but host-a that anything could move to",
			remedy: "leave fewer hosts out, or add some: --add 1 --like host-a", moves: true, drainToo: true,
		},
		{what: proto.WhatIf{Without: []string{"host-a"}}, reason: "instance cache-1 is on host-a, which is left out", remedy: "glidepath host drain host-a --dry-run", moves: true},
		{what: proto.WhatIf{Without: []string{"host-a"}}, reason: "host host-a is the one to be emptied", remedy: "leave out other hosts", drainToo: true},
	} {
		var errs []error
		if c.moves {
			_, err := w.plan(Request{Instance: "cache-1", WhatIf: &c.what})
			errs = append(errs, err)
		}
		if c.drainToo {
			_, _, err := w.drains(&c.what)
			errs = append(errs, err)
		}
		for _, err := range errs {
			var no *Refusal
			if !errors.As(err, &no) || !no.Invalid || !strings.Contains(no.Reason, c.reason) || !strings.Contains(no.Remedy, c.remedy) {
				t.Errorf("%+v: %#v", c.what, err)
			}
		}
	}
}

func TestWhatIsOnHostsThatAreLeftOutGoesElsewhereBeforeAHostIsEmptied(t *testing.T) {
	w := newWorld(t)
	w.another("cache-2", "host-c")
	w.must(&proto.HostSet{Host: "host-b", Override: resource.Vector{resource.CPU: 400}}) // room for one of them
	if p, blocked, err := w.drains(nil); err != nil || blocked != nil || len(p.Moves) != 1 || p.WhatIf != nil {
		t.Fatalf("as it is: %+v, %+v, %v", p, blocked, err)
	}
	p, blocked, err := w.drains(&proto.WhatIf{Without: []string{"host-c"}})
	if err != nil || blocked == nil || strings.Join(blocked.Instances, " ") != "cache-1" || len(p.Moves) != 0 {
		t.Fatalf("%+v, %+v, %v", p.Moves, blocked, err)
	}
	if p.WhatIf == nil || len(p.Says) < 2 || !strings.Contains(p.Says[0], "nothing is placed there, and what is there goes elsewhere") ||
		!strings.HasPrefix(p.Says[1], "what host-c has is elsewhere by ") || !strings.HasSuffix(p.Says[1], ": cache-2 to host-b") {
		t.Errorf("%+v, %q", p.WhatIf, p.Says)
	}
	// With one more there is room for both, and nothing of it goes to the host that is emptied.
	p, blocked, err = w.drains(&proto.WhatIf{Add: 1, Like: "host-a", Without: []string{"host-c"}})
	if err != nil || blocked != nil || len(p.Moves) != 1 {
		t.Fatalf("%+v, %+v, %v", p, blocked, err)
	}
	first := p.Says[1]
	if to := leadsTo(p, "cache-1"); to != "host-b" && to != "host-a+1" || strings.Contains(first, "to host-a,") || strings.HasSuffix(first, "to host-a") {
		t.Errorf("cache-1 goes to %s, %s", to, first)
	}
	if stored := p.Stored(DrainInput{Host: "host-a"}, nil); stored.WhatIf == nil || stored.Host != "host-a" || stored.Says[0] != p.Says[0] {
		t.Errorf("%+v", stored)
	}
	// What finds no place of that is in the way, too.
	w.must(&proto.HostSet{Host: "host-b", Override: resource.Vector{resource.CPU: 10}})
	p, blocked, err = w.drains(&proto.WhatIf{Without: []string{"host-c"}})
	if err != nil || blocked == nil || strings.Join(blocked.Instances, " ") != "cache-1 cache-2" || blocked.Proof != proto.BlockedNotFound || len(p.Stays) != 2 {
		t.Errorf("%+v, %+v, %v", p.Stays, blocked, err)
	}
}

func TestADrainEndsWhenNobodyWaitsForItAnyMore(t *testing.T) {
	gone := errors.New("the client has gone")
	for name, what := range map[string]*proto.WhatIf{"of the fleet": nil, "of another one": {Without: []string{"host-c"}}} {
		w := newFleet(t, 1000, 1000, 1000, 1000)
		for i := range 3 {
			w.run(fmt.Sprintf("a-%d", i), "host-a", 100)
			w.run(fmt.Sprintf("c-%d", i), "host-c", 100)
		}
		in, asked := w.drain("host-a"), map[string]bool{}
		of := in.Of
		in.Of = func(instance string) MovingFigures {
			asked[instance] = true
			return of(instance)
		}
		in.WhatIf = what
		in.Over = func() error {
			if len(asked) > 1 {
				return gone
			}
			return nil
		}
		if _, _, err := Drain(in); !errors.Is(err, gone) || len(asked) != 2 {
			t.Errorf("%s: %v, after it was asked about %v", name, err, asked)
		}
	}
}

func TestAskingForAnotherFleetLeavesTheOneThatIs(t *testing.T) {
	w := newWorld(t)
	w.another("cache-2", "host-c")
	v := w.state.View()
	before, _ := v.Host("host-c")
	reserved := len(v.ReservationsOn("host-b"))
	in := w.input(Request{Instance: "cache-1", WhatIf: &proto.WhatIf{Add: 1, Like: "host-b", Without: []string{"host-c"}}})
	in.View = v
	if _, err := Make(in); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.drains(in.Request.WhatIf); err != nil {
		t.Fatal(err)
	}
	after, _ := v.Host("host-c")
	if _, there := v.Host("host-b+1"); there || after.Cordoned != before.Cordoned || len(after.Windows) != len(before.Windows) || len(v.ReservationsOn("host-b")) != reserved {
		t.Errorf("%+v", after)
	}
	if steps := v.Ledger().Steps("host-b+1"); len(steps) != 0 {
		t.Errorf("%+v", steps)
	}
}

func TestAFleetThatIsAskedForIsEvenedOutInPlaceOfTheOneThatIs(t *testing.T) {
	w := crowded(t)
	before := w.look()
	asked := func(what proto.WhatIf) Rebalanced {
		return w.look(func(in *RebalanceInput) { in.View, in.WhatIf = w.s.View(), &what })
	}
	targets := func(r Rebalanced) (out []string) {
		for _, s := range r.Suggestions {
			out = append(out, s.Move.Source+" to "+s.Move.Target)
		}
		return out
	}
	if to := targets(before); len(to) == 0 || to[0] != "h0 to h2" {
		t.Fatalf("as it is: %v", to)
	}
	more := asked(proto.WhatIf{Add: 1, Like: "h2", Without: []string{"h2"}})
	if to := targets(more); len(to) == 0 || slices.ContainsFunc(to, func(s string) bool { return s != "h0 to h2+1" && s != "h0 to h1" && s != "h1 to h2+1" }) || to[0] != "h0 to h2+1" || more.Hosts != 3 {
		t.Errorf("with one like h2 in the place of h2: %v of %d hosts", to, more.Hosts)
	}
	if want := "this is of a fleet that is not there, and can't be carried out: 1 host is added like h2 (h2+1)"; !strings.HasPrefix(more.Says[0], want) ||
		!strings.HasSuffix(more.Says[0], "1 host is left out (h2): nothing is placed there, and what is there stays") {
		t.Errorf("%q", more.Says)
	}
	// What is left out is relieved of nothing, and its strain is not the fleet's.
	full := asked(proto.WhatIf{Without: []string{"h0"}})
	if to := targets(full); len(to) > 0 || full.Hosts != 2 || full.Before >= before.Before || full.Before != full.After {
		t.Errorf("without the full host: %v, %d hosts, strain %d to %d, that of all is %d", to, full.Hosts, full.Before, full.After, before.Before)
	}
	if again := w.look(); !slices.Equal(targets(again), targets(before)) || again.Before != before.Before {
		t.Errorf("asking changed the fleet: %v, and %v before", targets(again), targets(before))
	}
	for _, what := range []proto.WhatIf{{}, {Add: 1, Like: "h9"}, {Without: []string{"h9"}}} {
		var no *Refusal
		if _, err := Rebalance(RebalanceInput{View: w.s.View(), Now: w.now, Of: w.of, WhatIf: &what}); !errors.As(err, &no) || !no.Invalid {
			t.Errorf("%+v: %v", what, err)
		}
	}
}
