package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func listPlansCommand(a *app) *cobra.Command {
	var instance string
	var active bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the plans that are stored", Args: none,
		Example: "  glidepath plan list\n  glidepath plan list --active --watch\n  glidepath plan list --instance cache-1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if instance != "" {
				q.Set("instance", instance)
			}
			if active {
				q.Set("active", "true")
			}
			return show(cmd.Context(), a, "GET", path("plans")+"?"+q.Encode(), nil, a.printPlans)
		},
	}
	cmd.Flags().StringVar(&instance, "instance", "", "only those that move this `instance`")
	completeFlags(cmd, map[string]cobra.CompletionFunc{"instance": completeInstances(a)})
	cmd.Flags().BoolVar(&active, "active", false, "only those that have not ended")
	return watchable(a, cmd, v1.ChangePlan)
}

func showPlanCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show PLAN", Short: "Show a stored plan: its moves, and what became of them", Args: exactly("plan"), ValidArgsFunction: firstOnly(completePlans(a)),
		Example: "  glidepath plan show 01JD8Z4QK3\n  glidepath plan show 01JD8Z4QK3 --watch",
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "GET", path("plans", args[0]), nil, a.printStored)
		},
	}
	return watchable(a, cmd, v1.ChangePlan)
}

func beginPlanCommand(a *app) *cobra.Command {
	var in v1.BeginRequest
	var follow follow
	cmd := &cobra.Command{
		Use: "begin PLAN", Short: "Carry a stored plan out: at its start, or at once", Args: exactly("plan"), ValidArgsFunction: firstOnly(completePlans(a)),
		Long: `Carries a stored plan out. It is planned again, against what is committed by now, and its room is held until it begins: at its start, or at once where
that is past or --now is given, in its turn among the moves of other plans. One that is to begin already stays as it is.

A plan that was asked for of another fleet than the one that is never begins.`,
		Example: "  glidepath plan begin 01JD8Z4QK3\n  glidepath plan begin 01JD8Z4QK3 --now --watch",
	}
	cmd.Flags().BoolVar(&in.Now, "now", false, "at once, whatever its start")
	follow.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.carryOut(cmd.Context(), path("plans", args[0], "begin"), in, follow, "glidepath plan show "+args[0])
	}
	return cmd
}

func cancelPlanCommand(a *app) *cobra.Command {
	var in v1.CancelRequest
	cmd := &cobra.Command{
		Use: "cancel PLAN", Short: "Have nothing more of a stored plan begin", Args: exactly("plan"), ValidArgsFunction: firstOnly(completePlans(a)),
		Long:    "Has nothing more of a stored plan begin, and gives back what it holds. What has begun goes on: see glidepath migration abort.",
		Example: "  glidepath plan cancel 01JD8Z4QK3\n  glidepath plan cancel 01JD8Z4QK3 --reason 'not this week'",
		RunE: func(cmd *cobra.Command, args []string) error {
			err := show(cmd.Context(), a, "POST", path("plans", args[0], "cancel"), in, func(p proto.StoredPlan) error {
				a.say("Plan %s is cancelled: nothing more of it begins", p.ID)
				return nil
			})
			return a.unsure(cmd.Context(), err, "the plan is cancelled", "glidepath plan show "+args[0])
		},
	}
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, for the record")
	return cmd
}

// schedule asks for a migration that begins by itself.
func (a *app) schedule(ctx context.Context, request *v1.PlanRequest, follow follow) error {
	return a.carryOut(ctx, path("migrations"), request, follow, "glidepath plan list --active --instance "+request.Instance)
}

// carryOut asks for a plan to be carried out, says when it begins, and follows it if it is to be watched. Where that is not known in the end, see shows it.
func (a *app) carryOut(ctx context.Context, at string, request any, follow follow, see string) error {
	if err := follow.check(); err != nil {
		return err
	}
	raw, p, err := askBoth[proto.StoredPlan](ctx, a, "POST", at, request)
	switch {
	case err != nil && ctx.Err() != nil:
		return a.goesOn("It is not known whether the plan is to be carried out", see)
	case err != nil:
		return err
	}
	return a.carried(ctx, raw, p, follow)
}

