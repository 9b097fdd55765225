package agent

import (
	"fmt"
	"sync"
	"time"

	"github.com/glidepath/glidepath/agent/pilot"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// jump is the disagreement between two exchanges that drift does not explain: one of the clocks was set, or this host's
// monotonic clock stood still, as it does while a machine is suspended or put back to a saved state.
const jump = time.Second

// clock tells the coordinators' time. Between two exchanges with them it runs by this host's monotonic clock, so that a
// step of the wall clock moves no limit.
type clock struct {
	mu     sync.Mutex
	anchor time.Time // wall time and monotonic time that belong together
	offset pilot.Offset
}

func newClock() *clock { return &clock{anchor: time.Now()} }

// now returns the coordinators' time, as far as it is known.
func (c *clock) now() timeline.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset.Correct(c.local(time.Now()))
}

// missing states that this host's clock can't be followed, if so.
func (c *clock) missing() []proto.Missing {
	ahead, trusted := c.ahead()
	if trusted {
		return nil
	}
	by, where := ahead, "behind"
	if ahead < 0 {
		by, where = -ahead, "ahead of"
	}
	return []proto.Missing{{
		What:   proto.LacksClock,
		Remedy: fmt.Sprintf("it is %s %s theirs: set it right, or theirs, and have chrony or systemd-timesyncd keep it (timedatectl says whether one does)", by.Round(time.Second), where),
	}}
}

// own returns the time by this host's clock alone.
func (c *clock) own() timeline.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.local(time.Now())
}

func (c *clock) local(t time.Time) timeline.Time {
	return timeline.Of(c.anchor).Add(t.Sub(c.anchor))
}

// answered takes in what a coordinator's answer says of its clock. Where the clocks jumped against each other, or are too far
// apart to be corrected, the host's wall clock is read anew: somebody may have set it right.
func (c *clock) answered(r proto.HelloReply, sent time.Time, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	exchange := func(o pilot.Offset) pilot.Offset {
		return o.Observe(c.local(sent), r.ReceivedAt, c.local(sent.Add(took)))
	}
	was, wasWrongBy := c.offset.Estimate()
	is, isWrongBy := exchange(pilot.Offset{}).Estimate()
	known := c.offset != (pilot.Offset{})
	if known && c.offset.Trusted() && max(is-was, was-is) <= wasWrongBy+isWrongBy+jump {
		c.offset = exchange(c.offset)
		return
	}
	c.anchor = time.Now()
	c.offset = exchange(pilot.Offset{})
}

// ahead returns by how much the coordinators' clock is ahead, and whether that is little enough to be corrected.
func (c *clock) ahead() (by time.Duration, trusted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	by, _ = c.offset.Estimate()
	return by, c.offset.Trusted()
}
