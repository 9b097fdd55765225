package history

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// windows returns n windows from start whose CPU demand counts up from 1 (mean) and 101 (max).
func windows(instance string, start timeline.Time, n int) []proto.Window {
	out := make([]proto.Window, n)
	for i := range out {
		out[i] = proto.Window{
			Instance: instance, Start: start.Add(time.Duration(i) * RawStep), Samples: 10, Throttled: 5000,
			Demand:  proto.Fold{Mean: resource.Vector{int64(i + 1)}, Max: resource.Vector{int64(i + 101)}},
			Granted: resource.Uniform(resource.Unlimited),
		}
	}
	return out
}

func hourAgo() timeline.Time { return timeline.Of(time.Now()).Add(-time.Hour).Floor(BlockStep) }

func appendAll(t *testing.T, s *Store, w []proto.Window) {
	t.Helper()
	if late, err := s.Append(context.Background(), w); err != nil || late != 0 {
		t.Fatalf("append: late %d, %v", late, err)
	}
}

func span(from timeline.Time, d time.Duration) timeline.Span {
	return timeline.Span{Start: from, End: from.Add(d)}
}

func TestWindowsComeBackOnTheirGridWithGapsAsMissing(t *testing.T) {
	s, start := openStore(t, t.TempDir()), hourAgo()
	w := windows("cache-1", start, 5)
	appendAll(t, s, append(w[:2:2], w[3:]...))
	appendAll(t, s, w[:2]) // delivered twice
	got, err := s.Raw(context.Background(), "cache-1", DemandMean, span(start, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	want := forecast.Series{Start: start, Step: RawStep, Values: []float64{1, 2, math.NaN(), 4, 5}}
	if diff := cmp.Diff(want, got[resource.CPU], cmpopts.EquateNaNs()); diff != "" {
		t.Fatal(diff)
	}
	granted, err := s.Raw(context.Background(), "cache-1", Granted, span(start, time.Hour))
	if err != nil || len(granted[resource.CPU].Values) != 0 {
		t.Fatalf("no limit was set, but granted is %v, %v", granted[resource.CPU].Values, err)
	}
}

func TestLateWindowsFillTheGapTheyLeft(t *testing.T) {
	s, start := openStore(t, t.TempDir()), hourAgo()
	w := windows("cache-1", start, 60)
	appendAll(t, s, w[40:])
	appendAll(t, s, w[:40])
	got, err := s.Raw(context.Background(), "cache-1", DemandMean, span(start, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got[resource.CPU].Values); n != 60 || got[resource.CPU].Values[0] != 1 {
		t.Fatalf("%d windows, the first %v", n, got[resource.CPU].Values[0])
	}
}

// A host whose clock is years ahead must not be in the way of others.
func TestWhatIsYetToComeIsNotStored(t *testing.T) {
	s, start, ctx := openStore(t, t.TempDir()), hourAgo(), context.Background()
	then := start.Add(400 * 24 * time.Hour)
	appendAll(t, s, windows("astray", then, 45))
	var h forecast.History
	h[resource.CPU] = forecast.Series{Start: then, Step: BlockStep, Values: []float64{1, 2}}
	if stored, late, err := s.Import(ctx, "astray", h, h); err != nil || stored != 0 || late != 0 {
		t.Errorf("%d are stored, %d late, %v", stored, late, err)
	}
	if err := s.ImportSignals(ctx, "astray", []forecast.Signal{{Name: "requests", Series: h[resource.CPU]}}); err != nil {
		t.Error(err)
	}
	if at := s.Newest("astray"); at != 0 {
		t.Errorf("the newest is of %s", at)
	}
	appendAll(t, s, windows("cache-1", start, 45))
	if err := s.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Demand(ctx, "cache-1", span(start, time.Hour), true); err != nil || len(got[resource.CPU].Values) != 2 {
		t.Errorf("%v, %v", got[resource.CPU], err)
	}
	if got, err := s.Demand(ctx, "astray", span(then, time.Hour), true); err != nil || len(got[resource.CPU].Values) != 0 {
		t.Errorf("%v, %v", got[resource.CPU], err)
	}
}

func TestWhatCanBeNoAmountIsNotStored(t *testing.T) {
	s, start := openStore(t, t.TempDir()), hourAgo()
	w := windows("cache-1", start, 3)
	w[0].Demand.Mean[resource.CPU], w[2].Demand.Mean[resource.CPU] = -1, resource.Unlimited+1
	appendAll(t, s, w)
	got, err := s.Raw(context.Background(), "cache-1", DemandMean, span(start, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range got[resource.CPU].Values {
		if v != 2 && !math.IsNaN(v) {
			t.Errorf("%v", got[resource.CPU].Values)
		}
	}
}

func TestOnlyCompleteBlocksAreFoldedAndDemandIsContinuedByWindows(t *testing.T) {
	s, start, ctx := openStore(t, t.TempDir()), hourAgo(), context.Background()
	appendAll(t, s, windows("cache-1", start, 45)) // a block of 30 windows, and half of one
	if err := s.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	for metric, want := range map[Metric]float64{DemandMean: 15.5, DemandMax: 130, DemandP95: 129, Throttled: 0.5} {
		got, err := s.Blocks(ctx, "cache-1", metric, span(start, time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]float64{want}, got[resource.CPU].Values); diff != "" {
			t.Errorf("%s: %s", metric, diff)
		}
	}
	got, err := s.Demand(ctx, "cache-1", span(start, time.Hour), true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{130, 145}, got[resource.CPU].Values); diff != "" {
		t.Fatal(diff)
	}
}

func TestAnInstanceThatCanNotBeFoldedHoldsUpNoOther(t *testing.T) {
	s, start, ctx := openStore(t, t.TempDir()), hourAgo(), context.Background()
	appendAll(t, s, windows("cache-1", start, 45))
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		s.instances[name] = &progress{newest: start} // from 1970 on: more than can be read at once
	}
	if err := s.Fold(ctx); err == nil {
		t.Error("that others were not folded is not told")
	}
	got, err := s.Blocks(ctx, "cache-1", DemandMean, span(start, time.Hour))
	if err != nil || len(got[resource.CPU].Values) != 1 {
		t.Errorf("%v, %v", got[resource.CPU].Values, err)
	}
}

func TestFoldingGoesOnAfterARestartWithoutLosingOrRepeating(t *testing.T) {
	dir, start, ctx := t.TempDir(), hourAgo(), context.Background()
	w := windows("cache-1", start, 100)
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, w[:70])
	if err := errors.Join(s.Fold(ctx), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	appendAll(t, s, w[70:])
	if err := s.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := s.Blocks(ctx, "cache-1", DemandMax, span(start, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{130, 160, 190}, got[resource.CPU].Values); diff != "" {
		t.Fatal(diff)
	}
}

func TestWhatIsExportedImportsElsewhere(t *testing.T) {
	ctx := context.Background()
	from, to := openStore(t, t.TempDir()), openStore(t, t.TempDir())
	start := timeline.Of(time.Now()).Add(-14 * 24 * time.Hour).Floor(BlockStep)
	series := forecast.Series{Start: start, Step: BlockStep, Values: make([]float64, 14*288)}
	for i := range series.Values {
		series.Values[i] = float64(i % 288)
	}
	all := span(start, 15*24*time.Hour)
	if stored, late, err := from.Import(ctx, "cache-1", forecast.History{series}, forecast.History{series}); err != nil || late != 0 || stored != 2*len(series.Values) {
		t.Fatalf("stored %d, late %d, %v", stored, late, err)
	}
	means, maxima, err := from.Export(ctx, "cache-1", all)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := to.Import(ctx, "cache-1", means, maxima); err != nil {
		t.Fatal(err)
	}
	got, err := to.Demand(ctx, "cache-1", all, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(series.Values, got[resource.CPU].Values); diff != "" {
		t.Fatal(diff)
	}
	names, err := to.Instances(ctx)
	if diff := cmp.Diff([]string{"cache-1"}, names); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
}

func TestABadQueryIsRefused(t *testing.T) {
	s, ctx := openStore(t, t.TempDir()), context.Background()
	if _, err := s.Raw(ctx, "", DemandMean, span(0, time.Hour)); !errors.Is(err, ErrInstance) {
		t.Errorf("no instance: %v", err)
	}
	if _, err := s.Raw(ctx, "x", DemandMean, timeline.Span{End: timeline.Forever}); err == nil {
		t.Error("an endless span was accepted")
	}
	if _, err := s.Append(ctx, []proto.Window{{}}); !errors.Is(err, ErrInstance) {
		t.Errorf("window of no instance: %v", err)
	}
	got, err := s.Demand(ctx, "nobody", span(hourAgo(), time.Hour), true)
	if err != nil || len(got[resource.CPU].Values) != 0 {
		t.Errorf("nothing stored: %v, %v", got, err)
	}
}
