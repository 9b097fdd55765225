package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// planned plans a migration, or the way back of the one that returns names.
func (c *call) planned(in v1.PlanRequest, returns string) (planner.Result, error) {
	i, ok := c.view.Instance(in.Instance)
	if !ok {
		return planner.Result{}, missing("instance", in.Instance, "instance list")
	}
	view := c.view
	if in.WhatIf != nil {
		if err := c.asksFor(in.WhatIf); err != nil {
			return planner.Result{}, err
		}
		view = c.cfg.OwnView()
	}
	if _, ok := c.view.Host(in.Target); in.Target != "" && !ok && in.WhatIf == nil {
		return planner.Result{}, missing("host", in.Target, "host list")
	}
	if _, ok := c.view.Type(in.Type); in.Type != "" && !ok {
		return planner.Result{}, missing("instance type", in.Type, "type list")
	}
	if in.Fence != 0 && in.Fence != i.Fence {
		return planner.Result{}, &v1.Error{
			Code: v1.CodeConflict, Message: fmt.Sprintf("the plan is for fence %d of instance %s, which has fence %d now", in.Fence, in.Instance, i.Fence),
			Remedy: "plan again",
		}
	}
	demand, err := c.forecast(in.Instance)
	if err != nil {
		return planner.Result{}, err
	}
	data, dataErr := c.cfg.DataBytes(c.ctx, in.Instance)
	gain := int64(planner.DefaultLeastGain)
	if in.LeastGain != nil {
		gain = *in.LeastGain
	}
	result, err := planner.Make(planner.Input{
		Request: planner.Request{
			Instance: in.Instance, Target: in.Target, Type: in.Type, Returns: returns, At: in.At, Best: in.Best, Before: in.Before, Windows: in.Windows,
			LeastGain: gain, Probation: in.Probation, WhatIf: in.WhatIf, Squeeze: in.Squeeze,
		},
		View: view, Now: c.now, Forecast: demand, Data: max(data, 0), Costs: c.cfg.Costs, Silent: c.silent(in.Target),
	})
	if err != nil {
		return planner.Result{}, err
	}
	if dataErr != nil {
		result.Plan.Warnings = append(result.Plan.Warnings, fmt.Sprintf("the size of the data is not known, so copying is not counted: %s", dataErr))
	}
	return result, nil
}

// asKept returns a plan as it may be kept: while a coordinator's program is older, as that would keep it, so that moves go on during an upgrade.
func (c *call) asKept(p proto.Plan) proto.Plan {
	if !c.view.Knows(proto.CmdPlanPut, 1) {
		return p.Plain()
	}
	return p
}

// silent returns the hosts whose agents have had no session for a while, where the planner is to choose one: only then are the other coordinators asked.
func (c *call) silent(target string) map[string]timeline.Time {
	if target != "" {
		return nil
	}
	out := map[string]timeline.Time{}
	presence := c.cfg.Presence(c.ctx)
	for host := range presence {
		if a := agentOf(presence, host); a.Silent(c.now) {
			out[host] = a.Since
		}
	}
	return out
}

// startMigration plans by the fleet as it is now and starts by that plan: capacity is checked again when it is committed. One that is to begin at a time, or at the
// best one, is stored instead, with its room held until then.
func startMigration(c *call) (any, error) {
	if m, ok := c.view.Migration(c.key); ok {
		return m, nil // the request is a repeated one
	}
	if p, ok := c.view.Plan(c.key); ok {
		return p, nil // so it is
	}
	var in v1.PlanRequest
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.Store {
		return nil, invalid("a migration is carried out: leave out store, or ask for a plan")
	}
	if in.WhatIf != nil {
		return nil, invalid("a migration is carried out in the fleet as it is: leave out what_if, or ask for a plan")
	}
	if in.At != 0 || in.Best {
		return c.schedule(in)
	}
	result, err := c.planned(in, "")
	if err != nil {
		return nil, err
	}
	if result.Plan.Start > c.now { // others have memory to give back first
		return c.scheduled(in, result)
	}
	start := proto.MigrationStart{ID: c.key, Plan: c.asKept(result.Plan), Reservation: result.Reservation, Extra: result.Extra}
	var body proto.Body = &start
	if yields := result.Yielded.Yield; len(yields) > 0 {
		if err := c.known(proto.CmdMigrationAdmit, "letting reservations yield to a move"); err != nil {
			return nil, err
		}
		body = &proto.MigrationAdmit{Start: start, Yield: yields}
	}
	if _, err := c.propose(body); err != nil {
		return nil, err
	}
	m, _ := c.view.Migration(c.key)
	return m, nil
}

