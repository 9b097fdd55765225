package demand

import "github.com/glidepath/glidepath/internal/resource"

const (
	// nearLimit is the share of a limit from which a flow counts as held back by it, fully so at the limit itself.
	// io.max and paced transmission hold a flow within some percent below their rate.
	nearLimit = 0.9

	// netProbe is by how much a flow that fills its rate is taken to want more. A paced sender shows nothing of what
	// waits behind it.
	netProbe = 0.25
)

// storage returns the demand for operations or bytes per second of storage. An instance at its limit that waited for
// storage the whole time is taken to want twice as much, one that waited half of the time half as much again: waiting for the limit
// can't be told from waiting for the disk, so the correction is a bounded probe, repeated with the next interval.
func storage(used, held int64, pressure float64) int64 {
	return max(used, amount(float64(used)*(1+atLimit(used, held)*share(pressure))))
}

// network returns the demand for bits per second. What the limit dropped was wanted; up to as much as was let through,
// because a drop that is sent again and dropped again is counted each time.
func network(used, held, dropped int64) int64 {
	probe := amount(float64(used) * netProbe * atLimit(used, held))
	return used + max(probe, min(max(0, dropped), used))
}

// atLimit returns how far a flow is held back by its limit, 0 to 1.
func atLimit(used, held int64) float64 {
	if held <= 0 || held >= resource.Unlimited {
		return 0
	}
	return share((float64(used)/float64(held) - nearLimit) / (1 - nearLimit))
}
