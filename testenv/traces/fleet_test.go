package traces

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/pool"
	"github.com/glidepath/glidepath/internal/resource"
)

// TestANewInstanceThatNoneIsLikeIsForecastBetterWithAFleet forecasts a day of instances of all patterns, at levels of their own, that begin on the fourteenth day: by what there is of
// their own and what their type grants, and with how the others of a fleet grew.
func TestANewInstanceThatNoneIsLikeIsForecastBetterWithAFleet(t *testing.T) {
	const granted = 1000
	var fleet []forecast.History
	for i, p := range Patterns() {
		fleet = append(fleet, family(t, p, uint64(31+100*i), 4, .8)...)
	}
	born := monday.Add(14*day + 9*time.Hour)
	maximum := resource.Vector{resource.CPU: granted}.Max(resource.Uniform(1))
	growth := make([]*pool.Growth, len(fleet))
	for i, h := range fleet {
		growth[i] = pool.GrowthOf(h.Before(born), maximum)
	}
	ages := []time.Duration{0, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 18 * time.Hour}
	if testing.Short() {
		ages = []time.Duration{0, 2 * time.Hour, 12 * time.Hour}
	}
	for _, age := range ages {
		var before, after fared
		now := born.Add(age)
		for i, h := range fleet {
			own := h.Before(now)
			own[resource.CPU].Values = own[resource.CPU].Values[born.Sub(own[resource.CPU].Start)/own[resource.CPU].Step:]
			own[resource.CPU].Start = born
			others := pool.FleetOf(append(append([]*pool.Growth{}, growth[:i]...), growth[i+1:]...))
			for _, with := range []bool{false, true} {
				opts, into := forecast.Options{Maximum: maximum}, &before
				if with {
					into = &after
					opts.PriorQuantiles[resource.CPU] = others.StandsIn(resource.CPU, own[resource.CPU], granted, forecast.DefaultQuantiles())
				}
				m, err := forecast.Train(own, nil, opts)
				if err != nil {
					t.Fatal(err)
				}
				f, err := m.Forecast(now, day)
				if err != nil {
					t.Fatal(err)
				}
				into.score(f, h[resource.CPU])
			}
		}
		t.Logf("at an age of %s: loss %.3f of that without a fleet; p95 covers %.3f, without %.3f", age, after.loss/before.loss, after.below/after.steps, before.below/before.steps)
		if after.loss > .65*before.loss {
			t.Errorf("at an age of %s the loss is %.3f of that without a fleet", age, after.loss/before.loss)
		}
		if c := after.below / after.steps; c < .93 {
			t.Errorf("at an age of %s p95 covers %.3f", age, c)
		}
	}
}
