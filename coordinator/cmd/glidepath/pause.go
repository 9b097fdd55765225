package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// liftedWithin is how long pause waits for agents to lift limits, unless told otherwise.
const liftedWithin = 15 * time.Second

// scope is what is paused or resumed: the fleet, a host or an instance.
type scope struct{ host, instance string }

// path returns where the API pauses or resumes it.
func (s scope) path(verb string) string {
	switch {
	case s.host != "":
		return path("hosts", s.host, verb)
	case s.instance != "":
		return path("instances", s.instance, verb)
	}
	return path(verb)
}

func (s scope) String() string {
	switch {
	case s.host != "":
		return "Host " + s.host
	case s.instance != "":
		return "Instance " + s.instance
	}
	return "The fleet"
}

// resume returns the command that takes the pause back.
func (s scope) resume() string {
	switch {
	case s.host != "":
		return "glidepath resume --host " + s.host
	case s.instance != "":
		return "glidepath resume --instance " + s.instance
	}
	return "glidepath resume"
}

// scopeFlags adds what is paused or resumed to a command.
func scopeFlags(cmd *cobra.Command, a *app) *scope {
	s := &scope{}
	cmd.Flags().StringVar(&s.host, "host", "", "only what runs on this `host`")
	cmd.Flags().StringVar(&s.instance, "instance", "", "only this `instance`")
	for flag, complete := range map[string]cobra.CompletionFunc{"host": completeHost(a), "instance": completeInstance(a)} {
		if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
			panic(err) // the flags are defined above
		}
	}
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if s.host != "" && s.instance != "" {
			return usagef("name a host or an instance, not both; without either it is the fleet")
		}
		return nil
	}
	return s
}

func pauseCommand(a *app) *cobra.Command {
	var noWait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "pause", Short: "Lift all limits at once: of the fleet, a host or an instance", Args: none,
		Long: `Lift all limits at once, of the whole fleet, of a host or of an instance, until glidepath resume. Nothing is stopped, moved or
forgotten: demand is measured, capacity stays reserved, migrations go on, unlimited where they arrive. Each pause is taken
back by itself: an instance stays without limits as long as the fleet, its host or itself is paused.

It returns when the kernels hold no limit any more, and names the instances of which that is not seen in time. Where no
coordinator answers, lift them on the host itself: glidepath-agent pause.`,
		Example: "  glidepath pause                      # every limit of the fleet\n  glidepath pause --host host-a\n  glidepath pause --instance cache-1",
	}
	what := scopeFlags(cmd, a)
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return when it is committed, before the agents have done it")
	cmd.Flags().DurationVar(&timeout, "timeout", liftedWithin, "how long to wait for the agents")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		raw, r, err := askBoth[v1.PauseReply](ctx, a, "POST", what.path("pause"), nil)
		if err != nil {
			if ctx.Err() != nil {
				return a.goesOn("It is not known whether "+what.String()+" is paused", "glidepath status")
			}
			return err
		}
		already := ""
		if !r.Changed {
			already = " already"
		}
		a.say("%s is paused%s: %s", what, already, concerned(r, "without limits until "+what.resume()))
		var wait error
		if !noWait && len(r.Instances) > 0 {
			wait = a.waitLifted(ctx, timeout, what, r.Instances)
		}
		if a.json && ctx.Err() == nil { // it is paused, also where that is not seen in time
			err = a.printJSON(raw)
		}
		return cmp.Or(wait, err)
	}
	return cmd
}

func resumeCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "resume", Short: "Set limits again that pause lifted", Args: none,
		Long: `Set the limits again that glidepath pause lifted, of the whole fleet, of a host or of an instance. Agents do so within
seconds; memory falls slowly. What stays without limits, because something else is paused, too, is named.`,
		Example: "  glidepath resume\n  glidepath resume --host host-a\n  glidepath resume --instance cache-1",
	}
	what := scopeFlags(cmd, a)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return show(cmd.Context(), a, "POST", what.path("resume"), nil, func(r v1.PauseReply) error {
			if r.Changed {
				a.say("%s is resumed: %s", what, concerned(r, "limited again within seconds"))
			} else {
				a.say("%s was not paused: %s", what, concerned(r, "limited as before"))
			}
			for _, i := range r.Instances {
				for _, by := range i.PausedBy {
					a.say("%s stays without limits: %s", i.Instance, pausedBy(by, i.Instance, i.Host))
				}
			}
			return nil
		})
	}
	return cmd
}

