package agent

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/agent/collect"
	"github.com/glidepath/glidepath/agent/pilot"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// board is what the loop shows to others: what each instance is granted and demands. Its methods may be called concurrently.
type board struct {
	mu        sync.Mutex
	version   proto.DocumentVersion // that was followed last
	issued    timeline.Time         // when its home wrote it; 0 without one
	instances map[string]shown
	// Of all instances in this life of the agent, those included that are gone: sums that fall would be taken for a restart.
	throttled, stalled time.Duration
}

// shown is an instance as of the last round.
type shown struct {
	instance, driver                   string
	mode                               proto.Mode
	scheduled, granted, held, demanded resource.Vector
	free                               bool          // no limit of ours is on it
	measured                           bool          // in the last round that took samples
	throttled                          time.Duration // in this life of the agent
	lately                             lately
	debt                               int64
	reasons                            []string
}

// lately is how long an instance was throttled in the last samples, the newest last: about a window of them.
type lately [proto.WindowLength * time.Millisecond / collect.Interval]time.Duration

func (l lately) add(d time.Duration) lately {
	copy(l[:], l[1:])
	l[len(l)-1] = d
	return l
}

func (l lately) sum() (all time.Duration) {
	for _, d := range l {
		all += d
	}
	return all
}

func newBoard() *board { return &board{instances: map[string]shown{}} }

// publish shows what a round decided.
func (l *loop) publish(document proto.Document, d pilot.Decision, measured bool) {
	b := l.board
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version, b.issued = document.Version, document.IssuedAt
	for _, a := range d.Allocations {
		s := l.find(a.Instance)
		if s == nil {
			continue
		}
		at := b.instances[s.instance]
		at.instance, at.driver, at.mode = s.instance, s.driver, s.mode
		at.scheduled, at.granted = s.scheduled, s.granted
		at.held, at.demanded, at.debt = s.heldOrUnlimited(), s.demand, s.held.Debt
		at.free = s.attached && !s.target.Limited
		if measured {
			at.measured = s.measured
		}
		if measured && s.measured {
			at.throttled += s.observation.Throttled
			b.throttled += s.observation.Throttled
			b.stalled += time.Duration(s.observation.Pressure.Memory * float64(s.observation.Elapsed))
			at.lately = at.lately.add(min(s.observation.Throttled, s.observation.Elapsed)) // as a window counts it
		}
		at.reasons = at.reasons[:0:0]
		for _, r := range a.Reasons {
			at.reasons = append(at.reasons, r.String())
		}
		b.instances[s.instance] = at
	}
}

func (b *board) drop(instance string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.instances, instance)
}

// of returns what is shown of an instance.
func (b *board) of(instance string) (shown, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.instances[instance]
	return s, ok
}

// followed returns the document that is followed, and when it was written; 0 without one.
func (b *board) followed() (proto.DocumentVersion, timeline.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version, b.issued
}

// heldBack returns how long all instances were throttled, and waited for memory.
func (b *board) heldBack() (throttled, stalled time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.throttled, b.stalled
}

// all returns everything that is shown, sorted by instance.
func (b *board) all() (proto.DocumentVersion, []shown) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]shown, 0, len(b.instances))
	for _, s := range b.instances {
		out = append(out, s)
	}
	slices.SortFunc(out, func(x, y shown) int { return strings.Compare(x.instance, y.instance) })
	return b.version, out
}
