package main

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func forecastCommand(a *app) *cobra.Command {
	var horizon, step time.Duration
	var at string
	var means bool
	var kinds []string
	var recorded recordedFlags
	var file, svg string
	cmd := &cobra.Command{
		Use: "forecast (INSTANCE | --csv FILE)", Short: "Show what an instance, or any recorded series, is expected to ask for", ValidArgsFunction: completeInstance(a),
		Example: `  glidepath forecast cache-1
  glidepath forecast cache-1 --horizon 24h --resource all --svg cache-1.svg
  glidepath forecast --csv requests.csv.gz --time-column t --value-column requests --events campaigns.ics`,
		Long: `Show what an instance is expected to ask for: of the highest demand in each step, which an allocation has to hold,
the median and how much is enough with a stated certainty; and how its demand runs, idle, steady, periodic, trending, bursty, intermittent or batch,
with the probability that this is right.

With --csv it is a column of a file, and no fleet is asked: --json then prints the values by quantile and step, what each member of the portfolio
counts, and the effects of events.

glidepath forecast scorecard shows how forecasts fared; an instance of that name is forecast by glidepath forecast -- scorecard.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return none(cmd, args)
			}
			return exactly("instance")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return a.forecastFile(cmd.Context(), recordedForecast{recordedFlags: recorded, file: file, at: at, svg: svg, step: step, horizon: horizon, means: means})
			}
			if name := firstChanged(cmd, recordedNames...); name != "" {
				return usagef("--%s goes with --csv", name)
			}
			chosen, err := resources(kinds)
			if err != nil {
				return err
			}
			if horizon <= 0 || step < 0 {
				return usagef("--horizon and --step are lengths of time, like 24h and 5m")
			}
			if step == 0 {
				s, err := ask[v1.Status](cmd.Context(), a, "GET", path("status"), nil)
				if err != nil {
					return err
				}
				step = forecastStep(time.Duration(s.Fleet.GridStep)*time.Millisecond, horizon)
			}
			q := url.Values{"step_ms": {strconv.FormatInt(step.Milliseconds(), 10)}, "steps": {strconv.FormatInt(max(1, int64(horizon/max(step, time.Millisecond))), 10)}}
			if means {
				q.Set("means", "true")
			}
			if at != "" {
				t, err := parseTime(at, time.Now())
				if err != nil {
					return usagef("--at: %w", err)
				}
				q.Set("from", strconv.FormatInt(int64(timeline.Of(t)), 10))
			}
			from := path("instances", args[0], "forecast") + "?" + q.Encode()
			if svg != "" {
				f, err := ask[proto.ForecastReply](cmd.Context(), a, "GET", from, nil)
				if err == nil && len(f.Profiles) > 0 {
					err = writePicture(svg, replyPicture(f, chosen))
				}
				if err != nil {
					return err
				}
			}
			return show(cmd.Context(), a, "GET", from, nil, func(f proto.ForecastReply) error {
				return a.printForecast(f, chosen)
			})
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&horizon, "horizon", 48*time.Hour, "how far ahead")
	flags.DurationVar(&step, "step", 0, "length of a step (default the fleet's; of a CSV 5m, or what its samples lie apart where that is longer)")
	flags.StringVar(&at, "at", "", "when it begins: 2026-11-22T18:00Z, or +2h; now by default, of a CSV its end")
	flags.StringVar(&file, "csv", "", "CSV `file`, or answer of Prometheus to a range query, to forecast instead; may be gzipped")
	flags.StringVar(&svg, "svg", "", "draw it into this `file`, too")
	recorded.define(cmd)
	flags.BoolVar(&means, "means", false, "of the mean demand in each step")
	flags.StringSliceVar(&kinds, "resource", []string{"cpu", "memory"}, "`resource` to draw: cpu, memory, read_iops, …, or all")
	completeFlags(cmd, map[string]cobra.CompletionFunc{"resource": completeResources()})
	cmd.AddCommand(scorecardCommand(a))
	return cmd
}

// forecastStep returns the fleet's step, or the shortest round one that is long enough to show the horizon in as many steps as may be asked for.
func forecastStep(grid, horizon time.Duration) time.Duration {
	step := grid
	for _, next := range []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 6 * time.Hour} {
		if horizon/max(step, time.Millisecond) > v1.ForecastSteps && next > step {
			step = next
		}
	}
	return step
}

// resources reads names of resources.
func resources(names []string) ([]resource.Kind, error) {
	var out []resource.Kind
	for _, name := range names {
		all := resource.All()
		if name == "all" {
			return all[:], nil
		}
		i := slices.IndexFunc(all[:], func(k resource.Kind) bool { return k.String() == name })
		if i < 0 {
			known := make([]string, len(all))
			for j, k := range all {
				known[j] = k.String()
			}
			return nil, usagef("--resource %q: use %s, or all", name, strings.Join(known, ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

func (a *app) printForecast(f proto.ForecastReply, kinds []resource.Kind) error {
	if len(f.Profiles) == 0 {
		a.say("Nothing is known of %s yet", f.Instance)
		return nil
	}
	high := len(f.Profiles) - 1
	span := f.Profiles[0].Span()
	a.say("Forecast of %s from %s for %s, in steps of %s", f.Instance, stamp(span.Start), hours(span.Length()), took(f.Step))
	if f.Cold {
		a.say("There is too little history: what the type allows stands in")
	}
	a.say("")
	for _, k := range kinds {
		a.plot(k, span, curve{quantile(f.Quantiles[high]), f.Profiles[high]}, curve{quantile(f.Quantiles[0]), f.Profiles[0]})
	}
	header := []string{"RESOURCE"}
	for _, q := range f.Quantiles {
		header = append(header, "MOST AT "+strings.ToUpper(quantile(q)))
	}
	patterns := map[resource.Kind]string{}
	for _, p := range f.Patterns {
		patterns[p.Resource] = likely(p.Pattern, p.Confidence)
	}
	t := newTable(a.stdout, append(header, "PATTERN")...)
	for _, k := range resource.All() {
		row := []any{k}
		for _, p := range f.Profiles {
			row = append(row, amount(p.MaxOver(span), k))
		}
		row = append(row, patterns[k])
		t.row(row...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := a.printSignalForecasts(f); err != nil {
		return err
	}
	a.list("Because", f.Reasons)
	a.say("Learned from %s of history at %s", hours(time.Duration(f.Observed)*time.Second), stamp(f.TrainedAt))
	return nil
}

// likely returns a pattern of demand, with the probability that it is right in thousandths.
func likely(pattern string, confidence int) string {
	return fmt.Sprintf("%s (%d %%)", oneLine(pattern), (confidence+5)/10)
}

// list prints lines under a title; nothing when there are none.
func (a *app) list(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	a.say("\n%s:", title)
	for _, l := range lines {
		a.say("  - %s", oneLine(l))
	}
}
