package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// How often hosts that are emptied are looked at, and after how long one is planned for again that can't be emptied as it was planned: twice as long each time.
const (
	drainEvery     = 2 * time.Second
	drainAgain     = 30 * time.Second
	drainAgainMost = 10 * time.Minute
)

// Drains sees to it that what is on hosts that are emptied has a plan by which it leaves, for as long as that takes. Plans begins its moves.
//
// All that decides is in the tables, so that who leads next goes on with it; what is kept here is only when to look again.
type Drains struct {
	View    func() *state.View
	Plan    func(context.Context, planner.DrainInput) (proto.StoredPlan, error) // fills in what the tables don't say, and plans. It is called concurrently
	Propose func(context.Context, proto.Body) (proto.Result, error)
	NewID   func() string
	Log     *slog.Logger

	again  map[string]again
	asking asking[string, replanned] // by host
}

// drainsPlanned is how many drains are planned at once.
const drainsPlanned = 16

// replanned is a drain as it was planned, for a host as it was by then.
type replanned struct {
	emptying
	reason string
	fresh  proto.StoredPlan
	err    error
}

// again is when a host is planned for again, for the reason for which it was last.
type again struct {
	at     timeline.Time
	wait   time.Duration
	reason string
}

// Run empties hosts until ctx ends.
func (d *Drains) Run(ctx context.Context) error {
	d.again = map[string]again{}
	return d.asking.rounds(ctx, drainEvery, drainsPlanned, d.round)
}

// round looks at every host that is emptied, or was, and at plans that nobody needs any more.
func (d *Drains) round(ctx context.Context) error {
	for name := range d.asking.known {
		planned, _ := d.asking.told(name)
		if err := d.store(ctx, planned); err != nil {
			return err
		}
	}
	view := d.View()
	if !view.Knows(proto.CmdHostDrain, 1) || !view.Knows(proto.CmdPlanBegin, 1) {
		return nil
	}
	now := timeline.Of(time.Now())
	live := map[string][]proto.StoredPlan{}
	for p := range view.Plans() {
		if p.Kind == proto.PlanDrain && p.WhatIf == nil && !p.Status.Ended() && p.Status != proto.PlanKept && p.Status != proto.PlanSuggested {
			live[p.Host] = append(live[p.Host], p)
		}
	}
	told, gone := toldOf(view)
	due := dueOf(view, now)
	for h := range view.Hosts() {
		name := h.Facts.Name
		plans := live[name]
		delete(live, name)
		if h.Drain == nil {
			delete(d.again, name)
		}
		if h.Drain == nil && plans == nil && !told[name] {
			continue
		}
		e := emptying{host: h, view: view, now: now, due: due}
		if h.Drain != nil {
			e.drain = *h.Drain
		}
		if err := d.look(ctx, e, plans); err != nil {
			return err
		}
	}
	for _, plans := range live {
		for _, p := range plans {
			if err := d.end(ctx, p, "its host is not of the fleet any more"); err != nil {
				return err
			}
		}
	}
	if len(gone) > 0 {
		return d.do(ctx, "", &proto.NoticePut{Clear: gone})
	}
	return nil
}

// toldOf returns the hosts of which it is told that they can't be emptied, and the notices of hosts that are not of the fleet any more: who told
// those looks at no such host.
func toldOf(view *state.View) (blocked map[string]bool, gone []string) {
	blocked = map[string]bool{}
	for n := range view.Notices() {
		if n.Host == "" || n.ClearedAt != 0 {
			continue
		}
		if _, there := view.Host(n.Host); !there {
			gone = append(gone, n.ID)
		} else if n.Kind == proto.NoticeBlocked {
			blocked[n.Host] = true
		}
	}
	return blocked, gone
}

// look takes the drain of one host a step further.
func (d *Drains) look(ctx context.Context, e emptying, plans []proto.StoredPlan) error {
	goesOn := e.drain.State != proto.DrainNone && e.drain.State != proto.DrainDone
	for _, p := range plans {
		switch {
		case !goesOn || p.MadeAt < e.drain.Since:
			if err := d.end(ctx, p, "the drain that it was for was taken back"); err != nil {
				return err
			}
		case e.live != nil: // two leaders have made one each. Nobody has cancelled it: what has failed counts still
			if err := d.change(ctx, p, proto.PlanStale, "another plan is there for the drain"); err != nil {
				return err
			}
		default:
			e.live = &p
		}
	}
	switch {
	case !goesOn:
		return d.tell(ctx, e, nil)
	case e.empty():
		if e.live != nil {
			if err := d.end(ctx, *e.live, "nothing is left on the host"); err != nil {
				return err
			}
		}
		if err := d.tell(ctx, e, nil); err != nil {
			return err
		}
		return d.turn(ctx, e, proto.DrainDone, "")
	case e.drain.State == proto.DrainPaused:
		if e.live != nil && e.live.Status.Begins() {
			return d.change(ctx, *e.live, proto.PlanPaused, e.drain.Reason)
		}
		return nil
	case e.live != nil && e.live.Status == proto.PlanPaused:
		return d.change(ctx, *e.live, e.underWay(), "")
	}
	return d.goOn(ctx, e)
}

