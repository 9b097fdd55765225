package forecast

import (
	"cmp"
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
	kth := func(q float64) int { return conformalRank(len(v), q) }
	upper := upperFrom(qs)
	end := len(v)
	for i, from := upper, 0; i < len(qs); i++ { // outwards from the middle: little is left to look at further out
		k := kth(qs[i])
		out[i] = selectKth(v[from:], k-from)
		if from = k; i == upper {
			end = k + 1
		}
	}
	for i := upper - 1; i >= 0; i-- {
		k := kth(qs[i])
		out[i] = selectKth(v[:end], k)
		end = k + 1
	}
}

// conformalRank returns which of n values in order is the conformal quantile.
func conformalRank(n int, q float64) int {
	return min(max(int(math.Ceil(float64(n+1)*q-1e-9))-1, 0), n-1)
}

// upperFrom returns the index of the first level from .5 on.
func upperFrom(qs []float64) int {
	i := 0
	for i < len(qs) && qs[i] < .5 {
		i++
	}
	return i
}

// counted is a value and how much it counts.
type counted struct{ v, weight float64 }

// fadingQuantiles is upperQuantiles of values that do not count alike: the least of those that have the share of the weight
// at or below them, a value of the mean weight that is still to come included. Values must have a weight above 0.
func fadingQuantiles(v []counted, qs []float64, out []float64) {
	if len(qs) == 0 {
		return
	}
	total := 0.0
	for _, c := range v {
		total += c.weight
	}
	total += total / float64(len(v))
	share := func(q float64) float64 { return total*q - 1e-9*total }
	upper := upperFrom(qs)
	end, from, below := len(v), 0, 0.0 // weight of what lies before from
	if upper == 0 && qs[0] > .5 {
		from, below = tailFrom(v, qs[0], share(qs[0]))
	}
	for i := upper; i < len(qs); i++ { // outwards from the middle: little is left to look at further out
		k := from + selectShare(v[from:], share(qs[i])-below)
		out[i] = v[k].v
		for _, c := range v[from:k] {
			below += c.weight
		}
		if from = k; i == upper {
			end = k + 1
		}
	}
	for i := upper - 1; i >= 0; i-- {
		k := selectShare(v[:end], share(qs[i]))
		out[i] = v[k].v
		end = k + 1
	}
}

// tailFrom reorders v so that what the share of the weight lies in comes last, and nothing of it is less than what comes before. It returns where that begins, and the weight before
// it. One pass, of which nearly all goes the same way, is quicker than to halve v at random: a pivot somewhat below the quantile q is known from some of the values. (Floyd
// and Rivest, Expected time bounds for selection, 1975.)
func tailFrom(v []counted, q, share float64) (from int, below float64) {
	const some = 16
	if len(v) < 8*some {
		return 0, 0
	}
	var seen [some]float64
	for i := range seen {
		seen[i] = v[(2*i+1)*len(v)/(2*some)].v
	}
	slices.Sort(seen[:])
	pivot := seen[max(0, int(q*some)-3)]
	for i, c := range v {
		if c.v < pivot {
			v[i], v[from] = v[from], c
			from++
			below += c.weight
		}
	}
	if below >= share { // it lies among those
		return 0, 0
	}
	return from, below
}

// selectShare reorders v so that v[k], which it returns k of, is the least value with at least so much weight at or below it,
// or the largest, and nothing before it is larger: selectKth by weight.
func selectShare(v []counted, share float64) int {
	lo, hi := 0, len(v)-1
	for hi-lo > 12 {
		mid := lo + (hi-lo)/2
		if v[mid].v < v[lo].v {
			v[mid], v[lo] = v[lo], v[mid]
		}
		if v[hi].v < v[lo].v {
			v[hi], v[lo] = v[lo], v[hi]
		}
		if v[hi].v < v[mid].v {
			v[hi], v[mid] = v[mid], v[hi]
		}
		pivot, i, j := v[mid].v, lo, hi
		for i <= j {
			for v[i].v < pivot {
				i++
			}
			for pivot < v[j].v {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		left := 0.0
		for _, c := range v[lo : j+1] {
			left += c.weight
		}
		if left >= share {
			hi = j
			continue
		}
		for ; j+1 < i; j++ { // what equals the pivot
			if left += v[j+1].weight; left >= share {
				return j + 1
			}
		}
		share -= left
		lo = i
	}
	slices.SortFunc(v[lo:hi+1], func(a, b counted) int { return cmp.Compare(a.v, b.v) })
	for k := lo; k < hi; k++ {
		if share -= v[k].weight; share <= 0 {
			return k
		}
	}
	return hi
}

// selectKth reorders v so that v[k] is its k-th smallest value, none before it larger and none after it smaller, and returns it: Hoare's quickselect, median of
// three, with Lomuto's partition, which needs no branch that depends on a value.
func selectKth(v []float64, k int) float64 {
	for len(v) > 12 {
		first, middle, last := 0, len(v)/2, len(v)-1
		if v[middle] < v[first] {
			v[middle], v[first] = v[first], v[middle]
		}
		if v[last] < v[first] {
			v[last], v[first] = v[first], v[last]
		}
		if v[middle] < v[last] {
			v[middle], v[last] = v[last], v[middle]
		}
		pivot := v[last]
		at := below(v[:last], pivot)
		v[last], v[at] = v[at], v[last]
		switch {
		case k < at:
			v = v[:at]
			continue
		case k == at:
			return pivot
		}
		v, k = v[at+1:], k-at-1
		if at <= 1 { // many may be alike
			alike := upTo(v, pivot)
			if k < alike {
				return pivot
			}
			v, k = v[alike:], k-alike
		}
	}
	for i := 1; i < len(v); i++ {
		x, j := v[i], i
		for ; j > 0 && v[j-1] > x; j-- {
			v[j] = v[j-1]
		}
		v[j] = x
	}
	return v[k]
}

// below moves the values less than the pivot to the front, and returns how many they are.
func below(v []float64, pivot float64) int {
	n := 0
	for i, x := range v {
		v[i], v[n] = v[n], x
		more := 0
		if x < pivot {
			more = 1
		}
		n += more
	}
	return n
}

// upTo does the same with those up to the pivot.
func upTo(v []float64, pivot float64) int {
	n := 0
	for i, x := range v {
		v[i], v[n] = v[n], x
		more := 0
		if x <= pivot {
			more = 1
		}
		n += more
	}
	return n
}
