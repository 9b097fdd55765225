// Package axis chooses round values for the ticks of a plot.
package axis

import (
	"math"
	"time"
)

// Step returns 1, 2, 2.5 or 5 times a power of ten, at least raw; 1 where raw is not positive.
func Step(raw float64) float64 {
	if !(raw > 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, n := range []float64{1, 2, 2.5, 5} {
		if raw <= n*power {
			return n * power
		}
	}
	return 10 * power
}

// Decimals returns how many digits after the point the multiples of a step need, four at most.
func Decimals(step float64) int {
	for d := range 4 {
		scaled := step * math.Pow(10, float64(d))
		if math.Abs(scaled-math.Round(scaled)) < 1e-9 {
			return d
		}
	}
	return 4
}

// Every returns a length of time that people count in, at least raw: beyond six hours whole days.
func Every(raw time.Duration) time.Duration {
	for _, d := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour,
	} {
		if raw <= d {
			return d
		}
	}
	return (raw + 24*time.Hour - 1).Truncate(24 * time.Hour)
}
