package main

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func statusCommand(a *app) *cobra.Command {
	return watchable(a, &cobra.Command{
		Use: "status", Short: "Show how the fleet is", Args: none,
		Long: "Show how the fleet is: its coordinators, what is wrong or in doubt, and what goes on. Drains, stored plans and migrations are shown where there are any; of " +
			"plans those that ask for somebody come first: blocked, stale within a day, paused, then those that are due, running and waiting.",
		Example: "  glidepath status\n  glidepath status --watch",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd.Context(), a, "GET", path("status"), nil, a.printStatus)
		},
	}, v1.ChangeFleet, v1.ChangeCoordinator, v1.ChangeHost, v1.ChangeInstance, v1.ChangeReservation, v1.ChangeMigration, v1.ChangePlan, v1.ChangeNotice, v1.ChangeLeader)
}

func (a *app) printStatus(s v1.Status) error {
	a.say("Fleet %s, incarnation %d, grid step %s", s.Fleet.ID, s.Fleet.Incarnation, took(s.Fleet.GridStep))
	a.printPaused(s)
	if s.Leader == "" {
		a.say("NO LEADER: nothing can be changed until one is elected")
	}
	a.say("")
	t := newTable(a.stdout, "COORDINATOR", "ROLE", "VERSION", "API")
	for _, c := range s.Coordinators {
		t.row(c.Name, memberState(v1.Member{Listed: true, Voter: c.Voter, Leader: c.Leader, Reached: c.Reached}), c.Program, c.APIAddr)
	}
	if err := t.flush(); err != nil {
		return err
	}
	a.say("")
	for _, c := range s.Coordinators {
		if !c.Reached {
			a.say("AWAY: coordinator %s is not reached: %s", c.Name, oneLine(c.Why))
		}
	}
	a.say("%s; %s: %d enforced, %d moving, %d with a fault",
		count(s.Hosts, "host"), count(s.Instances.Total, "instance"), s.Instances.Enforced, s.Instances.Moving, s.Instances.Faulty)
	a.printTold(s)
	for _, h := range s.Away {
		a.say("AWAY: nothing is heard of host %s, which owns %s, for %s: glidepath host show %s", h.Host, count(h.Owns, "instance"), age(s.Now.Sub(h.Since)), h.Host)
	}
	for _, d := range s.InDoubt {
		a.say("IN DOUBT: instance %s since %s: %s", d.Instance, stamp(d.Since), oneLine(d.Known))
		for _, what := range d.Decide {
			a.say("  %s", oneLine(what))
		}
	}
	for _, h := range s.Conflicts {
		a.say("CONFLICT: %s reports otherwise than the tables say; what to decide is told by  glidepath host show %s", h, h)
	}
	if len(s.Unreported) > 0 {
		a.say("NOT REPORTED to this incarnation, and not operated: %s", strings.Join(s.Unreported, ", "))
	}
	if err := a.printDrainsIn(s); err != nil {
		return err
	}
	if err := a.printPlansIn(s); err != nil {
		return err
	}
	if len(s.Migrations) == 0 {
		return nil
	}
	a.say("")
	return a.printMigrations(v1.List[v1.MigrationStatus]{Items: s.Migrations})
}

// count prints a number with its noun.
func count(n int, noun string) string { return proto.Count(n, noun) }

func hostCommand(a *app) *cobra.Command {
	var labels []string
	list := &cobra.Command{
		Use: "list", Short: "List the hosts, with what is promised of them now", Args: none,
		Example: "  glidepath host list\n  glidepath host list -l rack=a1 --watch",
		RunE: func(cmd *cobra.Command, _ []string) error {
			at := path("hosts")
			if len(labels) > 0 {
				at += "?" + url.Values{"label": labels}.Encode()
			}
			return show(cmd.Context(), a, "GET", at, nil, func(l v1.List[v1.Host]) error {
				t := newTable(a.stdout, "HOST", "HOME", "STATE", "INSTANCES", "CPU", "OF", "MEMORY", "OF", "SEGMENT", "AGENT")
				for _, h := range l.Items {
					t.row(h.Facts.Name, h.Home, hostState(h), len(h.Owns), amount(h.Needed, resource.CPU), amount(h.Limit, resource.CPU),
						amount(h.Needed, resource.Memory), amount(h.Limit, resource.Memory), h.Facts.Segment, h.Facts.AgentVersion)
				}
				return t.flush()
			})
		},
	}
	one := &cobra.Command{
		Use: "show HOST", Short: "Show a host, its reservations and its steps to come", Args: exactly("host"),
		Example:           "  glidepath host show host-a\n  glidepath host show host-a --watch",
		ValidArgsFunction: firstOnly(completeHost(a)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "GET", path("hosts", args[0]), nil, a.printHost)
		},
	}
	list.Flags().StringSliceVarP(&labels, "label", "l", nil, "only hosts that have this label, `KEY=VALUE`; of several, all")
	cordon := cordonCommand(a, "cordon", "Place nothing new on hosts", "Places nothing new on hosts. What runs there stays, migrations away from there go on, and a migration that left there can be taken back.",
		"Host %s is cordoned: nothing new is placed there")
	uncordon := cordonCommand(a, "uncordon", "Let hosts take instances again", "Lets cordoned hosts take instances again.", "Host %s takes instances again")
	return group("host", "Hosts", watchable(a, list, v1.ChangeFleet, v1.ChangeHost, v1.ChangeReservation), watchable(a, one, v1.ChangeFleet, v1.ChangeHost, v1.ChangeInstance, v1.ChangeReservation), cordon, uncordon, drainCommand(a), undrainCommand(a), hostSetCommand(a), hostCalendarCommand(a), windowCommand(a), forgetCommand(a), retentionCommand(a), hostTasksCommand(a))
}

