package history

import (
	"context"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// measured returns windows from start with a signal that counts up from 0.
func measured(instance string, start timeline.Time, n int) []proto.Window {
	out := windows(instance, start, n)
	for i := range out {
		out[i].Signals = []proto.SignalSample{{Name: "requests", Value: float64(i)}}
	}
	return out
}

func signalsOf(t *testing.T, s *Store, from timeline.Time) []forecast.Signal {
	t.Helper()
	got, err := s.Signals(context.Background(), "cache-1", span(from, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSignalsAreKeptBesideDemandInWindowsAndInBlocks(t *testing.T) {
	dir, start := t.TempDir(), hourAgo()
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, measured("cache-1", start, 45)) // a block and a half
	appendAll(t, s, measured("web-1", start, 3))
	want := []forecast.Signal{{Name: "requests", Series: forecast.Series{Start: start, Step: RawStep, Values: make([]float64, 45)}}}
	for i := range want[0].Series.Values {
		want[0].Series.Values[i] = float64(i)
	}
	if diff := cmp.Diff(want, signalsOf(t, s, start)); diff != "" {
		t.Errorf("before it is folded:\n%s", diff)
	}
	if err := s.Fold(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	want[0].Series = forecast.Series{Start: start, Step: BlockStep, Values: []float64{14.5, 37}}
	if diff := cmp.Diff(want, signalsOf(t, s, start)); diff != "" {
		t.Errorf("folded, after a restart:\n%s", diff)
	}
	demand, err := s.Demand(context.Background(), "cache-1", span(start, time.Hour), false)
	if err != nil || len(demand[0].Values) != 2 {
		t.Errorf("demand is %v, %v", demand[0].Values, err)
	}
}

func TestWhatCanBeNoSignalIsNotStored(t *testing.T) {
	s, start := openStore(t, t.TempDir()), hourAgo()
	w := windows("cache-1", start, 1)
	w[0].Signals = []proto.SignalSample{
		{Name: "a", Value: -1}, {Name: "b", Value: math.NaN()}, {Name: "c", Value: math.Inf(1)}, {Name: "d", Value: 1e300}, {Name: "E!", Value: 1}, {Value: 1},
	}
	appendAll(t, s, w)
	if got := signalsOf(t, s, start); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestSignalsThatWereMeasuredElsewhereAreStored(t *testing.T) {
	s, start := openStore(t, t.TempDir()), hourAgo()
	in := []forecast.Signal{{Name: "requests", Series: forecast.Series{Start: start, Step: BlockStep, Values: []float64{1, math.NaN(), 3}}}}
	for range 2 { // what is there is kept
		if err := s.ImportSignals(context.Background(), "cache-1", in); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(in, signalsOf(t, s, start), cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
	if err := s.ImportSignals(context.Background(), "", in); err == nil {
		t.Error("signals of no instance are taken")
	}
}
