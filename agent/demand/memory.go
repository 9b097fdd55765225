package demand

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

const (
	// cacheHalfLife is how long it takes for half of the proven cache to be doubted when nothing refaults. Doubted
	// cache is offered back; what was needed after all refaults, and is proven again. It is long against a daily
	// job's pauses between reads and short against a day.
	cacheHalfLife = 15 * time.Minute

	// stallProbe is by how much a full stall at memory.high raises the demand. How much a stalled process would
	// have taken can't be seen; a quarter more, granted and measured again, finds out in a few rounds.
	stallProbe = 0.25
)

// cache is the bytes of file cache that refaults have proven to be needed.
type cache float64

// next returns c after o.
//
// The kernel counts a page that comes back so soon that it would have stayed, had there been more memory, as a refault
// of the working set. When there are any, all the cache that is held was too little: what is needed is that and what had to
// be read again. It is not summed up over time: with a larger grant more is held and less refaults, and the two meet.
// Without refaults the proven part decays, and cache that went away unmissed was not needed.
func (c cache) next(o Observation) cache {
	c *= cache(math.Exp2(-o.Elapsed.Seconds() / cacheHalfLife.Seconds()))
	if !o.CacheFresh {
		return c
	}
	if o.Refaulted > 0 {
		return max(c, cache(o.Reclaimable+o.Refaulted))
	}
	return min(c, cache(o.Reclaimable))
}

// memory returns the demand for memory in bytes: what can't be reclaimed, the cache that is proven to be needed, and
// while memory.high stalls the instance a bounded probe for more.
func memory(o Observation, c cache) int64 {
	d := float64(Unreclaimable(o)) + float64(c)
	if o.HighEvents > 0 || o.OOMKills > 0 {
		d *= 1 + stallProbe*share(o.Pressure.Memory)
	}
	return amount(d)
}

// Unreclaimable returns the bytes of memory that the kernel could not take back from the instance without swapping.
func Unreclaimable(o Observation) int64 {
	return max(0, o.Usage[resource.Memory]-max(0, o.Reclaimable))
}
