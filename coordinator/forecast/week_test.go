package forecast

import (
	"math"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

// growing is a season of the day that grows by a twentieth each day.
func growing(days int) []float64 {
	out := noise(days*perDay, 1)
	for i := range out {
		at := float64(i) / perDay
		out[i] = (100+30*math.Sin(2*math.Pi*at))*math.Pow(1.05, at) + out[i]
	}
	return out
}

// TestWhatGrowsDoesNotFallBackToTheWeekBefore: members of the week know nothing of how far off they are before they have had two.
func TestWhatGrowsDoesNotFallBackToTheWeekBefore(t *testing.T) {
	values := growing(11)
	for _, hours := range []int{5 * 24, 132, 6 * 24, 165, 7 * 24, 8 * 24} {
		n := hours * perDay / 24
		f := mustForecast(t, cpu(values[:n]), nil, one(), after(time.Duration(hours)*time.Hour), 48*time.Hour)
		passed := 0
		for h := range f.Steps() {
			median, came := f.Values[resource.CPU][0][h], values[n+h]
			if math.Abs(median-came) > .2*came {
				t.Fatalf("after %d hours, step %d: the median is %.1f, %.1f came", hours, h, median, came)
			}
			if came > f.Values[resource.CPU][3][h] {
				passed++
			}
		}
		if passed > f.Steps()/5 {
			t.Errorf("after %d hours p99 is passed in %d of %d steps", hours, passed, f.Steps())
		}
	}
}
