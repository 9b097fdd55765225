// Package backtest forecasts recorded series again from past origins, and scores what it would have said.
package backtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/seriescsv"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Settings say what is forecast, and from where. Two runs with the same settings, of the same files, say the same.
type Settings struct {
	TimeColumn   string    `json:"time_column"`
	ValueColumns []string  `json:"value_columns"`
	Location     string    `json:"timezone"`   // of times without a zone, and of days
	Step         int64     `json:"step_ms"`    // 0: 5 minutes, or what the samples lie apart where that is longer
	Horizon      int64     `json:"horizon_ms"` // the last origin lies that long before the end of a series
	Every        int64     `json:"every_ms"`   // between origins
	Origins      int       `json:"origins"`
	Quantiles    []float64 `json:"quantiles"`
	Means        bool      `json:"means"`                   // what falls into one step is averaged; else the highest counts
	EventsSum    string    `json:"events_sha256,omitempty"` // of the file that Events reads
	Program      string    `json:"program"`
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// Run is a backtest of a folder.
type Run struct {
	Settings
	Dir      string
	Workers  int
	Emit     string                // file that gets every forecast, as NDJSON, gzipped where its name ends with .gz; "" for none
	Progress func(done, total int) // is called from one goroutine at a time; nil for none
	Events   Events                // nil for none

	loc   *time.Location
	mu    sync.Mutex
	done  int
	total int
}

// Events returns those that touch a span, and what is to be said of them. They are taken as known in advance. It is called from several goroutines.
type Events func(ctx context.Context, span timeline.Span) ([]forecast.Event, []string, error)

// LeftOut is a file that was not scored.
type LeftOut struct {
	Series string `json:"series"`
	Reason string `json:"reason"`
	Broken bool   `json:"broken"` // it could not be read; else it is too short
}

// input is one file of the folder.
type input struct {
	path, series string
}

// Do carries the backtest out. A file that can't be read, or is too short for any origin, is told of in the result; the others go on. When ctx
// ends it returns its error, and a run with Emit goes on where it stopped when it is done again.
func (r *Run) Do(ctx context.Context) (*Result, error) {
	loc, err := time.LoadLocation(r.Location)
	if err != nil {
		return nil, fmt.Errorf("time zone: %w", err)
	}
	r.loc = loc
	inputs, err := list(r.Dir)
	if err != nil {
		return nil, err
	}
	r.total = len(inputs) * max(1, len(r.ValueColumns)) * r.Origins
	out, err := openEmission(r.Emit, r.Settings)
	if err != nil {
		return nil, err
	}
	defer out.close()
	parts := make([]part, len(inputs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, r.Workers))
	for i, in := range inputs {
		g.Go(func() error {
			var err error
			parts[i], err = r.file(ctx, in, out)
			r.advance(max(1, len(r.ValueColumns), parts[i].series)*r.Origins - parts[i].counted)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := out.finish(inputs, parts); err != nil {
		return nil, err
	}
	return r.result(parts), nil
}

// list returns the files with series of a folder in the order of their names: CSVs, and answers of Prometheus.
func list(dir string) ([]input, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []input
	seen := map[string]string{}
	for _, e := range entries {
		name := e.Name()
		series, ok := strings.CutSuffix(strings.TrimSuffix(name, ".gz"), ".csv")
		if !ok {
			series, ok = strings.CutSuffix(strings.TrimSuffix(name, ".gz"), ".json")
		}
		if !ok || e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		if other, twice := seen[series]; twice {
			return nil, fmt.Errorf("%s has both %s and %s: the series %s would be there twice", dir, other, name, series)
		}
		seen[series] = name
		out = append(out, input{filepath.Join(dir, name), series})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no file that ends with .csv or .json, or these with .gz", dir)
	}
	return out, nil
}

// advance counts forecasts that are done.
func (r *Run) advance(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done += n; r.Progress != nil && n > 0 {
		r.Progress(r.done, r.total)
	}
}

// expect counts forecasts that a file turned out to have beside those that were counted for it.
func (r *Run) expect(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total += max(0, n)
}

// part is what came of one file.
type part struct {
	Sum     string   `json:"sum"` // of the file, in hexadecimal
	Scores  []Score  `json:"scores"`
	Notes   []string `json:"notes,omitempty"`
	LeftOut *LeftOut `json:"left_out,omitempty"`
	series  int      // that the file was found to have
	counted int      // forecasts that Progress was told of
}

// file forecasts the series of one file from their origins.
func (r *Run) file(ctx context.Context, in input, out *emission) (part, error) {
	if err := ctx.Err(); err != nil {
		return part{}, err
	}
	if known, ok := out.known(in.series); ok {
		if sum, err := sumOf(in.path); err == nil && sum == known.Sum {
			return known, nil
		}
	}
	fold := forecast.Max
	if r.Means {
		fold = forecast.Mean
	}
	table, err := seriescsv.ReadFile(in.path, seriescsv.Options{TimeColumn: r.TimeColumn, ValueColumns: r.ValueColumns, Location: r.loc, Fold: fold})
	if broken := (*seriescsv.Error)(nil); errors.As(err, &broken) {
		return part{LeftOut: &LeftOut{in.series, err.Error(), true}}, nil
	}
	if err != nil { // of the machine, not of the file
		return part{}, err
	}
	p := part{Sum: hex.EncodeToString(table.Sum[:]), Notes: table.Notes, series: len(table.Series)}
	r.expect((p.series - max(1, len(r.ValueColumns))) * r.Origins)
	w, err := out.begin(in.series)
	if err != nil {
		return p, err
	}
	defer w.drop()
	for i, s := range table.Series {
		score, err := r.series(ctx, in.series, table.Columns[i], s, w, &p)
		if err != nil {
			return p, err
		}
		if score.Origins > 0 {
			p.Scores = append(p.Scores, score)
		}
	}
	if len(p.Scores) == 0 {
		s := table.Series[0]
		p.LeftOut = &LeftOut{in.series, fmt.Sprintf("its %s are too short for a horizon of %s and something before it", s.End().Sub(s.Start), milliseconds(r.Horizon)), false}
	}
	return p, w.keep(p)
}

// sumOf returns the SHA-256 of a file in hexadecimal.
func sumOf(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// eventsBefore is how long before an origin events are learned from: a little more than of a history.
const eventsBefore = 30 * 24 * time.Hour

// series forecasts one series from its origins.
func (r *Run) series(ctx context.Context, name, column string, s forecast.Series, w *writer, p *part) (Score, error) {
	score := Score{Series: name, Resource: column, Loss: make([]float64, len(r.Quantiles)), Baseline: make([]float64, len(r.Quantiles)), Covered: make([]int, len(r.Quantiles))}
	opts := forecast.Options{Step: milliseconds(r.Step), Quantiles: r.Quantiles, Location: r.loc}
	if opts.Step == 0 {
		opts.Step = max(forecast.DefaultStep, s.Step)
	}
	base := opts
	base.Members = forecast.BaselineMembers()
	known := actuals{series: s, step: opts.Step}
	origins := r.origins(s)
	for _, at := range origins {
		if err := ctx.Err(); err != nil {
			return score, err
		}
		var events []forecast.Event
		if r.Events != nil {
			var notes []string
			var err error
			if events, notes, err = r.Events(ctx, timeline.Span{Start: at.Add(-eventsBefore), End: at.Add(milliseconds(r.Horizon))}); err != nil {
				return score, err
			}
			for _, note := range notes {
				if !slices.Contains(p.Notes, note) {
					p.Notes = append(p.Notes, note)
				}
			}
		}
		ours, err := forecast.OfSeries(s, events, at, milliseconds(r.Horizon), opts)
		if err == nil {
			var naive *forecast.One
			if naive, err = forecast.OfSeries(s, events, at, milliseconds(r.Horizon), base); err == nil {
				known.begin(at)
				score.add(ours, naive, &known)
				err = w.write(name, column, ours)
			}
		}
		switch {
		case errors.Is(err, forecast.ErrColdStart): // nothing but gaps before it
		case err != nil:
			return score, fmt.Errorf("%s, column %s, from %s on: %w", name, column, at, err)
		}
		p.counted++
		r.advance(1)
	}
	return score, nil
}

// origins returns where a series is forecast from, the earliest first: where something lies before it.
func (r *Run) origins(s forecast.Series) []timeline.Time {
	var out []timeline.Time
	for i := r.Origins - 1; i >= 0; i-- {
		at := s.End() - timeline.Time(r.Horizon+int64(i)*r.Every) // which may be centuries
		if at > s.Start {
			out = append(out, at)
		}
	}
	return out
}
