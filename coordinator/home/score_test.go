package home

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// shape is a demand of CPU that is known since four days before the fleet was made; nothing is known of other resources.
type shape func(at timeline.Time) float64

func (s shape) Demand(_ context.Context, _ string, span timeline.Span, _ bool) (h forecast.History, err error) {
	start := timeline.Of(time.Date(1999, 12, 28, 0, 0, 0, 0, time.UTC)) // a bubble begins in 2000
	h[resource.CPU] = forecast.Series{Start: start, Step: grid, Fold: forecast.Max, Values: make([]float64, int(span.End.Sub(start)/grid)+1)}
	for i := range h[resource.CPU].Values {
		h[resource.CPU].Values[i] = s(start.Add(time.Duration(i) * grid))
	}
	return h, nil
}

// steady asks for about 100m.
func steady(at timeline.Time) float64 { return 100 + 10*math.Sin(float64(at/300_000)) }

// busy asks for 500m more from noon to six.
func busy(at timeline.Time) float64 {
	if hour := at.Std().Hour(); hour >= 12 && hour < 18 {
		return steady(at) + 500
	}
	return steady(at)
}

// afternoon returns the median of the CPU at the next two in the afternoon.
func afternoon(f proto.ForecastReply) int64 {
	v, _ := f.At(500).At(f.Start.Floor(24 * time.Hour).Add(14 * time.Hour))
	if f.Start.Std().Hour() >= 14 {
		v, _ = f.At(500).At(f.Start.Floor(24 * time.Hour).Add(38 * time.Hour))
	}
	return v[resource.CPU]
}

// life is a life of a home whose instances' demand is that of a store.
func (w *world) life(store Store) *Homes {
	h := w.homes(make(chan struct{}))
	h.cfg.Store = store
	return h
}

func (w *world) scores(h *Homes) proto.Scores {
	w.t.Helper()
	r, err := h.Scores(context.Background(), wire.Peer{}, proto.ScoresRequest{Instance: "cache-1"})
	if err != nil || r.Scores == nil {
		w.t.Fatalf("%+v %v", r, err)
	}
	return *r.Scores
}

func (w *world) forecast(h *Homes) proto.ForecastReply {
	w.t.Helper()
	f, err := h.Forecast(context.Background(), wire.Peer{}, proto.ForecastRequest{Instance: "cache-1"})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func TestForecastsAreScoredAsTheyWereIssuedAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		begin := timeline.Of(time.Now())
		h := w.life(shape(steady))
		w.forecast(h)
		if s := w.scores(h); len(s.Periods) != 3 || len(s.Periods[0].Of) != 0 || s.UpdatedAt == 0 {
			t.Fatalf("before anything came: %+v", s)
		}
		issued, err := w.cards.Load("cache-1")
		if err != nil || len(issued.Issued) != 2 {
			t.Fatalf("%d were issued, %v", len(issued.Issued), err)
		}
		said := float64(issued.Issued[0].Said[proto.ByModel].Amounts[resource.CPU][0][0])

		// The demand is another from now on, and the model that is trained when it has come knows: what was said before is scored all the same.
		time.Sleep(3 * time.Hour)
		h = w.life(shape(func(at timeline.Time) float64 {
			if at >= begin {
				return 900
			}
			return steady(at)
		}))
		w.forecast(h)
		s := w.scores(h)
		of := s.Periods[0].Of
		if len(of) != 1 || of[0].Resource != resource.CPU || of[0].Lead != time.Hour.Milliseconds() || of[0].Steps != 18 {
			t.Fatalf("%+v", of)
		}
		if want := .5 * (900 - said); math.Abs(of[0].Model.Loss[0]-want) > .02*want {
			t.Errorf("the loss of the median is %v, want %v", of[0].Model.Loss[0], want)
		}
		for name, fit := range map[string]proto.Fit{"model": of[0].Model, "naive": of[0].Naive, "window": of[0].Window} {
			if diff := cmp.Diff([]float64{0, 0, 0, 0}, fit.Coverage); diff != "" {
				t.Errorf("the %s covers what nobody foresaw: %s", name, diff)
			}
		}
		if all, err := h.Scores(t.Context(), wire.Peer{}, proto.ScoresRequest{}); err != nil || len(all.Summary) != 1 || all.Summary[0].Of[0].Scored != 9*grid.Milliseconds() {
			t.Errorf("%+v %v", all.Summary, err)
		}
	})
}

// lost is a scorecard of the last days in which the model lost a number of times as much CPU as the window.
func lost(now timeline.Time, times float32) proto.Scorecard {
	card := proto.Scorecard{Instance: "cache-1", UpdatedAt: now, Step: grid.Milliseconds(), Quantiles: []int{500, 900, 950, 990}}
	for at := now.Add(-8 * 24 * time.Hour).Floor(6 * time.Hour); at < now; at = at.Add(6 * time.Hour) {
		for _, lead := range []time.Duration{time.Hour, 24 * time.Hour} {
			t := proto.Tally{Start: at, Lead: lead.Milliseconds()}
			of := proto.TallyOf{Steps: 72}
			for by := range proto.Forecasters {
				loss := float32(72 * 100)
				if by == proto.ByModel {
					loss *= times
				}
				of.Fared = append(of.Fared, proto.Fared{Loss: []float32{loss, loss, loss, loss}, Covered: []int{36, 65, 68, 71}})
			}
			t.Of[resource.CPU] = of
			card.Tallies = append(card.Tallies, t)
		}
	}
	return card
}

