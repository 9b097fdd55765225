package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/forecast"
)

// recordedFlags are those of commands that forecast recorded series.
type recordedFlags struct {
	time      string
	values    []string
	quantiles []float64
	events    string
	timezone  string
}

// recordedNames are the names of those flags.
var recordedNames = []string{"time-column", "value-column", "quantiles", "events", "timezone"}

func (f *recordedFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.time, "time-column", "", "`column` of times: RFC 3339, 2026-11-22 18:00:00, or numbers since 1970; the first by default")
	flags.StringArrayVar(&f.values, "value-column", nil, "`column` of amounts; the only one beside the time by default")
	flags.Float64SliceVar(&f.quantiles, "quantiles", nil, "quantiles to forecast, ascending (default 0.5,0.9,0.95,0.99)")
	flags.StringVar(&f.events, "events", "", "`file` of events, past and to come: iCalendar, or a CSV as event add reads it")
	flags.StringVar(&f.timezone, "timezone", "UTC", "time zone of days, and of times that name none, like Europe/Berlin")
}

// check completes the flags, and returns the time zone.
func (f *recordedFlags) check() (*time.Location, error) {
	if f.quantiles == nil {
		f.quantiles = forecast.DefaultQuantiles()
	}
	last := 0.0
	for _, q := range f.quantiles {
		if !(q > last && q < 1) {
			return nil, usagef("--quantiles %v: they have to ascend between 0 and 1, like 0.5,0.95", q)
		}
		last = q
	}
	if len(f.quantiles) > maxQuantiles {
		return nil, usagef("--quantiles: %d are more than %d", len(f.quantiles), maxQuantiles)
	}
	loc, err := time.LoadLocation(f.timezone)
	if err != nil || f.timezone == "Local" {
		return nil, usagef("--timezone %q is not known here: name one like Europe/Berlin", f.timezone)
	}
	return loc, nil
}

// maxQuantiles is how many a forecast has at most.
const maxQuantiles = 16

// firstChanged returns the first of the flags that was given, "" for none.
func firstChanged(cmd *cobra.Command, names ...string) string {
	i := slices.IndexFunc(names, func(n string) bool { return cmd.Flags().Changed(n) })
	if i < 0 {
		return ""
	}
	return names[i]
}

// checkSteps checks a step, 0 for what suits, and a horizon.
func checkSteps(step, horizon time.Duration) error {
	switch {
	case step != 0 && (step < time.Second || step > 6*time.Hour || step%time.Second != 0):
		return usagef("--step %s: use whole seconds from 1s to 6h", step)
	case horizon <= 0 || horizon > 365*24*time.Hour:
		return usagef("--horizon %s: use a length of time up to a year, like 48h", horizon)
	case step != 0 && horizon%step != 0:
		return usagef("--horizon %s is no multiple of --step %s", horizon, step)
	case horizon/max(step, time.Second) > 1<<17 && step != 0:
		return usagef("--horizon %s has more than %d steps of %s", horizon, 1<<17, step)
	}
	return nil
}

// number prints an amount without a unit: four digits that count, and no fewer than it has before the point.
func number(v float64) string {
	if math.Abs(v) >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	digits := 3 - int(math.Floor(math.Log10(max(math.Abs(v), 1e-3))))
	text := strconv.FormatFloat(v, 'f', max(0, digits), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// portion prints a share in whole hundredths.
func portion(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// fraction prints a quantile as p99.
func fraction(q float64) string { return "p" + strconv.FormatFloat(math.Round(q*1e6)/1e4, 'f', -1, 64) }
