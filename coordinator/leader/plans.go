package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// How often it is looked for moves that are due, and after how long one that could not begin is tried again: twice as long each time that it is refused.
const (
	planEvery     = time.Second
	planAgain     = 10 * time.Second
	planAgainMost = 2 * time.Minute
	saysEvery     = 10 * time.Minute // that another reason is kept with a plan for which it waits
)

// Plans begins the moves of stored plans that are due, in their turn: each as it is planned then, against what is committed by then.
//
// What it has tried is all that it keeps. Everything else is in the tables, so that who leads next goes on with it.
type Plans struct {
	View func() *state.View
	Own  func() *state.View // one that nobody else has: what plans hold is planned without
	// Ask returns what a move of an instance that begins now is planned by, all but the request and the view. It is called concurrently.
	Ask     func(ctx context.Context, instance string) (planner.Input, error)
	Propose func(ctx context.Context, id string, body proto.Body) (proto.Result, error)
	NewID   func() string // of a migration
	Rate    int64         // of a transfer alone, in bits per second
	Log     *slog.Logger

	tried  map[planner.Ready]try
	asking asking[planner.Ready, known]
}

// try is a move that could not begin.
type try struct {
	again  timeline.Time // not before
	wait   time.Duration // for which it rests; 0: it keeps its place in the queue
	unfit  bool          // it did not fit as it was, for a reason that stays
	reason string
}

// round ends plans that are over and begins the moves whose turn it is.
func (p *Plans) round(ctx context.Context) error {
	view, now := p.View(), timeline.Of(time.Now())
	if !view.Knows(proto.CmdPlanBegin, 1) {
		return nil
	}
	var live []proto.StoredPlan
	for plan := range view.Plans() {
		if !plan.Status.Begins() || plan.WhatIf != nil || !drains(plan, view) {
			continue
		}
		to, reason := over(plan, view, now)
		if to == "" {
			live = append(live, plan)
			continue
		}
		if err := p.end(ctx, view, plan, to, reason); err != nil {
			return err
		}
	}
	p.forget(live)
	ready := planner.Queue(live, view, now, func(r planner.Ready) bool { return p.tried[r].wait > 0 && p.tried[r].again > now })
	if len(ready) == 0 {
		return nil
	}
	rates, err := p.rates(ready, now)
	if err != nil {
		return err
	}
	for i, r := range ready {
		if p.tried[r].again > now {
			continue // it was tried a moment ago
		}
		if rates[i] == 0 && slices.ContainsFunc(live, func(l proto.StoredPlan) bool { return l.ID == r.Plan && l.Squeeze }) {
			rates[i] = planner.LeastRate
		}
		if rates[i] == 0 {
			p.pass(r, "the links of its hosts have no room for its transfer")
			continue
		}
		known, told := p.answer(ctx, view, r)
		if !told {
			continue // it is asked for what it is planned by
		}
		if err := p.begin(ctx, r, known, rates[i]); err != nil {
			return err
		}
	}
	return nil
}

// drains reports whether a plan is of no drain, or of one that goes on. Whoever drains pauses the plan of one that is paused, and ends that of one that was taken
// back, when its turn comes: nothing begins until then either.
func drains(plan proto.StoredPlan, view *state.View) bool {
	if plan.Kind != proto.PlanDrain {
		return true
	}
	h, _ := view.Host(plan.Host)
	return h.Drain != nil && plan.MadeAt >= h.Drain.Since && (h.Drain.State == proto.DrainGoesOn || h.Drain.State == proto.DrainBlocked)
}

// over returns what a plan has become, and why, if nothing more of it will begin. Those of drains are planned anew by who drains.
func over(plan proto.StoredPlan, view *state.View, now timeline.Time) (proto.PlanStatus, string) {
	if plan.Kind == proto.PlanDrain {
		return "", ""
	}
	ended, reason := 0, ""
	for n, m := range plan.Moves {
		switch {
		case m.Migration == "":
			if why := planner.Moot(plan, n, view, now); why != "" {
				return proto.PlanStale, why
			}
		case m.Outcome != proto.OutcomeNone:
			ended++
			if m.Outcome != proto.OutcomeCompleted {
				reason = fmt.Sprintf("migration %s of %s was %s", m.Migration, m.Instance, m.Outcome)
			}
		}
	}
	if ended == len(plan.Moves) && plan.Status == proto.PlanRunning {
		return proto.PlanDone, reason
	}
	return "", ""
}

