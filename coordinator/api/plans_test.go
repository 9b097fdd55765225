package api_test

import (
	"context"
	"net/url"
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

func inHours(n time.Duration) timeline.Time { return timeline.Of(time.Now().Add(n * time.Hour)) }

// held returns the reservations that keep room for a plan.
func (w *world) held(plan string) (ids []string) {
	for r := range w.View().Ledger().Reservations() {
		if proto.HoldsOf(plan, r.ID) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

func TestWhatAPlanHoldsIsChangedWithThePlanAlone(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) { f.Config.Forecast = demand })
	w.adopt("cache-1")
	p := ok[proto.StoredPlan](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c", At: inHours(4)})
	id, before := p.Moves[0].Holds[0], w.held(p.ID)
	at := "/v1/reservations/" + url.PathEscape(id)
	for request, body := range map[string]any{
		"DELETE " + at: nil, "POST " + at + "/extend": v1.ExtendRequest{Until: inHours(30)}, "POST /v1/reservations/verdict": v1.VerdictRequest{Release: []string{id}},
	} {
		if e := w.fails(v1.CodeRefused, 422, request, body); !strings.Contains(e.Remedy, "glidepath plan cancel "+p.ID) {
			t.Errorf("%s: %v", request, e)
		}
	}
	if held := w.held(p.ID); !slices.Equal(held, before) {
		t.Errorf("held %q, and %q before", held, before)
	}
	ok[proto.StoredPlan](w, "POST /v1/plans/"+p.ID+"/cancel", nil)
	if held := w.held(p.ID); held != nil {
		t.Errorf("held %q", held)
	}
}

func TestAnInstanceIsMovedByOnePlanAtATime(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) { f.Config.Forecast = demand })
	w.adopt("cache-1")
	first := ok[proto.StoredPlan](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c", At: inHours(4)})
	kept := ok[proto.Plan](w, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-c", At: inHours(2), Store: true})
	for request, body := range map[string]any{
		"POST /v1/migrations":                      v1.PlanRequest{Instance: "cache-1", Target: "host-c", At: inHours(4)},
		"POST /v1/plans/" + kept.Stored + "/begin": nil,
	} {
		if e := w.fails(v1.CodeConflict, 409, request, body); !strings.Contains(e.Remedy, "glidepath plan cancel "+first.ID) {
			t.Errorf("%s: %+v", request, e)
		}
	}
	ok[proto.StoredPlan](w, "POST /v1/plans/"+first.ID+"/cancel", nil)
	ok[proto.StoredPlan](w, "POST /v1/plans/"+kept.Stored+"/begin", nil)
}

func TestAMoveThatIsToBeginLaterIsStoredAndItsRoomHeld(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) { f.Config.Forecast = demand })
	w.adopt("cache-1")
	key, at := ulid.Make().String(), inHours(4)
	ask := v1.PlanRequest{Instance: "cache-1", Target: "host-c", Type: "m.large", At: at, Before: inHours(6), Windows: []proto.MoveWindow{{Span: timeline.Span{Start: inHours(3), End: inHours(7)}}}, Probation: 60_000}
	p := ok[proto.StoredPlan](w, "POST /v1/migrations", ask, v1.HeaderKey, key)
	if p.ID != key || p.Status != proto.PlanScheduled || p.Deadline != ask.Before || len(p.Windows) != 1 || len(p.Moves) != 1 || !strings.HasPrefix(p.MadeBy, "the-admin/") {
		t.Fatalf("%+v", p)
	}
	m := p.Moves[0]
	if m.Start != at || m.Target != "host-c" || m.ToType != "m.large" || m.Chosen || m.Probation != 60_000 || m.Figures.Duration.Median == 0 || len(m.Reasons) == 0 {
		t.Errorf("%+v", m)
	}
	if held := w.held(key); !slices.Equal(held, m.Holds) || len(held) != 3 {
		t.Errorf("held %q, named %q", held, m.Holds)
	}
	r, _ := w.View().Reservation(proto.PlanHold(key, 0, "target"))
	now, _ := r.Envelope.Expected().At(inHours(0))
	then, _ := r.Envelope.Expected().At(at + 120_000)
	if r.Host != "host-c" || !now.IsZero() || then[resource.CPU] == 0 {
		t.Errorf("%s is held now, %s from its start on: %+v", now, then, r)
	}
	if again := ok[proto.StoredPlan](w, "POST /v1/migrations", ask, v1.HeaderKey, key); again.Revision != p.Revision {
		t.Errorf("a request that was sent again changed it: %+v", again)
	}
	if n := len(slices.Collect(w.View().Plans())) + len(slices.Collect(w.View().Migrations())); n != 1 {
		t.Errorf("%d plans and migrations", n)
	}
	w.apply("cache-2", "host-a", proto.Enforce)
	best := ok[proto.StoredPlan](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-2", Best: true, Before: inHours(6)})
	if best.Status != proto.PlanScheduled || !best.Moves[0].Chosen || len(best.Moves[0].Starts) < 2 || best.Moves[0].Start >= best.Deadline {
		t.Errorf("%+v", best)
	}
	list := ok[v1.List[v1.PlanSummary]](w, "GET /v1/plans?active=true", nil)
	if one := ok[v1.List[v1.PlanSummary]](w, "GET /v1/plans?active=true&instance=cache-1", nil); len(one.Items) != 1 || one.Items[0].ID != key {
		t.Errorf("%+v", one.Items)
	}
	if len(list.Items) != 2 || list.Items[0].ID != key || list.Items[0].Start != at || list.Items[0].Moves != 1 || list.Items[0].Begun != 0 {
		t.Errorf("%+v", list.Items)
	}
	for _, list := range []string{"plans", "migrations"} {
		if e := w.fails(v1.CodeNotFound, 404, "GET /v1/"+list+"?instance=other", nil); !strings.Contains(e.Message, `"other"`) || !strings.Contains(e.Remedy, "glidepath instance list") {
			t.Errorf("%s: %s: %s", list, e.Message, e.Remedy)
		}
	}
	w.apply("cache-3", "host-c", proto.Enforce)
	if none := ok[v1.List[v1.PlanSummary]](w, "GET /v1/plans?instance=cache-3", nil); len(none.Items) != 0 {
		t.Errorf("%+v", none.Items)
	}
	// Cancelled, it holds nothing; again, nothing changes.
	over := ok[proto.StoredPlan](w, "POST /v1/plans/"+key+"/cancel", v1.CancelRequest{Reason: "not today"})
	if over.Status != proto.PlanCancelled || over.Reason != "not today" || len(w.held(key)) != 0 {
		t.Errorf("%+v, %q held", over, w.held(key))
	}
	if again := ok[proto.StoredPlan](w, "POST /v1/plans/"+key+"/cancel", nil); again.Revision != over.Revision {
		t.Errorf("%+v", again)
	}
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/plans/"+key+"/begin", nil); !strings.Contains(e.Message, "is cancelled") {
		t.Error(e.Message)
	}
}

