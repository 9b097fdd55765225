package collect

import (
	"time"

	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/internal/resource"
)

// counters is what the kernel counts of an instance, as far as it only grows. A smaller figure than before means that
// counting began anew: the unit was started again, or a program that counts was replaced.
type counters struct {
	cpu                            uint64 // microseconds
	periods, throttledPeriods      uint64
	throttled                      uint64 // microseconds over all CPUs
	stallCPU, stallMemory, stallIO uint64 // microseconds
	readOps, writeOps              uint64
	readBytes, writeBytes          uint64
	high, oomKills                 uint64
	netTx, netRx                   uint64 // bytes
	droppedTx, droppedRx           uint64 // bytes
}

// since returns how much a counter has grown; what it shows when it began anew.
func since(now, before uint64) uint64 {
	if now >= before {
		return now - before
	}
	return now
}

// perSecond returns n events in elapsed as a rate, rounded. A rate that no hardware reaches is cut below Unlimited, which is
// no amount of anything.
func perSecond(n uint64, elapsed time.Duration) int64 {
	return int64(min(float64(n)/elapsed.Seconds()+0.5, float64(resource.Unlimited-1)))
}

// observe returns what happened between before and now.
func observe(now, before counters, elapsed time.Duration) demand.Observation {
	o := demand.Observation{
		Elapsed:          elapsed,
		Periods:          since(now.periods, before.periods),
		ThrottledPeriods: since(now.throttledPeriods, before.throttledPeriods),
		Throttled:        time.Duration(since(now.throttled, before.throttled)) * time.Microsecond,
		HighEvents:       since(now.high, before.high),
		OOMKills:         since(now.oomKills, before.oomKills),
		DroppedTx:        perSecond(8*since(now.droppedTx, before.droppedTx), elapsed),
		DroppedRx:        perSecond(8*since(now.droppedRx, before.droppedRx), elapsed),
	}
	stalled := func(now, before uint64) float64 {
		return min(1, float64(since(now, before))/float64(elapsed.Microseconds()))
	}
	o.Pressure = demand.Pressure{
		CPU:    stalled(now.stallCPU, before.stallCPU),
		Memory: stalled(now.stallMemory, before.stallMemory),
		IO:     stalled(now.stallIO, before.stallIO),
	}
	o.Usage = resource.Vector{
		resource.CPU:        (perSecond(since(now.cpu, before.cpu), elapsed) + 500) / 1000,
		resource.ReadIOPS:   perSecond(since(now.readOps, before.readOps), elapsed),
		resource.WriteIOPS:  perSecond(since(now.writeOps, before.writeOps), elapsed),
		resource.ReadBytes:  perSecond(since(now.readBytes, before.readBytes), elapsed),
		resource.WriteBytes: perSecond(since(now.writeBytes, before.writeBytes), elapsed),
		resource.NetTx:      perSecond(8*since(now.netTx, before.netTx), elapsed),
		resource.NetRx:      perSecond(8*since(now.netRx, before.netRx), elapsed),
	}
	return o
}
