package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// foldEvery is how often Run looks for blocks that have become complete.
const foldEvery = 15 * time.Second

// Run folds windows into blocks until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(foldEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.Fold(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("folding history failed, trying again", "error", err)
			}
		}
	}
}

// Fold folds the windows of every block that is complete into that block. A block is complete when its instance has a
// newer window: agents deliver in order, however late.
func (s *Store) Fold(ctx context.Context) error {
	s.mu.Lock()
	todo := map[string]timeline.Span{}
	for name, p := range s.instances {
		if end := p.newest.Floor(BlockStep); end > p.folded {
			todo[name] = timeline.Span{Start: p.folded, End: end}
		}
	}
	s.mu.Unlock()
	var failed error
	for name, span := range todo {
		if err := s.fold(ctx, name, span); err != nil { // which is no reason for the others to have none
			failed = errors.Join(failed, err)
			continue
		}
		s.mu.Lock()
		s.instances[name].folded = span.End
		s.mu.Unlock()
	}
	return failed
}

func (s *Store) fold(ctx context.Context, instance string, span timeline.Span) error {
	app := s.block.Appender(ctx)
	w := newWriter(app)
	for _, f := range []struct {
		from, to Metric
		by       func([]float64) float64
	}{
		{DemandMean, DemandMean, mean}, {DemandMax, DemandMax, slices.Max[[]float64]}, {DemandMax, DemandP95, p95},
		{UsageMean, UsageMean, mean}, {UsageMax, UsageMax, slices.Max[[]float64]},
		{Granted, Granted, mean}, {Scheduled, Scheduled, mean}, {Throttled, Throttled, mean},
	} {
		h, err := s.Raw(ctx, instance, f.from, span)
		if err != nil {
			return errors.Join(err, app.Rollback())
		}
		for k, series := range h {
			eachBlock(series, func(at timeline.Time, values []float64) {
				w.put(instance, f.to, resource.Kind(k), at, f.by(values))
			})
		}
	}
	if err := s.foldSignals(ctx, &w, instance, span); err != nil {
		return errors.Join(err, app.Rollback())
	}
	if w.err != nil {
		return errors.Join(fmt.Errorf("fold history of %s: %w", instance, w.err), app.Rollback())
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("fold history of %s: %w", instance, err)
	}
	return nil
}

// eachBlock calls f with the values of s in each block that has any. f may reorder them.
func eachBlock(s forecast.Series, f func(at timeline.Time, values []float64)) {
	var values []float64
	var block timeline.Time
	for i, v := range s.Values {
		if at := s.Start.Add(time.Duration(i) * s.Step).Floor(BlockStep); at != block {
			if len(values) > 0 {
				f(block, values)
			}
			block, values = at, values[:0]
		}
		if !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	if len(values) > 0 {
		f(block, values)
	}
}

func mean(values []float64) float64 { return stat.Mean(values, nil) }

func p95(values []float64) float64 {
	slices.Sort(values)
	return stat.Quantile(.95, stat.Empirical, values, nil)
}

// recover finds out how far each instance had come when the store was last closed, or was killed.
func (s *Store) recover() error {
	ctx := context.Background()
	names, err := s.Instances(ctx)
	if err != nil {
		return err
	}
	now := timeline.Of(time.Now())
	span := timeline.Span{Start: now.Add(-rawRetention), End: now.Add(time.Hour)}
	for _, name := range names {
		raw, err := s.Raw(ctx, name, DemandMean, span)
		if err != nil {
			return err
		}
		if len(raw[resource.CPU].Values) == 0 {
			continue
		}
		p := s.progress(name, raw[resource.CPU].Start)
		p.newest = raw[resource.CPU].End().Add(-RawStep)
		// Blocks of the same time may come from an import; a block that is folded twice is stored once.
		blocks, err := s.Blocks(ctx, name, Throttled, timeline.Span{Start: p.folded, End: span.End})
		if err != nil {
			return err
		}
		p.folded = max(p.folded, blocks[resource.CPU].End())
	}
	return nil
}
