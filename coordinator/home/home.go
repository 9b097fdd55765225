// Package home does what a coordinator owes the hosts it is home to: it trains their instances' forecasts, derives their documents and pushes them.
package home

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/common"
	"github.com/glidepath/glidepath/coordinator/forecast/pool"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// Store is the history that forecasts learn from.
type Store interface {
	Demand(ctx context.Context, instance string, span timeline.Span, highest bool) (forecast.History, error)
}

// Meter is told what the homes do. Its methods are called concurrently.
type Meter interface {
	Trained(took time.Duration) // a forecast
	Pushed()                    // a document was sent to its agent
	Acknowledged()              // and the agent stored it
	StoodIn(window bool)        // a resource is forecast by the window from now on, or by the model again
	Drifted(up bool)            // a resource came otherwise than forecast, so that a model is trained anew before its time
}

// Config is what the homes need.
type Config struct {
	Name    string // of this coordinator
	View    func() *state.View
	Changed func() <-chan struct{} // closed at the next change; take it before the view
	Store   Store
	Signals func(ctx context.Context, instance string, span timeline.Span) ([]forecast.Signal, error) // figures of applications; nil: there are none
	Call    func(ctx context.Context, host, method string, body []byte) ([]byte, error)               // of an agent with a session here
	Online  func() []string                                                                           // hosts whose agents have a session here
	Arrived func() <-chan struct{}                                                                    // sent to when agents come or go
	Propose func(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error)
	Cards   *Cards                                                                                                 // how forecasts fared
	Windows func(ctx context.Context, instance string, span timeline.Span, highest bool) (forecast.History, error) // of demand, as they were measured; nil: nothing is learned of moves
	Copy    func(ctx context.Context, card proto.Scorecard) error                                                  // of a scorecard to the standby of its instance's owner
	Silent  func(ctx context.Context) map[string]timeline.Time                                                     // hosts whose agents have had no session for a while, and since when; 0: not known
	Meter   Meter
	Log     *slog.Logger

	DataBytes func(ctx context.Context, instance string) (int64, error) // that an instance has, by its agent
}

// Homes keeps the models and documents of this coordinator's hosts. Its methods may be called concurrently.
type Homes struct {
	cfg  Config
	poke chan struct{}

	mu        sync.Mutex
	models    map[string]*model
	hosts     map[string]*pushed
	debts     map[string]map[string]int64 // bytes by host and instance, as last reported
	summaries map[string]proto.ScoreSummary
	rings     map[string]*common.Ring // errors of forecasts by instance
	shares    map[string]inCommon     // by host
	turns     map[string]turn         // by host
	tasks     map[string]hostTasks    // by host
	growth    map[string]growing      // by instance
	fleet     *pool.Fleet             // of all of that; nil: it is to be put together anew

	scoring sync.Mutex // held while a scorecard is read or written
	copies  copies
	pruned  timeline.Time // when scorecards were last cleared away; of Run alone
	learned timeline.Time // when it was last looked for what moves taught; of Run alone
	tried   map[string]tried
}

// pushed is what a host's agent has.
type pushed struct {
	version proto.DocumentVersion
	content []byte // of the document, without version and time
}

// How often things are done that no change asks for.
const (
	deriveLeast  = time.Second     // between two looks
	retrainMost  = time.Hour       // age of a model
	retrainSteps = 60              // the same in steps of the grid, whichever is less
	pushTimeout  = 5 * time.Second // for an agent to store a document
	forecastMost = 4096            // steps of one forecast
	pruneEvery   = 24 * time.Hour  // scorecards that are not needed any more
)

// New returns homes; Run makes them work.
func New(cfg Config) *Homes {
	return &Homes{
		cfg: cfg, poke: make(chan struct{}, 1), models: map[string]*model{}, hosts: map[string]*pushed{}, debts: map[string]map[string]int64{},
		summaries: map[string]proto.ScoreSummary{}, rings: map[string]*common.Ring{}, shares: map[string]inCommon{}, turns: map[string]turn{}, tasks: map[string]hostTasks{},
		growth: map[string]growing{}, copies: copies{wait: map[string]bool{}, poke: make(chan struct{}, 1)},
	}
}

