package demand

import "github.com/glidepath/glidepath/internal/resource"

const (
	// saturatedFrom is the share of the host's CPU time from which waiting for a CPU is put down to the neighbours.
	// Below it there is an idle CPU to be had, and waiting is the instance's own threads queueing behind each other.
	saturatedFrom = 0.9

	// mostHeld bounds the share of time that an instance may be taken to have been held back: it bounds the
	// correction to a hundredfold where nothing else does.
	mostHeld = 0.99
)

// cpu returns the demand for CPU in thousandths of a core.
//
// Let u be the cores used, T the cores' worth of run queues held back, and w the share of wall time in which the
// instance was held back. Two bounds from two views of the same work meet here:
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
// The kernel does not tell w. It is at most the throttled share of the periods, at most T (at least one queue was held
// back), and at most the CPU pressure (a held-back task counts as waiting): the least of the three is taken.
//
// Waiting without throttling counts only as far as the host's CPUs are saturated, as one core that was missing.
func cpu(o Observation) int64 {
	used := o.Usage[resource.CPU]
	seconds := o.Elapsed.Seconds()
	if seconds <= 0 || used <= 0 {
		return max(0, used)
	}
	queued := max(0, o.Throttled.Seconds()/seconds)
	waited := share(o.Pressure.CPU)

	held := min(queued, throttledShare(o))
	contended := 0.0
	if !o.NoPressure {
		held = min(held, waited)
		contended = waited * share((o.HostBusy-saturatedFrom)/(1-saturatedFrom))
	}
	held = min(mostHeld, max(held, contended))
	u := float64(used)
	return max(used, amount(min(u+1000*max(queued, contended), u/(1-held))))
}

func throttledShare(o Observation) float64 {
	if o.Periods == 0 {
		return 0
	}
	return share(float64(o.ThrottledPeriods) / float64(o.Periods))
}
