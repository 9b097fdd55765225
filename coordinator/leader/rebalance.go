package leader

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// How often suggestions are looked through, how often the fleet is looked at for others at most, and after how long that is tried again where it could not be done.
const (
	rebalanceEvery = 30 * time.Second
	rebalanceLeast = planner.LeastEvery
	rebalanceAgain = time.Minute
	rebalanceAsked = 16             // moves that are asked for at once
	executedDay    = 24 * time.Hour // in which no more moves are carried out than the policy says
)

// byPolicy is why a plan begins that nobody but the policy has let begin.
const byPolicy = "the policy has what is suggested carried out"

// Rebalance keeps moves that would make the fleet better as suggestions: it looks for them when the policy says so, and drops those that would do no good any more. It
// carries out what it suggests only if the policy says that, too: as plans, whose moves Plans begins.
//
// All that decides is in the tables, so that who leads next goes on with it; what is kept here is only when the fleet was looked at.
type Rebalance struct {
	View func() *state.View
	Own  func() *state.View // one that nobody else has
	// Look fills in what the tables don't say, and looks at the fleet.
	Look func(context.Context, planner.RebalanceInput) (planner.Rebalanced, error)
	// Ask returns what a move of an instance that begins now is planned by, all but the request and the view. It is called concurrently.
	Ask     func(ctx context.Context, instance string) (planner.Input, error)
	Propose func(ctx context.Context, id string, body proto.Body) (proto.Result, error)
	Rate    int64 // of a transfer, in bits per second
	Log     *slog.Logger

	turn  timeline.Time // the last time to look that was kept
	again timeline.Time // not before
}

// Run suggests moves until ctx ends.
func (r *Rebalance) Run(ctx context.Context) error {
	r.turn, r.again = 0, 0
	return rounds(ctx, rebalanceEvery, r.round)
}

func (r *Rebalance) round(ctx context.Context) error {
	view, now := r.View(), timeline.Of(time.Now())
	if view.Fleet().ID == "" || !view.Knows(proto.CmdPlanBegin, 1) || !view.Knows(proto.CmdNotice, 1) {
		return nil
	}
	var policy proto.Rebalance // by default: when somebody asks
	if p := view.Fleet().Policy.Rebalance; p != nil {
		policy = *p
	}
	if err := r.review(ctx, policy, now); err != nil {
		return err
	}
	if policy.Every > 0 && now >= r.again {
		// By the clock, and not by when somebody began to lead: a change of leader looks once more, and finds what is there already.
		if turn := now.Floor(max(rebalanceLeast, time.Duration(policy.Every)*time.Millisecond)); turn > r.turn {
			if err := r.look(ctx, policy, turn, now); err != nil {
				return err
			}
		}
	}
	return r.tell(ctx)
}

// waits reports whether a plan is one that a rebalance has suggested, and of which nothing has begun.
func waits(p proto.StoredPlan) bool {
	return p.Kind == proto.PlanRebalance && proto.OfRebalance(p.ID) && !p.Status.Ended() && p.WhatIf == nil && !slices.ContainsFunc(p.Moves, begun)
}

// review ends suggestions that would do no good any more, and of plans that the policy had begin those, too, that it does not any more. What an operator let begin is the
// operator's.
func (r *Rebalance) review(ctx context.Context, policy proto.Rebalance, now timeline.Time) error {
	var view *state.View
	for p := range r.View().Plans() {
		policys := p.Status.Begins() && p.Reason == byPolicy
		if !waits(p) || p.Status != proto.PlanSuggested && !policys {
			continue
		}
		if view == nil {
			view = r.Own()
		}
		to, why := proto.PlanStale, planner.Outlived(p, view, now)
		if policys && !policy.Execute {
			to, why = proto.PlanCancelled, "the policy does not have what is suggested carried out any more"
		}
		if why == "" {
			continue
		}
		if _, err := r.do(ctx, p.ID, view, &proto.PlanChange{ID: p.ID, From: p.Status, To: to, Reason: short(why, proto.MaxTextLength)}); err != nil {
			return err
		}
	}
	return nil
}

// look looks at the fleet, and stores what that suggests in the place of what was suggested before.
func (r *Rebalance) look(ctx context.Context, policy proto.Rebalance, turn, now timeline.Time) error {
	found, err := r.Look(ctx, planner.RebalanceInput{Now: now, Margin: policy.LeastGain})
	if err != nil {
		r.again = now.Add(rebalanceAgain)
		r.Log.Warn("the fleet can't be looked at for moves that balance it: it is tried again", "error", err)
		return nil
	}
	r.turn = turn
	view := r.View()
	stored := found.Store(view, now)
	for _, c := range stored.End {
		if _, err := r.do(ctx, c.ID, view, c); err != nil {
			return err
		}
	}
	for _, p := range stored.Put {
		ok, err := r.do(ctx, p.Plan.ID, view, p)
		if err != nil {
			return err
		}
		if m := p.Plan.Moves[0]; ok {
			r.Log.Info("a move is suggested", "plan", p.Plan.ID, "instance", m.Instance, "from", m.Source, "to", m.Target, "because", p.Plan.Reason)
		}
	}
	if !policy.Execute {
		return nil
	}
	return r.execute(ctx, policy, stored.IDs, now)
}

