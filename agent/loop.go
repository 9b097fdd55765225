package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/agent/collect"
	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/limit"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/pilot"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// limiter sets limits; *enforce.Enforcer is the real one.
type limiter interface {
	Attach(ctx context.Context, t enforce.Target) (enforce.Attached, error)
	Detach(ctx context.Context, instance string) error
	Release(ctx context.Context, t enforce.Target) error
	Apply(ctx context.Context, changes []limit.Change) []enforce.Outcome
	Reconcile(ctx context.Context) []enforce.Outcome
	ReadBack(ctx context.Context, instance string) (enforce.Held, error)
}

// sampler measures; *collect.Sampler is the real one.
type sampler interface {
	Track(targets []collect.Target)
	Sample(ctx context.Context) ([]collect.Sample, error)
	Close()
}

// loopMeter is told what the loop does; *metrics is the real one.
type loopMeter interface {
	sampled(took time.Duration)
	limited(o enforce.Outcome)   // a limit was looked at, and may have been set
	differed(kind resource.Kind) // the kernel did not hold a limit as it had been set
}

// loopConfig is what the loop works with.
type loopConfig struct {
	now      func() timeline.Time // the coordinators' time
	document func() (proto.Document, bool)
	changed  <-chan struct{} // a document was stored
	poked    <-chan struct{} // an operation has ended
	record   func(instance string) fence.Record
	cgroup   func(ctx context.Context, unit string) (string, error)
	host     func() (capacity, allocatable resource.Vector)
	limits   limiter
	sampler  sampler
	put      func(now timeline.Time, windows []proto.Window) error
	working  func() bool // reports whether anything was done to instances or their data since it was asked last
	alive    func()      // called after each round
	board    *board
	meter    loopMeter
	log      *slog.Logger
}

// settling is how long what an agent's start takes may weigh on its host.
const settling = 30 * time.Second

// loop measures the host's instances each second and grants them what the stored document and their demand say. It
// needs no coordinator. Its state belongs to the goroutine of run.
type loop struct {
	loopConfig

	began  time.Time
	seats  []*seat // of the instances that are steered, sorted
	state  pilot.State
	folder *collect.Folder
}

func newLoop(c loopConfig) *loop {
	return &loop{loopConfig: c, folder: collect.NewFolder()}
}

// run works until ctx ends. All limits stay as they are then.
func (l *loop) run(ctx context.Context) error {
	defer l.sampler.Close()
	l.began = time.Now()
	tick := time.NewTicker(collect.Interval)
	defer tick.Stop()
	l.round(ctx)
	for {
		select {
		case <-ctx.Done():
			return l.put(l.now(), l.folder.Take(timeline.Forever))
		case <-tick.C:
			l.round(ctx)
		case <-l.changed: // what was pushed does not wait for the next sample
			l.steer(ctx)
		case <-l.poked:
			l.steer(ctx)
		}
	}
}

// round is one second's work.
func (l *loop) round(ctx context.Context) {
	l.seat(ctx)
	samples := l.measure(ctx)
	l.reconcile(ctx)
	l.decide(ctx, true)
	l.fold(samples)
	l.report()
	l.alive()
}

// steer is a round without a sample: the document changed, or who may run what. Instances that are limited already don't wait for
// systemd, which is told of new envelopes; until it is, the old ones bound what is granted.
func (l *loop) steer(ctx context.Context) {
	l.decide(ctx, false)
	if l.seat(ctx) {
		l.decide(ctx, false)
	}
}

// measure takes the samples of this second.
func (l *loop) measure(ctx context.Context) []collect.Sample {
	began := time.Now()
	samples, err := l.sampler.Sample(ctx)
	l.meter.sampled(time.Since(began))
	if err != nil && ctx.Err() == nil {
		l.log.Warn("not everything could be measured", "error", err)
	}
	capacity, _ := l.host()
	for _, s := range l.seats {
		s.measured = false
	}
	for _, sample := range samples {
		s := l.find(sample.Instance)
		if s == nil {
			continue
		}
		s.running = sample.Running
		if !sample.Running {
			s.estimate = demand.State{}
			continue
		}
		s.measured, s.observation = true, sample.Observation
		s.demand, s.estimate = demand.Estimate(sample.Observation, s.heldOrUnlimited(), capacity, s.estimate)
	}
	return samples
}

// reconcile sets again what is not as it was set.
func (l *loop) reconcile(ctx context.Context) {
	for _, s := range l.seats {
		s.faults = s.faults[:0]
	}
	l.outcomes(l.limits.Reconcile(ctx))
}