// concerned counts the instances that are limited otherwise than before.
func concerned(r v1.PauseReply, how string) string {
	n := 0
	for _, i := range r.Instances {
		if r.Paused || len(i.PausedBy) == 0 {
			n++
		}
	}
	if len(r.Instances) == 0 {
		return "no instance there is in mode enforce, so none is limited"
	}
	return proto.CountIs(n, "instance", "is", "are") + " " + how
}

// pausedBy says what lifts limits, and what takes that back.
func pausedBy(by proto.PausedBy, instance, host string) string {
	switch by {
	case proto.PausedFleet:
		return "the fleet is paused: " + scope{}.resume()
	case proto.PausedHost:
		return "host " + host + " is paused: " + scope{host: host}.resume()
	case proto.PausedInstance:
		return "it is paused itself: " + scope{instance: instance}.resume()
	}
	return "paused on " + host + " itself: there, as root, glidepath-agent resume"
}

// pausedWords is what lifts limits in a table's cell.
func pausedWords(by []proto.PausedBy) string {
	words := make([]string, len(by))
	for i, b := range by {
		words[i] = string(b)
	}
	return "paused (" + strings.Join(words, ", ") + ")"
}

// waitLifted waits until the kernels hold no limit of the instances any more, and prints what is seen of each.
func (a *app) waitLifted(ctx context.Context, timeout time.Duration, what *scope, instances []v1.PausedInstance) error {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	seen := make([]string, len(instances))
	left := len(instances)
	progress := a.progress()
	for {
		progress.show("waiting for the %s: limits of %d of %s are lifted", agentsOf(instances, seen), len(instances)-left, count(len(instances), "instance"))
		for n, i := range instances {
			if strings.HasPrefix(seen[n], liftedWord) {
				continue
			}
			word := a.lifted(waiting, i)
			if waiting.Err() != nil && seen[n] != "" {
				break // what was seen before says more
			}
			if seen[n] = word; strings.HasPrefix(word, liftedWord) {
				left--
			}
		}
		if left == 0 || waiting.Err() != nil {
			break
		}
		select {
		case <-time.After(lookEvery):
		case <-waiting.Done():
		}
	}
	progress.clear()
	if ctx.Err() != nil {
		return a.goesOn(what.String()+" stays paused, and agents lift its limits as they hear of it", "glidepath schedule show "+instances[0].Instance)
	}
	if !a.json {
		t := newTable(a.stdout, "INSTANCE", "HOST", "LIMITS")
		for n, i := range instances {
			t.row(i.Instance, i.Host, seen[n])
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if left == 0 {
		return nil
	}
	return fmt.Errorf("%s not been seen without limits within %s: they are lifted when the agent there hears of it; at once with glidepath-agent pause on that host, as root", haveOrHas(left), timeout)
}

// agentsOf names the agents of which something is still waited for.
func agentsOf(instances []v1.PausedInstance, seen []string) string {
	var hosts []string
	for n, i := range instances {
		if !strings.HasPrefix(seen[n], liftedWord) && !slices.Contains(hosts, i.Host) {
			hosts = append(hosts, i.Host)
		}
	}
	if len(hosts) == 1 {
		return "agent on " + hosts[0]
	}
	return fmt.Sprintf("agents on %s and %d more", hosts[0], len(hosts)-1)
}

func haveOrHas(n int) string { return proto.CountIs(n, "instance", "has", "have") }

// liftedWord is how an answer begins that is final.
const liftedWord = "lifted"

// lifted asks an instance's host what its kernel holds.
func (a *app) lifted(ctx context.Context, i v1.PausedInstance) string {
	r, err := ask[v1.Schedule](ctx, a, "GET", path("instances", i.Instance, "schedule"), nil)
	var told *v1.Error
	switch {
	case errors.As(err, &told) && told.Code == v1.CodeRefused:
		return liftedWord + ": it does not run"
	case errors.As(err, &told):
		return "not seen: " + told.Message
	case err != nil:
		return "not seen: " + err.Error()
	case !r.Free && r.Held != resource.Uniform(resource.Unlimited):
		return "not yet: still " + limits(r.Held)
	}
	return liftedWord
}

// printPaused says what is paused in the fleet, and what takes it back.
func (a *app) printPaused(s v1.Status) {
	if s.Fleet.Paused {
		a.say("PAUSED: no limit is set anywhere: %s", scope{}.resume())
	}
	for _, h := range s.Paused.Hosts {
		a.say("PAUSED: host %s: %s", h, scope{host: h}.resume())
	}
	for _, h := range s.Paused.There {
		a.say("PAUSED: host %s, on the host itself: there, as root, glidepath-agent resume", h)
	}
	for _, i := range s.Paused.Instances {
		a.say("PAUSED: instance %s: %s", i, scope{instance: i}.resume())
	}
}
