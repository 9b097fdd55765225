package api_test

import (
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

const rebalanceRoute = "POST /v1/rebalance"

// lopsided puts instances on one host.
func lopsided(t *testing.T) *world {
	w := newWorld(t)
	for _, name := range []string{"a-1", "a-2", "a-3"} {
		w.apply(name, "host-a", proto.Enforce)
	}
	return w
}

func TestARebalanceIsAskedForWithoutChangingAnything(t *testing.T) {
	w := lopsided(t)
	applied := w.View().Applied()
	r := ok[v1.Rebalance](w, rebalanceRoute, nil)
	if w.View().Applied() != applied {
		t.Fatal("a question proposed something")
	}
	if len(r.Suggestions) == 0 || r.Before <= r.After || r.LeastGain != 50 || len(r.Says) == 0 {
		t.Fatalf("%+v", r)
	}
	for _, s := range r.Suggestions {
		if s.Plan != "" || s.Source != "host-a" || s.Target == "host-a" || s.Wins < r.LeastGain || s.Wins != s.Scores-s.Stays-s.Cost || s.Relief <= 0 || len(s.Strain) != 2 || s.Figures.Duration.High <= 0 || len(s.Reasons) == 0 {
			t.Errorf("%+v", s)
		}
	}
	if resp := w.ask(proto.RoleViewer, rebalanceRoute, v1.RebalanceRequest{Moves: 1}); resp.Code != 200 {
		t.Errorf("a viewer can't ask: %d %s", resp.Code, resp.Body)
	}
	if none := ok[v1.Rebalance](w, rebalanceRoute, v1.RebalanceRequest{LeastGain: 1000}); len(none.Suggestions) != 0 || none.LeastGain != 1000 {
		t.Errorf("%+v", none)
	}
	before := w.View()
	other := ok[v1.Rebalance](w, rebalanceRoute, v1.RebalanceRequest{WhatIf: &proto.WhatIf{Add: 1, Like: "host-c", Without: []string{"host-c", "host-c"}}})
	if other.Hosts != 3 || len(other.Suggestions) == 0 || !strings.Contains(other.Says[0], "a fleet that is not there") {
		t.Errorf("%+v", other)
	}
	for _, s := range other.Suggestions {
		if s.Target != "host-c+1" {
			t.Errorf("without host-c: %+v", s)
		}
	}
	w.fails(v1.CodeNotFound, 404, rebalanceRoute, v1.RebalanceRequest{WhatIf: &proto.WhatIf{Without: []string{"host-z"}}})
	w.fails(v1.CodeInvalid, 400, rebalanceRoute, v1.RebalanceRequest{Store: true, WhatIf: &proto.WhatIf{Without: []string{"host-c"}}})
	if rows := state.Difference(before, w.View()); len(rows) > 0 {
		t.Errorf("asking changed %v", rows)
	}
	for _, in := range []v1.RebalanceRequest{{Moves: -1}, {Moves: 65}, {LeastGain: -1}, {LeastGain: 1001}} {
		w.fails(v1.CodeInvalid, 400, rebalanceRoute, in)
	}
}

func TestSuggestionsAreStoredOnceAndBegunByAnOperator(t *testing.T) {
	w := lopsided(t)
	if resp := w.ask(proto.RoleViewer, rebalanceRoute, v1.RebalanceRequest{Store: true}); resp.Code != 403 {
		t.Errorf("a viewer stores: %d", resp.Code)
	}
	key := ulid.Make().String()
	r := ok[v1.Rebalance](w, rebalanceRoute, v1.RebalanceRequest{Store: true}, v1.HeaderKey, key)
	if len(r.Suggestions) == 0 {
		t.Fatalf("%+v", r)
	}
	applied := w.View().Applied()
	for _, headers := range [][]string{{v1.HeaderKey, key}, nil} {
		again := ok[v1.Rebalance](w, rebalanceRoute, v1.RebalanceRequest{Store: true}, headers...)
		if len(again.Suggestions) != len(r.Suggestions) || again.Suggestions[0].Plan != r.Suggestions[0].Plan || w.View().Applied() != applied {
			t.Errorf("stored twice: %+v", again)
		}
	}
	if audit := w.Audit(); !strings.Contains(audit, `"method":"POST /v1/rebalance"`) {
		t.Error("that it is stored is not audited")
	}
	for m := range w.View().Migrations() {
		t.Errorf("begun: %+v", m)
	}
	id := r.Suggestions[0].Plan
	p := ok[proto.StoredPlan](w, "GET /v1/plans/"+id, nil)
	if p.Kind != proto.PlanRebalance || p.Status != proto.PlanSuggested || len(p.Moves) != 1 || len(p.Moves[0].Holds) != 0 || p.Reason != r.Suggestions[0].Reason {
		t.Fatalf("%+v", p)
	}
	if p = ok[proto.StoredPlan](w, "POST /v1/plans/"+id+"/begin", nil); p.Status != proto.PlanQueued || len(p.Moves[0].Holds) == 0 || p.Moves[0].Target != r.Suggestions[0].Target {
		t.Errorf("%+v", p)
	}
}

func TestAPolicyOfRebalancingSaysAllThatItTakes(t *testing.T) {
	w := newWorld(t)
	policy := ok[v1.FleetPolicy](w, "GET /v1/policy", nil).Policy
	for says, b := range map[string]proto.Rebalance{
		"use 5m0s or more": {Every: 1000},
		"say how often":    {Execute: true, MovesDay: 1},
		"say how many":     {Execute: true, Every: 3_600_000},
		"use 0 to 1000":    {LeastGain: 1001},
	} {
		policy.Rebalance = &b
		if e := w.fails(v1.CodeInvalid, 400, "PUT /v1/policy", v1.PolicyRequest{Policy: policy}); !strings.Contains(e.Message, says) {
			t.Errorf("%s: it should say %q", e.Message, says)
		}
	}
	policy.Rebalance = &proto.Rebalance{Every: 3_600_000, Execute: true, MovesDay: 2, LeastGain: 100}
	if got := ok[v1.FleetPolicy](w, "PUT /v1/policy", v1.PolicyRequest{Policy: policy}); got.Rebalance == nil || *got.Rebalance != *policy.Rebalance {
		t.Errorf("%+v", got)
	}
	if r := ok[v1.Rebalance](w, rebalanceRoute, nil); r.LeastGain != 100 {
		t.Errorf("%+v", r)
	}
}
