package api_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestADecisionOnAHostLeavesTheOthersAsTheyWere(t *testing.T) {
	w := newWorld(t)
	w.Must(&proto.HostSet{Host: "host-a", Reduced: timeline.Flat(timeline.Span{Start: timeline.Of(time.Now().Add(time.Hour)), End: timeline.Forever}, resource.Vector{resource.CPU: 100})})
	ok[v1.HostDetail](w, "POST /v1/hosts/host-a/cordon", nil)
	h := ok[v1.HostDetail](w, "POST /v1/hosts/host-a/allocatable", v1.HostAllocatable{Allocatable: resource.Vector{resource.CPU: 3000}})
	if !h.Cordoned || h.Allocatable[resource.CPU] != 3000 || len(h.Reduced) != 1 {
		t.Errorf("cordoned %v, allocatable %v, reduced %v", h.Cordoned, h.Allocatable, h.Reduced)
	}
	ok[v1.HostDetail](w, "POST /v1/hosts/host-a/uncordon", nil)
	w.fails(v1.CodeConflict, 409, "POST /v1/hosts/host-a/allocatable", v1.HostAllocatable{Revision: h.Revision})
	w.fails(v1.CodeInvalid, 400, "POST /v1/hosts/host-a/allocatable", v1.HostAllocatable{Allocatable: resource.Vector{resource.CPU: -1}})
	w.fails(v1.CodeNotFound, 404, "POST /v1/hosts/host-z/cordon", nil)
}

func TestADecisionThatMeetsAnotherIsMadeAnew(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) {
		propose, first := f.Config.Propose, true
		f.Config.Propose = func(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error) {
			if _, sets := body.(*proto.HostSet); sets && first {
				first = false
				f.Must(&proto.HostSet{Host: "host-a", Override: resource.Vector{resource.CPU: 3000}}) // somebody is quicker
			}
			return propose(ctx, id, actor, body)
		}
	})
	h := ok[v1.HostDetail](w, "POST /v1/hosts/host-a/cordon", nil)
	if !h.Cordoned || h.Allocatable[resource.CPU] != 3000 {
		t.Errorf("cordoned %v, allocatable %v", h.Cordoned, h.Allocatable)
	}
}

func TestACordonedHostIsNoTargetAlsoWhenItIsNamed(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	ok[v1.HostDetail](w, "POST /v1/hosts/host-c/cordon", nil)
	for _, request := range []string{"POST /v1/plans", "POST /v1/migrations"} {
		if e := w.fails(v1.CodeRefused, 422, request, v1.PlanRequest{Instance: "cache-1", Target: "host-c"}); !strings.Contains(e.Message, "cordoned") {
			t.Errorf("%s: %s", request, e.Message)
		}
	}
	if m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1"}); m.Target == "host-c" {
		t.Error("it was chosen")
	}
}

func TestADeadHostIsForgottenByWhoKnowsWhatIsLost(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.Presence = func(context.Context) map[string]proto.Presence {
			return map[string]proto.Presence{"host-a": {Host: "host-a", Since: timeline.Of(time.Now().Add(-time.Hour))}, "host-b": {Host: "host-b", Connected: true}}
		}
	})
	w.adopt("cache-1")
	s := ok[v1.Status](w, "GET /v1/status", nil)
	if len(s.Away) != 1 || s.Away[0].Host != "host-a" || s.Away[0].Owns != 1 {
		t.Errorf("%+v", s.Away)
	}
	for name, want := range map[string]v1.AgentState{"host-a": v1.AgentAway, "host-b": v1.AgentConnected, "host-c": v1.AgentUnknown} {
		if h := ok[v1.HostDetail](w, "GET /v1/hosts/"+name, nil); h.Agent.State != want {
			t.Errorf("%s is %s, want %s", name, h.Agent.State, want)
		}
	}
	f := ok[v1.Forgetting](w, "GET /v1/hosts/host-a/forget", nil)
	if len(f.Holds) != 1 || len(f.Lost) != 1 || !strings.Contains(f.Lost[0].Means, "backup") {
		t.Errorf("%+v", f)
	}
	w.fails(v1.CodeRefused, 422, "POST /v1/hosts/host-a/forget", nil)
	w.fails(v1.CodeRefused, 422, "POST /v1/hosts/host-b/forget-dead", v1.ForgetDead{})
	w.fails(v1.CodeConflict, 409, "POST /v1/hosts/host-a/forget-dead", v1.ForgetDead{})
	ok[v1.Empty](w, "POST /v1/hosts/host-a/forget-dead", v1.ForgetDead{Lost: []string{"cache-1"}, Reason: "burnt down"})
	w.fails(v1.CodeNotFound, 404, "GET /v1/instances/cache-1", nil)
	if audit := w.Audit(); !strings.Contains(audit, "lost: [cache-1]") || !strings.Contains(audit, "burnt down") {
		t.Error(audit)
	}
}

