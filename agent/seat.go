package agent

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/agent/collect"
	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

const (
	lookAgain   = 2 * time.Second  // how often a unit that does not run is asked for its cgroup
	attachAgain = 5 * time.Second  // how long a failed attachment rests
	attachTime  = 45 * time.Second // systemd's reload, on a busy host
	slowAttach  = time.Second      // after which the watchdog hears that it goes on
)

// seat is an instance that the loop steers.
type seat struct {
	instance string
	driver   string
	mode     proto.Mode
	target   enforce.Target
	attached bool
	asserted bool      // its limits were set once in this life of the agent
	retry    time.Time // when a failed attachment is tried again

	cgroup             string    // below the mount point; "" until it has run once
	looked             time.Time // when systemd was asked for it
	running, measured  bool
	observation        demand.Observation // of the last sample
	estimate           demand.State
	demand             resource.Vector
	granted, scheduled resource.Vector
	held               holds
	faults             []string
	reported           string // faults that were logged
}

// holds is what the kernel holds; not known while the instance does not run.
type holds struct {
	enforce.Held
	known bool
}

func (s *seat) heldOrUnlimited() resource.Vector {
	if s.held.known {
		return s.held.Limits
	}
	return resource.Uniform(resource.Unlimited)
}

// fault notes what is wrong with the instance's limits in this round.
func (s *seat) fault(text string) {
	if !slices.Contains(s.faults, text) {
		s.faults = append(s.faults, text)
	}
}

// seat brings the seats in line with the document and the ownership records: which instances are measured and limited here. It reports whether
// that is other than before.
func (l *loop) seat(ctx context.Context) (changed bool) {
	document, _ := l.document()
	var next []*seat
	for i := range document.Instances {
		schedule := &document.Instances[i]
		if schedule.Spec.Service == nil || !seated(l.record(schedule.Instance).State) {
			continue
		}
		s := l.find(schedule.Instance)
		if s == nil {
			s = &seat{instance: schedule.Instance}
		}
		was := *s
		s.driver, s.mode = schedule.Spec.Driver, schedule.Spec.Mode
		s.target = enforce.Target{
			Instance: schedule.Instance, Unit: schedule.Spec.Service.Unit, Data: schedule.Spec.Service.Data, Class: schedule.Spec.Class,
			Limited: schedule.Limited && !document.Paused, Envelope: schedule.Max,
		}
		changed = changed || !s.attached || s.mode != was.mode || !reflect.DeepEqual(s.target, was.target)
		next = append(next, s)
	}
	slices.SortFunc(next, func(a, b *seat) int { return strings.Compare(a.instance, b.instance) })
	before := l.seats
	l.seats = next
	for _, s := range next {
		l.attach(ctx, s)
	}
	for _, s := range before {
		if !slices.Contains(next, s) {
			changed = true
			l.leave(ctx, s)
		}
	}
	l.track(ctx)
	return changed
}

// seated reports whether an instance in this state is limited here. A target that is being prepared has nothing running
// yet: its drop-in waits for the start.
func seated(s proto.FenceState) bool {
	return s == proto.FenceOwner || s == proto.FenceStarting || s == proto.FenceTarget
}

// attach makes sure that an instance is limited as its target says; where it is already, nothing is touched.
func (l *loop) attach(ctx context.Context, s *seat) {
	if time.Now().Before(s.retry) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	began := time.Now()
	done, err := l.limits.Attach(ctx, s.target)
	if time.Since(began) > slowAttach {
		l.alive()
	}
	if err != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			l.log.Error("an instance can't be limited", "instance", s.instance, "error", err, "retry_in", attachAgain)
		}
		s.attached, s.retry = false, time.Now().Add(attachAgain)
		return
	}
	s.attached = true
	for _, note := range done.Notes {
		l.log.Warn("an instance can't be limited in full", "instance", s.instance, "note", note)
	}
	// The record may have changed meanwhile, and whoever changed it have detached the instance before it was attached again.
	if !seated(l.record(s.instance).State) {
		l.leave(ctx, s)
	}
}

// leave ends the loop's part in an instance by what its record says. What is frozen keeps its limits: it may thaw.
func (l *loop) leave(ctx context.Context, s *seat) {
	s.attached, s.held.known = false, false
	l.board.drop(s.instance)
	var err error
	switch l.record(s.instance).State {
	case proto.FenceNone:
		err = l.limits.Release(ctx, s.target)
	case proto.FenceRetired:
		err = l.limits.Detach(ctx, s.instance)
	}
	if err != nil && !errors.Is(err, enforce.ErrNotAttached) {
		l.log.Error("the limits of an instance that left can't be removed", "instance", s.instance, "error", err)
	}
}

// track tells the sampler where the instances are. A unit that is started again has its cgroup at the same place; one that
// was moved to another slice is found when it runs there.
func (l *loop) track(ctx context.Context) {
	var targets []collect.Target
	for _, s := range l.seats {
		if !s.running && time.Since(s.looked) >= lookAgain {
			s.looked = time.Now()
			group, err := l.cgroup(ctx, s.target.Unit)
			if err != nil && !errors.Is(err, systemd.ErrNoUnit) && ctx.Err() == nil {
				l.log.Warn("a unit can't be looked up", "instance", s.instance, "unit", s.target.Unit, "error", err)
			}
			if path := strings.TrimPrefix(group, "/"); path != "" {
				s.cgroup = path
			}
		}
		if s.cgroup != "" {
			targets = append(targets, collect.Target{Instance: s.instance, Cgroup: s.cgroup})
		}
	}
	l.sampler.Track(targets)
}
