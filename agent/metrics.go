package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// metrics is what /metrics shows: it counts what it is told of, and reads the parts when it is scraped (see reader). Its methods
// may be called concurrently.
type metrics struct {
	reader

	operations  *prometheus.CounterVec
	stale       prometheus.Counter
	documents   *prometheus.CounterVec
	sampling    prometheus.Histogram
	writes      *prometheus.CounterVec
	differences *prometheus.CounterVec
	signals     *prometheus.CounterVec
}

// newMetrics returns metrics; the functions of reader must be filled in before they are served. perInstance adds series of
// every instance.
func newMetrics(version string, perInstance bool, b *board) *metrics {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}
	}
	m := &metrics{
		reader:      newReader(version, perInstance, b),
		operations:  prometheus.NewCounterVec(opts("operations_total", "Operations that ended: done, or the fault's code."), []string{"operation", "result"}),
		stale:       prometheus.NewCounter(opts("fence_refusals_total", "Operations that were refused because this host has seen a newer decision about the instance.")),
		documents:   prometheus.NewCounterVec(opts("documents_total", "Documents that came from the home: stored, or refused."), []string{"result"}),
		writes:      prometheus.NewCounterVec(opts("limit_writes_total", "Limits that were set in the kernel, or could not be."), []string{"resource", "result"}),
		differences: prometheus.NewCounterVec(opts("limit_differences_total", "Limits that the kernel was found not to hold as they had been set."), []string{"resource"}),
		signals:     prometheus.NewCounterVec(opts("signal_scrapes_total", "Signals of instances that were looked for on their applications' pages: read, or failed."), []string{"result"}),
		sampling: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "sampling_duration_seconds", Help: "Time that measuring everything on the host took, each second.",
			Buckets: prometheus.ExponentialBuckets(.0005, 2.5, 9),
		}),
	}
	for _, k := range resource.All() { // at 0, so that the first one is seen as a rise
		m.differences.WithLabelValues(k.String())
	}
	for _, result := range []string{"read", "failed"} {
		m.signals.WithLabelValues(result)
	}
	return m
}

// operated counts an operation.
func (m *metrics) operated(op proto.Operation, r proto.OperationResult) {
	result := "done"
	if r.Error != nil {
		result = r.Error.Code
	}
	if result == proto.FaultStale {
		m.stale.Inc()
	}
	m.operations.WithLabelValues(string(op.Kind), result).Inc()
}

// documented counts a document.
func (m *metrics) documented(err error) {
	result := "stored"
	if err != nil {
		result = "refused"
	}
	m.documents.WithLabelValues(result).Inc()
}

// sampled implements loopMeter.
func (m *metrics) sampled(took time.Duration) { m.sampling.Observe(took.Seconds()) }

// limited implements loopMeter.
func (m *metrics) limited(o enforce.Outcome) {
	switch {
	case o.Err != nil:
		m.writes.WithLabelValues(o.Kind.String(), "failed").Inc()
	case o.Wrote:
		m.writes.WithLabelValues(o.Kind.String(), "done").Inc()
	}
}

// differed implements loopMeter.
func (m *metrics) differed(k resource.Kind) { m.differences.WithLabelValues(k.String()).Inc() }

// scraped counts a signal that was looked for.
func (m *metrics) scraped(err error) {
	result := "read"
	if err != nil {
		result = "failed"
	}
	m.signals.WithLabelValues(result).Inc()
}

// registry returns what is scraped.
func (m *metrics) registry() (*prometheus.Registry, error) {
	r := prometheus.NewRegistry()
	var errs []error
	for _, c := range []prometheus.Collector{
		&m.reader, m.operations, m.stale, m.documents, m.sampling, m.writes, m.differences, m.signals,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		errs = append(errs, r.Register(c))
	}
	return r, errors.Join(errs...)
}

// serve answers /metrics until ctx ends.
func (m *metrics) serve(ctx context.Context, listener net.Listener) error {
	registry, err := m.registry()
	if err != nil {
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
