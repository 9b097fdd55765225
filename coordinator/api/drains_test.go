package api_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

const drainA = "POST /v1/hosts/host-a/drain"

func TestADrainIsShownBeforeItIsBegunAndThenPausedResumedAndTakenBack(t *testing.T) {
	w := newWorld(t)
	w.apply("a-1", "host-a", proto.Enforce)
	w.apply("a-2", "host-a", proto.Enforce)
	w.apply("c-1", "host-c", proto.Enforce)
	before := timeline.Of(time.Now().Add(2 * time.Hour))
	applied := w.View().Applied()
	dry := ok[v1.Drain](w, drainA, v1.DrainRequest{Before: before, DryRun: true})
	verdict := ok[v1.Drain](w, drainA+"/verdict", v1.DrainRequest{Before: before})
	if w.View().Applied() != applied {
		t.Fatal("a dry run proposed something")
	}
	if verdict.Drain != nil || verdict.Plan == nil || len(verdict.Plan.Moves) != len(dry.Plan.Moves) {
		t.Errorf("%+v", verdict)
	}
	if dry.Drain != nil || dry.Plan == nil || len(dry.Plan.Moves) != 2 || dry.Plan.Status != proto.PlanQueued || dry.Plan.Blocked != nil || strings.Join(dry.Left, " ") != "a-1 a-2" {
		t.Fatalf("%+v, %+v", dry, dry.Plan)
	}
	for _, m := range dry.Plan.Moves {
		if m.Source != "host-a" || m.Target == "host-a" || m.Figures.Duration.High <= 0 || m.Start.Add(time.Duration(m.Figures.Duration.Median)*time.Millisecond) > before {
			t.Errorf("%+v", m)
		}
	}
	// While nothing is drained there is nothing to go on.
	for _, verb := range []string{"/pause", "/resume"} {
		if e := w.fails(v1.CodeRefused, 422, drainA+verb, nil); !strings.Contains(e.Remedy, "glidepath host drain host-a") {
			t.Errorf("%s: %s", e.Message, e.Remedy)
		}
	}
	key := ulid.Make().String()
	d := ok[v1.Drain](w, drainA, v1.DrainRequest{Before: before, Reason: "new disks", Probation: 60_000}, v1.HeaderKey, key)
	if d.Drain == nil || d.Drain.State != proto.DrainGoesOn || d.Drain.Deadline != before || d.Drain.Reason != "new disks" || d.Drain.Probation != 60_000 || d.Plan == nil || d.Plan.ID != "" {
		t.Fatalf("%+v", d)
	}
	applied = w.View().Applied()
	ok[v1.Drain](w, drainA, v1.DrainRequest{Before: before, Reason: "new disks", Probation: 60_000}, v1.HeaderKey, key)
	if w.View().Applied() != applied {
		t.Error("it was begun twice")
	}
	if e := w.fails(v1.CodeConflict, 409, drainA, v1.DrainRequest{}); !strings.Contains(e.Remedy, "glidepath host undrain host-a") {
		t.Errorf("%s: %s", e.Message, e.Remedy)
	}
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/hosts/host-a/uncordon", nil); !strings.Contains(e.Remedy, "undrain") {
		t.Errorf("%s: %s", e.Message, e.Remedy)
	}
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/migrations", v1.PlanRequest{Instance: "c-1", Target: "host-a"}); !strings.Contains(e.Message, "being emptied") {
		t.Error(e.Message)
	}
	for _, c := range []struct {
		verb string
		want proto.DrainState
	}{{"/drain/pause", proto.DrainPaused}, {"/drain/pause", proto.DrainPaused}, {"/drain/resume", proto.DrainGoesOn}, {"/drain/resume", proto.DrainGoesOn}} {
		d := ok[v1.Drain](w, "POST /v1/hosts/host-a"+c.verb, v1.DrainDecision{Reason: "later"})
		if d.Drain == nil || d.Drain.State != c.want || d.Drain.Deadline != before {
			t.Errorf("%s: %+v", c.verb, d.Drain)
		}
		if c.want == proto.DrainPaused && !(strings.HasPrefix(d.Drain.Reason, "by the-admin/") && strings.HasSuffix(d.Drain.Reason, ": later")) {
			t.Errorf("it does not say who paused it: %q", d.Drain.Reason)
		}
	}
	if resp := w.ask(proto.RoleViewer, "GET /v1/hosts/host-a/drain", nil); resp.Code != 200 {
		t.Errorf("a viewer can't look: %d", resp.Code)
	}
	if resp := w.ask(proto.RoleViewer, drainA+"/verdict", nil); resp.Code != 200 {
		t.Errorf("a viewer can't ask how it would go: %d", resp.Code)
	}
	if resp := w.ask(proto.RoleViewer, drainA+"/verdict", v1.DrainRequest{Store: true}); resp.Code != 403 {
		t.Errorf("a viewer can keep how it would go: %d", resp.Code)
	}
	for _, request := range []string{drainA, drainA + "/pause", drainA + "/resume", "POST /v1/hosts/host-a/undrain"} {
		if resp := w.ask(proto.RoleViewer, request, nil); resp.Code != 403 {
			t.Errorf("a viewer: %s: %d", request, resp.Code)
		}
	}
	for range 2 {
		if d := ok[v1.Drain](w, "POST /v1/hosts/host-a/undrain", nil); d.Drain != nil {
			t.Errorf("%+v", d.Drain)
		}
	}
	if h, _ := w.View().Host("host-a"); h.Cordoned || h.Drain != nil {
		t.Errorf("%+v", h)
	}
	if audit := w.Audit(); !strings.Contains(audit, `"method":"POST /v1/hosts/{name}/drain","object":"hosts/host-a/drain"`) {
		t.Error("a drain is not audited")
	}
}

