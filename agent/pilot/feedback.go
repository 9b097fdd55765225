package pilot

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// feedback is what was corrected of one instance's schedule.
type feedback struct {
	instance string
	boost    resource.Vector               // the allocation that demand asked for; 0 where the schedule is enough
	needed   [resource.Kinds]timeline.Time // when the boost was last needed
	lowered  [resource.Kinds]timeline.Time // when it was last lowered
}

// next returns the feedback of an instance after what was observed of it.
//
// An instance whose demand comes near its allocation gets its demand and a margin, and when it is held back already at least
// a part more than it has: demand behind a limit is an estimate from below. A boost that was not needed for a while goes back in
// parts to what the demand needs or the schedule says.
func (s State) next(seat *seat, now timeline.Time) feedback {
	f, known := s.of(seat.schedule.Instance)
	if !known {
		f = adopt(seat, now)
	}
	for _, k := range resource.All() {
		f.needed[k], f.lowered[k] = min(f.needed[k], now), min(f.lowered[k], now)
		if seat.running && seat.observed.Measured {
			f.act(seat, k, now)
		}
		most := seat.bound[k]
		if k == resource.Memory {
			most = min(most, max(seat.base[k], seat.ahead)) // what was lent goes back before it is promised to somebody
		}
		if f.boost[k] > most {
			if f.needed[k] == now {
				seat.reasons = append(seat.reasons, Reason{k, Bounded, f.boost[k], most})
			}
			f.boost[k] = most
		}
		if f.boost[k] <= seat.base[k] {
			f.boost[k] = 0
		}
	}
	return f
}

// adopt returns the feedback of an instance that is seen for the first time. What it holds beyond its schedule was
// granted by the agent that ran before this one: it decays like any other boost.
func adopt(seat *seat, now timeline.Time) feedback {
	f := feedback{instance: seat.schedule.Instance}
	for k := range f.boost {
		f.needed[k], f.lowered[k] = now, now
		// At its type's maximum it holds what the drop-in says: it was started since, and nobody granted it that.
		if held := seat.observed.Held[k]; seat.running && held < seat.schedule.Max[k] {
			f.boost[k] = min(held, seat.bound[k])
		}
	}
	return f
}

func (f *feedback) act(seat *seat, k resource.Kind, now timeline.Time) {
	o := &seat.observed
	granted, wants := o.Held[k], o.Demand[k]
	if granted >= resource.Unlimited {
		return
	}
	held := wants > granted
	if k == resource.Memory {
		stalled := o.Observation.HighEvents > 0 && o.Observation.Pressure.Memory >= stalledShare
		held = held || stalled || o.Observation.OOMKills > 0
	}
	need := plus(wants, marginPercent)
	if held || wants > granted/100*nearPercent+granted%100*nearPercent/100 {
		f.needed[k] = now
		f.boost[k] = max(f.boost[k], need)
		if held {
			f.boost[k] = max(f.boost[k], plus(granted, growPercent))
		}
		return
	}
	rest := max(need, seat.base[k])
	least := max(f.boost[k]/100*leastPercent, small(k))
	if f.boost[k]-need < least {
		f.needed[k] = now // all of it, or nearly: the way back has not begun
		return
	}
	if f.boost[k] <= rest || now.Sub(f.needed[k]) < dwell || now.Sub(f.lowered[k]) < decayEvery {
		return
	}
	f.lowered[k] = now
	part := (f.boost[k] - rest) / decayParts
	if part < least {
		part = f.boost[k] - rest
	}
	f.boost[k] -= part
}

// retain keeps memory from falling quickly: what the instance holds beyond its base stays but for a part. An instance that was
// not limited falls from what it uses. Nothing is kept above the bound.
func (s *seat) retain() {
	const k = resource.Memory
	if !s.running {
		return
	}
	held := s.observed.Held[k]
	if held >= resource.Unlimited {
		held = s.observed.Observation.Usage[k]
	}
	// A limit above what is used stalls nobody when it falls: that part stays only as long as nobody else needs it. A unit that was
	// started without its agent holds its type's maximum, whatever it uses.
	s.used = held
	if s.observed.Measured {
		s.used = min(held, s.observed.Observation.Usage[k])
	}
	to := min(held-max(held/memoryParts, leastFall), s.bound[k])
	if to > s.base[k] {
		s.retained = to
		if to > s.wanted[k] {
			s.reasons = append(s.reasons, Reason{k, Falling, s.base[k], to})
		}
	}
}
