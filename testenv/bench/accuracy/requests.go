//go:build linux

package accuracy

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
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

// Requests is how well the requests of a web site were forecast on steps of their own, finer than the model's.
type Requests struct {
	Name     string
	Horizon  time.Duration
	Coverage []float64 // per quantile of forecast.DefaultQuantiles
	Pinball  float64   // relative to the conformal seasonal naive forecast
	Median   float64   // the median's absolute error, relative to what came at the same step of the day before
}

// requestsEvery says from when on and how often each horizon is forecast.
var requestsEvery = []struct {
	horizon, every, last time.Duration // last: how much of the end of a series origins are in; 0: all but the first two weeks
}{{15 * time.Minute, time.Hour, 14 * day}, {2 * day, day, 0}}

// ScoreRequests forecasts the series in web-requests.
func ScoreRequests(ctx context.Context, o Options) ([]Requests, error) {
	paths, err := filepath.Glob(filepath.Join(o.Dir, "web-requests", "*.csv.gz"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no *.csv.gz in %s", filepath.Join(o.Dir, "web-requests"))
	}
	n := len(requestsEvery)
	return each(ctx, o.Workers, n*len(paths), func(i int) (Requests, error) {
		path, how := paths[i/n], requestsEvery[i%n]
		out := Requests{Name: filepath.Base(path[:len(path)-len(".csv.gz")]), Horizon: how.horizon}
		s, err := loadRequests(path)
		if err != nil {
			return out, err
		}
		roll := forecast.Rolling{From: s.Start.Add(warm), To: s.End(), Every: how.every, Horizon: how.horizon}
		if how.last > 0 {
			roll.From = max(roll.From, roll.To.Add(-how.last))
		}
		score := func(members []string) (forecast.Score, error) {
			var h forecast.History
			h[resource.CPU] = s
			scores, err := forecast.Backtest(h, nil, forecast.Options{Step: s.Step, Members: members}, roll)
			return scores[resource.CPU], err
		}
		ours, err := score(o.Members)
		if err != nil {
			return out, fmt.Errorf("%s: %w", path, err)
		}
		base, err := score(forecast.BaselineMembers())
		if err != nil {
			return out, fmt.Errorf("%s: %w", path, err)
		}
		for qi := range ours.Covered {
			out.Coverage = append(out.Coverage, ours.Coverage(qi))
		}
		out.Pinball, out.Median = ours.TotalLoss()/base.TotalLoss(), ours.AbsError/ours.NaiveAbs
		return out, nil
	})
}

// loadRequests reads a gzipped CSV of requests per minute with the columns time (UTC) and count, or per 10 seconds with the counts alone.
func loadRequests(path string) (forecast.Series, error) {
	s := forecast.Series{Step: time.Minute}
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	in, err := gzip.NewReader(f)
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	rows, err := csv.NewReader(in).ReadAll()
	if err = errors.Join(err, in.Close()); err != nil || len(rows) < 2 {
		return s, fmt.Errorf("read %s: %d lines: %w", path, len(rows), err)
	}
	if len(rows[0]) == 1 {
		s.Start, s.Step = timeline.Of(time.Date(1995, 7, 1, 0, 0, 0, 0, time.UTC)), 10*time.Second
	}
	for i, row := range rows[1:] {
		if len(row) > 1 {
			t, err := time.Parse(time.DateTime, row[0])
			if err != nil {
				return s, fmt.Errorf("%s line %d: %w", path, i+2, err)
			}
			if i == 0 {
				s.Start = timeline.Of(t).Floor(s.Step)
			}
			missing := int(timeline.Of(t).Sub(s.End()) / s.Step)
			if missing < 0 || missing > 24*60 {
				return s, fmt.Errorf("%s line %d: time %s is out of order or too far on", path, i+2, row[0])
			}
			for range missing {
				s.Values = append(s.Values, math.NaN())
			}
		}
		v, err := strconv.ParseFloat(row[len(row)-1], 64)
		if err != nil {
			return s, fmt.Errorf("%s line %d: %w", path, i+2, err)
		}
		s.Values = append(s.Values, v)
	}
	return s, nil
}
