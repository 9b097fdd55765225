package forecast

import (
	"errors"
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Signal is a figure of an instance's application, such as requests per second or sessions, that demand may follow.
type Signal struct {
	Name   string // among the signals of the instance
	Series Series // amounts in any unit, up to 2^53, on steps of any length; folded by Mean
}

const (
	maxSignals = 8       // that an instance can have
	mostSignal = 1 << 53 // a whole number of a float64: microseconds since 1970 are more than there can be of any resource
)

func checkSignals(signals []Signal) error {
	if len(signals) > maxSignals {
		return inputError("signals", "%d of them: at most %d", len(signals), maxSignals)
	}
	seen := map[string]bool{}
	for _, s := range signals {
		object := fmt.Sprintf("signal %q", s.Name)
		if s.Name == "" || seen[s.Name] {
			return inputError(object, "every signal needs a name of its own")
		}
		seen[s.Name] = true
		if err := s.Series.within(object, mostSignal); err != nil {
			return err
		}
	}
	return nil
}

// signalsBefore returns the signals as they were known at t.
func signalsBefore(signals []Signal, t timeline.Time) []Signal {
	out := make([]Signal, len(signals))
	for i, s := range signals {
		out[i] = Signal{s.Name, s.Series.Before(t)}
	}
	return out
}

// SignalForecast is what a signal is expected to be: the same members as of demand, on its own history, with the events.
type SignalForecast struct {
	Name   string
	Until  timeline.Time // end of its history
	Values [][]float64   // by quantile and step, in the unit of the signal
	Reason Reason
}

// Following is what a signal says of the demand for a resource.
type Following struct {
	Signal string
	Each   float64 // amount that one more of the signal goes with, in the resource's unit
	// NextHour and NextHours are what the member that follows the signal counts in the median of the first hour, and of the five
	// after it: 0 where others were better.
	NextHour, NextHours float64
}

// figure is what was learned of one signal: a model in which the CPU stands for it.
type figure struct {
	name  string
	until timeline.Time
	model *Model
}

const figureKind = resource.CPU

// learnFigures learns the signals as series of their own, those without history left out. The model before saves time; it may be nil.
func learnFigures(before *Model, events []Event, opts Options) ([]figure, error) {
	var out []figure
	signals := opts.Signals
	opts.Signals, opts.Maximum, opts.Prior, opts.Cap = nil, resource.Vector{}, resource.Vector{}, resource.Vector{figureKind: mostSignal}
	opts.PriorQuantiles, opts.PriorFrom = [resource.Kinds][]float64{}, [resource.Kinds]string{}
	for _, s := range signals {
		m := &Model{opts: opts, events: ofSignals(events)}
		s.Series.Fold = Mean
		var err error
		m.kinds[figureKind], err = train(figureKind, s.Series, m.events, opts, before.figure(s.Name).learnedOf(figureKind))
		if errors.Is(err, ErrColdStart) {
			continue
		}
		if err != nil {
			return nil, err
		}
		g := m.kinds[figureKind].grid
		out = append(out, figure{s.Name, g.timeOf(len(g.y)), m})
	}
	return out, nil
}

// figure returns what m, which may be nil, learned of a signal as a series of its own; nil where that is nothing.
func (m *Model) figure(name string) *Model {
	if m == nil {
		return nil
	}
	i := slices.IndexFunc(m.figures, func(f figure) bool { return f.name == name })
	if i < 0 {
		return nil
	}
	return m.figures[i].model
}

// ofSignals returns events without what is said of resources: how much they add to each, and which they don't move.
func ofSignals(events []Event) []Event {
	out := make([]Event, len(events))
	for i, e := range events {
		e.Stated, e.Not = resource.Vector{}, [resource.Kinds]bool{}
		out[i] = e
	}
	return out
}

// forecast forecasts the signal for n steps.
func (f figure) forecast(start timeline.Time, n int) SignalForecast {
	k := &f.model.kinds[figureKind]
	return SignalForecast{Name: f.name, Until: f.until, Values: k.values(f.model, figureKind, start, n), Reason: k.reason(f.model.opts.Quantiles, start)}
}

// settled returns the figure in what a forecast up to a time takes.
func (f figure) settled(until timeline.Time) figure {
	f.model = f.model.Settled(until)
	return f
}