// decide grants every instance what it gets now.
func (l *loop) decide(ctx context.Context, measured bool) {
	document, ok := l.document()
	if !ok {
		return
	}
	_, allocatable := l.host()
	in := pilot.Input{Now: l.now(), Document: &document, Allocatable: allocatable}
	for _, s := range l.seats {
		if l.readBack(ctx, s); !s.held.known {
			continue
		}
		in.Observed = append(in.Observed, pilot.Observed{
			Instance: s.instance, Held: s.held.Limits,
			Measured: measured && s.measured, Demand: s.demand, Observation: s.observation,
		})
	}
	d := pilot.Decide(in, l.state)
	l.state = d.State
	for _, a := range d.Allocations {
		if s := l.find(a.Instance); s != nil {
			s.granted, s.scheduled = a.Granted, a.Scheduled
		}
	}
	l.outcomes(l.limits.Apply(ctx, l.changes(d)))
	l.publish(document, d, measured)
}

// changes puts a decision into limits, in its order. What the kernel holds already when an instance is seen for the first
// time is set, too: what is to be kept from here on is what was set.
func (l *loop) changes(d pilot.Decision) []limit.Change {
	var out []limit.Change
	for _, c := range d.Changes {
		s := l.find(c.Instance)
		if s == nil || !s.target.Limited {
			continue
		}
		for _, k := range resource.All() {
			if c.From[k] != c.To[k] {
				out = append(out, limit.Change{Instance: c.Instance, Kind: k, Amount: c.To[k]})
			}
		}
	}
	for _, s := range l.seats {
		if !s.target.Limited || !s.held.known || s.asserted {
			continue
		}
		s.asserted = true
		for _, k := range resource.All() {
			if s.granted[k] == s.held.Limits[k] {
				out = append(out, limit.Change{Instance: s.instance, Kind: k, Amount: s.granted[k]})
			}
		}
	}
	return out
}

// outcomes takes in what came of changes.
func (l *loop) outcomes(all []enforce.Outcome) {
	for _, o := range all {
		s := l.find(o.Instance)
		if s == nil || errors.Is(o.Err, enforce.ErrNotRunning) {
			continue
		}
		l.meter.limited(o)
		switch {
		case o.Err != nil:
			s.fault(o.Err.Error())
		case o.Event != "":
			l.meter.differed(o.Kind)
			s.fault(o.Event)
		}
		if o.Err == nil && s.held.known && int(o.Kind) < resource.Kinds {
			s.held.Limits[o.Kind] = o.Held
		}
		if o.Kind == resource.Memory {
			s.held.Debt = o.Debt
		}
	}
}

// report logs the faults of the round that are new: once, not each second for as long as they last.
func (l *loop) report() {
	for _, s := range l.seats {
		text := strings.Join(s.faults, "; ")
		if text != s.reported && text != "" {
			l.log.Warn("limits are not as they were set", "instance", s.instance, "faults", text)
		}
		s.reported = text
	}
}

// fold adds the samples to the windows, and hands over those that are full. An instance that does not run is no example of
// its demand.
func (l *loop) fold(samples []collect.Sample) {
	now, working := l.now(), l.working()
	for _, sample := range samples {
		if !sample.Running {
			continue
		}
		m := collect.Measured{
			Instance: sample.Instance, Observation: sample.Observation, Demand: sample.Observation.Usage,
			Granted: resource.Uniform(resource.Unlimited), Scheduled: resource.Uniform(resource.Unlimited),
		}
		if s := l.find(sample.Instance); s != nil {
			m.Demand, m.Granted, m.Scheduled = s.demand, s.granted, s.scheduled
			m.Debt, m.Faults = s.held.Debt, slices.Clone(s.faults)
		}
		// While instances are moved, and while the agent and perhaps its host start, the host's own use is not recorded: what that takes
		// would be held for long as the host's own need.
		if (working || time.Since(l.began) < settling) && sample.Instance == proto.SystemInstance {
			l.folder.Void(now, m)
			continue
		}
		l.folder.Add(now, m)
	}
	if err := l.put(now, l.folder.Take(now)); err != nil {
		l.log.Error("samples could not be kept", "error", err)
	}
}

// readBack learns what the kernel holds for an instance now.
func (l *loop) readBack(ctx context.Context, s *seat) {
	s.held.known = false
	if !s.attached || l.record(s.instance).State == proto.FenceTarget { // which has not been started
		return
	}
	held, err := l.limits.ReadBack(ctx, s.instance)
	switch {
	case err == nil:
		s.held = holds{held, true}
	case !errors.Is(err, enforce.ErrNotRunning):
		s.fault(fmt.Sprintf("what is held can't be read: %v", err))
	}
}

func (l *loop) find(instance string) *seat {
	i, found := slices.BinarySearchFunc(l.seats, instance, func(s *seat, name string) int { return strings.Compare(s.instance, name) })
	if !found {
		return nil
	}
	return l.seats[i]
}
