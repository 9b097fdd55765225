package forecast

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

func mustForecast(t testing.TB, h History, events []Event, opts Options, now timeline.Time, horizon time.Duration) *Forecast {
	t.Helper()
	m, err := Train(h, events, opts)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Forecast(now, horizon)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestItBeatsTheConformalSeasonalNaiveOnASeasonWithALevelShift(t *testing.T) {
	values := seasonalDays(24, 1)
	for i := 10 * perDay; i < len(values); i++ {
		values[i] += 150
	}
	roll := Rolling{From: after(14 * day), To: after(24 * day)}
	ours, err := Backtest(cpu(values), nil, one(), roll)
	if err != nil {
		t.Fatal(err)
	}
	opts := one()
	opts.Members = BaselineMembers()
	naive, err := Backtest(cpu(values), nil, opts, roll)
	if err != nil {
		t.Fatal(err)
	}
	a, b := ours[resource.CPU], naive[resource.CPU]
	if a.Steps != 9*576 || a.Steps != b.Steps {
		t.Fatalf("%d and %d steps compared", a.Steps, b.Steps)
	}
	if ratio := a.TotalLoss() / b.TotalLoss(); !(ratio < .9) {
		t.Errorf("pinball loss is %.3f of the naive forecast's, want less than .9", ratio)
	}
	if ratio := a.AbsError / a.NaiveAbs; !(ratio < .9) {
		t.Errorf("the median's error is %.3f of the naive forecast's", ratio)
	}
}

func TestItFollowsALevelShiftWithinThreeDays(t *testing.T) {
	values := seasonalDays(14, 1)
	for i := 11 * perDay; i < len(values); i++ {
		values[i] += 250
	}
	f := mustForecast(t, cpu(values), nil, one(), after(14*day), 24*time.Hour)
	for i := range f.Steps() {
		want := 550 + 150*math.Sin(2*math.Pi*float64(i)/perDay)
		if got := f.Values[resource.CPU][0][i]; math.Abs(got-want) > 60 {
			t.Fatalf("median of step %d is %.0f, want about %.0f", i, got, want)
		}
	}
}

func TestUpperQuantilesCoverStationaryNoiseOnASeason(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		scores, err := Backtest(cpu(seasonalDays(24, seed)), nil, one(), Rolling{From: after(14 * day), To: after(24 * day)})
		if err != nil {
			t.Fatal(err)
		}
		s := scores[resource.CPU]
		if c := s.Coverage(2); c < .92 || c > .98 {
			t.Errorf("seed %d: p95 covers %.3f", seed, c)
		}
		if c := s.Coverage(0); c < .40 || c > .60 {
			t.Errorf("seed %d: p50 covers %.3f", seed, c)
		}
		if c := s.Coverage(3); c < .97 {
			t.Errorf("seed %d: p99 covers %.3f", seed, c)
		}
	}
}

// drawSeries makes histories of every awkward kind.
func drawSeries(t *rapid.T) Series {
	s := Series{
		Start: timeline.Time(rapid.Int64Range(0, 2e12).Draw(t, "start")),
		Step:  rapid.SampledFrom([]time.Duration{10 * time.Second, time.Minute, step, 7 * time.Minute, time.Hour, 6 * time.Hour}).Draw(t, "step"),
		Fold:  rapid.SampledFrom([]Fold{Mean, Max}).Draw(t, "fold"),
	}
	n := rapid.SampledFrom([]int{0, 1, 2, 13, 100, 300, 700, 2500}).Draw(t, "length")
	scale := rapid.SampledFrom([]float64{0, 1e-9, 1, 1e12}).Draw(t, "scale")
	gaps := rapid.SampledFrom([]int{0, 2, 50}).Draw(t, "gaps")
	s.Values = noise(n, rapid.Uint64().Draw(t, "seed"))
	for i := range s.Values {
		s.Values[i] = scale * math.Abs(s.Values[i])
		if gaps > 0 && (i/7)%gaps == 0 {
			s.Values[i] = math.NaN()
		}
	}
	return s
}

func drawEvents(t *rapid.T, s Series) []Event {
	var events []Event
	for range rapid.IntRange(0, 5).Draw(t, "events") {
		start := s.Start.Add(time.Duration(rapid.IntRange(-100, len(s.Values)+100).Draw(t, "at")) * s.Step)
		events = append(events, Event{
			Kind: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "kind"), Size: rapid.Float64Range(0, 3).Draw(t, "size"),
			Span:   timeline.Span{Start: start, End: start.Add(time.Duration(rapid.IntRange(1, 1000).Draw(t, "minutes")) * time.Minute)},
			Stated: resource.Uniform(rapid.Int64Range(0, 50).Draw(t, "stated")),
		})
	}
	return events
}

func TestQuantilesNeverCrossAndStayWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h History
		h[resource.Memory] = drawSeries(t)
		s := h[resource.Memory]
		opts := one()
		opts.Step = rapid.SampledFrom([]time.Duration{10 * time.Second, step, 30 * time.Minute, 6 * time.Hour}).Draw(t, "forecast step")
		opts.Location = rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("x", 5*3600+1800)}).Draw(t, "zone")
		opts.Cap = resource.Uniform(rapid.Int64Range(0, 2000).Draw(t, "cap"))
		m, err := Train(h, drawEvents(t, s), opts)
		if err != nil {
			t.Fatal(err)
		}
		f, err := m.Forecast(s.End().Add(time.Duration(rapid.IntRange(-100, 100).Draw(t, "later"))*time.Minute), 50*opts.Step)
		if err != nil {
			t.Fatal(err)
		}
		if f.Steps() != 50 {
			t.Fatalf("%d steps", f.Steps())
		}
		for k := range f.Values {
			for i := range f.Steps() {
				last := 0.0
				for qi := range f.Quantiles {
					v := f.Values[k][qi][i]
					if !(v >= last) || math.IsInf(v, 0) || opts.Cap[k] > 0 && v > float64(opts.Cap[k]) {
						t.Fatalf("%s step %d quantile %d: %v after %v, cap %d", resource.Kind(k), i, qi, v, last, opts.Cap[k])
					}
					last = v
				}
			}
		}
		if err := f.Profile(.95).Valid(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSameInputGivesTheSameForecast(t *testing.T) {
	events := []Event{
		{Kind: "b", Span: timeline.Span{Start: after(3 * day), End: after(3*day + time.Hour)}},
		{Kind: "a", Span: timeline.Span{Start: after(5 * day), End: after(5*day + time.Hour)}},
		{Kind: "a", Span: timeline.Span{Start: after(14 * day), End: after(14*day + time.Hour)}},
	}
	a := mustForecast(t, cpu(seasonalDays(14, 1)), events, one(), after(14*day), 48*time.Hour)
	b := mustForecast(t, cpu(seasonalDays(14, 1)), events, one(), after(14*day), 48*time.Hour)
	if !reflect.DeepEqual(a, b) {
		t.Error("two forecasts of one input differ")
	}
}

func TestTrainingLeavesItsInputAlone(t *testing.T) {
	values := seasonalDays(10, 1)
	events := []Event{{Kind: "a", Span: timeline.Span{Start: after(3 * day), End: after(4 * day)}}}
	mustForecast(t, cpu(values), events, one(), after(10*day), time.Hour)
	if !reflect.DeepEqual(values, seasonalDays(10, 1)) {
		t.Error("the history was changed")
	}
}

func TestConstantDemandIsForecastAsItIs(t *testing.T) {
	values := make([]float64, 14*perDay)
	for i := range values {
		values[i] = 250
	}
	p := mustForecast(t, cpu(values), nil, one(), after(14*day), 48*time.Hour).Profile(.99)
	if len(p) != 1 || p[0].Amount[resource.CPU] != 250 || p[0].Length() != 48*time.Hour {
		t.Errorf("profile %v", p)
	}
}

func TestColdStartSaysWhatStandsIn(t *testing.T) {
	opts := Options{Maximum: resource.Uniform(1000)}
	opts.Prior[resource.CPU] = 400
	f := mustForecast(t, History{}, nil, opts, monday, time.Hour)
	r := f.Reasons[resource.CPU]
	if !f.Cold() || !r.Cold || r.Note != "no history in the last 672h0m0s: the given prior stands in" {
		t.Errorf("reason %+v", r)
	}
	if p := f.Profile(.5); len(p) != 1 || p[0].Amount[resource.CPU] != 400 || p[0].Amount[resource.Memory] != 1000 {
		t.Errorf("profile %v", p)
	}
	old := seasonalDays(40, 1)
	for i := perDay; i < len(old); i++ {
		old[i] = math.NaN()
	}
	if r := mustForecast(t, cpu(old), nil, opts, after(40*day), time.Hour).Reasons[resource.CPU]; !r.Cold {
		t.Errorf("of a history with nothing in its last 39 days: %+v", r)
	}
	if _, err := Train(History{}, nil, Options{}); !errors.Is(err, ErrColdStart) {
		t.Errorf("without anything to stand in: %v", err)
	}
}

func TestShortHistorySpeaksForTheMedianOnly(t *testing.T) {
	f := mustForecast(t, cpu(seasonalDays(1, 1)[:40]), nil, one(), after(40*step), time.Hour)
	if !f.Reasons[resource.CPU].Cold {
		t.Error("forty steps are called enough")
	}
	if v := f.Values[resource.CPU][0][0]; v < 200 || v > 600 {
		t.Errorf("median %.0f", v)
	}
	if v := f.Values[resource.CPU][3][0]; v != 1000 {
		t.Errorf("p99 %.0f, want the maximum", v)
	}
}

func TestTheLastHourLiftsTheNextOne(t *testing.T) {
	values := seasonalDays(14, 1)
	for i := len(values) - 12; i < len(values); i++ {
		values[i] = 900 + float64(i%3)
	}
	f := mustForecast(t, cpu(values), nil, one(), after(14*day), 24*time.Hour)
	for i := range 12 {
		if v := f.Values[resource.CPU][3][i]; v < 900 {
			t.Fatalf("p99 of step %d is %.0f, the last hour showed 900", i, v)
		}
	}
}

func TestAFineStepIsServedFromACoarseHistory(t *testing.T) {
	opts := one()
	opts.Step = 10 * time.Second
	f := mustForecast(t, cpu(seasonalDays(14, 1)), nil, opts, after(14*day), 96*time.Minute)
	if f.Steps() != 576 || f.Step != 10*time.Second {
		t.Fatalf("%d steps of %s", f.Steps(), f.Step)
	}
	if a, b := f.Values[resource.CPU][1][0], f.Values[resource.CPU][1][29]; a != b {
		t.Errorf("steps within one model step differ: %v and %v", a, b)
	}
}

func TestTheHighestValueOfALongStepIsCovered(t *testing.T) {
	values := noise(26*perDay, 1)
	for i, v := range values {
		values[i] = 300 + 20*v
	}
	h := cpu(values)
	h[resource.CPU].Fold = Max
	opts := one()
	opts.Step = time.Hour
	scores, err := Backtest(h, nil, opts, Rolling{From: after(14 * day), To: after(26 * day)})
	if err != nil {
		t.Fatal(err)
	}
	s := scores[resource.CPU]
	if c := s.Coverage(2); s.Steps != 11*48 || c < .90 || c > .99 {
		t.Errorf("p95 covers the highest of %.3f of %d hours", c, s.Steps)
	}
}

func TestAMillionSamplesAreFolded(t *testing.T) {
	s := Series{Start: monday, Step: 10 * time.Second, Values: noise(1_000_000, 1), Fold: Max}
	for i := range s.Values {
		s.Values[i] = 100 + math.Abs(s.Values[i])
	}
	var h History
	h[resource.CPU] = s
	f := mustForecast(t, h, nil, one(), s.End(), 48*time.Hour)
	if v := f.Values[resource.CPU][0][0]; v < 101 || v > 104 {
		t.Errorf("median %.2f, want the typical maximum of 30 samples", v)
	}
}

func TestTheSeasonFollowsTheWallClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zone data:", err)
	}
	// Clocks go forward on 2026-03-29 at 01:00 UTC. Work begins at 08:00 local time.
	start := timeline.Of(time.Date(2026, 3, 15, 0, 0, 0, 0, berlin))
	var h History
	s := Series{Start: start, Step: step}
	end := timeline.Of(time.Date(2026, 3, 29, 20, 0, 0, 0, berlin))
	for t := start; t < end; t = t.Add(step) {
		v := 100.0
		if hour := t.Std().In(berlin).Hour(); hour >= 8 && hour < 18 {
			v = 500
		}
		s.Values = append(s.Values, v)
	}
	h[resource.CPU] = s
	opts := one()
	opts.Location = berlin
	f := mustForecast(t, h, nil, opts, end, 24*time.Hour)
	at := func(hour, minute int) float64 {
		t := timeline.Of(time.Date(2026, 3, 30, hour, minute, 0, 0, berlin))
		return f.Values[resource.CPU][0][int(t.Sub(f.Start)/step)]
	}
	if a, b := at(7, 30), at(8, 30); a > 200 || b < 400 {
		t.Errorf("half an hour before work %.0f, after its start %.0f", a, b)
	}
}

