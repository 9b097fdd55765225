package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// demand is a forecast of 100m of CPU, and 700m from 2 to 3 hours from its start.
func demand(_ context.Context, r proto.ForecastRequest) (proto.ForecastReply, error) {
	base := resource.Vector{resource.CPU: 100, resource.Memory: 64 << 20, resource.NetTx: 1e6}
	high := base
	high[resource.CPU] = 700
	at := func(d time.Duration) timeline.Time { return r.From.Add(d) }
	p := timeline.Profile{
		{Span: timeline.Span{Start: r.From, End: at(2 * time.Hour)}, Amount: base},
		{Span: timeline.Span{Start: at(2 * time.Hour), End: at(3 * time.Hour)}, Amount: high},
		{Span: timeline.Span{Start: at(3 * time.Hour), End: at(48 * time.Hour)}, Amount: base},
	}
	return proto.ForecastReply{
		Instance: r.Instance, Start: r.From, Step: r.Step, Quantiles: []int{500, 990}, Profiles: []timeline.Profile{p, p},
		Reasons: []string{"campaign: +600m cpu at its peak, from 3 earlier occurrences"},
	}, nil
}

func TestAnAdoptedInstanceIsPromisedWhatItsTypeAllowsUntilThereIsHistory(t *testing.T) {
	w := newWorld(t)
	spec := apitest.Spec("cache-1")
	spec.Class = "" // its application's
	got := ok[v1.InstanceDetail](w, "PUT /v1/instances/cache-1", spec)
	if got.Spec.Class != proto.Critical || got.Spec.Mode != proto.Observe || got.State != proto.InstanceRunning {
		t.Errorf("%+v", got.Spec)
	}
	if got.Envelope == nil || !got.Envelope.Envelope.Open() || got.Envelope.Envelope[0].Firm[resource.CPU] != 250 {
		t.Errorf("%+v", got.Envelope)
	}
	// Applied again nothing changes: its envelope is the replanning loop's by now.
	again := ok[v1.InstanceDetail](w, "PUT /v1/instances/cache-1", spec)
	if diff := cmp.Diff(got, again); diff != "" {
		t.Error(diff)
	}
	// Another class is sized anew.
	spec.Class = proto.BestEffort
	if next := ok[v1.InstanceDetail](w, "PUT /v1/instances/cache-1", spec); next.Envelope.Class != proto.BestEffort || next.Envelope.Revision == got.Envelope.Revision {
		t.Errorf("%+v", next.Envelope)
	}
	if on := ok[v1.InstanceDetail](w, "POST /v1/instances/cache-1/mode", v1.ModeRequest{Mode: proto.Enforce}); on.Spec.Mode != proto.Enforce || on.Envelope.Forced {
		t.Errorf("%+v", on)
	}
	host := ok[v1.HostDetail](w, "GET /v1/hosts/host-a", nil)
	if !slices.Equal(host.Owns, []string{"cache-1"}) || host.Needed[resource.CPU] == 0 || host.Limit[resource.CPU] != 4000 || len(host.Steps) == 0 || len(host.Reservations) != 1 {
		t.Errorf("%+v", host.Host)
	}
	ok[v1.InstanceDetail](w, "POST /v1/instances/cache-1/release", nil)
	w.fails(v1.CodeNotFound, 404, "GET /v1/instances/cache-1", nil)
}

