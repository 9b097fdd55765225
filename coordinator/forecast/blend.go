package forecast

import "math"

// blend is how one bucket's quantiles are made of the members: each member is shifted by the quantile of its own
// recent errors, the shifted members are averaged by what they lost recently, and the average is shifted once more by
// the quantile of its errors. (Split-conformal, rolling: Vovk et al. 2005; quantile averaging: Lichtendahl et al. 2013.)
type blend struct {
	offset [][]float64 // [quantile][member]
	middle []float64   // [member]: the median of its errors; 0 for one that has a path for each quantile
	weight [][]float64 // [quantile][member], summing to 1
	last   []float64   // [quantile]: shift of the average
}

const (
	trustNarrower = .5 // how far the errors of the average may narrow its outer quantiles
	minEvidence   = 24 // points that a bucket needs for errors of its own
	// fewDays is the square of the days of evidence with which half as much is left beyond an outer quantile.
	fewDays = 20.0
)

// preference is how members are weighed: by the inverse of their loss to the power, a loss counting half after halfLife
// days. What is best in the middle lasts: there is more to be had by holding on to it. The outer quantiles follow a
// change of the spread sooner, and one member's luck with few errors beyond them counts less.
type preference struct{ power, halfLife float64 }

func preferenceFor(q float64) preference {
	if isMiddle(q) {
		return preference{power: 16, halfLife: 28}
	}
	return preference{power: 8, halfLife: 4}
}

// isMiddle reports whether q is closer to the median than to the extremes.
func isMiddle(q float64) bool { return q > .25 && q < .75 }

// fit makes the blend of a bucket from its evidence, which must hold at least one point.
func (e *evidence) fit(members []chosen, quantiles []float64) blend {
	n, nq := len(e.y), len(quantiles)
	bl := blend{last: make([]float64, nq), middle: make([]float64, len(members))}
	for range quantiles {
		bl.offset = append(bl.offset, make([]float64, len(members)))
		bl.weight = append(bl.weight, make([]float64, len(members)))
	}
	levels := e.levels(quantiles)
	errs, at := make([]float64, n), make([]float64, nq)
	for i, m := range members {
		for p := range m.paths(nq) {
			for j, v := range e.said[i][p] {
				errs[j] = e.y[j] - v
			}
			if m.byQuantile {
				upperQuantiles(errs, levels[p:p+1], at[p:p+1])
				bl.offset[p][i] = at[p]
				continue
			}
			upperQuantiles(errs, []float64{.5}, bl.middle[i:i+1])
			upperQuantiles(errs, levels, at)
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
		weigh(bl.weight[qi], preferenceFor(q).power)
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
		upperQuantiles(errs, levels[qi:qi+1], bl.last[qi:qi+1])
		if (q > .5 && bl.last[qi] < 0) || (q < .5 && bl.last[qi] > 0) {
			// The average was fitted to the very points that its errors are taken of: they flatter it.
			bl.last[qi] *= trustNarrower
		}
	}
	return bl
}

// levels returns the levels that errors of few days are taken at: further out than the quantiles asked for, because the
// errors of one day are alike, so that few days seldom show the tail of what comes.
func (e *evidence) levels(quantiles []float64) []float64 {
	out := append([]float64(nil), quantiles...)
	square, enough := e.days*e.days, float64(longOrigins*longOrigins)
	left := min(1, square/(square+fewDays)*(enough+fewDays)/enough) // of what lies beyond a quantile
	for i, q := range quantiles {
		switch {
		case q > .5:
			out[i] = 1 - (1-q)*left
		case q < .5:
			out[i] = q * left
		}
	}
	return out
}

// caution is by how much offsets are widened because there are few days of evidence: 2.4 for two, 1.1 for ten.
func (e *evidence) caution() float64 {
	const enough = longOrigins * longOrigins
	return 1 + max(0, 3/(1+e.days*e.days/4)-3/(1+enough/4.0))
}

// widen makes the distances from the median to the other quantiles larger by the factor, because the errors are of fewer days or of
// a shorter horizon.
func (b *blend) widen(factor float64, quantiles []float64) {
	for qi, q := range quantiles {
		for i, off := range b.offset[qi] {
			if away := off - b.middle[i]; q != .5 && (q > .5) == (away > 0) {
				b.offset[qi][i] += (factor - 1) * away
			}
		}
	}
}

// evenBlend is that of members nothing is known of.
func evenBlend(members, quantiles int) blend {
	b := blend{last: make([]float64, quantiles), middle: make([]float64, members)}
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
	sum, fresh := 0.0, e.fresh
	if isMiddle(q) {
		fresh = e.lasting
	}
	for j, v := range said {
		sum += fresh[j] * pinball(e.y[j], max(0, v+offset), q)
	}
	return sum
}

// weigh turns losses into shares: the inverse to the power, less than a hundredth of the best dropped.
func weigh(w []float64, power float64) {
	least := math.Inf(1)
	for _, l := range w {
		least = min(least, l)
	}
	total := 0.0
	for i, l := range w {
		share := 1.0
		if l > 0 {
			share = math.Pow(least/l, power)
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