func TestTheClockChangesWhereverAForecastReaches(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zone data:", err)
	}
	start, end := timeline.Of(time.Date(2026, 3, 1, 0, 0, 0, 0, berlin)), timeline.Of(time.Date(2026, 3, 20, 12, 0, 0, 0, berlin))
	s := Series{Start: start, Step: step}
	for t := start; t < end; t = t.Add(step) {
		v := 100.0
		if hour := t.Std().In(berlin).Hour(); hour >= 8 && hour < 18 {
			v = 500
		}
		s.Values = append(s.Values, v)
	}
	opts := one()
	opts.Location = berlin
	f := mustForecast(t, History{resource.CPU: s}, nil, opts, end, 14*day)
	for _, date := range []int{21, 28, 29, 30, 32} { // the clock goes forward on the 29th
		at := func(hour, minute int) float64 {
			t := timeline.Of(time.Date(2026, 3, date, hour, minute, 0, 0, berlin))
			return f.Values[resource.CPU][0][int(t.Sub(f.Start)/step)]
		}
		if a, b := at(7, 30), at(8, 30); a > 200 || b < 400 {
			t.Errorf("March %d: half an hour before work %.0f, after its start %.0f", date, a, b)
		}
	}
}

func TestAHistoryThatEndedYearsAgoStillHasItsWeek(t *testing.T) {
	values := make([]float64, 28*perDay)
	for i := range values {
		values[i] = 100
		if (i/perDay)%7 < 5 && i%perDay >= 96 {
			values[i] = 400
		}
	}
	now := after(28*day + 52*7*day)
	f := mustForecast(t, cpu(values), nil, one(), now, 24*time.Hour)
	if a, b := f.Values[resource.CPU][0][48], f.Values[resource.CPU][0][200]; a > 200 || b < 300 {
		t.Errorf("on Monday %.0f at four, %.0f in the afternoon", a, b)
	}
	if note := f.Reasons[resource.CPU].Note; !strings.Contains(note, "the history ends 8736h0m0s before") {
		t.Errorf("note %q", note)
	}
}

