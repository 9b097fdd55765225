package forecast

import (
	"fmt"
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

// saidOf is all that a model says of two days from now on.
func saidOf(t rapid.TB, m *Model, now timeline.Time) []any {
	t.Helper()
	f, err := m.Forecast(now, 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.Window(now, 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return []any{f, w, m.Effects(resource.CPU)}
}

func TestAModelTrainedAgainIsToTheByteOneTrainedFromScratch(t *testing.T) {
	berlin := mustLoad(t, "Europe/Berlin")
	all := pasts()
	requests := crowd(32, 1)
	all["a crowd"] = servedLater(requests, 2)
	taken, series := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"four weeks", "a jump", "an incident", "a fall", "bursts", "gaps", "nothing", "a crowd", "a crowd"}).Draw(t, "past")
		values := append(append([]float64(nil), all[name]...), all[name]...)
		for len(values) < 32*perDay {
			values = append(values, values[:perDay]...)
		}
		from := timeline.Time(0)
		opts := Options{Maximum: resource.Uniform(5000), Quantiles: []float64{.5, .95}}
		opts.LookAt = time.Duration(rapid.IntRange(0, 359).Draw(t, "look at")) * time.Minute
		if rapid.Bool().Draw(t, "daylight saving") {
			from, opts.Location = timeline.Time((70 * day).Milliseconds()), berlin // it begins on the thirteenth day
		}
		signal := rapid.Bool().Draw(t, "signal")
		fine := rapid.IntRange(0, 3).Draw(t, "fine") == 0
		if fine {
			opts.Step = time.Minute
		}
		var events []Event
		// known is what there is to learn from at an hour.
		known := func(hour int) (History, Options) {
			h, o := grown(values, hour), opts
			h[resource.CPU].Start += from
			if fine {
				h[resource.CPU] = inMinutes(h[resource.CPU])
			}
			if signal {
				o.Signals = signals("requests", requests[:14*perDay+hour*perDay/24])
				o.Signals[0].Series.Start += from
			}
			return h, o
		}
		hour := rapid.IntRange(0, 400).Draw(t, "hour")
		h, o := known(hour)
		before, err := Train(h, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "settled") {
			before = before.Settled(h[resource.CPU].End().Add(3 * day))
		}
		for range 2 {
			hour += rapid.IntRange(0, 2).Draw(t, "hours")
			if rapid.IntRange(0, 3).Draw(t, "event") == 0 {
				start := h[resource.CPU].End().Add(-time.Duration(rapid.IntRange(-5, 30).Draw(t, "ago")) * time.Hour)
				e := Event{Kind: "a", Span: timeline.Span{Start: start, End: start.Add(2 * time.Hour)}}
				e.Not[resource.CPU] = rapid.Bool().Draw(t, "not cpu")
				events = append(events, e)
			}
			h, o := known(hour)
			if rapid.IntRange(0, 3).Draw(t, "import") == 0 { // of what was before, or a translation to another CPU
				h[resource.CPU].Values = append([]float64(nil), h[resource.CPU].Values...)
				h[resource.CPU].Values[rapid.IntRange(0, len(h[resource.CPU].Values)-1).Draw(t, "changed")]++
			}
			if signal && rapid.IntRange(0, 3).Draw(t, "silent") == 0 {
				s := &o.Signals[0].Series
				s.Values = s.Values[:len(s.Values)-rapid.IntRange(1, 30).Draw(t, "steps")]
			}
			if rapid.IntRange(0, 3).Draw(t, "type") == 0 {
				opts.Maximum[resource.CPU] *= 2
				o.Maximum = opts.Maximum
			}
			again, err := Retrain(before, h, events, o)
			if err != nil {
				t.Fatal(err)
			}
			scratch, err := Train(h, events, o)
			if err != nil {
				t.Fatal(err)
			}
			now := h[resource.CPU].End()
			if !reflect.DeepEqual(saidOf(t, again, now), saidOf(t, scratch, now)) {
				t.Fatalf("%s at hour %d: trained again it says something else than from scratch", name, hour)
			}
			n, of := again.TakenOver()
			taken, series = taken+n, series+of
			before = again
		}
	})
	if taken < series/5 {
		t.Errorf("of %d series %d were taken over: this test shows little", series, taken)
	}
}

func mustLoad(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Skip(err)
	}
	return loc
}

