package history

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// maxPoints bounds what one query returns of one series.
const maxPoints = 1 << 20

// Raw returns a figure of an instance in windows of RawStep, missing ones as NaN. Nothing stored is an empty series.
func (s *Store) Raw(ctx context.Context, instance string, m Metric, span timeline.Span) (forecast.History, error) {
	return read(ctx, s.raw, instance, m, span, RawStep)
}

// Blocks returns a figure of an instance in blocks of BlockStep, missing ones as NaN. Nothing stored is an empty series.
func (s *Store) Blocks(ctx context.Context, instance string, m Metric, span timeline.Span) (forecast.History, error) {
	return read(ctx, s.block, instance, m, span, BlockStep)
}

// Demand returns what a forecast of an instance learns from: blocks, continued up to now by the windows that are not
// folded yet. highest asks for the windows' maxima, which an allocation has to hold; otherwise it is the means.
func (s *Store) Demand(ctx context.Context, instance string, span timeline.Span, highest bool) (forecast.History, error) {
	metric, fold := DemandMean, forecast.Mean
	if highest {
		metric, fold = DemandMax, forecast.Max
	}
	blocks, err := s.Blocks(ctx, instance, metric, span)
	if err != nil {
		return blocks, err
	}
	recent := span
	for _, b := range blocks {
		recent.Start = max(recent.Start, b.End())
	}
	raw, err := s.Raw(ctx, instance, metric, recent)
	if err != nil {
		return blocks, err
	}
	for k := range blocks {
		blocks[k].Fold, raw[k].Fold = fold, fold
		blocks[k] = forecast.Splice(blocks[k], raw[k])
	}
	return blocks, nil
}

// Windows returns the demand of an instance in windows of RawStep, missing ones as NaN: their highest second, or their mean.
func (s *Store) Windows(ctx context.Context, instance string, span timeline.Span, highest bool) (forecast.History, error) {
	if highest {
		return s.Raw(ctx, instance, DemandMax, span)
	}
	return s.Raw(ctx, instance, DemandMean, span)
}

func read(ctx context.Context, db *tsdb.DB, instance string, m Metric, span timeline.Span, step time.Duration) (forecast.History, error) {
	var out forecast.History
	err := each(ctx, db, instance, m, span, step, func(l labels.Labels, s forecast.Series) {
		if k, ok := kindOf(l.Get(labelResource)); ok {
			out[k] = s
		}
	})
	return out, err
}

// each calls f with each series of a figure of an instance, on the grid of step.
func each(ctx context.Context, db *tsdb.DB, instance string, m Metric, span timeline.Span, step time.Duration, f func(l labels.Labels, s forecast.Series)) error {
	if instance == "" {
		return ErrInstance
	}
	span.Start, span.End = span.Start.Floor(step), span.End.Ceil(step)
	if span.Empty() {
		return nil
	}
	if n := span.Length() / step; n > maxPoints {
		return fmt.Errorf("history of %s: %d points asked for, at most %d", instance, n, maxPoints)
	}
	q, err := db.Querier(int64(span.Start), int64(span.End)-1)
	if err != nil {
		return fmt.Errorf("history of %s: %w", instance, err)
	}
	defer q.Close()
	set := q.Select(ctx, false, nil,
		labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, string(m)),
		labels.MustNewMatcher(labels.MatchEqual, labelInstance, instance))
	var it chunkenc.Iterator
	for set.Next() {
		series := set.At()
		it = series.Iterator(it)
		f(series.Labels(), gather(it, span, step))
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("history of %s: %w", instance, err)
	}
	return nil
}

func kindOf(name string) (resource.Kind, bool) {
	for _, k := range resource.All() {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

// gather puts a series' samples on the grid of step, from the first to the last sample that it finds.
func gather(it chunkenc.Iterator, span timeline.Span, step time.Duration) forecast.Series {
	s := forecast.Series{Step: step}
	for it.Next() == chunkenc.ValFloat {
		at, v := it.At()
		start := timeline.Time(at).Floor(step)
		if !span.Contains(start) {
			continue
		}
		if len(s.Values) == 0 {
			s.Start = start
		}
		i := int(start.Sub(s.Start) / step)
		if i < 0 {
			continue
		}
		for len(s.Values) < i {
			s.Values = append(s.Values, math.NaN())
		}
		if i == len(s.Values) {
			s.Values = append(s.Values, v)
		} else {
			s.Values[i] = v
		}
	}
	return s
}

// Instances returns the names of all instances with windows or blocks, sorted.
func (s *Store) Instances(ctx context.Context) ([]string, error) {
	var all []string
	for _, db := range []*tsdb.DB{s.raw, s.block} {
		q, err := db.Querier(math.MinInt64, math.MaxInt64)
		if err != nil {
			return nil, fmt.Errorf("list history: %w", err)
		}
		names, _, err := q.LabelValues(ctx, labelInstance, nil)
		if cerr := q.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, fmt.Errorf("list history: %w", err)
		}
		all = append(all, names...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