func TestWhatStandsInMayDifferByQuantile(t *testing.T) {
	opts := Options{Maximum: resource.Uniform(1000)}
	opts.PriorQuantiles[resource.CPU] = []float64{50, 120, 150, 400}
	opts.PriorFrom[resource.CPU] = "what others did"
	nothing := mustForecast(t, History{}, nil, opts, monday, time.Hour)
	for qi, want := range opts.PriorQuantiles[resource.CPU] {
		if got := nothing.Values[resource.CPU][qi][7]; got != want {
			t.Errorf("without history quantile %d is %v, want %v", qi, got, want)
		}
	}
	some := slices.Repeat([]float64{100}, 100)
	some[95] = 300
	f := mustForecast(t, cpu(some), nil, opts, after(100*step), 4*time.Hour)
	if got := f.Values[resource.CPU]; got[0][40] != 100 || got[1][40] != 120 || got[2][40] != 150 || got[3][40] != 400 || got[2][1] != 300 {
		t.Errorf("with eight hours of it: %v, %v, %v, %v, and %v in the first hour, whose last one had 300", got[0][40], got[1][40], got[2][40], got[3][40], got[2][1])
	}
	if r := f.Reasons[resource.CPU]; !r.Cold || !strings.Contains(r.Note, "what others did stands in") {
		t.Errorf("%+v", r)
	}
	day := slices.Repeat([]float64{100}, 2*perDay)
	if got := mustForecast(t, cpu(day), nil, opts, after(2*perDay*step), time.Hour).Values[resource.CPU][3][11]; got != 100 {
		t.Errorf("with two days of its own: %v", got)
	}
	for name, prior := range map[string][]float64{"too few": {1, 2}, "falling": {4, 3, 2, 1}, "negative": {-1, 2, 3, 4}, "no number": {1, 2, 3, math.NaN()}, "without end": {1, 2, 3, math.Inf(1)}} {
		opts.PriorQuantiles[resource.Memory] = prior
		var bad *InputError
		if _, err := Train(History{}, nil, opts); !errors.As(err, &bad) || !strings.Contains(err.Error(), "memory") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
