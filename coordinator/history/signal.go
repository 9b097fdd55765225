package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// signalMean is what an instance's signals are kept as: what was read in a window, the mean of a block.
const signalMean Metric = "signal_mean"

const labelSignal = "signal"

// signal stores a value of a signal. What can't be one is left out: it would be in the way of every forecast.
func (w *writer) signal(instance, name string, at timeline.Time, v float64) {
	if proto.ValidName("signal", name) != nil || !(v >= 0 && v <= proto.MostSignal) {
		return
	}
	w.append(labels.FromStrings(labels.MetricName, string(signalMean), labelInstance, instance, labelSignal, name), at, v)
}

// Signals returns the signals of an instance of which anything is known in the span, sorted by name: blocks, continued up to now by the windows
// that are not folded yet.
func (s *Store) Signals(ctx context.Context, instance string, span timeline.Span) ([]forecast.Signal, error) {
	out, err := readSignals(ctx, s.block, instance, span, BlockStep)
	if err != nil {
		return nil, err
	}
	recent := span
	s.mu.Lock()
	if p := s.instances[instance]; p != nil {
		recent.Start = max(recent.Start, p.folded)
	}
	s.mu.Unlock()
	raw, err := readSignals(ctx, s.raw, instance, recent, RawStep)
	if err != nil {
		return nil, err
	}
	for _, r := range raw {
		if i := slices.IndexFunc(out, func(o forecast.Signal) bool { return o.Name == r.Name }); i >= 0 {
			out[i].Series = forecast.Splice(out[i].Series, r.Series)
		} else {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b forecast.Signal) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func readSignals(ctx context.Context, db *tsdb.DB, instance string, span timeline.Span, step time.Duration) ([]forecast.Signal, error) {
	var out []forecast.Signal
	err := each(ctx, db, instance, signalMean, span, step, func(l labels.Labels, s forecast.Series) {
		out = append(out, forecast.Signal{Name: l.Get(labelSignal), Series: s})
	})
	return slices.DeleteFunc(out, func(s forecast.Signal) bool { return len(s.Series.Values) == 0 }), err
}

// foldSignals folds the windows of an instance's signals into blocks.
func (s *Store) foldSignals(ctx context.Context, w *writer, instance string, span timeline.Span) error {
	all, err := readSignals(ctx, s.raw, instance, span, RawStep)
	for _, of := range all {
		eachBlock(of.Series, func(at timeline.Time, values []float64) { w.signal(instance, of.Name, at, mean(values)) })
	}
	return err
}

// ImportSignals stores blocks of signals that were measured elsewhere, on BlockStep. Blocks that exist are kept.
func (s *Store) ImportSignals(ctx context.Context, instance string, signals []forecast.Signal) error {
	if instance == "" {
		return ErrInstance
	}
	app := s.block.Appender(ctx)
	w := newWriter(app)
	for _, of := range signals {
		for i, v := range of.Series.Values {
			if !math.IsNaN(v) {
				w.signal(instance, of.Name, of.Series.Start.Add(time.Duration(i)*BlockStep), v)
			}
		}
	}
	if w.err != nil {
		return errors.Join(fmt.Errorf("import signals of %s: %w", instance, w.err), app.Rollback())
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("import signals of %s: %w", instance, err)
	}
	return nil
}
