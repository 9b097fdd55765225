package forecast

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/dsp/fourier"
)

// What runs every so many minutes, whatever the clock says, has a season of its own, which need not divide the day, nor be a whole
// number of steps: a job that begins 50 minutes after the last one ended. Its length is where the autocorrelation of the series has
// a peak, found more exactly at its multiples, as a small error adds up there. (Box, Jenkins and Reinsel, Time Series Analysis,
// chapter 2; by the Wiener-Khinchin theorem the autocorrelation is the transform of the power spectrum.)

const (
	cycleDays   = 14   // of history that are looked at
	cycleLeast  = 2    // days of history that it takes
	cycleMost   = 1.5  // days that a cycle is shorter than: it may be the day
	cycleReach  = 3    // days that its length is measured over
	cycleTried  = 7    // days at the end that it is tried on
	cycleCount  = 7    // cycles that the middle one is taken of
	cycleTries  = 6    // peaks that are tried
	cycleWorst  = 1.17 // of the error of the day that a cycle has less than
	cycleBetter = .9   // of the error of a shorter cycle, or of the day that it is close to, that one has less than
	cycleRise   = .1   // that a peak has at least over what lies before it
	cycleNear   = .1   // of a day that a cycle differs from it by at most which is close to it
)

// cycle returns the length of what repeats itself in the grid, in steps, which may be a day; 0 if nothing does.
func (g *grid) cycle() float64 {
	l := g.level()
	if !l.cycleKnown {
		l.cycleLength, l.cycleKnown = l.findCycle(), true
	}
	return l.cycleLength
}

// findCycle tries the peaks of the autocorrelation: the best is the one of which the middle of the last cycles is closest to what came. What repeats
// itself does so at multiples, too, so a longer one has to be clearly better. Where the day says all there is none.
func (g *grid) findCycle() float64 {
	n := min(len(g.x), cycleDays*g.day)
	if n < cycleLeast*g.day {
		return 0
	}
	x, from := g.x[len(g.x)-n:], max(n/2, n-cycleTried*g.day)
	r := autocorrelation(x, min(n/3, cycleReach*g.day))
	aDay := float64(g.day)
	ofDay := cycleError(x, aDay, from)
	best, bar := 0.0, cycleWorst*ofDay
	for _, lag := range peaks(r[:min(len(r), int(cycleMost*aDay))]) {
		length := exactly(lag, r)
		e := cycleError(x, length, from)
		if math.Abs(length-aDay) <= cycleNear*aDay && e >= cycleBetter*ofDay {
			length, e = aDay, ofDay // whose autocorrelation is a broad hill with peaks by chance
		}
		if e < bar {
			best, bar = length, cycleBetter*e
		}
	}
	return best
}

// autocorrelation returns that of the roots of x, which no single burst decides on, for so many lags; 0 where nothing varies.
func autocorrelation(x []float64, lags int) []float64 {
	size := transformSize(len(x) + lags) // none of the end is correlated with the beginning
	v, mean, total := make([]float64, size), 0.0, 0.0
	for i, a := range x {
		v[i] = math.Sqrt(a)
		mean += v[i] / float64(len(x))
		total += a
	}
	for i := range x {
		v[i] -= mean
	}
	transform := fourier.NewFFT(size)
	power := transform.Coefficients(nil, v)
	for i, c := range power {
		power[i] = complex(real(c)*real(c)+imag(c)*imag(c), 0)
	}
	sums := transform.Sequence(v, power)
	out, square := make([]float64, lags), sums[0]
	if !(square > 1e-12*total) { // what is left of a constant
		return out
	}
	for l := range out {
		out[l] = sums[l] / square * float64(len(x)) / float64(len(x)-l)
	}
	return out
}

// transformSize returns a size of at least n that is quickly transformed.
func transformSize(n int) int {
	size := 8
	for size < n {
		size *= 2
	}
	for _, eighths := range []int{5, 6} {
		if size/8*eighths >= n {
			return size / 8 * eighths
		}
	}
	return size
}

// peaks returns some lags at which r is higher than beside them, and than somewhere before them: the highest, and of those that are alike the
// shortest.
func peaks(r []float64) []int {
	var lags []int
	low := math.Inf(1)
	for l := 1; l+1 < len(r); l++ {
		low = min(low, r[l])
		if l > 1 && r[l] >= r[l-1] && r[l] > r[l+1] && r[l]-low > cycleRise {
			lags = append(lags, l)
		}
	}
	height := func(l int) float64 { return r[l] * (1 - .2*float64(l)/float64(len(r))) }
	slices.SortStableFunc(lags, func(a, b int) int { return cmp.Compare(height(b), height(a)) })
	lags = lags[:min(len(lags), cycleTries)]
	slices.Sort(lags)
	return lags
}

// exactly returns the length of the cycle that has a peak at lag: by where twice, four times, … as many have theirs.
func exactly(lag int, r []float64) float64 {
	length := float64(lag)
	for k := 2.0; ; k *= 2 {
		at := int(math.Round(k * length))
		if at+2 >= len(r) {
			return length
		}
		for _, beside := range []int{at - 1, at + 1} {
			if r[beside] > r[at] {
				at = beside
			}
		}
		before, peak, after := r[at-1], r[at], r[at+1]
		top := 0.0 // of the parabola through the three
		if bend := before - 2*peak + after; bend < 0 {
			top = min(.5, max(-.5, (before-after)/2/bend))
		}
		length = min(float64(lag)+.5, max(float64(lag)-.5, (float64(at)+top)/k))
	}
}

// cycleError is how far the middle of the last cycles is from what came, summed over steps from the given one on.
func cycleError(x []float64, length float64, from int) float64 {
	sum, back, near := 0.0, cyclesAgo(length, 1, cycleCount), make([]float64, cycleCount)
	for i, stride := from, 3; i < len(x); i, stride = i+stride, 11-stride { // 3 and 8 by turns: no short cycle is looked at in one place alone
		if seen := atEach(x, i, back, near); len(seen) > 0 {
			sum += math.Abs(x[i] - (seen[(len(seen)-1)/2]+seen[len(seen)/2])/2)
		}
	}
	return sum
}

// byClock reports whether the cycle is the day, which the clock has, or divides it where the clock changes: a job of every four hours goes by it, then.
func (g *grid) byClock(cycle float64) bool {
	times := 1.0
	if g.wall != nil && cycle > 0 {
		times = math.Round(float64(g.day) / cycle)
	}
	return times > 0 && math.Abs(times*cycle-float64(g.day)) < .5
}
