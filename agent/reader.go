package agent

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// namespace is what the names of all metrics begin with.
const namespace = "glidepath_agent"

// reader turns what the agent's parts say now into metrics.
type reader struct {
	version     string
	perInstance bool
	board       *board
	connected   func() bool
	waiting     func() int
	dropped     func() int64
	ahead       func() (time.Duration, bool)
	now         func() timeline.Time
	paused      func() (document, here bool)
	space       func() (available, size int64, err error) // where the agent keeps its data

	all struct {
		build, connected, revision, age, waiting, dropped, ahead, instances, debt, paused, throttled, stalled, available, size *prometheus.Desc
	}
	one struct {
		granted, demand map[resource.Kind]*prometheus.Desc
		throttled, debt *prometheus.Desc
	}
}

func newReader(version string, perInstance bool, b *board) reader {
	r := reader{version: version, perInstance: perInstance, board: b}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	r.all.build = desc("build_info", "The agent's version.", "version")
	r.all.connected = desc("connected", "1 with a session with the home, else 0.")
	r.all.revision = desc("document_revision", "Revision of the document that is followed; absent without one.", "incarnation")
	r.all.age = desc("document_age_seconds", "How long ago the document was written that is followed; absent without one. It is written anew when something changes.")
	r.all.waiting = desc("windows_buffered", "About how many windows of samples no coordinator has taken yet.")
	r.all.dropped = desc("windows_dropped_total", "About how many windows of samples were lost because no coordinator took them in time.")
	r.all.ahead = desc("clock_ahead_seconds", "By how much the coordinators' clock is ahead of this host's.")
	r.all.instances = desc("instances", "Instances that are steered on this host, by driver and mode.", "driver", "mode")
	r.all.debt = desc("memory_debt_bytes", "Memory of all instances above their limits that could not be taken back.")
	r.all.paused = desc("paused", "1 while every limit on this host is lifted, else 0: by the document that is followed, or by a word that was said on the host.", "by")
	r.all.throttled = desc("cpu_throttled_seconds_total", "Time that run queues were held back, summed over CPUs and over all instances.")
	r.all.stalled = desc("memory_stalled_seconds_total", "Time in which something in an instance waited for memory, summed over all instances; 0 where the kernel does not measure it.")
	r.all.available = desc("data_available_bytes", "Space that is left where the agent keeps its data.")
	r.all.size = desc("data_size_bytes", "Space that there is where the agent keeps its data.")
	r.one.granted = map[resource.Kind]*prometheus.Desc{
		resource.CPU:    desc("instance_cpu_allocation_cores", "What an instance is granted now; absent where it is not limited.", "name"),
		resource.Memory: desc("instance_memory_allocation_bytes", "What an instance is granted now; absent where it is not limited.", "name"),
	}
	r.one.demand = map[resource.Kind]*prometheus.Desc{
		resource.CPU:    desc("instance_cpu_demand_cores", "What an instance would use without limits.", "name"),
		resource.Memory: desc("instance_memory_demand_bytes", "What an instance would use without limits.", "name"),
	}
	r.one.throttled = desc("instance_cpu_throttled_seconds_total", "Time that an instance's run queues were held back, summed over CPUs.", "name")
	r.one.debt = desc("instance_memory_debt_bytes", "Memory of an instance above its limit that could not be taken back.", "name")
	return r
}

// Describe implements prometheus.Collector; what there is depends on the instances, so nothing is announced.
func (r *reader) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (r *reader) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge(r.all.build, 1, r.version)
	connected := 0.0
	if r.connected() {
		connected = 1
	}
	gauge(r.all.connected, connected)
	if version, issued := r.board.followed(); version != (proto.DocumentVersion{}) {
		gauge(r.all.revision, float64(version.Revision), strconv.FormatUint(version.Incarnation, 10))
		gauge(r.all.age, r.now().Sub(issued).Seconds())
	}
	gauge(r.all.waiting, float64(r.waiting()))
	counter(r.all.dropped, float64(r.dropped()))
	ahead, _ := r.ahead()
	gauge(r.all.ahead, ahead.Seconds())

	document, here := r.paused()
	for by, is := range map[string]bool{"document": document, "host": here} {
		value := 0.0
		if is {
			value = 1
		}
		gauge(r.all.paused, value, by)
	}

	_, instances := r.board.all()
	type kind struct {
		driver string
		mode   proto.Mode
	}
	kinds, debt := map[kind]int{}, int64(0)
	for _, s := range instances {
		kinds[kind{s.driver, s.mode}]++
		debt += s.debt
		if r.perInstance {
			r.instance(gauge, s)
			counter(r.one.throttled, s.throttled.Seconds(), s.instance)
		}
	}
	for k, n := range kinds {
		gauge(r.all.instances, float64(n), k.driver, string(k.mode))
	}
	gauge(r.all.debt, float64(debt))
	throttled, stalled := r.board.heldBack()
	counter(r.all.throttled, throttled.Seconds())
	counter(r.all.stalled, stalled.Seconds())
	if available, size, err := r.space(); err == nil {
		gauge(r.all.available, float64(available))
		gauge(r.all.size, float64(size))
	}
}

// instance shows what an instance is granted and asks for now.
func (r *reader) instance(gauge func(*prometheus.Desc, float64, ...string), s shown) {
	for k, unit := range map[resource.Kind]float64{resource.CPU: 1000, resource.Memory: 1} {
		if s.granted[k] < resource.Unlimited {
			gauge(r.one.granted[k], float64(s.granted[k])/unit, s.instance)
		}
		gauge(r.one.demand[k], float64(s.demanded[k])/unit, s.instance)
	}
	gauge(r.one.debt, float64(s.debt), s.instance)
}
