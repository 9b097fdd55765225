package forecast

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// inMinutes returns a series of five-minute steps in minutes that differ, with the same means.
func inMinutes(s Series) Series {
	out := Series{Start: s.Start, Step: time.Minute, Fold: s.Fold}
	for i, v := range s.Values {
		for k := range 5 {
			out.Values = append(out.Values, v*(1+.2*float64((k*2+i)%5-2)))
		}
	}
	return out
}

// requestsAt is what arrives by chance, with a season of the day, per step.
func requestsAt(step time.Duration, days int, seed uint64) Series {
	s := Series{Start: monday, Step: step, Fold: Max}
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range days * int(day/step) {
		mean := (20 + 15*math.Sin(2*math.Pi*float64(i)/float64(day/step))) * step.Seconds() / 10
		s.Values = append(s.Values, max(0, mean+math.Sqrt(mean)*r.NormFloat64()))
	}
	return s
}

func TestQuantilesOfFineStepsAreThoseOfSingleOnes(t *testing.T) {
	for _, c := range []struct {
		step, of time.Duration // of the history, and of the forecast
	}{{10 * time.Second, 10 * time.Second}, {10 * time.Second, time.Minute}, {time.Minute, time.Minute}, {7 * time.Second, 7 * time.Second}} {
		s := requestsAt(c.step, 16, 1)
		from := after(14 * day)
		f, err := OfSeries(s, nil, from, 48*time.Hour, Options{Step: c.of})
		if err != nil {
			t.Fatal(err)
		}
		actual := s.Resample(c.of)
		for qi, q := range f.Quantiles {
			covered, came := 0, actual.Values[int(from.Sub(actual.Start)/c.of):]
			for i, v := range f.Values[qi][:min(len(came), len(f.Values[qi]))] {
				if came[i] <= v {
					covered++
				}
			}
			if share := float64(covered) / float64(len(f.Values[qi])); math.Abs(share-q) > .06*min(1, 5*(1-q)+.1) {
				t.Errorf("steps of %s of a history in %s: p%g covers %.3f", c.of, c.step, 100*q, share)
			}
		}
	}
}

func TestOneFineStepOfEachIsTakenAtAPlaceThatWanders(t *testing.T) {
	const fine = 10 * time.Second
	s := Series{Start: monday.Add(3 * time.Minute), Step: fine}
	for i := range 28 * int(day/fine) {
		s.Values = append(s.Values, float64(i))
	}
	out := s.oneOfEach(step)
	byPlace, bySecond := make([]int, 30), make([]int, 6)
	ten := make([]int, 6) // of the steps that begin at ten each day, whose seconds have to differ, too
	for i, v := range out.Values {
		at := s.Start.Add(time.Duration(v) * fine)
		if at.Floor(step) != out.Start.Add(time.Duration(i)*step) {
			t.Fatalf("step %d has a value of %s", i, at)
		}
		byPlace[int(at.Sub(at.Floor(step))/fine)]++
		second := int(at.Sub(at.Floor(time.Minute)) / fine)
		bySecond[second]++
		if at.Sub(at.Floor(day)).Truncate(time.Hour) == 10*time.Hour {
			ten[second]++
		}
	}
	for what, counts := range map[string][]int{"place": byPlace, "second": bySecond, "second from ten to eleven": ten} {
		if least, most := slices.Min(counts), slices.Max(counts); float64(least) < .8*float64(most) {
			t.Errorf("by %s they are taken %v times", what, counts)
		}
	}
	for i := range s.Values { // where one is not known another is taken
		if i%30 != 7 {
			s.Values[i] = math.NaN()
		}
	}
	if got := observed(s.oneOfEach(step).Values); got < 28*perDay-1 {
		t.Errorf("of %d steps with one known value each %d have one", 28*perDay, got)
	}
	if got := (Series{Start: monday, Step: fine, Values: []float64{5}}).oneOfEach(step); len(got.Values) != 1 || got.Values[0] != 5 {
		t.Errorf("one value becomes %v", got.Values)
	}
}

func TestTheHighestOfEachStepIsForecastWhereStepsAreTheModels(t *testing.T) {
	s := requestsAt(10*time.Second, 15, 1)
	single, err := OfSeries(s, nil, s.End(), time.Hour, Options{Step: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	highest, err := OfSeries(s, nil, s.End(), time.Hour, Options{Step: step})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := single.Values[0][0], highest.Values[0][0]; !(b > 1.2*a) {
		t.Errorf("the median of single steps is %.1f, that of the highest in five minutes %.1f", a, b)
	}
}

func TestAnEventShorterThanAModelStepHasItsSize(t *testing.T) {
	const fine = 10 * time.Second
	s := Series{Start: monday, Step: fine}
	var events []Event
	for d := range 21 {
		if d%5 == 2 || d == 20 {
			start := after(time.Duration(d)*day + 10*time.Hour + time.Minute)
			events = append(events, Event{Kind: "push", Span: timeline.Span{Start: start, End: start.Add(time.Minute)}})
		}
	}
	for i, v := range noise(20*int(day/fine), 1) {
		at := s.Start.Add(time.Duration(i) * fine)
		v = 60 + v
		for _, e := range events {
			if e.Span.Contains(at) {
				v += 100
			}
		}
		s.Values = append(s.Values, v)
	}
	f, err := OfSeries(s, events, s.End(), day, Options{Step: fine})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range f.Values[0] {
		want := 60.0
		if events[len(events)-1].Span.Contains(f.Start.Add(time.Duration(i) * fine)) {
			want = 160
		}
		if math.Abs(v-want) > 10 {
			t.Fatalf("the median %s ahead is %.1f, want %.0f", time.Duration(i)*fine, v, want)
		}
	}
}

func TestWhatNeverHappenedAgainIsNotExpectedOnFineSteps(t *testing.T) {
	s := requestsAt(time.Minute, 14, 1)
	for i := 13*24*60 + 600; i < 13*24*60+720; i++ { // two hours of yesterday
		s.Values[i] += 3000
	}
	var h History
	h[resource.CPU] = s
	opts := one()
	opts.Maximum, opts.Step = resource.Uniform(10000), time.Minute
	f := mustForecast(t, h, nil, opts, s.End(), day)
	for _, i := range []int{0, 660} {
		if v := f.Values[resource.CPU][1][i]; v > 1000 {
			t.Errorf("p90 of minute %d is %.0f", i, v)
		}
	}
	if f.Start != s.End() {
		t.Errorf("it begins at %s", f.Start)
	}
}