func TestAPlanThatIsKeptHoldsNothingUntilItIsToBegin(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	key, ask := ulid.Make().String(), v1.PlanRequest{Instance: "cache-1", Target: "host-c", At: inHours(4), Store: true}
	plan := ok[proto.Plan](w, "POST /v1/plans", ask, v1.HeaderKey, key)
	if plan.Stored != key || len(plan.Profile) == 0 {
		t.Fatalf("%+v", plan)
	}
	kept := ok[proto.StoredPlan](w, "GET /v1/plans/"+key, nil)
	if kept.Status != proto.PlanKept || len(w.held(key)) != 0 || kept.Moves[0].Start != ask.At {
		t.Fatalf("%+v, %q held", kept, w.held(key))
	}
	if again := ok[proto.Plan](w, "POST /v1/plans", ask, v1.HeaderKey, key); again.Stored != key || again.Start != ask.At || len(slices.Collect(w.View().Plans())) != 1 {
		t.Errorf("%+v", again)
	}
	begun := ok[proto.StoredPlan](w, "POST /v1/plans/"+key+"/begin", nil)
	if begun.Status != proto.PlanScheduled || begun.Moves[0].Start != ask.At || len(w.held(key)) != 3 {
		t.Fatalf("%+v, %q held", begun, w.held(key))
	}
	if again := ok[proto.StoredPlan](w, "POST /v1/plans/"+key+"/begin", nil); again.Revision != begun.Revision {
		t.Errorf("%+v", again)
	}
	now := ok[proto.StoredPlan](w, "POST /v1/plans/"+key+"/begin", v1.BeginRequest{Now: true})
	if now.Status != proto.PlanQueued || now.Moves[0].Start > timeline.Of(time.Now()) || len(w.held(key)) != 3 {
		t.Errorf("%+v, %q held", now, w.held(key))
	}
}

