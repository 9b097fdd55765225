package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Import stores history of an instance that was measured elsewhere: the mean demand of each step and the highest
// within it. Steps shorter than a block are folded, longer ones fill the blocks that they cover. Blocks that exist are
// kept, and those that are yet to come left out. It returns how many blocks' values were stored, and how many were older than the store keeps.
func (s *Store) Import(ctx context.Context, instance string, means, maxima forecast.History) (stored, late int, err error) {
	if instance == "" {
		return 0, 0, ErrInstance
	}
	app := s.block.Appender(ctx)
	w := newWriter(app)
	for k := range means {
		for _, f := range []struct {
			series forecast.Series
			fold   forecast.Fold
			to     []Metric
		}{
			{means[k], forecast.Mean, []Metric{DemandMean, UsageMean}},
			{maxima[k], forecast.Max, []Metric{DemandMax, DemandP95, UsageMax}},
		} {
			f.series.Fold = f.fold
			blocks := f.series.Resample(BlockStep)
			for i, v := range blocks.Values {
				at := blocks.Start.Add(time.Duration(i) * BlockStep)
				if math.IsNaN(v) || at > w.latest {
					continue
				}
				for _, m := range f.to {
					w.put(instance, m, resource.Kind(k), at, v)
				}
				stored++
			}
		}
	}
	if w.err != nil {
		return 0, 0, errors.Join(fmt.Errorf("import history of %s: %w", instance, w.err), app.Rollback())
	}
	if err := app.Commit(); err != nil {
		return 0, 0, fmt.Errorf("import history of %s: %w", instance, err)
	}
	return stored, w.late, nil
}

// Export returns the mean demand and the highest of each block of an instance: what Import takes, and what is handed
// to another home.
func (s *Store) Export(ctx context.Context, instance string, span timeline.Span) (means, maxima forecast.History, err error) {
	if means, err = s.Demand(ctx, instance, span, false); err != nil {
		return means, maxima, err
	}
	maxima, err = s.Demand(ctx, instance, span, true)
	return means, maxima, err
}