// goOn plans anew what is not as it was planned, and gives up what has failed too often.
func (d *Drains) goOn(ctx context.Context, e emptying) error {
	stands := e.live != nil && e.live.Status == proto.PlanBlocked
	instance, why := e.givenUp()
	switch {
	case stands && e.drain.State == proto.DrainGoesOn: // an operator lets it go on: what has failed before doesn't count any more
		delete(d.again, e.host.Facts.Name)
		return d.change(ctx, *e.live, proto.PlanCancelled, "the drain goes on with another plan")
	case stands && instance != "":
		return nil // it takes an operator's word
	case instance != "":
		// The drain first: a plan that stands while the drain goes on is one that an operator has seen.
		if err := d.turn(ctx, e, proto.DrainBlocked, why); err != nil {
			return err
		}
		if err := d.change(ctx, *e.live, proto.PlanBlocked, why); err != nil {
			return err
		}
		return d.tell(ctx, e, &proto.Notice{Instance: instance, Says: why, Proposes: "see why, put that right, then: glidepath host drain resume " + e.host.Facts.Name})
	}
	if d.asking.asked[e.host.Facts.Name] {
		return nil // it is being planned
	}
	reason := e.unplanned()
	last := d.again[e.host.Facts.Name]
	switch {
	case reason == "":
		delete(d.again, e.host.Facts.Name)
		return nil
	case reason == last.reason && e.now < last.at:
		return nil
	case reason != last.reason:
		last = again{reason: reason, wait: drainAgain / 2}
	}
	asked := d.asking.ask(e.host.Facts.Name, func() replanned {
		fresh, err := d.planned(ctx, e)
		return replanned{e, reason, fresh, err}
	})
	if !asked {
		return nil // others come first
	}
	last.wait = min(2*last.wait, drainAgainMost)
	last.at = e.now.Add(last.wait)
	d.again[e.host.Facts.Name] = last
	return nil
}

// store stores how what is on the host leaves it, unless the drain has been paused, taken back or begun anew while that was planned.
func (d *Drains) store(ctx context.Context, p replanned) error {
	e, fresh, reason := p.emptying, p.fresh, p.reason
	name := e.host.Facts.Name
	if now, _ := d.View().Host(name); now.Drain == nil || now.Drain.Since != e.drain.Since || now.Drain.State != e.drain.State {
		delete(d.again, name)
		return nil
	}
	if p.err != nil {
		d.Log.Warn("a drain can't be planned now: it is tried again", "host", name, "reason", reason, "error", p.err)
		return nil
	}
	fresh.Moves = slices.Clone(fresh.Moves)
	for i := range fresh.Moves {
		fresh.Moves[i].Probation = e.drain.Probation
	}
	id, from, old := d.NewID(), uint64(0), []proto.Move(nil)
	if e.live != nil {
		id, from, old = e.live.ID, e.live.Revision, e.live.Moves
	}
	moves, ok := merged(old, fresh.Moves)
	if !ok {
		return d.change(ctx, *e.live, proto.PlanStale, reason) // another one takes its place
	}
	fresh.Moves, fresh.ID, fresh.Status = moves, id, proto.PlanQueued
	switch {
	case !slices.ContainsFunc(fresh.Moves, func(m proto.Move) bool { return m.Outcome == proto.OutcomeNone }) && fresh.Blocked != nil:
		fresh.Status = proto.PlanBlocked
	case e.live != nil:
		fresh.Status = e.underWay()
	case len(fresh.Moves) == 0:
		return nil // what is there is on its way already
	}
	if e.live == nil || !alike(*e.live, fresh) {
		r, err := d.Propose(ctx, &proto.PlanPut{Plan: fresh.Slim(), From: from})
		if err != nil {
			return err
		}
		if !r.OK() {
			d.Log.Info("the plan of a drain could not be stored: it is made again", "host", name, "plan", id, "reason", r.Message)
			if r.Code == proto.ResultStale {
				delete(d.again, name) // something was decided meanwhile: what else stands in the way does so for a while
			}
			return nil
		}
		d.Log.Info("a drain is planned", "host", name, "plan", id, "moves", len(fresh.Moves), "blocked", fresh.Blocked != nil, "because", reason)
	}
	if fresh.Blocked == nil {
		if err := d.tell(ctx, e, nil); err != nil {
			return err
		}
		return d.turn(ctx, e, proto.DrainGoesOn, "")
	}
	b := *fresh.Blocked
	var helps []string
	for _, u := range b.Unblock {
		helps = append(helps, u.Says)
	}
	if err := d.tell(ctx, e, &proto.Notice{
		Plan: id, Span: b.Span, Resource: b.Resource, Missing: b.Missing, Says: "host " + name + " can't be emptied: " + b.Words(), Proposes: strings.Join(helps, "; or "),
	}); err != nil {
		return err
	}
	return d.turn(ctx, e, proto.DrainBlocked, b.Words())
}