// TestWhatWasLearnedIsUsedAgainForSixHours: of twelve hours those at 18:00 and 00:00 have to be learned.
func TestWhatWasLearnedIsUsedAgainForSixHours(t *testing.T) {
	requests := crowd(32, 1)
	berlin := mustLoad(t, "Europe/Berlin")
	for name, c := range map[string]struct {
		from   time.Duration // after the Monday
		loc    *time.Location
		signal bool
		series int
	}{
		"demand alone":                {series: 1},
		"demand that follows":         {signal: true, series: 2},
		"clocks changed in the past":  {from: 70 * day, loc: berlin, signal: true, series: 2},
		"clocks change after the end": {from: 52*day + 6*time.Hour, loc: berlin, signal: true, series: 2},
	} {
		opts := one()
		opts.Location = c.loc
		var before *Model
		values, taken := servedLater(requests, 2), 0
		for hour := 330; hour < 343; hour++ { // after midnight on the fourteenth day
			h := grown(values, hour)
			h[resource.CPU].Start = h[resource.CPU].Start.Add(c.from)
			if c.signal {
				known := cpu(requests[:14*perDay+hour*perDay/24])[resource.CPU]
				known.Start = known.Start.Add(c.from)
				opts.Signals = []Signal{{"requests", known}}
			}
			again, err := Retrain(before, h, nil, opts)
			if err != nil {
				t.Fatal(err)
			}
			n, of := again.TakenOver()
			if taken += n; of != c.series || n != 0 && n != of {
				t.Errorf("%s: at hour %d %d of %d were taken over", name, hour, n, of)
			}
			before = again.Settled(h[resource.CPU].End().Add(3 * day))
		}
		if taken != 10*c.series {
			t.Errorf("%s: of 12 hours with %d series 2 have to be learned, and %d series were taken over", name, c.series, taken)
		}
	}
}

// TestASignalThatFallsSilentLeavesAtOnce: what others count without it is learned as soon as it is not known any more, and is what they count from then on.
func TestASignalThatFallsSilentLeavesAtOnce(t *testing.T) {
	requests := crowd(20, 1)
	values := servedLater(requests, 2)
	var before *Model
	for hour, want := range []struct{ follows, anew bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		n := 19*perDay + hour*perDay/24
		opts := one()
		opts.Signals = signals("requests", requests[:min(n, 19*perDay+8)])
		m, err := Retrain(before, cpu(values[:n]), nil, opts)
		if err != nil {
			t.Fatal(err)
		}
		k := &m.kinds[resource.CPU]
		if follows := len(k.follows) == 1; follows != want.follows || k.anew != want.anew {
			t.Errorf("hour %d: follows it: %v, learned anew: %v, want %+v", hour, follows, k.anew, want)
		}
		before = m
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

// TestAPastOfWhichEventsLeaveNothingIsNoTrouble: what is known beside them came since it was last looked at.
func TestAPastOfWhichEventsLeaveNothingIsNoTrouble(t *testing.T) {
	values := unknown(8*perDay + perDay/8)
	for i := range values {
		if i%60 == 0 || i >= len(values)-12 {
			values[i] = 300
		}
	}
	end := after(8*day + 3*time.Hour)
	events := []Event{{Kind: "all the time", Span: timeline.Span{Start: monday, End: end.Add(-time.Hour)}}}
	opts := one()
	opts.Signals = signals("requests", values)
	m, err := Train(cpu(values), events, opts)
	if err != nil {
		t.Fatal(err)
	}
	if g := m.kinds[resource.CPU].grid; observed(g.y) != 12 || observed(g.past(opts).y) != 0 {
		t.Fatalf("%d steps are known, %d of them in the past: this test shows nothing", observed(g.y), observed(g.past(opts).y))
	}
	f, err := m.Forecast(end, day)
	if err != nil {
		t.Fatal(err)
	}
	if v := f.Values[resource.CPU][0][0]; v != 300 {
		t.Errorf("the median of what is 300 whenever it is seen is %v", v)
	}
}

// TestWhatIsHandedOnDoesNotGrowWithTheHistory: a home holds it for each resource and signal of thousands of instances.
func TestWhatIsHandedOnDoesNotGrowWithTheHistory(t *testing.T) {
	const most = 8 << 10 // bytes
	for _, days := range []int{8, 28} {
		requests := crowd(days, 1)
		opts := one()
		opts.Signals = signals("requests", requests)
		m, err := Train(cpu(servedLater(requests, 2)), nil, opts)
		if err != nil {
			t.Fatal(err)
		}
		m = m.Settled(after(time.Duration(days+3) * day))
		for name, l := range map[string]*learned{"demand": m.learnedOf(resource.CPU), "signal": m.figure("requests").learnedOf(figureKind)} {
			got := bytesOf(reflect.ValueOf(l).Elem())
			t.Logf("%s of %d days: %d bytes", name, days, got)
			if got > most {
				t.Errorf("%s of %d days: %d bytes are handed on, want %d at most", name, days, got, most)
			}
		}
	}
}

// bytesOf returns what a value takes with all that it refers to; text, which is the program's own, counts with its header alone.
func bytesOf(v reflect.Value) int {
	n := int(v.Type().Size())
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			n += bytesOf(v.Field(i)) - int(v.Field(i).Type().Size())
		}
	case reflect.Array:
		for i := range v.Len() {
			n += bytesOf(v.Index(i)) - int(v.Index(i).Type().Size())
		}
	case reflect.Slice:
		for i := range v.Len() {
			n += bytesOf(v.Index(i))
		}
	case reflect.Pointer, reflect.Map, reflect.Interface, reflect.Func, reflect.Chan:
		panic(fmt.Sprintf("how much is a %s?", v.Type()))
	}
	return n
}
