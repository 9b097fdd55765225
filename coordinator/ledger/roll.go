package ledger

import "github.com/glidepath/glidepath/internal/timeline"

// A coarse step that comes nearer is split on every host at the same instant, as what fits must not depend on who is asked. That is some tens of
// microseconds for each, so it is done before, a few hosts at a time, and put in place when the time has come.
const (
	aheadSteps = 2  // base steps before the split in which hosts are rolled ahead; for so long their sums are there twice
	aheadOnce  = 16 // hosts that one call rolls ahead
)

// ahead has hosts as they will be after the next split. What they are follows from the hosts as they are: whether one is here changes
// only when the work is done.
type ahead struct {
	begun bool
	hosts map[string]*host
	queue []string // hosts that are to be rolled: all at first, then those that have changed since
}

// changed says that a host is not any more what it was rolled ahead from.
func (a *ahead) changed(name string) {
	if _, there := a.hosts[name]; there {
		delete(a.hosts, name)
		a.queue = append(a.queue, name)
	}
}

// Roll moves the grid forward to now. What is reserved stays reserved, and nothing that did not fit fits worse. A time
// before the grid's start changes nothing.
func (l *Ledger) Roll(now timeline.Time) {
	if was, to := l.layout, l.grid.at(now); to.start() > was.start() {
		l.layout = to
		l.move(was, to)
	}
	l.rollAhead()
}

// move brings the hosts from one layout to a later one.
func (l *Ledger) move(was, to layout) {
	ready := l.ahead.hosts
	if to.base != was.base {
		l.ahead = ahead{}
	}
	if to.base != was.next().base {
		ready = nil
	}
	l.replaceHosts(func(h *host) *host {
		if n := ready[h.capacity.Host]; n != nil {
			h = n
		} else if to.base != was.base {
			h = l.own(h)
			h.roll(was, to)
			h.draw(l.z, 0, numSteps)
		}
		// What was not short does not become it: no step needs more than the one that it was a part of. Where that one was one in which the host is away it may.
		if h.short != nil || len(h.capacity.Away) > 0 {
			h = l.own(h)
			h.short = h.shortage(to, l.z)
		}
		return h
	})
}

// rollAhead rolls some hosts ahead, where the next split is near.
func (l *Ledger) rollAhead() {
	if l.layout.first < coarseLength-aheadSteps {
		return
	}
	a := &l.ahead
	if !a.begun {
		*a = ahead{begun: true, hosts: make(map[string]*host, l.hosts.Len()), queue: make([]string, 0, l.hosts.Len())}
		l.hosts.Ascend(func(p place) bool {
			a.queue = append(a.queue, p.name)
			return true
		})
	}
	some := min(aheadOnce, len(a.queue))
	for _, name := range a.queue[:some] {
		if h, there := l.host(name); there && a.hosts[name] == nil {
			n := h.clone()
			n.owner = nil // it is nobody's before it is put in place
			n.roll(l.layout, l.layout.next())
			n.draw(l.z, 0, numSteps)
			a.hosts[name] = n
		}
	}
	a.queue = a.queue[some:]
}
