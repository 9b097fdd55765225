package pattern

import (
	"math"
	"slices"
)

// Features is how many numbers describe a series.
const Features = 20

// Vector describes a series by numbers in [0, 1] that do not depend on its unit.
type Vector [Features]float64

// Places in a Vector.
const (
	nothing  = iota // share of steps with next to nothing
	alone           // the same where it is nearly all of them
	still           // share of steps that are as the one before
	variety         // standard deviation relative to the mean
	spread          // 90th less 10th percentile, relative to the mean
	peak            // 99.5th percentile relative to the median
	top             // share of the sum that the highest twentieth has
	lag             // how much a step is like the one before
	hourLag         // how much an hour is like the one before
	dayLag          // how much an hour is like the one a day before
	halfLag         // how much it is like the one half a day before
	weekLag         // how much it is like the one a week before
	swing           // how far days swing, relative to the mean
	high            // share of steps that are high
	run             // how long they stay so
	punctual        // how many of them come at the time of those a day or a week before
	line            // share of the variance that a straight line explains
	steep           // how far the line's slope is from what chance gives
	jump            // how much more two levels explain than the line
	length          // days that there are values of
)

const (
	// negligible is the share of the mean up to which a step counts as nothing.
	negligible = .02
	// quantileValues is how many values quantiles are taken of: a regular subset.
	quantileValues = 1000
	dayHours       = 24
)

// FeaturesOf describes values with perDay of them each day; false when there are too few.
func FeaturesOf(values []float64, perDay int) (Vector, bool) {
	var f Vector
	n, sum, square := 0, 0.0, 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			n++
			sum += v
			square += v * v
		}
	}
	if n < minObserved || perDay < 1 {
		return f, false
	}
	f[length] = bounded(math.Log2(1+float64(n)/float64(perDay)), 5)
	mean := sum / float64(n)
	if mean < 1e-300 { // next to which nothing can be divided
		f[nothing], f[alone], f[still] = 1, 1, 1
		return f, true
	}
	f[variety] = bounded(math.Log1p(math.Sqrt(max(0, square/float64(n)/mean/mean-1))), 2.5)
	f.levels(values, n, mean)
	f.steps(values, mean, perDay)
	h := hourly(values, perDay, mean)
	f.seasons(h, min(perDay, dayHours))
	f.trend(h, min(perDay, dayHours))
	return f, true
}

// bounded maps [0, most] to [0, 1].
func bounded(v, most float64) float64 { return min(max(v/most, 0), 1) }

// levels tells what amounts there are, in whatever order.
func (f *Vector) levels(values []float64, n int, mean float64) {
	stride := max(1, n/quantileValues)
	some := make([]float64, 0, n/stride+1)
	none, i := 0, 0
	for _, v := range values {
		if math.IsNaN(v) {
			continue
		}
		if v <= negligible*mean {
			none++
		}
		if i%stride == 0 {
			some = append(some, v)
		}
		i++
	}
	slices.Sort(some)
	at := func(q float64) float64 { return some[int(q*float64(len(some)-1))] }
	f[nothing] = float64(none) / float64(n)
	f[alone] = bounded(1-20*(1-f[nothing]), 1)
	f[spread] = bounded(math.Log1p((at(.9)-at(.1))/mean), 1.5)
	f[peak] = bounded(math.Log(at(.995)/max(at(.5), .01*mean)), 5)
	all, over := 0.0, 0.0
	for j, v := range some {
		all += v
		if j >= len(some)*19/20 {
			over += v
		}
	}
	if all > 0 {
		f[top] = over / all
	}
}

// steps tells how steps follow each other, and of those that are high how long they stay so and whether they are punctual.
func (f *Vector) steps(values []float64, mean float64, perDay int) {
	bar := highBar(values, mean)
	var same, pairs, highs, runs, n float64
	var cov, variance, before float64
	last := math.NaN()
	isHigh := make([]bool, len(values))
	for i, v := range values {
		if math.IsNaN(v) {
			last = v
			continue
		}
		n++
		d := min(v/mean, 8) - 1
		variance += d * d
		if !math.IsNaN(last) {
			pairs++
			cov += d * before
			if math.Abs(v-last) <= .001*mean {
				same++
			}
		}
		if v > bar {
			isHigh[i] = true
			highs++
			if i == 0 || !isHigh[i-1] {
				runs++
			}
		}
		last, before = v, d
	}
	if pairs > 0 {
		f[still] = same / pairs
	}
	if variance > 0 && pairs > 0 {
		f[lag] = bounded(cov/pairs/(variance/n), 1)
	}
	f[high] = bounded(highs/n, .5)
	if runs > 0 {
		f[run] = bounded(math.Log2(1+4*highs/runs*24/float64(perDay)), 7)
	}
	f[punctual] = max(agreement(isHigh, perDay, perDay), agreement(isHigh, 7*perDay, perDay))
}

// highBar is what tells high steps from others: half way from the mean to the mean of what lies above it, and so once more.
func highBar(values []float64, mean float64) float64 {
	bar := mean
	for range 2 {
		sum, n := 0.0, 0.0
		for _, v := range values {
			if v > bar {
				sum += v
				n++
			}
		}
		if n == 0 {
			break
		}
		bar = (bar + sum/n) / 2
	}
	return bar
}

