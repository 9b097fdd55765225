package metrics_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/glidepath/glidepath/coordinator/api"
	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/coordinator/metrics"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// moved carries cache-1 over to a host, to the end: it sends half as much again as was predicted, copies twice as long, and clients wait three times as long.
func moved(t *testing.T, f *apitest.Fleet, target string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/migrations", strings.NewReader(fmt.Sprintf(`{"instance": "cache-1", "target": %q}`, target)))
	r.Header.Set("Authorization", "Bearer "+f.Tokens[proto.RoleAdmin])
	out := httptest.NewRecorder()
	if api.New(f.Config).ServeHTTP(out, r); out.Code != http.StatusOK {
		t.Fatal(out.Body)
	}
	instance := func() proto.Instance {
		i, _ := f.View().Instance("cache-1")
		return i
	}
	m, _ := f.View().Migration(instance().Migration)
	var copies time.Duration
	for _, p := range m.Plan.Phases {
		if p.Phase == proto.PhaseCopy {
			copies = p.Length()
		}
	}
	waits := time.Duration(m.Plan.Downtime) * time.Millisecond
	if m.Plan.Bytes == 0 || copies == 0 || waits == 0 || m.Plan.Bias != nil {
		t.Fatalf("predicted are %d bytes, copied for %s, and %s of downtime, corrected by %+v", m.Plan.Bytes, copies, waits, m.Plan.Bias)
	}
	operation := func(kind proto.OperationKind, host string, lasts time.Duration, sent int64) {
		o := proto.OperationRecord{ID: string(kind), Kind: kind, Host: host, Fence: instance().Fence}
		f.Must(&proto.MigrationRecord{Migration: m.ID, Operation: o})
		time.Sleep(lasts)
		o.Result = &proto.OperationResult{ID: o.ID}
		if sent > 0 {
			o.Result.Round = &proto.RoundResult{Bytes: sent}
		}
		f.Must(&proto.MigrationRecord{Migration: m.ID, Operation: o})
	}
	f.Must(&proto.MigrationAdvance{Migration: m.ID, From: proto.PhasePrepare, To: proto.PhaseCopy})
	operation(proto.OpSyncRound, m.Source, 2*copies, m.Plan.Bytes*3/2)
	f.Must(&proto.MigrationFreeze{Migration: m.ID, Fence: instance().Fence})
	operation(proto.OpFreeze, m.Source, waits, 0)
	f.Must(&proto.MigrationCommit{Migration: m.ID, Fence: instance().Fence})
	operation(proto.OpConfirm, m.Target, 2*waits, 0)
	f.Must(&proto.MigrationConfirm{Migration: m.ID, Fence: instance().Fence, Until: timeline.Of(time.Now().Add(time.Hour))})
	f.Must(&proto.MigrationAdvance{Migration: m.ID, From: proto.PhaseWarm, To: proto.PhaseSettle})
	f.Must(&proto.MigrationComplete{Migration: m.ID, Fence: instance().Fence})
	if i := instance(); i.Owner != target || i.Migration != "" {
		t.Fatalf("cache-1 is on %s, with migration %q", i.Owner, i.Migration)
	}
}

func TestWhatMovesCameToIsShownBesideWhatWasPredictedOnceThereAreEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := apitest.New(t)
		f.Must(&proto.InstanceApply{Spec: apitest.Spec("cache-1"), Envelope: envelope()})
		f.Adopt("cache-1")
		m, err := metrics.New(metrics.Reads{
			Name: "c1", Version: "1.2.3", View: f.View, Raft: func() consensus.Stats { return consensus.Stats{} }, Agents: func() int { return 2 },
			Space: func() (int64, int64, error) { return 3 << 30, 8 << 30, nil }, Scores: scores,
		}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		shows := func(bytes, copied, downtime string) {
			t.Helper()
			want := fmt.Sprintf(`
# HELP glidepath_migration_prediction_ratio Median of what the last completed migrations came to over what was predicted for them, before a correction by it; 0 while there are too few to tell.
# TYPE glidepath_migration_prediction_ratio gauge
glidepath_migration_prediction_ratio{figure="bytes"} %s
glidepath_migration_prediction_ratio{figure="copy_time"} %s
glidepath_migration_prediction_ratio{figure="downtime"} %s
`, bytes, copied, downtime)
			if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(want), "glidepath_migration_prediction_ratio"); err != nil {
				t.Error(err)
			}
		}
		for n := range 5 {
			shows("0", "0", "0")
			moved(t, f, []string{"host-c", "host-a"}[n%2])
		}
		shows("1.5", "2", "3")
	})
}
