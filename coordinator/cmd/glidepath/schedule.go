package main

import (
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func scheduleCommand(a *app) *cobra.Command {
	var over time.Duration
	one := &cobra.Command{
		Use: "show INSTANCE", Short: "Show what an instance is granted now, what it asks for, and what its host's kernel holds", Args: exactly("instance"), ValidArgsFunction: completeInstance(a),
		Long: `Show what the schedule says for an instance now beside what it asked for in the last second, what it is granted, and what its
host's kernel holds. In mode observe, and while it is paused, nothing limits it: what is scheduled is what it would be limited to.

ABOVE is the share of 10-second windows of the last day (--over) in which its mean demand was above what was scheduled then: how often
it was held back or lent headroom, or would have been. A limit gives way within a second or two where the host has headroom, so
that this is the most that enforcing it would be felt.`,
		Example: "  glidepath schedule show cache-1\n  glidepath schedule show cache-1 --over 48h\n  glidepath schedule show cache-1 --watch",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			if over > 0 {
				q.Set("over_ms", strconv.FormatInt(over.Milliseconds(), 10))
			}
			return show(cmd.Context(), a, "GET", path("instances", args[0], "schedule")+"?"+q.Encode(), nil, a.printSchedule)
		},
	}
	one.Flags().DurationVar(&over, "over", 0, "`time` back from now in which demand is compared with the schedule, up to 48h (default 24h)")
	return group("schedule", "Schedules: what hosts follow", watchable(a, one))
}

func (a *app) printSchedule(r v1.Schedule) error {
	a.looked = timeline.Of(time.Now())
	a.say("Instance %s by document %d.%d at %s", r.Instance, r.Document.Incarnation, r.Document.Revision, stamp(a.looked))
	for _, by := range r.PausedBy {
		a.say("paused, so nothing limits it (%s); what is scheduled is what it would be limited to", by)
	}
	if r.Mode == proto.Observe {
		a.say("mode observe, so nothing limits it; what is scheduled is what it would be limited to")
	}
	above := map[resource.Kind]proto.AboveOf{}
	if r.Above != nil {
		for _, of := range r.Above.Of {
			above[of.Resource] = of
		}
	}
	free := r.Mode == proto.Observe || len(r.PausedBy) > 0
	t := newTable(a.stdout, "RESOURCE", "SCHEDULED", "DEMAND", "GRANTED", "KERNEL HOLDS", "ABOVE", "BY AT MOST", "")
	for _, k := range resource.All() {
		demand, note := "-", " "
		if r.Measured {
			demand = amount(r.Demand, k)
		}
		switch {
		case r.Free && r.Held[k] < resource.Unlimited:
			note = "by its own unit"
		case r.Held[k] != r.Granted[k]:
			note = "differs"
		case free && r.Measured && r.Demand[k] > r.Scheduled[k]:
			note = "would be limited now"
		}
		share, most := "-", "-"
		if of, known := above[k]; known {
			share = shareOf(of.Above, of.Windows)
			if of.Above > 0 {
				most = short(k, of.Most)
			}
		}
		t.row(k, amount(r.Scheduled, k), demand, amount(r.Granted, k), amount(r.Held, k), share, most, note)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if r.Above != nil && len(r.Above.Of) > 0 {
		a.say("ABOVE: share of the time since %s in which demand was above what was scheduled then", stamp(r.Above.Span.Start))
	}
	if r.Above != nil {
		a.standsIn(r.Above.StandsIn)
	}
	a.printSignalStates(r.Signals)
	if len(r.Files) == 0 {
		return nil
	}
	a.say("")
	t = newTable(a.stdout, "LIMIT", "VALUE")
	for _, f := range r.Files {
		t.row(f.Name, f.Value)
	}
	return t.flush()
}

// shareOf prints a part of a whole; what is little is not printed as nothing.
func shareOf(part, whole int) string {
	share := 100 * float64(part) / float64(max(1, whole))
	if part > 0 && share < .1 {
		return "<0.1%"
	}
	return strconv.FormatFloat(share, 'f', 1, 64) + "%"
}