// end ends a plan.
func (p *Plans) end(ctx context.Context, view *state.View, plan proto.StoredPlan, to proto.PlanStatus, reason string) error {
	reason = reason[:min(len(reason), proto.MaxTextLength)]
	r, err := p.Propose(ctx, fmt.Sprintf("plan/%s/%s/%d", plan.ID, to, view.Applied()), &proto.PlanChange{ID: plan.ID, From: plan.Status, To: to, Reason: reason})
	switch {
	case err != nil:
		return err
	case !r.OK():
		p.Log.Info("a plan could not be ended: it is looked at again", "plan", plan.ID, "as", to, "reason", r.Message)
	case to == proto.PlanStale:
		p.Log.Warn("a plan is stale: what it holds is given back", "plan", plan.ID, "reason", reason)
	default:
		p.Log.Info("a plan has ended", "plan", plan.ID, "as", to, "reason", reason)
	}
	return nil
}

// forget drops what was tried of plans that are over.
func (p *Plans) forget(live []proto.StoredPlan) {
	for r := range p.tried {
		if !slices.ContainsFunc(live, func(l proto.StoredPlan) bool { return l.ID == r.Plan }) {
			delete(p.tried, r)
		}
	}
	for r := range p.asking.known {
		if !slices.ContainsFunc(live, func(l proto.StoredPlan) bool { return l.ID == r.Plan }) {
			delete(p.asking.known, r)
		}
	}
}

// rates returns at how many bits per second moves that begin together may copy, at most: what they hold for that is shared among them anew.
func (p *Plans) rates(ready []planner.Ready, now timeline.Time) ([]int64, error) {
	view := p.Own()
	together := make([]planner.Together, len(ready))
	var holds []string
	for i, r := range ready {
		plan, there := view.Plan(r.Plan)
		if !there || r.Move >= len(plan.Moves) {
			continue // it has changed: begin sees
		}
		m := plan.Moves[r.Move]
		holds = append(holds, m.Holds...)
		instance, _ := view.Instance(m.Instance)
		together[i] = planner.Together{Source: m.Source, Target: m.Target, Bytes: m.Figures.Bytes.Median, Deadline: plan.Deadline, Class: instance.Spec.Class}
	}
	view, err := view.Letting(holds...)
	if err != nil {
		return nil, err
	}
	return planner.Rates(view, together, p.Rate, now), nil
}

