package metrics_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/glidepath/glidepath/coordinator/api"
	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/coordinator/metrics"
	"github.com/glidepath/glidepath/internal/metricdoc"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

var update = flag.Bool("update", false, "write the table in docs/metrics.md")

// counted returns metrics of a coordinator with a fleet of three hosts, one of which has an instance.
func counted(t *testing.T, stats consensus.Stats) *metrics.Metrics {
	t.Helper()
	return forecasting(t, stats, false)
}

// forecasting is counted with series of each instance or without; two are scored, of which one's CPU the window forecasts.
func forecasting(t *testing.T, stats consensus.Stats, perInstance bool) *metrics.Metrics {
	t.Helper()
	f := apitest.New(t)
	f.Must(&proto.InstanceApply{Spec: func() proto.InstanceSpec { s := apitest.Spec("cache-1"); s.Mode = proto.Enforce; return s }(), Envelope: envelope()})
	m, err := metrics.New(metrics.Reads{
		Name: "c1", Version: "1.2.3", View: f.View, Raft: func() consensus.Stats { return stats }, Agents: func() int { return 2 },
		Space: func() (int64, int64, error) { return 3 << 30, 8 << 30, nil }, Scores: scores, PerInstance: perInstance,
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func scores() []proto.ScoreSummary {
	of := func(k resource.Kind, naive, window float64) proto.ScoreSummaryOf {
		out := proto.ScoreSummaryOf{Resource: k, Coverage: []float64{.51, .957}, Naive: &naive}
		if window > 0 {
			out.Window = &window
		}
		return out
	}
	return []proto.ScoreSummary{
		{Instance: "cache-1", Quantiles: []int{500, 950}, StandsIn: []proto.StandsIn{{Resource: resource.CPU}}, Of: []proto.ScoreSummaryOf{of(resource.CPU, .9, 1.3), of(resource.Memory, .8, 0)}},
		{Instance: "web-1", Quantiles: []int{500, 950}, Of: []proto.ScoreSummaryOf{of(resource.CPU, .7, .6), of(resource.NetTx, .5, .4)}},
	}
}

func TestForecastsOfEachInstanceAreShownWhenTheyAreAskedFor(t *testing.T) {
	const all = `
# HELP glidepath_forecast_drifts_total Times that demand of a resource came otherwise than forecast, up or down, so that its model was trained anew before its time.
# TYPE glidepath_forecast_drifts_total counter
glidepath_forecast_drifts_total{direction="down"} 0
glidepath_forecast_drifts_total{direction="up"} 1
# HELP glidepath_forecast_stand_ins Resources of instances that this coordinator is home to which the window of the last days forecasts, because the model lost against it.
# TYPE glidepath_forecast_stand_ins gauge
glidepath_forecast_stand_ins 1
# HELP glidepath_forecast_turns_total Times that a resource of an instance was forecast by the window of the last days from then on, because the model had lost against it, or by its model again.
# TYPE glidepath_forecast_turns_total counter
glidepath_forecast_turns_total{to="model"} 0
glidepath_forecast_turns_total{to="window"} 1
`
	names := []string{
		"glidepath_forecast_drifts_total", "glidepath_forecast_stand_ins", "glidepath_forecast_turns_total", "glidepath_instance_forecast_coverage_ratio", "glidepath_instance_forecast_loss_ratio", "glidepath_instance_forecast_stand_in",
	}
	m := counted(t, consensus.Stats{})
	m.StoodIn(true)
	m.Drifted(true)
	if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(all), names...); err != nil {
		t.Error(err)
	}
	m = forecasting(t, consensus.Stats{}, true)
	m.StoodIn(true)
	m.Drifted(true)
	want := all + `
# HELP glidepath_instance_forecast_coverage_ratio Share of the steps of the last week in which an instance asked for no more than this quantile of its model's forecast.
# TYPE glidepath_instance_forecast_coverage_ratio gauge
glidepath_instance_forecast_coverage_ratio{level="0.5",name="cache-1",resource="cpu"} 0.51
glidepath_instance_forecast_coverage_ratio{level="0.5",name="cache-1",resource="memory"} 0.51
glidepath_instance_forecast_coverage_ratio{level="0.5",name="web-1",resource="cpu"} 0.51
glidepath_instance_forecast_coverage_ratio{level="0.95",name="cache-1",resource="cpu"} 0.957
glidepath_instance_forecast_coverage_ratio{level="0.95",name="cache-1",resource="memory"} 0.957
glidepath_instance_forecast_coverage_ratio{level="0.95",name="web-1",resource="cpu"} 0.957
# HELP glidepath_instance_forecast_loss_ratio Pinball loss of an instance's model in the last week over that of another forecast: below 1 the model is the better one.
# TYPE glidepath_instance_forecast_loss_ratio gauge
glidepath_instance_forecast_loss_ratio{against="naive",name="cache-1",resource="cpu"} 0.9
glidepath_instance_forecast_loss_ratio{against="naive",name="cache-1",resource="memory"} 0.8
glidepath_instance_forecast_loss_ratio{against="naive",name="web-1",resource="cpu"} 0.7
glidepath_instance_forecast_loss_ratio{against="window",name="cache-1",resource="cpu"} 1.3
glidepath_instance_forecast_loss_ratio{against="window",name="web-1",resource="cpu"} 0.6
# HELP glidepath_instance_forecast_stand_in 1 where the window of the last days forecasts a resource of an instance, because the model lost against it, else 0.
# TYPE glidepath_instance_forecast_stand_in gauge
glidepath_instance_forecast_stand_in{name="cache-1",resource="cpu"} 1
glidepath_instance_forecast_stand_in{name="cache-1",resource="memory"} 0
glidepath_instance_forecast_stand_in{name="web-1",resource="cpu"} 0
`
	if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func envelope() proto.Envelope {
	return proto.Envelope{{Span: timeline.Span{End: timeline.Forever}}}
}

// command is a command that is applied d after now.
func command(t *testing.T, body proto.Body, d time.Duration) proto.Command {
	t.Helper()
	c, err := proto.NewCommand("id", "test", body)
	if err != nil {
		t.Fatal(err)
	}
	c.At = timeline.Of(time.Now().Add(d))
	return c
}

func ended(code string) *proto.MigrationRecord {
	r := &proto.OperationResult{}
	if code != "" {
		r.Error = &proto.Fault{Code: code}
	}
	return &proto.MigrationRecord{Operation: proto.OperationRecord{Kind: proto.OpFreeze, Result: r}}
}

// busy makes everything be counted once at least.
func busy(t *testing.T, m *metrics.Metrics) {
	t.Helper()
	fine := proto.Result{Code: proto.ResultOK}
	hooks := &proto.MigrationRecord{Operation: proto.OperationRecord{Kind: proto.OpHook}}
	m.Applied(command(t, &proto.MigrationComplete{}, time.Second), fine, metrics.Ended{Migrations: []proto.Outcome{proto.OutcomeCompleted, proto.OutcomeReturned}})
	m.Applied(command(t, &proto.MigrationStart{}, time.Second), proto.Result{Code: proto.ResultRefused}, metrics.Ended{})
	m.Applied(command(t, &proto.MigrationStart{}, time.Second), proto.Result{Code: proto.ResultRefused, Repeated: true}, metrics.Ended{})
	m.Applied(command(t, &proto.MigrationStart{}, -time.Hour), fine, metrics.Ended{Hooks: proto.HookAfterConfirm}) // replayed
	for _, code := range []string{"", proto.FaultRefused, "made up by an agent"} {
		m.Applied(command(t, ended(code), time.Second), fine, metrics.Ended{})
	}
	m.Applied(command(t, &proto.MigrationRecord{Operation: proto.OperationRecord{Kind: proto.OpFreeze}}, time.Second), fine, metrics.Ended{}) // sent
	m.Applied(command(t, hooks, time.Second), fine, metrics.Ended{Hooks: proto.HookAfterConfirm})
	m.Proposed(fine, nil, 3*time.Millisecond)
	m.Proposed(proto.Result{}, errors.New("no leader"), 15*time.Second)
	m.Requested("GET /v1/status", 200, time.Millisecond)
	m.Requested("other", 404, time.Millisecond)
	m.Permitted(proto.PermitReply{Milliseconds: 15000}, nil)
	m.Permitted(proto.PermitReply{Reason: "it is being undone"}, nil)
	m.Permitted(proto.PermitReply{Reason: "it is being undone"}, nil)
	m.Permitted(proto.PermitReply{}, errors.New("no leader"))
	m.Trained(40 * time.Millisecond)
	m.Pushed()
	m.Pushed()
	m.Acknowledged()
}

func TestEveryMetricIsListedAndFollowsTheConventions(t *testing.T) {
	m := counted(t, consensus.Stats{Contact: time.Now()})
	busy(t, m)
	path := filepath.Join("..", "..", "docs", "metrics.md")
	metricdoc.Check(t, path, "coordinator", "glidepath_", m.Gatherer(), *update)
	metricdoc.Check(t, path, "forecasts", "glidepath_instance_", forecasting(t, consensus.Stats{}, true).Gatherer(), *update, "against", "level", "name")
}

func TestWhatHappenedIsCountedAndWhatIsReplayedOrRepeatedIsNot(t *testing.T) {
	m := counted(t, consensus.Stats{Leader: true, Term: 3, Committed: 41, Applied: 40})
	busy(t, m)
	want := map[string]string{
		"glidepath_commands_total": `
# HELP glidepath_commands_total Commands that were applied to the tables, by what came of them.
# TYPE glidepath_commands_total counter
glidepath_commands_total{command="migration-complete",result="ok"} 1
glidepath_commands_total{command="migration-record",result="ok"} 5
glidepath_commands_total{command="migration-start",result="refused"} 1
`,
		"glidepath_migrations_ended_total": `
# HELP glidepath_migrations_ended_total Migrations that ended, by how.
# TYPE glidepath_migrations_ended_total counter
glidepath_migrations_ended_total{outcome="aborted"} 0
glidepath_migrations_ended_total{outcome="completed"} 1
glidepath_migrations_ended_total{outcome="failed"} 0
glidepath_migrations_ended_total{outcome="returned"} 1
`,
		"glidepath_operations_total": `
# HELP glidepath_operations_total Operations of migrations that ended on an agent: done, or the fault's code.
# TYPE glidepath_operations_total counter
glidepath_operations_total{operation="freeze",result="done"} 1
glidepath_operations_total{operation="freeze",result="other"} 1
glidepath_operations_total{operation="freeze",result="refused"} 1
`,
		"glidepath_hook_failures_total": `
# HELP glidepath_hook_failures_total Times that an instance's hooks failed at a point on a host and are not tried again: they are yours to mend. See glidepath migration list --json.
# TYPE glidepath_hook_failures_total counter
glidepath_hook_failures_total{hook="after-confirm"} 1
glidepath_hook_failures_total{hook="after-freeze"} 0
glidepath_hook_failures_total{hook="before-freeze"} 0
glidepath_hook_failures_total{hook="before-start"} 0
glidepath_hook_failures_total{hook="on-abort"} 0
`,
		"glidepath_permits_total": `
# HELP glidepath_permits_total Permits that agents asked for here: granted, refused for good, or failed: nobody could tell.
# TYPE glidepath_permits_total counter
glidepath_permits_total{result="failed"} 1
glidepath_permits_total{result="granted"} 1
glidepath_permits_total{result="refused"} 2
`,
	}
	for name, text := range want {
		if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(text), name); err != nil {
			t.Error(err)
		}
	}
}

func TestAMigrationThatHangsIsSeenByItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := apitest.New(t)
		f.Must(&proto.InstanceApply{Spec: apitest.Spec("cache-1"), Envelope: envelope()})
		f.Adopt("cache-1")
		r := httptest.NewRequest(http.MethodPost, "/v1/migrations", strings.NewReader(`{"instance": "cache-1", "target": "host-c"}`))
		r.Header.Set("Authorization", "Bearer "+f.Tokens[proto.RoleAdmin])
		out := httptest.NewRecorder()
		if api.New(f.Config).ServeHTTP(out, r); out.Code != http.StatusOK {
			t.Fatal(out.Body)
		}
		m, err := metrics.New(metrics.Reads{
			Name: "c1", Version: "1.2.3", View: f.View, Raft: func() consensus.Stats { return consensus.Stats{} }, Agents: func() int { return 2 },
			Space: func() (int64, int64, error) { return 0, 0, errors.New("no such folder") }, Scores: scores,
		}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Minute)
		want := `
# HELP glidepath_migration_phase_age_seconds How long the migration that is in a phase the longest has been in it; 0 where there is none.
# TYPE glidepath_migration_phase_age_seconds gauge
glidepath_migration_phase_age_seconds{phase="copy"} 0
glidepath_migration_phase_age_seconds{phase="prepare"} 420
glidepath_migration_phase_age_seconds{phase="settle"} 0
glidepath_migration_phase_age_seconds{phase="switch"} 0
glidepath_migration_phase_age_seconds{phase="undo"} 0
glidepath_migration_phase_age_seconds{phase="warm"} 0
# HELP glidepath_migration_prediction_ratio Median of what the last completed migrations came to over what was predicted for them, before a correction by it; 0 while there are too few to tell.
# TYPE glidepath_migration_prediction_ratio gauge
glidepath_migration_prediction_ratio{figure="bytes"} 0
glidepath_migration_prediction_ratio{figure="copy_time"} 0
glidepath_migration_prediction_ratio{figure="downtime"} 0
`
		// Space that can't be told is absent.
		if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(want), "glidepath_migration_phase_age_seconds", "glidepath_migration_prediction_ratio", "glidepath_data_available_bytes"); err != nil {
			t.Error(err)
		}
	})
}