func TestAPlanFollowsTheForecastAndRefusesWithTheStepThatIsShort(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) { f.Config.Forecast = demand })
	w.adopt("cache-1")
	before := w.View().Applied()
	plan := ok[proto.Plan](w, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-c", Type: "m.large"})
	if plan.Target != "host-c" || plan.ToType != "m.large" || len(plan.Phases) != 5 || plan.Bytes < 60<<20 {
		t.Errorf("%+v", plan)
	}
	peak := int64(0)
	for _, s := range plan.Profile {
		peak = max(peak, s.Allocation[resource.CPU])
	}
	if peak < 700 || !slices.ContainsFunc(plan.Reasons, func(s string) bool { return strings.HasPrefix(s, "campaign:") }) {
		t.Errorf("peak %d, reasons %q", peak, plan.Reasons)
	}
	// host-b has 600m.
	e := w.fails(v1.CodeRefused, 422, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-b", Type: "m.large"})
	var detail v1.ErrorDetail
	if err := json.Unmarshal(e.Detail, &detail); err != nil || detail.Shortfall == nil || detail.Shortfall.Host != "host-b" || detail.Shortfall.Resource != resource.CPU || detail.Shortfall.Missing < 100 {
		t.Errorf("%s %v", e.Detail, err)
	}
	if !strings.Contains(e.Message, "host-b is short of cpu by") {
		t.Errorf("%q", e.Message)
	}
	// Left the choice, the planner weighs both.
	best := ok[proto.Plan](w, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-c", Type: "m.large", Best: true, Before: timeline.Of(time.Now().Add(6 * time.Hour))})
	if len(best.Starts) < 2 || best.Figures == nil || best.Figures.Duration.Median != best.Duration || best.Figures.Duration.High < best.Duration {
		t.Errorf("starts %+v, figures %+v", best.Starts, best.Figures)
	}
	free := ok[proto.Plan](w, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Type: "m.large"})
	if free.Target != "host-c" || len(free.Considered) != 2 {
		t.Errorf("%+v", free.Considered)
	}
	if free.Considered[0].Score == 0 || len(free.Considered[0].Terms) < 3 || !strings.Contains(free.Reasons[0], "host-c has the best score") {
		t.Errorf("%+v, %q", free.Considered[0], free.Reasons)
	}
	if w.View().Applied() != before {
		t.Error("asking changed something")
	}
}

func TestAPlanGoesToNoHostWhoseAgentIsSilentAndSaysWhatWouldHelpWhereOneWasNamed(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.Presence = func(context.Context) map[string]proto.Presence {
			return map[string]proto.Presence{"host-c": {Host: "host-c", Since: timeline.Of(time.Now().Add(-time.Hour))}}
		}
	})
	w.adopt("cache-1")
	plan := ok[proto.Plan](w, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1"})
	if plan.Target != "host-b" || plan.Considered[1].Violates != "silent" {
		t.Errorf("to %s of %+v", plan.Target, plan.Considered)
	}
	w.Must(&proto.HostSet{Host: "host-b", Cordoned: true})
	e := w.fails(v1.CodeRefused, 422, "POST /v1/plans", v1.PlanRequest{Instance: "cache-1", Target: "host-b"})
	if !strings.Contains(e.Message, "can't move to host-b: it is cordoned") || e.Remedy != "uncordon it first: glidepath host uncordon host-b" {
		t.Errorf("%+v", e)
	}
}

// TestAMigrationIsKeptAsEveryCoordinatorKnowsIt begins one move while a coordinator's program is older, and one when it is not any more.
func TestAMigrationIsKeptAsEveryCoordinatorKnowsIt(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	other := apitest.Spec("cache-2")
	other.Mode, other.Address, other.Service = proto.Enforce, "10.77.0.61/24", &proto.ServiceSpec{Unit: "redis-2.service", Data: []string{"/var/lib/redis-2"}}
	ok[v1.InstanceDetail](w, "PUT /v1/instances/cache-2", other)
	older := slices.DeleteFunc(proto.KnownCommands(), func(k proto.KnownType) bool { return k.Type == proto.CmdPlanPut })
	w.Must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "older", Commands: older}})
	m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1"})
	if p := m.Plan; p.Figures != nil || len(p.Considered) == 0 || len(p.Considered[0].Terms) > 0 || p.Duration == 0 {
		t.Errorf("%+v", p)
	}
	if plan := ok[proto.Plan](w, "POST /v1/plans", v1.PlanRequest{Instance: "cache-2"}); plan.Figures == nil || len(plan.Considered[0].Terms) == 0 {
		t.Errorf("nothing is kept of a plan that is only asked for, and it says %+v", plan)
	}
	w.Must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "older", Commands: proto.KnownCommands()}})
	if m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-2", Target: "host-c"}); m.Plan.Figures == nil || len(m.Plan.Considered[0].Terms) == 0 {
		t.Errorf("%+v", m.Plan)
	}
}

