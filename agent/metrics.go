package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// metrics is what /metrics shows. It reads the parts when it is scraped.
type metrics struct {
	version   string
	connected func() bool
	dropped   func() int64
	ahead     func() (time.Duration, bool)
	board     *board

	operations *prometheus.CounterVec
	descs      struct{ build, connected, revision, dropped, ahead, granted, demand, throttled, debt *prometheus.Desc }
}

func newMetrics(version string, b *board) *metrics {
	m := &metrics{version: version, board: b}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("glidepath_agent_"+name, help, labels, nil)
	}
	m.operations = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "glidepath_agent_operations_total", Help: "Operations that ended, by what came of them."}, []string{"kind", "result"})
	m.descs.build = desc("build_info", "The agent's version.", "version")
	m.descs.connected = desc("connected", "1 with a session with the home, else 0.")
	m.descs.revision = desc("document_revision", "Revision of the document that is followed.", "incarnation")
	m.descs.dropped = desc("samples_dropped_total", "Windows of samples that were lost because no coordinator took them in time.")
	m.descs.ahead = desc("clock_ahead_seconds", "By how much the coordinators' clock is ahead of this host's.")
	m.descs.granted = desc("granted", "What the instance is granted now: CPU in cores, memory in bytes. Absent where it is not limited.", "instance", "resource")
	m.descs.demand = desc("demand", "What the instance would use without limits: CPU in cores, memory in bytes.", "instance", "resource")
	m.descs.throttled = desc("throttled_seconds_total", "Time that the instance's CPUs were held back.", "instance")
	m.descs.debt = desc("memory_debt_bytes", "Memory above its limit that could not be taken back.", "instance")
	return m
}

// Describe implements prometheus.Collector; what there is depends on the instances, so nothing is announced.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	version, instances := m.board.all()
	connected := 0.0
	if m.connected() {
		connected = 1
	}
	ahead, _ := m.ahead()
	gauge(m.descs.build, 1, m.version)
	gauge(m.descs.connected, connected)
	gauge(m.descs.revision, float64(version.Revision), strconv.FormatUint(version.Incarnation, 10))
	counter(m.descs.dropped, float64(m.dropped()))
	gauge(m.descs.ahead, ahead.Seconds())
	for _, s := range instances {
		for _, r := range []struct {
			kind resource.Kind
			unit float64
		}{{resource.CPU, 1000}, {resource.Memory, 1}} {
			if s.granted[r.kind] < resource.Unlimited {
				gauge(m.descs.granted, float64(s.granted[r.kind])/r.unit, s.instance, r.kind.String())
			}
			gauge(m.descs.demand, float64(s.demanded[r.kind])/r.unit, s.instance, r.kind.String())
		}
		counter(m.descs.throttled, s.throttled.Seconds(), s.instance)
		gauge(m.descs.debt, float64(s.debt), s.instance)
	}
}

// operated counts an operation.
func (m *metrics) operated(op proto.Operation, r proto.OperationResult) {
	result := "done"
	if r.Error != nil {
		result = r.Error.Code
	}
	m.operations.WithLabelValues(string(op.Kind), result).Inc()
}

// serve answers /metrics until ctx ends.
func (m *metrics) serve(ctx context.Context, listener net.Listener) error {
	registry := prometheus.NewRegistry()
	if err := errors.Join(registry.Register(m), registry.Register(m.operations)); err != nil {
		return errors.Join(err, listener.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
