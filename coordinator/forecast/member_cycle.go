package forecast

import "math"

// cycle is a member that goes on as the last cycles did. Where nothing repeats itself it is the seasonal naive forecast by day.
type cycle struct {
	g      *grid
	length float64   // in steps, 1.5 at least; 0: there is none
	levels int       // 0: the same for all quantiles
	at     []float64 // [step × levels]: over the step and the cycles before it
}

// cyclesBack is of how many cycles quantiles are taken.
const cyclesBack = 12

// isDay reports whether the cycle is the day, which the clock has.
func (g *grid) isDay(cycle float64) bool { return math.Abs(cycle-float64(g.day)) < .5 }

// newCycleMedian is the middle of the last seven cycles.
func newCycleMedian(g *grid, _ []float64) member {
	if g.isDay(g.cycle()) {
		return newDayMedian(g, nil)
	}
	m := cycle{g: g, length: g.cycle()}
	if m.silent() {
		return m
	}
	m.at = make([]float64, len(g.x))
	for i := g.from; i < len(g.x); i++ {
		m.at[i], _ = middleCycle(g.x, i, 0, m.length)
	}
	return m
}

// newCycleQuantile is, per quantile, what the last cycles showed.
func newCycleQuantile(g *grid, quantiles []float64) member {
	if g.isDay(g.cycle()) {
		return newSameTime(g, quantiles, g.day, cyclesBack)
	}
	m := cycle{g: g, length: g.cycle(), levels: len(quantiles)}
	if m.silent() {
		return m
	}
	m.at = make([]float64, len(g.x)*m.levels)
	var back [cyclesBack]int // steps
	for k := range back {
		back[k] = int(math.Round(m.length * float64(k)))
	}
	var seen [cyclesBack]float64
	for i := g.from; i < len(g.x); i++ {
		n := 0
		for ; n < len(back) && back[n] <= i; n++ { // insertion: they are few
			k, v := n, g.x[i-back[n]]
			for ; k > 0 && seen[k-1] > v; k-- {
				seen[k] = seen[k-1]
			}
			seen[k] = v
		}
		for qi, q := range quantiles {
			m.at[i*m.levels+qi] = seen[conformalRank(n, q)]
		}
	}
	return m
}

func (m cycle) silent() bool { return m.length == 0 }

func (m cycle) path(dst []float64, o, qi int) {
	cycles, back := 0, 0 // how many begin before step h, and as many steps
	for h := range dst {
		if m.silent() {
			dst[h] = m.g.naive(o+h, o)
			continue
		}
		if h >= back {
			cycles++
			back = int(math.Round(m.length * float64(cycles)))
		}
		j := o + h - back
		switch {
		case j < 0:
			dst[h] = m.g.x[o-1]
		case m.levels > 0:
			dst[h] = m.at[j*m.levels+qi]
		default:
			dst[h] = m.at[j]
		}
	}
}