// begin begins a move as it is planned now. What came of it is found in the tables in the next round, also where it is not known whether that was committed.
func (p *Plans) begin(ctx context.Context, r planner.Ready, known known, rate int64) error {
	view := p.Own()
	plan, there := view.Plan(r.Plan)
	if !there || !plan.Status.Begins() || r.Move >= len(plan.Moves) || plan.Moves[r.Move].Migration != "" {
		return nil
	}
	m := plan.Moves[r.Move]
	if m.Instance != known.instance {
		return nil // the plan was made anew while that was asked: what is known is not of the move that is at its place now
	}
	if err := known.wrong(m.Target); err != nil {
		p.bear(r, err.Error())
		return p.say(ctx, plan, err.Error())
	}
	without, err := view.Letting(m.Holds...)
	if err != nil {
		return err
	}
	request := planner.Again(plan, m)
	result, err := known.plan(without, request, rate)
	var no *planner.Refusal
	switch {
	case errors.As(err, &no):
		return p.unfit(ctx, view, plan, r, known, no.Error(), no.Passes || plan.Kind != proto.PlanDrain && known.fitsLater(without, request, p.Rate))
	case err != nil:
		p.bear(r, err.Error())
		return p.say(ctx, plan, err.Error())
	}
	if result.Plan.Start > result.Plan.MadeAt {
		return p.putOff(ctx, view, plan, r, result)
	}
	migration := p.NewID()
	// By the tables that it was decided by, it is proposed once, whoever leads.
	res, err := p.Propose(ctx, fmt.Sprintf("plan/%s/%d/%d", plan.ID, r.Move, view.Applied()), &proto.PlanBegin{
		ID: plan.ID, Move: r.Move, Start: proto.MigrationStart{ID: migration, Plan: result.Plan, Reservation: result.Reservation, Extra: result.Extra},
		Yield: result.Yielded.Yield,
	})
	switch {
	case err != nil:
		return err
	case res.OK():
		delete(p.tried, r)
		p.Log.Info("a move of a plan has begun", "plan", plan.ID, "move", r.Move+1, "migration", migration, "instance", m.Instance, "from", m.Source, "to", m.Target)
		return nil
	case res.Shortfall != nil: // it fitted a moment ago: somebody else took the room meanwhile
		return p.unfit(ctx, view, plan, r, known, res.Message, true)
	case res.Code == proto.ResultInvalid:
		return p.unfit(ctx, view, plan, r, known, res.Message, false)
	}
	p.wait(r, res.Message) // others are at it, or the tables have changed
	return nil
}

// wait has a move tried again a little later, with its place in the queue kept.
func (p *Plans) wait(r planner.Ready, reason string) {
	p.rest(r, try{again: timeline.Of(time.Now().Add(planAgain)), unfit: p.tried[r].unfit, reason: reason})
}

// pass has a move tried again a little later, and lets others go first until then: what is in its way may be there for long, and it comes first again when that is over.
func (p *Plans) pass(r planner.Ready, reason string) {
	p.rest(r, try{again: timeline.Of(time.Now().Add(planAgain)), wait: planAgain, unfit: p.tried[r].unfit, reason: reason})
}

// bear has a move that was refused for what passes tried again, later each time, and lets others go first until then.
func (p *Plans) bear(r planner.Ready, reason string) {
	wait := min(max(2*p.tried[r].wait, planAgain), planAgainMost)
	p.rest(r, try{again: timeline.Of(time.Now().Add(wait)), wait: wait, reason: reason})
}

func (p *Plans) rest(r planner.Ready, t try) {
	if p.tried[r].reason != t.reason {
		p.Log.Warn("a move of a plan can't begin yet", "plan", r.Plan, "move", r.Move+1, "reason", t.reason)
	}
	p.tried[r] = t
}

// unfit has a move planned again that does not fit: to another host, where none was named. What passes is borne for as long as the plan has time; for anything else it becomes
// stale when it does not fit for the second time.
func (p *Plans) unfit(ctx context.Context, view *state.View, plan proto.StoredPlan, r planner.Ready, known known, reason string, passes bool) error {
	if plan.Kind == proto.PlanDrain {
		p.pass(r, reason)
		return nil
	}
	if !passes && p.tried[r].unfit {
		return p.end(ctx, view, plan, proto.PlanStale, reason)
	}
	p.bear(r, reason)
	t := p.tried[r]
	t.unfit = !passes
	p.tried[r] = t
	if plan.Moves[r.Move].Chosen {
		if err := p.elsewhere(ctx, view, plan, r, known); err != nil || p.tried[r].again == 0 {
			return err
		}
	}
	return p.say(ctx, plan, reason)
}

