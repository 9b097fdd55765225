package forecast

import (
	"fmt"
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Rolling says which origins a backtest forecasts from: From, From+Every, … while a whole horizon lies before To.
type Rolling struct {
	From, To timeline.Time
	Every    time.Duration // 0 means a day
	Horizon  time.Duration // 0 means 48 hours
	// MedianHorizon is how far the median is compared with the seasonal naive forecast; 0 means the whole horizon.
	MedianHorizon time.Duration
}

// Score is how well one resource was forecast in a backtest. Sums and counts, so that scores of many series can be pooled.
type Score struct {
	Origins  int
	Steps    int       // compared, over all origins
	Actual   float64   // sum of what was observed, in the resource's unit
	Loss     []float64 // per quantile: sum of the pinball loss
	Covered  []int     // per quantile: steps at or below the forecast
	AbsError float64   // sum of absolute errors of the median
	NaiveAbs float64   // the same of the seasonal naive forecast by day
}

// TotalLoss returns the pinball loss summed over the quantiles.
func (s Score) TotalLoss() float64 {
	sum := 0.0
	for _, l := range s.Loss {
		sum += l
	}
	return sum
}

// Coverage returns the share of steps at or below the forecast of quantile qi; NaN if nothing was compared.
func (s Score) Coverage(qi int) float64 { return float64(s.Covered[qi]) / float64(s.Steps) }

// BaselineMembers as Options.Members makes the forecast that others are measured against: the seasonal naive forecast
// by day with conformal errors.
func BaselineMembers() []string { return []string{"same-time-yesterday"} }

// Backtest trains and forecasts from every origin with what was known there (of the history; events are taken as
// registered in advance) and scores the forecasts against what came. Resources without history are left out.
func Backtest(h History, events []Event, opts Options, roll Rolling) ([resource.Kinds]Score, error) {
	var scores [resource.Kinds]Score
	opts, err := opts.withDefaults()
	if err != nil {
		return scores, err
	}
	if roll.Every == 0 {
		roll.Every = day
	}
	if roll.Horizon == 0 {
		roll.Horizon = longHorizon
	}
	if roll.MedianHorizon == 0 {
		roll.MedianHorizon = roll.Horizon
	}
	if roll.Every < opts.Step || roll.Horizon < opts.Step || roll.From < earliest || roll.To > latest {
		return scores, inputError("backtest", "origins every %s with a horizon of %s are shorter than a step of %s, or out of the calendar",
			roll.Every, roll.Horizon, opts.Step)
	}
	var actual History
	for k := range h {
		if err := h[k].check(resource.Kind(k).String()); err != nil {
			return scores, err
		}
		actual[k] = h[k].Resample(max(opts.Step, h[k].Step))
		scores[k].Loss, scores[k].Covered = make([]float64, len(opts.Quantiles)), make([]int, len(opts.Quantiles))
	}
	opts.Maximum = opts.Maximum.Max(resource.Uniform(1)) // a resource that is not there yet at an origin is no error
	opts.Once = opts.Once || roll.Every >= LearnEvery    // else one origin takes over what the one before learned
	var m *Model
	for at := roll.From.Ceil(opts.Step); at.Add(roll.Horizon) <= roll.To; at = at.Add(roll.Every) {
		known := opts
		known.Signals = signalsBefore(opts.Signals, at)
		var err error
		if m, err = Retrain(m, h.Before(at), events, known); err != nil {
			return scores, fmt.Errorf("backtest at %s: %w", at, err)
		}
		f, err := m.Forecast(at, roll.Horizon)
		if err != nil {
			return scores, fmt.Errorf("backtest at %s: %w", at, err)
		}
		for k := range scores {
			if len(h[k].Values) > 0 {
				scores[k].add(f, actual[k], resource.Kind(k), int(roll.MedianHorizon/opts.Step))
			}
		}
	}
	return scores, nil
}

// add scores one forecast, its median over the first steps only.
func (s *Score) add(f *Forecast, actual Series, kind resource.Kind, medians int) {
	s.Origins++
	valueAt := func(t timeline.Time) float64 {
		if i := t.Sub(actual.Start) / actual.Step; t >= actual.Start && int(i) < len(actual.Values) {
			return actual.Values[i]
		}
		return math.NaN()
	}
	for i := range f.Steps() {
		t := f.Start.Add(time.Duration(i) * f.Step)
		y := valueAt(t)
		if math.IsNaN(y) {
			continue
		}
		s.Steps++
		s.Actual += y
		for qi, q := range f.Quantiles {
			v := f.Values[kind][qi][i]
			s.Loss[qi] += pinball(y, v, q)
			if y <= v {
				s.Covered[qi]++
			}
		}
		naive := valueAt(t.Add(-day * (1 + time.Duration(i)*f.Step/day)))
		if !math.IsNaN(naive) && i < medians {
			s.AbsError += math.Abs(y - median(f.Values[kind], f.Quantiles, i))
			s.NaiveAbs += math.Abs(y - naive)
		}
	}
}