func TestAMigrationIsStartedListedAndAborted(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c"})
	if m.Phase != proto.PhasePrepare || !strings.HasPrefix(m.StartedBy, "the-admin/") {
		t.Errorf("%+v", m)
	}
	w.fails(v1.CodeRefused, 422, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c"})
	list := ok[v1.List[v1.MigrationStatus]](w, "GET /v1/migrations?active=true&instance=cache-1", nil)
	if len(list.Items) != 1 || list.Items[0].ID != m.ID || list.Items[0].Expected <= m.CreatedAt {
		t.Errorf("%+v", list)
	}
	held := ok[v1.List[proto.Reservation]](w, "GET /v1/reservations?host=host-c", nil)
	if len(held.Items) != 2 {
		t.Errorf("%d reservations on the target", len(held.Items))
	}
	status := ok[v1.Status](w, "GET /v1/status", nil)
	if status.Leader != "c1" || len(status.Migrations) != 1 || status.Instances != (v1.InstanceCounts{Total: 1, Enforced: 1, Moving: 1}) || status.Hosts != 3 {
		t.Errorf("%+v", status)
	}
	got := ok[v1.MigrationStatus](w, "POST /v1/migrations/"+m.ID+"/abort", v1.AbortRequest{Reason: "too late in the day"})
	if got.Phase != proto.PhaseUndo || got.Reason != "too late in the day" {
		t.Errorf("%+v", got)
	}
	w.fails(v1.CodeConflict, 409, "POST /v1/migrations/"+m.ID+"/abort", nil)
	w.Must(&proto.MigrationEnd{Migration: m.ID, Outcome: proto.OutcomeAborted})
	if left := ok[v1.List[proto.Reservation]](w, "GET /v1/reservations?host=host-c", nil); len(left.Items) != 0 {
		t.Errorf("left: %+v", left)
	}
}

func TestATokenIsShownOnceAndGoodUntilItIsRevoked(t *testing.T) {
	w := newWorld(t)
	made := ok[v1.TokenReply](w, "POST /v1/tokens", v1.TokenRequest{Role: proto.RoleViewer, Name: "ann", Expires: time.Hour.Milliseconds()})
	if made.Kind != proto.TokenAPI || !strings.HasPrefix(made.CreatedBy, "the-admin/") || made.ExpiresAt >= timeline.Forever {
		t.Errorf("%+v", made.Token)
	}
	w.Tokens["ann"] = made.Secret
	if resp := w.ask("ann", "GET /v1/types", nil); resp.Code != http.StatusOK {
		t.Errorf("%d %s", resp.Code, resp.Body)
	}
	if text := w.ask(proto.RoleAdmin, "GET /v1/tokens", nil).Body.String(); strings.Contains(text, made.Secret) || !strings.Contains(text, made.ID) || strings.Contains(text, "hash") {
		t.Error(text)
	}
	ok[v1.Empty](w, "DELETE /v1/tokens/"+made.ID, nil)
	if resp := w.ask("ann", "GET /v1/types", nil); resp.Code != http.StatusUnauthorized || !strings.Contains(resp.Body.String(), "revoked") || strings.Count(resp.Body.String(), "token create") != 1 {
		t.Errorf("%d %s", resp.Code, resp.Body)
	}
	join := ok[v1.TokenReply](w, "POST /v1/tokens", v1.TokenRequest{Role: proto.RoleAgent, Name: "host-d"})
	parsed, err := pki.ParseJoin(join.Secret)
	if err != nil || parsed.Pin != w.CA.Pin() || parsed.Name != "host-d" || !slices.Equal(parsed.Addresses, []string{"10.0.0.1:7647"}) {
		t.Errorf("%+v %v", parsed, err)
	}
	hash := parsed.Hash()
	if kept, _ := w.View().Token(join.ID); kept.Kind != proto.TokenJoin || !slices.Equal(kept.Hash, hash[:]) || kept.ExpiresAt > timeline.Of(time.Now().Add(pki.JoinTokenLife)) {
		t.Errorf("%+v", kept)
	}
}

func TestHistoryComesBackAsItWasImported(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	if none := ok[v1.History](w, "GET /v1/instances/cache-1/history?of=max", nil, "Accept", "application/json"); none.Of != "max" || none.Step != 0 || none.Items == nil || len(none.Items) > 0 {
		t.Errorf("before there is any: %+v", none)
	}
	const csv = "time,cpu_cores,memory_bytes\n2026-01-05T00:00:00Z,0.1,1000\n2026-01-05T00:05:00Z,0.25,\n2026-01-05T00:20:00Z,1.5,3000\n"
	got := ok[v1.ImportReply](w, "POST /v1/instances/cache-1/history", csv, "Content-Type", "text/csv")
	if got.Rows != 3 || got.Step != 300_000 || got.To.Sub(got.From) != 25*time.Minute || got.Stored == 0 {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(w.Forgot(), []string{"cache-1"}) {
		t.Errorf("forgot %v", w.Forgot())
	}
	out := w.ask(proto.RoleViewer, "GET /v1/instances/cache-1/history", nil)
	want := "time,cpu_cores,memory_bytes,read_iops,write_iops,read_bytes_s,write_bytes_s,net_tx_bits_s,net_rx_bits_s\n" +
		"2026-01-05T00:00:00Z,0.1,1000,,,,,,\n2026-01-05T00:05:00Z,0.25,,,,,,,\n2026-01-05T00:20:00Z,1.5,3000,,,,,,\n"
	if out.Body.String() != want {
		t.Errorf("%s", out.Body)
	}
	of := func(v float64) *float64 { return &v }
	if diff := cmp.Diff(v1.History{Instance: "cache-1", Of: "mean", Step: 300_000, Items: []v1.HistoryStep{
		{Start: got.From, CPU: of(100), Memory: of(1000)}, {Start: got.From + 300_000, CPU: of(250)}, {Start: got.From + 1_200_000, CPU: of(1500), Memory: of(3000)},
	}}, ok[v1.History](w, "GET /v1/instances/cache-1/history", nil, "Accept", "application/json")); diff != "" {
		t.Error(diff)
	}
	for text, says := range map[string]string{
		"":                                      "empty",
		"time,cpu_core\n":                       "did you mean cpu_cores",
		"time,cpu_cores\n1,1\n":                 "takes two at least",
		"time,cpu_cores\n1,1\n1.5,1\n":          "500ms apart",
		"time,cpu_cores\n1,1\n2,x\n":            "line 3, column cpu_cores",
		"time,cpu_cores\n1,1\n2,1\n9e9,1\n":     "line 4",
		"time,cpu_cores\n1,1\n2,1\n9000000,1\n": "import it in parts",
		"time,cpu_cores\n2150-01-01T00:00:00Z,1\n2150-01-01T00:05:00Z,1\n": "import what has been",
	} {
		if e := w.fails(v1.CodeInvalid, 400, "POST /v1/instances/cache-1/history", text, "Content-Type", "text/csv"); !strings.Contains(e.Message+e.Remedy, says) {
			t.Errorf("%q: %s", text, e.Message)
		}
	}
}

func TestTheScheduleIsReadBackFromTheOwnersAgent(t *testing.T) {
	want := proto.ReadBack{
		Instance: "cache-1", Document: proto.DocumentVersion{Incarnation: 1, Revision: 7},
		Files: []proto.LimitFile{{Name: "cpu.max", Value: "25000 100000"}}, Scheduled: resource.Vector{resource.CPU: 250}, Granted: resource.Vector{resource.CPU: 250}, Held: resource.Vector{resource.CPU: 250},
	}
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.CallAgent = func(_ context.Context, host, method string, body []byte) ([]byte, error) {
			var ref proto.InstanceRef
			if err := proto.Unmarshal(body, &ref); err != nil || host != "host-a" || method != proto.MethodReadBack || ref.Instance != "cache-1" {
				return nil, wire.Errorf(wire.Invalid, "%s %s %+v %v", host, method, ref, err)
			}
			return proto.Marshal(want)
		}
	})
	w.adopt("cache-1")
	if diff := cmp.Diff(want, ok[proto.ReadBack](w, "GET /v1/instances/cache-1/schedule", nil)); diff != "" {
		t.Error(diff)
	}
	want.Signals = []proto.SignalState{{Name: "a", Value: math.NaN()}, {Name: "b", Value: math.Inf(1)}, {Name: "c", Value: -1}, {Name: "d", Value: 7}}
	if got := ok[proto.ReadBack](w, "GET /v1/instances/cache-1/schedule", nil).Signals; len(got) != 1 || got[0].Name != "d" {
		t.Errorf("of what can be no signals it says %+v", got)
	}
}

