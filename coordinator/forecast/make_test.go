package forecast

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

const (
	monday timeline.Time = 1_767_571_200_000 // 2026-01-05T00:00:00Z
	step                 = 5 * time.Minute
	perDay               = 288
)

// noise returns n independent, roughly normal values with standard deviation 1, always the same for a seed.
func noise(n int, seed uint64) []float64 {
	out := make([]float64, n)
	for i := range out {
		sum := 0.0
		for range 12 {
			seed = seed*6364136223846793005 + 1442695040888963407
			sum += float64(seed>>11) / (1 << 53)
		}
		out[i] = sum - 6
	}
	return out
}

// seasonalDays returns days of demand around 300 with a daily season and noise.
func seasonalDays(days int, seed uint64) []float64 {
	out := noise(days*perDay, seed)
	for i := range out {
		out[i] = 300 + 150*math.Sin(2*math.Pi*float64(i)/perDay) + 15*out[i]
	}
	return out
}

// cpu returns a history of CPU alone that starts on a Monday.
func cpu(values []float64) History {
	var h History
	h[resource.CPU] = Series{Start: monday, Step: step, Values: values}
	return h
}

func after(d time.Duration) timeline.Time { return monday.Add(d) }

// one are options under which the resources that have no history are no error.
func one() Options { return Options{Maximum: resource.Uniform(1000)} }
