package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestAPlanThatIsWatchedIsFollowedUntilItsMigrationHasEndedOrItNeverBegins(t *testing.T) {
	for says, next := range map[string]func(p proto.StoredPlan) []proto.Body{
		"is stale: it does not fit any more": func(p proto.StoredPlan) []proto.Body {
			return []proto.Body{&proto.PlanChange{ID: p.ID, From: p.Status, To: proto.PlanStale, Reason: "it does not fit any more"}}
		},
		"migration m was aborted: enough": func(p proto.StoredPlan) []proto.Body {
			m := p.Moves[0]
			return []proto.Body{
				&proto.PlanBegin{ID: p.ID, Start: proto.MigrationStart{
					ID: "m", Plan: proto.Plan{Instance: m.Instance, Source: m.Source, Target: m.Target, FromType: m.FromType, ToType: m.ToType, Fence: m.Fence},
					Reservation: proto.Reservation{ID: "m/target", Until: timeline.Of(time.Now().Add(time.Hour)), Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Vector{resource.CPU: 100}}}},
				}},
				&proto.MigrationAbort{Migration: "m", Fence: m.Fence, Reason: "enough"},
				&proto.MigrationEnd{Migration: "m", Outcome: proto.OutcomeAborted},
			}
		},
	} {
		f := reach(t)
		propose := f.Config.Propose
		f.Config.Propose = func(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error) {
			r, err := propose(ctx, id, actor, body)
			if _, puts := body.(*proto.PlanPut); puts && r.OK() { // the leader is quick
				for _, b := range next(slices.Collect(f.View().Plans())[0]) {
					f.Must(b)
				}
			}
			return r, err
		}
		pointAt(t, f)
		code, out, stderr := glidepath(t, t.Context(), "migrate", "cache-1", "--to", "host-c", "--at", "+1h", "--watch")
		if code != exitAborted || !strings.Contains(stderr, says) || !strings.Contains(out, ": cache-1 from host-a to host-c\n") {
			t.Errorf("%d, %s, %s: it should say %q", code, out, stderr, says)
		}
	}
}

func TestAPlanGoesOnWhenNobodyFollowsItAnyMore(t *testing.T) {
	f := reach(t)
	ctx, cancel := context.WithCancel(t.Context())
	view := f.Config.View
	propose := f.Config.Propose
	f.Config.Propose = func(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error) {
		r, err := propose(ctx, id, actor, body)
		if _, puts := body.(*proto.PlanPut); puts {
			time.AfterFunc(lookEvery, cancel)
		}
		return r, err
	}
	pointAt(t, f)
	code, _, stderr := glidepath(t, ctx, "migrate", "cache-1", "--to", "host-c", "--at", "+1h", "--watch")
	if code != exitInterrupted || !strings.Contains(stderr, "goes on. See:  glidepath plan show ") {
		t.Errorf("%d: %s", code, stderr)
	}
	if p := slices.Collect(view().Plans()); len(p) != 1 || p[0].Status != proto.PlanScheduled {
		t.Errorf("%+v", p)
	}
}

func TestAPlanThatWasSuggestedIsExplainedByItsIdentifier(t *testing.T) {
	f := reach(t)
	pointAt(t, f)
	const id = "replan-mifx2l1c-host-a"
	f.Must(&proto.PlanPut{Plan: proto.StoredPlan{ID: id, Kind: proto.PlanMigrate, Status: proto.PlanSuggested, Reason: "it would make room", Moves: []proto.Move{{
		Instance: "cache-1", Source: "host-a", Target: "host-c", FromType: "m.small", ToType: "m.small", Fence: 1, Reasons: []string{"host-c has the best score"},
	}}}})
	code, out, stderr := glidepath(t, t.Context(), "plan", "explain", id)
	if code != 0 || !strings.Contains(out, "kind migrate: suggested") || !strings.Contains(out, "host-c has the best score") {
		t.Errorf("%d, %s, %s", code, out, stderr)
	}
}

func TestAPlanOfSeveralMovesIsCarriedOutAlsoWhereItCanNotBeFollowed(t *testing.T) {
	f := reach(t)
	move := proto.Move{Instance: "cache-1", Source: "host-a", Target: "host-c", FromType: "m.small", ToType: "m.small"}
	other := move
	other.Instance = "cache-2"
	f.Must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanRebalance, Status: proto.PlanSuggested, Moves: []proto.Move{move, other}}})
	code, _, stderr := glidepath(t, t.Context(), "plan", "begin", "p", "--watch")
	if p, _ := f.View().Plan("p"); code != exitFine || p.Status != proto.PlanQueued || !strings.Contains(stderr, "glidepath plan show p --watch") {
		t.Errorf("%d, %q: it is %s", code, stderr, p.Status)
	}
}
