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
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

var update = flag.Bool("update", false, "write the table in docs/metrics.md")

// counted returns metrics of a coordinator with a fleet of three hosts, one of which has an instance.
func counted(t *testing.T, stats consensus.Stats) *metrics.Metrics {
	t.Helper()
	f := apitest.New(t)
	f.Must(&proto.InstanceApply{Spec: func() proto.InstanceSpec { s := apitest.Spec("cache-1"); s.Mode = proto.Enforce; return s }(), Envelope: envelope()})
	m, err := metrics.New(metrics.Reads{
		Name: "c1", Version: "1.2.3", View: f.View, Raft: func() consensus.Stats { return stats }, Agents: func() int { return 2 },
		Space: func() (int64, int64, error) { return 3 << 30, 8 << 30, nil },
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
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
	m.Applied(command(t, &proto.MigrationComplete{}, time.Second), fine, []proto.Outcome{proto.OutcomeCompleted, proto.OutcomeReturned})
	m.Applied(command(t, &proto.MigrationStart{}, time.Second), proto.Result{Code: proto.ResultRefused}, nil)
	m.Applied(command(t, &proto.MigrationStart{}, time.Second), proto.Result{Code: proto.ResultRefused, Repeated: true}, nil)
	m.Applied(command(t, &proto.MigrationStart{}, -time.Hour), fine, nil) // replayed
	for _, code := range []string{"", proto.FaultRefused, "made up by an agent"} {
		m.Applied(command(t, ended(code), time.Second), fine, nil)
	}
	m.Applied(command(t, &proto.MigrationRecord{Operation: proto.OperationRecord{Kind: proto.OpFreeze}}, time.Second), fine, nil) // sent
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
	metricdoc.Check(t, filepath.Join("..", "..", "docs", "metrics.md"), "coordinator", "glidepath_", m.Gatherer(), *update)
}

func TestWhatHappenedIsCountedAndWhatIsReplayedOrRepeatedIsNot(t *testing.T) {
	m := counted(t, consensus.Stats{Leader: true, Term: 3, Committed: 41, Applied: 40})
	busy(t, m)
	want := map[string]string{
		"glidepath_commands_total": `
# HELP glidepath_commands_total Commands that were applied to the tables, by what came of them.
# TYPE glidepath_commands_total counter
glidepath_commands_total{command="migration-complete",result="ok"} 1
glidepath_commands_total{command="migration-record",result="ok"} 4
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
			Space: func() (int64, int64, error) { return 0, 0, errors.New("no such folder") },
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
`
		// Space that can't be told is absent.
		if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(want), "glidepath_migration_phase_age_seconds", "glidepath_data_available_bytes"); err != nil {
			t.Error(err)
		}
	})
}

func TestPromtoolHasNothingToSay(t *testing.T) {
	m := counted(t, consensus.Stats{Contact: time.Now()})
	busy(t, m)
	metricdoc.Promtool(t, m.Gatherer())
}

func TestAScrapeShowsTheFleetAndRaft(t *testing.T) {
	for _, c := range []struct {
		stats         consensus.Stats
		shows, absent string
	}{
		{consensus.Stats{Leader: true, Term: 3, Committed: 41, Applied: 40}, "glidepath_raft_last_contact_seconds 0", "no such thing"},
		{consensus.Stats{Term: 3, Committed: 41, Applied: 40}, "glidepath_raft_leader 0", "glidepath_raft_last_contact_seconds"},
	} {
		out := httptest.NewRecorder()
		counted(t, c.stats).Handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		for _, line := range []string{
			c.shows, fmt.Sprintf("glidepath_raft_applied_index %d", c.stats.Applied), "glidepath_hosts 3", "glidepath_instances_in_doubt 0", "glidepath_home_hosts 3", "glidepath_agents_connected 2",
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