func TestAModelThatLosesIsNotFollowedUntilItWinsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		h := w.life(shape(busy))
		if f := w.forecast(h); afternoon(f) < 500 || strings.Contains(strings.Join(f.Reasons, " "), "window") {
			t.Fatalf("the model says %d at first: %q", afternoon(f), f.Reasons)
		}
		if err := w.cards.Save(lost(timeline.Of(time.Now()), 1.5)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		f := w.forecast(h)
		if afternoon(f) > 120 {
			t.Errorf("the median is %d, that of the last days about 100", afternoon(f))
		}
		if !strings.HasPrefix(f.Reasons[0], "cpu: the window of the last days stands in for the model since ") || !strings.HasSuffix(f.Reasons[0], "1.50 times the window's") {
			t.Errorf("%q", f.Reasons)
		}
		for name, stands := range map[string][]proto.StandsIn{"scores": w.scores(h).StandsIn, "schedule": h.StandsIn("cache-1")} {
			if len(stands) != 1 || stands[0].Resource != resource.CPU {
				t.Errorf("%s: %+v", name, stands)
			}
		}
		// On other steps, too, and after a restart, before anything is trained anew; but not of means, which are not scored.
		h = w.life(shape(busy))
		for _, c := range []struct {
			request proto.ForecastRequest
			least   int64
			most    int64
		}{{proto.ForecastRequest{Step: time.Hour.Milliseconds(), Steps: 24}, 80, 120}, {proto.ForecastRequest{Steps: 288, Means: true}, 500, 700}} {
			c.request.Instance = "cache-1"
			got, err := h.Forecast(t.Context(), wire.Peer{}, c.request)
			if err != nil {
				t.Fatal(err)
			}
			if v := afternoon(got); v < c.least || v > c.most {
				t.Errorf("%+v: the median is %d", c.request, v)
			}
		}
		// The same model wins from now on: a day later it is followed again.
		card, err := w.cards.Load("cache-1")
		if err != nil {
			t.Fatal(err)
		}
		won := lost(timeline.Of(time.Now()), .8)
		won.Standing = card.Standing
		if err := w.cards.Save(won); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if w.forecast(h); w.meter.models.Load() != 0 {
			t.Error("it changes twice within a day")
		}
		time.Sleep(24 * time.Hour)
		if f := w.forecast(h); afternoon(f) < 500 || strings.Contains(strings.Join(f.Reasons, " "), "window") {
			t.Errorf("the model says %d in the end: %q", afternoon(f), f.Reasons)
		}
		if windows, models := w.meter.windows.Load(), w.meter.models.Load(); windows != 1 || models != 1 {
			t.Errorf("%d times to the window and %d times to the model were counted", windows, models)
		}
	})
}

func TestTheChangeIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		now := timeline.Of(time.Now())
		if err := w.cards.Save(lost(now, 2)); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		h := w.life(shape(steady))
		h.cfg.Log = slog.New(slog.NewTextHandler(&out, nil))
		for range 3 {
			w.forecast(h)
			time.Sleep(time.Hour)
		}
		if n := strings.Count(out.String(), "stands in for a model that loses against it"); n != 1 || !strings.Contains(out.String(), "instance=cache-1 resource=cpu loss_ratio=2") {
			t.Errorf("it is said %d times:\n%s", n, out.String())
		}
	})
}

func TestOnlyTheHomeOfTheOwnerScores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		w.must(&proto.HostHome{Host: "host-a", From: "c1", Home: "c2", Standby: "c1"})
		h := w.life(shape(steady))
		w.forecast(h)
		if card, err := h.Scorecard("cache-1"); card != nil || err != nil {
			t.Errorf("%+v %v", card, err)
		}
		if all := h.Summaries(); len(all) != 0 {
			t.Errorf("%+v", all)
		}
	})
}

func TestAnInstanceWhoseHostHasAnotherHomeIsInNoSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		h := w.life(shape(steady))
		w.forecast(h)
		h.forgetScores(w.view())
		if len(h.Summaries()) != 1 {
			t.Fatal("it is forgotten while it is there")
		}
		w.must(&proto.HostHome{Host: "host-a", From: "c1", Home: "c2", Standby: "c1"})
		if h.forgetScores(w.view()); len(h.Summaries()) != 0 {
			t.Error("it is not forgotten when its host has another home")
		}
	})
}

