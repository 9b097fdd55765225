//go:build linux

// Package bench measures Glidepath beside its peers: each figure stands next to what a script, bare Raft or bare reads do in the
// same run, and next to the bar that it is held to.
package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/testenv/bench/accuracy"
)

// Options say what is measured.
type Options struct {
	Go      string   // the go tool, which runs packages' benchmarks
	Root    string   // of the source
	Debs    string   // folder with the packages that `make deb` built
	Figures []string // names of figures; all if empty
	// Data is what the accuracy of forecasts is measured on; without a folder it is not measured.
	Data accuracy.Options
	// Progress is told what is going on, in sentences.
	Progress func(string)
}

// figure is something that is measured at a stretch.
type figure struct {
	name    string
	measure func(ctx context.Context, b *bench) ([]Row, error)
	needs   func(o Options) error // why it can't be measured here; nil: it always can
}

// figures are all there are, those first that need nothing but this machine's CPU.
func figures() []figure {
	return []figure{
		{name: "forecast", measure: measureForecast},
		{name: "accuracy", measure: measureAccuracy, needs: dataNeeded},
		{name: "allocation", measure: measureAllocation, needs: dataNeeded},
		{name: "fleet", measure: measureFleet},
		{name: "ledger", measure: measureLedger},
		{name: "capacity", measure: measureCapacity},
		{name: "packing", measure: measurePacking},
		{name: "starts", measure: measureStarts},
		{name: "agent", measure: measureAgent, needs: guestsNeeded},
		{name: "silence", measure: measureSilence, needs: guestsNeeded},
	}
}

// Names returns the names of all figures.
func Names() []string {
	var out []string
	for _, f := range figures() {
		out = append(out, f.name)
	}
	return out
}

// bench is a run.
type bench struct{ Options }

// UnknownFigureError says that there is no figure of a name.
type UnknownFigureError struct{ Name string }

func (e *UnknownFigureError) Error() string {
	return fmt.Sprintf("there is no figure %q: choose from %s", e.Name, strings.Join(Names(), ", "))
}

// Run measures the figures one after the other. What fails is part of the report; only the end of ctx ends it early.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	for _, name := range o.Figures {
		if !slices.Contains(Names(), name) {
			return Report{}, &UnknownFigureError{name}
		}
	}
	r := Report{Machine: machine(), At: time.Now().UTC().Truncate(time.Second)}
	for _, f := range figures() {
		if len(o.Figures) > 0 && !slices.Contains(o.Figures, f.name) {
			continue
		}
		result := Result{Name: f.name}
		if f.needs != nil {
			if err := f.needs(o); err != nil {
				result.Skipped = err.Error()
				r.Results = append(r.Results, result)
				continue
			}
		}
		began := time.Now()
		rows, err := f.measure(ctx, &bench{o})
		if ctx.Err() != nil {
			return r, errors.Join(context.Cause(ctx), unlessCanceled(err))
		}
		var left *leftOutError
		switch {
		case errors.As(err, &left):
			result.Skipped = err.Error()
		case err != nil:
			result.Failed = err.Error()
		}
		result.Rows, result.Took = rows, time.Since(began).Milliseconds()
		r.Results = append(r.Results, result)
	}
	return r, nil
}

// leftOutError says what a figure was measured without.
type leftOutError struct{ reason string }

func (e *leftOutError) Error() string { return e.reason }

// unlessCanceled keeps what went wrong beside the interruption, as a fleet that could not be removed.
func unlessCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
