package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// some makes it an error of usage to name none.
func some(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usagef("name the %s", what)
		case slices.Contains(args, ""):
			return usagef("a %s that is named is empty: is a variable of your shell not set?", what)
		}
		return nil
	}
}

func cordonCommand(a *app, verb, short, long, says string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " HOST…", Short: short, Long: long, Args: some("host"), ValidArgsFunction: completeHost(a),
		Example: "  glidepath host " + verb + " host-a host-b",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				err := show(cmd.Context(), a, "POST", path("hosts", name, verb), nil, func(h v1.HostDetail) error {
					a.say(says, h.Facts.Name)
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func hostSetCommand(a *app) *cobra.Command {
	var allocatable []string
	var reset bool
	cmd := &cobra.Command{
		Use: "set HOST", Short: "Say what may be promised of a host, whatever its agent states", Args: exactly("host"), ValidArgsFunction: firstOnly(completeHost(a)),
		Long: "Says what may be promised of a host. What is not named stays as its agent states it; --reset takes all of it back. Less than what is\n" +
			"promised already is refused: move instances away first.",
		Example: "  glidepath host set host-a --allocatable cpu=3,memory=8GiB\n  glidepath host set host-a --reset",
	}
	cmd.Flags().StringSliceVar(&allocatable, "allocatable", nil, "`RESOURCE=AMOUNT` of what may be promised: cpu, memory, read_iops, write_iops, read_bytes, write_bytes, net_tx, net_rx")
	cmd.Flags().BoolVar(&reset, "reset", false, "promise what the agent states again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if reset == (len(allocatable) > 0) {
			return usagef("say --allocatable or --reset")
		}
		var in v1.HostAllocatable
		h, err := ask[v1.HostDetail](cmd.Context(), a, "GET", path("hosts", args[0]), nil)
		if err != nil {
			return err
		}
		in.Revision = h.Revision
		if !reset {
			in.Allocatable = h.Override
			if err := amounts("--allocatable", &in.Allocatable, allocatable); err != nil {
				return err
			}
		}
		return show(cmd.Context(), a, "POST", path("hosts", args[0], "allocatable"), in, a.printHost)
	}
	return cmd
}

// amounts reads RESOURCE=AMOUNT, of a flag, into a vector.
func amounts(flag string, v *resource.Vector, texts []string) error {
	if err := onlyOnce(flag, texts); err != nil {
		return err
	}
	kinds := resource.All()
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		i := slices.IndexFunc(kinds[:], func(k resource.Kind) bool { return k.String() == name })
		if !ok || i < 0 {
			return usagef("%s %s: write RESOURCE=AMOUNT, like cpu=3 or memory=8GiB", flag, text)
		}
		n, err := resource.Parse(kinds[i], value)
		if err != nil || n <= 0 {
			return usagef("%s %s: %q is not an amount above 0", flag, text, value)
		}
		v[kinds[i]] = n
	}
	return nil
}

func forgetCommand(a *app) *cobra.Command {
	var dead, yes, unreported bool
	var reason string
	cmd := &cobra.Command{
		Use: "forget HOST", Short: "Take a host out of the fleet that holds nothing, or that died for good", Args: exactly("host"), ValidArgsFunction: firstOnly(completeHost(a)),
		Long: "Takes a host out of the fleet. It is refused while the host holds anything, and names each thing. The host's certificate is refused from\n" +
			"then on, until it joins again with a token.\n\n" +
			"--dead is for a host that died for good and does not come back: the instances that it owned are forgotten with it, and migrations that it\n" +
			"keeps from ending end. It first says what that means for each instance, and asks; without a terminal it takes --yes. What can be decided\n" +
			"better is to be decided before, and is named with its command. Should the host come back after all, its agent stops what it owned as soon as it\n" +
			"reaches a coordinator, and puts the data into its retention folder; until then keep it off the network.\n\n" +
			"After a restore from a backup another host may run what this one owned then, and this one more: --dead waits for all to report. For those that\n" +
			"are off and stay off, say --unreported.",
		Example: "  glidepath host forget host-c\n  glidepath host forget host-b --dead\n  glidepath host forget host-b --dead --yes --reason 'burnt down'",
	}
	cmd.Flags().BoolVar(&dead, "dead", false, "it died for good: forget what it owned, too")
	cmd.Flags().BoolVar(&yes, "yes", false, "with --dead: do not ask")
	cmd.Flags().BoolVar(&unreported, "unreported", false, "with --dead: also while hosts have not reported what they run since the fleet was restored")
	cmd.Flags().StringVar(&reason, "reason", "", "with --dead: why, for the record")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if !dead {
			if yes || unreported || reason != "" {
				return usagef("--yes, --unreported and --reason are for --dead")
			}
			return show(cmd.Context(), a, "POST", path("hosts", name, "forget"), nil, func(v1.Empty) error {
				a.say("Host %s is forgotten. Its certificate is refused until it joins again with a token", name)
				return nil
			})
		}
		return a.forgetDead(cmd.Context(), name, v1.ForgetDead{Lost: []string{}, Reason: reason, Unreported: unreported}, yes, cmd.InOrStdin())
	}
	return cmd
}

