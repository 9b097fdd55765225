package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/calendar"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func eventCommand(a *app) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the events", Args: none,
		Example: "  glidepath event list\n  glidepath event list --watch",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd.Context(), a, "GET", path("events"), nil, func(l v1.List[proto.Event]) error {
				slices.SortFunc(l.Items, func(x, y proto.Event) int { return int(x.Span.Start - y.Span.Start) })
				t := newTable(a.stdout, "EVENT", "KIND", "START", "END", "SIZE", "TOUCHES", "TITLE")
				for _, e := range l.Items {
					t.row(e.ID, e.Kind, stamp(e.Span.Start), stamp(e.Span.End), eventSize(e.Size), touches(e), e.Title)
				}
				return t.flush()
			})
		},
	}
	remove := &cobra.Command{
		Use: "remove EVENT", Short: "Remove an event, by its identifier", Args: exactly("event"),
		Example:           "  glidepath event remove 01JD8Z4QK3",
		ValidArgsFunction: firstOnly(names(a, path("events"), "id")),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "DELETE", path("events", args[0]), nil, func(v1.Empty) error {
				a.say("Event %s is removed", args[0])
				return nil
			})
		},
	}
	return group("event", "Events: what outside moves demand", addEventCommand(a), watchable(a, list, v1.ChangeEvent), remove)
}

func eventSize(milli int64) string {
	if milli == 0 {
		return "usual"
	}
	return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64)
}

func touches(e proto.Event) string {
	words := slices.Clone(e.Instances)
	for _, l := range e.Selector {
		words = append(words, l.Key+"="+l.Value)
	}
	return strings.Join(words, " ")
}

// eventFlags are those of event add.
type eventFlags struct {
	start, end, title, id, file, timezone string
	length                                time.Duration
	size                                  float64
	instances, selector                   []string
}

func addEventCommand(a *app) *cobra.Command {
	var f eventFlags
	add := &cobra.Command{
		Use: "add KIND --start TIME (--for LENGTH | --end TIME) --instance NAME", Short: "Register an event, or with --file those of a CSV or calendar",
		Long: `Register an event. Events of one kind are taken to move demand alike: what earlier ones did is forecast for later ones,
scaled by their sizes. Past events teach, too: register them with --file, a CSV with the columns kind, start, end and,
if wanted, size and instances (parted by spaces). A row that is registered again replaces itself.

Of an iCalendar file (its name ends with .ics) the occurrences of the last 60 and the next 100 days are registered: the first of an entry's CATEGORIES is the kind, else
its SUMMARY, in lower case with hyphens. Registering it again replaces those that are still in it, and takes none out.`,
		Example: `  glidepath event add campaign --start 2026-11-22T18:00Z --for 30m --instance cache-1 --size 1.2
  glidepath event add --file campaigns.csv --instance cache-1
  glidepath event add --file campaigns.ics --timezone Europe/Berlin --label tier=cache`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.file != "" {
				return none(cmd, args)
			}
			return exactly("kind of event")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			base, err := f.request()
			if err != nil {
				return err
			}
			events := []v1.EventRequest{base}
			switch {
			case f.file != "":
				if f.start != "" || f.end != "" || f.length != 0 || f.id != "" {
					return usagef("--file says when: leave out --start, --end, --for and --id")
				}
				if events, err = a.eventsOfFile(cmd.Context(), &f, base); err != nil {
					return err
				}
			case f.timezone != "":
				return usagef("--timezone goes with --file")
			default:
				events[0].Kind = proto.EventKind(args[0])
				if err := f.span(&events[0], time.Now()); err != nil {
					return err
				}
			}
			return a.addEvents(cmd.Context(), events)
		},
	}
	flags := add.Flags()
	flags.StringVar(&f.start, "start", "", "when it begins: 2026-11-22T18:00Z, or +2h from now")
	flags.StringVar(&f.end, "end", "", "when it ends")
	flags.DurationVar(&f.length, "for", 0, "how long it lasts")
	flags.Float64Var(&f.size, "size", 0, "size against the usual of its kind, like 1.2")
	flags.StringSliceVar(&f.instances, "instance", nil, "`instance` that it touches; several may be named")
	flags.StringSliceVar(&f.selector, "label", nil, "`key=value` that the instances have that it touches")
	flags.StringVar(&f.title, "title", "", "a title for people")
	flags.StringVar(&f.id, "id", "", "identifier; one that is there is replaced")
	flags.StringVar(&f.file, "file", "", "iCalendar `file`, or a CSV with the columns kind,start,end[,size][,instances]")
	flags.StringVar(&f.timezone, "timezone", "", "time zone of days and of times in the file that name none: of an iCalendar file UTC by default, in a CSV each time has to name one without it")
	completeFlags(add, map[string]cobra.CompletionFunc{"instance": completeInstances(a)})
	return add
}

