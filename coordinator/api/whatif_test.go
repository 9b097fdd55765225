package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func TestAPlanIsAskedForInAnotherFleet(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	applied := w.View().Applied()
	plan := ok[proto.Plan](w, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", WhatIf: &proto.WhatIf{Without: []string{"host-c", "host-c"}}})
	if plan.Target != "host-b" || len(plan.Warnings) == 0 || !strings.Contains(plan.Warnings[0], "1 host is left out (host-c)") {
		t.Errorf("%s, %q", plan.Target, plan.Warnings)
	}
	plan = ok[proto.Plan](w, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-a+2", WhatIf: &proto.WhatIf{Add: 2, Like: "host-a"}})
	if plan.Target != "host-a+2" || !strings.Contains(plan.Warnings[0], "2 hosts are added like host-a") {
		t.Errorf("%s, %q", plan.Target, plan.Warnings)
	}
	if resp := w.ask(proto.RoleViewer, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", WhatIf: &proto.WhatIf{Add: 1, Like: "host-a"}}); resp.Code != 200 {
		t.Errorf("a viewer can't ask: %d %s", resp.Code, resp.Body)
	}
	if w.View().Applied() != applied {
		t.Error("asking changed something")
	}
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-c", WhatIf: &proto.WhatIf{Without: []string{"host-c"}}}); !strings.Contains(e.Message, "it is left out") {
		t.Error(e.Message)
	}
}

func TestAPlanOfAnotherFleetIsStoredAndNeverBegins(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	key := ulid.Make().String()
	ask := v1.PlanRequest{Instance: "cache-1", Store: true, WhatIf: &proto.WhatIf{Add: 1, Like: "host-a", Without: []string{"host-c", "host-b"}}}
	plan := ok[proto.Plan](w, "POST /v1/plans", ask, v1.HeaderKey, key)
	if plan.Stored != key || plan.Target != "host-a+1" {
		t.Fatalf("%+v", plan)
	}
	if again := ok[proto.Plan](w, "POST /v1/plans", ask, v1.HeaderKey, key); again.Stored != key || !slices.Equal(again.Warnings, plan.Warnings) {
		t.Errorf("%+v", again)
	}
	kept := ok[proto.StoredPlan](w, "GET /v1/plans/"+key, nil)
	if kept.Status != proto.PlanKept || kept.WhatIf == nil || !slices.Equal(kept.WhatIf.Without, []string{"host-b", "host-c"}) || !strings.Contains(kept.Says[0], "a fleet that is not there") {
		t.Errorf("%+v", kept)
	}
	if list := ok[v1.List[v1.PlanSummary]](w, "GET /v1/plans", nil); len(list.Items) != 1 || !list.Items[0].WhatIf {
		t.Errorf("%+v", list)
	}
	for _, body := range []any{nil, v1.BeginRequest{Now: true}} {
		e := w.fails(v1.CodeRefused, 422, "POST /v1/plans/"+key+"/begin", body)
		if !strings.Contains(e.Message, "of a fleet that is not there, with 1 host more like host-a and without host-b, host-c: it can't be carried out") ||
			e.Remedy != "plan again for the fleet as it is: glidepath plan migrate cache-1" {
			t.Errorf("%s: %s", e.Message, e.Remedy)
		}
	}
	if p := ok[proto.StoredPlan](w, "POST /v1/plans/"+key+"/cancel", nil); p.Status != proto.PlanCancelled {
		t.Errorf("%+v", p)
	}
	// A migration is of the fleet that is there.
	for _, in := range []v1.PlanRequest{{Instance: "cache-1", WhatIf: ask.WhatIf}, {Instance: "cache-1", WhatIf: ask.WhatIf, Best: true}} {
		if e := w.fails(v1.CodeInvalid, 400, "POST /v1/migrations", in); !strings.Contains(e.Message, "in the fleet as it is") {
			t.Error(e.Message)
		}
	}
	if n := len(slices.Collect(w.View().Migrations())); n != 0 {
		t.Errorf("%d migrations", n)
	}
}

func TestAFleetThatCanNotBeIsNotAskedFor(t *testing.T) {
	w := newWorld(t)
	w.apply("a-1", "host-a", proto.Enforce)
	for _, c := range []struct {
		what    proto.WhatIf
		code    v1.Code
		status  int
		message string
	}{
		{proto.WhatIf{Add: 2, Like: "host-z"}, v1.CodeNotFound, 404, `there is no host "host-z"`},
		{proto.WhatIf{Without: []string{"host-c", "host-z"}}, v1.CodeNotFound, 404, `there is no host "host-z"`},
		{proto.WhatIf{Add: 2}, v1.CodeInvalid, 400, "what_if: 2 hosts more, and it is not said like which one"},
		{proto.WhatIf{Like: "host-a"}, v1.CodeInvalid, 400, "it is not said how many"},
		{proto.WhatIf{Add: -1, Like: "host-a"}, v1.CodeInvalid, 400, "-1 hosts more: use 1 to 1024"},
		{proto.WhatIf{Add: 1_000_000, Like: "host-a"}, v1.CodeInvalid, 400, "1000000 hosts more: use 1 to 1024"},
		{proto.WhatIf{}, v1.CodeInvalid, 400, "the fleet that is there"},
		{proto.WhatIf{Without: []string{"host-b", "host-c"}}, v1.CodeInvalid, 400, "no host but host-a"},
		{proto.WhatIf{Without: []string{"host-a"}}, v1.CodeInvalid, 400, "host-a"},
	} {
		for request, body := range map[string]any{
			"POST /v1/plans": v1.PlanRequest{Instance: "a-1", WhatIf: &c.what}, drainA: v1.DrainRequest{DryRun: true, WhatIf: &c.what},
		} {
			if e := w.fails(c.code, c.status, request, body); !strings.Contains(e.Message, c.message) {
				t.Errorf("%+v: %s: %s", c.what, request, e.Message)
			}
		}
	}
}

func TestADrainIsAskedForInAnotherFleetAndKept(t *testing.T) {
	w := newWorld(t)
	w.apply("a-1", "host-a", proto.Enforce)
	w.apply("c-1", "host-c", proto.Enforce)
	w.Must(&proto.HostSet{Host: "host-b", Override: resource.Vector{resource.CPU: 400}}) // room for one of them
	what := &proto.WhatIf{Without: []string{"host-c"}}
	d := ok[v1.Drain](w, drainA, v1.DrainRequest{DryRun: true, WhatIf: what})
	if d.Plan == nil || d.Plan.Blocked == nil || strings.Join(d.Plan.Blocked.Instances, " ") != "a-1" || d.Plan.WhatIf == nil || !strings.Contains(d.Plan.Says[1], "c-1 to host-b") {
		t.Fatalf("%+v", d.Plan)
	}
	what.Add, what.Like = 1, "host-c"
	key := ulid.Make().String()
	ask := v1.DrainRequest{DryRun: true, Store: true, WhatIf: what}
	d = ok[v1.Drain](w, drainA, ask, v1.HeaderKey, key)
	if d.Drain != nil || d.Plan == nil || d.Plan.ID != key || d.Plan.Status != proto.PlanKept || d.Plan.Blocked != nil || len(d.Plan.Moves) != 1 || d.Plan.WhatIf == nil {
		t.Fatalf("%+v", d.Plan)
	}
	if again := ok[v1.Drain](w, drainA, ask, v1.HeaderKey, key); again.Plan.Revision != d.Plan.Revision || len(slices.Collect(w.View().Plans())) != 1 {
		t.Errorf("%+v", again.Plan)
	}
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/plans/"+key+"/begin", nil); e.Remedy != "plan again for the fleet as it is: glidepath host drain host-a" {
		t.Errorf("%s: %s", e.Message, e.Remedy)
	}
	// One of the fleet that is there is kept as well; a drain plans anew.
	plain := ok[v1.Drain](w, drainA, v1.DrainRequest{DryRun: true, Store: true})
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/plans/"+plain.Plan.ID+"/begin", nil); e.Remedy != "glidepath host drain host-a" {
		t.Errorf("%s: %s", e.Message, e.Remedy)
	}
	for _, id := range []string{key, plain.Plan.ID} {
		if e := w.fails(v1.CodeRefused, 422, "POST /v1/plans/"+id+"/cancel", nil); !strings.Contains(e.Message, "there is nothing to cancel") {
			t.Error(e.Message)
		}
	}
	for _, in := range []v1.DrainRequest{{WhatIf: what}, {Store: true}} {
		if e := w.fails(v1.CodeInvalid, 400, drainA, in); !strings.Contains(e.Message, "in the fleet as it is") {
			t.Error(e.Message)
		}
	}
	if h, _ := w.View().Host("host-a"); h.Drain != nil {
		t.Errorf("%+v", h.Drain)
	}
}
