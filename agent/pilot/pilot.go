// Package pilot decides, second by second, what each instance of a host is granted, and in which order limits are rewritten.
//
// It follows the stored document: the step in force, or when the schedule has run out the safe allocation. Within the
// document's bounds and the host's headroom it corrects what the forecast got wrong: up fast, down slowly. It is a
// function of what it is given; its state is a value that goes in and comes out.
package pilot

import (
	"cmp"
	"slices"

	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Input is what a decision is made from.
type Input struct {
	Now         timeline.Time // by the coordinators' clock
	Document    *proto.Document
	Allocatable resource.Vector // of the host
	Observed    []Observed      // sorted by instance; those that are not here do not run
}

// Observed is an instance as it is now.
type Observed struct {
	Instance    string
	Held        resource.Vector    // limits that the kernel holds; Unlimited where none is
	Measured    bool               // Demand and Observation are of the last second; without them there is no feedback
	Demand      resource.Vector    // what it would use without limits
	Observation demand.Observation // what that was estimated from
}

// Decision is what to do now.
type Decision struct {
	Allocations []Allocation // one for each instance of the document, in its order
	Changes     []Change     // to be made in this order
	State       State        // for the next decision
}

// Allocation is what an instance gets and why.
type Allocation struct {
	Instance  string
	Scheduled resource.Vector // what the document alone says
	Granted   resource.Vector // what it has when the changes are made; Unlimited when it is not limited
	Reasons   []Reason        // where and why the two differ
}

// Change rewrites the limits of an instance. A resource whose From and To are equal stays as it is.
type Change struct {
	Instance string
	From, To resource.Vector
}

// State is what one decision leaves to the next. The zero State is that of an agent that has just started.
type State struct{ feedback []feedback } // sorted by instance

func (s State) of(instance string) (feedback, bool) {
	i, found := slices.BinarySearchFunc(s.feedback, instance, func(f feedback, name string) int { return cmp.Compare(f.instance, name) })
	if !found {
		return feedback{}, false
	}
	return s.feedback[i], true
}

// seat is an instance while the decision about it is made.
type seat struct {
	schedule *proto.InstanceSchedule
	limited  bool
	running  bool
	observed Observed // zero when it is not running

	allocation                 // for now
	base       resource.Vector // what it has without feedback: scheduled, or less when it gives back ahead of a step
	ahead      int64           // its bound of memory when what it is granted now must have been given back
	retained   int64           // memory that it keeps for now because it falls slowly; 0 when nothing is kept
	used       int64           // of what it holds of memory, what is in use
	wanted     resource.Vector // what feedback asks for; 0 when nothing
	goal       resource.Vector // what it is to have
	final      resource.Vector // what it gets now, as far as there is room

	reasons []Reason
}

// Decide returns what every instance is granted now. The document must have passed Accept.
func Decide(in Input, s State) Decision {
	seats := seated(in)
	giveBackAhead(seats, in)
	var next State
	for i := range seats {
		if seat := &seats[i]; seat.limited {
			f := s.next(seat, in.Now)
			seat.wanted = f.boost
			seat.retain()
			next.feedback = append(next.feedback, f)
		}
	}
	headroom, _ := in.Document.Headroom.At(in.Now)
	if later, ok := in.Document.Headroom.At(in.Now.Add(lead(resource.Memory))); ok {
		headroom[resource.Memory] = min(headroom[resource.Memory], later[resource.Memory])
	}
	share(seats, headroom, in.Allocatable)
	admit(seats, in.Allocatable)

	d := Decision{State: next, Changes: order(seats), Allocations: make([]Allocation, len(seats))}
	for i := range seats {
		seat := &seats[i]
		d.Allocations[i] = Allocation{seat.schedule.Instance, seat.scheduled, seat.high(), seat.reasons}
	}
	return d
}

// seated looks up what the document says for now of each of its instances.
func seated(in Input) []seat {
	seats := make([]seat, len(in.Document.Instances))
	for i := range seats {
		schedule := &in.Document.Instances[i]
		seat := seat{schedule: schedule, limited: schedule.Limited && !in.Document.Paused}
		seat.allocation = in.at(schedule, in.Now)
		seat.base = seat.scheduled
		at, running := slices.BinarySearchFunc(in.Observed, schedule.Instance, func(o Observed, name string) int { return cmp.Compare(o.Instance, name) })
		if running {
			seat.running, seat.observed = true, in.Observed[at]
		}
		switch {
		case !seat.limited:
			seat.reasons = append(seat.reasons, Reason{Why: Lifted})
		case seat.alone:
			seat.reasons = append(seat.reasons, Reason{Why: Alone})
		}
		seats[i] = seat
	}
	return seats
}

// allocation is what the document says of an instance at some time.
type allocation struct {
	scheduled resource.Vector
	promised  resource.Vector // by the ledger, at least what is scheduled
	bound     resource.Vector // how far feedback may go: what is promised to it or to nobody, at most the type's maximum
	alone     bool            // the schedule has run out
}

// at returns what the document says of an instance at t. What its schedule does not cover is its safe allocation, without
// feedback, because nobody knows what else was promised.
func (in Input) at(s *proto.InstanceSchedule, t timeline.Time) allocation {
	scheduled, ok := s.Schedule.At(t)
	if !ok {
		return allocation{s.Safe, s.Safe, s.Safe, true}
	}
	promised, _ := s.Promised.At(t)
	promised = promised.Max(scheduled)
	headroom, _ := in.Document.Headroom.At(t)
	return allocation{scheduled, promised, promised.Add(headroom).Min(s.Max).Max(scheduled), false}
}

// giveBackAhead lowers the base of instances that are about to step down, where what they free is needed: where the host could
// not hold what each has now beside what each has after its step. Memory, which takes its time, is also lowered ahead of
// a fall of its bound; what feedback has lent beyond the base is held to the later bound, too.
func giveBackAhead(seats []seat, in Input) {
	for _, k := range resource.All() {
		at := in.Now.Add(lead(k))
		var both int64
		for i := range seats {
			later := in.at(seats[i].schedule, at)
			both = min(resource.Unlimited, both+max(seats[i].scheduled[k], later.scheduled[k]))
		}
		short := both > in.Allocatable[k]
		for i := range seats {
			seat := &seats[i]
			later := in.at(seat.schedule, at)
			if k == resource.Memory {
				seat.ahead = later.bound[k]
			}
			to := later.scheduled
			if !short {
				if k != resource.Memory {
					continue
				}
				to = later.bound
			}
			if seat.limited && to[k] < seat.base[k] {
				seat.base[k] = to[k]
				seat.reasons = append(seat.reasons, Reason{k, GivingBack, seat.scheduled[k], to[k]})
			}
		}
	}
}
