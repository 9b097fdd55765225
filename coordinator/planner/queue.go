package planner

import (
	"cmp"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Ready is a move of a stored plan that may begin now.
type Ready struct {
	Plan string
	Move int // its place in the plan
}

// ageing is how long a move waits before it counts as one of the next higher class, so that no class waits for good.
const ageing = 30 * time.Minute

// turn is a move that is due.
type turn struct {
	Ready
	proto.Move
	rank     int // of the class, after it has waited
	deadline timeline.Time
	asked    timeline.Time
}

// Queue returns the moves of stored plans that may begin now, those whose turn it is first: of the higher class, then with the earlier deadline,
// then those that were asked for first. One that has to wait, because as many moves as the policy allows touch its hosts or its
// segment, keeps its places on its hosts: nothing that comes after it takes those. It keeps none of the segment or the fleet: all that wait for one host would
// keep everybody else waiting, and whose turn it is is the first to get one anyway. Only moves that transfer count, not those on probation. One that rests, having just been
// refused, takes and keeps no place: it may be refused for long. With rests nil none does.
func Queue(plans []proto.StoredPlan, v *state.View, now timeline.Time, rests func(Ready) bool) []Ready {
	policy := v.Fleet().Policy
	room := places{fleet: policy.MovesFleet, host: policy.MovesHost, link: cmp.Or(policy.MovesLink, policy.MovesFleet), taken: map[string]int{}}
	moving := map[string]bool{}
	for m := range v.ActiveMigrations() {
		moving[m.Instance] = true
		if transfers(m.Phase) {
			room.take(v, m.Source, m.Target)
		}
	}
	var out []Ready
	for _, t := range turns(plans, v, now) {
		if moving[t.Instance] || rests != nil && rests(t.Ready) {
			continue
		}
		moving[t.Instance] = true // a second move of it, in another plan, comes later
		if !room.has(v, t.Source, t.Target) {
			room.keep(t.Source, t.Target)
			continue
		}
		out = append(out, t.Ready)
		room.take(v, t.Source, t.Target)
	}
	return out
}

// turns returns the moves that are due, in their order.
func turns(plans []proto.StoredPlan, v *state.View, now timeline.Time) []turn {
	var out []turn
	for _, p := range plans {
		if !p.Status.Begins() || p.WhatIf != nil {
			continue
		}
		for n, m := range p.Moves {
			if m.Migration != "" || m.Start > now || !after(p, m, v) {
				continue
			}
			takes := timeline.Span{Start: now, End: now.Add(time.Duration(m.Figures.Duration.High) * time.Millisecond)}
			if !inOne(OpenIn(timeline.Span{Start: now, End: takes.End + 1}, v.Fleet().Policy.Windows, p.Windows), takes) {
				continue // it is no time for it
			}
			i, ok := v.Instance(m.Instance)
			if !ok {
				continue // the plan is stale: whoever carries it out says so
			}
			waited := now.Sub(max(m.Start, p.MadeAt))
			out = append(out, turn{
				Ready: Ready{p.ID, n}, Move: m, deadline: due(p.Deadline), asked: p.MadeAt,
				rank: max(0, standing(i.Spec.Class)-int(waited/ageing)),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b turn) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.deadline, b.deadline),
			cmp.Compare(a.asked, b.asked), cmp.Compare(a.Plan, b.Plan), cmp.Compare(a.Ready.Move, b.Ready.Move))
	})
	return out
}

// after reports whether all moves that have to have left their hosts before have done so.
func after(p proto.StoredPlan, m proto.Move, v *state.View) bool {
	for _, n := range m.After {
		if n < 0 || n >= len(p.Moves) {
			return false
		}
		before := p.Moves[n]
		if before.Outcome == proto.OutcomeCompleted {
			continue
		}
		going, ok := v.Migration(before.Migration)
		if !ok || going.Outcome != proto.OutcomeCompleted {
			return false // during probation its slot is kept for the way back
		}
	}
	return true
}

// transfers reports whether a migration in the phase uses its hosts' links, or is about to.
func transfers(p proto.Phase) bool { return p != proto.PhaseSettle && p != proto.PhaseEnded }

// places counts the moves that go on in the fleet, on each host and over each segment.
type places struct {
	fleet, host, link int // as many as there may be
	all               int
	taken             map[string]int
}

// keys returns what a move takes a place of, with how many there are.
func (r places) keys(v *state.View, source, target string) map[string]int {
	out := map[string]int{onHost(source): r.host, onHost(target): r.host}
	for _, name := range []string{source, target} {
		if h, ok := v.Host(name); ok {
			out["segment "+h.Facts.Segment] = r.link
		}
	}
	return out
}

func (r places) has(v *state.View, source, target string) bool {
	for key, most := range r.keys(v, source, target) {
		if r.taken[key] >= most {
			return false
		}
	}
	return r.all < r.fleet
}

func (r *places) take(v *state.View, source, target string) {
	r.all++
	for key := range r.keys(v, source, target) {
		r.taken[key]++
	}
}

// keep takes a place on the hosts of a move that waits.
func (r *places) keep(source, target string) {
	r.taken[onHost(source)]++
	r.taken[onHost(target)]++
}

func onHost(name string) string { return "host " + name }