func TestAPlanIsCheckedAgainWhenItIsToBegin(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	plan := ok[proto.Plan](w, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-b", Store: true})
	begin := "POST /v1/plans/" + plan.Stored + "/begin"
	w.Must(&proto.HostSet{Host: "host-b", Override: resource.Vector{resource.CPU: 100}})
	if e := w.fails(v1.CodeRefused, 422, begin, nil); !strings.Contains(e.Message, "host-b is short of cpu by") {
		t.Error(e.Message)
	}
	w.Must(&proto.HostSet{Host: "host-b"})
	m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c"})
	w.confirmed(m)
	if e := w.fails(v1.CodeConflict, 409, begin, nil); !strings.Contains(e.Message, "it is on host-c") {
		t.Error(e.Message)
	}
}

func TestWhatIsOfAnotherFleetOrHasBegunIsNeitherBegunNorCancelled(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	i, _ := w.View().Instance("cache-1")
	move := proto.Move{Instance: "cache-1", Source: "host-a", Target: "host-c", FromType: "m.small", ToType: "m.small", Fence: i.Fence}
	w.Must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "what", Kind: proto.PlanMigrate, Status: proto.PlanKept, Moves: []proto.Move{move}, WhatIf: &proto.WhatIf{Without: []string{"host-b"}}}})
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/plans/what/begin", nil); !strings.Contains(e.Message, "a fleet that is not there") {
		t.Error(e.Message)
	}
	ok[proto.StoredPlan](w, "POST /v1/plans/what/cancel", nil)
	w.Must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "d", Kind: proto.PlanDrain, Host: "host-a", Status: proto.PlanQueued, Moves: []proto.Move{move}}})
	for verb, remedy := range map[string]string{"begin": "glidepath host drain show host-a", "cancel": "glidepath host undrain host-a"} {
		if e := w.fails(v1.CodeRefused, 422, "POST /v1/plans/d/"+verb, nil); !strings.Contains(e.Remedy, remedy) {
			t.Errorf("%s: %+v", verb, e)
		}
	}
	w.Must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanMigrate, Status: proto.PlanQueued, Moves: []proto.Move{move}}})
	w.Must(&proto.PlanBegin{ID: "p", Start: proto.MigrationStart{
		ID: "m", Plan: proto.Plan{Instance: "cache-1", Source: "host-a", Target: "host-c", FromType: "m.small", ToType: "m.small", Fence: i.Fence},
		Reservation: proto.Reservation{ID: "m/target", Until: inHours(1), Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Vector{resource.CPU: 100}}}},
	}})
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/plans/p/cancel", nil); e.Remedy != "give a migration up: glidepath migration abort m" {
		t.Errorf("%+v", e)
	}
	if p := ok[proto.StoredPlan](w, "POST /v1/plans/p/begin", nil); p.Status != proto.PlanRunning || p.Moves[0].Migration != "m" {
		t.Errorf("%+v", p)
	}
}

func TestStoringAPlanIsForOperatorsAuditedAndForFleetsOfOneVersion(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	ask := v1.PlanRequest{Instance: "cache-1", Target: "host-c", Store: true}
	if resp := w.ask(proto.RoleViewer, "POST /v1/plans", ask); resp.Code != 403 || !strings.Contains(resp.Body.String(), `"role":"operator"`) {
		t.Errorf("%d %s", resp.Code, resp.Body)
	}
	before := w.Audit()
	ok[proto.Plan](w, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-c"})
	if w.Audit() != before {
		t.Error("asking is audited")
	}
	if ok[proto.Plan](w, "POST /v1/plans", ask); !strings.Contains(strings.TrimPrefix(w.Audit(), before), "POST /v1/plans") {
		t.Error("storing is not audited")
	}
	older := slices.DeleteFunc(proto.KnownCommands(), func(k proto.KnownType) bool { return k.Type == proto.CmdPlanBegin })
	w.Must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "c2", RPCAddr: "10.0.0.2:7647", Commands: older}})
	for request, body := range map[string]any{"POST /v1/plans": ask, "POST /v1/migrations": v1.PlanRequest{Instance: "cache-1", Target: "host-c", At: inHours(1)}} {
		applied := w.View().Applied()
		if e := w.fails(v1.CodeRefused, 422, request, body); !strings.Contains(e.Remedy, "install the same version on all of them") || w.View().Applied() != applied {
			t.Errorf("%s: %+v", request, e)
		}
	}
}

func TestWhatWasSoldWhileItWasAskedForIsNotPromisedAgain(t *testing.T) {
	var w *world
	w = newWorld(t, func(f *apitest.Fleet) {
		propose := f.Config.Propose
		f.Config.Propose = func(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error) {
			if _, puts := body.(*proto.PlanPut); puts { // somebody was quicker
				w.Must(&proto.HostSet{Host: "host-b", Override: resource.Vector{resource.CPU: 100}})
			}
			return propose(ctx, id, actor, body)
		}
	})
	w.adopt("cache-1")
	e := w.fails(v1.CodeRefused, 422, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-b", At: inHours(1)})
	if !strings.Contains(string(e.Detail), "shortfall") || len(slices.Collect(w.View().Plans())) != 0 {
		t.Errorf("%+v", e)
	}
}
