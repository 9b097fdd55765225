package leader

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// What moves that fail lead to.
const (
	drainFailures = 3                // of one instance: the drain is given up until an operator has looked
	drainRests    = time.Minute      // for which an instance rests whose move has failed, and as long again for each one before
	drainLate     = 30 * time.Second // after its start, and with room for it, that a move has not begun: it does not fit as it was planned
)

// emptying is a host that is emptied, and how far that is.
type emptying struct {
	host  proto.Host
	drain proto.Drain
	live  *proto.StoredPlan // nil: there is none
	view  *state.View
	now   timeline.Time
	due   func() []planner.Ready // moves of all plans that may begin now, whether they rest or not
}

// here returns the instances that the host has, or keeps a slot for.
func (e emptying) here() []proto.Instance {
	return slices.DeleteFunc(e.view.InstancesOn(e.host.Facts.Name), func(i proto.Instance) bool { return i.Name() == proto.SystemInstance })
}

// stays reports whether the host owns an instance, and nothing takes it away.
func (e emptying) stays(i proto.Instance) bool {
	return i.Owner == e.host.Facts.Name && i.Migration == ""
}

func (e emptying) empty() bool { return len(e.here()) == 0 }

// underWay is the status of the plan while its moves may begin.
func (e emptying) underWay() proto.PlanStatus {
	if slices.ContainsFunc(e.live.Moves, begun) {
		return proto.PlanRunning
	}
	return proto.PlanQueued
}

func begun(m proto.Move) bool { return m.Migration != "" }

// failing is how often moves of an instance have failed, and when the last one did.
type failing struct {
	times int
	last  proto.Migration
}

// failures returns, by instance, which moves of the drain have failed since an operator last let it go on.
func (e emptying) failures() map[string]failing {
	since := e.drain.Since
	var plans []proto.StoredPlan
	for p := range e.view.Plans() {
		if p.Kind != proto.PlanDrain || p.Host != e.host.Facts.Name {
			continue
		}
		if p.Status == proto.PlanCancelled {
			since = max(since, p.EndedAt)
			continue
		}
		plans = append(plans, p)
	}
	out := map[string]failing{}
	for _, p := range plans {
		if p.MadeAt < since {
			continue
		}
		for _, m := range p.Moves {
			if m.Outcome == proto.OutcomeNone || m.Outcome == proto.OutcomeCompleted {
				continue
			}
			f := out[m.Instance]
			f.times++
			if ended, _ := e.view.Migration(m.Migration); ended.EndedAt >= f.last.EndedAt {
				f.last = ended
			}
			out[m.Instance] = f
		}
	}
	return out
}

// givenUp returns an instance that stays on the host, or is to make room on another one, and whose moves have failed too often, and says so; "" while there is none.
func (e emptying) givenUp() (instance, why string) {
	if e.live == nil {
		return "", ""
	}
	failed := e.failures()
	tell := func(name, from string) (string, string) {
		f := failed[name]
		why := fmt.Sprintf("%d moves of instance %s away from %s did not succeed, the last one, %s, was %s", f.times, name, from, f.last.ID, f.last.Outcome)
		if f.last.Reason != "" {
			why += ": " + f.last.Reason
		}
		return name, why
	}
	for _, i := range e.here() {
		if failed[i.Name()].times >= drainFailures && e.stays(i) {
			return tell(i.Name(), "the host")
		}
	}
	for _, m := range e.live.Moves {
		if i, ok := e.view.Instance(m.Instance); ok && !begun(m) && i.Owner != e.host.Facts.Name && failed[m.Instance].times >= drainFailures {
			return tell(m.Instance, i.Owner+", where it is to make room,")
		}
	}
	return "", ""
}

// unplanned says what of the drain is not as its plan has it; "" while all of it is.
func (e emptying) unplanned() string {
	if e.live == nil {
		if slices.ContainsFunc(e.here(), e.stays) {
			return "there is no plan for it"
		}
		return ""
	}
	planned, failed := map[string]bool{}, e.failures()
	for n, m := range e.live.Moves {
		if begun(m) {
			continue
		}
		if slices.ContainsFunc(m.After, func(n int) bool { return e.rests(failed[e.live.Moves[n].Instance]) }) {
			planned[m.Instance] = true
			continue
		}
		if why := e.moot(n); why != "" {
			return why
		}
		planned[m.Instance] = true
	}
	for _, i := range e.here() {
		if !e.stays(i) || planned[i.Name()] {
			continue
		}
		if e.rests(failed[i.Name()]) {
			continue
		}
		if b := e.live.Blocked; b != nil && slices.Contains(b.Instances, i.Name()) {
			continue // told below
		}
		if len(e.live.Moves) < proto.MaxMoves || len(planned) == 0 {
			return fmt.Sprintf("instance %s is on the host, and no move takes it away", i.Name())
		}
	}
	if e.live.Deadline != 0 && e.live.Deadline <= e.now && len(planned) > 0 {
		return "its deadline has passed"
	}
	if n := e.late(); n >= 0 {
		m := e.live.Moves[n]
		return fmt.Sprintf("the move of instance %s to %s does not begin as it was planned", m.Instance, m.Target)
	}
	if e.live.Blocked != nil && e.live.ChangedAt.Add(drainAgain) <= e.now {
		return "some of it finds no other place"
	}
	if e.live.Blocked == nil && e.drain.State == proto.DrainBlocked {
		return "all of it finds another place" // the plan was stored, and the drain not yet let go on
	}
	return ""
}

