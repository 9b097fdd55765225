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
// headroom on the host. Memory that falls slowly is held already and comes first; then the classes in order; within a class
// everybody gets what he wants up to the same amount.
func share(seats []seat, headroom resource.Vector) {
	for _, k := range resource.All() {
		left := headroom[k]
		for i := range seats {
			seat := &seats[i]
			seat.goal[k] = seat.base[k]
			if !seat.limited {
				continue
			}
			if seat.retained[k] > 0 {
				seat.goal[k] = seat.retained[k]
				left = take(left, max(0, seat.retained[k]-seat.promised[k]))
			}
			seat.goal[k] = max(seat.goal[k], min(seat.wanted[k], seat.promised[k]))
		}
		for class := range ranks {
			left = fill(seats, k, class, left)
		}
		for i := range seats {
			if seat := &seats[i]; seat.limited && seat.wanted[k] > 0 {
				seat.explain(k)
			}
		}
	}
}

// take returns what is left of an amount; Unlimited stays.
func take(left, n int64) int64 {
	if left >= resource.Unlimited {
		return left
	}
	return max(0, left-n)
}

// fill raises the goals of a class towards what they want, the smallest wants first, so that each gets at most an equal
// share of what is left for him and those who want more. It returns what is left.
func fill(seats []seat, k resource.Kind, class int, left int64) int64 {
	var hungry []*seat
	for i := range seats {
		if s := &seats[i]; s.limited && s.wanted[k] > s.goal[k] && rank(s.schedule.Spec.Class) == class {
			hungry = append(hungry, s)
		}
	}
	missing := func(s *seat) int64 { return s.wanted[k] - s.goal[k] }
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
	if s.goal[k] > s.scheduled[k] && s.goal[k] > s.retained[k] {
		s.reasons = append(s.reasons, Reason{k, Raised, s.scheduled[k], s.goal[k]})
	}
}
