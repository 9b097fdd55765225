package forecast

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/timeline"
)

// daily is a series with a clear day, on steps of five minutes from the time on.
func daily(start timeline.Time, days int) Series {
	s := Series{Start: start, Step: 5 * time.Minute}
	for i := range days * 288 {
		s.Values = append(s.Values, 10+5*math.Sin(2*math.Pi*float64(i)/288))
	}
	return s
}

func TestAForecastOfOneSeriesBeginsWhenItIsAskedForWhateverTheStep(t *testing.T) {
	const start timeline.Time = 1_767_225_600_000 // midnight
	plain, err := OfSeries(daily(start, 14), nil, start.Add(14*day), day, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if plain.Start != start.Add(14*day) || len(plain.Values[0]) != 288 {
		t.Errorf("from %s, %d steps", plain.Start, len(plain.Values[0]))
	}
	// The same two minutes and seven seconds later gives the same values, as much later.
	odd := 2*time.Minute + 7*time.Second
	moved, err := OfSeries(daily(start.Add(odd), 14), nil, start.Add(14*day+odd), day, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if moved.Start != plain.Start.Add(odd) {
		t.Errorf("begins %s, want %s", moved.Start, plain.Start.Add(odd))
	}
	if diff := cmp.Diff(plain.Values, moved.Values); diff != "" {
		t.Error(diff)
	}
}

func TestAForecastOfOneSeriesSeesNothingFromItsTimeOn(t *testing.T) {
	const start timeline.Time = 1_767_225_600_000
	at := start.Add(10*day + 3*time.Hour)
	known := daily(start, 14)
	want, err := OfSeries(known, nil, at, 6*time.Hour, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := 10*288 + 36; i < len(known.Values); i++ {
		known.Values[i] = 1e6
	}
	got, err := OfSeries(known, nil, at, 6*time.Hour, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := OfSeries(known, nil, start, time.Hour, Options{}); !errors.Is(err, ErrColdStart) {
		t.Errorf("without any history: %v, want ErrColdStart", err)
	}
}

func TestAnEventMovesWithTheSeriesThatItTouches(t *testing.T) {
	const start timeline.Time = 1_767_225_600_000
	odd := 4 * time.Minute
	s := daily(start.Add(odd), 14)
	var events []Event
	for _, d := range []int{3, 6, 9, 14} {
		from := start.Add(odd + time.Duration(d)*day + 10*time.Hour)
		events = append(events, Event{Kind: "campaign", Span: timeline.Span{Start: from, End: from.Add(2 * time.Hour)}})
		for i := d*288 + 120; i < d*288+144 && i < len(s.Values); i++ {
			s.Values[i] += 50
		}
	}
	f, err := OfSeries(s, events, s.End(), day, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if before, during := f.Values[0][119], f.Values[0][120]; during-before < 30 {
		t.Errorf("the campaign begins at step 120, but %.1f is followed by %.1f", before, during)
	}
}

func TestSharesOfMembersAddUpOverTheHorizon(t *testing.T) {
	const start timeline.Time = 1_767_225_600_000
	f, err := OfSeries(daily(start, 10), nil, start.Add(10*day), 2*day, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, horizon := range []time.Duration{time.Hour, 2 * day, 7 * day} {
		sum := 0.0
		for _, share := range f.Reason.Shares(.5, horizon) {
			sum += share
		}
		if sum < .8 || sum > 1.0001 { // shares below a hundredth are not told
			t.Errorf("over %s: %v", horizon, sum)
		}
	}
}

func TestStepsFinerThanTheSamplesChangeWhereTheSamplesDo(t *testing.T) {
	begin := timeline.Time(1_700_006_400_000) // midnight, UTC
	s := Series{Start: begin.Add(20 * time.Minute), Step: time.Hour}
	for i := range 24 * 14 {
		s.Values = append(s.Values, float64(100+100*(i%2)))
	}
	f, err := OfSeries(s, nil, s.End(), 6*time.Hour, Options{Step: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range f.Values[0] {
		if want := float64(100 + 100*(i/12%2)); math.Abs(v-want) > 1 {
			t.Errorf("%s ahead the median is %v, want %v", time.Duration(i)*f.Step, v, want)
		}
	}
}

func TestQuantilesThatHavePassedEachOtherKeepTheMedian(t *testing.T) {
	values := [][]float64{{5, 1}, {4, 2}, {3, 9}}
	uncross(values, []float64{.025, .5, .975})
	if diff := cmp.Diff([][]float64{{4, 1}, {4, 2}, {4, 9}}, values); diff != "" {
		t.Error(diff)
	}
}
