package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/heatstrip"
	"github.com/glidepath/glidepath/internal/resource"
)

func hostCalendarCommand(a *app) *cobra.Command {
	var kinds []string
	var svg string
	cmd := &cobra.Command{
		Use: "calendar HOST", Short: "Show how full a host is promised over time, and where it is tightest", Args: exactly("host"), ValidArgsFunction: firstOnly(completeHost(a)),
		Long: `Show how full a host is promised, by everything that is reserved there, over the ledger's grid: the next two days, and in one more character what
comes later. Each character has the fullest step of the time that it covers; what is pooled counts as it is held. The tightest step is named, of each
resource and of all, with who holds most in it: it decides what still fits. --svg draws the same as a picture.`,
		Example: "  glidepath host calendar host-a\n  glidepath host calendar host-a --resource cpu,memory --watch\n  glidepath host calendar host-a --svg host-a.svg",
	}
	cmd.Flags().StringSliceVar(&kinds, "resource", []string{"all"}, "`resource` to draw: cpu, memory, read_iops, …, or all")
	cmd.Flags().StringVar(&svg, "svg", "", "draw it into this `file`, too")
	completeFlags(cmd, map[string]cobra.CompletionFunc{"resource": completeResources()})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		wanted, err := resources(kinds)
		if err != nil {
			return err
		}
		raw, c, err := askBoth[v1.HostCalendar](cmd.Context(), a, "GET", path("hosts", args[0], "calendar"), nil)
		if err != nil {
			return err
		}
		if svg != "" {
			if err := writeDrawing(svg, func(w io.Writer) error { return heatstrip.Write(w, "Calendar of "+c.Host, strips(c, wanted)) }); err != nil {
				return err
			}
		}
		if a.json {
			return a.printJSON(raw)
		}
		return a.printHostCalendar(c, wanted)
	}
	return watchable(a, cmd, v1.ChangeFleet, v1.ChangeHost, v1.ChangeReservation)
}

// strips returns those of a calendar.
func strips(c v1.HostCalendar, wanted []resource.Kind) []heatstrip.Strip {
	var out []heatstrip.Strip
	for _, r := range c.Resources {
		k := r.Resource
		if !slices.Contains(wanted, k) {
			continue
		}
		s := heatstrip.Strip{Name: k.String(), Note: fmt.Sprintf("tightest %s: %s", clock(r.Tightest.Span.Start), leftWords(r.Tightest))}
		for _, step := range c.Steps {
			cell := heatstrip.Cell{Span: step.Span, Heat: heatstrip.Unlimited}
			if limit := step.Limit[k]; limit < resource.Unlimited {
				cell.Heat = heatstrip.Of(step.Needed[k], limit)
				cell.Says = fmt.Sprintf("%s to %s: %s of %s %s", stamp(step.Start), stamp(step.End), short(k, step.Needed[k]), short(k, limit), k)
			}
			s.Cells = append(s.Cells, cell)
		}
		out = append(out, s)
	}
	return out
}

// leftWords says how much is left, or short.
func leftWords(t v1.Tightest) string {
	if t.Free < 0 {
		return fmt.Sprintf("short by %s of %s", short(t.Resource, -t.Free), short(t.Resource, t.Limit))
	}
	return fmt.Sprintf("%s of %s left", short(t.Resource, t.Free), short(t.Resource, t.Limit))
}

// calendarNotes is how much of a line a calendar's names and notes take.
const calendarNotes = 64

func (a *app) printHostCalendar(c v1.HostCalendar, wanted []resource.Kind) error {
	a.drawHostCalendar(c.Host, strips(c, wanted))
	if t := c.Tightest; t != nil {
		a.say("\nTightest: %s from %s to %s, %s", t.Resource, stamp(t.Span.Start), stamp(t.Span.End), leftWords(*t))
		var held []string
		for _, h := range c.Holders {
			held = append(held, fmt.Sprintf("%s (%s) %s", h.Reservation, h.Class, short(t.Resource, h.Amount)))
		}
		if len(held) > 0 {
			a.say("held there: %s", strings.Join(held, ", "))
		}
	}
	for i := range c.Short {
		a.say("SHORT: %s", c.Short[i].Error())
	}
	for _, w := range c.Windows {
		a.say("window %s from %s to %s: %s is not there", w.ID, stamp(w.Span.Start), stamp(w.Span.End), missingIn(w))
	}
	return nil
}

func (a *app) drawHostCalendar(host string, drawn []heatstrip.Strip) {
	if len(drawn) == 0 {
		a.say("Host %s has nothing of what is asked for, or no limit of it: there is nothing to fill", host)
		return
	}
	span := heatstrip.Span(drawn)
	width := plotWidth
	if w := terminalWidth(a.stdout); w > 0 {
		width = min(max(w-calendarNotes, narrowPlot), widestPlot)
	}
	a.say("Host %s from %s to %s, and later", host, stamp(span.Start), stamp(span.End))
	for _, line := range heatstrip.Text(drawn, width, a.coloured()) {
		a.say("%s", line)
	}
	a.say("%s", heatstrip.Legend)
}
