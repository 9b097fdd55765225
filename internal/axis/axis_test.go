package axis_test

import (
	"math"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/axis"
)

func TestTicksAreRound(t *testing.T) {
	for raw, want := range map[float64]float64{0: 1, -3: 1, 1: 1, 1.2: 2, 2.4: 2.5, .23: .25, 3: 5, 7: 10, 21: 25, 100: 100, .0011: .002, 1234: 2000} {
		if got := axis.Step(raw); math.Abs(got-want) > want*1e-9 {
			t.Errorf("Step(%v) = %v, want %v", raw, got, want)
		}
	}
	for step, want := range map[float64]int{1: 0, 2.5: 1, .05: 2, 200: 0} {
		if got := axis.Decimals(step); got != want {
			t.Errorf("Decimals(%v) = %d, want %d", step, got, want)
		}
	}
	for raw, want := range map[time.Duration]time.Duration{0: time.Second, 3 * time.Minute: 5 * time.Minute, 3 * time.Hour: 6 * time.Hour, 7 * time.Hour: 24 * time.Hour, 25 * time.Hour: 48 * time.Hour} {
		if got := axis.Every(raw); got != want {
			t.Errorf("Every(%s) = %s, want %s", raw, got, want)
		}
	}
}
