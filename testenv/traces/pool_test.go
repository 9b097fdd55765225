package traces

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
	"github.com/glidepath/glidepath/coordinator/forecast/pool"
	"github.com/glidepath/glidepath/internal/resource"
)

// family is the CPU of instances of one application: the same pattern, each at a level of its own and with noise of its own.
func family(t *testing.T, p Pattern, seed uint64, size int, differ float64) []forecast.History {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 77))
	out := make([]forecast.History, size)
	for i := range out {
		shapes := [resource.Kinds]Shape{resource.CPU: Redis()[resource.CPU]}
		shapes[resource.CPU].Base *= math.Exp(differ * r.NormFloat64())
		trace, err := Generate(Spec{Seed: seed + uint64(i)*1000, Start: monday, Length: 18 * day, Pattern: p, Shapes: shapes})
		if err != nil {
			t.Fatal(err)
		}
		out[i] = forecast.History{resource.CPU: trace.History[resource.CPU]}
	}
	return out
}

// fared is how forecasts fared: the sum of their pinball loss, and how many steps were at or below the 95th percentile.
type fared struct{ loss, steps, below float64 }

func (s *fared) score(f *forecast.Forecast, truth forecast.Series) {
	for i := range f.Steps() {
		y := truth.Values[int(f.Start.Sub(truth.Start)/truth.Step)+i]
		for qi, q := range f.Quantiles {
			d := y - f.Values[resource.CPU][qi][i]
			s.loss += max(q*d, (q-1)*d)
			if q == .95 {
				s.steps++
				if d <= 0 {
					s.below++
				}
			}
		}
	}
}

// firstDays forecasts a day of an instance that began on the fourteenth day, at each of the ages: by what there is of its own and the most that others take, and with
// the others' forecasts.
func firstDays(t *testing.T, all []forecast.History, most int64, ages []time.Duration) (before, after fared) {
	t.Helper()
	born := monday.Add(14*day + 9*time.Hour)
	truth := all[0][resource.CPU]
	for _, age := range ages {
		now := born.Add(age)
		var others pool.Others
		tells, steady, high := true, true, 0.0
		for _, h := range all[1:] {
			m, err := forecast.Train(h.Before(now), nil, forecast.Options{Maximum: resource.Vector{resource.CPU: most}.Max(resource.Uniform(1))})
			if err != nil {
				t.Fatal(err)
			}
			f, err := m.Forecast(now, 2*day)
			if err != nil {
				t.Fatal(err)
			}
			why := f.Reasons[resource.CPU]
			tells = tells && why.Confidence >= pattern.Sure && why.Pattern != pattern.Bursty && why.Pattern != pattern.Trending && why.Pattern != pattern.Intermittent
			steady = steady && !why.Shifted
			for _, v := range f.Values[resource.CPU][len(f.Quantiles)-1][:288] {
				high = max(high, 1.25*v)
			}
			others.Forecasts = append(others.Forecasts, f)
		}
		own := forecast.History{resource.CPU: truth.Before(now)}
		own[resource.CPU].Values = own[resource.CPU].Values[born.Sub(truth.Start)/truth.Step:]
		own[resource.CPU].Start = born
		opts := forecast.Options{Maximum: resource.Vector{resource.CPU: most}.Max(resource.Uniform(1))}
		if tells && age < day {
			opts.Prior[resource.CPU] = int64(math.Ceil(min(high, float64(most))))
		}
		m, err := forecast.Train(own, nil, opts)
		if err != nil {
			t.Fatal(err)
		}
		f, err := m.Forecast(now, day)
		if err != nil {
			t.Fatal(err)
		}
		before.score(f, truth)
		others.Of[resource.CPU] = tells && steady
		others.Common().Blend(f, own, opts.Maximum)
		after.score(f, truth)
	}
	return before, after
}

func TestANewInstanceIsForecastBetterWithOthersLikeIt(t *testing.T) {
	families, levels := uint64(4), []float64{.1, .4, .8}
	ages := []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 18 * time.Hour, 24 * time.Hour, 30 * time.Hour, 36 * time.Hour, 42 * time.Hour}
	if testing.Short() { // the whole, by which the figures of the documentation are, trains some four thousand models
		families, levels, ages = 2, []float64{.1, .8}, []time.Duration{time.Hour, 8 * time.Hour, 24 * time.Hour, 36 * time.Hour}
	}
	for _, p := range Patterns() {
		for _, differ := range levels {
			var before, after fared
			for seed := range families {
				b, a := firstDays(t, family(t, p, 100*seed+5, 5, differ), 1000, ages)
				before.loss, before.steps, before.below = before.loss+b.loss, before.steps+b.steps, before.below+b.below
				after.loss, after.steps, after.below = after.loss+a.loss, after.steps+a.steps, after.below+a.below
			}
			t.Logf("%-7s levels that differ by %.1f: loss %.3f of that without; p95 covers %.3f, without %.3f", p, differ, after.loss/before.loss, after.below/after.steps, before.below/before.steps)
			if after.loss > 1.02*before.loss {
				t.Errorf("%s at levels that differ by %.1f: the loss in the first two days is %.3f times that without others", p, differ, after.loss/before.loss)
			}
			if p == Daily && after.loss > .5*before.loss {
				t.Errorf("at levels that differ by %.1f the loss is %.3f of that without others", differ, after.loss/before.loss)
			}
		}
	}
}
