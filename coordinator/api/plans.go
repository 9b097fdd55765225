package api

import (
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/auth"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/proto"
)

// makePlan answers how the migration that is asked for would go by the fleet as it is now, and keeps that if it is to be.
func makePlan(c *call) (any, error) {
	var in v1.PlanRequest
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if !in.Store {
		result, err := c.planned(in, "")
		return result.Plan, err
	}
	c.changed = true
	if err := auth.Authorise(c.who, proto.RoleOperator); err != nil {
		return nil, err
	}
	if p, ok := c.view.Plan(c.key); ok && len(p.Moves) == 1 {
		return p.Kept(0), nil // the request is a repeated one
	}
	if err := c.mayStore(in.Squeeze); err != nil {
		return nil, err
	}
	result, err := c.planned(in, "")
	if err != nil {
		return nil, err
	}
	if _, err := c.propose(&proto.PlanPut{Plan: stored(c.key, proto.PlanKept, in, result)}); err != nil {
		return nil, err
	}
	result.Plan.Stored = c.key
	return result.Plan, nil
}

// schedule stores a plan that begins by itself, and holds its room until then.
func (c *call) schedule(in v1.PlanRequest) (any, error) {
	result, err := c.planned(in, "")
	if err != nil {
		return nil, err
	}
	return c.scheduled(in, result)
}

// scheduled stores a plan that was made so that it begins by itself.
func (c *call) scheduled(in v1.PlanRequest, result planner.Result) (any, error) {
	if err := c.mayStore(in.Squeeze); err != nil {
		return nil, err
	}
	if err := c.noOtherMoves(in.Instance, ""); err != nil {
		return nil, err
	}
	p := stored(c.key, proto.PlanScheduled, in, result)
	hold := result.Holds(p.ID, 0, &p.Moves[0])
	if _, err := c.propose(&proto.PlanPut{Plan: p, Hold: hold, Yield: result.HoldsYield(hold)}); err != nil {
		return nil, err
	}
	p, _ = c.view.Plan(c.key)
	return p, nil
}

// noOtherMoves refuses that a plan moves an instance which another one moves, too: both would hold room, and the one that comes later be stale, as the
// instance is elsewhere by then.
func (c *call) noOtherMoves(instance, but string) error {
	for p := range c.view.Plans() {
		waits := slices.ContainsFunc(p.Moves, func(m proto.Move) bool { return m.Instance == instance && m.Migration == "" })
		if p.ID == but || !waits || p.WhatIf != nil || !p.Status.Begins() && p.Status != proto.PlanPaused {
			continue
		}
		e := &v1.Error{
			Code: v1.CodeConflict, Message: fmt.Sprintf("instance %s is to be moved by plan %s already, which is %s", instance, p.ID, p.Status),
			Remedy: "see glidepath plan show " + p.ID + "; to have it moved otherwise, first: glidepath plan cancel " + p.ID,
		}
		if p.Kind == proto.PlanDrain {
			e.Remedy = "it leaves with all others there; to have it moved otherwise, first: glidepath host undrain " + p.Host
		}
		return e
	}
	return nil
}

// stored returns the plan of a migration as it is kept.
func stored(id string, status proto.PlanStatus, in v1.PlanRequest, r planner.Result) proto.StoredPlan {
	p := proto.StoredPlan{
		ID: id, Kind: proto.PlanMigrate, Status: status, Moves: []proto.Move{r.Move(in.Target == "")}, Deadline: in.Before, Windows: in.Windows, Says: r.Plan.Warnings,
		WhatIf: in.WhatIf, Squeeze: in.Squeeze,
	}
	if in.LeastGain != nil {
		p.LeastGain = *in.LeastGain
	}
	return p
}

// mayStore refuses to store a plan that some coordinator could not carry out.
func (c *call) mayStore(squeeze bool) error {
	if squeeze {
		return c.knows(proto.CmdMigrationAdmit)
	}
	return c.knows(proto.CmdPlanBegin)
}

// knows refuses what takes a command that some coordinator could not apply.
func (c *call) knows(t proto.CommandType) error {
	if c.view.Knows(t, 1) {
		return nil
	}
	return &v1.Error{
		Code: v1.CodeRefused, Message: fmt.Sprintf("%s is not known to every coordinator", t),
		Remedy: "install the same version on all of them, see glidepath operator raft list",
	}
}

