package forecast

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/timeline"
)

func TestWalkingFindsTheSameStepsAsDividing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 400).Draw(t, "history")
		g := &grid{start: monday, step: time.Hour, day: 24, hour: 1, x: make([]float64, n)}
		o := rapid.IntRange(1, n).Draw(t, "origin")
		period := rapid.SampledFrom([]int{24, 168}).Draw(t, "period")
		margin := rapid.IntRange(0, 12).Draw(t, "margin")
		g.sames(200, o, period, margin, func(h, j int) {
			if want := g.same(o+h, o, period, margin); j != want {
				t.Fatalf("step %d: %d, want %d", h, j, want)
			}
			if j >= 0 && j >= o-margin {
				t.Fatalf("step %d reads step %d, past the origin %d less %d", h, j, o, margin)
			}
		})
	})
}

// TestMembersReadOnlyThePast changes everything after an origin and expects the same path from it.
func TestMembersReadOnlyThePast(t *testing.T) {
	for name, of := range map[string]func(Series) *grid{
		"steps of the model": func(s Series) *grid { return newGrid(s, step, 28*day, time.UTC, 3*perDay) },
		"finer steps":        func(s Series) *grid { return fineGrid(inMinutes(s), step, 28*day, time.UTC, 3*perDay) },
	} {
		t.Run(name, func(t *testing.T) { readOnlyThePast(t, of) })
	}
}

func readOnlyThePast(t *testing.T, of func(Series) *grid) {
	build := func(values []float64) ([]chosen, *grid) {
		g := of(Series{Start: monday, Step: step, Values: values})
		g.fill()
		l := g.level()
		l.fill()
		l.cycleLength, l.cycleKnown = 10.3, true // it is found once, over all of the history
		return portfolio(g, DefaultQuantiles(), MemberNames(), policy{}), g
	}
	const origin = 10*perDay + 72 // where the rolling quantiles, counted from the end, are taken anew
	plain := seasonalDays(14, 1)
	changed := append([]float64(nil), plain...)
	for i := origin; i < len(changed); i++ {
		changed[i] = 5000
	}
	a, _ := build(plain)
	b, _ := build(changed)
	for i, m := range a {
		if m.name == "holt-winters" {
			continue // its smoothing is chosen once, over all of the history
		}
		for qi := range m.paths(4) {
			x, y := make([]float64, 2*perDay), make([]float64, 2*perDay)
			m.path(x, origin, qi)
			b[i].path(y, origin, qi)
			for h := range x {
				if math.Abs(x[h]-y[h]) > 1e-9 {
					t.Fatalf("%s: step %d after the origin is %v, and %v with another future", m.name, h, x[h], y[h])
				}
			}
		}
	}
}

func TestTheSameMinuteOfTheHourIsThatOfTheLastHourWhateverTheClockDoes(t *testing.T) {
	berlin := mustLoad(t, "Europe/Berlin")
	for name, change := range map[string]time.Time{
		"to summer time": time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), "to winter time": time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
	} {
		g := newGrid(Series{Start: timeline.Of(change.Add(-2 * day)), Step: step, Values: make([]float64, 4*perDay)}, step, 28*day, berlin, perDay)
		for i := perDay; i < 3*perDay; i++ {
			for _, o := range []int{i, i - 7} {
				if got, want := g.same(i, o, g.hour, 0), o-1-(o-1-i%g.hour+g.hour)%g.hour; got != want {
					t.Fatalf("%s: of step %d from %d it is %d, want %d", name, i, o, got, want)
				}
			}
		}
	}
}

func TestModelStepsDivideTheDay(t *testing.T) {
	for in, want := range map[time.Duration]time.Duration{
		time.Second: step, step: step, step + 1: 6 * time.Minute, 7 * time.Minute: 10 * time.Minute, 45 * time.Minute: time.Hour,
		5 * time.Hour: 6 * time.Hour, 6 * time.Hour: 6 * time.Hour,
	} {
		if got := modelStep(in, time.Second); got != want || day%got != 0 {
			t.Errorf("for %s: %s, want %s", in, got, want)
		}
	}
}

func TestAGapIsFilledFromTheDayBefore(t *testing.T) {
	values := seasonalDays(3, 1)
	for i := 2*perDay + 10; i < 2*perDay+40; i++ {
		values[i] = missing
	}
	g := newGrid(Series{Start: monday, Step: step, Values: values}, step, 28*day, time.UTC, 0)
	g.fill()
	for i := 2*perDay + 10; i < 2*perDay+40; i++ {
		if g.x[i] != values[i-perDay] {
			t.Fatalf("step %d was filled with %v, the day before had %v", i, g.x[i], values[i-perDay])
		}
	}
}

func TestAThinLastStepIsDropped(t *testing.T) {
	s := Series{Start: monday, Step: time.Minute, Values: []float64{1, 1, 1, 1, 1, 9, 9}}
	if g := newGrid(s, step, 28*day, time.UTC, 0); len(g.y) != 1 {
		t.Errorf("two minutes of five make a step: %v", g.y)
	}
	s.Values = append(s.Values, 9)
	if g := newGrid(s, step, 28*day, time.UTC, 0); len(g.y) != 2 || g.timeOf(1) != monday.Add(step) {
		t.Errorf("three minutes of five make none: %v", g.y)
	}
}
