package forecast

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// pasts are histories of all that makes a difference to a forecast: days and weeks, shifts and incidents, bursts, gaps, and too little.
func pasts() map[string][]float64 {
	shifted, incident := seasonalDays(15, 3), seasonalDays(20, 4)
	for i := len(shifted) - 30; i < len(shifted); i++ {
		shifted[i] += 900
	}
	for i := len(incident) - 2*perDay; i < len(incident)-2*perDay+12; i++ {
		incident[i] += 4000
	}
	fallen := seasonalDays(15, 5)
	for i := len(fallen) - 40; i < len(fallen); i++ {
		fallen[i] /= 20
	}
	bursts, gaps := noise(21*perDay, 6), seasonalDays(28, 7)
	for i, v := range bursts {
		bursts[i] = 0
		if v > 1.8 {
			bursts[i] = 500 * v
		}
	}
	for i := range gaps {
		if i/40%5 == 0 {
			gaps[i] = math.NaN()
		}
	}
	return map[string][]float64{
		"four weeks": seasonalDays(28, 1), "two hours": seasonalDays(1, 2)[:24], "a jump": shifted, "an incident": incident, "a fall": fallen,
		"bursts": bursts, "gaps": gaps, "nothing": slices.Repeat([]float64{0}, 10*perDay),
	}
}

func TestASettledModelForecastsTheSameToTheByte(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range pasts() {
		for _, opts := range []Options{
			{Maximum: resource.Uniform(5000)},
			{Maximum: resource.Uniform(5000), Location: berlin, Step: time.Hour, Quantiles: []float64{.05, .5, .95}},
			{Prior: resource.Uniform(700), Step: time.Minute, Cap: resource.Vector{resource.CPU: 600}},
		} {
			t.Run(fmt.Sprintf("%s at %s", name, opts.Step), func(t *testing.T) {
				end := after(time.Duration(len(values)) * step)
				var events []Event
				for d := range 4 {
					start := end.Add(time.Duration(d-2) * day).Add(3 * time.Hour)
					events = append(events, Event{Kind: "sale", Span: timeline.Span{Start: start, End: start.Add(time.Hour)}})
				}
				whole, err := Train(cpu(values), events, opts)
				if err != nil {
					t.Fatal(err)
				}
				until := end.Add(50 * time.Hour)
				settled := whole.Settled(until)
				for _, ask := range []struct{ from, horizon time.Duration }{{0, time.Hour}, {-2 * time.Hour, 30 * time.Hour}, {90 * time.Minute, 48 * time.Hour}, {2 * time.Hour, 48 * time.Hour}} {
					for by, of := range map[string]func(*Model, timeline.Time, time.Duration) (*Forecast, error){"forecast": (*Model).Forecast, "window": (*Model).Window} {
						want, err := of(whole, end.Add(ask.from), ask.horizon)
						if err != nil {
							t.Fatal(err)
						}
						got, err := of(settled, end.Add(ask.from), ask.horizon)
						if err != nil {
							t.Fatal(err)
						}
						if !reflect.DeepEqual(want, got) {
							t.Errorf("%s from %s for %s:\n%s", by, ask.from, ask.horizon, cmp.Diff(want, got))
						}
					}
				}
				var refused *InputError
				if _, err := settled.Forecast(end.Add(3*time.Hour), 48*time.Hour); !errors.As(err, &refused) {
					t.Errorf("a forecast past what it was settled for: %v", err)
				}
				again := settled.Settled(until.Add(day))
				if _, err := again.Forecast(end.Add(3*time.Hour), 48*time.Hour); !errors.As(err, &refused) {
					t.Errorf("a forecast of one that is settled again past what it was settled for first: %v", err)
				}
			})
		}
	}
}

func TestWhatIsSettledLongAfterTheHistoryForecastsTheSame(t *testing.T) {
	for _, late := range []time.Duration{3 * day, 13 * day, 14 * day, 20 * day} {
		whole, err := Train(cpu(seasonalDays(15, 1)), nil, one())
		if err != nil {
			t.Fatal(err)
		}
		now := after(15 * day).Add(late)
		want, err := whole.Forecast(now, 48*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got, err := whole.Settled(now.Add(48*time.Hour)).Forecast(now, 48*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s after the end of the history:\n%s", late, cmp.Diff(want, got))
		}
	}
}

func TestASettledModelLetsGoOfThePast(t *testing.T) {
	whole, err := Train(cpu(seasonalDays(28, 1)), nil, one())
	if err != nil {
		t.Fatal(err)
	}
	settled := whole.Settled(after(30 * day))
	k := settled.kinds[resource.CPU]
	for _, c := range k.members {
		if c.member != nil {
			t.Errorf("%s still has its past", c.name)
		}
	}
	if k.grid.x != nil || k.grid.y != nil || len(k.held[0]) > 2*perDay+1 {
		t.Errorf("%d and %d values of the past are there, and %d of what comes", len(k.grid.x), len(k.grid.y), len(k.held[0]))
	}
	if len(whole.kinds[resource.CPU].grid.x) == 0 {
		t.Error("the model that was settled changed")
	}
}
