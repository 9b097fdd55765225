package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/proto"
)

func hostTasksCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "tasks HOST", Short: "List what runs by schedule on a host, and what that does to its instances", Args: exactly("host"), ValidArgsFunction: firstOnly(completeHost(a)),
		Long: "Lists the timers of systemd and the entries of crontabs on a host, as its agent reports them every few minutes: name, schedule, the last run and the next. Of\n" +
			"what they run there is a name only: command lines never leave the host. Those after whose runs an instance asks for more, again and again and by\n" +
			"more than chance, are events of its forecast: by how much, and for how long, stands beside them. What runs at the same time each day or week is\n" +
			"a part of the season, and not among them.",
		Example: "  glidepath host tasks host-a\n  glidepath host tasks host-a --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "GET", path("hosts", args[0], "tasks"), nil, a.printTasks)
		},
	}
}

func (a *app) printTasks(r proto.HostTasksReply) error {
	if r.Heard == 0 {
		a.say("The agent of %s has not said yet what runs by schedule there: it does within minutes of its start, unless it is of a version that does not know how", r.Host)
		return nil
	}
	a.say("What runs by schedule on %s, as of %s, by the clock of %s", r.Host, stamp(r.Heard), oneLine(cmp.Or(r.Zone, "UTC")))
	a.say("")
	t := newTable(a.stdout, "TASK", "SCHEDULE", "RUNS", "LAST", "NEXT", "MOVES")
	for _, task := range r.Tasks {
		var moves []string
		for _, e := range r.Effects {
			if e.Task == task.Name {
				moves = append(moves, fmt.Sprintf("%s: +%s %s for %s", e.Instance, short(e.Resource, e.Rise), e.Resource, took(e.Length)))
			}
		}
		t.row(oneLine(task.Name), oneLine(schedule(task)), oneLine(cmp.Or(task.Activates, task.Command)+as(task.User)), stamp(task.Last), stamp(task.Next), oneLine(cmp.Or(strings.Join(moves, ", "), "-")))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if r.More > 0 {
		a.say("… and %s that %s not told of", count(r.More, "task"), be(r.More))
	}
	for _, u := range r.Unread {
		a.say("not read: %s", oneLine(u))
	}
	return nil
}

// schedule prints when a task runs.
func schedule(t proto.Task) string {
	words := []string{strings.Join(t.Schedule, "; ")}
	if t.Every > 0 {
		words = append(words, "every "+took(t.Every))
	}
	if t.Delay > 0 {
		words = append(words, "up to "+took(t.Delay)+" later")
	}
	return cmp.Or(strings.TrimPrefix(strings.Join(words, ", "), ", "), "-")
}

func as(user string) string {
	if user == "" {
		return ""
	}
	return " as " + user
}

func be(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