func TestHostsThatAreNotOperatedAfterARestoreAreCounted(t *testing.T) {
	f := apitest.New(t)
	m, err := metrics.New(metrics.Reads{
		Name: "c1", Version: "1.2.3", View: f.View, Raft: func() consensus.Stats { return consensus.Stats{} }, Agents: func() int { return 2 },
		Space: func() (int64, int64, error) { return 3 << 30, 8 << 30, nil }, Scores: scores,
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	shows := func(conflicts, unreported int) {
		t.Helper()
		want := fmt.Sprintf(`
# HELP glidepath_hosts_in_conflict Hosts whose agents report what can't be right by the tables, since the fleet was restored: nothing is operated there. See glidepath status.
# TYPE glidepath_hosts_in_conflict gauge
glidepath_hosts_in_conflict %d
# HELP glidepath_hosts_unreported Hosts whose agents have not reported what they run since the fleet was restored: nothing is operated there. See glidepath status.
# TYPE glidepath_hosts_unreported gauge
glidepath_hosts_unreported %d
`, conflicts, unreported)
		if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(want), "glidepath_hosts_in_conflict", "glidepath_hosts_unreported"); err != nil {
			t.Error(err)
		}
	}
	shows(0, 0)
	before := f.View().Fleet().Incarnation
	f.Must(&proto.IncarnationRaise{From: before, Reason: "restored"})
	shows(0, 3)
	conflict := []proto.Conflict{{Instance: "cache-1", What: "two hosts have it", Blocks: true}}
	f.Must(&proto.HostRegister{Facts: apitest.Facts("host-a", 4000), Incarnation: before, Conflicts: conflict})
	f.Must(&proto.HostRegister{Facts: apitest.Facts("host-b", 600), Incarnation: before + 1, Conflicts: []proto.Conflict{{Instance: "new-1", What: "adopt it again"}}})
	shows(1, 1)
	f.Must(&proto.HostRegister{Facts: apitest.Facts("host-a", 4000), Incarnation: before + 1})
	shows(0, 1)
}

func TestPromtoolHasNothingToSay(t *testing.T) {
	m := forecasting(t, consensus.Stats{Contact: time.Now()}, true)
	busy(t, m)
	metricdoc.Promtool(t, m.Gatherer())
}

func TestAScrapeShowsTheFleetAndRaft(t *testing.T) {
	for _, c := range []struct {
		stats         consensus.Stats
		shows, absent string
	}{
		{consensus.Stats{Leader: true, Term: 3, Committed: 41, Applied: 40, Unwritten: 2}, "glidepath_raft_last_contact_seconds 0", "no such thing"},
		{consensus.Stats{Term: 3, Committed: 41, Applied: 40}, "glidepath_raft_leader 0", "glidepath_raft_last_contact_seconds"},
	} {
		out := httptest.NewRecorder()
		counted(t, c.stats).Handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		for _, line := range []string{
			c.shows, fmt.Sprintf("glidepath_raft_applied_index %d", c.stats.Applied), fmt.Sprintf("glidepath_raft_write_failures_total %d", c.stats.Unwritten), "glidepath_hosts 3", "glidepath_instances_in_doubt 0", "glidepath_home_hosts 3", "glidepath_agents_connected 2",
			`glidepath_instances{mode="enforce",state="adopting"} 1`, `glidepath_instances{mode="observe",state="running"} 0`, `glidepath_migrations{phase="copy"} 0`,
			`glidepath_build_info{version="1.2.3"} 1`, `glidepath_migration_phase_age_seconds{phase="copy"} 0`,
			"glidepath_data_available_bytes 3.221225472e+09", "glidepath_data_size_bytes 8.589934592e+09",
		} {
			if !strings.Contains(out.Body.String(), "\n"+line+"\n") {
				t.Errorf("%q is missing", line)
			}
		}
		if strings.Contains(out.Body.String(), c.absent) {
			t.Errorf("%q is there:\n%s", c.absent, out.Body)
		}
	}
}
