// Package demand estimates what an instance would have consumed without its limits, from what it consumed and what held it back.
//
// A limited instance shows what it was allowed to use. A forecast trained on that learns its own limit and never lets the
// instance grow. Every correction here is bounded, never lowers what was used (but for memory, where cache that nobody
// misses is no demand), and disappears when nothing holds the instance back, so that the feedback loop which acts on it
// converges: a raised limit makes the estimate better, not larger.
package demand

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

// Observation is what one interval, normally a second, showed of an instance.
type Observation struct {
	Elapsed time.Duration   // that it covers, by the monotonic clock; positive
	Usage   resource.Vector // rates are means over Elapsed; memory is all that is charged at its end, cache included

	Periods          uint64        // enforcement periods of cpu.max that had something to run
	ThrottledPeriods uint64        // of these, in which the quota ran out
	Throttled        time.Duration // that run queues were held back, summed over CPUs
	Pressure         Pressure      // 0 where the kernel does not measure it
	HostBusy         float64       // share of the host's CPU time that was in use, 0 to 1

	Reclaimable int64  // bytes of Usage's memory that the kernel can take back: file cache and slab
	CacheFresh  bool   // Reclaimable and Refaulted were read in this interval; they are read more rarely than the rest
	Refaulted   int64  // bytes read again since the last fresh reading because reclaim had taken them too early
	HighEvents  uint64 // times that memory.high made a process reclaim
	OOMKills    uint64 // processes that the kernel killed for memory

	DroppedTx, DroppedRx int64 // bits per second that the limits dropped; 0 where it is not known
}

// Pressure is the share of an interval in which at least one task waited for a resource ("some" of the kernel's
// pressure stall information), 0 to 1.
type Pressure struct{ CPU, Memory, IO float64 }

// State is what is known of an instance from one interval to the next. The zero State knows nothing.
type State struct {
	queued queued
	cache  cache
}

// Estimate returns the demand behind o. held is what the instance was granted, Unlimited where nothing limits it; most
// is what the host has, which demand never exceeds. s is what Estimate returned for the interval before.
func Estimate(o Observation, held, most resource.Vector, s State) (resource.Vector, State) {
	s = State{s.queued.next(o), s.cache.next(o)}
	d := o.Usage
	d[resource.CPU] = cpu(o, s.queued)
	d[resource.Memory] = memory(o, s.cache)
	for _, k := range []resource.Kind{resource.ReadIOPS, resource.WriteIOPS, resource.ReadBytes, resource.WriteBytes} {
		d[k] = storage(o.Usage[k], held[k], o.Pressure.IO)
	}
	d[resource.NetTx] = network(o.Usage[resource.NetTx], held[resource.NetTx], o.DroppedTx)
	d[resource.NetRx] = network(o.Usage[resource.NetRx], held[resource.NetRx], o.DroppedRx)
	return d.Min(most), s
}

// share returns x held between 0 and 1.
func share(x float64) float64 { return max(0, min(1, x)) }

// amount returns x, rounded, as an amount of a resource.
func amount(x float64) int64 { return int64(math.Round(max(0, min(x, float64(resource.Unlimited))))) }
