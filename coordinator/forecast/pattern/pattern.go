// Package pattern tells how the demand for one resource runs, such as periodic or bursty, from its history alone.
package pattern

import "math"

// Pattern is how the demand for one resource runs.
type Pattern string

// The patterns, from the quietest to the most eventful.
const (
	Idle         Pattern = "idle"         // nothing, but for a step now and then
	Steady       Pattern = "steady"       // a level with noise
	Periodic     Pattern = "periodic"     // a day or a week that repeats
	Trending     Pattern = "trending"     // a level that goes on rising or falling
	Bursty       Pattern = "bursty"       // a base, and bursts of several times as much at random times
	Intermittent Pattern = "intermittent" // nothing mostly, and amounts at random times
	Batch        Pattern = "batch"        // little or nothing, and work that begins at the same time of a day
)

// All returns every pattern.
func All() []Pattern { return []Pattern{Idle, Steady, Periodic, Trending, Bursty, Intermittent, Batch} }

// Sure is the confidence from which decisions may rest on a pattern.
const Sure = .9

// minObserved is how many values a pattern is told from.
const minObserved = 24

// Of returns the pattern of values on a regular grid with perDay of them each day, and the probability that it is the
// right one; NaN is missing. Of fewer than 24 values nothing is told: it returns "" and 0. Time is linear in the values.
func Of(values []float64, perDay int) (Pattern, float64) {
	f, ok := FeaturesOf(values, perDay)
	if !ok {
		return "", 0
	}
	return f.Classify(&trained)
}

// Trained returns the curves that Of goes by.
func Trained() *Curves {
	c := trained
	return &c
}

// Knots are the places at which a curve has a value, evenly spread over [0, 1].
const Knots = 6

// Curves are what was trained: for each pattern and feature a curve through values at the knots, straight between them.
// The curves of a pattern, each at its feature, add up to the logarithm of its odds. (Generalised additive model,
// multinomial: Hastie and Tibshirani, Generalized Additive Models, 1990.)
type Curves [7][Features][Knots]float64

// Classify returns the pattern with the highest sum, and its share of the probability.
func (f Vector) Classify(c *Curves) (Pattern, float64) {
	var p [7]float64
	best := 0
	for i := range p {
		for j, x := range f {
			k, w := Knot(x)
			p[i] += (1-w)*c[i][j][k] + w*c[i][j][k+1]
		}
		if p[i] > p[best] {
			best = i
		}
	}
	sum := 0.0
	for _, v := range p {
		sum += math.Exp(v - p[best])
	}
	return All()[best], 1 / sum
}

// Knot returns the knot at or below x, a number in [0, 1], and how far x is on the way to the next.
func Knot(x float64) (k int, w float64) {
	at := x * (Knots - 1)
	k = min(int(at), Knots-2)
	return k, at - float64(k)
}
