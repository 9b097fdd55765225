package forecast

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
		"UTC":                             newGrid(Series{Start: monday, Step: step, Values: values}, step, 40*day, time.UTC, 2*perDay),
		"to winter time":                  newGrid(Series{Start: timeline.Of(time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)), Step: step, Values: values}, step, 40*day, berlin, 2*perDay),
		"a late reader's, to winter time": newGrid(Series{Start: timeline.Of(time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)), Step: step, Values: values}, step, 40*day, berlin, 2*perDay),
		"a late reader's, to summer time": newGrid(Series{Start: timeline.Of(time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)), Step: step, Values: values}, step, 40*day, berlin, 2*perDay),
		"a late reader's":                 newGrid(Series{Start: monday, Step: step, Values: values}, step, 40*day, time.UTC, 2*perDay),
	} {
		g.fill()
		if strings.HasPrefix(name, "a late reader's") {
			g.from = 30 * perDay
		}
		for _, c := range []struct {
			member          member
			period, periods int
		}{{newTimeQuantile(g, quantiles), g.day, 28}, {newMinuteQuantile(g, quantiles), g.hour, 24}} {
			for i := max(g.from, 1); i < len(g.x); i += 7 {
				var seen []float64
				for j := i; j >= 0 && len(seen) < c.periods; j-- {
					if g.slotIn(j, c.period) == g.slotIn(i, c.period) {
						seen = append(seen, g.x[j])
					}
				}
				want := make([]float64, len(quantiles))
				upperQuantiles(seen, quantiles, want)
				got := make([]float64, len(quantiles))
				for qi := range got {
					got[qi] = c.member.(*sameTime).at[qi][i-g.from]
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s: at step %d over %d steps %v, want %v", name, i, c.period, got, want)
				}
			}
		}
	}
}

func TestWhatComesBackDoesSoByTheClockOnTheWall(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const workingDay = "of a working day"
	for what, open := range map[string]func(hour, minute int) bool{
		workingDay:                     func(hour, _ int) bool { return hour >= 9 && hour < 17 },
		"of a job of every two hours":  func(hour, minute int) bool { return hour%2 == 0 && minute < 30 },
		"of a job of every four hours": func(hour, _ int) bool { return hour%4 == 3 },
		"of a job of every half day":   func(hour, _ int) bool { return hour%12 == 5 },
	} {
		for _, amount := range []float64{1, 40, 80} {
			t.Run(fmt.Sprintf("%s, noise of %v", what, amount), func(t *testing.T) {
				members := []string{"cycle-median", "cycle-quantile", "time-quantile"}
				if what == workingDay {
					members = append(members, "like-now") // which takes two hours together
				}
				comesBackByTheClock(t, berlin, members, amount, func(at time.Time) bool { return open(at.In(berlin).Hour(), at.Minute()) })
			})
		}
	}
}

func comesBackByTheClock(t *testing.T, berlin *time.Location, members []string, amount float64, open func(time.Time) bool) {
	for name, end := range map[string]time.Time{
		"to summer time": time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC), "to winter time": time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC),
	} {
		start := end.Add(-20 * day)
		values := noise(20*perDay, 1) // else the day says all, and there is no cycle
		for i := range values {
			if values[i] = max(0, 100+amount*values[i]); open(start.Add(time.Duration(i) * step)) {
				values[i] += 500
			}
		}
		g := newGrid(Series{Start: timeline.Of(start), Step: step, Values: values}, step, 28*day, berlin, 2*perDay)
		g.fill()
		for _, c := range candidates() {
			if !slices.Contains(members, c.name) {
				continue
			}
			path := make([]float64, perDay)
			c.build(g, []float64{.5}).path(path, len(g.x), 0)
			wrong := 0
			for h, v := range path {
				if (v > 350) != open(end.Add(time.Duration(h)*step)) {
					wrong++
				}
			}
			if most := map[bool]int{true: 12}[c.name == "like-now"]; wrong > most {
				t.Errorf("%s: %s is wrong in %d steps", name, c.name, wrong)
			}
		}
	}
}
