package forecast

import "math"

// blend is how one bucket's quantiles are made of the members: each member is shifted by the quantile of its own
// recent errors, the shifted members are averaged by what they lost recently, and the average is shifted once more by
// the quantile of its errors. (Split-conformal, rolling: Vovk et al. 2005; quantile averaging: Lichtendahl et al. 2013.)
type blend struct {
	offset [][]float64 // [quantile][member]
	weight [][]float64 // [quantile][member], summing to 1
	last   []float64   // [quantile]: shift of the average
}

const (
	weightPower    = 8.0  // how strongly the recently best is preferred
	weightDays     = 14.0 // whose pinball loss counts
	trustNarrower  = .5   // how far the errors of the average may narrow its upper quantiles
	weightHalfLife = 4.0  // days after which a loss counts half
	minEvidence    = 24   // points that a bucket needs for errors of its own
)

// fit makes the blend of a bucket from its evidence, which must hold at least one point.
func (e *evidence) fit(members []chosen, quantiles []float64) blend {
	n, nq := len(e.y), len(quantiles)
	bl := blend{last: make([]float64, nq)}
	for range quantiles {
		bl.offset = append(bl.offset, make([]float64, len(members)))
		bl.weight = append(bl.weight, make([]float64, len(members)))
	}
	errs, at := make([]float64, n), make([]float64, nq)
	for i, m := range members {
		for p := range m.paths(nq) {
			for j, v := range e.said[i][p] {
				errs[j] = e.y[j] - v
			}
			if m.byQuantile {
				upperQuantiles(errs, quantiles[p:p+1], at[p:p+1])
				bl.offset[p][i] = at[p]
				continue
			}
			upperQuantiles(errs, quantiles, at)
			for qi := range quantiles {
				bl.offset[qi][i] = at[qi]
			}
		}
	}
	sum := make([]float64, n)
	for qi, q := range quantiles {
		for i, m := range members {
			bl.weight[qi][i] = e.loss(e.said[i][m.pathOf(qi)], bl.offset[qi][i], q)
		}
		weigh(bl.weight[qi])
		clear(sum)
		for i, m := range members {
			w, off := bl.weight[qi][i], bl.offset[qi][i]
			if w == 0 {
				continue
			}
			for j, v := range e.said[i][m.pathOf(qi)] {
				sum[j] += w * max(0, v+off)
			}
		}
		for j := range errs {
			errs[j] = e.y[j] - sum[j]
		}
		upperQuantiles(errs, quantiles[qi:qi+1], bl.last[qi:qi+1])
		if q > .5 && bl.last[qi] < 0 {
			// The average was fitted to the very points that its errors are taken of: they flatter it.
			bl.last[qi] *= trustNarrower
		}
	}
	return bl
}

// widen makes the distances from the median to the other quantiles larger by the factor, for a horizon that is longer
// than what the errors are known of.
func (b *blend) widen(factor float64, quantiles []float64) {
	for qi, q := range quantiles {
		for i, off := range b.offset[qi] {
			if (q > .5) == (off > 0) && q != .5 {
				b.offset[qi][i] *= factor
			}
		}
	}
}

// evenBlend is that of members nothing is known of.
func evenBlend(members, quantiles int) blend {
	b := blend{last: make([]float64, quantiles)}
	for range quantiles {
		w := make([]float64, members)
		for i := range w {
			w[i] = 1 / float64(members)
		}
		b.offset, b.weight = append(b.offset, make([]float64, members)), append(b.weight, w)
	}
	return b
}

// loss is the pinball loss of a member's shifted path over the last days, older points fading.
func (e *evidence) loss(said []float64, offset, q float64) float64 {
	sum := 0.0
	for j, v := range said {
		if f := e.fresh[j]; f > 0 {
			sum += f * pinball(e.y[j], max(0, v+offset), q)
		}
	}
	return sum
}

// weigh turns losses into shares: the inverse to the weightPower, less than a hundredth of the best dropped.
func weigh(w []float64) {
	least := math.Inf(1)
	for _, l := range w {
		least = min(least, l)
	}
	total := 0.0
	for i, l := range w {
		share := 1.0
		if l > 0 {
			share = math.Pow(least/l, weightPower)
		}
		if share < .01 {
			share = 0
		}
		w[i] = share
		total += share
	}
	for i := range w {
		w[i] /= total
	}
}
