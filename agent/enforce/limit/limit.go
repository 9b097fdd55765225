// Package limit is the vocabulary between what decides on limits and what sets them.
package limit

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// Change sets the limit of one resource of one instance.
type Change struct {
	Instance string
	Kind     resource.Kind
	Amount   int64 // in the unit of Kind; resource.Unlimited takes the limit off
}

// least holds the smallest amount that is ever set. Below it the kernel refuses the value, or the instance no longer
// gets far enough to be stopped.
var least = resource.Vector{
	resource.CPU: 10, resource.Memory: 8 << 20,
	resource.ReadIOPS: 10, resource.WriteIOPS: 10, resource.ReadBytes: 256 << 10, resource.WriteBytes: 256 << 10,
	resource.NetTx: 100_000, resource.NetRx: 100_000,
}

// Settable returns the amount that is set in the kernel where amount is granted: at least the smallest that makes sense,
// and never more than the envelope where that is larger.
func Settable(k resource.Kind, amount, envelope int64) int64 {
	return max(min(amount, envelope, resource.Unlimited), least[k])
}

// MemoryMargin returns how far memory.max stands above memory.high, for a memory.high of high bytes: an eighth, at least 16 MiB, at
// most 256 MiB. memory.high is the limit; it slows an instance down. memory.max is the stop behind it, which kills, and
// must not be reached by what memory.high lets pass while it reclaims.
func MemoryMargin(high int64) int64 { return min(max(high/8, 16<<20), 256<<20) }

// CPUWeight returns cpu.weight (1 to 10000, 100 by default) of a class.
func CPUWeight(c proto.Class) int64 {
	switch c {
	case proto.Critical:
		return 400
	case proto.BestEffort:
		return 25
	default:
		return 100
	}
}

// ProtectedShare returns how much of its memory limit an instance of a class is protected by memory.low, in percent.
func ProtectedShare(c proto.Class) int64 {
	switch c {
	case proto.Critical:
		return 90
	case proto.BestEffort:
		return 0
	default:
		return 50
	}
}
