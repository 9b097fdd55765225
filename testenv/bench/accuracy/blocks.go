//go:build linux

package accuracy

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/testenv/traces"
)

// Blocks is how well the highest step of each block was forecast, in two ways: with the block as the forecast's step, and
// by the highest of the steps that a fine forecast has in the block.
type Blocks struct {
	Length    time.Duration
	Forecasts int // of one series each
	// AsStep and OfSteps are what covered the blocks' highest steps, per quantile of forecast.DefaultQuantiles.
	AsStep, OfSteps []float64
	// Pinball is the loss with the block as the step relative to that of the highest fine step, mean of the resources.
	Pinball float64
}

// blockScore is one resource's part: sums over the blocks that were compared.
type blockScore struct {
	forecasts       int
	blocks          float64
	asStep, ofSteps tally
}

// tally is how many blocks a forecast covered per quantile, and its pinball loss over all quantiles.
type tally struct {
	covered []float64
	loss    float64
}

// fineStep is the step of the forecast whose steps a block is made of.
const fineStep = 5 * time.Minute

// ScoreBlocks forecasts the machines in the folder set of o.Dir for 48 hours each day, by blocks of that length.
func ScoreBlocks(ctx context.Context, o Options, set string, length time.Duration) (Blocks, error) {
	total := Blocks{Length: length}
	paths, err := filepath.Glob(filepath.Join(o.Dir, set, "vm*.csv.gz"))
	if err != nil || len(paths) == 0 {
		return total, fmt.Errorf("no vm*.csv.gz in %s", filepath.Join(o.Dir, set))
	}
	took := o.chosen(len(paths))
	scores, err := each(ctx, o.Workers, len(took), func(i int) ([resource.Kinds]blockScore, error) {
		h, err := traces.LoadBitbrains(paths[took[i]])
		if err != nil {
			return [resource.Kinds]blockScore{}, err
		}
		return scoreBlocks(h, length, o.Members)
	})
	if err != nil {
		return total, err
	}
	total.pool(scores)
	return total, nil
}

// scoreBlocks forecasts one machine in both ways from each of its origins.
func scoreBlocks(h forecast.History, length time.Duration, members []string) ([resource.Kinds]blockScore, error) {
	var scores [resource.Kinds]blockScore
	for k := range h {
		h[k].Fold = forecast.Max
	}
	ahead := func(at timeline.Time, step time.Duration) (*forecast.Forecast, error) {
		m, err := forecast.Train(h.Before(at), nil, forecast.Options{Step: step, Members: members, Maximum: resource.Uniform(1)})
		if err != nil {
			return nil, fmt.Errorf("blocks of %s at %s: %w", length, at, err)
		}
		return m.Forecast(at, 2*day)
	}
	for at := h[0].Start.Add(warm).Ceil(length); at.Add(2*day) <= h[0].End(); at = at.Add(day) {
		coarse, err := ahead(at, length)
		if err != nil {
			return scores, err
		}
		fine, err := ahead(at, fineStep)
		if err != nil {
			return scores, err
		}
		for k, s := range h {
			if len(s.Values) > 0 {
				actual := s.Resample(length)
				from := int(at.Sub(actual.Start) / length)
				scores[k].add(actual.Values[from:min(len(actual.Values), from+coarse.Steps())], coarse.Values[k], fine.Values[k], fine.Quantiles)
			}
		}
	}
	return scores, nil
}

// add scores one forecast of a resource in both ways.
func (s *blockScore) add(actual []float64, coarse, fine [][]float64, quantiles []float64) {
	s.forecasts++
	for qi, q := range quantiles {
		width := len(fine[qi]) / len(coarse[qi])
		top := make([]float64, len(actual))
		for i := range top {
			for _, v := range fine[qi][i*width : (i+1)*width] {
				top[i] = max(top[i], v)
			}
		}
		n := s.asStep.add(actual, coarse[qi], q, qi)
		s.ofSteps.add(actual, top, q, qi)
		if qi == 0 {
			s.blocks += float64(n)
		}
	}
}

// add scores the quantile q, which is the qi-th, and returns how many blocks were compared.
func (t *tally) add(actual, said []float64, q float64, qi int) int {
	if qi == len(t.covered) {
		t.covered = append(t.covered, 0)
	}
	loss, n := forecast.Pinball(actual, said, q)
	if n == 0 {
		return 0
	}
	share, _ := forecast.Coverage(actual, said)
	t.loss += loss * float64(n)
	t.covered[qi] += share * float64(n)
	return n
}

// pool adds the scores of all series up.
func (t *Blocks) pool(scores [][resource.Kinds]blockScore) {
	t.AsStep, t.OfSteps = make([]float64, len(forecast.DefaultQuantiles())), make([]float64, len(forecast.DefaultQuantiles()))
	blocks, resources := 0.0, 0.0
	for k := range resource.Kinds {
		var asStep, ofSteps float64
		for _, machine := range scores {
			s := machine[k]
			t.Forecasts += s.forecasts
			blocks += s.blocks
			asStep, ofSteps = asStep+s.asStep.loss, ofSteps+s.ofSteps.loss
			for qi := range s.asStep.covered {
				t.AsStep[qi] += s.asStep.covered[qi]
				t.OfSteps[qi] += s.ofSteps.covered[qi]
			}
		}
		if ofSteps > 0 {
			t.Pinball += asStep / ofSteps
			resources++
		}
	}
	t.Pinball /= resources
	for qi := range t.AsStep {
		t.AsStep[qi] /= blocks
		t.OfSteps[qi] /= blocks
	}
}
