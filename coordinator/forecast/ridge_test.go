package forecast

import (
	"math"
	"testing"
	"time"
)

// gridOf puts values on the test's steps and fills gaps.
func gridOf(values []float64, step time.Duration) *grid {
	g := newGrid(Series{Start: monday, Step: step, Values: values}, step, 60*day, time.UTC, int(2*day/step))
	g.fill()
	return g
}

func TestRidgeSolvesTheNormalEquations(t *testing.T) {
	// x₁ and x₂ over three rows, y = 2x₁ - x₂.
	gram := []float64{14, math.NaN(), 11, 13} // the upper triangle is not looked at
	right := []float64{2*14 - 11, 2*11 - 13}
	x := solveRidge(gram, right)
	penalty := ridgePenalty * 27 / 2
	for a, want := range right {
		got := []float64{(14+penalty)*x[0] + 11*x[1], 11*x[0] + (13+penalty)*x[1]}[a]
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("row %d: %v, want %v", a, got, want)
		}
	}
	if x := solveRidge(make([]float64, 4), make([]float64, 2)); x != nil {
		t.Errorf("of a series that never moved: %v", x)
	}
}

func TestRidgeForecastsAPatternOfTwoDays(t *testing.T) {
	for name, build := range map[string]func(*grid, []float64) member{
		"ridge": newRidge, "ridge-root": newRidgeRoot, "ridge-day": newRidgeDay, "ridge-day-root": newRidgeDayRoot,
	} {
		for _, s := range []time.Duration{30 * time.Minute, time.Hour} {
			perDay := int(day / s)
			values := make([]float64, 21*perDay)
			for i := range values {
				values[i] = 300 + 100*math.Sin(2*math.Pi*float64(i)/float64(2*perDay))
			}
			g := gridOf(values[:19*perDay], s)
			m := build(g, nil)
			got := make([]float64, 2*perDay)
			m.path(got, len(g.x), 0)
			off := 0.0
			for h, v := range got {
				off += math.Abs(v-values[19*perDay+h]) / float64(len(got))
			}
			if off > 30 { // the day before is 127 off
				t.Errorf("%s at %s is %.0f off", name, s, off)
			}
		}
	}
}

func TestRidgeKeepsTheShapeWithinTheHour(t *testing.T) {
	values := seasonalDays(14, 1)
	for i := 0; i < len(values); i += 12 {
		values[i] += 500 // something runs at each full hour
	}
	g := gridOf(values, step)
	got := make([]float64, perDay)
	newRidge(g, nil).path(got, len(g.x), 0)
	for i := 0; i < perDay; i += 12 {
		if over := got[i] - got[i+6]; over < 350 || over > 650 {
			t.Fatalf("at the hour %.0f more than in its middle, want 500", over)
		}
	}
}

func TestRidgeIsTheDayBeforeUntilThereIsEnough(t *testing.T) {
	values := seasonalDays(3, 1)
	g := gridOf(values, step)
	got := make([]float64, perDay)
	newRidge(g, nil).path(got, len(g.x), 0)
	for h, v := range got {
		if v != values[2*perDay+h] {
			t.Fatalf("step %d is %v, the day before had %v", h, v, values[2*perDay+h])
		}
	}
}

func TestRidgeStaysNearWhatWasOnAnExplosiveSeries(t *testing.T) {
	values := make([]float64, 10*24)
	for i := range values {
		values[i] = math.Exp(float64(i) / 20)
	}
	g := gridOf(values, time.Hour)
	got := make([]float64, 48)
	for _, build := range []func(*grid, []float64) member{newRidge, newRidgeDay} {
		build(g, nil).path(got, len(g.x), 0)
		for h, v := range got {
			if top := 1.5 * values[len(values)-1]; !(v >= 0 && v <= top+1) {
				t.Fatalf("step %d is %v, the highest was %v", h, v, values[len(values)-1])
			}
		}
	}
}
