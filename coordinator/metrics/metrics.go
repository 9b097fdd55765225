// Package metrics shows Prometheus what a coordinator does and knows.
package metrics

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/glidepath/glidepath/coordinator/feeds"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// namespace is what the names of all metrics begin with.
const namespace = "glidepath"

// maxScrapes is how many scrapes are answered at a time.
const maxScrapes = 4

// Metrics counts what happens in this life of the coordinator, and reads the rest when it is scraped. No label's values grow
// with the number of hosts and instances, unless Reads asks for series of each instance. Its methods may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry
	started  timeline.Time

	commands   *prometheus.CounterVec
	outcomes   *prometheus.CounterVec
	operations *prometheus.CounterVec
	hooks      *prometheus.CounterVec
	permits    *prometheus.CounterVec
	proposals  *prometheus.HistogramVec
	requests   *prometheus.CounterVec
	answering  *prometheus.HistogramVec
	training   prometheus.Histogram
	pushed     prometheus.Counter
	taken      prometheus.Counter
	turns      *prometheus.CounterVec
	drifts     *prometheus.CounterVec
	polls      *prometheus.CounterVec
}

// New returns the metrics of a coordinator that starts now. What the log has from before is not counted again when it is
// replayed.
func New(reads Reads, now time.Time) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(), started: timeline.Of(now),
		commands:   counter("commands_total", "Commands that were applied to the tables, by what came of them.", "command", "result"),
		outcomes:   counter("migrations_ended_total", "Migrations that ended, by how.", "outcome"),
		operations: counter("operations_total", "Operations of migrations that ended on an agent: done, or the fault's code.", "operation", "result"),
		hooks:      counter("hook_failures_total", "Times that an instance's hooks failed at a point on a host and are not tried again: they are yours to mend. See glidepath migration list --json.", "hook"),
		permits:    counter("permits_total", "Permits that agents asked for here: granted, refused for good, or failed: nobody could tell.", "result"),
		proposals: histogram("proposal_duration_seconds", "Time from proposing a command here until it was applied here, by what came of it; failed: no leader took it.",
			prometheus.ExponentialBuckets(.002, 2, 13), "result"),
		requests:  counter("api_requests_total", "Requests to the HTTP API, by route and status.", "route", "code"),
		answering: histogram("api_request_duration_seconds", "Time until the answer to a request began to be sent.", prometheus.ExponentialBuckets(.001, 3, 10), "route"),
	}
	m.turns = counter("forecast_turns_total", "Times that a resource of an instance was forecast by the window of the last days from then on, because the model had lost against it, or by its model again.", "to")
	m.drifts = counter("forecast_drifts_total", "Times that demand of a resource came otherwise than forecast, up or down, so that its model was trained anew before its time.", "direction")
	m.polls = counter("calendar_polls_total", "Times that this coordinator, while it led, polled a calendar that events come from: events changed by it, or none did, or it failed.", "result")
	training := histogram("forecast_training_duration_seconds", "Time in which the forecast of an instance was trained.", prometheus.ExponentialBuckets(.01, 3, 9))
	pushed := counter("documents_pushed_total", "Documents that were sent to agents.")
	taken := counter("documents_acknowledged_total", "Documents that agents stored.")
	m.training, m.pushed, m.taken = training.WithLabelValues().(prometheus.Histogram), pushed.WithLabelValues(), taken.WithLabelValues()
	for _, o := range []proto.Outcome{proto.OutcomeCompleted, proto.OutcomeAborted, proto.OutcomeReturned, proto.OutcomeFailed} {
		m.outcomes.WithLabelValues(string(o)) // at 0, so that the first one is seen as a rise
	}
	for _, p := range proto.HookPoints() {
		m.hooks.WithLabelValues(string(p))
	}
	for _, result := range []string{permitGranted, permitRefused, permitFailed} {
		m.permits.WithLabelValues(result)
	}
	for _, to := range []string{turnWindow, turnModel} {
		m.turns.WithLabelValues(to)
	}
	for _, direction := range []string{driftUp, driftDown} {
		m.drifts.WithLabelValues(direction)
	}
	for _, r := range []feeds.Result{feeds.Changed, feeds.Unchanged, feeds.Failed} {
		m.polls.WithLabelValues(string(r))
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.turns, m.drifts, m.polls, m.commands, m.outcomes, m.operations, m.hooks, m.permits, m.proposals, m.requests, m.answering, training, pushed, taken, newReader(reads),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		errs = append(errs, m.registry.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return m, nil
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

// Gatherer returns what is scraped.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Ended is what a command brought to its end.
type Ended struct {
	Migrations []proto.Outcome
	Hooks      proto.HookPoint // of hooks that failed and are not tried again; else ""
}

// Applied counts a command that was applied to the tables, and what it ended.
func (m *Metrics) Applied(cmd proto.Command, r proto.Result, ended Ended) {
	if r.Repeated || cmd.At < m.started {
		return
	}
	m.commands.WithLabelValues(cmd.Type.String(), string(r.Code)).Inc()
	for _, o := range ended.Migrations {
		m.outcomes.WithLabelValues(string(o)).Inc()
	}
	if ended.Hooks != "" {
		m.hooks.WithLabelValues(string(ended.Hooks)).Inc()
	}
	if cmd.Type != proto.CmdMigrationRecord || !r.OK() {
		return
	}
	body, err := cmd.Decode()
	if record, ok := body.(*proto.MigrationRecord); ok && err == nil && record.Operation.Result != nil {
		m.operations.WithLabelValues(string(record.Operation.Kind), came(record.Operation.Result.Error)).Inc()
	}
}

// came names what came of an operation. Agents are not believed to use the known codes only.
func came(f *proto.Fault) string {
	if f == nil {
		return "done"
	}
	switch f.Code {
	case proto.FaultRefused, proto.FaultFailed, proto.FaultStale, proto.FaultNotAllowed, proto.FaultStalled, proto.FaultUnhealthy, proto.FaultInDoubt:
		return f.Code
	}
	return "other"
}

// Proposed counts a command that was proposed here.
func (m *Metrics) Proposed(r proto.Result, err error, took time.Duration) {
	result := string(r.Code)
	if err != nil {
		result = "failed"
	}
	m.proposals.WithLabelValues(result).Observe(took.Seconds())
}

// Results of a permit that was asked for.
const (
	permitGranted = "granted"
	permitRefused = "refused"
	permitFailed  = "failed"
)

// Permitted counts a permit that an agent asked for here.
func (m *Metrics) Permitted(r proto.PermitReply, err error) {
	result := permitGranted
	switch {
	case err != nil:
		result = permitFailed
	case r.Milliseconds == 0:
		result = permitRefused
	}
	m.permits.WithLabelValues(result).Inc()
}

// Requested counts a request to the API.
func (m *Metrics) Requested(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.answering.WithLabelValues(route).Observe(took.Seconds())
}

// Trained counts a forecast that was trained.
func (m *Metrics) Trained(took time.Duration) { m.training.Observe(took.Seconds()) }

// Pushed counts a document that was sent to an agent.
func (m *Metrics) Pushed() { m.pushed.Inc() }

// Acknowledged counts a document that an agent stored.
func (m *Metrics) Acknowledged() { m.taken.Inc() }

// What a resource was forecast by from then on.
const (
	turnWindow = "window"
	turnModel  = "model"
)

// StoodIn counts a resource that the window forecasts from now on, or its model again.
func (m *Metrics) StoodIn(window bool) {
	to := turnModel
	if window {
		to = turnWindow
	}
	m.turns.WithLabelValues(to).Inc()
}

// Directions of a drift.
const (
	driftUp   = "up"
	driftDown = "down"
)

// Drifted counts a resource whose demand came otherwise than forecast.
func (m *Metrics) Drifted(up bool) {
	direction := driftDown
	if up {
		direction = driftUp
	}
	m.drifts.WithLabelValues(direction).Inc()
}

// Polled counts a calendar that was polled.
func (m *Metrics) Polled(r feeds.Result) { m.polls.WithLabelValues(string(r)).Inc() }
