//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/glidepath/glidepath/testenv/bench/accuracy"
)

// dataNeeded says that series to forecast are not part of the project.
func dataNeeded(o Options) error {
	if o.Data.Dir == "" {
		return errors.New("the published series are not part of the project: say in which folder they are (DATA=..., docs/forecasting.md)")
	}
	if _, err := os.Stat(o.Data.Dir); err != nil {
		return err
	}
	return nil
}

// measureAccuracy scores the forecast on published series.
func measureAccuracy(ctx context.Context, b *bench) ([]Row, error) {
	b.Progress("accuracy: M4 Hourly")
	rows, err := m4Rows(ctx, b.Data)
	if err != nil {
		return rows, err
	}
	for _, set := range []struct {
		name          string
		pinball, mase *Bar
	}{
		{"bitbrains-rnd", upTo(.80), nil}, {"bitbrains-faststorage", upTo(.84), upTo(.80)},
	} {
		b.Progress("accuracy: " + set.name)
		s, err := accuracy.ScoreMachines(ctx, b.Data, set.name)
		if err != nil {
			return rows, err
		}
		rows = append(rows, machineRows(set.name, s, set.pinball, set.mase)...)
	}
	for _, set := range []string{"bitbrains-rnd", "bitbrains-faststorage"} {
		for _, length := range []time.Duration{30 * time.Minute, time.Hour} {
			b.Progress("accuracy: " + set + ", blocks of " + length.String())
			s, err := accuracy.ScoreBlocks(ctx, b.Data, set, length)
			if err != nil {
				return rows, err
			}
			rows = append(rows, blockRows(set, s)...)
		}
	}
	for _, set := range []string{"bitbrains-rnd", "bitbrains-faststorage"} {
		b.Progress("accuracy: " + set + ", without history")
		starts, err := accuracy.ScoreStarts(ctx, b.Data, set)
		if err != nil {
			return rows, err
		}
		rows = append(rows, beginnerRows(set, starts)...)
	}
	b.Progress("accuracy: short histories")
	short, err := accuracy.ScoreShort(ctx, b.Data)
	if err != nil {
		return rows, err
	}
	b.Progress("accuracy: requests")
	requests, err := accuracy.ScoreRequests(ctx, b.Data)
	if err != nil {
		return rows, err
	}
	rows = append(rows, requestRows(requests)...)
	what := fmt.Sprintf("nab-aws, %d series, 2 to 9 days of history: ", short.Series)
	return append(rows,
		Row{What: what + "coverage of p95", Value: short.Coverage[2], Bar: from(.93)},
		Row{What: what + "coverage of p99", Value: short.Coverage[3]},
		Row{What: what + "pinball loss, mean over the series", Value: short.Pinball, Unit: "× seasonal naive"},
	), nil
}

func m4Rows(ctx context.Context, o accuracy.Options) ([]Row, error) {
	s, err := accuracy.ScoreM4(ctx, o)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("M4 Hourly, %d series: ", s.Series)
	rows := []Row{
		{What: what + "sMAPE", Value: s.SMAPE, Unit: "%"}, {What: what + "MASE", Value: s.MASE},
		{What: what + "OWA", Value: s.OWA, Bar: upTo(.43)},
		{What: what + "MSIS", Value: s.MSIS, Bar: upTo(6.8)}, {What: what + "ACD", Value: s.ACD, Bar: upTo(.03)},
		{What: what + "below, above the 95 % interval", Value: s.Below, Unit: fmt.Sprintf("and %.4f", s.Above)},
		{What: what + "CPU time of one", Value: perForecast(s.CPU, s.Series), Unit: "ms"},
	}
	// The table's entries, each a peer of one of our figures.
	for _, e := range s.Published {
		if !math.IsNaN(e.OWA) {
			rows = append(rows, Row{What: "M4 Hourly: OWA", Value: s.OWA, Peer: e.Team, Of: e.OWA})
		}
		if !math.IsNaN(e.MSIS) {
			rows = append(rows, Row{What: "M4 Hourly: MSIS", Value: s.MSIS, Peer: fmt.Sprintf("%s (ACD %.3f)", e.Team, e.ACD), Of: e.MSIS})
		}
	}
	return rows, nil
}

// blockRows are those of the highest step in each block.
func blockRows(set string, b accuracy.Blocks) []Row {
	what := fmt.Sprintf("%s, highest of %s: ", set, b.Length)
	return []Row{
		{What: what + "coverage of p95", Value: b.AsStep[2], Unit: fmt.Sprintf("(highest of the steps' p95: %.3f)", b.OfSteps[2])},
		{What: what + "coverage of p99", Value: b.AsStep[3], Unit: fmt.Sprintf("(highest of the steps' p99: %.3f)", b.OfSteps[3])},
		{What: what + "pinball loss", Value: b.Pinball, Unit: "× highest of the steps"},
	}
}

// beginnerRows are those of machines that begin anew.
func beginnerRows(set string, starts []accuracy.Start) (rows []Row) {
	for _, s := range starts {
		rows = append(rows, Row{
			What:  fmt.Sprintf("%s, %s after the start, with a fleet: pinball loss; coverage of p95 %.3f (without %.3f), of p99 %.3f (%.3f)", set, s.Age, s.Coverage[2], s.Alone[2], s.Coverage[3], s.Alone[3]),
			Value: s.Pinball, Unit: "× the type's maximum",
		})
	}
	return rows
}

// requestRows are those of series on steps finer than the model's.
func requestRows(all []accuracy.Requests) (rows []Row) {
	for _, r := range all {
		rows = append(rows, Row{
			What:  fmt.Sprintf("%s, %s ahead: pinball loss; coverage %.3f; error of the median × the day before %.3f", r.Name, r.Horizon, r.Coverage, r.Median),
			Value: r.Pinball, Unit: "× seasonal naive",
		})
	}
	return rows
}

func machineRows(set string, s accuracy.Machines, pinball, mase *Bar) []Row {
	what := fmt.Sprintf("%s, %d series: ", set, s.Series)
	rows := []Row{{What: what + "pinball loss, mean of the resources", Value: s.Pinball, Unit: "× seasonal naive", Bar: pinball}}
	for _, r := range s.Resources {
		rows = append(rows, Row{
			What:  fmt.Sprintf("%s, %s: pinball loss; by quantile %.3f, coverage %.3f", set, r.Kind, r.Quantile, r.Coverage),
			Value: r.Pinball, Unit: "× seasonal naive",
		})
	}
	return append(rows,
		Row{What: what + "coverage of p50", Value: s.Coverage[0]}, Row{What: what + "coverage of p90", Value: s.Coverage[1]},
		Row{What: what + "coverage of p95", Value: s.Coverage[2], Bar: within(.94, .96)},
		Row{What: what + "coverage of p99", Value: s.Coverage[3], Bar: from(.985)},
		Row{What: what + "share whose own p95 covers .90 to .99", Value: s.InBand, Bar: from(.90), Unit: fmt.Sprintf("(below %.3f, above %.3f; at rest %.3f)", s.TooLow, s.TooHigh, s.AtRest)},
		Row{What: what + "MASE at 40 h, CPU and memory", Value: s.MASE, Unit: "× seasonal naive", Bar: mase},
		Row{What: what + "CPU time of one forecast", Value: perForecast(s.CPU, s.Forecasts), Unit: "ms", Bar: upTo(10)},
	)
}

// perForecast returns the milliseconds of one of n.
func perForecast(all time.Duration, n int) float64 { return all.Seconds() * 1000 / float64(max(1, n)) }
