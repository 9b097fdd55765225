package forecast

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

func mustWindow(t *testing.T, h History, events []Event, opts Options, now timeline.Time, horizon time.Duration) *Forecast {
	t.Helper()
	m, err := Train(h, events, opts)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Window(now, horizon)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheWindowIsQuantilesOfTheLastDaysWithAMargin(t *testing.T) {
	// What is a day old counts half: of the last of three days there are 4/7, of those before it 2/7 and 1/7.
	values := slices.Concat(make([]float64, perDay), make([]float64, perDay), make([]float64, perDay))
	for i := range values {
		values[i] = []float64{300, 100, 200}[i/perDay]
	}
	opts := one()
	opts.Quantiles = []float64{.25, .5, .8, .9}
	f := mustWindow(t, cpu(values), nil, opts, after(3*day), 24*time.Hour)
	for qi, want := range []float64{100, 200, 200 * 1.15, 300 * 1.15} {
		for _, i := range []int{0, perDay - 1} {
			if got := f.Values[resource.CPU][qi][i]; math.Abs(got-want) > 1e-9 {
				t.Errorf("quantile %v of step %d is %v, want %v", opts.Quantiles[qi], i, got, want)
			}
		}
	}
}

func TestTheWindowForgetsWhatIsOlderThanEightDays(t *testing.T) {
	values := make([]float64, 10*perDay)
	for i := range values {
		values[i] = 100
		if i < 2*perDay {
			values[i] = 900
		}
	}
	opts := one()
	opts.Quantiles = []float64{.9999}
	if got := mustWindow(t, cpu(values), nil, opts, after(10*day), time.Hour).Values[resource.CPU][0][0]; math.Abs(got-115) > 1e-9 {
		t.Errorf("%v", got)
	}
}

func TestTheWindowKnowsOfEvents(t *testing.T) {
	values := noise(6*perDay, 1)
	var events []Event
	for d := range 7 {
		e := timeline.Span{Start: after(time.Duration(d)*day + 12*time.Hour), End: after(time.Duration(d)*day + 13*time.Hour)}
		events = append(events, Event{Kind: "campaign", Span: e})
	}
	for i := range values {
		values[i] = 100 + values[i]
		if i%perDay/12 == 12 {
			values[i] += 400
		}
	}
	f := mustWindow(t, cpu(values), events, one(), after(6*day), 24*time.Hour)
	high := f.Values[resource.CPU][2]
	if quiet, loud := high[11*12], high[12*12+6]; quiet > 130 || loud < 480 {
		t.Errorf("p95 is %.0f before the campaign and %.0f in it", quiet, loud)
	}
}

func TestWithoutAnyHistoryTheWindowSaysWhatTheForecastDoes(t *testing.T) {
	f := mustWindow(t, History{}, nil, one(), monday, time.Hour)
	if got := f.Values[resource.CPU][3][0]; got != 1000 || !f.Cold() {
		t.Errorf("%v", got)
	}
	short := mustWindow(t, cpu([]float64{10, 20, 30}), nil, one(), after(15*time.Minute), time.Hour)
	if p50, p99 := short.Values[resource.CPU][0][0], short.Values[resource.CPU][3][0]; p50 != 20 || p99 != 1000 {
		t.Errorf("with a quarter of an hour of history p50 is %v and p99 %v", p50, p99)
	}
}

func TestTheWindowFollowsAJumpWithinTheHour(t *testing.T) {
	values := make([]float64, 9*perDay)
	for i := range values {
		values[i] = 100
		if i >= len(values)-perDay/24 {
			values[i] = 400
		}
	}
	f := mustWindow(t, cpu(values), nil, one(), after(9*day), 3*time.Hour)
	p95 := f.Values[resource.CPU][2]
	if soon, late := p95[11], p95[12]; soon < 400 || late > 150 {
		t.Errorf("p95 is %.0f in the first hour and %.0f after it", soon, late)
	}
}