// say keeps with a plan of a migration why it waits, so that it is seen where plans are looked at; another reason than the one before only after a while, as each may have other figures.
func (p *Plans) say(ctx context.Context, plan proto.StoredPlan, reason string) error {
	reason = short(reason, proto.MaxTextLength)
	if plan.Kind != proto.PlanMigrate || plan.Reason == reason || plan.Reason != "" && timeline.Of(time.Now()).Sub(plan.ChangedAt) < saysEvery {
		return nil
	}
	plan.Reason, plan.Moves = reason, slices.Clone(plan.Moves)
	view := p.View()
	for i, m := range plan.Moves { // what has lapsed is not held again
		plan.Moves[i].Holds = slices.DeleteFunc(slices.Clone(m.Holds), func(id string) bool {
			_, held := view.Reservation(id)
			return !held
		})
	}
	res, err := p.Propose(ctx, fmt.Sprintf("plan/%s/waits/%d", plan.ID, plan.Revision), &proto.PlanPut{Plan: plan, From: plan.Revision})
	if err == nil && !res.OK() {
		p.Log.Info("why a plan waits could not be stored", "plan", plan.ID, "reason", res.Message)
	}
	return err
}

// waiting returns a plan that is changed before a move of it begins: what it has waited for is over. A rebalance's reason is whose word it begins by.
func waiting(plan proto.StoredPlan) proto.StoredPlan {
	plan.Moves = slices.Clone(plan.Moves)
	if plan.Kind == proto.PlanMigrate {
		plan.Reason = ""
	}
	return plan
}

// elsewhere plans a move to whichever host suits it best now.
func (p *Plans) elsewhere(ctx context.Context, view *state.View, plan proto.StoredPlan, r planner.Ready, known known) error {
	was := plan.Moves[r.Move]
	without, err := view.Letting(was.Holds...)
	if err != nil {
		return err
	}
	request := planner.Again(plan, was)
	request.Target = ""
	result, err := known.plan(without, request, p.Rate)
	if err != nil {
		p.Log.Info("a move of a plan finds no other host", "plan", plan.ID, "move", r.Move+1, "reason", err)
		return nil // it is tried once more, where it was planned
	}
	m := result.Move(true)
	m.After, m.Parked, m.Holds = was.After, was.Parked, was.Holds
	hold := result.Holds(plan.ID, r.Move, &m)
	plan = waiting(plan)
	plan.Moves[r.Move] = m
	res, err := p.Propose(ctx, fmt.Sprintf("plan/%s/%d/again/%d", plan.ID, r.Move, view.Applied()), &proto.PlanPut{
		Plan: plan, From: plan.Revision, Hold: hold, Yield: result.HoldsYield(hold),
	})
	if err != nil {
		return err
	}
	if !res.OK() {
		p.Log.Info("another host for a move of a plan could not be stored: it is looked at again", "plan", plan.ID, "move", r.Move+1, "host", m.Target, "reason", res.Message)
		return nil
	}
	t := p.tried[r]
	t.again = 0
	p.tried[r] = t
	p.Log.Info("a move of a plan leads to another host", "plan", plan.ID, "move", r.Move+1, "instance", m.Instance, "from", was.Target, "to", m.Target)
	return nil
}

// putOff has a move begin later, as it is planned now, with its room held until then: those who yield for it have memory to give back first.
func (p *Plans) putOff(ctx context.Context, view *state.View, plan proto.StoredPlan, r planner.Ready, result planner.Result) error {
	was := plan.Moves[r.Move]
	m := result.Move(was.Chosen)
	m.After, m.Parked, m.Holds = was.After, was.Parked, was.Holds
	m.Considered, m.Ruled, m.Starts, m.Reasons = was.Considered, was.Ruled, was.Starts, was.Reasons
	hold := result.Holds(plan.ID, r.Move, &m)
	plan = waiting(plan)
	plan.Moves[r.Move] = m
	res, err := p.Propose(ctx, fmt.Sprintf("plan/%s/%d/later/%d", plan.ID, r.Move, view.Applied()), &proto.PlanPut{
		Plan: plan, From: plan.Revision, Hold: hold, Yield: result.HoldsYield(hold),
	})
	switch {
	case err != nil:
		return err
	case !res.OK():
		p.wait(r, res.Message)
	default:
		delete(p.tried, r)
		p.Log.Info("a move of a plan is put off until others have yielded memory for it", "plan", plan.ID, "move", r.Move+1, "instance", m.Instance, "start", m.Start)
	}
	return nil
}