// agreement is the share of high steps that were so one period before as well, within half an hour, beyond what chance gives.
func agreement(high []bool, period, perDay int) float64 {
	if len(high) < 2*period-period/4 {
		return 0
	}
	slack := max(1, perDay/48)
	near := make([]int, len(high)+1) // high steps before each
	for i, h := range high {
		near[i+1] = near[i]
		if h {
			near[i+1]++
		}
	}
	about := func(i int) bool { return near[min(len(high), i+slack+1)] > near[max(0, i-slack)] }
	covered := 0.0
	both, all := 0.0, 0.0
	for i := period; i < len(high); i++ {
		c := about(i - period)
		if c {
			covered++
		}
		if high[i] {
			all++
			if c {
				both++
			}
		}
	}
	if all == 0 || covered == float64(len(high)-period) {
		return 0
	}
	chance := covered / float64(len(high)-period)
	return bounded((both/all-chance)/(1-chance), 1)
}

// hourly returns the logarithm of one more than the mean of each hour, relative to the mean of all; NaN where an hour has no value.
func hourly(values []float64, perDay int, mean float64) []float64 {
	per := max(1, perDay/dayHours)
	out := make([]float64, 0, len(values)/per+1)
	for i := 0; i < len(values); i += per {
		sum, n := 0.0, 0.0
		for _, v := range values[i:min(len(values), i+per)] {
			if !math.IsNaN(v) {
				sum += v
				n++
			}
		}
		out = append(out, math.Log1p(sum/n/mean)) // NaN when n is 0
	}
	return out
}

// seasons tells how hours are like others before them.
func (f *Vector) seasons(h []float64, perDay int) {
	level := centred(h, perDay/2)
	d := make([]float64, len(h))
	for i, v := range h {
		d[i] = v - level[i]
	}
	c0, n0 := product(d, 0)
	if n0 == 0 || c0 < 1e-12 {
		return
	}
	c1, n1 := product(d, 1)
	if n1 > 0 {
		f[hourLag] = bounded(c1/c0, 1)
	}
	if cd, n := product(d, perDay); n >= float64(perDay)/4 {
		f[dayLag] = bounded(cd/c0, 1)
		f[swing] = bounded(math.Sqrt(max(0, cd)), .6)
	}
	if ch, n := product(d, perDay/2); n >= float64(perDay)/4 {
		f[halfLag] = bounded(ch/c0+1, 2)
	}
	all, _ := meanOf(h)
	for i, v := range h {
		d[i] = v - all
	}
	if cw, n := product(d, 7*perDay); n >= 2*float64(perDay) {
		c, _ := product(d, 0)
		f[weekLag] = bounded(cw/c, 1)
	}
}

// trend tells how the level moves.
func (f *Vector) trend(h []float64, perDay int) {
	// Blocks of whole days where there are enough, so that a day's shape is no slope; else six.
	size := perDay
	if len(h) < 4*perDay {
		size = max(1, len(h)/6)
	}
	var blocks []float64
	for end := len(h); end >= size; end -= size {
		if m, n := meanOf(h[end-size : end]); n > 0 {
			blocks = append(blocks, m)
		}
	}
	slices.Reverse(blocks)
	total, n := variance(h)
	if len(blocks) < 3 || n == 0 || total < 1e-12 {
		return
	}
	m, _ := meanOf(blocks)
	var st, sy, ty, sum float64
	for i, v := range blocks {
		t := float64(i) - float64(len(blocks)-1)/2
		st += t * t
		ty += t * (v - m)
		sy += (v - m) * (v - m)
	}
	explained := ty * ty / st
	f[line] = bounded(explained/float64(len(blocks))/total, 1)
	if rest := sy - explained; rest > 0 {
		f[steep] = bounded(math.Log1p(math.Sqrt(explained/(rest/float64(len(blocks)-2)))), 4)
	} else if explained > 0 {
		f[steep] = 1
	}
	best := 0.0
	for i, v := range blocks[:len(blocks)-1] {
		sum += v - m
		a, b := float64(i+1), float64(len(blocks)-i-1)
		best = max(best, sum*sum*(1/a+1/b))
	}
	f[jump] = bounded(.5+(best-explained)/float64(len(blocks))/total, 1)
}

// product returns the mean product of values that lie lag apart, and how many there are.
func product(d []float64, lag int) (mean, n float64) {
	sum := 0.0
	for i := lag; i < len(d); i++ {
		if p := d[i] * d[i-lag]; !math.IsNaN(p) {
			sum += p
			n++
		}
	}
	return sum / max(n, 1), n
}

func meanOf(v []float64) (mean, n float64) {
	sum := 0.0
	for _, x := range v {
		if !math.IsNaN(x) {
			sum += x
			n++
		}
	}
	return sum / max(n, 1), n
}

func variance(v []float64) (of, n float64) {
	m, n := meanOf(v)
	for _, x := range v {
		if !math.IsNaN(x) {
			of += (x - m) * (x - m)
		}
	}
	return of / max(n, 1), n
}

// centred returns at each value the mean of those up to half away on both sides that are not missing.
func centred(v []float64, half int) []float64 {
	sum, n := make([]float64, len(v)+1), make([]int, len(v)+1)
	for i, x := range v {
		sum[i+1], n[i+1] = sum[i], n[i]
		if !math.IsNaN(x) {
			sum[i+1] += x
			n[i+1]++
		}
	}
	out := make([]float64, len(v))
	for i := range out {
		from, to := max(0, i-half), min(len(v), i+half+1)
		out[i] = (sum[to] - sum[from]) / float64(max(1, n[to]-n[from]))
	}
	return out
}
