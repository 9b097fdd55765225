package proto

import (
	"strconv"
	"strings"

	"github.com/glidepath/glidepath/internal/timeline"
)

const rebalancePlans = "rebalance-"

// RebalanceID returns the identifier of a plan that a rebalance suggests for an instance. What it moves is told by its migration for as long as that is kept, which
// may be longer than the plan is.
func RebalanceID(instance string, now timeline.Time) string {
	return rebalancePlans + strconv.FormatInt(int64(now), 36) + "-" + instance[:min(len(instance), MaxNameLength-len(rebalancePlans)-14)]
}

// OfRebalance reports whether a stored plan with the identifier is one that a rebalance has suggested.
func OfRebalance(plan string) bool { return strings.HasPrefix(plan, rebalancePlans) }
