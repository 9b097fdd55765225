package api_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// lodger is a besteffort instance on host-b with so much, down to a tenth of it.
func (w *world) lodger(name string, firm resource.Vector) {
	w.t.Helper()
	w.Must(&proto.TypePut{Type: proto.InstanceType{Name: "free", Max: resource.Uniform(resource.Unlimited)}})
	w.Must(&proto.InstanceApply{
		Spec:     proto.InstanceSpec{Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: "host-b", Type: "free", Class: proto.BestEffort, Mode: proto.Enforce},
		Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: firm}}, Floor: firm.Scale(1, 10),
	})
	i, _ := w.View().Instance(name)
	w.Must(&proto.InstanceAdopted{Instance: name, Fence: i.Fence})
}

func TestAMoveHasLowerClassesYieldWhereItIsAskedTo(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	w.lodger("batch", resource.Vector{resource.CPU: 500})
	ask := v1.PlanRequest{Instance: "cache-1", Target: "host-b"}
	w.fails(v1.CodeRefused, 422, "POST /v1/migrations", ask)
	ask.Squeeze = true
	plan := ok[proto.Plan](w, "POST /v1/plans", ask)
	if len(plan.Yields) != 1 || plan.Yields[0].ID != "batch@host-b" || !strings.Contains(plan.Yields[0].Why, "batch (besteffort) gives way by up to") {
		t.Fatalf("%+v", plan.Yields)
	}
	if resp := w.ask(proto.RoleViewer, "POST /v1/plans", ask); resp.Code != 200 { // nothing is changed by asking
		t.Errorf("%d %s", resp.Code, resp.Body)
	}
	if r, _ := w.View().Reservation("batch@host-b"); r.Squeezed != nil {
		t.Fatalf("%+v", r)
	}
	older := slices.DeleteFunc(proto.KnownCommands(), func(k proto.KnownType) bool { return k.Type == proto.CmdMigrationAdmit })
	c2 := proto.Coordinator{Name: "c2", RPCAddr: "10.0.0.2:7647", Commands: older}
	w.Must(&proto.CoordinatorPut{Coordinator: c2})
	stored, later := ask, ask
	stored.Store, later.At = true, inHours(1)
	for request, bodies := range map[string][]any{
		"POST /v1/migrations": {ask, later}, "POST /v1/plans": {stored}, "POST /v1/hosts/host-a/drain": {v1.DrainRequest{Squeeze: true, Anyway: true}},
	} {
		for _, body := range bodies {
			applied := w.View().Applied()
			if e := w.fails(v1.CodeRefused, 422, request, body); !strings.Contains(e.Remedy, "install the same version on all of them") || w.View().Applied() != applied {
				t.Errorf("%s: %+v", request, e)
			}
		}
	}
	c2.Commands = proto.KnownCommands()
	w.Must(&proto.CoordinatorPut{Coordinator: c2})
	m := ok[proto.Migration](w, "POST /v1/migrations", ask)
	r, _ := w.View().Reservation("batch@host-b")
	if r.Squeezed == nil || r.Squeezed.For != m.TargetReservation || len(m.Plan.Yields) != 1 || len(m.Plan.Yields[0].Envelope) != 0 {
		t.Fatalf("%+v, %+v", r.Squeezed, m.Plan.Yields)
	}
	if n := ok[v1.List[proto.Notice]](w, "GET /v1/notices", nil); len(n.Items) != 1 || n.Items[0].Kind != proto.NoticeSqueezed || n.Items[0].Instance != "batch" {
		t.Errorf("%+v", n.Items)
	}
}