func TestAScorecardThatIsTakenGoesOnUnlessThereIsANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, now := newWorld(t, proto.Critical), timeline.Of(time.Now())
		h := w.life(shape(steady))
		card := lost(now.Add(-time.Minute), 2)
		if err := h.Take(card); err != nil {
			t.Fatal(err)
		}
		older := card
		older.UpdatedAt, older.Tallies = older.UpdatedAt.Add(-time.Hour), nil
		if err := h.Take(older); err != nil {
			t.Fatal(err)
		}
		if got, err := h.Scorecard("cache-1"); err != nil || got == nil || len(got.Tallies) != len(card.Tallies) {
			t.Errorf("%+v %v", got, err)
		}
		w.forecast(h)
		if s := w.scores(h); len(s.Periods[1].Of) != 2 || len(s.StandsIn) != 1 {
			t.Errorf("what was taken does not go on: %+v", s)
		}
		bad := card
		bad.Instance, bad.UpdatedAt = "../cache-1", now.Add(time.Hour)
		if err := h.Take(bad); wire.CodeOf(err) != wire.Invalid {
			t.Errorf("a name that leads elsewhere: %v", err)
		}
		if _, err := h.Scores(t.Context(), wire.Peer{}, proto.ScoresRequest{Instance: "../cache-1"}); err == nil {
			t.Error("a name that leads elsewhere is read")
		}
	})
}

func TestAScorecardIsWrittenAndCopiedWhenSomethingHasChangedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		h := w.life(shape(steady))
		waits := func() bool { _, ok := h.copies.next(); return ok }
		w.forecast(h)
		if !waits() {
			t.Error("what was issued is not copied")
		}
		time.Sleep(time.Minute)
		h.Forget("cache-1") // as an event does: it is trained anew
		w.forecast(h)
		if waits() {
			t.Error("it is copied again, and nothing was issued or scored")
		}
	})
}

func TestAScorecardFromTheFutureIsNeitherTakenNorKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, now := newWorld(t, proto.Critical), timeline.Of(time.Now())
		h := w.life(shape(steady))
		ahead := lost(now, 2)
		ahead.UpdatedAt = now.Add(time.Hour)
		if err := h.Take(ahead); wire.CodeOf(err) != wire.Invalid {
			t.Errorf("it is taken: %v", err)
		}
		if err := w.cards.Save(ahead); err != nil { // by this coordinator, when its own clock was wrong
			t.Fatal(err)
		}
		if err := h.Take(lost(now, 1)); err != nil {
			t.Fatal(err)
		}
		if got, err := h.Scorecard("cache-1"); err != nil || got.UpdatedAt > now {
			t.Errorf("%+v %v", got, err)
		}
	})
}

func TestAStandbyThatHangsKeepsNoDocumentWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		h := w.homes(make(chan struct{}))
		var copied atomic.Int64
		h.cfg.Copy = func(ctx context.Context, card proto.Scorecard) error {
			if card.Instance != "cache-1" || len(card.Issued) == 0 {
				t.Errorf("%+v", card)
			}
			copied.Add(1)
			<-ctx.Done()
			return errors.New("it does not answer")
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		w.mu.Lock()
		pushed := len(w.docs)
		w.mu.Unlock()
		if copied.Load() != 1 || pushed == 0 {
			t.Errorf("%d copies begun, %d documents pushed", copied.Load(), pushed)
		}
		time.Sleep(2 * time.Hour)
		cancel()
		if err := <-ended; err != nil || copied.Load() < 2 {
			t.Errorf("%d copies begun, %v", copied.Load(), err)
		}
	})
}

func TestScorecardsThatNobodyWritesToAreRemovedInTheEnd(t *testing.T) {
	dir := t.TempDir()
	cards, err := OpenCards(durable.OS{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	now := timeline.Of(time.Now())
	for name, age := range map[string]time.Duration{"old": cardsKept + time.Hour, "there": cardsKept + time.Hour, "young": cardsKept - time.Hour} {
		card := lost(now, 1)
		card.Instance = name
		path := filepath.Join(dir, name+cardSuffix)
		if err := errors.Join(cards.Save(card), os.Chtimes(path, time.Time{}, now.Add(-age).Std())); err != nil {
			t.Fatal(err)
		}
	}
	if err := cards.Prune(now, func(name string) bool { return name == "there" }); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 || left[0].Name() != "there"+cardSuffix || left[1].Name() != "young"+cardSuffix {
		t.Errorf("%v %v", left, err)
	}
}

func TestAScorecardThatIsDamagedBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		damaged := lost(timeline.Of(time.Now()), 2)
		damaged.Tallies[3].Of[resource.CPU].Fared = damaged.Tallies[3].Of[resource.CPU].Fared[:1]
		if err := w.cards.Save(damaged); err != nil {
			t.Fatal(err)
		}
		if _, err := w.cards.Load("cache-1"); err == nil {
			t.Fatal("it is taken for whole")
		}
		h := w.life(shape(steady))
		w.forecast(h)
		if card, err := w.cards.Load("cache-1"); err != nil || len(card.Issued) != 2 || len(card.Tallies) != 0 {
			t.Errorf("%+v %v", card, err)
		}
	})
}

func TestFewQuantilesAreKeptInThousandths(t *testing.T) {
	if got := thousandths([]float64{.5, .9, .95, .99}); !slices.Equal(got, []int{500, 900, 950, 990}) {
		t.Error(got)
	}
}
