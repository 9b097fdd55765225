package main

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/interrupt"
	"github.com/glidepath/glidepath/proto"
)

func calendarCommand(a *app) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the calendars that events come from, and what came of polling them", Args: none,
		Example: "  glidepath calendar list\n  glidepath calendar list --watch",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd.Context(), a, "GET", path("calendars"), nil, func(l v1.List[v1.Calendar]) error {
				t := newTable(a.stdout, "CALENDAR", "EVERY", "FETCHED", "CHANGED", "EVENTS", "URL", "ERROR")
				for _, c := range l.Items {
					t.row(c.Name, took(c.Every), stamp(c.Polled.FetchedAt), stamp(c.Polled.ChangedAt), c.Polled.Events, c.URL, c.Polled.Error)
				}
				return t.flush()
			})
		},
	}
	one := &cobra.Command{
		Use: "show CALENDAR", Short: "Show a calendar, and what came of polling it", Args: exactly("calendar"),
		Example:           "  glidepath calendar show campaigns",
		ValidArgsFunction: firstOnly(names(a, path("calendars"), "name")),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "GET", path("calendars", args[0]), nil, a.printCalendar)
		},
	}
	remove := &cobra.Command{
		Use: "remove CALENDAR", Short: "Remove a calendar, and of its events those that have not begun", Args: exactly("calendar"),
		Long: `Remove a calendar, and of its events those that have not begun, and those that ended more than 60 days ago. The others stay, as effects are
learned from them, and go 60 days after they have ended, or before when they are removed one by one: glidepath event remove.`,
		Example:           "  glidepath calendar remove campaigns",
		ValidArgsFunction: firstOnly(names(a, path("calendars"), "name")),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "DELETE", path("calendars", args[0]), nil, func(v1.Empty) error {
				a.say("Calendar %s is removed, and its events that have not begun", args[0])
				return nil
			})
		},
	}
	return group("calendar", "Calendars: URLs that events come from", addCalendarCommand(a), watchable(a, list), watchable(a, one), remove)
}

func (a *app) printCalendar(c v1.Calendar) error {
	t := newTable(a.stdout)
	t.row("Calendar", c.Name)
	t.row("URL", c.URL)
	t.row("Polled", "every "+took(c.Every))
	t.row("Touches", touches(proto.Event{Instances: c.Instances, Selector: c.Selector}))
	if c.Kind != "" {
		t.row("Kind", c.Kind)
	}
	if c.Size != 0 {
		t.row("Size", eventSize(c.Size))
	}
	t.row("Time zone", cmp.Or(c.Timezone, "UTC"))
	t.row("Registered", stamp(c.ChangedAt)+" by "+c.Source)
	t.row("Tried", stamp(c.Polled.At))
	t.row("Fetched", stamp(c.Polled.FetchedAt))
	t.row("Read", stamp(c.Polled.ReadAt))
	t.row("Changed", stamp(c.Polled.ChangedAt))
	t.row("Events", c.Polled.Events)
	t.row("ETag", c.Polled.ETag)
	t.row("Modified", c.Polled.LastModified)
	if c.Polled.Error != "" {
		t.row("Error", c.Polled.Error)
		t.row("Failed", count(c.Polled.Failures, "time")+" in a row")
	}
	return t.flush()
}

// calendarFlags are those of calendar add.
type calendarFlags struct {
	eventFlags
	kind  string
	every time.Duration
}

func addCalendarCommand(a *app) *cobra.Command {
	var f calendarFlags
	add := &cobra.Command{
		Use: "add NAME URL --instance NAME", Short: "Let events come from a calendar's URL",
		Long: `Let events come from a URL of an iCalendar file, or of a CSV with the columns kind, start, end and, if wanted, size and
instances. The leader polls it, and events follow what it says: those of the last 60 and the next 100 days are registered, changed, and
removed when they are no longer in it, unless they have begun. They can't be changed by hand, but those that have begun can be removed. While it can't be read,
they stay as they are. Times in a CSV say their zone themselves, or are in that of --timezone.

Adding a calendar that is there replaces what was registered. A URL often has a secret in it: it is not shown again. As - it is read from
standard input, so that it stands in no history of commands.`,
		Example: `  glidepath calendar add campaigns https://calendar.example/campaigns.ics --label tier=shop --timezone Europe/Berlin
  glidepath calendar add backups https://wiki.example/backups.csv --every 1h --instance db-1
  glidepath calendar add sales - --kind campaign --instance cache-1 < url.txt`,
		Args: exactly("calendar", "URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if proto.ValidName("calendar", args[0]) != nil { // it may be the URL, whose secret must not get into a path, which is audited, or an error
				return usagef("NAME is no name of a calendar: use letters, digits, '-', '_' and '.', and give it before the URL")
			}
			base, err := f.request()
			if err != nil {
				return err
			}
			if f.every != 0 && (f.every < time.Minute || f.every > 7*24*time.Hour) {
				return usagef("--every %s is not between 1m and 168h", f.every)
			}
			url := args[1]
			if url == "-" {
				if url, err = firstLine(interrupt.Reader(cmd.Context(), cmd.InOrStdin())); err != nil {
					return err
				}
			}
			in := v1.CalendarRequest{
				URL: url, Every: f.every.Milliseconds(), Kind: proto.EventKind(f.kind), Size: base.Size, Timezone: f.timezone, Instances: base.Instances, Selector: base.Selector,
			}
			return show(cmd.Context(), a, "PUT", path("calendars", args[0]), in, func(c v1.Calendar) error {
				a.say("Calendar %s is polled every %s: see glidepath calendar show %s", c.Name, took(c.Every), c.Name)
				return nil
			})
		},
	}
	flags := add.Flags()
	flags.DurationVar(&f.every, "every", 0, "how often it is polled (default 15m)")
	flags.StringVar(&f.kind, "kind", "", "kind of all its events; else each entry says its own")
	flags.Float64Var(&f.size, "size", 0, "size against the usual of its kind, like 1.2, of events that say none")
	flags.StringSliceVar(&f.instances, "instance", nil, "`instance` that its events touch; several may be named")
	flags.StringSliceVar(&f.selector, "label", nil, "`key=value` that the instances have that its events touch")
	flags.StringVar(&f.timezone, "timezone", "", "time zone of days and of times that name none: in an iCalendar file UTC by default, in a CSV each time has to name one without it")
	completeFlags(add, map[string]cobra.CompletionFunc{"instance": completeInstances(a)})
	return add
}

// firstLine reads the first line, bounded.
func firstLine(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, math.MaxUint16)).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		if err == nil || errors.Is(err, io.EOF) {
			err = usagef("standard input has no URL in its first line")
		}
		return "", err
	}
	return line, nil
}
