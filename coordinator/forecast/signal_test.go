package forecast

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// crowd is a signal: a day that repeats, with visitors who come as they like and stay for an hour or two.
func crowd(days int, seed uint64) []float64 {
	own, out, level := noise(days*perDay, seed), make([]float64, days*perDay), 0.0
	for i := range out {
		level = .96*level + 12*own[i]
		out[i] = max(0, 120-60*math.Cos(2*math.Pi*float64(i)/perDay)+level)
	}
	return out
}

// servedLater is demand that follows a signal 15 minutes later, a half of a unit for each, with noise of its own.
func servedLater(signal []float64, seed uint64) []float64 {
	own, out := noise(len(signal), seed), make([]float64, len(signal))
	for i := range out {
		out[i] = max(0, 50+.5*signal[max(0, i-3)]+2*own[i])
	}
	return out
}

func signals(name string, values []float64) []Signal {
	return []Signal{{name, Series{Start: monday, Step: 5 * time.Minute, Values: values}}}
}

// backtestHours scores forecasts of the hours after an origin, in the third week.
func backtestHours(t *testing.T, values []float64, s []Signal, horizon time.Duration) Score {
	t.Helper()
	opts := one()
	opts.Signals = s
	scores, err := Backtest(cpu(values), nil, opts, Rolling{From: after(16 * day), To: after(19 * day), Every: 3 * time.Hour, Horizon: horizon})
	if err != nil {
		t.Fatal(err)
	}
	return scores[resource.CPU]
}

func TestASignalThatLeadsDemandMakesTheForecastBetter(t *testing.T) {
	requests := crowd(20, 1)
	values := servedLater(requests, 2)
	for _, c := range []struct {
		horizon time.Duration
		most    float64 // of the loss without it
	}{{time.Hour, .85}, {6 * time.Hour, .97}} {
		without := backtestHours(t, values, nil, c.horizon)
		with := backtestHours(t, values, signals("requests", requests), c.horizon)
		ratio := with.TotalLoss() / without.TotalLoss()
		t.Logf("%s: %.3f of the loss without it", c.horizon, ratio)
		if !(ratio < c.most) {
			t.Errorf("over %s the loss with the signal is %.3f of that without, want less than %.2f", c.horizon, ratio, c.most)
		}
	}
}

func TestASignalThatSaysNothingOfDemandMakesTheForecastNoWorse(t *testing.T) {
	values := servedLater(crowd(20, 1), 2)
	jumps := seasonalDays(20, 5)
	for i := 9 * perDay; i < len(jumps); i++ {
		jumps[i] *= 4
	}
	behind := noise(20*perDay, 6) // it goes with demand, and is known too late
	for i := range behind {
		behind[i] = max(0, 2*values[max(0, i-6)]+10*behind[i])
	}
	others := map[string][]float64{"another crowd": crowd(20, 3), "a shift": jumps, "half an hour behind": behind, "nothing": make([]float64, 20*perDay)}
	for _, horizon := range []time.Duration{time.Hour, 6 * time.Hour} {
		without := backtestHours(t, values, nil, horizon).TotalLoss()
		for name, other := range others {
			ratio := backtestHours(t, values, signals("sessions", other), horizon).TotalLoss() / without
			t.Logf("%s, %s: %.4f of the loss without it", name, horizon, ratio)
			if !(ratio < 1.01) {
				t.Errorf("%s: over %s the loss with the signal is %.3f of that without", name, horizon, ratio)
			}
		}
	}
}

func TestAForecastSaysWhatASignalIsToBeAndWhatFollowsIt(t *testing.T) {
	requests := crowd(20, 1)
	opts := one()
	opts.Signals = signals("requests", requests)
	f := mustForecast(t, cpu(servedLater(requests, 2)), nil, opts, after(20*day), 48*time.Hour)
	follows := f.Reasons[resource.CPU].Follows
	if len(follows) != 1 || follows[0].Signal != "requests" || math.Abs(follows[0].Each-.5) > .05 || follows[0].NextHour < .5 {
		t.Errorf("%+v, want half a unit each, with most of the weight", follows)
	}
	if got := f.Reasons[resource.Memory].Follows; len(got) != 0 {
		t.Errorf("what has no history follows %+v", got)
	}
	alone := mustForecast(t, cpu(requests), nil, one(), after(20*day), 48*time.Hour)
	if len(f.Signals) != 1 || f.Signals[0].Name != "requests" || f.Signals[0].Until != after(20*day) {
		t.Fatalf("%+v", f.Signals)
	}
	mean := opts
	mean.Signals[0].Series.Fold = Max // as it is, a signal is folded by its mean
	if diff := cmp.Diff(mustForecast(t, cpu(servedLater(requests, 2)), nil, mean, after(20*day), 48*time.Hour), f); diff != "" {
		t.Error(diff)
	}
	for qi, want := range alone.Values[resource.CPU] {
		if !equal(want, f.Signals[0].Values[qi]) {
			t.Errorf("quantile %v of the signal is not what the same series of demand would be", f.Quantiles[qi])
		}
	}
}

