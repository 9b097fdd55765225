package packing

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/testenv/traces"
)

// Load reads the virtual machines in the folder set of dir, every so many-th of them. The error is a *NoDataError where there are none.
func Load(ctx context.Context, dir, set string, sample int) ([]Machine, error) {
	paths, err := filepath.Glob(filepath.Join(dir, set, "vm*.csv.gz"))
	if err != nil || len(paths) == 0 {
		return nil, &NoDataError{fmt.Sprintf("there is no vm*.csv.gz in %s", filepath.Join(dir, set))}
	}
	var out []Machine
	for i := 0; i < len(paths); i += max(1, sample) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		h, err := traces.LoadBitbrains(paths[i])
		if err != nil {
			return nil, err
		}
		out = append(out, Machine{Name: filepath.Base(paths[i]), History: h})
	}
	return out, nil
}

// Generated makes machines with demand of all patterns, of sizes that differ by a factor of 16, for so long after their first two weeks.
func Generated(n int, length time.Duration, seed uint64) ([]Machine, error) {
	start := timeline.Of(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC))
	r := rand.New(rand.NewPCG(seed, 0))
	patterns := traces.Patterns()
	var out []Machine
	for i := range n {
		times := math.Exp2(4 * r.Float64())
		shapes := traces.Redis()
		for k := range shapes {
			s := &shapes[k]
			s.Base, s.Campaign = s.Base*times, 0
		}
		t, err := traces.Generate(traces.Spec{
			Seed: r.Uint64(), Start: start, Length: warm + length, Pattern: patterns[i%len(patterns)], Shapes: shapes,
			Location: time.FixedZone("", r.IntN(24)*3600), // busiest at any time of the day
		})
		if err != nil {
			return nil, err
		}
		out = append(out, Machine{Name: fmt.Sprintf("generated-%03d", i), History: t.History})
	}
	return out, nil
}

// replayed returns what is placed of a history.
func replayed(h forecast.History) forecast.History {
	var out forecast.History
	for _, k := range kinds() {
		out[k] = h[k]
		out[k].Fold = forecast.Max
	}
	return out
}

// usedIn returns what a machine used in n steps from a time on. What is missing is as the step before it.
func usedIn(h forecast.History, from timeline.Time, n int) []resource.Vector {
	out := make([]resource.Vector, n)
	for _, k := range kinds() {
		s := h[k]
		last := 0.0
		known := s.Before(from).Values
		for i := len(known) - 1; i >= 0; i-- {
			if !math.IsNaN(known[i]) {
				last = known[i]
				break
			}
		}
		for i := range out {
			if at := int(from.Sub(s.Start)/s.Step) + i; at >= 0 && at < len(s.Values) && !math.IsNaN(s.Values[at]) {
				last = s.Values[at]
			}
			out[i][k] = int64(math.Ceil(last))
		}
	}
	return out
}

// quantile returns the least of the known values that so large a share is at most; 0 where none is known.
func quantile(values []float64, share float64) float64 {
	known := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(known) == 0 {
		return 0
	}
	slices.Sort(known)
	return known[max(0, int(math.Ceil(share*float64(len(known))-1e-9))-1)]
}
