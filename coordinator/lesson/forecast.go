package lesson

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Forecast returns a forecast as it is on another CPU: what it says of CPU is multiplied, and the quantiles are as much further from the median as the factor is
// unsure.
func (f Factor) Forecast(r proto.ForecastReply) proto.ForecastReply {
	if f.Same() || len(r.Profiles) == 0 {
		return r
	}
	middle := r.At(500)
	out := r
	out.Profiles = make([]timeline.Profile, len(r.Profiles))
	for i, p := range r.Profiles {
		z := math.Sqrt2 * math.Erfinv(2*float64(r.Quantiles[i])/1000-1)
		out.Profiles[i] = timeline.Combine(p, middle, func(v, m resource.Vector) resource.Vector {
			v[resource.CPU] = f.amount(v[resource.CPU], m[resource.CPU], z)
			return v
		}).Clip(p.Span())
	}
	return out
}

// amount returns a quantile on the other CPU, z deviations from the median: its distance and what the factor is unsure by are independent of each other.
func (f Factor) amount(v, middle int64, z float64) int64 {
	if v >= resource.Unlimited || middle >= resource.Unlimited {
		return v
	}
	m := f.By * float64(middle)
	far := math.Hypot(f.By*float64(v-middle), z*f.Band*m)
	if v < middle || z < 0 {
		far = -far
	}
	return int64(math.Ceil(max(0, m+far) - 1e-9))
}

// Amount returns an amount of CPU on the other CPU.
func (f Factor) Amount(v int64) int64 {
	if v >= resource.Unlimited {
		return v
	}
	return int64(math.Ceil(f.By*float64(v) - 1e-9))
}

// Change is a time since which an instance has run on another CPU.
type Change struct {
	At       timeline.Time
	From, To string // hosts
	Factor
}

// Says explains what is done with what was measured before.
func (c Change) Says() string {
	if c.By == 1 {
		return ""
	}
	return fmt.Sprintf("what was measured before it came to %s at %s counts %.3g times for CPU: the CPU of %s does %.2g of the work", c.To, c.At, c.By, c.To, 1/c.By)
}

// History returns a history as if the instance had always run on the CPU that it runs on now: so a move to another CPU is no shift of its level.
func History(h forecast.History, changes []Change) forecast.History {
	cpu := h[resource.CPU]
	if len(changes) == 0 || len(cpu.Values) == 0 {
		return h
	}
	cpu.Values = slices.Clone(cpu.Values)
	for _, c := range changes {
		if c.By == 1 {
			continue
		}
		for i := range cpu.Values {
			if cpu.Start.Add(time.Duration(i)*cpu.Step+cpu.Step/2) >= c.At { // most of the step
				break
			}
			cpu.Values[i] *= c.By
		}
	}
	h[resource.CPU] = cpu
	return h
}
