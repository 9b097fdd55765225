package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

func returnCommand(a *app) *cobra.Command {
	var in v1.ReturnRequest
	var follow follow
	cmd := &cobra.Command{
		Use: "return MIGRATION", Short: "Take a migration back that is on probation, with all that was written since", Args: exactly("migration"), ValidArgsFunction: completeMigration(a),
		Long: "Moves the instance back to the host and the type that it came from. What clients have written since comes along: it is a migration in\n" +
			"the other direction, into the capacity that the source has kept, and the data that the source kept go to its retention folder. Where\n" +
			"there is no room for both, the way back is given up and nothing has changed. Once they are there, --accept-loss can't go back to them.\n\n" +
			"That is possible from the moment when the target serves clients until the end of probation. Before it, a migration is aborted; after it, the\n" +
			"instance is migrated like any other. If the target died for good, see glidepath migration abort --accept-loss.",
		Example: "  glidepath migration return 01JD8Z4QK3 --watch\n  glidepath migration return 01JD8Z4QK3 --reason 'slower than before'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.begin(cmd.Context(), path("migrations", args[0], "return"), in, follow, "glidepath migration show "+args[0])
		},
	}
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, for the record")
	follow.flags(cmd)
	return cmd
}

func completeCommand(a *app) *cobra.Command {
	var in v1.CompleteRequest
	cmd := &cobra.Command{
		Use: "complete MIGRATION", Short: "End a migration's probation before its time", Args: exactly("migration"), ValidArgsFunction: completeMigration(a),
		Long: "Ends probation: the migration completes as soon as its start-up demand is over. The source gives up the capacity that it kept, and\n" +
			"its data go to its retention folder. After that the migration can't be returned: the instance is migrated back like any other.",
		Example: "  glidepath migration complete 01JD8Z4QK3\n  glidepath migration complete 01JD8Z4QK3 --reason 'all checks are green'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "POST", path("migrations", args[0], "complete"), in, func(m v1.MigrationStatus) error {
				a.say("The probation of migration %s is over: %s stays on %s", m.ID, m.Instance, m.Target)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, for the record")
	return cmd
}

// follow is whether a migration that was begun is followed, and how far.
type follow struct {
	watch bool
	until until
}

func (f *follow) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "follow it to its end; Ctrl-C leaves it running")
	f.until.flag(cmd)
}

func (f *follow) check() error {
	if f.until != "" && !f.watch {
		return usagef("--until says how far a migration is followed: give --watch, too")
	}
	return f.until.check()
}

// until is the phase up to which a migration is followed; "" for its end.
type until proto.Phase

// phases are those that a migration goes through when all is well, in their order.
var phases = []proto.Phase{proto.PhasePrepare, proto.PhaseCopy, proto.PhaseSwitch, proto.PhaseWarm, proto.PhaseSettle}

func (u *until) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar((*string)(u), "until", "", "follow it until this `phase` only: warm is when it serves, settle when probation is all that is left")
	_ = cmd.RegisterFlagCompletionFunc("until", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, p := range phases {
			names = append(names, string(p))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

func (u until) check() error {
	if u == "" || slices.Contains(phases, proto.Phase(u)) {
		return nil
	}
	return usagef("--until=%.40s: use one of %s", string(u), strings.Trim(fmt.Sprint(phases), "[]"))
}

// reached reports whether a migration is as far as that.
func (u until) reached(m v1.MigrationStatus) bool {
	at := slices.Index(phases, m.Phase)
	return u != "" && at >= 0 && at >= slices.Index(phases, proto.Phase(u))
}