func TestWhatIsOutOfReachIsToldApartFromWhatIsRefused(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	w.fails(v1.CodeUnavailable, 503, "GET /v1/instances/cache-1/schedule", nil)
	w.fails(v1.CodeNotFound, 404, "GET /v1/instances/cache-1/forecast", nil)
	for name, c := range map[string]struct {
		err    error
		code   v1.Code
		status int
	}{
		"no leader":    {wire.Errorf(wire.Unavailable, "no leader is elected"), v1.CodeUnavailable, 503},
		"too slow":     {context.DeadlineExceeded, v1.CodeDeadline, 504},
		"a fault":      {&proto.Fault{Code: proto.FaultFailed, What: "the unit", Remedy: "look"}, v1.CodeRefused, 422},
		"no fleet yet": {planner.ErrNoFleet, v1.CodeUnavailable, 503},
		"anything":     {context.Canceled, v1.CodeUnavailable, 503},
	} {
		w.Config.Propose = func(context.Context, string, string, proto.Body) (proto.Result, error) { return proto.Result{}, c.err }
		other := newWorld(t, func(f *apitest.Fleet) { f.Config.Propose = w.Config.Propose })
		t.Run(name, func(t *testing.T) {
			other.t = t
			other.fails(c.code, c.status, "DELETE /v1/events/x", nil)
		})
	}
}

