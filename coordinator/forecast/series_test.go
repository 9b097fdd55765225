package forecast

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

var missing = math.NaN()

func equal(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) })
}

func TestResampleFoldsAsTheSeriesSays(t *testing.T) {
	s := Series{Start: monday.Add(-time.Minute), Step: time.Minute, Values: []float64{9, 1, missing, 5, missing, missing, 2}}
	for _, c := range []struct {
		fold  Fold
		step  time.Duration
		start timeline.Time
		want  []float64
	}{
		{Mean, 3 * time.Minute, monday.Add(-3 * time.Minute), []float64{9, 3, 2}},
		{Max, 3 * time.Minute, monday.Add(-3 * time.Minute), []float64{9, 5, 2}},
		{Mean, time.Minute, monday.Add(-time.Minute), s.Values},
		{Max, 30 * time.Second, monday.Add(-time.Minute), []float64{9, 9, 1, 1, missing, missing, 5, 5, missing, missing, missing, missing, 2, 2}},
	} {
		s.Fold = c.fold
		if got := s.Resample(c.step); got.Start != c.start || !equal(got.Values, c.want) {
			t.Errorf("fold %d to %s: %s %v, want %s %v", c.fold, c.step, got.Start, got.Values, c.start, c.want)
		}
	}
}

func TestResampleKeepsTheLargestAmount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Series{
			Start:  timeline.Time(rapid.Int64Range(0, 1e9).Draw(t, "start")),
			Step:   time.Duration(rapid.IntRange(1, 600).Draw(t, "step")) * time.Second,
			Values: rapid.SliceOfN(rapid.Float64Range(0, 100), 1, 50).Draw(t, "values"), Fold: Max,
		}
		to := s.Step * time.Duration(rapid.IntRange(1, 10).Draw(t, "times"))
		if got := s.Resample(to); slices.Max(got.Values) != slices.Max(s.Values) {
			t.Fatalf("maximum %v became %v", slices.Max(s.Values), slices.Max(got.Values))
		}
	})
}

func TestSplicePrefersTheRecentOnTheLongerStep(t *testing.T) {
	old := Series{Start: monday, Step: step, Values: []float64{1, 2, 3}}
	recent := Series{Start: monday.Add(2 * step), Step: time.Minute, Values: []float64{7, 7, 7, 7, 7, missing, 9, 9}}
	got := Splice(old, recent)
	if got.Step != step || got.Start != monday || !equal(got.Values, []float64{1, 2, 7, 9}) {
		t.Errorf("spliced to %+v", got)
	}
	recent.Values = recent.Values[:len(recent.Values)-1] // of a step that is a fifth over
	if got := Splice(old, recent); !equal(got.Values, []float64{1, 2, 7}) {
		t.Errorf("of the beginning of a step it makes %+v", got)
	}
	if got := Splice(old, Series{Start: monday.Add(3 * step), Step: time.Minute, Values: []float64{9}}); !equal(got.Values, old.Values) {
		t.Errorf("of nothing but the beginning of a step it makes %+v", got)
	}
	recent.Values = append(recent.Values, 9)
	far := Series{Start: earliest, Step: step, Values: []float64{1}}
	if got := Splice(far, recent); len(got.Values) != len(recent.Values) {
		t.Errorf("a series from another century takes %d steps", len(got.Values))
	}
	if got := Splice(Series{}, recent); len(got.Values) != len(recent.Values) {
		t.Errorf("nothing and recent makes %+v", got)
	}
	if got := Splice(old, Series{}); len(got.Values) != 3 {
		t.Errorf("old and nothing makes %+v", got)
	}
}

func TestBeforeIsWhatWasKnown(t *testing.T) {
	s := Series{Start: monday, Step: step, Values: []float64{1, 2, 3}}
	for offset, want := range map[time.Duration]int{-day: 0, 0: 0, step - 1e6: 0, step: 1, 2*step + time.Second: 2, day: 3} {
		if got := s.Before(monday.Add(offset)); len(got.Values) != want {
			t.Errorf("%s after the start %d steps are known, want %d", offset, len(got.Values), want)
		}
	}
}