// listMigrations lists migrations, newest last: of one instance, or only active ones, if the query says so.
func listMigrations(c *call) (any, error) {
	q := query{c: c}
	instance, active := q.text("instance"), q.flag("active")
	if q.err != nil {
		return nil, q.err
	}
	all := c.view.Migrations()
	if active && instance == "" {
		all = c.view.ActiveMigrations()
	}
	_, known := c.view.Instance(instance)
	var out []v1.MigrationStatus
	for m := range all {
		if instance != "" && m.Instance != instance {
			continue
		}
		known = true // it was there, when it was moved
		if !active || m.Active() {
			out = append(out, v1.StatusOf(m))
		}
	}
	if instance != "" && !known {
		return nil, missing("instance", instance, "instance list")
	}
	return items(out), nil
}

// migration returns the migration that the path names.
func (c *call) migration() (proto.Migration, error) {
	id := c.r.PathValue("id")
	m, ok := c.view.Migration(id)
	if !ok {
		return m, missing("migration", id, "migration list")
	}
	return m, nil
}

func getMigration(c *call) (any, error) {
	m, err := c.migration()
	return m, err
}

// decision reads what an operator decides about the migration that the path names into in, of which reason and fence are parts. One that was
// taken before another is a conflict.
func (c *call) decision(in any, reason *string, fence *uint64) (m proto.Migration, i proto.Instance, err error) {
	if m, err = c.migration(); err != nil {
		return m, i, err
	}
	if c.r.ContentLength != 0 {
		if err := c.read(in); err != nil {
			return m, i, err
		}
	}
	if *reason == "" {
		*reason = "by the word of " + c.who.Actor()
	}
	i, _ = c.view.Instance(m.Instance)
	if *fence != 0 && *fence != i.Fence {
		return m, i, &v1.Error{
			Code: v1.CodeConflict, Message: fmt.Sprintf("the decision is for fence %d of instance %s, which has fence %d now", *fence, m.Instance, i.Fence),
			Remedy: "see `glidepath migration show " + m.ID + "` and decide again",
		}
	}
	return m, i, nil
}

// abortMigration gives a migration up. Once the target has served clients that is refused, unless their loss is accepted.
func abortMigration(c *call) (any, error) {
	var in v1.AbortRequest
	m, i, err := c.decision(&in, &in.Reason, &in.Fence)
	if err != nil {
		return nil, err
	}
	var decision proto.Body = &proto.MigrationAbort{Migration: m.ID, Fence: i.Fence, Reason: in.Reason}
	if in.AcceptLoss {
		if err := c.elsewhere(m.Target, []string{m.Instance}, in.Unreported); err != nil {
			return nil, err
		}
		decision = &proto.AcceptLoss{Migration: m.ID, Fence: i.Fence, Reason: in.Reason}
	}
	if _, err := c.propose(decision); err != nil {
		return nil, err
	}
	m, _ = c.view.Migration(m.ID)
	return v1.StatusOf(m), nil
}

// returnMigration begins the way back of a migration that is on probation: the instance moves to where it came from, with what was written since.
func returnMigration(c *call) (any, error) {
	if m, ok := c.view.Migration(c.key); ok {
		return m, nil // the request is a repeated one
	}
	var in v1.ReturnRequest
	m, i, err := c.decision(&in, &in.Reason, &in.Fence)
	if err != nil {
		return nil, err
	}
	if no := noReturn(m, i); no != nil {
		return nil, no
	}
	result, err := c.planned(v1.PlanRequest{Instance: m.Instance, Target: m.Source, Type: m.FromType}, m.ID)
	if err != nil {
		return nil, err
	}
	_, err = c.propose(&proto.MigrationReturn{ID: c.key, Returns: m.ID, Fence: result.Plan.Fence, Plan: c.asKept(result.Plan), Extra: result.Extra, Reason: in.Reason})
	if err != nil {
		return nil, err
	}
	back, _ := c.view.Migration(c.key)
	return back, nil
}

// completeMigration ends a migration's probation.
func completeMigration(c *call) (any, error) {
	var in v1.CompleteRequest
	m, i, err := c.decision(&in, &in.Reason, &in.Fence)
	if err != nil {
		return nil, err
	}
	if _, err := c.propose(&proto.ProbationEnd{Migration: m.ID, Fence: i.Fence, Reason: in.Reason}); err != nil {
		return nil, err
	}
	m, _ = c.view.Migration(m.ID)
	return v1.StatusOf(m), nil
}

