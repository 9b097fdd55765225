package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

func streamCommand(a *app) *cobra.Command {
	var since uint64
	cmd := &cobra.Command{
		Use: "stream [KIND…]", Short: "Follow what changes in the fleet, until Ctrl-C",
		Long: `Follow what changes in the fleet: a line for each change, of the kinds that are named, or of all that the token's role may see. With --json
each line is what the API tells, with the object as it is now, and an index at which --since goes on. What changes several times within a moment
is told once. When a coordinator goes away, another one is followed.`,
		Example: "  glidepath stream\n  glidepath stream migration host\n  glidepath stream instance --json | jq .instance.state",
		Args: func(_ *cobra.Command, args []string) error {
			for _, k := range args {
				if !slices.Contains(v1.ChangeKinds(), v1.ChangeKind(k)) {
					return usagef("%q is no kind of change: use %s", k, strings.Join(changeKinds(), ", "))
				}
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			left := slices.DeleteFunc(changeKinds(), func(k string) bool { return slices.Contains(args, k) })
			return left, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			err = c.Changes(cmd.Context(), args, since, a.tell)
			if cmd.Context().Err() != nil {
				return &endedError{text: "interrupted", code: exitInterrupted, told: true}
			}
			return err
		},
	}
	cmd.Flags().Uint64Var(&since, "since", 0, "begin after this `index`, of a line that --json showed; now by default")
	return cmd
}

func changeKinds() []string { return words(v1.ChangeKinds()) }

func words(kinds []v1.ChangeKind) []string {
	var out []string
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return out
}

// tell prints a line of the stream.
func (a *app) tell(c v1.Change) {
	if a.json {
		if text, err := json.Marshal(c); err == nil {
			fmt.Fprintf(a.stdout, "%s\n", text)
		}
		return
	}
	if c.Kind == v1.ChangeHeartbeat || c.Kind == v1.ChangeEnd { // the end is an error, too
		return
	}
	words := []string{c.At.Std().Format(time.TimeOnly), fmt.Sprintf("%-11s", c.Kind), c.Name, string(c.What)}
	words = slices.DeleteFunc(append(words, aboutChange(c)), func(s string) bool { return s == "" })
	fmt.Fprintln(a.stdout, cut(oneLine(strings.Join(words, "  ")), terminalWidth(a.stdout)))
}

// aboutChange says what is worth knowing of an object that changed.
func aboutChange(c v1.Change) string {
	if c.What == v1.ChangeRemoved && c.Migration == nil {
		return ""
	}
	switch {
	case c.Fleet != nil && c.Fleet.Paused:
		return "paused"
	case c.Coordinator != nil:
		return c.Coordinator.Program + " at " + c.Coordinator.RPCAddr
	case c.Host != nil:
		return hostState(v1.Host{Host: *c.Host}) + ", home " + cmp.Or(c.Host.Home, "none")
	case c.Type != nil:
		return limits(c.Type.Max)
	case c.Instance != nil:
		i := c.Instance
		text := fmt.Sprintf("%s on %s, mode %s, type %s", instanceState(v1.InstanceDetail{Instance: *i}), i.Owner, i.Spec.Mode, i.Spec.Type)
		if i.Fault != nil {
			text += ": " + i.Fault.Error()
		}
		return text
	case c.Reservation != nil:
		return fmt.Sprintf("%s on %s, revision %d", c.Reservation.Purpose, c.Reservation.Host, c.Reservation.Revision)
	case c.Migration != nil:
		return aboutMigration(*c.Migration)
	case c.Plan != nil:
		return aboutPlan(v1.SummaryOf(*c.Plan))
	case c.Event != nil:
		return fmt.Sprintf("%s from %s to %s", c.Event.Kind, stamp(c.Event.Span.Start), stamp(c.Event.Span.End))
	case c.Token != nil:
		return strings.TrimSpace(fmt.Sprintf("%s %s: %s", c.Token.Role, c.Token.Name, tokenState(*c.Token)))
	case c.Kind == v1.ChangeLeader && c.Name == "":
		return "there is none"
	}
	return c.Message
}

func aboutMigration(m v1.MigrationStatus) string {
	state := string(m.Phase)
	if m.Phase == proto.PhaseEnded {
		state = string(m.Outcome)
	}
	text := fmt.Sprintf("%s from %s to %s: %s", m.Instance, m.Source, m.Target, state)
	if m.Reason != "" {
		text += ", " + m.Reason
	}
	return text
}
