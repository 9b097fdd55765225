package forecast

import (
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// grown is a history that goes on: what is known of it at the n-th hour after the first two weeks, of the last four weeks and a bit.
func grown(values []float64, hours int) History {
	h := cpu(values[:14*perDay+hours*perDay/24])
	s := &h[resource.CPU]
	if cut := len(s.Values) - 28*perDay - perDay/4; cut > 0 {
		s.Start, s.Values = s.Start.Add(time.Duration(cut)*step), s.Values[cut:]
	}
	return h
}

func TestAModelTrainedAgainIsToTheByteOneTrainedFromScratch(t *testing.T) {
	all := pasts()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"four weeks", "a jump", "an incident", "a fall", "bursts", "gaps", "nothing"}).Draw(t, "past")
		values := append(append([]float64(nil), all[name]...), all[name]...)
		for len(values) < 32*perDay {
			values = append(values, values[:perDay]...)
		}
		opts := Options{Maximum: resource.Uniform(5000), Quantiles: []float64{.5, .95}}
		if rapid.Bool().Draw(t, "daylight saving") {
			opts.Location = mustLoad(t, "Europe/Berlin")
		}
		hour := rapid.IntRange(0, 400).Draw(t, "hour")
		before, err := Train(grown(values, hour), nil, opts)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "settled") {
			before = before.Settled(after(40 * day))
		}
		for range 3 {
			hour += rapid.IntRange(0, 2).Draw(t, "hours")
			var events []Event
			if rapid.IntRange(0, 3).Draw(t, "event") == 0 {
				start := after(14*day + time.Duration(hour-rapid.IntRange(-5, 30).Draw(t, "ago"))*time.Hour)
				events = append(events, Event{Kind: "a", Span: timeline.Span{Start: start, End: start.Add(2 * time.Hour)}})
			}
			h := grown(values, hour)
			if rapid.IntRange(0, 3).Draw(t, "import") == 0 { // of what was before
				h[resource.CPU].Values = append([]float64(nil), h[resource.CPU].Values...)
				h[resource.CPU].Values[rapid.IntRange(0, len(h[resource.CPU].Values)-1).Draw(t, "changed")] += 1
			}
			if rapid.IntRange(0, 3).Draw(t, "type") == 0 {
				opts.Maximum[resource.CPU] *= 100
			}
			again, err := Retrain(before, h, events, opts)
			if err != nil {
				t.Fatal(err)
			}
			scratch, err := Train(h, events, opts)
			if err != nil {
				t.Fatal(err)
			}
			now := h[resource.CPU].End()
			a, err := again.Forecast(now, 48*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := scratch.Forecast(now, 48*time.Hour); err != nil || !reflect.DeepEqual(a, b) {
				t.Fatalf("%s at hour %d: trained again it says something else than from scratch (%v)", name, hour, err)
			}
			before = again
		}
	})
}

func mustLoad(t *rapid.T, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestWhatWasLearnedIsUsedAgainForSixHours(t *testing.T) {
	values := seasonalDays(32, 1)
	used := 0
	before, err := Train(grown(values, 330), nil, one()) // hours 330 to 341 after midnight: past 18:00, 00:00 and 06:00
	if err != nil {
		t.Fatal(err)
	}
	for hour := 331; hour < 343; hour++ {
		again, err := Retrain(before, grown(values, hour), nil, one())
		if err != nil {
			t.Fatal(err)
		}
		if &again.kinds[resource.CPU].blends[0].weight[0][0] == &before.kinds[resource.CPU].blends[0].weight[0][0] {
			used++
		}
		before = again
	}
	if used != 10 {
		t.Errorf("of 12 hours 2 have to be learned, and %d were", 12-used)
	}
}

// TestLateErrorsWaitAndLateDemandDoesNot: what was learned is six hours old at most, but the members read the last hour.
func TestLateErrorsWaitAndLateDemandDoesNot(t *testing.T) {
	values := seasonalDays(20, 1)
	h := cpu(values[:19*perDay+perDay/8])
	changed := cpu(append([]float64(nil), h[resource.CPU].Values...))
	for i := 19*perDay + 1; i < len(changed[resource.CPU].Values); i++ {
		changed[resource.CPU].Values[i] += 400
	}
	a, err := Train(h, nil, one())
	if err != nil {
		t.Fatal(err)
	}
	b, err := Train(changed, nil, one())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a.kinds[resource.CPU].blends, b.kinds[resource.CPU].blends) {
		t.Error("what members count depends on what came since midnight")
	}
	now := h[resource.CPU].End()
	fa, _ := a.Forecast(now, time.Hour)
	fb, _ := b.Forecast(now, time.Hour)
	if rise := fb.Values[resource.CPU][0][0] - fa.Values[resource.CPU][0][0]; math.Abs(rise-400) > 150 {
		t.Errorf("demand rose by 400 in the last hours, and the median by %.0f", rise)
	}
}