// listPlans lists stored plans, newest last: of one instance, or only active ones, if the query says so.
func listPlans(c *call) (any, error) {
	q := query{c: c}
	instance, active := q.text("instance"), q.flag("active")
	if q.err != nil {
		return nil, q.err
	}
	var out []v1.PlanSummary
	_, known := c.view.Instance(instance)
	for p := range c.view.Plans() {
		moves := slices.ContainsFunc(p.Moves, func(m proto.Move) bool { return m.Instance == instance })
		known = known || moves // it was there, when the plan was made
		if (instance == "" || moves) && !(active && p.Status.Ended()) {
			out = append(out, v1.SummaryOf(p))
		}
	}
	if instance != "" && !known {
		return nil, missing("instance", instance, "instance list")
	}
	return items(out), nil
}

// plan returns the stored plan that the path names.
func (c *call) plan() (proto.StoredPlan, error) {
	id := c.r.PathValue("id")
	p, ok := c.view.Plan(id)
	if !ok {
		return p, missing("stored plan", id, "plan list")
	}
	return p, nil
}

func getPlan(c *call) (any, error) {
	p, err := c.plan()
	return p, err
}

// beginPlan has a stored plan carried out: the leader begins its moves when it is time and their turn. One that is on its way already stays as it is, unless it is
// to begin at once.
func beginPlan(c *call) (any, error) {
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	var in v1.BeginRequest
	if c.r.ContentLength != 0 {
		if err := c.read(&in); err != nil {
			return nil, err
		}
	}
	if err := c.knows(proto.CmdPlanBegin); err != nil {
		return nil, err
	}
	switch {
	case p.WhatIf != nil:
		return nil, &v1.Error{
			Code: v1.CodeRefused, Message: fmt.Sprintf("plan %s is of a fleet that is not there, %s: it can't be carried out", p.ID, p.WhatIf.Words()),
			Remedy: "plan again for the fleet as it is: " + asked(p),
		}
	case p.Status.Ended():
		return nil, &v1.Error{Code: v1.CodeRefused, Message: fmt.Sprintf("plan %s is %s, and does not begin any more", p.ID, p.Status), Remedy: "plan again: glidepath plan migrate"}
	case p.Kind == proto.PlanDrain && p.Status == proto.PlanKept:
		return nil, &v1.Error{
			Code: v1.CodeRefused, Message: fmt.Sprintf("plan %s says how host %s could be emptied: the drain itself is planned anew when it begins", p.ID, p.Host), Remedy: asked(p),
		}
	case p.Kind == proto.PlanDrain:
		return nil, &v1.Error{Code: v1.CodeRefused, Message: fmt.Sprintf("plan %s is of the drain of %s, which begins it", p.ID, p.Host), Remedy: "see glidepath host drain show " + p.Host}
	case p.Status == proto.PlanScheduled && in.Now:
		p.Moves, p.Status = slices.Clone(p.Moves), proto.PlanQueued
		for i, m := range p.Moves {
			p.Moves[i].Start = min(m.Start, c.now)
			p.Moves[i].Holds = slices.DeleteFunc(slices.Clone(m.Holds), func(id string) bool {
				_, held := c.view.Reservation(id) // what has lapsed is not held again
				return !held
			})
		}
		return c.put(p, nil)
	case p.Status.Begins():
		return p, nil
	case p.Status == proto.PlanPaused || p.Status == proto.PlanBlocked || len(p.Moves) != 1:
		return c.changeTo(p, proto.PlanQueued, "")
	}
	return c.holding(p, in.Now)
}

// asked returns the command by which what a plan is of is asked for again.
func asked(p proto.StoredPlan) string {
	switch {
	case p.Kind == proto.PlanDrain:
		return "glidepath host drain " + p.Host
	case len(p.Moves) == 1:
		return "glidepath plan migrate " + p.Moves[0].Instance
	}
	return "glidepath plan --help"
}