func TestADrainThatCanNotBeDoneSaysWhatIsInTheWay(t *testing.T) {
	w := newWorld(t)
	w.apply("a-1", "host-a", proto.Enforce)
	ok[v1.HostDetail](w, "POST /v1/hosts/host-b/cordon", nil)
	ok[v1.HostDetail](w, "POST /v1/hosts/host-c/cordon", nil)
	applied := w.View().Applied()
	e := w.fails(v1.CodeRefused, 422, drainA, nil)
	var detail v1.ErrorDetail
	if err := json.Unmarshal(e.Detail, &detail); err != nil || detail.Blocked == nil || strings.Join(detail.Blocked.Instances, " ") != "a-1" || !strings.Contains(e.Message, "instance a-1 finds no other place") {
		t.Errorf("%s %s %v", e.Message, e.Detail, err)
	}
	if !strings.Contains(e.Remedy, "1 more like host-a") || len(detail.Blocked.Unblock) != 1 || detail.Blocked.Unblock[0].What != proto.UnblockHost || detail.Blocked.Proof != proto.BlockedSmallest {
		t.Errorf("what would change that is %q, %+v", e.Remedy, detail.Blocked)
	}
	if d := ok[v1.Drain](w, drainA, v1.DrainRequest{DryRun: true}); d.Plan == nil || d.Plan.Status != proto.PlanBlocked || d.Plan.Blocked == nil || len(d.Plan.Moves) != 0 {
		t.Errorf("%+v", d.Plan)
	}
	if w.View().Applied() != applied {
		t.Error("something was begun")
	}
	if d := ok[v1.Drain](w, drainA, v1.DrainRequest{Anyway: true}); d.Drain == nil || d.Plan.Blocked == nil {
		t.Errorf("%+v", d)
	}
}

