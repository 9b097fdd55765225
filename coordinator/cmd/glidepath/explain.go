package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/columns"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

const explainLong = `Why the host that it is, and not another one; why then; and why so much at each step.

A host's score is the sum of its terms: room, what is free where and when least is; peaks, what the instance adds to the host's squared use over
time, which is less where peaks do not coincide; mix, what it adds to the differences between resources; less what the move costs. A host that
violates a constraint, or that the instance does not fit on at every step, has none.`

func explainMigrationCommand(a *app) *cobra.Command {
	var not string
	cmd := &cobra.Command{
		Use: "explain MIGRATION", Short: "Say why a migration goes where it goes, then, and with how much at each step", Args: exactly("migration"),
		ValidArgsFunction: completeMigration(a), Long: explainLong + "\n\nIt is what was so when the migration was planned, kept with it.",
		Example: "  glidepath migration explain 01JD8Z4QK3\n  glidepath migration explain 01JD8Z4QK3 --why-not host-c",
	}
	whyNot(cmd, a, &not)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return show(cmd.Context(), a, "GET", path("migrations", args[0]), nil, func(m proto.Migration) error {
			if not == "" {
				return a.explain(m.Plan)
			}
			return a.notThere(m.Plan, not)
		})
	}
	return cmd
}

func explainPlanCommand(a *app) *cobra.Command {
	var not string
	cmd := &cobra.Command{
		Use: "explain INSTANCE|PLAN", Short: "Say why a migration would go where it would; nothing is changed", Args: exactly("instance or the stored plan"),
		Long: explainLong + "\n\nOf a stored plan it is what was so when that was made, kept with it; with --json, what glidepath plan show prints.",
		Example: "  glidepath plan explain cache-1\n  glidepath plan explain cache-1 --type m.large --why-not host-c\n" +
			"  glidepath plan explain cache-1 --at best --before 06:00\n  glidepath plan explain cache-1 --without host-c\n  glidepath plan explain 01JD8Z4QK3 --why-not host-c",
	}
	request := planFlags(cmd, a)
	cmd.ValidArgsFunction = firstOnly(either(completeInstances(a), completePlans(a)))
	whyNot(cmd, a, &not)
	var when whenFlags
	when.define(cmd)
	var what whatIfFlags
	what.define(cmd, a)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if told, err := a.explainStored(cmd, args[0], not); told || err != nil {
			return err
		}
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
			if not == "" {
				return a.explain(p)
			}
			if !toldOf(p, not) && not != p.Target && not != p.Source {
				// It is one of those that are only counted: asked for by its name, it is planned for.
				one := *request
				one.Target = not
				other, err := ask[proto.Plan](cmd.Context(), a, "POST", path("plans"), one)
				var no *v1.Error
				switch {
				case err == nil:
					p.Considered = append(p.Considered, other.Considered...)
				case errors.As(err, &no) && no.Code == v1.CodeRefused:
					p.Considered = append(p.Considered, proto.Considered{Host: not, Reason: no.Error()})
				default:
					return err
				}
			}
			return a.notThere(p, not)
		})
	}
	return cmd
}

func whyNot(cmd *cobra.Command, a *app, host *string) {
	cmd.Flags().StringVar(host, "why-not", "", "say only what speaks against this `host`")
	completeFlags(cmd, map[string]cobra.CompletionFunc{"why-not": completeHost(a)})
}

func toldOf(p proto.Plan, host string) bool {
	return slices.ContainsFunc(p.Considered, func(c proto.Considered) bool { return c.Host == host })
}

// explain says why a plan is as it is.
func (a *app) explain(p proto.Plan) error {
	a.say("Migration of %s from %s to %s, type %s to %s, planned at %s", p.Instance, p.Source, p.Target, p.FromType, p.ToType, stamp(p.MadeAt))
	a.list("Because", p.Reasons)
	if err := a.printHostScores(p); err != nil {
		return err
	}
	a.list("Beside these", ruledOut(p.Ruled))
	if len(p.Yields) > 0 {
		a.say("\nIt has room because others yield:")
		if err := a.printYields(p.Yields); err != nil {
			return err
		}
	}
	a.say("\nWhen: %s", whenBegun(p))
	if err := a.printStarts(p); err != nil {
		return err
	}
	if len(p.Profile) == 0 {
		a.say("\nHow much, on %s: as is planned anew when it begins", p.Target)
		return nil
	}
	a.say("\nHow much, on %s:", p.Target)
	return a.printShapes(p.Profile)
}

// whenBegun says when a plan begins, and what comes of that.
func whenBegun(p proto.Plan) string {
	start := "at once"
	if p.Start > p.MadeAt {
		start = "at " + stamp(p.Start)
	}
	return fmt.Sprintf("%s; it takes about %s, with clients waiting for about %s", start, took(p.Duration), took(p.Downtime))
}