func TestAMoveThatNeedsMemoryOfOthersBeginsWhenThatIsThere(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	w.lodger("batch", resource.Vector{resource.Memory: 4090 << 20})
	key, ask := ulid.Make().String(), v1.PlanRequest{Instance: "cache-1", Target: "host-b", Squeeze: true}
	before := timeline.Of(time.Now())
	p := ok[proto.StoredPlan](w, "POST /v1/migrations", ask, v1.HeaderKey, key)
	if p.ID != key || p.Status != proto.PlanScheduled || !p.Squeeze || p.Moves[0].Start < before.Add(proto.MemoryYields) || len(w.held(key)) != 3 || len(p.Moves[0].Yields) != 1 {
		t.Fatalf("%+v, %q held", p, w.held(key))
	}
	r, _ := w.View().Reservation("batch@host-b")
	if r.Squeezed == nil || r.Squeezed.For != proto.PlanHold(key, 0, "target") {
		t.Fatalf("%+v", r.Squeezed)
	}
	if again := ok[proto.StoredPlan](w, "POST /v1/migrations", ask, v1.HeaderKey, key); again.Revision != p.Revision {
		t.Errorf("%+v", again)
	}
	// Cancelled, it holds nothing: what has yielded may be raised again.
	ok[proto.StoredPlan](w, "POST /v1/plans/"+key+"/cancel", nil)
	w.Must(&proto.ReservationChange{Author: proto.AuthorReplan, Revise: []proto.Revision{{
		ID: r.ID, From: r.Revision, Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Vector{resource.Memory: 4090 << 20}}}, Floor: r.Floor,
	}}})
	// Stored without holding anything, it is planned again when it is to begin.
	ask.Store = true
	kept := ok[proto.Plan](w, "POST /v1/plans", ask)
	if r, _ := w.View().Reservation("batch@host-b"); r.Squeezed != nil || len(kept.Yields) != 1 {
		t.Fatalf("%+v, %+v", r.Squeezed, kept.Yields)
	}
	begun := ok[proto.StoredPlan](w, "POST /v1/plans/"+kept.Stored+"/begin", nil)
	if r, _ := w.View().Reservation("batch@host-b"); r.Squeezed == nil || begun.Status != proto.PlanScheduled || len(w.held(kept.Stored)) != 3 {
		t.Errorf("%+v, %+v", r.Squeezed, begun)
	}
}

func TestAHoldHasMemoryOfOthersOnceTheyHaveGivenItBack(t *testing.T) {
	w := newWorld(t)
	w.lodger("batch", resource.Vector{resource.Memory: 4090 << 20})
	ask := held(hold("nightly", proto.Standard, 100))
	ask.Reservations[0].Envelope[0].Firm[resource.Memory] = 1 << 30
	v := ok[v1.Verdict](w, "POST /v1/reservations/verdict", v1.VerdictRequest{Reservations: ask.Reservations})
	if !v.Squeezed || !slices.ContainsFunc(v.Says, func(s string) bool { return strings.Contains(s, "by then they have given it back") }) {
		t.Errorf("%+v", v)
	}
	ask.Squeeze = true
	before := timeline.Of(time.Now())
	got := ok[v1.ReservationsReply](w, "POST /v1/reservations", ask)
	e := got.Reservations[0].Envelope
	if len(got.Yields) != 1 || len(e) != 2 || e[0].Firm[resource.Memory] != 0 || e[0].Firm[resource.CPU] != 100 || e[0].End < before.Add(proto.MemoryYields) || e[1].Firm[resource.Memory] != 1<<30 {
		t.Fatalf("%+v", got)
	}
}

func TestWhatADeadHostHeldIsToldOf(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.Presence = func(context.Context) map[string]proto.Presence {
			return map[string]proto.Presence{"host-b": {Host: "host-b", Since: timeline.Of(time.Now().Add(-time.Hour))}}
		}
	})
	r := ok[v1.ReservationsReply](w, "POST /v1/reservations", held(hold("nightly", proto.Standard, 300))).Reservations[0]
	ok[v1.Empty](w, "POST /v1/hosts/host-b/forget-dead", v1.ForgetDead{Lost: []string{}, Reason: "burnt down"})
	n, told := w.View().Notice(proto.NoticeID(proto.NoticeLost, "nightly"))
	if !told || n.Host != "host-b" || n.Span.End != r.End() || !strings.Contains(n.Says, "reservation nightly (standard) is held no more: host host-b") || n.Proposes != "hold it elsewhere: there is room on host-a, host-c" {
		t.Errorf("%+v", n)
	}
}
