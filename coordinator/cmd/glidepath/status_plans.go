package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// mostShown is how many plans the status shows; glidepath plan list has all.
const mostShown = 8

// planDue is how a plan is whose next move waits only for its turn.
const planDue proto.PlanStatus = "due"

// standing returns how a stored plan is, seen at a time.
func standing(p v1.PlanSummary, now timeline.Time) proto.PlanStatus {
	if (p.Status == proto.PlanScheduled || p.Status == proto.PlanQueued) && p.Start <= now {
		return planDue
	}
	return p.Status
}

// inStatus is the order in which the status shows plans: what asks for somebody first.
var inStatus = []proto.PlanStatus{proto.PlanBlocked, proto.PlanStale, proto.PlanPaused, planDue, proto.PlanRunning, proto.PlanQueued, proto.PlanScheduled, proto.PlanSuggested}

// printPlansIn prints the stored plans that a status tells of, if there are any.
func (a *app) printPlansIn(s v1.Status) error {
	if len(s.Plans) == 0 {
		return nil
	}
	plans := slices.Clone(s.Plans)
	rank := func(p v1.PlanSummary) int { return slices.Index(inStatus, standing(p, s.Now)) }
	slices.SortStableFunc(plans, func(x, y v1.PlanSummary) int {
		return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x.Start, y.Start))
	})
	counts := map[proto.PlanStatus]int{}
	for _, p := range plans {
		counts[standing(p, s.Now)]++
	}
	var parts []string
	for _, status := range inStatus {
		if n := counts[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	a.say("\n%s: %s", count(len(plans), "plan"), strings.Join(parts, ", "))
	t := newTable(a.stdout, "PLAN", "STATUS", "WHAT", "START", "REASON")
	for i, p := range plans {
		if i == mostShown {
			t.row(fmt.Sprintf("… and %d more: glidepath plan list", len(plans)-mostShown))
			break
		}
		t.row(p.ID, standing(p, s.Now), aboutMoves(p), stamp(p.Start), p.Reason)
	}
	return t.flush()
}

// printDrainsIn prints the drains that a status tells of, if there are any.
func (a *app) printDrainsIn(s v1.Status) error {
	if len(s.Drains) == 0 {
		return nil
	}
	a.say("\n%s:", count(len(s.Drains), "drain"))
	t := newTable(a.stdout, "HOST", "STATE", "TO LEAVE", "MOVING", "DEADLINE", "REASON")
	for _, d := range s.Drains {
		by := stamp(d.Drain.Deadline)
		if d.Drain.Deadline != 0 && d.Drain.Deadline <= s.Now {
			by += " (missed)"
		}
		t.row(d.Host, d.Drain.State, d.Left, d.Moving, by, d.Drain.Reason)
	}
	return t.flush()
}
