//go:build linux

package accuracy

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/testenv/traces"
)

const (
	day = 24 * time.Hour
	// warm is how much history lies before the first origin.
	warm = 14 * day
	// medianHorizon is how far the median is compared with the seasonal naive forecast.
	medianHorizon = 40 * time.Hour
)

// Machines is how well a set of traces was forecast: 48 hours at 5 minutes, an origin each day.
type Machines struct {
	Series    int
	Forecasts int // of one series each
	CPU       time.Duration
	Resources []Resource
	// Pinball is the mean of the resources' ratios.
	Pinball  float64
	Coverage []float64 // per quantile of forecast.DefaultQuantiles, over all steps
	// InBand is the share of series whose own coverage of p95 lies within .90 and .99.
	InBand float64
	// TooLow and TooHigh are the shares of those below and above.
	TooLow, TooHigh float64
	// AtRest is the share of series that have their lowest value in more than .99 of the steps to be forecast: whatever is not
	// below that covers more than .99 of them.
	AtRest float64
	// MASE is the mean scaled error of the median over 40 hours, CPU and memory, relative to that of the seasonal naive forecast.
	MASE float64
}

// Resource is one resource's part.
type Resource struct {
	Kind resource.Kind
	// Pinball is the loss, summed over series and quantiles, relative to that of the conformal seasonal naive forecast.
	Pinball  float64
	Quantile []float64 // the same by quantile
	Coverage []float64
}

// machineScores are the scores of one trace: of the forecast, of the baseline, and the seasonal naive error in the time
// before the first origin, by which errors are scaled.
type machineScores struct {
	ours, base [resource.Kinds]forecast.Score
	scale      [resource.Kinds]float64
	rests      [resource.Kinds]bool
}

// ScoreMachines forecasts the machines in the folder set of o.Dir.
func ScoreMachines(ctx context.Context, o Options, set string) (Machines, error) {
	var total Machines
	paths, err := filepath.Glob(filepath.Join(o.Dir, set, "vm*.csv.gz"))
	if err != nil || len(paths) == 0 {
		return total, fmt.Errorf("no vm*.csv.gz in %s", filepath.Join(o.Dir, set))
	}
	took := o.chosen(len(paths))
	histories, err := each(ctx, o.Workers, len(took), func(i int) (forecast.History, error) {
		return traces.LoadBitbrains(paths[took[i]])
	})
	if err != nil {
		return total, err
	}
	pass := func(members []string) ([][resource.Kinds]forecast.Score, error) {
		return each(ctx, o.Workers, len(histories), func(i int) ([resource.Kinds]forecast.Score, error) {
			h := histories[i]
			return forecast.Backtest(h, nil, forecast.Options{Members: members}, forecast.Rolling{
				From: h[0].Start.Add(warm), To: h[0].End(), MedianHorizon: medianHorizon,
			})
		})
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as glidepath backtest has it; a home holds so much that it collects more seldom still
	before := CPUTime()
	ours, err := pass(o.Members)
	if err != nil {
		return total, err
	}
	total.CPU = CPUTime() - before
	base, err := pass(forecast.BaselineMembers())
	if err != nil {
		return total, err
	}
	all := make([]machineScores, len(histories))
	for i, h := range histories {
		all[i] = machineScores{ours: ours[i], base: base[i]}
		for k, s := range h {
			all[i].rests[k] = rests(s.Values[min(len(s.Values), int(warm/fineStep)):])
			all[i].scale[k] = seasonalError(s.Before(s.Start.Add(warm)).Values, int(day/(5*time.Minute)))
		}
	}
	total.pool(all)
	return total, nil
}

// seasonalError is the mean absolute difference from one period before; NaN where nothing can be compared.
func seasonalError(v []float64, period int) float64 {
	sum, n := 0.0, 0
	for i := period; i < len(v); i++ {
		if d := math.Abs(v[i] - v[i-period]); !math.IsNaN(d) {
			sum += d
			n++
		}
	}
	return sum / float64(n)
}

// rests reports whether more than .99 of the values are the lowest.
func rests(v []float64) bool {
	lowest, at, n := math.Inf(1), 0, 0
	for _, x := range v {
		switch {
		case math.IsNaN(x):
			continue
		case x < lowest:
			lowest, at = x, 1
		case x == lowest:
			at++
		}
		n++
	}
	return float64(at) > .99*float64(n)
}

// pool adds the scores of all series up.
func (t *Machines) pool(all []machineScores) {
	quantiles := len(forecast.DefaultQuantiles())
	t.Coverage = make([]float64, quantiles)
	steps, inBand, low, high, rest, ours, naive := 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
	for k := range resource.Kinds {
		r := Resource{Kind: resource.Kind(k), Quantile: make([]float64, quantiles), Coverage: make([]float64, quantiles)}
		base, compared, sum, ref := make([]float64, quantiles), 0.0, 0.0, 0.0
		for _, m := range all {
			s := m.ours[k]
			t.Forecasts += s.Origins
			if s.Steps == 0 {
				continue
			}
			t.Series++
			compared += float64(s.Steps)
			sum, ref = sum+s.TotalLoss(), ref+m.base[k].TotalLoss()
			for qi := range quantiles {
				r.Quantile[qi] += s.Loss[qi]
				base[qi] += m.base[k].Loss[qi]
				r.Coverage[qi] += float64(s.Covered[qi])
				t.Coverage[qi] += float64(s.Covered[qi])
			}
			if m.rests[k] {
				rest++
			}
			switch c := s.Coverage(2); {
			case c < .90:
				low++
			case c > .99:
				high++
			default:
				inBand++
			}
			if isLevel := r.Kind == resource.CPU || r.Kind == resource.Memory; isLevel && m.scale[k] > 0 {
				ours, naive = ours+s.AbsError/m.scale[k], naive+s.NaiveAbs/m.scale[k]
			}
		}
		steps += compared
		if ref == 0 { // it rests, and nobody can be better at that
			continue
		}
		for qi := range quantiles {
			if r.Quantile[qi] > 0 {
				r.Quantile[qi] /= base[qi]
			}
			r.Coverage[qi] /= compared
		}
		r.Pinball = sum / ref
		t.Resources = append(t.Resources, r)
	}
	for _, r := range t.Resources {
		t.Pinball += r.Pinball / float64(len(t.Resources))
	}
	for qi := range t.Coverage {
		t.Coverage[qi] /= steps
	}
	n := float64(t.Series)
	t.InBand, t.TooLow, t.TooHigh, t.AtRest, t.MASE = inBand/n, low/n, high/n, rest/n, ours/naive
}