// Run derives and pushes documents until ctx ends: whenever the tables or the sessions change, and at each step of the grid.
func (h *Homes) Run(ctx context.Context) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { h.copyScores(ctx) })
	beside.Go(func() { h.askTasks(ctx) })
	for {
		changed := h.cfg.Changed()
		view := h.cfg.View()
		next := time.Minute
		if step := time.Duration(view.Fleet().GridStep) * time.Millisecond; step > 0 {
			h.round(ctx, view, timeline.Of(time.Now()))
			now := timeline.Of(time.Now())
			next = now.Floor(step).Add(step).Sub(now)
		}
		if !pause(ctx, deriveLeast) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-h.poke:
		case <-h.cfg.Arrived():
		case <-time.After(max(0, next-deriveLeast)):
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// Forget makes an instance's model be trained anew: its history or its events changed.
func (h *Homes) Forget(instance string) {
	h.mu.Lock()
	delete(h.models, instance)
	h.mu.Unlock()
	select {
	case h.poke <- struct{}{}:
	default:
	}
}

// round looks at every host that this coordinator is home to.
func (h *Homes) round(ctx context.Context, view *state.View, now timeline.Time) {
	h.forgetScores(view)
	h.forgetErrors(view)
	h.forgetGone(view, now)
	if now.Sub(h.pruned) >= pruneEvery {
		h.pruned = now
		if err := h.prune(view, now); err != nil {
			h.cfg.Log.Warn("old scorecards can't be removed", "error", err)
		}
	}
	h.learn(ctx, view, now)
	online := map[string]bool{}
	for _, host := range h.cfg.Online() {
		online[host] = true
	}
	notices := noticesOf(view)
	for host := range view.Hosts() {
		if ctx.Err() != nil {
			return
		}
		if host.Home != h.cfg.Name {
			h.leave(host.Facts.Name)
			continue
		}
		ask := h.once(ctx, view, now)
		doc := derive(view, host, now, func(instance string) (proto.ForecastReply, bool) {
			r, err := ask(instance)
			if err != nil {
				if !Cold(err) && ctx.Err() == nil {
					h.cfg.Log.Warn("no forecast", "instance", instance, "error", err)
				}
				return r, false
			}
			return r, true
		})
		// An agent that has not reported to this incarnation goes on with the document it has: the tables may be wrong about it.
		if online[host.Facts.Name] && host.Incarnation == view.Fleet().Incarnation {
			h.push(ctx, view, doc)
		} else {
			h.leave(host.Facts.Name)
		}
		h.replan(ctx, view, host, now, notices[host.Facts.Name], ask)
		h.stateDebt(ctx, view, host)
	}
}

// once returns what answers with the forecasts of a host's instances, and makes each only once: documents and reservations follow from the same.
func (h *Homes) once(ctx context.Context, view *state.View, now timeline.Time) func(instance string) (proto.ForecastReply, error) {
	type answer struct {
		reply proto.ForecastReply
		err   error
	}
	made := map[string]answer{}
	return func(instance string) (proto.ForecastReply, error) {
		a, ok := made[instance]
		if !ok {
			a.reply, a.err = h.forecast(ctx, view, instance, now)
			made[instance] = a
		}
		return a.reply, a.err
	}
}

// forgetGone forgets models that are not made anew any more, as of instances that were released or have another home now, and what is kept of hosts and instances that
// are no more.
func (h *Homes) forgetGone(view *state.View, now timeline.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.models, func(_ string, m *model) bool { return now.Sub(m.trainedAt) > watchFor })
	gone := func(host string) bool { _, ok := view.Host(host); return !ok }
	maps.DeleteFunc(h.hosts, func(host string, _ *pushed) bool { return gone(host) })
	maps.DeleteFunc(h.debts, func(host string, of map[string]int64) bool {
		maps.DeleteFunc(of, func(instance string, _ int64) bool { _, ok := view.Instance(instance); return !ok })
		return gone(host)
	})
}