func TestADrainIsOfAHostThatIsThereAndATimeThatIsToCome(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.Forecast = func(context.Context, proto.ForecastRequest) (proto.ForecastReply, error) {
			return proto.ForecastReply{}, wire.Errorf(wire.Unavailable, "its home is out of reach")
		}
	})
	w.apply("a-1", "host-a", proto.Enforce)
	w.fails(v1.CodeNotFound, 404, "GET /v1/hosts/host-z/drain", nil)
	w.fails(v1.CodeNotFound, 404, "POST /v1/hosts/host-z/drain", nil)
	w.fails(v1.CodeNotFound, 404, "POST /v1/hosts/host-z/undrain", nil)
	w.fails(v1.CodeInvalid, 400, drainA, v1.DrainRequest{Before: timeline.Of(time.Now().Add(-time.Minute))})
	w.fails(v1.CodeInvalid, 400, drainA, `{"before":"soon"}`)
	if e := w.fails(v1.CodeUnavailable, 503, drainA, nil); !strings.Contains(e.Message, "instance a-1") {
		t.Error(e.Message)
	}
	if h, _ := w.View().Host("host-a"); h.Drain != nil {
		t.Errorf("it was begun without a plan: %+v", h.Drain)
	}
}

func TestADrainShowsItsPlanAndWhatIsOnItsWay(t *testing.T) {
	w := newWorld(t)
	w.apply("b-1", "host-b", proto.Enforce)
	w.apply("a-1", "host-a", proto.Enforce)
	w.apply("a-2", "host-a", proto.Enforce)
	d := ok[v1.Drain](w, drainA, nil)
	room, err := planner.Make(planner.Input{Request: planner.Request{Instance: "b-1", Target: "host-c"}, View: w.View(), Now: timeline.Of(time.Now()), Costs: planner.DefaultCosts()})
	if err != nil {
		t.Fatal(err)
	}
	plan := *d.Plan
	plan.ID = "of-the-leader"
	plan.Moves = append(plan.Moves, room.Move(false))
	w.Must(&proto.PlanPut{Plan: plan})
	m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "a-1", Target: "host-c"})
	d = ok[v1.Drain](w, "GET /v1/hosts/host-a/drain", nil)
	if d.Plan == nil || d.Plan.ID != "of-the-leader" || len(d.Moving) != 1 || d.Moving[0].ID != m.ID || strings.Join(d.Left, " ") != "a-1 a-2" || len(d.Slots) != 0 {
		t.Errorf("%+v", d)
	}
	w.Must(&proto.PlanBegin{ID: plan.ID, Move: len(plan.Moves) - 1, Start: proto.MigrationStart{ID: "makes-room", Plan: room.Plan, Reservation: room.Reservation, Extra: room.Extra}})
	d = ok[v1.Drain](w, "GET /v1/hosts/host-a/drain", nil)
	if len(d.Moving) != 2 || !slices.ContainsFunc(d.Moving, func(m v1.MigrationStatus) bool { return m.ID == "makes-room" }) {
		t.Errorf("what makes room on another host is not shown: %+v", d.Moving)
	}
	w.confirmed(m)
	d = ok[v1.Drain](w, "GET /v1/hosts/host-a/drain", nil)
	if strings.Join(d.Left, " ") != "a-2" || strings.Join(d.Slots, " ") != "a-1" {
		t.Errorf("left %q, slots of %q", d.Left, d.Slots)
	}
}

func TestWhatADrainCanNotBeAskedForIsRefusedWhenItIsTried(t *testing.T) {
	w := newWorld(t)
	w.apply("a-1", "host-a", proto.Enforce)
	for says, in := range map[string]v1.DrainRequest{
		"a probation of 2592000001 ms: use up to 2592000000": {Probation: 2_592_000_001},
		"a probation of -1 ms":                               {Probation: -1},
		"name an earlier one, or none":                       {Before: timeline.Forever},
		"name a time later than now":                         {Before: -1},
	} {
		for _, dry := range []bool{true, false} {
			in.DryRun = dry
			if e := w.fails(v1.CodeInvalid, 400, drainA, in); !strings.Contains(e.Message, says) {
				t.Errorf("%+v: %q, not %q", in, e.Message, says)
			}
		}
	}
}
