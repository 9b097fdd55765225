package forecast

import (
	"slices"
	"testing"
	"time"
)

// pathOf is what a member says of the two days after values.
func pathOf(values []float64, build func(*grid, []float64) member, quantiles []float64, qi int) []float64 {
	g := newGrid(Series{Start: monday, Step: step, Values: values}, step, 28*day, time.UTC, 2*perDay)
	g.fill()
	path := make([]float64, 2*perDay)
	build(g, quantiles).path(path, len(g.x), qi)
	return path
}

func TestAnHourOfOneDayOfTheWeekHasTheQuantilesOfThatDay(t *testing.T) {
	values := make([]float64, 27*perDay) // up to the end of a Saturday
	for i := range values {
		values[i] = 10
		if i/perDay%7 == 6 && i%perDay/12 == 9 {
			values[i] = 500 + float64(i/perDay) // on Sundays from nine to ten
		}
	}
	for qi, want := range []float64{506, 520} {
		sunday := pathOf(values, newWeekHourQuantile, []float64{.2, .9}, qi)
		if at := sunday[9*12+5]; at != want {
			t.Errorf("Sunday at nine: %v, want %v", at, want)
		}
		if at := sunday[perDay+9*12+5]; at != 10 {
			t.Errorf("Monday at nine: %v", at)
		}
	}
	// Without a week of history the day before is all that is known.
	young := pathOf(seasonalDays(3, 1), newWeekHourQuantile, []float64{.5}, 0)
	if want := seasonalDays(3, 1)[2*perDay:]; !slices.Equal(young[:perDay], want) {
		t.Error("with three days of history it is not the day before")
	}
}
