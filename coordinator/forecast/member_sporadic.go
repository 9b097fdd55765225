package forecast

import (
	"math"
	"slices"
)

// sporadic is for demand that is nothing mostly: a step has demand with a probability that is smoothed over hours at
// first and over days further on, and if it has, then as much as in the last week. (Teunter, Syntetos and Babai,
// Intermittent demand: linking forecasting to inventory obsolescence, EJOR 2011, with quantiles of the sizes for their mean.)
type sporadic struct {
	g          *grid
	quantiles  []float64
	soon, late []float64 // probability of demand, at each step
	every      int
	sizes      [][]float64 // per checkpoint k, of the steps before k × every: sorted
}

const (
	sporadicName  = "sporadic"
	sporadicSizes = 200 // newest ones that quantiles are taken of
)

func newSporadic(g *grid, quantiles []float64) member {
	m := &sporadic{g: g, quantiles: quantiles, every: max(1, g.day/4)}
	some := make([]float64, len(g.x))
	var recent []float64
	for i, v := range g.x {
		if i%m.every == 0 {
			var known []float64
			if i+m.every > g.from { // else no origin lies in what follows
				known = sorted(recent)
			}
			m.sizes = append(m.sizes, known)
		}
		if v > 0 {
			some[i] = 1
			recent = append(recent, v)
			if len(recent) > sporadicSizes {
				recent = recent[1:]
			}
		}
	}
	m.sizes = append(m.sizes, sorted(recent))
	m.soon, m.late = ewma(some, float64(g.hour)), ewma(some, 2*float64(g.day))
	return m
}

func sorted(v []float64) []float64 {
	out := slices.Clone(v)
	slices.Sort(out)
	return out
}

func (m *sporadic) path(dst []float64, o, qi int) {
	k := o / m.every
	if o == len(m.g.x) {
		k = len(m.sizes) - 1 // all of them
	}
	sizes := m.sizes[k]
	fade, w := halfLife(float64(m.g.hour)), 1.0
	soon, late := m.soon[o-1], m.late[o-1]
	for h := range dst {
		p := late + (soon-late)*w
		w *= fade
		dst[h] = 0
		if beyond := 1 - m.quantiles[qi]; p > beyond && len(sizes) > 0 {
			at := (1 - beyond/p) * float64(len(sizes))
			dst[h] = sizes[max(1, min(int(math.Ceil(at)), len(sizes)))-1]
		}
	}
}