// execute has what is suggested carried out, in its order: as many moves as the policy has left for the day.
func (r *Rebalance) execute(ctx context.Context, policy proto.Rebalance, plans []string, now timeline.Time) error {
	left := policy.MovesDay - executed(r.View(), now)
	for len(plans) > 0 && left > 0 {
		some := plans[:min(len(plans), left, rebalanceAsked)]
		plans = plans[len(some):]
		for i, known := range r.ask(ctx, some) {
			begins, err := r.begin(ctx, some[i], known)
			if err != nil {
				return err
			}
			if begins {
				left--
			}
		}
	}
	return nil
}

// ask returns what the moves of plans are planned by. All of them are asked for at once: an agent or a home that does not answer holds up nothing but its own.
func (r *Rebalance) ask(ctx context.Context, plans []string) []known {
	view, out := r.View(), make([]known, len(plans))
	var all sync.WaitGroup
	for i, id := range plans {
		if p, _ := view.Plan(id); len(p.Moves) == 1 {
			all.Go(func() {
				at, instance := time.Now(), p.Moves[0].Instance
				in, err := r.Ask(ctx, instance)
				out[i] = known{instance, in, err, at}
			})
		}
	}
	all.Wait()
	return out
}

// executed returns how many moves that a rebalance suggested have begun in the last day, or are about to, by whoever's word. It counts migrations, which are kept for that
// long: plans may not be.
func executed(view *state.View, now timeline.Time) (n int) {
	for m := range view.Migrations() {
		if proto.OfRebalance(m.Plan.Stored) && now.Sub(m.CreatedAt) < executedDay {
			n++
		}
	}
	for p := range view.Plans() {
		if waits(p) && p.Status != proto.PlanKept && p.Status != proto.PlanSuggested {
			n++
		}
	}
	return n
}

// begin has one plan carried out: it is planned again, against what is committed now, and holds its room from now on.
func (r *Rebalance) begin(ctx context.Context, id string, known known) (bool, error) {
	view := r.Own()
	p, there := view.Plan(id)
	if !there || p.Status != proto.PlanSuggested || !waits(p) || p.Moves[0].Instance != known.instance {
		return false, nil
	}
	was := p.Moves[0]
	err := known.wrong(was.Target)
	var result planner.Result
	if err == nil {
		request := planner.Again(p, was)
		p.Status = proto.PlanQueued
		if was.Start > known.in.Now {
			request.At, p.Status = was.Start, proto.PlanScheduled
		}
		result, err = known.plan(view, request, r.Rate)
	}
	if err != nil {
		r.Log.Info("a move that is suggested can't be carried out: it stays a suggestion", "plan", id, "reason", err)
		return false, nil
	}
	m := result.Move(false)
	m.Reasons, m.Considered, m.Ruled = was.Reasons, was.Considered, was.Ruled // why it is this host was answered when it was suggested
	hold := result.Holds(id, 0, &m)
	p.Moves, p.Says, p.Reason = []proto.Move{m}, result.Plan.Warnings, byPolicy
	ok, err := r.do(ctx, id, view, &proto.PlanPut{Plan: p, From: p.Revision, Hold: hold})
	if ok {
		r.Log.Info("a move that is suggested is to be carried out", "plan", id, "instance", m.Instance, "from", m.Source, "to", m.Target, "because", byPolicy)
	}
	return ok, err
}

// tell keeps one notice of what is suggested, and clears it when nothing is any more.
func (r *Rebalance) tell(ctx context.Context) error {
	view := r.View()
	var all []proto.StoredPlan
	for p := range view.Plans() {
		if p.Status == proto.PlanSuggested && waits(p) && len(p.Moves) == 1 {
			all = append(all, p)
		}
	}
	id := proto.NoticeID(proto.NoticeRebalance, "fleet")
	told, there := view.Notice(id)
	there = there && told.ClearedAt == 0
	if len(all) == 0 {
		if !there {
			return nil
		}
		_, err := r.do(ctx, "notice", view, &proto.NoticePut{Clear: []string{id}})
		return err
	}
	first := all[0] // by its identifier
	m := first.Moves[0]
	n := proto.Notice{ID: id, Kind: proto.NoticeRebalance, Plan: first.ID, Instance: m.Instance}
	n.Says = fmt.Sprintf("the fleet would be better balanced with %s on %s instead of %s: %s", m.Instance, m.Target, m.Source, first.Reason)
	n.Proposes = "carry it out: glidepath plan begin " + first.ID
	if len(all) > 1 {
		n.Says += fmt.Sprintf("; %d such moves are suggested", len(all))
		n.Proposes += "; the others: glidepath plan list --active"
	}
	n.Says = short(n.Says, proto.MaxTextLength/2)
	if there && told.Says == n.Says && told.Plan == n.Plan {
		return nil
	}
	_, err := r.do(ctx, "notice", view, &proto.NoticePut{Put: []proto.Notice{n}})
	return err
}

// do commits a command, once by the tables that it was decided by, and reports whether it was done. One that is refused came too late: the next round sees what is so by then.
func (r *Rebalance) do(ctx context.Context, about string, view *state.View, body proto.Body) (bool, error) {
	res, err := r.Propose(ctx, fmt.Sprintf("rebalance/%s/%s/%d", about, body.Command(), view.Applied()), body)
	if err != nil {
		return false, err
	}
	if !res.OK() {
		r.Log.Info("a decision on what is suggested came too late: it is looked at again", "about", about, "decision", body.Command(), "reason", res.Message)
	}
	return res.OK(), nil
}
