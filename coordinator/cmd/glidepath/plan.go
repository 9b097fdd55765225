package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// planFlags adds what a migration can be asked for.
func planFlags(cmd *cobra.Command, a *app) *v1.PlanRequest {
	var r v1.PlanRequest
	cmd.Flags().StringVar(&r.Target, "to", "", "`host` to move to; the planner chooses by default")
	cmd.Flags().StringVar(&r.Type, "type", "", "instance `type` there; the same by default")
	cmd.Flags().BoolVar(&r.Squeeze, "squeeze", false, "where there is no room for it, let reservations of lower classes yield, down to their floors")
	cmd.ValidArgsFunction = completeInstance(a)
	completeFlags(cmd, map[string]cobra.CompletionFunc{"to": completeHost(a), "type": completeType(a)})
	return &r
}

func planCommand(a *app) *cobra.Command {
	var steps int
	cmd := &cobra.Command{
		Use: "migrate INSTANCE", Short: "Show how a migration would go; nothing is changed", Args: exactly("instance"),
		Long: `Show how a migration would go. Nothing is promised and nothing is changed.

With --store the plan is kept. It still promises nothing; glidepath plan begin carries it out, checked again against what is committed by then.

With --at best the planner weighs every start until --before, or as far ahead as demand is forecast: how much would be sent twice, how long it
would take, how long clients would wait and how many there are then, and what neighbours would feel. It waits only for what gains enough.

With --add and --like, or --without, it is asked how it would be in another fleet: with more hosts like one that is there, or without some. Hosts that
are added are called host-a+1 and so on, and have no instance; what is on hosts that are left out stays there. Such a plan can be stored, and never begins.

With --squeeze a move that fits nowhere is planned where reservations of lower classes would have to yield least, and says who would, by how much and
when: the lowest class first, never below a floor, never a critical one.`,
		Example: `  glidepath plan migrate cache-1 --to host-b --type m.large
  glidepath plan migrate cache-1 --at best --before 06:00
  glidepath plan migrate cache-1 --at best --window 22:00-05:00 --forbid 2026-12-24T12:00Z/2026-12-27T06:00Z
  glidepath plan migrate cache-1 --to host-b --at +2h
  glidepath plan migrate cache-1 --to host-b --squeeze
  glidepath plan migrate cache-1 --to host-b --store
  glidepath plan migrate cache-1 --add 2 --like host-a --without host-c`,
	}
	request := planFlags(cmd, a)
	var when whenFlags
	when.define(cmd)
	var what whatIfFlags
	what.define(cmd, a)
	cmd.Flags().BoolVar(&request.Store, "store", false, "keep the plan, so that it can be begun later")
	cmd.Flags().IntVar(&steps, "steps", 24, "how many steps of the profile to print; 0 for all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		request.Instance = args[0]
		if err := when.set(request, time.Now()); err != nil {
			return err
		}
		var err error
		if request.WhatIf, err = what.asked(cmd); err != nil {
			return err
		}
		return show(cmd.Context(), a, "POST", path("plans"), request, func(p proto.Plan) error {
			a.sayWhatIf(request.WhatIf)
			if err := a.printPlan(p, steps); err != nil || p.Stored == "" {
				return err
			}
			if request.WhatIf != nil {
				a.say("\nStored as plan %s, which never begins.\nSee it:  glidepath plan show %s", p.Stored, p.Stored)
				return nil
			}
			a.say("\nStored as plan %s, which holds nothing.\nCarry it out:  glidepath plan begin %s", p.Stored, p.Stored)
			return nil
		})
	}
	return group("plan", "Plans: how something would go, and what is to begin later", cmd, explainPlanCommand(a),
		listPlansCommand(a), showPlanCommand(a), beginPlanCommand(a), cancelPlanCommand(a))
}

func (a *app) printPlan(p proto.Plan, most int) error {
	a.say("Migration of %s from %s to %s, type %s to %s", p.Instance, p.Source, p.Target, p.FromType, p.ToType)
	a.say("It takes about %s, with clients waiting for about %s; %s are copied in %s and a last one, at %s/s\n",
		took(p.Duration), took(p.Downtime), size(p.Bytes), count(p.Rounds, "early round"), rate(p.Rate))
	a.printBands(p)
	t := newTable(a.stdout, "PHASE", "START", "AFTER", "TAKES")
	for _, ph := range p.Phases {
		t.row(ph.Phase, stamp(ph.Start), "+"+took(ph.Start.Sub(p.Start).Milliseconds()), took(ph.Length().Milliseconds()))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := a.printStarts(p); err != nil {
		return err
	}
	if len(p.Yields) > 0 {
		a.say("\nIt has room only if others yield:")
		if err := a.printYields(p.Yields); err != nil {
			return err
		}
	}
	a.say("\nAllocation on %s:\n", p.Target)
	allocation, middle := make(timeline.Profile, len(p.Profile)), make(timeline.Profile, len(p.Profile))
	for i, s := range p.Profile {
		allocation[i], middle[i] = timeline.Step{Span: s.Span, Amount: s.Allocation}, timeline.Step{Span: s.Span, Amount: s.Forecast}
	}
	for _, k := range []resource.Kind{resource.CPU, resource.Memory} {
		a.plot(k, allocation.Span(), curve{"allocation", allocation}, curve{"forecast (median)", middle})
	}
	if err := a.printSteps(p.Profile, most); err != nil {
		return err
	}
	a.list("Because", p.Reasons)
	a.list("Warnings", p.Warnings)
	return a.printConsidered(p.Considered)
}

func rate(bits int64) string {
	if bits == 0 {
		return "full speed"
	}
	return short(resource.NetTx, bits)
}

func (a *app) printSteps(steps []proto.PlanStep, most int) error {
	t := newTable(a.stdout, "FROM", "UNTIL", "CPU", "FORECAST", "MEMORY", "FORECAST", "QUANTILE", "REASON")
	for i, s := range steps {
		if most > 0 && i == most {
			t.row(fmt.Sprintf("… and %d more: --steps 0 prints all", len(steps)-most))
			break
		}
		t.row(stamp(s.Start), stamp(s.End), amount(s.Allocation, resource.CPU), amount(s.Forecast, resource.CPU),
			amount(s.Allocation, resource.Memory), amount(s.Forecast, resource.Memory), quantile(s.Quantile), s.Reason)
	}
	return t.flush()
}

func (a *app) printConsidered(list []proto.Considered) error {
	if len(list) < 2 {
		return nil
	}
	a.say("\nHosts considered:")
	t := newTable(a.stdout, "HOST", "SCORE", "WHY")
	for _, c := range list {
		score := "-"
		if c.Score > 0 {
			score = fmt.Sprintf("%.3f", float64(c.Score)/1000)
		}
		t.row(c.Host, score, c.Reason)
	}
	return t.flush()
}