// holding has a plan carried out that was only kept: it is planned again, against what is committed now, and holds its room from now on.
func (c *call) holding(p proto.StoredPlan, now bool) (any, error) {
	m := p.Moves[0]
	if i, ok := c.view.Instance(m.Instance); ok && (i.Owner != m.Source || i.Spec.Type != m.FromType) {
		return nil, &v1.Error{
			Code: v1.CodeConflict, Message: fmt.Sprintf("plan %s takes instance %s from %s, type %s; it is on %s, type %s, now", p.ID, m.Instance, m.Source, m.FromType, i.Owner, i.Spec.Type),
			Remedy: "plan again: glidepath plan migrate " + m.Instance,
		}
	}
	if err := c.noOtherMoves(m.Instance, p.ID); err != nil {
		return nil, err
	}
	in := v1.PlanRequest{Instance: m.Instance, Target: m.Target, Type: m.ToType, Before: p.Deadline, Windows: p.Windows, Probation: m.Probation, Squeeze: p.Squeeze}
	p.Status = proto.PlanQueued
	if m.Start > c.now && !now {
		in.At, p.Status = m.Start, proto.PlanScheduled
	}
	result, err := c.planned(in, "")
	if err != nil {
		return nil, err
	}
	next := result.Move(m.Chosen)
	next.Considered, next.Ruled, next.Starts = m.Considered, m.Ruled, m.Starts // why it is this host, and this start, was answered when it was made
	next.Reasons = m.Reasons
	hold := result.Holds(p.ID, 0, &next)
	p.Moves, p.Says = []proto.Move{next}, result.Plan.Warnings
	if result.Plan.Start > c.now {
		p.Status = proto.PlanScheduled
	}
	return c.put(p, hold, result.HoldsYield(hold)...)
}

// put stores a plan in the place of the one with its identifier, and returns it.
func (c *call) put(p proto.StoredPlan, hold []proto.Reservation, yield ...proto.Yield) (any, error) {
	p.Reason = ""
	if _, err := c.propose(&proto.PlanPut{Plan: p, From: p.Revision, Hold: hold, Yield: yield}); err != nil {
		return nil, err
	}
	p, _ = c.view.Plan(p.ID)
	return p, nil
}

func (c *call) changeTo(p proto.StoredPlan, to proto.PlanStatus, reason string) (any, error) {
	if _, err := c.propose(&proto.PlanChange{ID: p.ID, From: p.Status, To: to, Reason: reason}); err != nil {
		return nil, err
	}
	p, _ = c.view.Plan(p.ID)
	return p, nil
}

// cancelPlan has nothing more of a stored plan begin. What has begun goes on.
func cancelPlan(c *call) (any, error) {
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	in := v1.CancelRequest{Reason: "by the word of " + c.who.Actor()}
	if c.r.ContentLength != 0 {
		if err := c.read(&in); err != nil {
			return nil, err
		}
	}
	begun := slices.IndexFunc(p.Moves, func(m proto.Move) bool { return m.Migration != "" && m.Outcome == proto.OutcomeNone })
	waits := slices.ContainsFunc(p.Moves, func(m proto.Move) bool { return m.Migration == "" })
	switch {
	case p.Status == proto.PlanCancelled:
		return p, nil
	case p.Kind == proto.PlanDrain && p.Status == proto.PlanKept: // one that is cancelled is read as an operator's word on the drain itself
		return nil, &v1.Error{
			Code: v1.CodeRefused, Message: fmt.Sprintf("plan %s only says how host %s could be emptied: there is nothing to cancel", p.ID, p.Host),
			Remedy: "leave it: it makes room by itself where too many are kept",
		}
	case p.Kind == proto.PlanDrain && !p.Status.Ended():
		return nil, &v1.Error{Code: v1.CodeRefused, Message: fmt.Sprintf("plan %s is of the drain of %s, which makes another one", p.ID, p.Host), Remedy: "end that: glidepath host undrain " + p.Host}
	case begun >= 0 && !waits:
		return nil, &v1.Error{
			Code: v1.CodeRefused, Message: fmt.Sprintf("all of plan %s has begun: there is nothing left to cancel", p.ID),
			Remedy: "give a migration up: glidepath migration abort " + p.Moves[begun].Migration,
		}
	}
	return c.changeTo(p, proto.PlanCancelled, in.Reason)
}
