//go:build linux

package accuracy

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/pool"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/testenv/traces"
)

// Start is how well the next day was forecast of machines of which so much was known, without others like them: by what their type grants, which here is their highest use, and by how the
// other machines of the set grew.
type Start struct {
	Age             time.Duration
	Pinball         float64   // of the second relative to the first, mean of the resources
	Alone, Coverage []float64 // of both, per quantile of forecast.DefaultQuantiles
}

// startAges are how much is known of the machines.
func startAges() []time.Duration {
	return []time.Duration{0, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 18 * time.Hour}
}

// births are how long after the start of a trace of that length its machine is taken to begin: every two weeks, at another time of day.
func births(length time.Duration) []time.Duration {
	var out []time.Duration
	for n := time.Duration(0); warm*(n+1)+2*day < length; n++ {
		out = append(out, warm*(n+1)+(9+6*n)*time.Hour)
	}
	return out
}

// startScore is the sum of what one machine's forecasts in both ways did, per resource.
type startScore [resource.Kinds]struct {
	alone, fleet tally
	steps        float64
}

// ScoreStarts lets the machines in the folder set of o.Dir begin anew.
func ScoreStarts(ctx context.Context, o Options, set string) ([]Start, error) {
	paths, err := filepath.Glob(filepath.Join(o.Dir, set, "vm*.csv.gz"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no vm*.csv.gz in %s", filepath.Join(o.Dir, set))
	}
	took := o.chosen(len(paths))
	all, err := each(ctx, o.Workers, len(took), func(i int) (forecast.History, error) { return traces.LoadBitbrains(paths[took[i]]) })
	if err != nil {
		return nil, err
	}
	length := 1000 * day
	for _, h := range all {
		length = min(length, h[0].End().Sub(h[0].Start))
	}
	var out []Start
	for _, age := range startAges() {
		var scores []startScore
		for _, birth := range births(length) {
			some, err := startsAt(ctx, o, all, birth, age)
			if err != nil {
				return out, err
			}
			scores = append(scores, some...)
		}
		out = append(out, poolStarts(age, scores))
	}
	return out, nil
}

// startsAt forecasts all machines so long after they began, each by how the others had grown by then.
func startsAt(ctx context.Context, o Options, all []forecast.History, birth, age time.Duration) ([]startScore, error) {
	growth, err := each(ctx, o.Workers, len(all), func(i int) (*pool.Growth, error) {
		return pool.GrowthOf(all[i].Before(all[i][0].Start.Add(birth+age)), peaks(all[i])), nil
	})
	if err != nil {
		return nil, err
	}
	return each(ctx, o.Workers, len(all), func(i int) (s startScore, err error) {
		h := all[i]
		born := h[0].Start.Add(birth)
		own := h.Before(born.Add(age))
		for k := range own {
			from := min(len(own[k].Values), int(born.Sub(own[k].Start)/fineStep))
			own[k].Start, own[k].Values = born, own[k].Values[from:]
		}
		opts := forecast.Options{Maximum: peaks(h).Max(resource.Uniform(1)), Members: o.Members}
		alone, err := nextDay(own, opts, born.Add(age))
		if err != nil {
			return s, err
		}
		fleet := pool.FleetOf(slices.Concat(growth[:i], growth[i+1:]))
		for k := range own {
			opts.PriorQuantiles[k] = fleet.StandsIn(resource.Kind(k), own[k], opts.Maximum[k], forecast.DefaultQuantiles())
		}
		together, err := nextDay(own, opts, born.Add(age))
		if err != nil {
			return s, err
		}
		for k, actual := range h {
			if len(actual.Values) == 0 {
				continue
			}
			came := actual.Before(born.Add(age + day)).Values[born.Add(age).Sub(actual.Start)/fineStep:]
			for qi, q := range forecast.DefaultQuantiles() {
				n := s[k].alone.add(came, alone.Values[k][qi], q, qi)
				s[k].fleet.add(came, together.Values[k][qi], q, qi)
				if qi == 0 {
					s[k].steps = float64(n)
				}
			}
		}
		return s, nil
	})
}

// peaks are a machine's highest uses, which stand for its type.
func peaks(h forecast.History) (out resource.Vector) {
	for k, s := range h {
		for _, v := range s.Values {
			if v > float64(out[k]) { // never where it is missing
				out[k] = int64(math.Ceil(v))
			}
		}
	}
	return out
}

func nextDay(own forecast.History, opts forecast.Options, now timeline.Time) (*forecast.Forecast, error) {
	m, err := forecast.Train(own, nil, opts)
	if err != nil {
		return nil, err
	}
	return m.Forecast(now, day)
}

// poolStarts adds the scores up.
func poolStarts(age time.Duration, scores []startScore) Start {
	quantiles := len(forecast.DefaultQuantiles())
	out := Start{Age: age, Alone: make([]float64, quantiles), Coverage: make([]float64, quantiles)}
	steps, resources := 0.0, 0.0
	for k := range resource.Kinds {
		var alone, fleet float64
		for _, s := range scores {
			alone, fleet, steps = alone+s[k].alone.loss, fleet+s[k].fleet.loss, steps+s[k].steps
			for qi := range s[k].fleet.covered {
				out.Alone[qi] += s[k].alone.covered[qi]
				out.Coverage[qi] += s[k].fleet.covered[qi]
			}
		}
		if alone > 0 {
			out.Pinball += fleet / alone
			resources++
		}
	}
	out.Pinball /= resources
	for qi := range quantiles {
		out.Alone[qi] /= steps
		out.Coverage[qi] /= steps
	}
	return out
}
