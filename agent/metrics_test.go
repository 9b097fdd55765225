package agent

import (
	"errors"
	"flag"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/limit"
	"github.com/glidepath/glidepath/internal/metricdoc"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

var update = flag.Bool("update", false, "write the tables in docs/metrics.md")

// measured runs a loop for a while and returns what its metrics show then.
func measured(t *testing.T, perInstance bool) *metrics {
	t.Helper()
	var m *metrics
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		m = b.metrics
		m.perInstance = perInstance
		m.connected, m.waiting, m.dropped = func() bool { return true }, func() int { return 3 }, func() int64 { return 2 }
		m.ahead = func() (time.Duration, bool) { return 250 * time.Millisecond, true }
		m.space = func() (int64, int64, error) { return 3 << 30, 8 << 30, nil }
		m.now = func() timeline.Time { return 1_900_000_090_000 }
		m.paused = func() (document, here bool) { return false, true }
		b.states["cache-1"] = proto.FenceOwner
		b.doc = stepping(500, 900, time.Hour)
		b.doc.IssuedAt = 1_900_000_000_000
		b.doc.Instances[0].Spec.Driver, b.doc.Instances[0].Spec.Mode = "service", proto.Enforce
		b.m.throttled, b.m.waits = 100*time.Millisecond, .25
		stop := b.start()
		time.Sleep(3*time.Second + time.Millisecond)
		b.edit(func() { b.k.held["cache-1"] = full(2000, 256<<20) }) // a daemon-reload
		time.Sleep(2 * time.Second)
		synctest.Wait()
		stop()
	})
	m.operated(proto.Operation{Kind: proto.OpFreeze}, proto.OperationResult{})
	m.operated(proto.Operation{Kind: proto.OpFreeze}, proto.OperationResult{Error: &proto.Fault{Code: proto.FaultStale}})
	m.documented(nil)
	m.documented(errors.New("an older revision"))
	m.limited(enforce.Outcome{Change: limit.Change{Kind: resource.ReadIOPS}, Err: errors.New("no such disk")})
	return m
}

func TestEveryMetricIsListedAndFollowsTheConventions(t *testing.T) {
	path := filepath.Join("..", "docs", "metrics.md")
	for _, c := range []struct {
		section, prefix string
		perInstance     bool
		more            []string // labels
	}{{"agent", "glidepath_agent_", false, nil}, {"instances", "glidepath_agent_instance_", true, []string{"name"}}} {
		registry, err := measured(t, c.perInstance).registry()
		if err != nil {
			t.Fatal(err)
		}
		metricdoc.Check(t, path, c.section, c.prefix, registry, *update, c.more...)
	}
}

func TestPromtoolHasNothingToSay(t *testing.T) {
	registry, err := measured(t, true).registry()
	if err != nil {
		t.Fatal(err)
	}
	metricdoc.Promtool(t, registry)
}

func TestMetricsShowWhatTheLoopDoes(t *testing.T) {
	registry, err := measured(t, true).registry()
	if err != nil {
		t.Fatal(err)
	}
	want := `
# HELP glidepath_agent_cpu_throttled_seconds_total Time that run queues were held back, summed over CPUs and over all instances.
# TYPE glidepath_agent_cpu_throttled_seconds_total counter
glidepath_agent_cpu_throttled_seconds_total 0.6
# HELP glidepath_agent_memory_stalled_seconds_total Time in which something in an instance waited for memory, summed over all instances; 0 where the kernel does not measure it.
# TYPE glidepath_agent_memory_stalled_seconds_total counter
glidepath_agent_memory_stalled_seconds_total 1.5
# HELP glidepath_agent_data_available_bytes Space that is left where the agent keeps its data.
# TYPE glidepath_agent_data_available_bytes gauge
glidepath_agent_data_available_bytes 3.221225472e+09
# HELP glidepath_agent_document_age_seconds How long ago the document was written that is followed; absent without one. It is written anew when something changes.
# TYPE glidepath_agent_document_age_seconds gauge
glidepath_agent_document_age_seconds 90
# HELP glidepath_agent_document_revision Revision of the document that is followed; absent without one.
# TYPE glidepath_agent_document_revision gauge
glidepath_agent_document_revision{incarnation="1"} 1
# HELP glidepath_agent_fence_refusals_total Operations that were refused because this host has seen a newer decision about the instance.
# TYPE glidepath_agent_fence_refusals_total counter
glidepath_agent_fence_refusals_total 1
# HELP glidepath_agent_instance_cpu_allocation_cores What an instance is granted now; absent where it is not limited.
# TYPE glidepath_agent_instance_cpu_allocation_cores gauge
glidepath_agent_instance_cpu_allocation_cores{name="cache-1"} 0.5
# HELP glidepath_agent_instances Instances that are steered on this host, by driver and mode.
# TYPE glidepath_agent_instances gauge
glidepath_agent_instances{driver="service",mode="enforce"} 1
# HELP glidepath_agent_paused 1 while every limit on this host is lifted, else 0: by the document that is followed, or by a word that was said on the host.
# TYPE glidepath_agent_paused gauge
glidepath_agent_paused{by="document"} 0
glidepath_agent_paused{by="host"} 1
# HELP glidepath_agent_windows_buffered About how many windows of samples no coordinator has taken yet.
# TYPE glidepath_agent_windows_buffered gauge
glidepath_agent_windows_buffered 3
# HELP glidepath_agent_windows_dropped_total About how many windows of samples were lost because no coordinator took them in time.
# TYPE glidepath_agent_windows_dropped_total counter
glidepath_agent_windows_dropped_total 2
`
	var names []string
	for line := range strings.Lines(want) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestWhatTheKernelDidNotHoldIsCountedOnce(t *testing.T) {
	m := measured(t, false)
	for k, want := range map[resource.Kind]float64{resource.CPU: 1, resource.Memory: 0} {
		if got := testutil.ToFloat64(m.differences.WithLabelValues(k.String())); got != want {
			t.Errorf("%v differences of %s, want %v", got, k, want)
		}
	}
	if got := testutil.ToFloat64(m.writes.WithLabelValues("cpu", "done")); got != 1 {
		t.Errorf("%v writes of cpu", got)
	}
}
