package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// weeks is a history of so many days of five minutes in a zone: busy by day from Monday to Friday, and a fifth of that at weekends, if they differ.
func weeks(days int, loc *time.Location, differ bool, seed uint64) (History, func(t timeline.Time, sunday bool) float64) {
	r := rand.New(rand.NewPCG(seed, 1))
	truth := func(t timeline.Time, sunday bool) float64 {
		local := t.Std().In(loc)
		v := 200 + 800*math.Max(0, math.Sin(math.Pi*(float64(local.Hour())+float64(local.Minute())/60-6)/14))
		if differ && (sunday || local.Weekday() == time.Saturday || local.Weekday() == time.Sunday) {
			return v / 5
		}
		return v
	}
	values := make([]float64, days*perDay)
	for i := range values {
		values[i] = math.Max(0, truth(after(time.Duration(i)*step), false)*(1+.1*r.NormFloat64()))
	}
	return cpu(values), truth
}

// workdayAfter returns the first day from so many days on that is a Wednesday in UTC.
func workdayAfter(days int) int {
	for after(time.Duration(days)*day).Std().Weekday() != time.Wednesday {
		days++
	}
	return days
}

func holiday(d int) Event {
	return Event{Kind: Holiday, Span: timeline.Span{Start: after(time.Duration(d) * day), End: after(time.Duration(d+1) * day)}}
}

// lossOn returns the pinball loss of a day's forecast, over quantiles, if the day turns out as given.
func lossOn(f *Forecast, truth func(timeline.Time) float64) float64 {
	sum := 0.0
	for i := range f.Steps() {
		y := truth(f.Start.Add(time.Duration(i) * f.Step))
		for qi, q := range f.Quantiles {
			d := y - f.Values[resource.CPU][qi][i]
			sum += max(q*d, (q-1)*d)
		}
	}
	return sum
}

func TestTheFirstHolidayRunsAsASunday(t *testing.T) {
	d := workdayAfter(21)
	h, truth := weeks(d, time.UTC, true, 7)
	now := after(time.Duration(d) * day)
	plain := mustForecast(t, h, nil, one(), now, day)
	free := mustForecast(t, h, []Event{holiday(d)}, one(), now, day)
	off := func(f *Forecast) float64 { return lossOn(f, func(t timeline.Time) float64 { return truth(t, true) }) }
	if a, b := off(free), off(plain); a > b/3 {
		t.Errorf("the loss of a holiday is %.0f, %.0f if nobody knows of it", a, b)
	}
	noon := 13 * 12
	if got := free.Values[resource.CPU][0][noon]; math.Abs(got-truth(free.Start.Add(13*time.Hour), true)) > 60 {
		t.Errorf("at noon %.0f are forecast, it will be %.0f", got, truth(free.Start.Add(13*time.Hour), true))
	}
	// It may be a day like any other, too.
	if got, want := free.Values[resource.CPU][len(free.Quantiles)-1][noon], truth(free.Start.Add(13*time.Hour), false); got < .8*want {
		t.Errorf("p99 at noon is %.0f, on a working day it is %.0f", got, want)
	}
}

func TestAHolidayRunsAsASundayInStepsOfHours(t *testing.T) {
	d := workdayAfter(21)
	h, truth := weeks(d, time.UTC, true, 7)
	for _, step := range []time.Duration{time.Hour, 2 * time.Hour, 6 * time.Hour} {
		opts := one()
		opts.Step = step
		f := mustForecast(t, h, []Event{holiday(d)}, opts, after(time.Duration(d)*day), day)
		at := int(12 * time.Hour / step)
		want := 0.0
		for m := time.Duration(0); m < step; m += time.Minute {
			want += truth(f.Start.Add(12*time.Hour+m), true) / step.Minutes()
		}
		if got := f.Values[resource.CPU][0][at]; math.Abs(got-want) > 60 {
			t.Errorf("steps of %s: %.0f are forecast from noon on, it will be %.0f", step, got, want)
		}
	}
}

func TestAHolidayIsAnyDayWhereSundaysAre(t *testing.T) {
	d := workdayAfter(21)
	h, truth := weeks(d, time.UTC, false, 7)
	now := after(time.Duration(d) * day)
	f := mustForecast(t, h, []Event{holiday(d)}, one(), now, day)
	plain := mustForecast(t, h, nil, one(), now, day)
	same := func(t timeline.Time) float64 { return truth(t, false) }
	if a, b := lossOn(f, same), lossOn(plain, same); a > 1.05*b {
		t.Errorf("the loss is %.0f with a holiday, %.0f without", a, b)
	}
}

func TestHolidaysThatWereSeenCountForMoreThanSundays(t *testing.T) {
	d := workdayAfter(21)
	h, _ := weeks(d, time.UTC, true, 7)
	events := []Event{holiday(d)}
	for _, past := range []int{d - 1, d - 7, d - 8, d - 14, d - 15} { // on which it was as busy as ever
		events = append(events, holiday(past))
	}
	f := mustForecast(t, h, events, one(), after(time.Duration(d)*day), day)
	seen := mustForecast(t, h, events[:1], one(), after(time.Duration(d)*day), day)
	noon := 13 * 12
	if a, b := f.Values[resource.CPU][0][noon], seen.Values[resource.CPU][0][noon]; a < b+400 {
		t.Errorf("after five busy holidays %.0f at noon, %.0f after none", a, b)
	}
}

func TestSundaysAreThoseOfTheInstancesTimeZone(t *testing.T) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Skip(err)
	}
	d := workdayAfter(21)
	h, truth := weeks(d, tokyo, true, 7)
	opts := one()
	opts.Location = tokyo
	start := after(time.Duration(d)*day - 9*time.Hour) // of Wednesday there
	e := Event{Kind: "public-holiday", Span: timeline.Span{Start: start, End: start.Add(day)}}
	f := mustForecast(t, History{resource.CPU: h[resource.CPU].Before(start)}, []Event{e}, opts, start, day)
	for _, at := range []time.Duration{8 * time.Hour, 13 * time.Hour, 18 * time.Hour} {
		if got, want := f.Values[resource.CPU][0][int(at/step)], truth(start.Add(at), true); math.Abs(got-want) > 80 {
			t.Errorf("at %s there %.0f are forecast, it will be %.0f", at, got, want)
		}
	}
}

func TestSettledModelsKnowHolidays(t *testing.T) {
	d := workdayAfter(21)
	h, _ := weeks(d, time.UTC, true, 7)
	now := after(time.Duration(d) * day)
	m, err := Train(h, []Event{holiday(d)}, one())
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Forecast(now, day)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Settled(now.Add(2*day)).Forecast(now, day)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Steps() {
		if a.Values[resource.CPU][0][i] != b.Values[resource.CPU][0][i] {
			t.Fatalf("step %d: %v and settled %v", i, a.Values[resource.CPU][0][i], b.Values[resource.CPU][0][i])
		}
	}
}
