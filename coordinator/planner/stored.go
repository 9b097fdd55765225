package planner

import (
	"fmt"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Move returns what a stored plan keeps of a result. The allocation is planned anew when it begins.
func (r Result) Move(chosen bool) proto.Move {
	p := r.Plan
	m := proto.Move{
		Instance: p.Instance, Source: p.Source, Target: p.Target, FromType: p.FromType, ToType: p.ToType, Fence: p.Fence, Start: p.Start, Rate: p.Rate,
		Chosen: chosen, Probation: p.Probation, Reasons: p.Reasons, Considered: p.Considered, Ruled: p.Ruled, Starts: p.Starts, Yields: p.Yields,
	}
	if p.Figures != nil {
		m.Figures = *p.Figures
	}
	return m
}

// Holds returns what keeps the room of a move of a stored plan until it begins: as much as its migration will hold, and no longer. It names them in the move, in the
// place of what that holds so far: by other names, since no reservation goes from one host to another.
func (r Result) Holds(plan string, move int, m *proto.Move) []proto.Reservation {
	out := r.asked()
	var names []string
	for i := range out {
		h := &out[i]
		what := holdNames[i]
		h.ID, h.Purpose, h.Instance, h.Migration = proto.PlanHold(plan, move, what), proto.PurposeHold, "", ""
		if slices.Contains(m.Holds, h.ID) {
			h.ID = proto.PlanHold(plan, move, what+"-again")
		}
		names = append(names, h.ID)
	}
	slices.Sort(names)
	m.Holds = names
	return out
}

// holdNames tell what is held for a move apart, in the order of asked.
var holdNames = []string{"target", "send", "receive"}

// asked returns all that is held for a move.
func (r Result) asked() []proto.Reservation {
	return append([]proto.Reservation{r.Reservation}, r.Extra...)
}

// Again returns what a move of a stored plan is asked for as when it is planned again, to begin at once.
func Again(p proto.StoredPlan, m proto.Move) Request {
	return Request{Instance: m.Instance, Target: m.Target, Type: m.ToType, Before: p.Deadline, Windows: p.Windows, Probation: m.Probation, Squeeze: p.Squeeze}
}

// Moot says why a move of a stored plan that has not begun never will as it is, whatever there is room for; "" if it may.
func Moot(p proto.StoredPlan, move int, v *state.View, now timeline.Time) string {
	m := p.Moves[move]
	i, ok := v.Instance(m.Instance)
	if !ok {
		return fmt.Sprintf("there is no instance %s any more", m.Instance)
	}
	for n, other := range p.Moves[:move] {
		comes := slices.Contains(m.After, n) || other.Instance == m.Instance
		switch {
		case comes && other.Outcome == proto.OutcomeNone:
			return "" // what it finds is not known yet
		case comes && other.Outcome != proto.OutcomeCompleted:
			return fmt.Sprintf("migration %s, which had to come first, was %s", other.Migration, other.Outcome)
		}
	}
	switch {
	case i.Migration != "":
		return "" // where it will be is not known yet
	case i.Owner == m.Target && i.Spec.Type == m.ToType:
		return fmt.Sprintf("instance %s is on %s already", m.Instance, m.Target)
	case i.Owner != m.Source:
		return fmt.Sprintf("instance %s is on %s, and on %s no more", m.Instance, i.Owner, m.Source)
	case i.Spec.Type != m.FromType:
		return fmt.Sprintf("instance %s is of type %s, and of %s no more", m.Instance, i.Spec.Type, m.FromType)
	case p.Deadline != 0 && p.Deadline <= now:
		return fmt.Sprintf("it had to be over by %s, and has not begun", p.Deadline)
	}
	from := max(now, m.Start)
	takes := time.Duration(m.Figures.Duration.High) * time.Millisecond
	open := OpenIn(timeline.Span{Start: now, End: from.Add(max(windowsFor, 2*takes))}, v.Fleet().Policy.Windows, p.Windows)
	if !slices.ContainsFunc(open, func(s timeline.Span) bool { return max(s.Start, from).Add(takes) <= s.End }) {
		return fmt.Sprintf("no window that is to come is open for the %s that it takes", takes.Round(time.Second))
	}
	return ""
}
