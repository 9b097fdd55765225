package planner

import (
	"cmp"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// keptSlots returns the ledger in which what sources keep for the way back is given up when the probation of its migration is to end, and the times of that, in
// order: who leaves by an earlier move of a drain makes room for the next one also in a plan that is made between the two. Should an instance go back after all,
// the moves that come in its place find no room when they are to begin, and are planned anew.
func keptSlots(v *state.View, now timeline.Time) (*ledger.Ledger, []timeline.Time) {
	out := v.Ledger().Clone()
	var ends []timeline.Time
	for m := range v.ActiveMigrations() {
		r, held := out.Reservation(m.SourceReservation)
		if !held || m.Returns != "" || m.Returning != "" || m.Phase == proto.PhaseUndo {
			continue
		}
		probation := time.Duration(cmp.Or(m.Plan.Probation, v.Fleet().Policy.Probation)) * time.Millisecond
		end := now.Add(probation)
		switch n := len(m.Plan.Phases); {
		case m.Phase == proto.PhaseSettle && len(m.Phases) > 0:
			end = max(now.Add(time.Millisecond), m.Phases[len(m.Phases)-1].At.Add(probation))
		case n > 0:
			end = max(end, m.Plan.Phases[n-1].End)
		}
		if r.Envelope = clipped(r.Envelope, end); len(r.Envelope) == 0 {
			continue
		}
		if out.Revise(r) == nil {
			ends = append(ends, end)
		}
	}
	slices.Sort(ends)
	return out, ends
}

// backAt returns when hosts are back that are away for a time, or will be, in order.
func backAt(v *state.View, now timeline.Time) []timeline.Time {
	var ends []timeline.Time
	v.EachHost(func(h *proto.Host) bool {
		for _, w := range h.Windows {
			if w.Whole && w.Span.End > now && w.Span.End < timeline.Forever {
				ends = append(ends, w.Span.End)
			}
		}
		return true
	})
	slices.Sort(ends)
	return slices.Compact(ends)
}
