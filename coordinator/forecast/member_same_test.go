package forecast

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

func TestWhatIsDoneOnceInAWhileIsExpectedAtItsMinute(t *testing.T) {
	values := make([]float64, 14*perDay)
	values[5*perDay+17] = 300
	for h, v := range pathOf(values, newTimeQuantile, []float64{.5, .95}, 1) {
		if want := 300.; (h%perDay == 17) != (v == want) {
			t.Fatalf("step %d: %v", h, v)
		}
	}
	for h, v := range pathOf(values, newTimeQuantile, []float64{.5, .95}, 0) {
		if v != 0 {
			t.Fatalf("the median of step %d: %v", h, v)
		}
	}
}

// TestQuantilesAtTheSameTimeAreThoseOfTheLastPeriods compares with what is collected anew for each step.
func TestQuantilesAtTheSameTimeAreThoseOfTheLastPeriods(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 0))
	values := make([]float64, 40*perDay)
	for i := range values {
		values[i] = float64(r.IntN(50))
	}
	quantiles := []float64{.2, .5, .95}
	for name, g := range map[string]*grid{
		"UTC":             newGrid(Series{Start: monday, Step: step, Values: values}, step, 40*day, time.UTC, 2*perDay),
		"to winter time":  newGrid(Series{Start: timeline.Of(time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)), Step: step, Values: values}, step, 40*day, berlin, 2*perDay),
		"a late reader's": newGrid(Series{Start: monday, Step: step, Values: values}, step, 40*day, time.UTC, 2*perDay),
	} {
		g.fill()
		if name == "a late reader's" {
			g.from = 30 * perDay
		}
		for _, c := range []struct {
			member          member
			period, periods int
		}{{newTimeQuantile(g, quantiles), g.day, 28}, {newMinuteQuantile(g, quantiles), g.hour, 24}} {
			for i := max(g.from, 1); i < len(g.x); i += 97 {
				var seen []float64
				for j := i; j >= 0 && len(seen) < c.periods; j-- {
					if g.slotIn(j, c.period) == g.slotIn(i, c.period) {
						seen = append(seen, g.x[j])
					}
				}
				want := make([]float64, len(quantiles))
				upperQuantiles(seen, quantiles, want)
				if got := c.member.(*sameTime).at[i*3 : i*3+3]; !slices.Equal(got, want) {
					t.Fatalf("%s: at step %d over %d steps %v, want %v", name, i, c.period, got, want)
				}
			}
		}
	}
}
