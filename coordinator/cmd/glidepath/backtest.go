package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/forecast/backtest"
)

func backtestCommand(a *app) *cobra.Command {
	var f recordedFlags
	var dir, emit string
	var step, horizon, every time.Duration
	var origins, workers int
	var means bool
	cmd := &cobra.Command{
		Use: "backtest --dir DIR", Short: "Score forecasts of recorded series against what came", Args: none,
		Long: `Forecast every series of a folder again from past origins, and compare with what came. A file is a CSV, of which every --value-column is a series, or
what Prometheus answers to a range query (.json), of which every series is one, under its name and labels, or those that --value-column names. The
last origin is one --horizon before the end of a series, the others --every before it; a forecast sees only what lies before its origin, and the
events. No fleet is asked.

PINBALL is the pinball loss over that of the conformal daily seasonal naive forecast on the same series; less than 1 is better. Of all series it is
the ratio of the sums, and overall the mean of the resources'. UNDER is the share of what came that was at or below the quantile. ERROR is the absolute error
of the median over that of the same time on the day before.

--emit writes every forecast, a line of JSON for each step and quantile: series, resource, origin, step (from 1), quantile and value. The step with the
number n begins n-1 steps after the origin. What an interrupted run had done stays in FILE.parts, and the same command goes on there. A name that
ends with .gz has it gzipped.

A file that cannot be read is left out, said so, and makes the exit code 1.`,
		Example: `  glidepath backtest --dir traces --time-column t --value-column cpu --value-column memory
  glidepath backtest --dir traces --time-column t --value-column cpu --origins 30 --emit forecasts.ndjson.gz
  curl -sG http://prometheus:9090/api/v1/query_range -d start=2026-11-01T00:00:00Z -d end=2026-11-29T00:00:00Z -d step=5m \
    --data-urlencode 'query=sum by (instance) (rate(http_requests_total[5m]))' -o traces/requests.json && glidepath backtest --dir traces`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loc, err := f.check()
			if err != nil {
				return err
			}
			switch {
			case dir == "":
				return usagef("name a folder of series with --dir")
			case origins < 1 || origins > 10_000:
				return usagef("--origins %d: use 1 to 10000", origins)
			case every < time.Second || every%time.Second != 0:
				return usagef("--every %s: use whole seconds, like 24h", every)
			case workers < 0:
				return usagef("--workers %d: use 1 or more", workers)
			}
			if err := checkSteps(step, horizon); err != nil {
				return err
			}
			events, sum, err := readEventFile(f.events, loc)
			if err != nil {
				return err
			}
			if workers == 0 {
				workers = runtime.GOMAXPROCS(0)
			}
			progress := a.progress()
			r := &backtest.Run{
				Settings: backtest.Settings{
					TimeColumn: f.time, ValueColumns: f.values, Location: f.timezone, Step: step.Milliseconds(), Horizon: horizon.Milliseconds(), Every: every.Milliseconds(),
					Origins: origins, Quantiles: f.quantiles, Means: means, EventsSum: sum, Program: version + " " + commit,
				},
				Dir: dir, Workers: workers, Emit: emit, Progress: progress.forecasts(), Events: events,
			}
			result, err := r.Do(cmd.Context())
			progress.clear()
			if err != nil {
				if emit != "" && errors.Is(err, context.Canceled) {
					fmt.Fprintf(a.stderr, "What is done is in %s.parts: the same command goes on there.\n", emit)
				}
				return err
			}
			if a.json {
				err = a.printValue(result)
			} else {
				err = a.printBacktest(result)
			}
			if n := broken(result); err == nil && n > 0 {
				err = fmt.Errorf("%s could not be read and %s left out", count(n, "file"), map[bool]string{true: "was", false: "were"}[n == 1])
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", "", "`folder` with files of series: .csv, or .json of Prometheus, plain or gzipped (.gz)")
	f.define(cmd)
	flags.DurationVar(&step, "step", 0, "length of a step, down to that of the samples (default 5m, or what a file's samples lie apart where that is longer)")
	flags.DurationVar(&horizon, "horizon", 48*time.Hour, "how far ahead")
	flags.IntVar(&origins, "origins", 7, "from how many origins, where there is history before them")
	flags.DurationVar(&every, "every", 24*time.Hour, "how far the origins lie apart")
	flags.BoolVar(&means, "means", false, "average what falls into one step; else the highest counts")
	flags.StringVar(&emit, "emit", "", "write every forecast to this `file`, as NDJSON")
	flags.IntVar(&workers, "workers", 0, "how many series at once (default one for each core)")
	if err := errors.Join(cmd.MarkFlagDirname("dir"), cmd.MarkFlagFilename("emit")); err != nil {
		panic(err) // the flags were defined before
	}
	return cmd
}

func broken(r *backtest.Result) int {
	n := 0
	for _, l := range r.LeftOut {
		if l.Broken {
			n++
		}
	}
	return n
}

// mostSeries is how many series the table has; --json has all.
const mostSeries = 40

func (a *app) printBacktest(r *backtest.Result) error {
	header := []string{"SERIES", "RESOURCE", "ORIGINS", "PINBALL"}
	for _, q := range r.Quantiles {
		header = append(header, "UNDER "+strings.ToUpper(fraction(q)))
	}
	t := newTable(a.stdout, append(header, "ERROR")...)
	for _, l := range r.Series[:min(len(r.Series), mostSeries)] {
		t.row(figuresRow(l.Series, l.Resource, l.Origins, l.Figures)...)
	}
	if n := len(r.Series) - mostSeries; n > 0 {
		t.row(fmt.Sprintf("… %d more, --json has all", n))
	}
	if len(r.Series) > 1 {
		for _, l := range r.Resources {
			t.row(figuresRow("all", l.Resource, l.Origins, l.Figures)...)
		}
		t.row(figuresRow("overall", "", r.Overall.Forecasts, r.Overall.Figures)...)
	}
	if len(r.Series) > 0 {
		if err := t.flush(); err != nil {
			return err
		}
		a.say("\n%s; %s of the series have their own %s cover .90 to .99 of what came",
			count(r.Overall.Forecasts, "forecast"), portion(r.Overall.Calibrated), fraction(r.Overall.Of))
	}
	var out []string
	for _, l := range r.LeftOut {
		out = append(out, l.Series+": "+l.Reason)
	}
	a.list("Left out", out)
	a.list("Put right", r.Notes)
	return nil
}

func figuresRow(series, resource string, origins int, f backtest.Figures) []any {
	row := []any{series, resource, origins, ratioText(f.Ratio, 3)}
	for _, c := range f.Coverage {
		row = append(row, fmt.Sprintf("%.3f", c))
	}
	return append(row, ratioText(f.AbsRatio, 3))
}

func ratioText(r *float64, digits int) string {
	if r == nil {
		return "-"
	}
	return strconv.FormatFloat(*r, 'f', digits, 64)
}