func hostState(h v1.Host) string {
	var words []string
	if now := timeline.Of(time.Now()); h.Agent.Silent(now) {
		words = append(words, agentWords(h.Agent, now))
	}
	switch {
	case h.Drain != nil:
		words = append(words, string(h.Drain.State))
	case h.Cordoned:
		words = append(words, "cordoned")
	}
	if len(h.PausedBy) > 0 {
		words = append(words, pausedWords(h.PausedBy))
	}
	if h.Debt > 0 {
		words = append(words, "owes "+size(h.Debt))
	}
	if len(h.Conflicts) > 0 {
		words = append(words, "CONFLICT over "+h.Conflicts[0].Instance)
	}
	if len(h.Facts.Missing) > 0 {
		words = append(words, "lacks "+h.Facts.Missing[0].What)
	}
	return cmp.Or(strings.Join(words, ", "), "ok")
}

// processors prints how many processors a host has, of which model, and how fast one of them is.
func processors(f proto.HostFacts) string {
	words := fmt.Sprintf("%d × %s", f.CPUs, cmp.Or(f.CPUModel, "unknown"))
	if f.CPUScore > 0 {
		words += fmt.Sprintf(", benchmark %d", f.CPUScore)
	}
	return words
}

func (a *app) printHost(h v1.HostDetail) error {
	f := h.Facts
	a.say("Host %s: %s", f.Name, hostState(h.Host))
	t := newTable(a.stdout)
	t.row("system", f.OS+", kernel "+f.Kernel)
	t.row("processors", processors(f))
	t.row("agent", fmt.Sprintf("%s, %s", f.AgentVersion, agentWords(h.Agent, timeline.Of(time.Now()))))
	t.row("home", fmt.Sprintf("%s, standby %s", cmp.Or(h.Home, "none"), cmp.Or(h.Standby, "none")))
	t.row("segment", fmt.Sprintf("%s on %s", f.Segment, cmp.Or(f.Interface, "no interface")))
	var labels []string
	for _, l := range f.Labels {
		labels = append(labels, l.Key+"="+l.Value)
	}
	t.row("labels", strings.Join(labels, " "))
	t.row("controllers", strings.Join(f.Controllers, " "))
	t.row("data", size(f.DiskFree)+" free")
	t.row("instances", strings.Join(h.Owns, " "))
	if err := t.flush(); err != nil {
		return err
	}
	for _, by := range h.PausedBy {
		a.say("no limit is set there: %s", pausedBy(by, "", f.Name))
	}
	forget := ""
	for _, c := range h.Conflicts {
		a.say("CONFLICT over %s: %s", c.Instance, oneLine(c.What))
		if c.Blocks {
			forget += " --forget " + c.Instance
		}
	}
	if forget != "" {
		a.say("  nothing is operated there until the agent reports otherwise; if it is right, restore again without what it contradicts, on a coordinator that is stopped, and adopt that where it runs:\n"+
			"  glidepathd restore FILE%s", forget)
	}
	for _, m := range f.Missing {
		a.say("lacks %s: %s", oneLine(m.What), oneLine(m.Remedy))
	}
	a.printSilent(h)
	if len(h.Windows) > 0 {
		a.say("")
		if err := a.printWindows(h); err != nil {
			return err
		}
	}
	a.say("")
	t = newTable(a.stdout, "RESOURCE", "HAS", "ALLOCATABLE", "MAY BE PROMISED", "NEEDED NOW", "HEADROOM")
	left := h.Limit.Sub(h.Needed)
	for _, k := range resource.All() {
		t.row(k, amount(f.Capacity, k), amount(h.Allocatable, k), amount(h.Limit, k), amount(h.Needed, k), amount(left, k))
	}
	if err := t.flush(); err != nil {
		return err
	}
	a.say("")
	if err := a.printReservations(v1.List[proto.Reservation]{Items: h.Reservations}); err != nil {
		return err
	}
	a.say("")
	t = newTable(a.stdout, "FROM", "UNTIL", "CPU", "OF", "MEMORY", "OF")
	const most = 24
	for i, s := range h.Steps {
		if i == most {
			t.row(fmt.Sprintf("… and %d more: --json has them", len(h.Steps)-most))
			break
		}
		t.row(stamp(s.Start), stamp(s.End), amount(s.Needed, resource.CPU), amount(s.Limit, resource.CPU), amount(s.Needed, resource.Memory), amount(s.Limit, resource.Memory))
	}
	return t.flush()
}
