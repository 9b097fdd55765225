package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/auth"
	"github.com/glidepath/glidepath/coordinator/figures"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// mostProbation is for how long the slots and data of what leaves a host can be asked to be kept there.
const mostProbation = 30 * 24 * time.Hour

// drainHost begins to empty a host, or says how that would go. Where not everything on the host finds another place it is begun only if that was asked for: what is in the
// way is told, with what would change that.
func drainHost(c *call) (any, error) {
	var in v1.DrainRequest
	if c.r.ContentLength != 0 {
		if err := c.read(&in); err != nil {
			return nil, err
		}
	}
	return c.drain(in)
}

// judgeDrain says how a host would be emptied, and keeps that if it is to be.
func judgeDrain(c *call) (any, error) {
	var in v1.DrainRequest
	if c.r.ContentLength != 0 {
		if err := c.read(&in); err != nil {
			return nil, err
		}
	}
	if in.Store {
		c.changed = true
		if err := auth.Authorise(c.who, proto.RoleOperator); err != nil {
			return nil, err
		}
	}
	in.DryRun = true
	return c.drain(in)
}

// drain begins to empty the host that the path names, or says how that would go.
func (c *call) drain(in v1.DrainRequest) (any, error) {
	h, err := c.host()
	if err != nil {
		return nil, err
	}
	if in.Before != 0 && in.Before <= c.now {
		return nil, invalid("host %s would be empty by %s, and it is %s: name a time later than now, or none", h.Facts.Name, in.Before, c.now)
	}
	switch most := int64(mostProbation / time.Millisecond); {
	case in.Before >= timeline.Forever:
		return nil, invalid("host %s would be empty by no time that there is: name an earlier one, or none", h.Facts.Name)
	case in.Probation < 0 || in.Probation > most:
		return nil, invalid("host %s would be emptied with a probation of %d ms: use up to %d, which is 30 days, or 0 for that of the policy", h.Facts.Name, in.Probation, most)
	}
	if in.WhatIf != nil {
		if err := c.asksFor(in.WhatIf); err != nil {
			return nil, err
		}
	}
	if (in.WhatIf != nil || in.Store) && !in.DryRun {
		return nil, invalid("host %s is emptied in the fleet as it is, by a plan that is stored by itself: leave out what_if and store, or ask with dry_run", h.Facts.Name)
	}
	d := drainOf(h)
	goesOn := d.State != proto.DrainNone && d.State != proto.DrainDone
	if goesOn && !in.DryRun {
		if d.Deadline == in.Before && d.Probation == in.Probation && d.Squeeze == in.Squeeze {
			return c.drained(h.Facts.Name) // a request that is repeated
		}
		return nil, &v1.Error{
			Code: v1.CodeConflict, Message: fmt.Sprintf("host %s is being emptied already, by %s: its drain is %s", h.Facts.Name, by(d.Deadline), d.State),
			Remedy: "to change that take it back first, nothing is lost by it: glidepath host undrain " + h.Facts.Name,
		}
	}
	if in.Store {
		return c.keptDrain(h.Facts.Name, in)
	}
	plan, err := c.drainPlan(h.Facts.Name, in)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		out, err := c.drained(h.Facts.Name)
		out.Plan = &plan
		return out, err
	}
	if err := c.knows(proto.CmdHostDrain); err != nil {
		return nil, err
	}
	if in.Squeeze {
		if err := c.knows(proto.CmdMigrationAdmit); err != nil {
			return nil, err
		}
	}
	if plan.Blocked != nil && !in.Anyway {
		return nil, blockedError(h.Facts.Name, *plan.Blocked)
	}
	if _, err := c.propose(&proto.HostDrain{
		Host: h.Facts.Name, From: d.State, To: proto.DrainGoesOn, Deadline: in.Before, Probation: in.Probation, Squeeze: in.Squeeze, Reason: in.Reason,
	}); err != nil {
		return nil, err
	}
	out, err := c.drained(h.Facts.Name)
	if out.Plan == nil { // the leader stores its own in a moment
		out.Plan = &plan
	}
	return out, err
}

// keptDrain says how a drain would go, and keeps that.
func (c *call) keptDrain(host string, in v1.DrainRequest) (any, error) {
	if err := c.knows(proto.CmdPlanPut); err != nil {
		return nil, err
	}
	if _, there := c.view.Plan(c.key); !there { // else the request is a repeated one
		plan, err := c.drainPlan(host, in)
		if err != nil {
			return nil, err
		}
		plan.ID, plan.Status = c.key, proto.PlanKept
		if _, err := c.propose(&proto.PlanPut{Plan: plan.Slim()}); err != nil {
			return nil, err
		}
	}
	out, err := c.drained(host)
	plan, _ := c.view.Plan(c.key)
	out.Plan = &plan
	return out, err
}

func drainOf(h proto.Host) proto.Drain {
	if h.Drain == nil {
		return proto.Drain{}
	}
	return *h.Drain
}

// by says by when a host is to be empty.
func by(deadline timeline.Time) string {
	if deadline == 0 {
		return "no time in particular"
	}
	return deadline.String()
}

// blockedError says why a host can't be emptied, and what would change that.
func blockedError(host string, b proto.Blocked) *v1.Error {
	e := &v1.Error{Code: v1.CodeRefused, Message: fmt.Sprintf("host %s can't be emptied: %s", host, b.Words())}
	for _, u := range b.Unblock {
		if e.Remedy != "" {
			e.Remedy += "; or "
		}
		e.Remedy += u.Says
	}
	return withDetail(e, v1.ErrorDetail{Blocked: &b})
}

