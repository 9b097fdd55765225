package main

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func scorecardCommand(a *app) *cobra.Command {
	var kinds []string
	cmd := &cobra.Command{
		Use: "scorecard [INSTANCE]", Short: "Show how forecasts fared against what came, beside simpler ones", ValidArgsFunction: completeInstance(a),
		Example: "  glidepath forecast scorecard\n  glidepath forecast scorecard cache-1\n  glidepath forecast scorecard cache-1 --resource all",
		Long: `Show how forecasts fared, as they were issued an hour and a day ahead, against the highest demand that came in each step: the share of
steps at or below each quantile of the model, which should be that quantile, and the pinball loss of the model over that of the seasonal naive
forecast (the same time yesterday, with its usual errors) and of a window (a decaying histogram of the last days with 15 % on top, as the Vertical
Pod Autoscaler of Kubernetes recommends). Below 1 the model is the better one. Of an instance it is over the last day, week and month, without a
name of all instances over the last week.

A resource of which the model loses against the window is forecast by the window until the model wins again. The model goes on being scored.

With --json and without a name it prints the answer of GET /v1/scorecards. An instance that is called scorecard is forecast by
glidepath forecast -- scorecard.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return exactly("instance")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := resources(kinds)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return show(cmd.Context(), a, "GET", path("scorecards"), nil, func(r v1.Scorecards) error { return a.printScorecards(r, chosen) })
			}
			return show(cmd.Context(), a, "GET", path("instances", args[0], "scorecard"), nil, func(r proto.Scores) error { return a.printScores(r, chosen) })
		},
	}
	cmd.Flags().StringSliceVar(&kinds, "resource", []string{"cpu", "memory"}, "`resource` to show: cpu, memory, read_iops, …, or all")
	completeFlags(cmd, map[string]cobra.CompletionFunc{"resource": completeResources()})
	return cmd
}

// completeResources completes names of resources.
func completeResources() cobra.CompletionFunc {
	words := []string{"all"}
	for _, k := range resource.All() {
		words = append(words, k.String())
	}
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

func (a *app) printScores(r proto.Scores, kinds []resource.Kind) error {
	if r.UpdatedAt == 0 {
		a.say("Nothing was forecast of %s yet that could be scored", r.Instance)
		return nil
	}
	a.say("Forecasts of %s against the highest demand in each step of %s, scored at %s", r.Instance, took(r.Step), stamp(r.UpdatedAt))
	a.standsIn(r.StandsIn)
	header := append([]string{"RESOURCE", "AHEAD", "LAST", "STEPS"}, quantileHeader(r.Quantiles)...)
	t := newTable(a.stdout, append(header, "LOSS", "VS NAIVE", "VS WINDOW")...)
	rows := 0
	for _, k := range kinds {
		for _, lead := range leads(r) {
			for _, p := range r.Periods {
				for _, s := range p.Of {
					if s.Resource != k || s.Lead != lead {
						continue
					}
					row := []any{k, took(s.Lead), p.Name, s.Steps}
					for _, c := range s.Model.Coverage {
						row = append(row, asPercent(c))
					}
					loss := s.Model.TotalLoss()
					t.row(append(row, short(k, int64(math.Ceil(loss))), ratioText(forecast.LossRatio(loss, s.Naive.TotalLoss()), 2), ratioText(forecast.LossRatio(loss, s.Window.TotalLoss()), 2))...)
					rows++
				}
			}
		}
	}
	if rows == 0 {
		a.say("Nothing has come yet of what was forecast: a resource is scored from its second day on, about three hours after its first forecast")
		return nil
	}
	if err := t.flush(); err != nil {
		return err
	}
	a.say("P50 and the like: share of the steps at or below that quantile. LOSS: mean pinball loss, summed over the quantiles; VS: over that of others")
	return nil
}

// leads returns the leads of scores, ascending.
func leads(r proto.Scores) []int64 {
	var out []int64
	for _, p := range r.Periods {
		for _, s := range p.Of {
			out = append(out, s.Lead)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (a *app) printScorecards(r v1.Scorecards, kinds []resource.Kind) error {
	quantiles := []int{}
	for _, s := range r.Items {
		quantiles = s.Quantiles
	}
	header := append([]string{"INSTANCE", "RESOURCE", "SCORED"}, quantileHeader(quantiles)...)
	t := newTable(a.stdout, append(header, "VS NAIVE", "VS WINDOW", "FORECAST BY")...)
	rows := 0
	for _, s := range r.Items {
		for _, k := range kinds {
			i := slices.IndexFunc(s.Of, func(of proto.ScoreSummaryOf) bool { return of.Resource == k })
			if i < 0 || len(s.Quantiles) != len(quantiles) {
				continue
			}
			of := s.Of[i]
			row := []any{s.Instance, k, hours(time.Duration(of.Scored) * time.Millisecond)}
			for _, c := range of.Coverage {
				row = append(row, asPercent(c))
			}
			by := "model"
			for _, w := range s.StandsIn {
				if w.Resource == k {
					by = "window since " + stamp(w.Since)
				}
			}
			t.row(append(row, ratioText(of.Naive, 2), ratioText(of.Window, 2), by)...)
			rows++
		}
	}
	if rows == 0 {
		a.say("No forecast was scored yet: a resource is from its second day on")
	} else if err := t.flush(); err != nil {
		return err
	}
	if len(r.Silent) > 0 {
		a.say("Missing are the instances whose home is %s: no answer", strings.Join(r.Silent, " or "))
	}
	return nil
}

// standsIn says which resources the window forecasts.
func (a *app) standsIn(all []proto.StandsIn) {
	for _, s := range all {
		a.say("%s is forecast by the window of the last days since %s: the model lost against it, and is followed again when it wins", s.Resource, stamp(s.Since))
	}
}

func quantileHeader(quantiles []int) []string {
	var out []string
	for _, q := range quantiles {
		out = append(out, strings.ToUpper(quantile(q)))
	}
	return out
}

func asPercent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + "%" }
