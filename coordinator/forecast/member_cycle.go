package forecast

import "math"

// cycle is a member that goes on as the last cycles did. Where nothing repeats itself it is the seasonal naive forecast by day.
type cycle struct {
	g      *grid
	length float64     // in steps, 1.5 at least; 0: there is none
	at     [][]float64 // per level, or once for all, from g.from on: over the step and the cycles before it
	from   int         // what at begins with
}

// cyclesBack is of how many cycles quantiles are taken.
const cyclesBack = 12

// newCycleMedian is the middle of the last seven cycles; of a day with a level.
func newCycleMedian(g *grid, _ []float64) member {
	if g.byClock(g.cycle()) {
		return newDayMedianLevel(g)
	}
	m := cycle{g: g, length: g.cycle(), from: g.from}
	if m.silent() {
		return m
	}
	m.at = levelsFrom(g, 1)
	back, near := cyclesAgo(m.length, 0, cycleCount), make([]float64, cycleCount)
	for i := range m.at[0] {
		seen := atEach(g.x, g.from+i, back, near)
		m.at[0][i] = (seen[(len(seen)-1)/2] + seen[len(seen)/2]) / 2
	}
	return m
}

// newCycleQuantile is, per quantile, what the last cycles showed.
func newCycleQuantile(g *grid, quantiles []float64) member {
	if g.byClock(g.cycle()) {
		return newSameTime(g, quantiles, g.day, cyclesBack)
	}
	m := cycle{g: g, length: g.cycle(), from: g.from}
	if m.silent() {
		return m
	}
	m.at = levelsFrom(g, len(quantiles))
	back, near, ranks := cyclesAgo(m.length, 0, cyclesBack), make([]float64, cyclesBack), conformalRanks(cyclesBack, quantiles)
	for i := g.from; i < len(g.x); i++ {
		seen := atEach(g.x, i, back, near)
		for qi, rank := range ranks[len(seen)] {
			m.at[qi][i-g.from] = seen[rank]
		}
	}
	return m
}

// cyclesAgo returns how many steps so many cycles are, from the first number of them on.
func cyclesAgo(length float64, first, count int) []int {
	back := make([]int, count)
	for k := range back {
		back[k] = int(math.Round(length * float64(first+k)))
	}
	return back
}

// atEach returns what x was so many steps before step i, as far as it reaches back, in order; it writes to near.
func atEach(x []float64, i int, back []int, near []float64) []float64 {
	n := 0
	for ; n < len(back) && back[n] <= i; n++ {
		k, v := n, x[i-back[n]] // insertion: they are few
		for ; k > 0 && near[k-1] > v; k-- {
			near[k] = near[k-1]
		}
		near[k] = v
	}
	return near[:n]
}

func (m cycle) silent() bool { return m.length == 0 }

func (m cycle) path(dst []float64, o, qi int) {
	if m.silent() {
		for h := range dst {
			dst[h] = m.g.naive(o+h, o)
		}
		return
	}
	at := m.at[min(qi, len(m.at)-1)]
	for cycles, from := 1, 0; from < len(dst); cycles++ {
		to := int(math.Round(m.length * float64(cycles))) // as many steps begin so many cycles
		for h := from; h < min(to, len(dst)); h++ {
			if j := o + h - to; j >= 0 {
				dst[h] = at[j-m.from]
			} else {
				dst[h] = m.g.x[o-1]
			}
		}
		from = to
	}
}
