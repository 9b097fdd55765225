package planner

import (
	"fmt"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// SuggestionLasts is how long a suggestion is kept that no later look at the fleet has confirmed.
const SuggestionLasts = 24 * time.Hour

// Stored are the changes that keep suggestions as plans, in the place of those of the look before.
type Stored struct {
	Put []*proto.PlanPut
	End []*proto.PlanChange
	IDs []string // of the plans of the suggestions, in their order
}

// Store returns how suggestions are kept: one that is there already stays as it is, and is put again only before it lapses; one that is made no more has ended. One whose
// instance could not be asked about stays, too, until it lapses: nothing was found against it.
func (r Rebalanced) Store(v *state.View, now timeline.Time) Stored {
	was := map[string]proto.StoredPlan{} // by instance
	var out Stored
	for p := range v.Plans() {
		if p.Kind != proto.PlanRebalance || p.Status != proto.PlanSuggested {
			continue
		}
		if _, twice := was[onlyOne(p)]; twice || onlyOne(p) == "" {
			out.end(p, "another one is suggested for its instance")
			continue
		}
		was[onlyOne(p)] = p
	}
	for n, s := range r.Suggestions {
		m := s.Move
		p := proto.StoredPlan{ // names that begin alike are cut alike: the time tells them apart
			ID: proto.RebalanceID(m.Instance, now+timeline.Time(n)), Kind: proto.PlanRebalance, Status: proto.PlanSuggested, Reason: s.Why(), Moves: []proto.Move{m}, Says: s.Says,
		}
		old, there := was[m.Instance]
		switch {
		case !there:
			out.put(p, 0)
		case !sameMove(old.Moves[0], m):
			out.end(old, fmt.Sprintf("a move of %s to %s is suggested instead", m.Instance, m.Target))
			out.put(p, 0)
		case now.Sub(old.ChangedAt) >= SuggestionLasts/2:
			p.ID = old.ID
			out.put(p, old.Revision)
		default:
			p.ID = old.ID
		}
		out.IDs = append(out.IDs, p.ID)
		delete(was, m.Instance)
	}
	for p := range v.Plans() { // in their order
		if old, left := was[onlyOne(p)]; left && old.ID == p.ID && !slices.Contains(r.Unknown, onlyOne(p)) {
			out.end(p, "the fleet was looked at again, and it is not suggested any more")
		}
	}
	return out
}

// onlyOne returns the instance that a plan moves; "" where it does not move one.
func onlyOne(p proto.StoredPlan) string {
	if len(p.Moves) != 1 {
		return ""
	}
	return p.Moves[0].Instance
}

func sameMove(a, b proto.Move) bool {
	return a.Instance == b.Instance && a.Source == b.Source && a.Target == b.Target && a.FromType == b.FromType && a.ToType == b.ToType && a.Fence == b.Fence
}

func (s *Stored) put(p proto.StoredPlan, from uint64) {
	s.Put = append(s.Put, &proto.PlanPut{Plan: p, From: from})
}

func (s *Stored) end(p proto.StoredPlan, why string) {
	s.End = append(s.End, &proto.PlanChange{ID: p.ID, From: p.Status, To: proto.PlanStale, Reason: why})
}

// Outlived says why a plan that a rebalance suggested, and that has not begun, would do no good any more; "" while it would. The view is the caller's own.
func Outlived(p proto.StoredPlan, v *state.View, now timeline.Time) string {
	if len(p.Moves) != 1 || p.Moves[0].Migration != "" {
		return ""
	}
	m := p.Moves[0]
	i, ok := v.Instance(m.Instance)
	if p.Status == proto.PlanSuggested {
		switch {
		case ok && i.Migration != "":
			return fmt.Sprintf("instance %s is being moved by migration %s", m.Instance, i.Migration)
		case now.Sub(p.ChangedAt) >= SuggestionLasts:
			return fmt.Sprintf("it was suggested %s ago", roughly(now.Sub(p.ChangedAt)))
		}
	}
	if why := Moot(p, 0, v, now); why != "" {
		return why
	}
	if !ok || i.Migration != "" {
		return "" // what it finds is not known yet
	}
	if target, there := v.Host(m.Target); !there || target.Cordoned || target.Drain != nil {
		return fmt.Sprintf("host %s takes nothing any more", m.Target)
	}
	return helpsNot(m, i, v)
}

// helpsNot says why a move would not make the fleet better, by what its instance holds today; "" if it would.
func helpsNot(m proto.Move, i proto.Instance, v *state.View) string {
	held, ok := v.Reservation(i.Reservation)
	if !ok {
		return ""
	}
	l := v.Ledger().Clone()
	for _, id := range slices.Clone(m.Holds) {
		if _, there := l.Reservation(id); there {
			if err := l.Release(id); err != nil {
				return err.Error()
			}
		}
	}
	s, err := shifted(l, held, elsewhere(held, m.Target))
	switch {
	case err != nil:
		return fmt.Sprintf("instance %s does not fit on %s any more: %s", m.Instance, m.Target, err)
	case relief(s) <= 0:
		return fmt.Sprintf("the strain of %s and %s together would be %s, and is %s: it would not make the fleet better any more", m.Source, m.Target,
			parts(s[0].After+s[1].After, million), parts(s[0].Before+s[1].Before, million))
	}
	return ""
}