func TestADeadHostIsNotForgottenWhileAnotherMayRunWhatItOwned(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.Presence = func(context.Context) map[string]proto.Presence { return map[string]proto.Presence{} }
	})
	w.adopt("cache-1")
	w.Must(&proto.IncarnationRaise{From: 1, Reason: "restored"})
	if f := ok[v1.Forgetting](w, "GET /v1/hosts/host-a/forget", nil); !slices.Equal(f.Unreported, []string{"host-a", "host-b", "host-c"}) {
		t.Errorf("%q", f.Unreported)
	}
	w.fails(v1.CodeRefused, 422, "POST /v1/hosts/host-b/forget", nil)
	w.fails(v1.CodeRefused, 422, "POST /v1/hosts/host-b/forget-dead", v1.ForgetDead{Lost: []string{}}) // it may own more than the tables know
	b, _ := w.View().Host("host-b")
	w.Must(&proto.HostRegister{Facts: b.Facts, Incarnation: 2})
	ok[v1.Empty](w, "POST /v1/hosts/host-b/forget-dead", v1.ForgetDead{Lost: []string{}})
	dead := "POST /v1/hosts/host-a/forget-dead"
	if e := w.fails(v1.CodeRefused, 422, dead, v1.ForgetDead{Lost: []string{"cache-1"}}); !strings.Contains(e.Message, "what runs on host-a, host-c has not been reported") || !strings.Contains(e.Message, "cache-1 may run elsewhere") {
		t.Error(e.Message)
	}
	host, _ := w.View().Host("host-c")
	w.Must(&proto.HostRegister{Facts: host.Facts, Incarnation: 1, Conflicts: []proto.Conflict{{Instance: "cache-1", What: "host-c holds it as owner", Blocks: true}}})
	if e := w.fails(v1.CodeRefused, 422, dead, v1.ForgetDead{Lost: []string{"cache-1"}, Unreported: true}); !strings.Contains(e.Message, "host-c reports otherwise of instance cache-1") {
		t.Error(e.Message)
	}
	// What blocks nothing is told for good, and is no reason.
	w.Must(&proto.HostRegister{Facts: host.Facts, Incarnation: 2, Conflicts: []proto.Conflict{{Instance: "cache-1", What: "host-c has a copy of it"}}})
	ok[v1.Empty](w, dead, v1.ForgetDead{Lost: []string{"cache-1"}, Unreported: true})
	if audit := w.Audit(); !strings.Contains(audit, "although not reported: [host-a]; lost: [cache-1]") {
		t.Error(audit)
	}
}

func TestHostsAreListedByTheirLabels(t *testing.T) {
	w := newWorld(t)
	facts := apitest.Facts("host-a", 4000)
	facts.Labels = []proto.Label{{Key: "rack", Value: "a1"}}
	w.Must(&proto.HostRegister{Facts: facts, Incarnation: 1})
	if l := ok[v1.List[v1.Host]](w, "GET /v1/hosts?label=rack%3Da1", nil); len(l.Items) != 1 || l.Items[0].Facts.Name != "host-a" {
		t.Errorf("%+v", l.Items)
	}
	w.fails(v1.CodeInvalid, 400, "GET /v1/hosts?label=rack", nil)
}

func TestWhatHangsIsInTheStatus(t *testing.T) {
	w := newWorld(t)
	w.Executor = false
	ok[v1.InstanceDetail](w, "PUT /v1/instances/cache-1", apitest.Spec("cache-1"))
	i, _ := w.View().Instance("cache-1")
	w.Must(&proto.InstanceAdopted{Instance: "cache-1", Fence: i.Fence, Fault: &proto.Fault{Code: proto.FaultInDoubt, What: "the address is in use", Remedy: "find that host"}})
	if s := ok[v1.Status](w, "GET /v1/status", nil); len(s.InDoubt) != 1 || s.InDoubt[0].Instance != "cache-1" || s.InDoubt[0].Decide[0] != "find that host" {
		t.Errorf("%+v", s.InDoubt)
	}
}
