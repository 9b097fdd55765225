//go:build linux

package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/testenv/bench/accuracy"
	"github.com/glidepath/glidepath/testenv/traces"
)

const (
	forecastRuns    = 30
	forecastHorizon = 48 * time.Hour
)

// measureForecast trains on a series at 5 minutes and forecasts two days of it. Its peer is the forecast that accuracy
// is measured against, too: the same time yesterday, with conformal errors. The history ends at an odd hour, and the same is measured where a model
// of the hour before is there.
func measureForecast(ctx context.Context, b *bench) ([]Row, error) {
	b.Progress("forecast: one series, 48 hours ahead")
	var rows []Row
	for _, days := range []int{14, 28} {
		start := timeline.Of(time.Unix(1_700_000_000, 0)).Floor(24 * time.Hour)
		trace, err := traces.Generate(traces.Spec{Seed: 5, Start: start, Length: time.Duration(days)*24*time.Hour + time.Hour, Shapes: traces.Redis()})
		if err != nil {
			return rows, err
		}
		var history forecast.History
		history[resource.CPU] = trace.History[resource.CPU]
		before, err := forecast.Train(history.Before(trace.History[resource.CPU].End().Add(-time.Hour)), nil, forecastOptions(nil))
		if err != nil {
			return rows, err
		}
		ours, err := forecastTime(ctx, nil, history, nil)
		if err != nil {
			return rows, err
		}
		again, err := forecastTime(ctx, before, history, nil)
		if err != nil {
			return rows, err
		}
		naive, err := forecastTime(ctx, nil, history, forecast.BaselineMembers())
		if err != nil {
			return rows, err
		}
		what := fmt.Sprintf("one series, %d days of history: train, 48 h at 5 min", days)
		rows = append(rows, Row{What: what, Value: ours, Unit: "ms of CPU", Peer: "seasonal naive", Of: naive},
			Row{What: what + ", an hour later", Value: again, Unit: "ms of CPU", Peer: "from scratch", Of: ours})
	}
	return rows, nil
}

func forecastOptions(members []string) forecast.Options {
	return forecast.Options{Maximum: resource.Uniform(4000), Members: members}
}

// forecastTime returns the median of the CPU time of training, after a model that may be nil, and forecasting, in milliseconds: on a machine that does
// other work, too, the time by the clock would be that of the other work.
func forecastTime(ctx context.Context, before *forecast.Model, h forecast.History, members []string) (float64, error) {
	var took []float64
	end := h[resource.CPU].End()
	for range forecastRuns {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		began := accuracy.CPUTime()
		m, err := forecast.Retrain(before, h, nil, forecastOptions(members))
		if err != nil {
			return 0, err
		}
		if _, err := m.Forecast(end, forecastHorizon); err != nil {
			return 0, err
		}
		took = append(took, (accuracy.CPUTime()-began).Seconds()*1000)
	}
	return median(took), nil
}

func median(all []float64) float64 { return quantile(all, .5) }

// quantile returns the smallest value that at least the share q of all is not above.
func quantile(all []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(0, min(len(sorted)-1, int(float64(len(sorted))*q+.9999)-1))]
}