// leave forgets what a host's agent has, so that it is pushed again when it comes back.
func (h *Homes) leave(host string) {
	h.mu.Lock()
	delete(h.hosts, host)
	h.mu.Unlock()
}

// forecast returns the forecast of an instance on the fleet's grid, training a model when there is none or it is stale.
func (h *Homes) forecast(ctx context.Context, view *state.View, instance string, now timeline.Time) (proto.ForecastReply, error) {
	step := time.Duration(view.Fleet().GridStep) * time.Millisecond
	h.mu.Lock()
	m := h.models[instance]
	h.mu.Unlock()
	// A host's own use has no limit that its highest second would have to fit into: what counts is what it takes on the whole.
	means := strings.HasPrefix(instance, proto.SystemInstance)
	if m == nil || m.stale(view, instance, now) || h.drifted(ctx, instance, m, means, now) {
		fresh, history, err := h.train(ctx, view, instance, step, means, now, m)
		if err != nil {
			return proto.ForecastReply{}, err
		}
		if !means {
			fresh.stands = h.score(ctx, view, instance, fresh, history, now)
		}
		fresh.settle(now)
		m = fresh
		h.mu.Lock()
		h.models[instance] = m
		h.mu.Unlock()
	}
	reply, err := m.reply(instance, now.Floor(step), planner.GridSteps)
	if err == nil && h.owned(view, instance) {
		i, _ := view.Instance(instance)
		if i.Spec.Class != proto.Critical { // nothing of those is pooled
			reply.Reasons = append(reply.Reasons, h.common(view, i.Owner, now).Says(i.Owner))
		}
	}
	return reply, err
}

// train trains a model, and tells how long that took. The one before saves time; it may be nil.
func (h *Homes) train(ctx context.Context, view *state.View, instance string, step time.Duration, means bool, now timeline.Time, before *model) (*model, forecast.History, error) {
	began := time.Now()
	signals, err := h.signals(ctx, view, instance, now)
	if err != nil {
		return nil, forecast.History{}, err
	}
	m, history, err := train(ctx, h.cfg.Store, view, instance, step, means, now, before, signals, func() kin { return h.kin(view, instance, step, now) },
		func(history forecast.History, span timeline.Span, most int) (judged, []forecast.Event) {
			return h.taskEvents(view, instance, history, span, now, most)
		})
	if err != nil {
		return nil, history, err
	}
	h.cfg.Meter.Trained(time.Since(began))
	if !means && m.observed >= growthYoung {
		h.grow(instance, history, m.opts.Maximum, now)
	}
	return m, history, nil
}