// rests reports whether an instance whose moves have failed is left alone for a while.
func (e emptying) rests(f failing) bool {
	return e.now < f.last.EndedAt.Add(time.Duration(f.times)*drainRests)
}

// moot says why a move that has not begun never will as it is; "" if it may.
func (e emptying) moot(n int) string {
	m := e.live.Moves[n]
	i, ok := e.view.Instance(m.Instance)
	if !ok {
		return fmt.Sprintf("there is no instance %s any more", m.Instance)
	}
	for _, first := range e.live.Moves[:n] {
		if first.Instance == m.Instance && first.Outcome == proto.OutcomeNone {
			return "" // where it will be is not known yet
		}
	}
	for _, first := range m.After {
		if o := e.live.Moves[first].Outcome; o != proto.OutcomeNone && o != proto.OutcomeCompleted {
			return fmt.Sprintf("what had to leave before %s did not: its move was %s", m.Instance, o)
		}
	}
	if i.Migration == "" && (i.Owner != m.Source || i.Spec.Type != m.FromType) {
		return fmt.Sprintf("instance %s is on %s, of type %s", m.Instance, i.Owner, i.Spec.Type)
	}
	target, ok := e.view.Host(m.Target)
	if !ok || target.Cordoned || target.Drain != nil {
		return fmt.Sprintf("host %s, where %s was to go, takes nothing any more", m.Target, m.Instance)
	}
	return ""
}

// dueOf returns the moves that may begin now. It looks at all plans, whichever host is asked about, and does so once, if at all.
func dueOf(view *state.View, now timeline.Time) func() []planner.Ready {
	return sync.OnceValue(func() []planner.Ready { return planner.Queue(slices.Collect(view.Plans()), view, now, nil) })
}

// late returns the place of a move whose turn it is for some time, and that has not begun; -1 while there is none.
func (e emptying) late() int {
	for _, r := range e.due() {
		if r.Plan == e.live.ID && e.live.Moves[r.Move].Start.Add(drainLate) <= e.now && e.live.ChangedAt.Add(drainLate) <= e.now {
			return r.Move
		}
	}
	return -1
}

// merged returns the moves of a plan in which those that have begun stay at their places, and fresh ones take those of the others. Where fewer are left than there are places between those that
// have begun, it can't be done.
func merged(old, fresh []proto.Move) ([]proto.Move, bool) {
	last := 0
	for n, m := range old {
		if begun(m) {
			last = n + 1
		}
	}
	out := slices.Clone(old[:last])
	var free []int // places, in their order
	for n, m := range out {
		if !begun(m) {
			free = append(free, n)
		}
	}
	if len(free) > len(fresh) || len(fresh) > 0 && last >= proto.MaxMoves {
		return nil, false
	}
	for n, m := range fresh {
		if n == len(free) {
			if len(out) == proto.MaxMoves {
				break // the rest comes when these have left
			}
			free = append(free, len(out))
			out = append(out, proto.Move{})
		}
		m.After = slices.Clone(m.After)
		for i, first := range m.After {
			m.After[i] = free[first]
		}
		out[free[n]] = m
	}
	return out, true
}

// alike reports whether a plan takes the same instances to the same hosts as the one that is stored, in the same order, and as far.
func alike(old, fresh proto.StoredPlan) bool {
	same := func(a, b proto.Move) bool {
		return a.Instance == b.Instance && a.Source == b.Source && a.Target == b.Target && a.ToType == b.ToType && a.Migration == b.Migration && slices.Equal(a.After, b.After)
	}
	if old.Status != fresh.Status || old.Deadline != fresh.Deadline || (old.Blocked == nil) != (fresh.Blocked == nil) || !slices.EqualFunc(old.Moves, fresh.Moves, same) {
		return false
	}
	return old.Blocked == nil || old.Blocked.Words() == fresh.Blocked.Words() && slices.Equal(old.Blocked.Unblock, fresh.Blocked.Unblock)
}