// request returns what the flags say of any event.
func (f *eventFlags) request() (v1.EventRequest, error) {
	out := v1.EventRequest{ID: f.id, Title: f.title, Instances: f.instances}
	if !(f.size >= 0 && f.size <= 1000) {
		return out, usagef("--size %v is not between 0 and 1000", f.size)
	}
	out.Size = int64(math.Round(f.size * 1000))
	for _, text := range f.selector {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return out, usagef("--label %q is not key=value", text)
		}
		out.Selector = append(out.Selector, proto.Label{Key: key, Value: value})
	}
	return out, nil
}

// span reads when an event is.
func (f *eventFlags) span(e *v1.EventRequest, now time.Time) error {
	start, err := parseTime(f.start, now)
	if err != nil {
		return usagef("--start: %w", err)
	}
	switch {
	case f.length < 0:
		return usagef("--for %s is negative", f.length)
	case (f.end == "") == (f.length == 0):
		return usagef("say how long it lasts, by one of --for and --end")
	case f.length > 0:
		e.Start, e.End = timeline.Of(start), timeline.Of(start.Add(f.length))
		return nil
	}
	end, err := parseTime(f.end, now)
	if err != nil {
		return usagef("--end: %w", err)
	}
	if !end.After(start) {
		return usagef("--end %s is not after --start %s", f.end, f.start)
	}
	e.Start, e.End = timeline.Of(start), timeline.Of(end)
	return nil
}

// parseTime reads a time as people write it: RFC 3339, with or without seconds, or +2h from now.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if d, err := time.ParseDuration(text); err == nil && (text[0] == '+' || text[0] == '-') {
		return now.Add(d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write one like 2026-11-22T18:00Z, now or +2h", text)
}

// readEvents reads the rows of a CSV over what base says of all of them. Times that name no zone are in loc; with nil they have to name one.
func readEvents(name string, base v1.EventRequest, loc *time.Location) ([]v1.EventRequest, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := calendar.Rows(f, name, loc)
	if err != nil {
		return nil, err
	}
	out := make([]v1.EventRequest, 0, len(rows))
	for _, row := range rows {
		e := base
		e.Kind, e.Start, e.End = proto.EventKind(row.Kind), row.Span.Start, row.Span.End
		if row.Size != 0 {
			e.Size = row.Size
		}
		if row.Instances != nil {
			e.Instances = row.Instances
		}
		e.ID = rowID(e)
		out = append(out, e)
	}
	return out, nil
}

// rowID names the event of a row: the same row is the same event, however often the file is read.
func rowID(e v1.EventRequest) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(e.Kind, e.Start, e.End, e.Instances, e.Selector)))
	return fmt.Sprintf("%s-%s-%s", e.Kind, e.Start.Std().Format("20060102T1504"), hex.EncodeToString(sum[:4]))
}

// addEvents registers events one after the other.
func (a *app) addEvents(ctx context.Context, events []v1.EventRequest) error {
	for _, e := range events {
		err := show(ctx, a, "POST", path("events"), e, func(got proto.Event) error {
			if len(events) == 1 {
				a.say("Event %s: %s from %s to %s", got.ID, got.Kind, stamp(got.Span.Start), stamp(got.Span.End))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(events) != 1 {
		a.say("%s registered", count(len(events), "event"))
	}
	return nil
}