func TestWithoutMetricsThereIsNoPathForThem(t *testing.T) {
	w := newWorld(t, func(f *apitest.Fleet) { f.Config.Metrics = nil })
	w.fails(v1.CodeNotFound, 404, "GET /metrics", nil)
}

func TestAWatchTellsHowTheInstanceFaresWhereItRuns(t *testing.T) {
	var asked []string
	measured := true
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.CallAgent = func(_ context.Context, host, method string, _ []byte) ([]byte, error) {
			asked = append(asked, host+" "+method)
			if len(asked) == 1 {
				m := slices.Collect(f.View().ActiveMigrations())[0]
				i, _ := f.View().Instance(m.Instance)
				f.Must(&proto.MigrationAbort{Migration: m.ID, Fence: i.Fence, Reason: "enough"})
				f.Must(&proto.MigrationEnd{Migration: m.ID, Outcome: proto.OutcomeAborted})
			}
			return proto.Marshal(proto.ReadBack{
				Granted: resource.Vector{resource.CPU: 250}, Measured: measured, Demand: resource.Vector{resource.CPU: 180}, Throttled: 300,
			})
		}
	})
	for _, measured = range []bool{true, false} {
		asked = nil
		w.adopt("cache-1")
		m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c"})
		lines := strings.Split(strings.TrimSpace(w.ask(proto.RoleViewer, "GET /v1/migrations/"+m.ID+"/watch", nil).Body.String()), "\n")
		var first, last v1.MigrationUpdate
		if err := errors.Join(json.Unmarshal([]byte(lines[0]), &first), json.Unmarshal([]byte(lines[len(lines)-1]), &last)); err != nil {
			t.Fatal(err)
		}
		throttled := int64(300)
		want := &v1.Running{Host: "host-a", Allocated: resource.Vector{resource.CPU: 250}, Demand: &resource.Vector{resource.CPU: 180}, Throttled: &throttled}
		if !measured {
			want.Demand, want.Throttled = nil, nil
		}
		if diff := cmp.Diff(want, first.Running); diff != "" {
			t.Error(diff)
		}
		if last.Migration.Outcome != proto.OutcomeAborted || last.Running != nil || !slices.Equal(asked, []string{"host-a agent.readback"}) {
			t.Errorf("%+v after asking %v", last, asked)
		}
	}
}

func TestAWatchAsksAgentsEachSecondAndNotAtEachChange(t *testing.T) {
	asked := 0
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.CallAgent = func(context.Context, string, string, []byte) ([]byte, error) {
			m := slices.Collect(f.View().ActiveMigrations())[0]
			i, _ := f.View().Instance(m.Instance)
			if asked++; asked == 1 {
				f.Must(&proto.MigrationAbort{Migration: m.ID, Fence: i.Fence, Reason: "enough"})
			} else {
				f.Must(&proto.MigrationEnd{Migration: m.ID, Outcome: proto.OutcomeAborted})
			}
			return proto.Marshal(proto.ReadBack{Granted: resource.Vector{resource.CPU: 250}})
		}
	})
	w.adopt("cache-1")
	m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c"})
	lines := strings.Split(strings.TrimSpace(w.ask(proto.RoleViewer, "GET /v1/migrations/"+m.ID+"/watch", nil).Body.String()), "\n")
	var updates []v1.MigrationUpdate
	for _, line := range lines {
		var u v1.MigrationUpdate
		if err := json.Unmarshal([]byte(line), &u); err != nil {
			t.Fatal(err)
		}
		updates = append(updates, u)
	}
	if len(updates) != 4 || asked != 2 {
		t.Fatalf("asked %d times for %d lines: %v", asked, len(updates), lines)
	}
	if changed := updates[1]; changed.Migration.Phase == updates[0].Migration.Phase || !cmp.Equal(changed.Running, updates[0].Running) {
		t.Errorf("the change was told as %+v, after %+v", changed, updates[0])
	}
}

