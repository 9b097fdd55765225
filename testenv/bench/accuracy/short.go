//go:build linux

package accuracy

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Short is how well series with two to nine days of history were forecast.
type Short struct {
	Series   int
	Coverage []float64 // per quantile of forecast.DefaultQuantiles, over all steps
	Pinball  float64   // mean over the series of the loss, relative to that of the conformal seasonal naive forecast
}

// The histories: the first origin and the last one.
const shortFirst, shortLast = 2 * day, 9 * day

// ScoreShort forecasts the series in nab-aws, of the Numenta Anomaly Benchmark, from each of their third to tenth
// days: 48 hours at 5 minutes. (Lavin and Ahmad, Evaluating Real-Time Anomaly Detection Algorithms, ICMLA 2015.)
func ScoreShort(ctx context.Context, o Options) (Short, error) {
	var total Short
	paths, err := filepath.Glob(filepath.Join(o.Dir, "nab-aws", "*.csv"))
	if err != nil || len(paths) == 0 {
		return total, fmt.Errorf("no *.csv in %s", filepath.Join(o.Dir, "nab-aws"))
	}
	took := o.chosen(len(paths))
	type pair struct{ ours, base forecast.Score }
	scores, err := each(ctx, o.Workers, len(took), func(i int) (pair, error) {
		var h forecast.History
		s, err := loadNAB(paths[took[i]])
		if err != nil {
			return pair{}, err
		}
		h[resource.CPU] = s
		roll := forecast.Rolling{From: s.Start.Add(shortFirst), To: s.Start.Add(shortLast + 2*day)}
		ours, err := forecast.Backtest(h, nil, forecast.Options{Members: o.Members}, roll)
		if err != nil {
			return pair{}, fmt.Errorf("%s: %w", paths[took[i]], err)
		}
		base, err := forecast.Backtest(h, nil, forecast.Options{Members: forecast.BaselineMembers()}, roll)
		return pair{ours[resource.CPU], base[resource.CPU]}, err
	})
	if err != nil {
		return total, err
	}
	total.Coverage = make([]float64, len(forecast.DefaultQuantiles()))
	steps := 0.0
	for _, s := range scores {
		if s.ours.Steps == 0 || s.base.TotalLoss() == 0 {
			continue
		}
		total.Series++
		steps += float64(s.ours.Steps)
		for qi, c := range s.ours.Covered {
			total.Coverage[qi] += float64(c)
		}
		total.Pinball += s.ours.TotalLoss() / s.base.TotalLoss()
	}
	total.Pinball /= float64(total.Series)
	for qi := range total.Coverage {
		total.Coverage[qi] /= steps
	}
	return total, nil
}

// loadNAB reads a CSV with the columns timestamp (UTC) and value onto 5-minute steps; of several values in a step the last.
func loadNAB(path string) (forecast.Series, error) {
	s := forecast.Series{Step: 5 * time.Minute}
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 2 {
		return s, fmt.Errorf("read %s: %d lines: %w", path, len(rows), err)
	}
	for i, row := range rows[1:] {
		t, err := time.Parse(time.DateTime, row[0])
		if err != nil {
			return s, fmt.Errorf("%s line %d: %w", path, i+2, err)
		}
		v, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			return s, fmt.Errorf("%s line %d: %w", path, i+2, err)
		}
		at := timeline.Of(t).Floor(s.Step)
		if i == 0 {
			s.Start = at
		}
		n := int(at.Sub(s.Start) / s.Step)
		if n < 0 || n > len(s.Values)+100*288 {
			return s, fmt.Errorf("%s line %d: time %s is out of order or too far on", path, i+2, row[0])
		}
		for len(s.Values) <= n {
			s.Values = append(s.Values, math.NaN())
		}
		s.Values[n] = v
	}
	return s, nil
}