// planned plans with the drain's deadline, or without it where more leaves the host then: late is better than never.
func (d *Drains) planned(ctx context.Context, e emptying) (proto.StoredPlan, error) {
	in := planner.DrainInput{Host: e.host.Facts.Name, Now: e.now, Probation: e.drain.Probation, Squeeze: e.drain.Squeeze}
	if e.drain.Deadline > e.now {
		in.Deadline = e.drain.Deadline
	}
	fresh, err := d.Plan(ctx, in)
	var no *planner.Refusal
	if in.Deadline != 0 && (errors.As(err, &no) || err == nil && fresh.Blocked != nil) {
		in.Deadline = 0
		if late, lateErr := d.Plan(ctx, in); lateErr == nil && (err != nil || late.Blocked == nil || len(late.Blocked.Instances) < len(fresh.Blocked.Instances)) {
			fresh, err = late, nil
		}
	}
	if err == nil && e.drain.Deadline != 0 && fresh.Deadline == 0 {
		fresh.Says = slices.Insert(slices.Clone(fresh.Says), 0, fmt.Sprintf("it was to be done by %s, which can't be kept any more: it goes on as fast as it can", e.drain.Deadline))
	}
	return fresh, err
}

// end ends a plan of which nothing more is to begin. Where all of it has begun that is when it is over.
func (d *Drains) end(ctx context.Context, p proto.StoredPlan, reason string) error {
	to := proto.PlanCancelled
	if !slices.ContainsFunc(p.Moves, func(m proto.Move) bool { return !begun(m) }) && p.Status.May(proto.PlanDone) {
		if slices.ContainsFunc(p.Moves, func(m proto.Move) bool { return m.Outcome == proto.OutcomeNone }) {
			return nil
		}
		to, reason = proto.PlanDone, ""
	}
	return d.change(ctx, p, to, reason)
}

// change takes a plan to another status.
func (d *Drains) change(ctx context.Context, p proto.StoredPlan, to proto.PlanStatus, reason string) error {
	return d.do(ctx, p.Host, &proto.PlanChange{ID: p.ID, From: p.Status, To: to, Reason: short(reason, proto.MaxTextLength)})
}

// turn takes a drain to another state, unless it is there.
func (d *Drains) turn(ctx context.Context, e emptying, to proto.DrainState, reason string) error {
	if e.drain.State == to {
		return nil
	}
	d.Log.Info("a drain has another state", "host", e.host.Facts.Name, "was", e.drain.State, "is", to, "reason", reason)
	return d.do(ctx, e.host.Facts.Name, &proto.HostDrain{Host: e.host.Facts.Name, From: e.drain.State, To: to, Reason: short(reason, proto.MaxTextLength)})
}

// tell puts the notice that a host can't be emptied, or clears it without one, where that is not so already.
func (d *Drains) tell(ctx context.Context, e emptying, n *proto.Notice) error {
	id := proto.NoticeID(proto.NoticeBlocked, e.host.Facts.Name)
	told, there := e.view.Notice(id)
	there = there && told.ClearedAt == 0
	switch {
	case n == nil && there:
		return d.do(ctx, e.host.Facts.Name, &proto.NoticePut{Clear: []string{id}})
	case n == nil:
		return nil
	}
	n.ID, n.Kind, n.Host = id, proto.NoticeBlocked, e.host.Facts.Name
	n.Says, n.Proposes = short(n.Says, proto.MaxTextLength/2), short(n.Proposes, proto.MaxTextLength/4)
	if there && told.Says == n.Says && told.Proposes == n.Proposes || !e.view.KeepsNotice(*n) {
		return nil
	}
	return d.do(ctx, e.host.Facts.Name, &proto.NoticePut{Put: []proto.Notice{*n}})
}

// do commits a command. One that is refused came too late: the next round sees what is so by then.
func (d *Drains) do(ctx context.Context, host string, body proto.Body) error {
	r, err := d.Propose(ctx, body)
	if err == nil && !r.OK() {
		d.Log.Info("a decision on a drain came too late: it is looked at again", "host", host, "decision", body.Command(), "reason", r.Message)
	}
	return err
}

// short cuts a text to as many bytes.
func short(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len("…")], "") + "…"
}
