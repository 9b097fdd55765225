package demand

import (
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

// A cfs is a dumb twin of the kernel's CFS bandwidth control: tasks on CPUs that draw from a quota which is refilled each
// period, in ticks of a millisecond. It counts what cpu.stat and cpu.pressure count.
type cfs struct {
	cpus  int
	quota int // ticks of CPU per period; 0 is unlimited
	tasks []task

	ran, queued, waited, ticks int // queued: throttled run queues × ticks; waited: ticks with a task that wanted a CPU
	periods, throttled         int
}

const period = 100 // ticks: cpu.max's 100 ms

// A task says at each tick whether it wants a CPU, and is told whether it ran.
type task interface {
	wants(tick int) bool
	run(tick int)
}

// busy never pauses.
type busy struct{}

func (busy) wants(int) bool { return true }
func (busy) run(int)        {}

// cycle computes, then pauses by itself: a request, and the client's time to think about the answer.
type cycle struct {
	compute, pause int
	left, until    int
}

func (c *cycle) wants(tick int) bool {
	if c.left == 0 && tick >= c.until {
		c.left = c.compute
	}
	return c.left > 0
}

func (c *cycle) run(tick int) {
	if c.left--; c.left == 0 {
		c.until = tick + 1 + c.pause
	}
}

// arrivals gets work of the same size at fixed times, whether or not it is done with what came before.
type arrivals struct {
	every, work int
	left        int
}

func (a *arrivals) wants(tick int) bool {
	if tick%a.every == 0 {
		a.left += a.work
	}
	return a.left > 0
}

func (a *arrivals) run(int) { a.left-- }

// second runs the twin for a second, after ten that are not counted, and returns what an agent would have observed.
func (s *cfs) second() Observation {
	const warm, length = 10_000, 1000
	pool := s.quota
	var active, out bool
	for tick := range warm + length {
		if tick == warm {
			s.ran, s.queued, s.waited, s.periods, s.throttled, s.ticks = 0, 0, 0, 0, 0, length
		}
		if tick%period == 0 {
			if active {
				s.periods++
			}
			if out {
				s.throttled++
			}
			active, out, pool = false, false, s.quota
		}
		wanting, ran := 0, 0
		for i := range s.tasks { // the first in turn changes with each tick: the CPUs are shared in time
			t := s.tasks[(i+tick)%len(s.tasks)]
			if !t.wants(tick) {
				continue
			}
			wanting++
			if ran < s.cpus && (s.quota == 0 || pool > 0) {
				t.run(tick)
				ran++
				pool--
			}
		}
		s.ran += ran
		active = active || wanting > 0
		if wanting > ran {
			s.waited++
			if s.quota > 0 && pool <= 0 {
				out = true
				s.queued += min(wanting, s.cpus) - ran
			}
		}
	}
	if out {
		s.throttled++
	}
	if active {
		s.periods++
	}
	return Observation{
		Elapsed:          time.Second,
		Usage:            resource.Vector{resource.CPU: int64(s.ran)},
		Periods:          uint64(s.periods),
		ThrottledPeriods: uint64(s.throttled),
		Throttled:        time.Duration(s.queued) * time.Millisecond,
		Pressure:         Pressure{CPU: float64(s.waited) / float64(s.ticks)},
	}
}