// carried says when a plan begins that is to be carried out, and follows it if it is to be watched.
func (a *app) carried(ctx context.Context, raw json.RawMessage, p proto.StoredPlan, follow follow) error {
	if a.json && !follow.watch {
		return a.printJSON(raw)
	}
	a.say("Plan %s is %s: %s", p.ID, p.Status, aboutMoves(v1.SummaryOf(p)))
	if m := p.Moves; len(m) == 1 {
		held := ""
		if len(m[0].Holds) > 0 {
			held = "; its room is held until it begins"
		}
		a.say("It takes about %s, with clients waiting for about %s%s", took(m[0].Figures.Duration.Median), took(m[0].Figures.Downtime.Median), held)
	}
	if err := a.printMoveYields(p); err != nil {
		return err
	}
	a.list("Warnings", p.Says)
	if !follow.watch {
		a.say("Follow it:  glidepath plan show %s --watch\nCancel it:  glidepath plan cancel %s", p.ID, p.ID)
		return nil
	}
	return a.followPlan(ctx, p, follow.until)
}

// followPlan follows the one move of a plan: until it begins, and then its migration. Of several it says how they are followed: the plan goes on all the same.
func (a *app) followPlan(ctx context.Context, p proto.StoredPlan, until until) error {
	if len(p.Moves) != 1 {
		fmt.Fprintf(a.stderr, "Several moves are not followed one by one. See:  glidepath plan show %s --watch\n", p.ID)
		return nil
	}
	progress, away := a.progress(), a.outage()
	away.seen = true
	defer progress.clear()
	for {
		m := p.Moves[0]
		switch {
		case m.Migration != "":
			progress.clear()
			return a.watch(ctx, m.Migration, until)
		case p.Status.Ended():
			text := fmt.Sprintf("plan %s is %s", p.ID, p.Status)
			if p.Reason != "" {
				text += ": " + oneLine(p.Reason)
			}
			return &endedError{text: text, code: exitAborted}
		}
		progress.show("%s", waitingPlan(p, timeline.Of(time.Now())))
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			progress.clear()
			return a.goesOn("Plan "+p.ID+" goes on", "glidepath plan show "+p.ID)
		}
		next, err := ask[proto.StoredPlan](ctx, a, "GET", path("plans", p.ID), nil)
		switch {
		case err == nil:
			p = next
		case ctx.Err() != nil:
			continue // it is said above
		default:
			progress.clear()
		}
		if end := away.bear(err); end != nil {
			return end
		}
	}
}

// waitingPlan says what a plan waits for.
func waitingPlan(p proto.StoredPlan, now timeline.Time) string {
	if start := p.Moves[0].Start; start > now && p.Status == proto.PlanScheduled {
		return fmt.Sprintf("plan %s begins at %s, in %s", p.ID, stamp(start), start.Sub(now).Round(time.Second))
	}
	if !p.Status.Begins() {
		return fmt.Sprintf("plan %s is %s; let it go on:  glidepath plan begin %s", p.ID, p.Status, p.ID)
	}
	if p.Reason != "" {
		return fmt.Sprintf("plan %s is %s, and waits: %s", p.ID, p.Status, oneLine(p.Reason))
	}
	return fmt.Sprintf("plan %s is %s, and waits for its turn", p.ID, p.Status)
}

func (a *app) printPlans(l v1.List[v1.PlanSummary]) error {
	t := newTable(a.stdout, "PLAN", "KIND", "STATUS", "WHAT", "START", "DEADLINE", "MADE", "REASON")
	for _, p := range l.Items {
		t.row(p.ID, p.Kind, p.Status, aboutMoves(p), stamp(p.Start), stamp(p.Deadline), stamp(p.MadeAt), p.Reason)
	}
	return t.flush()
}

// aboutPlan says in a line how a stored plan is.
func aboutPlan(p v1.PlanSummary) string {
	text := fmt.Sprintf("%s, %s: %s", p.Kind, p.Status, aboutMoves(p))
	if p.Reason != "" {
		text += ", " + p.Reason
	}
	return text
}

// aboutMoves says what a stored plan moves.
func aboutMoves(p v1.PlanSummary) string {
	var text string
	switch {
	case p.Moves == 1:
		text = fmt.Sprintf("%s from %s to %s", p.Instance, p.Source, p.Target)
		if p.FromType != p.ToType {
			text += " as " + p.ToType
		}
	default:
		text = fmt.Sprintf("%s, %d begun, %d ended", count(p.Moves, "move"), p.Begun, p.Ended)
		if p.Host != "" {
			text += ", from " + p.Host
		}
	}
	if p.WhatIf {
		text += ", in a fleet that is not there"
	}
	return text
}