func TestUnusableInputIsRefusedByName(t *testing.T) {
	good := Series{Start: monday, Step: step, Values: []float64{1}}
	for name, change := range map[string]func(*Series, *Options, *Event){
		"negative":        func(s *Series, _ *Options, _ *Event) { s.Values = []float64{1, -1} },
		"infinite":        func(s *Series, _ *Options, _ *Event) { s.Values = []float64{math.Inf(1)} },
		"no step":         func(s *Series, _ *Options, _ *Event) { s.Step = 0 },
		"fast step":       func(s *Series, _ *Options, _ *Event) { s.Step = time.Millisecond },
		"slow step":       func(s *Series, _ *Options, _ *Event) { s.Step = day },
		"far":             func(s *Series, _ *Options, _ *Event) { s.Start = math.MinInt64 },
		"a million of 6h": func(s *Series, _ *Options, _ *Event) { s.Step, s.Values = 6*time.Hour, make([]float64, 1_000_000) },
		"fold":            func(s *Series, _ *Options, _ *Event) { s.Fold = 7 },
		"option step":     func(_ *Series, o *Options, _ *Event) { o.Step = -1 },
		"no quantile":     func(_ *Series, o *Options, _ *Event) { o.Quantiles = []float64{} },
		"quantile 1":      func(_ *Series, o *Options, _ *Event) { o.Quantiles = []float64{.5, 1} },
		"quantile NaN":    func(_ *Series, o *Options, _ *Event) { o.Quantiles = []float64{missing} },
		"order":           func(_ *Series, o *Options, _ *Event) { o.Quantiles = []float64{.9, .5} },
		"window":          func(_ *Series, o *Options, _ *Event) { o.Window = time.Second },
		"cap":             func(_ *Series, o *Options, _ *Event) { o.Cap[0] = -1 },
		"member":          func(_ *Series, o *Options, _ *Event) { o.Members = []string{"oracle"} },
		"no kind":         func(_ *Series, _ *Options, e *Event) { e.Kind = "" },
		"empty event":     func(_ *Series, _ *Options, e *Event) { e.Span.End = e.Span.Start },
		"endless event":   func(_ *Series, _ *Options, e *Event) { e.Span.End = timeline.Forever },
		"size":            func(_ *Series, _ *Options, e *Event) { e.Size = missing },
		"stated":          func(_ *Series, _ *Options, e *Event) { e.Stated[0] = -1 },
	} {
		var h History
		h[resource.CPU] = good
		opts, e := one(), Event{Kind: "a", Span: timeline.Span{Start: monday, End: monday + 1}}
		change(&h[resource.CPU], &opts, &e)
		_, err := Train(h, []Event{e}, opts)
		var input *InputError
		if !errors.As(err, &input) {
			t.Errorf("%s: %v, want an InputError", name, err)
		}
	}
	m, err := Train(cpu([]float64{1}), nil, one())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now     timeline.Time
		horizon time.Duration
	}{{monday, 0}, {monday, -1}, {monday, math.MaxInt64}, {math.MinInt64, day}, {timeline.Forever, day}} {
		var input *InputError
		if _, err := m.Forecast(c.now, c.horizon); !errors.As(err, &input) {
			t.Errorf("from %d for %s: %v, want an InputError", c.now, c.horizon, err)
		}
	}
}

func FuzzTrain(f *testing.F) {
	f.Add(int64(monday), int64(step), 300, int64(step), uint64(1), int64(0))
	f.Add(int64(0), int64(time.Hour), 3, int64(time.Second), uint64(7), int64(1)<<40)
	f.Fuzz(func(t *testing.T, start, width int64, n int, ahead int64, seed uint64, now int64) {
		var h History
		s := Series{Start: timeline.Time(start), Step: time.Duration(width), Values: noise(max(0, n%2000), seed)}
		for i, v := range s.Values {
			s.Values[i] = math.Abs(v)
			if v > 2 {
				s.Values[i] = math.NaN()
			}
		}
		h[resource.NetRx] = s
		opts := one()
		opts.Step = time.Duration(ahead)
		m, err := Train(h, []Event{{Kind: "a", Span: timeline.Span{Start: timeline.Time(start), End: timeline.Time(now)}}}, opts)
		var input *InputError
		if err != nil {
			if !errors.As(err, &input) {
				t.Fatal(err)
			}
			return
		}
		fc, err := m.Forecast(timeline.Time(now), 20*opts.Step)
		if err != nil {
			if !errors.As(err, &input) {
				t.Fatal(err)
			}
			return
		}
		if err := fc.Profile(.99).Valid(); err != nil {
			t.Fatal(err)
		}
	})
}
