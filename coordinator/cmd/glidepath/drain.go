package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
)

const drainLong = `Move everything away from a host, one after the other as the fleet's policy allows, each to the host that suits it best. From then on nothing
new is placed there, until host undrain. It is planned as a whole first: with all that moves hold at every step of time there is room for it, or
nothing begins, and what finds no other place is named, with the resource that is short, and what would change that. Where the other
hosts are full, instances of theirs are moved, too, if that makes room; one that is parked on the way moves twice, and the plan says so.

It goes on by itself, also when another coordinator leads. An instance counts as gone when its target serves; that the host keeps its slot until
probation ends holds nothing up, and the host is drained when the last of those is over. What has to be planned otherwise on the way is. Where
that can't be, the drain is blocked: the rest moves, and it is tried again. After three moves of one instance that failed it waits for you.

--before is when the last one has to have moved. Should that be missed after all, it goes on as fast as it can, and says so.

With --dry-run it can be asked how it would be in another fleet: with --add hosts more --like one that is there, or --without some. Hosts that are added
are called host-a+1 and so on, and have no instance; what is on hosts that are left out has to go elsewhere, too, and finds its place first. With
--store the answer is kept as a plan that never begins.

With --squeeze what finds no room makes reservations of lower classes yield when it moves; --dry-run says who would.`

func drainCommand(a *app) *cobra.Command {
	var in v1.DrainRequest
	var before string
	var probation time.Duration
	var follow bool
	var what whatIfFlags
	cmd := &cobra.Command{
		Use: "drain HOST", Short: "Move everything away from a host", Args: exactly("host"), ValidArgsFunction: firstOnly(completeHost(a)),
		Long: drainLong,
		Example: `  glidepath host drain host-a --before 2h --dry-run
  glidepath host drain host-a --dry-run --add 2 --like host-b --without host-c
  glidepath host drain host-a --before 06:00 --reason 'new disks' --watch
  glidepath host drain host-a --squeeze --dry-run
  glidepath host drain pause host-a
  glidepath host drain resume host-a
  glidepath host undrain host-a`,
	}
	flags := cmd.Flags()
	flags.StringVar(&before, "before", "", "`time` by which all of it has to have moved, like 2h, 06:00 in UTC or 2026-11-22T18:00Z")
	flags.DurationVar(&probation, "probation", 0, "how long the slot and data of each instance are kept here after it has moved; as the policy says by default")
	flags.StringVar(&in.Reason, "reason", "", "why, for the record")
	flags.BoolVar(&in.DryRun, "dry-run", false, "say how it would go, or what is in the way; nothing is changed")
	flags.BoolVar(&in.Store, "store", false, "of --dry-run: keep the plan, to be looked at later")
	what.define(cmd, a)
	flags.BoolVar(&in.Squeeze, "squeeze", false, "where a move has no room, let reservations of lower classes yield, down to their floors")
	flags.BoolVar(&in.Anyway, "anyway", false, "begin also where some of it finds no other place: the rest moves")
	flags.BoolVarP(&follow, "watch", "w", false, "follow it until the host is drained, also while it is paused; Ctrl-C leaves it going on")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		now := time.Now()
		if before != "" {
			at, err := ahead(before, now)
			if err != nil {
				return usagef("--before: %s", err)
			}
			in.Before = timeline.Of(at)
		}
		var err error
		if in.Probation, err = probationOf(probation, cmd.Flags().Changed("probation")); err != nil {
			return err
		}
		if in.WhatIf, err = what.asked(cmd); err != nil {
			return err
		}
		if (in.WhatIf != nil || in.Store) && !in.DryRun {
			return usagef("--add, --like, --without and --store are for asking: give --dry-run, too")
		}
		if follow && in.DryRun {
			return usagef("with --dry-run there is nothing to watch")
		}
		at := path("hosts", args[0], "drain")
		if in.DryRun {
			at = path("hosts", args[0], "drain", "verdict")
		}
		raw, d, err := askBoth[v1.Drain](cmd.Context(), a, "POST", at, in)
		if err != nil && !in.DryRun {
			return a.unsure(cmd.Context(), err, "host "+args[0]+" is being emptied", "glidepath host drain show "+args[0])
		}
		if err != nil {
			return err
		}
		if follow {
			return a.watchDrain(cmd.Context(), args[0])
		}
		if a.json {
			err = a.printJSON(raw)
		} else {
			err = a.printDrain(d, in.DryRun)
		}
		if err == nil && in.DryRun && d.Plan != nil && d.Plan.Blocked != nil {
			text := "the host can't be emptied as it is"
			if in.WhatIf != nil {
				text = "the host can't be emptied in that fleet"
			}
			return &endedError{text: text, code: exitRefused, told: true}
		}
		return err
	}
	one := &cobra.Command{
		Use: "show HOST", Short: "Show how far a host is emptied, move by move", Args: exactly("host"), ValidArgsFunction: firstOnly(completeHost(a)),
		Example: "  glidepath host drain show host-a\n  glidepath host drain show host-a --watch",
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "GET", path("hosts", args[0], "drain"), nil, func(d v1.Drain) error { return a.printDrain(d, false) })
		},
	}
	cmd.AddCommand(
		watchable(a, one, v1.ChangeHost, v1.ChangePlan, v1.ChangeMigration),
		turnCommand(a, "pause", []string{"drain", "pause"}, "Move nothing more away from a host for now",
			"Begins no more moves away from hosts that are emptied, until resume. Those that have begun go on: glidepath migration abort or return stops one.",
			"The drain of host %s is paused: no more moves begin"),
		turnCommand(a, "resume", []string{"drain", "resume"}, "Go on with emptying a host that is paused or blocked",
			"Goes on with emptying hosts. What has changed meanwhile is planned for anew; moves that failed before don't count any more.",
			"The drain of host %s goes on"),
	)
	return cmd
}

func undrainCommand(a *app) *cobra.Command {
	return turnCommand(a, "undrain", []string{"undrain"}, "Take back that hosts are emptied, or use them again after that",
		"No more moves away begin, and instances may be placed on the hosts again, unless they were cordoned before. Moves that have begun go on:\n"+
			"glidepath migration abort or return stops one. Nothing that has left comes back by itself.",
		"Host %s is not emptied any more")
}

// turnCommand pauses drains, lets them go on or takes them back.
func turnCommand(a *app, verb string, at []string, short, long, says string) *cobra.Command {
	var in v1.DrainDecision
	under := "glidepath host " + strings.Join(at, " ")
	cmd := &cobra.Command{
		Use: verb + " HOST…", Short: short, Long: long, Args: some("host"), ValidArgsFunction: completeHost(a),
		Example: "  " + under + " host-a\n  " + under + " host-a host-b --reason 'later'",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				err := show(cmd.Context(), a, "POST", path(append([]string{"hosts", name}, at...)...), in, func(d v1.Drain) error {
					a.say(says, d.Host)
					for _, m := range d.Moving {
						a.say("Migration %s of %s to %s goes on, in phase %s", m.ID, m.Instance, m.Target, m.Phase)
					}
					return nil
				})
				if err != nil {
					return a.unsure(cmd.Context(), err, "that was done for host "+name, "glidepath host drain show "+name)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, for the record")
	return cmd
}
