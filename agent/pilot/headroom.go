package pilot

import (
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// rank orders the classes: who is served first.
func rank(c proto.Class) int {
	switch c {
	case proto.Critical:
		return 0
	case proto.Standard:
		return 1
	default:
		return 2
	}
}

const ranks = 3

// share sets the goal of every seat: its base, and what feedback wants, as far as it is promised to the instance or there is
// headroom on the host. Memory that falls slowly and is in use can't be had otherwise and comes first; then the classes in order; within a class
// everybody gets what he wants up to the same amount. What is promised may come to more than the host has where it is pooled: then the classes
// share what is there. Memory that falls slowly and is not in use comes last.
func share(seats []seat, headroom, allocatable resource.Vector) {
	for _, k := range resource.All() {
		left, free := headroom[k], allocatable[k]
		for i := range seats {
			seat := &seats[i]
			seat.goal[k] = seat.base[k]
			if seat.limited && k == resource.Memory {
				used := min(seat.retained, seat.used)
				seat.goal[k] = max(seat.goal[k], used)
				left = take(left, max(0, used-seat.promised[k]))
			}
			if !seat.limited {
				left = take(left, seat.beyond(k))
			}
			if seat.goal[k] < resource.Unlimited {
				free = take(free, seat.goal[k])
			}
		}
		if !k.Poolable() {
			free = resource.Unlimited // all of it is firm
		}
		for class := range ranks {
			free = fill(seats, k, class, free, func(s *seat) int64 { return min(s.wanted[k], s.own(k)) })
		}
		for class := range ranks {
			left = fill(seats, k, class, left, func(s *seat) int64 { return s.wanted[k] })
		}
		for i := range seats {
			seat := &seats[i]
			if seat.limited && k == resource.Memory {
				seat.goal[k] = max(seat.goal[k], min(seat.retained, seat.promised[k]))
				more := max(0, min(seat.retained-seat.goal[k], left))
				seat.goal[k] += more
				left = take(left, more)
			}
			if seat.limited && seat.wanted[k] > 0 {
				seat.explain(k)
			}
		}
	}
}

// own returns up to what an instance may have without asking for headroom: what is promised to it, but for what it gives back.
func (s *seat) own(k resource.Kind) int64 {
	if s.base[k] < s.scheduled[k] {
		return s.base[k]
	}
	return s.promised[k]
}

// beyond returns what an instance without limits uses beyond what is promised to it: headroom that is gone.
func (s *seat) beyond(k resource.Kind) int64 {
	if !s.observed.Measured || s.promised[k] >= resource.Unlimited {
		return 0
	}
	return max(0, s.observed.Observation.Usage[k]-s.promised[k])
}

// take returns what is left of an amount; Unlimited stays.
func take(left, n int64) int64 {
	if left >= resource.Unlimited {
		return left
	}
	return max(0, left-n)
}

// fill raises the goals of a class towards what want says of each, the smallest wants first, so that each gets at most an equal
// share of what is left for him and those who want more. It returns what is left.
func fill(seats []seat, k resource.Kind, class int, left int64, want func(*seat) int64) int64 {
	var hungry []*seat
	for i := range seats {
		if s := &seats[i]; s.limited && want(s) > s.goal[k] && rank(s.schedule.Spec.Class) == class {
			hungry = append(hungry, s)
		}
	}
	missing := func(s *seat) int64 { return want(s) - s.goal[k] }
	slices.SortStableFunc(hungry, func(a, b *seat) int { return int(min(1, max(-1, missing(a)-missing(b)))) })
	for i, s := range hungry {
		n := min(missing(s), left/int64(len(hungry)-i))
		s.goal[k] += n
		left = take(left, n)
	}
	return left
}

func (s *seat) explain(k resource.Kind) {
	if s.goal[k] < s.wanted[k] {
		s.reasons = append(s.reasons, Reason{k, Crowded, s.wanted[k], s.goal[k]})
	}
	if s.goal[k] > s.scheduled[k] && (k != resource.Memory || s.goal[k] > s.retained) {
		s.reasons = append(s.reasons, Reason{k, Raised, s.scheduled[k], s.goal[k]})
	}
}