// printHostScores prints the hosts that were considered with what their scores are made of, and under each what it comes from.
func (a *app) printHostScores(p proto.Plan) error {
	if len(p.Considered) == 0 {
		return nil
	}
	var names []string
	for _, c := range p.Considered {
		for _, t := range c.Terms {
			if !slices.Contains(names, t.Name) {
				names = append(names, t.Name)
			}
		}
	}
	a.say("\nHosts, best first:")
	header := []string{"HOST", "SCORE"}
	for _, n := range names {
		header = append(header, strings.ToUpper(n))
	}
	t := newTable(a.stdout, append(header, "WHY")...)
	for _, c := range p.Considered {
		row := []any{c.Host, points(c.Score)}
		for _, n := range names {
			row = append(row, termOf(c, n))
		}
		t.row(append(row, whyHost(p, c))...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, c := range p.Considered {
		if c.Host == p.Target {
			a.list("Score of "+c.Host, terms(c))
		}
	}
	return nil
}

// whyHost says what speaks against a host, or for the one that it is.
func whyHost(p proto.Plan, c proto.Considered) string {
	switch {
	case c.Host == p.Target:
		return "this one"
	case c.Violates != "":
		return c.Violates + ": " + c.Reason
	default:
		return c.Reason
	}
}

func points(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", float64(n)/1000)
}

func termOf(c proto.Considered, name string) string {
	for _, t := range c.Terms {
		if t.Name == name {
			return points(t.Points)
		}
	}
	return "-"
}

func terms(c proto.Considered) []string {
	var out []string
	for _, t := range c.Terms {
		out = append(out, fmt.Sprintf("%s %s: %s", t.Name, points(t.Points), t.Says))
	}
	return out
}

func ruledOut(all []proto.RuledOut) []string {
	var out []string
	for _, r := range all {
		out = append(out, fmt.Sprintf("%s, %s: like %s", count(r.Count, "host"), r.Reason, r.Example))
	}
	return out
}

// notThere says what speaks against a host.
func (a *app) notThere(p proto.Plan, host string) error {
	switch host {
	case p.Target:
		a.say("%s is where the plan leads.", host)
		return nil
	case p.Source:
		a.say("%s is where the instance was when the plan was made.", host)
		return nil
	}
	for _, c := range p.Considered {
		if c.Host != host {
			continue
		}
		a.say("Not %s, but %s:", columns.OneLine(host), p.Target)
		if c.Score == 0 {
			a.say("  - %s", oneLine(whyHost(p, c)))
			return nil
		}
		best := p.Considered[0]
		a.say("  - it scores %s, %s scores %s", points(c.Score), best.Host, points(best.Score))
		a.list("Score of "+c.Host, terms(c))
		a.list("Score of "+best.Host, terms(best))
		return nil
	}
	a.list(fmt.Sprintf("Nothing is kept about %s by its name. It is one of these, or was not there", columns.OneLine(host)), ruledOut(p.Ruled))
	if len(p.Ruled) == 0 {
		a.say("Nothing is kept about %s: the target was named, or that host was not there when the plan was made.", columns.OneLine(host))
	}
	return nil
}

// printShapes prints a profile by what shapes it, one line for as long as that, and about how much it makes, is the same.
func (a *app) printShapes(steps []proto.PlanStep) error {
	t := newTable(a.stdout, "FROM", "UNTIL", "CPU", "FORECAST", "MEMORY", "FORECAST", "BY WHAT")
	for i := 0; i < len(steps); {
		first, last := steps[i], steps[i]
		least, most, median := first.Allocation, first.Allocation, first.Forecast
		for ; i < len(steps) && alike(first, steps[i]); i++ {
			last = steps[i]
			least, most, median = least.Min(last.Allocation), most.Max(last.Allocation), median.Max(last.Forecast)
		}
		t.row(stamp(first.Start), stamp(last.End), between(resource.CPU, least, most), amount(median, resource.CPU),
			between(resource.Memory, least, most), amount(median, resource.Memory), cmp.Or(first.Reason, "forecast "+quantile(first.Quantile)))
	}
	return t.flush()
}

// alike reports whether two steps are told as one: they have the same reason, and CPU and memory within a quarter of the first one's.
func alike(first, next proto.PlanStep) bool {
	for _, k := range []resource.Kind{resource.CPU, resource.Memory} {
		if by := next.Allocation[k] - first.Allocation[k]; max(by, -by) > first.Allocation[k]/4 {
			return false
		}
	}
	return first.Reason == next.Reason && first.Quantile == next.Quantile
}

func between(k resource.Kind, least, most resource.Vector) string {
	if least[k] == most[k] {
		return amount(least, k)
	}
	return amount(least, k) + " to " + amount(most, k)
}
