package pilot

import (
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// How feedback and the order of writes behave. What an instance may get in all is not decided here but by its document.
const (
	// giveBack is how long before a step down its instance falls when somebody's rise needs what it frees: one round to write,
	// one to measure.
	giveBack = 2 * time.Second

	// nearPercent of the allocation is where feedback acts. Above it the next burst is cut; an allocation at a high
	// quantile of the forecast is rarely that full.
	nearPercent = 95

	// marginPercent is what feedback grants beyond the demand. It leaves demand well below nearPercent, so that feedback that
	// has acted rests: 100/112 is 89 %.
	marginPercent = 12

	// growPercent is the least by which an allocation that is too small is raised each round. Where the demand can't be
	// seen behind the limit, five rounds triple the allocation.
	growPercent = 25

	// stalledShare of time spent waiting for memory, while memory.high acts, is trouble. Reclaim of cold cache at memory.high
	// is what the limit is for, and costs less.
	stalledShare = 0.01

	// dwell is how long a raise lasts after it was last needed, and decayEvery how long each part of its way back lasts.
	dwell      = 30 * time.Second
	decayEvery = 10 * time.Second

	// decayParts: a part of the way back gives up one of so many parts of what is not needed; when a part would be less than leastPercent of
	// the allocation, or small, all that is left goes at once, so that limits are not rewritten for nothing.
	decayParts   = 4
	leastPercent = 2

	// Memory falls by one of memoryParts each round, at least by leastFall bytes: it halves in 22 seconds. A limit
	// that falls faster than the kernel reclaims stalls the instance.
	memoryParts = 32
	leastFall   = 4 << 20
)

// grain is the difference between two amounts below which they are the same limit: the kernel keeps memory in pages.
func grain(k resource.Kind) int64 {
	if k == resource.Memory {
		return 64 << 10
	}
	return 1
}

// small is the amount of a resource that is not worth a limit of its own.
func small(k resource.Kind) int64 {
	switch k {
	case resource.CPU:
		return 10 // thousandths of a core
	case resource.Memory:
		return 1 << 20
	case resource.ReadIOPS, resource.WriteIOPS:
		return 5
	case resource.ReadBytes, resource.WriteBytes:
		return 128 << 10
	default:
		return 1_000_000 // bits per second
	}
}

// lead is how long before a step down an instance gives back.
func lead(k resource.Kind) time.Duration {
	if k == resource.Memory {
		return proto.MemoryGiveBack
	}
	return giveBack
}

// plus returns n and p percent of it, at most Unlimited.
func plus(n, p int64) int64 {
	if n >= resource.Unlimited {
		return resource.Unlimited
	}
	return min(resource.Unlimited, n+(n*p+99)/100) // n·p < 2^57
}
