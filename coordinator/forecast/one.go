package forecast

import (
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// One is the forecast of a series that belongs to no instance.
type One struct {
	Start     timeline.Time // of the first step: the time that was asked for, whatever the step
	Step      time.Duration
	Quantiles []float64   // ascending
	Values    [][]float64 // by quantile and step, in the unit of the series
	Reason    Reason
}

// OfSeries forecasts a single series from at on, by what its steps before at show; later ones are not looked at. The forecast's first step
// begins at that very time. Options.Maximum, Prior and Cap are those of a vector whose CPU stands for the series, whatever it counts; there are no
// signals.
// It returns an *InputError for unusable input, and an error that wraps ErrColdStart when there is nothing before at.
func OfSeries(s Series, events []Event, at timeline.Time, horizon time.Duration, opts Options) (*One, error) {
	const kind = resource.CPU
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	// Steps and days are counted from the epoch. What begins between two of those steps is moved there and back.
	unit := opts.Step
	if m := modelStep(max(s.Step, minModelStep), opts.Step); m%opts.Step == 0 {
		unit = m
	}
	shift := at.Sub(at.Floor(unit))
	var h History
	h[kind] = s.Before(at)
	h[kind].Start = s.Start.Add(-shift)
	moved := make([]Event, len(events))
	for i, e := range events {
		e.Span = timeline.Span{Start: e.Span.Start.Add(-shift), End: e.Span.End.Add(-shift)}
		moved[i] = e
	}
	for k := range opts.Maximum { // the other resources have no history, and need none
		if resource.Kind(k) != kind {
			opts.Maximum[k] = max(1, opts.Maximum[k])
		}
	}
	opts.Signals, opts.Once = nil, true
	m, err := Train(h, moved, opts)
	if err != nil {
		return nil, err
	}
	f, err := m.Forecast(at.Add(-shift), horizon)
	if err != nil {
		return nil, err
	}
	return &One{Start: at, Step: f.Step, Quantiles: f.Quantiles, Values: f.Values[kind], Reason: f.Reasons[kind]}, nil
}

// Shares returns what each member counts in quantile q on average over a horizon, by its name.
func (r Reason) Shares(q float64, horizon time.Duration) map[string]float64 {
	out := map[string]float64{}
	for _, w := range r.Weights {
		from, to := min(w.From, horizon), min(w.To, horizon)
		if w.To >= longHorizon { // the last bucket reaches on
			to = horizon
		}
		if w.Quantile == q && to > from {
			out[w.Member] += w.Share * float64(to-from) / float64(horizon)
		}
	}
	return out
}
