package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
)

func forgetInstanceCommand(a *app) *cobra.Command {
	var yes, unreported bool
	var reason string
	cmd := &cobra.Command{
		Use: "forget INSTANCE", Short: "Have the tables forget an instance that agents report otherwise", Args: exactly("instance"), ValidArgsFunction: completeInstance(a),
		Long: "Takes an instance out of the tables, with its reservations and migrations, after the fleet was restored from a backup and an agent reports of it what\n" +
			"can't be right by the tables. No agent hears of it: where the instance runs it runs on, and nobody else may start it. Adopt it again there then, with\n" +
			"glidepath instance apply. It is refused for an instance that no agent contradicts.\n\n" +
			"It says what is known, and asks; without a terminal it takes --yes. Where no agent says that it runs the instance, all hosts have to have reported;\n" +
			"--unreported is for when those that have not are off for good.",
		Example: "  glidepath instance forget cache-1\n  glidepath instance forget cache-1 --yes --reason 'moved after the backup'",
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&unreported, "unreported", false, "although hosts have not reported: they are off for good")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, ctx, in := args[0], cmd.Context(), cmd.InOrStdin()
		i, err := ask[v1.InstanceDetail](ctx, a, "GET", path("instances", name), nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "By the tables instance %s is %s on %s, under fence %d. They forget it, with what is reserved for it; where it runs it runs on.\n", name, i.State, i.Owner, i.Fence)
		if i.Doubt != nil {
			fmt.Fprintf(a.stderr, "%s.\n", oneLine(i.Doubt.Known))
		}
		if !yes {
			if !atTerminal(in) {
				return usagef("there is no terminal to ask at: say --yes if that is what you want")
			}
			if err := confirmed(ctx, in, a.stderr, "instance", name); err != nil {
				return err
			}
		}
		return show(ctx, a, "POST", path("instances", name, "forget"), v1.ForgetInstance{Fence: i.Fence, Reason: reason, Unreported: unreported}, func(v1.Empty) error {
			a.say("Instance %s is forgotten: adopt it again where it runs, with glidepath instance apply", name)
			return nil
		})
	}
	return cmd
}