func (a *app) forgetDead(ctx context.Context, name string, request v1.ForgetDead, yes bool, in io.Reader) error {
	f, err := ask[v1.Forgetting](ctx, a, "GET", path("hosts", name, "forget"), nil)
	if err != nil {
		return err
	}
	if len(f.Undecided) > 0 {
		return &v1.Error{Code: v1.CodeRefused, Message: fmt.Sprintf("before host %s is forgotten as dead: %s", name, strings.Join(f.Undecided, "; "))}
	}
	if len(f.Unreported) > 0 && (len(f.Lost) > 0 || slices.Contains(f.Unreported, name)) {
		what := fmt.Sprintf("what runs on %s has not been reported since the fleet was restored: by what was decided after the backup what host %s owned may run elsewhere, and it may have owned more",
			proto.Names(f.Unreported), name)
		if !request.Unreported {
			return &v1.Error{Code: v1.CodeRefused, Message: what, Remedy: "see that their agents reach a coordinator, and wait; if they are off and stay off, and nothing of it runs on a host that joined since, say --unreported"}
		}
		fmt.Fprintf(a.stderr, "Mind: %s.\n", oneLine(what))
	}
	fmt.Fprintf(a.stderr, "Host %s is forgotten as one that died for good. Its certificate is refused from then on.\n", name)
	for _, l := range f.Lost {
		request.Lost = append(request.Lost, l.Instance)
		fmt.Fprintf(a.stderr, "Instance %s is forgotten with it: %s\n", oneLine(l.Instance), oneLine(l.Means))
	}
	for _, id := range f.Ends {
		fmt.Fprintf(a.stderr, "Migration %s ends\n", id)
	}
	if !yes {
		if !atTerminal(in) {
			return usagef("there is no terminal to ask at: say --yes if that is what you want")
		}
		if err := confirmed(ctx, in, a.stderr, "host", name); err != nil {
			return err
		}
	}
	return show(ctx, a, "POST", path("hosts", name, "forget-dead"), request, func(v1.Empty) error {
		a.say("Host %s is forgotten", name)
		return nil
	})
}

func retentionCommand(a *app) *cobra.Command {
	var older string
	cmd := &cobra.Command{
		Use: "retention HOST", Short: "List the data that instances left on a host", Args: exactly("host"), ValidArgsFunction: firstOnly(completeHost(a)),
		Long: "Lists the data of instances that moved away from a host, the oldest first, with their age and size and where they lie. Nothing removes them\n" +
			"but you, on the host: rm -r. The list forgets them by itself. glidepath-agent retention says the same there.",
		Example: "  glidepath host retention host-a\n  glidepath host retention host-a --older-than 7d",
	}
	cmd.Flags().StringVar(&older, "older-than", "0s", "only what was put away longer ago than this `age`, like 36h or 7d")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		age, err := config.ParseAge(older)
		if err != nil {
			return usagef("--older-than: %w", err)
		}
		before := timeline.Of(time.Now()).Add(-age)
		kept, err := ask[proto.Retention](cmd.Context(), a, "GET", path("hosts", args[0], "retention"), nil)
		if err != nil {
			return err
		}
		kept.Items = slices.DeleteFunc(kept.Items, func(r proto.Retained) bool { return r.At > before })
		if a.json {
			return a.printValue(kept)
		}
		return a.printRetention(kept)
	}
	return cmd
}

func (a *app) printRetention(kept proto.Retention) error {
	now, sum, least := timeline.Of(time.Now()), int64(0), ""
	t := newTable(a.stdout, "INSTANCE", "MIGRATION", "SINCE", "AGE", "SIZE", "WHERE")
	for _, r := range kept.Items {
		shown := size(r.Bytes)
		if r.Partial {
			shown, least = "at least "+shown, "at least "
		}
		sum += r.Bytes
		t.row(r.Instance, r.Migration, stamp(r.At), age(now.Sub(r.At)), shown, strings.Join(r.Paths, " "))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if kept.More > 0 {
		a.say("… and %d newer ones", kept.More)
	}
	a.say("%s%s in all. Nothing is removed by itself: rm -r what is not needed any more, on the host", least, size(sum))
	return nil
}

// age prints how long ago something was.
func age(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return d.Round(time.Second).String()
}

// agentWords says how a host's agent is.
func agentWords(g v1.Agent, now timeline.Time) string {
	switch {
	case g.State == v1.AgentAway && g.Since == 0:
		return "away"
	case g.State == v1.AgentAway:
		return fmt.Sprintf("away for %s", age(now.Sub(g.Since)))
	}
	return string(g.State)
}

// printSilent says what it means that nothing is heard of a host, and what can be done.
func (a *app) printSilent(h v1.HostDetail) {
	if !h.Agent.Silent(timeline.Of(time.Now())) {
		return
	}
	since := "nobody knows when"
	if h.Agent.Since > 0 {
		since = stamp(h.Agent.Since)
	}
	a.say("\nSILENT: no coordinator has heard its agent since %s.", since)
	a.say("Its instances may run on: an agent without coordinators keeps to the last document. Or the host is off. Nothing is failed over by itself.")
	name := h.Facts.Name
	a.say("  look at it:            systemctl status glidepath-agent, on %s", name)
	a.say("  place nothing there:   glidepath host cordon %s", name)
	a.say("  if it died for good:   glidepath migration list --active, and for those to %s: glidepath migration abort ID --accept-loss", name)
	a.say("                         then: glidepath host forget %s --dead", name)
}