// noReturn says why a migration can't be returned as it is, and what can be done instead; nil if it can.
func noReturn(m proto.Migration, i proto.Instance) *v1.Error {
	no := func(remedy, format string, args ...any) *v1.Error {
		return &v1.Error{Code: v1.CodeRefused, Message: fmt.Sprintf("migration %s can't be returned: ", m.ID) + fmt.Sprintf(format, args...), Remedy: remedy}
	}
	switch {
	case !m.Active() && i.Owner == m.Target:
		return no(fmt.Sprintf("move it back: glidepath migrate %s --to %s --type %s", m.Instance, m.Source, m.FromType), "it was %s, and %s keeps nothing for it any more", m.Outcome, m.Source)
	case !m.Active():
		return no("see where the instance is: glidepath instance show "+m.Instance, "it was %s, and %s is not where it led to", m.Outcome, m.Instance)
	case m.Returns != "":
		return no("wait for its end, then migrate the instance to where it should be", "it is itself the way back of migration %s", m.Returns)
	case m.Returning != "":
		return no("follow that one: glidepath migration watch "+m.Returning, "migration %s takes it back already", m.Returning)
	case m.Phase == proto.PhaseUndo:
		return no("wait for its end", "it is being undone")
	case !m.Confirmed():
		return no("abort it, at no loss: glidepath migration abort "+m.ID, "%s has served nobody yet", m.Target)
	}
	return nil
}

// How often a watched migration is told of when nothing is decided about it, how long a line may take to be written, and how
// long an agent is asked.
const (
	watchEvery = time.Second
	watchWrite = 10 * time.Second
	watchAsk   = 800 * time.Millisecond
)

// watchMigration writes a line for every change of a migration, and one every second, until it has ended.
func watchMigration(c *call) (any, error) {
	if _, err := c.migration(); err != nil {
		return nil, err
	}
	return stream(func(w http.ResponseWriter) error {
		w.Header().Set("Content-Type", "application/x-ndjson")
		control := http.NewResponseController(w)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		var last []byte
		var update v1.MigrationUpdate
		for due := true; ; {
			changed := c.cfg.Changed()
			c.view, c.now = c.cfg.View(), timeline.Of(time.Now())
			m, err := c.migration()
			if err != nil {
				return nil // it was forgotten: the client has seen its end
			}
			state, err := json.Marshal(v1.StatusOf(m))
			if err != nil {
				return err
			}
			if due || !bytes.Equal(state, last) {
				last = state
				update = c.update(m, due, update)
				line, err := json.Marshal(update)
				if err != nil {
					return err
				}
				// Some writers, those of tests, have no deadlines.
				_ = control.SetWriteDeadline(time.Now().Add(watchWrite))
				if _, err := w.Write(append(line, '\n')); err != nil {
					return err
				}
				if err := control.Flush(); err != nil {
					return err
				}
			}
			if !m.Active() {
				return nil
			}
			select {
			case <-tick.C:
				due = true
			case <-changed:
				due = false
			case <-c.closing:
				return nil // the client goes on at another coordinator
			case <-c.ctx.Done():
				return nil
			}
		}
	}), nil
}

// update returns what a watcher is told of a migration now, after the one before. Agents are asked only where it is due: while a migration switches, its changes
// follow each other within milliseconds, and clients would wait for the answers.
func (c *call) update(m proto.Migration, due bool, before v1.MigrationUpdate) v1.MigrationUpdate {
	out := v1.MigrationUpdate{At: c.now, Migration: v1.StatusOf(m)}
	for _, o := range m.Operations {
		if o.Result == nil {
			out.Operation = string(o.Kind)
		}
	}
	i, ok := c.view.Instance(m.Instance)
	switch {
	case !m.Active():
		return out
	case !due:
		if before.Running != nil && before.Running.Host == i.Owner {
			out.Running = before.Running
		}
		if before.Operation == out.Operation {
			out.Progress = before.Progress
		}
		return out
	}
	ctx, cancel := context.WithTimeout(c.ctx, watchAsk)
	defer cancel()
	if p := c.cfg.MigrationProgress(ctx, m.ID); p != nil {
		if text, err := json.Marshal(p); err == nil && string(text) != "null" {
			out.Progress = text
		}
	}
	if ok {
		// The owner's agent is asked, by way of its home: what it has of this second is fresher than the windows of 10 s that the
		// home keeps, and nothing of it goes through Raft.
		if held, err := c.readBack(ctx, i); err == nil {
			out.Running = &v1.Running{Host: i.Owner, Allocated: held.Granted}
			if held.Measured {
				out.Running.Demand, out.Running.Throttled = &held.Demand, &held.Throttled
			}
		}
	}
	return out
}