// Forecast answers for an instance whose owner this coordinator is home to.
func (h *Homes) Forecast(ctx context.Context, _ wire.Peer, r proto.ForecastRequest) (proto.ForecastReply, error) {
	view := h.cfg.View()
	now := timeline.Of(time.Now())
	grid := time.Duration(view.Fleet().GridStep) * time.Millisecond
	if r.Steps < 0 || r.Steps > forecastMost || r.Step < 0 || r.Step > (24*time.Hour).Milliseconds() {
		return proto.ForecastReply{}, wire.Errorf(wire.Invalid, "a forecast has 1 to %d steps of at most a day", forecastMost)
	}
	if grid == 0 {
		return proto.ForecastReply{}, wire.Errorf(wire.Unavailable, "this coordinator has not caught up with the fleet yet: try again")
	}
	step := time.Duration(r.Step) * time.Millisecond
	if step == 0 {
		step = grid
	}
	if r.Steps == 0 {
		r.Steps = planner.GridSteps
	}
	if r.From == 0 {
		r.From = now
	}
	span := timeline.Span{Start: r.From.Floor(step), End: r.From.Floor(step).Add(time.Duration(r.Steps) * step)}
	kept := timeline.Span{Start: now.Floor(grid), End: now.Floor(grid).Add(planner.GridSteps * grid)}
	// Who asks for what begins now may have a clock that is a little ahead: a step is missing at the end then.
	within := span.Start >= kept.Start && (span.End <= kept.End || r.From <= now.Add(maxAhead))
	if !r.Means && step == grid && r.Steps <= planner.GridSteps && within {
		reply, err := h.forecast(ctx, view, r.Instance, now)
		if err == nil {
			for i, p := range reply.Profiles {
				reply.Profiles[i] = p.Clip(span)
			}
			clipSignals(&reply, span)
			reply.Start = max(reply.Start, span.Start)
		}
		return reply, h.code(err)
	}
	h.mu.Lock()
	before := h.models[r.Instance] // what it learned is the same for other steps of up to ten minutes
	h.mu.Unlock()
	m, _, err := h.train(ctx, view, r.Instance, step, r.Means, now, before)
	if err != nil {
		return proto.ForecastReply{}, h.code(err)
	}
	if !r.Means { // of which nothing is scored
		m.stands = h.standing(r.Instance, now)
	}
	reply, err := m.reply(r.Instance, span.Start, r.Steps)
	var bad *forecast.InputError
	if errors.As(err, &bad) { // a model that was made has nothing against it but the time that is asked for
		return reply, wire.Errorf(wire.Invalid, "%w", err)
	}
	return reply, h.code(err)
}

// code gives the absence of history the code by which callers go on without a forecast.
func (h *Homes) code(err error) error {
	if err != nil && Cold(err) {
		return wire.Errorf(wire.NotFound, "%w", err)
	}
	return err
}

// push sends a document to its host's agent when it says something else than the one that the agent has. Revisions
// follow the tables' progress, so they rise when the home changes, too.
func (h *Homes) push(ctx context.Context, view *state.View, doc proto.Document) {
	name := doc.Host
	plain := doc
	plain.IssuedAt = 0
	content, err := proto.Marshal(plain)
	if err != nil {
		h.cfg.Log.Error("a document could not be encoded", "host", name, "error", err)
		return
	}
	h.mu.Lock()
	have := h.hosts[name]
	h.mu.Unlock()
	if have != nil && string(have.content) == string(content) {
		return
	}
	doc.Version = proto.DocumentVersion{Incarnation: view.Fleet().Incarnation, Revision: view.Applied() << revisionBits}
	if have != nil && !doc.Version.Newer(have.version) {
		doc.Version.Revision = have.version.Revision + 1
	}
	body, err := proto.Marshal(doc)
	if err != nil {
		h.cfg.Log.Error("a document could not be encoded", "host", name, "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	h.cfg.Meter.Pushed()
	stored, err := rpc.Decode[proto.DocumentVersion](h.cfg.Call(ctx, name, proto.MethodDocument, body))
	switch {
	case err != nil:
		h.cfg.Log.Warn("an agent did not take its document", "host", name, "revision", doc.Version.Revision, "error", err)
	case stored == doc.Version:
		h.cfg.Meter.Acknowledged()
		h.cfg.Log.Debug("document pushed", "host", name, "revision", stored.Revision, "instances", len(doc.Instances))
		h.set(name, &pushed{stored, content})
	default:
		// It has a newer one, from this home's earlier life: the next one comes after that.
		h.set(name, &pushed{stored, nil})
		select {
		case h.poke <- struct{}{}:
		default:
		}
	}
}

func (h *Homes) set(host string, p *pushed) {
	h.mu.Lock()
	h.hosts[host] = p
	h.mu.Unlock()
}

// revisionBits leaves room for documents between two commands.
const revisionBits = 20