// confirmed takes a migration to where its target serves clients.
func (w *world) confirmed(m proto.Migration) {
	w.t.Helper()
	i, _ := w.View().Instance(m.Instance)
	w.Must(&proto.MigrationAdvance{Migration: m.ID, From: proto.PhasePrepare, To: proto.PhaseCopy})
	fence := w.Must(&proto.MigrationFreeze{Migration: m.ID, Fence: i.Fence}).Fence
	fence = w.Must(&proto.MigrationCommit{Migration: m.ID, Fence: fence}).Fence
	w.Must(&proto.MigrationConfirm{Migration: m.ID, Fence: fence, Until: timeline.Of(time.Now().Add(time.Hour))})
}

func TestAMigrationIsReturnedDuringProbationAndNoOther(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c", Type: "m.large"})
	giveBack := func(id string) string { return "POST /v1/migrations/" + id + "/return" }
	no := func(id, word string) {
		t.Helper()
		if e := w.fails(v1.CodeRefused, 422, giveBack(id), nil); !strings.Contains(e.Message+e.Remedy, word) {
			t.Errorf("%s; %s: does not say %q", e.Message, e.Remedy, word)
		}
	}
	no(m.ID, "glidepath migration abort "+m.ID)
	w.confirmed(m)
	if e := w.fails(v1.CodeConflict, 409, giveBack(m.ID), v1.ReturnRequest{Fence: 1}); !strings.Contains(e.Message, "decision") {
		t.Error(e.Message)
	}
	w.Must(&proto.HostSet{Host: "host-a", Cordoned: true}) // it was to be drained: what comes back is not new
	back := ok[proto.Migration](w, giveBack(m.ID), v1.ReturnRequest{Reason: "slower than before"})
	if back.Source != "host-c" || back.Target != "host-a" || back.ToType != m.FromType || back.FromType != m.ToType || back.Returns != m.ID || len(back.Extra) != 2 || len(m.Extra) != 2 {
		t.Fatalf("%+v", back)
	}
	for i, id := range m.Extra {
		if _, held := w.View().Ledger().Reservation(id); held {
			t.Errorf("%s is held, although the transfer that it was for is over", id)
		}
		if _, held := w.View().Ledger().Reservation(back.Extra[i]); !held {
			t.Errorf("%s is not held", back.Extra[i])
		}
	}
	was, _ := w.View().Migration(m.ID)
	if d := was.Decisions[len(was.Decisions)-1]; was.Returning != back.ID || d.Kind != proto.DecideReturn || d.Reason != "slower than before" {
		t.Errorf("%q, %+v", was.Returning, d)
	}
	no(m.ID, "glidepath migration watch "+back.ID)
	no(back.ID, "way back of migration "+m.ID)
	w.confirmed(back)
	i, _ := w.View().Instance("cache-1")
	w.Must(&proto.MigrationAdvance{Migration: back.ID, From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.Must(&proto.MigrationComplete{Migration: back.ID, Fence: i.Fence})
	no(m.ID, "glidepath instance show cache-1") // it was returned
	no(back.ID, "glidepath migrate cache-1 --to host-c --type "+m.ToType)
}

func TestProbationIsEndedByItsOperatorInHisName(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c"})
	end := "POST /v1/migrations/" + m.ID + "/complete"
	if e := w.fails(v1.CodeRefused, 422, end, nil); !strings.Contains(e.Message, "in phase prepare") {
		t.Error(e.Message)
	}
	w.confirmed(m)
	w.fails(v1.CodeConflict, 409, end, v1.CompleteRequest{Fence: 1})
	ok[v1.MigrationStatus](w, end, nil)
	now, _ := w.View().Migration(m.ID)
	if d := now.Decisions[len(now.Decisions)-1]; !now.Satisfied() || d.By == "" || !strings.Contains(d.Reason, d.By) {
		t.Errorf("%+v", d)
	}
}

func TestThereIsAWayBackAlsoWhereTheTransferCantBeReserved(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	m := ok[proto.Migration](w, "POST /v1/migrations", v1.PlanRequest{Instance: "cache-1", Target: "host-c"})
	w.confirmed(m)
	w.Must(&proto.HostSet{Host: "host-a", Override: resource.Vector{resource.NetRx: 2_000_000}}) // its link has next to nothing left
	back := ok[proto.Migration](w, "POST /v1/migrations/"+m.ID+"/return", nil)
	if len(back.Extra) != 0 || !slices.ContainsFunc(back.Plan.Warnings, func(s string) bool { return strings.Contains(s, "not reserved") }) {
		t.Errorf("%v, %q", back.Extra, back.Plan.Warnings)
	}
}