// drainPlan plans how everything leaves a host.
func (c *call) drainPlan(host string, in v1.DrainRequest) (proto.StoredPlan, error) {
	view := c.cfg.OwnView()
	var names []string
	for _, i := range view.InstancesOn(host) {
		names = append(names, i.Name())
	}
	if in.WhatIf != nil {
		for _, out := range in.WhatIf.Without {
			for _, i := range view.InstancesOn(out) {
				names = append(names, i.Name())
			}
		}
	}
	known, err := figures.Sources{Forecast: c.cfg.Forecast, DataBytes: c.cfg.DataBytes}.At(c.ctx, c.now, c.gridStep(), names)
	if err != nil {
		return proto.StoredPlan{}, err
	}
	ask := planner.DrainInput{
		Host: host, View: view, Now: c.now, Deadline: in.Before, Probation: in.Probation, Squeeze: in.Squeeze, Of: known.Of, Costs: c.cfg.Costs, Silent: c.silent(""),
		WhatIf: in.WhatIf, Over: c.ctx.Err,
	}
	plan, blocked, err := planner.Drain(ask)
	if err := errors.Join(err, known.Err()); err != nil {
		return proto.StoredPlan{}, err
	}
	out := plan.Stored(ask, blocked)
	out.Moves = slices.Clone(out.Moves)
	for i := range out.Moves {
		out.Moves[i].Probation = in.Probation
	}
	out.Status, out.MadeAt, out.ChangedAt, out.MadeBy = proto.PlanQueued, c.now, c.now, c.who.Actor()
	if blocked != nil {
		out.Status = proto.PlanBlocked
	}
	if unsized := known.Unsized(); unsized != "" {
		out.Says = append(slices.Clone(out.Says), unsized)
	}
	return out, nil
}

// drained answers how far a host is emptied.
func (c *call) drained(host string) (v1.Drain, error) {
	h, ok := c.view.Host(host)
	if !ok {
		return v1.Drain{}, missing("host", host, "host list")
	}
	out := v1.Drain{Host: host, Now: c.now, Drain: h.Drain, Moving: []v1.MigrationStatus{}, Left: []string{}, Slots: []string{}}
	if h.Drain != nil {
		out.Plan = planOfDrain(c.view, host, *h.Drain)
	}
	for m := range c.view.ActiveMigrations() {
		if m.Source == host || out.Plan != nil && out.Plan.ID != "" && m.Plan.Stored == out.Plan.ID {
			out.Moving = append(out.Moving, v1.StatusOf(m))
		}
	}
	for _, i := range c.view.InstancesOn(host) {
		switch {
		case i.Owner == host:
			out.Left = append(out.Left, i.Name())
		default:
			out.Slots = append(out.Slots, i.Name())
		}
	}
	slices.Sort(out.Left)
	slices.Sort(out.Slots)
	out.Left, out.Slots = slices.Compact(out.Left), slices.Compact(out.Slots)
	return out, nil
}

// planOfDrain returns the stored plan of a drain: the one that goes on, or else the last one; nil while there is none.
func planOfDrain(v *state.View, host string, d proto.Drain) *proto.StoredPlan {
	var out *proto.StoredPlan
	for p := range v.Plans() {
		if p.Kind != proto.PlanDrain || p.Host != host || p.WhatIf != nil || p.MadeAt < d.Since || p.Status == proto.PlanKept {
			continue
		}
		if out == nil || out.Status.Ended() && (!p.Status.Ended() || p.ChangedAt >= out.ChangedAt) {
			out = &p
		}
	}
	return out
}

func getDrain(c *call) (any, error) { return c.drained(c.r.PathValue("name")) }

func undrainHost(c *call) (any, error) { return c.turnDrain(proto.DrainNone) }
func pauseDrain(c *call) (any, error)  { return c.turnDrain(proto.DrainPaused) }
func resumeDrain(c *call) (any, error) { return c.turnDrain(proto.DrainGoesOn) }

// turnDrain takes a drain to another state, unless it is there. The leader changes it, too: what was decided on another state than the one by then is decided anew.
func (c *call) turnDrain(to proto.DrainState) (any, error) {
	var in v1.DrainDecision
	if c.r.ContentLength != 0 {
		if err := c.read(&in); err != nil {
			return nil, err
		}
	}
	for try := 1; ; try++ {
		h, err := c.host()
		if err != nil {
			return nil, err
		}
		name, from := h.Facts.Name, drainOf(h).State
		switch {
		case from == to:
			return c.drained(name)
		case from == proto.DrainNone || from == proto.DrainDone && to != proto.DrainNone:
			return nil, &v1.Error{
				Code: v1.CodeRefused, Message: fmt.Sprintf("host %s is not being emptied: there is no drain to go on or be paused", name),
				Remedy: "glidepath host drain " + name,
			}
		}
		reason := in.Reason
		if to == proto.DrainPaused { // what is kept with a drain is who began it
			reason = strings.TrimSuffix("by "+c.who.Actor()+": "+reason, ": ")
		}
		r, err := c.proposeAs(fmt.Sprintf("%s/%d", c.id, try), &proto.HostDrain{Host: name, From: from, To: to, Reason: reason})
		if err == nil {
			return c.drained(name)
		}
		var refusal *proto.Refusal
		if !errors.As(err, &refusal) || r.Code != proto.ResultStale || try == decideTries {
			return nil, err
		}
	}
}
