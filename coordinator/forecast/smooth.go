package forecast

import (
	"math"
	"slices"
)

// trailing returns at each step the mean of the last n steps up to and including it.
func trailing(x []float64, n int) []float64 {
	out, sum := make([]float64, len(x)), 0.0
	for i, v := range x {
		sum += v
		if i >= n {
			sum -= x[i-n]
		}
		out[i] = max(0, sum) / float64(min(i+1, n))
	}
	return out
}

// centred returns at each step the mean of the steps up to half away on both sides.
func centred(x []float64, half int) []float64 {
	out, sum, from, to := make([]float64, len(x)), 0.0, 0, 0
	for i := range x {
		for to < min(len(x), i+half+1) {
			sum += x[to]
			to++
		}
		for from < i-half {
			sum -= x[from]
			from++
		}
		out[i] = sum / float64(to-from)
	}
	return out
}

// ewma returns at each step the exponentially weighted mean of r up to and including it, from the first value on;
// halfLife in steps.
func ewma(r []float64, halfLife float64) []float64 {
	out := make([]float64, len(r))
	alpha, level := 1-math.Exp2(-1/halfLife), 0.0
	for i, v := range r {
		// While young, a plain mean: the first value would weigh too long.
		level += max(alpha, 1/float64(i+1)) * (v - level)
		out[i] = level
	}
	return out
}

// upperQuantiles writes to out, per level of qs (ascending), the conformal quantile of v: the ⌈(n+1)q⌉-th smallest, or
// the largest where there are too few values. v is reordered; it must not be empty nor hold NaN. Time is linear in len(v).
// (Vovk et al., Algorithmic Learning in a Random World, 2005; split-conformal.)
func upperQuantiles(v []float64, qs []float64, out []float64) {
	end := len(v)
	for i := len(qs) - 1; i >= 0; i-- {
		k := int(math.Ceil(float64(len(v)+1)*qs[i]-1e-9)) - 1
		k = min(max(k, 0), end-1)
		out[i] = selectKth(v[:end], k)
		end = k + 1
	}
}

// selectKth reorders v so that v[k] is its k-th smallest value and returns it: Hoare's quickselect, median of three.
func selectKth(v []float64, k int) float64 {
	lo, hi := 0, len(v)-1
	for hi-lo > 12 {
		mid := lo + (hi-lo)/2
		if v[mid] < v[lo] {
			v[mid], v[lo] = v[lo], v[mid]
		}
		if v[hi] < v[lo] {
			v[hi], v[lo] = v[lo], v[hi]
		}
		if v[hi] < v[mid] {
			v[hi], v[mid] = v[mid], v[hi]
		}
		pivot, i, j := v[mid], lo, hi
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for pivot < v[j] {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return v[k]
		}
	}
	slices.Sort(v[lo : hi+1])
	return v[k]
}
