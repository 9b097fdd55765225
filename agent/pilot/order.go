package pilot

import (
	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/internal/resource"
)

// admit sets what every seat gets now: falls at once, rises as far as there is room. What others are about to give back is no
// room until it is measured, so a rise that needs it waits a round, and longer for memory that can't be reclaimed.
func admit(seats []seat, allocatable resource.Vector) {
	for _, k := range resource.All() {
		room := room(seats, k, allocatable[k])
		for i := range seats {
			seats[i].final[k] = seats[i].start(k)
		}
		// What was promised comes before what feedback asks for, and the classes in order.
		for _, upTo := range []func(*seat) int64{
			func(s *seat) int64 { return min(s.goal[k], s.scheduled[k]) },
			func(s *seat) int64 { return s.goal[k] },
		} {
			for class := range ranks {
				for i := range seats {
					s := &seats[i]
					if rise := upTo(s) - s.final[k]; s.limited && rise > 0 && rank(s.schedule.Spec.Class) == class {
						n := min(rise, room)
						s.final[k] += n
						room = take(room, n)
					}
				}
			}
		}
		for i := range seats {
			if s := &seats[i]; s.limited && s.final[k] < s.goal[k] {
				s.reasons = append(s.reasons, Reason{k, Waiting, s.goal[k], s.final[k]})
			}
		}
	}
}

// start returns what an instance has before any rise: what it holds, or its goal where that is less or it holds nothing yet.
func (s *seat) start(k resource.Kind) int64 {
	switch {
	case !s.limited:
		return resource.Unlimited
	case !s.running || s.same(k):
		return s.goal[k]
	default:
		return min(s.observed.Held[k], s.goal[k])
	}
}

// same reports whether the kernel can't tell what is held from the goal. What is above the bound is never the same.
func (s *seat) same(k resource.Kind) bool {
	held := s.observed.Held[k]
	return s.limited && s.running && held <= s.bound[k] && max(held-s.goal[k], s.goal[k]-held) < grain(k)
}

// room returns how much the instances may rise together. The ledger may have pooled what it promised of everything but
// memory: where the goals come to more than the host has, they are the limit.
func room(seats []seat, k resource.Kind, allocatable int64) int64 {
	var goals, taken int64
	for i := range seats {
		goals = min(resource.Unlimited, goals+seats[i].goal[k])
		taken = min(resource.Unlimited, taken+seats[i].taken(k))
	}
	if k.Poolable() {
		allocatable = max(allocatable, goals)
	}
	if allocatable >= resource.Unlimited {
		return resource.Unlimited
	}
	return max(0, allocatable-taken)
}

// taken returns how much of the host an instance takes before any change: what it holds and could not give back. One that is not
// limited takes what is reserved for it; one that is about to be limited what it uses, at least its goal.
func (s *seat) taken(k resource.Kind) int64 {
	if !s.limited || !s.running {
		return s.goal[k]
	}
	held := s.observed.Held[k]
	if held >= resource.Unlimited {
		held = s.goal[k]
	}
	if k == resource.Memory {
		held = max(held, demand.Unreclaimable(s.observed.Observation))
	}
	return min(resource.Unlimited, held)
}

// order returns the changes: limits that are lifted, falls, then rises by class, so that what is granted in all is never
// more on the way than at both ends.
func order(seats []seat) []Change {
	var changes []Change
	add := func(s *seat, from, to resource.Vector) {
		if s.running && from != to {
			changes = append(changes, Change{s.schedule.Instance, from, to})
		}
	}
	for i := range seats {
		if s := &seats[i]; !s.limited {
			add(s, s.observed.Held, s.final)
		}
	}
	for i := range seats {
		if s := &seats[i]; s.limited {
			add(s, s.observed.Held, s.low())
		}
	}
	for class := range ranks {
		for i := range seats {
			if s := &seats[i]; s.limited && rank(s.schedule.Spec.Class) == class {
				add(s, s.low(), s.high())
			}
		}
	}
	return changes
}

// high returns what the instance is granted, what is the same to the kernel left as it is.
func (s *seat) high() resource.Vector {
	to := s.final
	for _, k := range resource.All() {
		if s.same(k) {
			to[k] = s.observed.Held[k]
		}
	}
	return to
}

// low returns what the instance has between the falls and the rises.
func (s *seat) low() resource.Vector { return s.high().Min(s.observed.Held) }
