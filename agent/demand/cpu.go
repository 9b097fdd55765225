package demand

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

const (
	// saturatedFrom is the share of the host's CPU time from which waiting for a CPU is put down to the neighbours.
	// Below it there is an idle CPU to be had, and waiting is the instance's own threads queueing behind each other.
	saturatedFrom = 0.9

	// mostHeld bounds the share of time that an instance may be taken to have been held back: it bounds the
	// correction to a hundredfold where nothing else does.
	mostHeld = 0.99

	// queuedHalfLife is how long the mean of what the kernel reports as throttled time looks back.
	queuedHalfLife = 3 * time.Second
)

// queued is the recent past of how many run queues were held back, older intervals weighing less.
type queued struct {
	seconds float64 // of queues held back
	weight  float64 // seconds looked back on
}

// next returns q after o.
func (q queued) next(o Observation) queued {
	old := math.Exp2(-max(0, o.Elapsed.Seconds()) / queuedHalfLife.Seconds())
	return queued{q.seconds*old + o.Throttled.Seconds(), q.weight*old + o.Elapsed.Seconds()}
}

func (q queued) mean() float64 {
	if q.weight <= 0 {
		return 0
	}
	return q.seconds / q.weight
}

// heldBack returns how many run queues were held back on average.
func (o Observation) heldBack() float64 { return max(0, o.Throttled.Seconds()/o.Elapsed.Seconds()) }

// cpu returns the demand for CPU in thousandths of a core.
//
// Let u be the cores used, T the run queues held back, and w the share of wall time in which the instance was held
// back. Two bounds from two views of the same work meet here:
//
//   - Nothing more than what stood waiting could have run: demand ≤ u + T. For work that never pauses this is exact.
//   - Work that pauses by itself (computes, waits for a client or a disk, computes again) would have gone through the
//     same cycle in the time that is left when the waiting is cut out: demand = u ÷ (1 − w). This is the response-time
//     law of a closed system with think time (Denning and Buzen, "The Operational Analysis of Queueing Network
//     Models", 1978).
//
// The smaller of the two is taken; for work that never pauses they agree. Two cases are overestimated, by up to u + T,
// until a larger grant has made the throttling rare: several clients in parallel, because w counts a time in which any of
// them waited for all; and requests that arrive whether or not earlier ones were served, where u + T is what serving
// them without delay takes.
//
// The kernel does not tell w. It is at most T (at least one queue was held back) and at most the throttled share of the
// periods: the smaller is taken. CPU pressure is no such bound: it weighs CPUs by how busy they are, and counts a fraction
// for a task that moves between them.
//
// The kernel counts T when a queue is let go, so a second may show some of its neighbours' T. The larger of this interval's and the
// recent mean is taken: too much for a moment is cheaper than too little.
//
// Waiting without throttling, which is what CPU pressure tells, counts only as far as the host's CPUs are saturated, as one
// core that was missing.
func cpu(o Observation, recent queued) int64 {
	used := o.Usage[resource.CPU]
	if o.Elapsed <= 0 || used <= 0 {
		return max(0, used)
	}
	waiting := max(o.heldBack(), recent.mean())
	held := min(waiting, throttledShare(o))
	contended := share(o.Pressure.CPU) * share((o.HostBusy-saturatedFrom)/(1-saturatedFrom))
	held = min(mostHeld, max(held, contended))
	u := float64(used)
	return max(used, amount(min(u+1000*max(waiting, contended), u/(1-held))))
}

func throttledShare(o Observation) float64 {
	if o.Periods == 0 {
		return 0
	}
	return share(float64(o.ThrottledPeriods) / float64(o.Periods))
}