func (a *app) printStored(p proto.StoredPlan) error {
	s := v1.SummaryOf(p)
	a.say("Plan %s, kind %s: %s", p.ID, p.Kind, p.Status)
	if p.Reason != "" {
		a.say("reason: %s", oneLine(p.Reason))
	}
	a.say("made by %s at %s", cmp.Or(p.MadeBy, "nobody who said so"), stamp(p.MadeAt))
	if p.Deadline != 0 {
		a.say("to be over by %s", stamp(p.Deadline))
	}
	if len(p.Windows) > 0 {
		a.say("it may go on %s", strings.Join(windowsOf(p.Windows), ", "))
	}
	if p.WhatIf != nil {
		a.say("it is of a fleet that is not there, %s, and never begins", p.WhatIf.Words())
	}
	a.say("")
	t := newTable(a.stdout, "MOVE", "INSTANCE", "FROM", "TO", "TYPE", "START", "TAKES", "DOWNTIME", "AFTER", "HELD", "MIGRATION")
	for i, m := range p.Moves {
		held := "no"
		if len(m.Holds) > 0 {
			held = "yes"
		}
		migration := cmp.Or(m.Migration, "-")
		if m.Outcome != proto.OutcomeNone {
			migration += " " + string(m.Outcome)
		}
		t.row(i+1, m.Instance, m.Source, m.Target, m.ToType, stamp(m.Start), took(m.Figures.Duration.Median)+" to "+took(m.Figures.Duration.High),
			took(m.Figures.Downtime.Median)+" to "+took(m.Figures.Downtime.High), afterMoves(m), held, migration)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := a.printMoveYields(p); err != nil {
		return err
	}
	a.list("Says", p.Says)
	if p.Blocked != nil {
		a.printBlocked(*p.Blocked)
	}
	switch {
	case p.Status.Ended() || s.WhatIf:
	case p.Kind == proto.PlanDrain && p.Status == proto.PlanKept:
		a.say("\nEmpty the host, by a plan made anew:  glidepath host drain %s", p.Host)
	case !p.Status.Begins():
		a.say("\nCarry it out:  glidepath plan begin %s\nCancel it:     glidepath plan cancel %s", p.ID, p.ID)
	case s.Begun < s.Moves:
		a.say("\nCancel it:  glidepath plan cancel %s", p.ID)
	}
	return nil
}

// printMoveYields prints who yields for the moves of a plan.
func (a *app) printMoveYields(p proto.StoredPlan) error {
	for _, m := range p.Moves {
		if len(m.Yields) == 0 {
			continue
		}
		a.say("\nThe move of %s has room because others yield:", m.Instance)
		if err := a.printYields(m.Yields); err != nil {
			return err
		}
	}
	return nil
}

// windowsOf prints windows as they are given.
func windowsOf(windows []proto.MoveWindow) []string {
	var out []string
	for _, w := range windows {
		text := everyDay(w)
		if w.Span != (timeline.Span{}) {
			text = stamp(w.Span.Start) + "/" + stamp(w.Span.End)
		}
		if w.Forbid {
			text = "not in " + text
		} else {
			text = "in " + text
		}
		out = append(out, text)
	}
	return out
}

// suggestedPlan is what the identifiers of plans begin with that nobody asked for: those of the others are ULIDs.
const suggestedPlan = "replan-"

// everyDay prints the times of day of a window as they are written: until midnight is until 24:00.
func everyDay(w proto.MoveWindow) string {
	to := w.To
	if to == 0 {
		to = 24 * 60
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.From/60, w.From%60, to/60, to%60)
}

// explainStored explains a stored plan, if what was named is one.
func (a *app) explainStored(cmd *cobra.Command, id, not string) (told bool, err error) {
	if _, err := ulid.ParseStrict(id); err != nil && !strings.HasPrefix(id, suggestedPlan) && !proto.OfRebalance(id) {
		return false, nil
	}
	raw, p, err := askBoth[proto.StoredPlan](cmd.Context(), a, "GET", path("plans", id), nil)
	var no *v1.Error
	switch {
	case errors.As(err, &no) && no.Code == v1.CodeNotFound:
		return false, nil // an instance may be called so
	case err != nil:
		return false, err
	}
	for _, flag := range []string{"to", "type", "at", "before", "window", "forbid", "least-gain", "probation", "squeeze", "add", "like", "without"} {
		if cmd.Flags().Changed(flag) {
			return true, usagef("%s is a stored plan, and is explained as it was made: leave out --%s, or name the instance", id, flag)
		}
	}
	if a.json {
		return true, a.printJSON(raw)
	}
	a.say("Plan %s, kind %s: %s", p.ID, p.Kind, p.Status)
	if p.Reason != "" {
		a.say("reason: %s", oneLine(p.Reason))
	}
	for i, m := range p.Moves {
		a.say("")
		if not != "" {
			err = a.notThere(p.Kept(i), not)
		} else {
			err = a.explain(p.Kept(i))
		}
		if err != nil {
			return true, err
		}
		if m.Migration != "" {
			a.say("\nAs it was carried out:  glidepath migration explain %s", m.Migration)
		}
	}
	return true, nil
}