func TestASettledModelForecastsItsSignalsTheSameToTheByte(t *testing.T) {
	requests := crowd(12, 1)
	opts := one()
	opts.Signals = signals("requests", requests)
	whole, err := Train(cpu(servedLater(requests, 2)), nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	want, err := whole.Forecast(after(12*day), 6*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	got, err := whole.Settled(after(12*day+6*time.Hour)).Forecast(after(12*day), 6*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is known of a signal after an origin must not matter to what a member says from there.
func TestAMemberThatFollowsASignalKnowsNothingOfWhatComes(t *testing.T) {
	requests := crowd(12, 1)
	g := gridOf(servedLater(requests, 2), step)
	g.fill()
	o := len(g.x) - perDay - 7
	said := func(values []float64) []float64 {
		f := newFollower(g, g.beside(signals("", values)[0].Series, nil))
		if f == nil {
			t.Fatal("demand does not follow it")
		}
		out := make([]float64, 36)
		f.path(out, o, 0)
		return out
	}
	other := append(append([]float64(nil), requests[:o]...), make([]float64, len(requests)-o)...)
	for i := o; i < len(other); i++ {
		other[i] = requests[len(requests)-1-i+o] + 20
	}
	if diff := cmp.Diff(said(requests), said(other)); diff != "" {
		t.Error(diff)
	}
}

func TestASignalThatIsNotKnownNowJoinsNothing(t *testing.T) {
	requests := crowd(20, 1)
	values := servedLater(requests, 2)
	for name, c := range map[string]struct {
		signal []float64
		joins  bool
	}{
		"whole":              {requests, true},
		"ten minutes behind": {requests[:len(requests)-2], true},
		"two hours behind":   {requests[:len(requests)-24], false},
		"a day long":         {append(unknown(len(requests)-perDay), requests[len(requests)-perDay:]...), false},
		"nothing":            {nil, false},
		"all missing":        {unknown(len(requests)), false},
	} {
		opts := one()
		opts.Signals = signals("requests", c.signal)
		f := mustForecast(t, cpu(values), nil, opts, after(20*day), time.Hour)
		if got := len(f.Reasons[resource.CPU].Follows) == 1; got != c.joins {
			t.Errorf("%s: it joins: %v", name, got)
		}
	}
}

func unknown(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

// A campaign that brings more requests adds what it adds once.
func TestAnEventIsNotAddedASecondTimeByASignal(t *testing.T) {
	requests := crowd(20, 1)
	var events []Event
	for _, d := range []int{6, 10, 14, 18, 20} {
		at := after(time.Duration(d)*day + 11*time.Hour)
		e := Event{Kind: "campaign", Span: timeline.Span{Start: at, End: at.Add(2 * time.Hour)}}
		events = append(events, e)
		for i := range requests {
			if e.Span.Contains(after(time.Duration(i) * step)) {
				requests[i] += 400
			}
		}
	}
	opts := one()
	opts.Signals = signals("requests", requests)
	f := mustForecast(t, cpu(servedLater(requests, 2)), events, opts, after(20*day), day)
	usual, most := f.Values[resource.CPU][0][10*12], f.Values[resource.CPU][0][12*12]
	if rise := most - usual; rise < 120 || rise > 280 {
		t.Errorf("the campaign is forecast to add %.0f, it added 200", rise)
	}
	if rise := f.Signals[0].Values[0][12*12] - f.Signals[0].Values[0][10*12]; rise < 300 || rise > 500 {
		t.Errorf("it is forecast to add %.0f requests, it added 400", rise)
	}
}

// What stands in for a signal in its model is the CPU: that an event does not move that says nothing of the signal.
func TestWhatAnEventDoesNotMoveIsSaidOfResourcesAlone(t *testing.T) {
	requests := crowd(20, 1)
	var events []Event
	for _, d := range []int{6, 10, 14, 18, 20} {
		at := after(time.Duration(d)*day + 11*time.Hour)
		e := Event{Kind: "task", Span: timeline.Span{Start: at, End: at.Add(2 * time.Hour)}}
		for k := range e.Not {
			e.Not[k] = true
		}
		events = append(events, e)
		for i := range requests {
			if e.Span.Contains(after(time.Duration(i) * step)) {
				requests[i] += 400
			}
		}
	}
	opts := one()
	opts.Signals = signals("requests", requests)
	f := mustForecast(t, cpu(seasonalDays(20, 3)), events, opts, after(20*day), day)
	if rise := f.Signals[0].Values[0][12*12] - f.Signals[0].Values[0][10*12]; rise < 300 || rise > 500 {
		t.Errorf("the task is forecast to add %.0f requests, it added 400", rise)
	}
}

func TestBadSignalsAreRefused(t *testing.T) {
	for want, bad := range map[string][]Signal{
		"a name of its own": {{"a", Series{}}, {"a", Series{}}},
		`signal ""`:         {{"", Series{}}},
		"at most 8":         make([]Signal, 9),
		`signal "a": value`: signals("a", []float64{-1}),
	} {
		opts := one()
		opts.Signals = bad
		if _, err := Train(cpu(crowd(2, 1)), nil, opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestASignalMayBeMoreThanThereIsOfAnyResource(t *testing.T) {
	for _, level := range []float64{1.7e15, 1 << 53} { // microseconds since 1970, and the most that there can be
		seen := make([]float64, 4*perDay)
		for i := range seen {
			seen[i] = level
		}
		opts := one()
		opts.Signals = signals("started", seen)
		f := mustForecast(t, cpu(seasonalDays(4, 1)), nil, opts, after(4*day), 6*time.Hour)
		if got := f.Signals[0].Values[0][30]; math.Abs(got/level-1) > .001 {
			t.Errorf("%v is to be %v", level, got)
		}
	}
}
