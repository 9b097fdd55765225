package forecast

import "math"

// Pinball returns the mean quantile loss of the forecast of quantile q, in the unit of the values, and over how many
// steps; steps whose actual value is NaN do not count. It is NaN over none.
// (Koenker and Bassett, Regression quantiles, Econometrica 1978.)
func Pinball(actual, forecast []float64, q float64) (loss float64, n int) {
	sum := 0.0
	for i, y := range actual {
		if !math.IsNaN(y) && i < len(forecast) {
			sum += pinball(y, forecast[i], q)
			n++
		}
	}
	return sum / float64(n), n
}

// Coverage returns the share of steps in which the actual value is at most the forecast, in [0, 1], and over how many.
// For a calibrated quantile q it is q. It is NaN over no steps.
func Coverage(actual, forecast []float64) (share float64, n int) {
	covered := 0
	for i, y := range actual {
		if !math.IsNaN(y) && i < len(forecast) {
			n++
			if y <= forecast[i] {
				covered++
			}
		}
	}
	return float64(covered) / float64(n), n
}

// MASE returns the mean absolute scaled error: the forecast's mean absolute error over that of the seasonal naive
// forecast with the period within the history. It is NaN when either cannot be computed, and infinite where the history
// repeats exactly and the forecast does not. (Hyndman and Koehler, Another look at measures of forecast accuracy, 2006.)
func MASE(actual, forecast, history []float64, period int) float64 {
	if period < 1 {
		return math.NaN()
	}
	scale, n := 0.0, 0
	for i := period; i < len(history); i++ {
		if d := math.Abs(history[i] - history[i-period]); !math.IsNaN(d) {
			scale += d
			n++
		}
	}
	scale /= float64(n)
	half, m := Pinball(actual, forecast, .5) // half the mean absolute error
	if n == 0 || m == 0 {
		return math.NaN()
	}
	if half == 0 {
		return 0
	}
	return 2 * half / scale
}

// pinball is the quantile loss of saying v where y came.
func pinball(y, v, q float64) float64 {
	return max(q*(y-v), (1-q)*(v-y))
}

// LossRatio returns a over b: 1 where both are nothing, and nil where it is beyond all numbers.
func LossRatio(a, b float64) *float64 {
	v := a / b
	switch {
	case a == 0 && b == 0:
		v = 1
	case b == 0 || math.IsInf(v, 0):
		return nil
	}
	return &v
}
