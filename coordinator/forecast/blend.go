package forecast

import (
	"math"
	"slices"
)

// blend is how one bucket's quantiles are made of the members: each member is shifted by the quantile of its own
// recent errors, those of outer quantiles fading; the shifted members are averaged by what they lost recently, in the
// middle by their weighted median; and that is shifted once more by the quantile of its errors.
// (Split-conformal, rolling: Vovk et al. 2005; quantile averaging: Lichtendahl et al. 2013.)
type blend struct {
	offset [][]float64 // [quantile][member]
	middle []float64   // [member]: the median of its errors; 0 for one that has a path for each quantile
	weight [][]float64 // [quantile][member], summing to 1
	last   []float64   // [quantile]: shift of the average
	narrow [][]float64 // offset before it was widened; nil where it was not
}

const (
	trustNarrower = .8 // how far the errors of the average may narrow its outer quantiles
	trustFew      = .5 // the same on coarse steps
	minEvidence   = 24 // points that a bucket needs for errors of its own
	// fewDays is the square of the days of evidence with which half as much is left beyond an outer quantile.
	fewDays = 20.0
	// rareBeyond is what lies beyond a quantile at most that few days are guarded against in full.
	rareBeyond = .045
)

// preference is how members are weighed: by the inverse of their loss to the power, a loss counting half after halfLife
// days. What is best in the middle lasts: there is more to be had by holding on to it. The outer quantiles follow a
// change of the spread sooner, and the best of them more closely where there are many steps to tell it by.
type preference struct{ power, halfLife float64 }

func preferenceFor(q float64, fine bool) preference {
	switch {
	case isMiddle(q):
		return preference{halfLife: 28, power: 8}
	case fine:
		return preference{halfLife: 4, power: 16}
	default:
		return preference{halfLife: 4, power: 8}
	}
}

// isMiddle reports whether q is closer to the median than to the extremes.
func isMiddle(q float64) bool { return q > .25 && q < .75 }

// fit makes the blend of a bucket from its evidence, which must hold at least one point.
func (e *evidence) fit(members []chosen, quantiles []float64) blend {
	nq := len(quantiles)
	bl := blend{last: make([]float64, nq), middle: make([]float64, len(members))}
	for range quantiles {
		bl.offset = append(bl.offset, make([]float64, len(members)))
		bl.weight = append(bl.weight, make([]float64, len(members)))
	}
	levels, at := e.levels(quantiles), make([]float64, nq)
	for i, m := range members {
		if e.mute[i] {
			continue
		}
		if m.byQuantile {
			for qi := range quantiles {
				e.errors(e.said[i][qi], levels[qi:qi+1], bl.offset[qi][i:i+1])
			}
			continue
		}
		e.errors(e.said[i][0], levels, at)
		for qi := range quantiles {
			bl.offset[qi][i] = at[qi]
		}
		if qi := slices.Index(quantiles, .5); qi >= 0 {
			bl.middle[i] = at[qi]
		} else {
			e.errors(e.said[i][0], []float64{.5}, bl.middle[i:i+1])
		}
	}
	made, errs := make([]float64, len(e.y)), make([]counted, len(e.y))
	said := make([][]float64, len(members))
	for qi, q := range quantiles {
		for i, m := range members {
			if e.mute[i] {
				bl.weight[qi][i] = math.Inf(1)
				continue
			}
			said[i] = e.said[i][m.pathOf(qi)]
			bl.weight[qi][i] = e.loss(said[i], bl.offset[qi][i], q)
		}
		weigh(bl.weight[qi], preferenceFor(q, e.fine).power)
		bl.combine(made, q, qi, said)
		for j, v := range made {
			errs[j] = counted{e.y[j] - v, e.counts[j]}
		}
		e.quantiles(errs, levels[qi:qi+1], bl.last[qi:qi+1])
		if (q > .5 && bl.last[qi] < 0) || (q < .5 && bl.last[qi] > 0) {
			// The average was fitted to the very points that its errors are taken of: they flatter it.
			if e.fine {
				bl.last[qi] *= trustNarrower
			} else {
				bl.last[qi] *= trustFew
			}
		}
	}
	return bl
}

// errors writes the quantiles of what y was over what was said.
func (e *evidence) errors(said, levels, out []float64) {
	if cap(e.errs) < len(said) {
		e.errs = make([]counted, len(said))
	}
	errs := e.errs[:len(said)]
	for j, v := range said {
		errs[j] = counted{e.y[j] - v, e.counts[j]}
	}
	e.quantiles(errs, levels, out)
}

// quantiles writes the quantiles of errors at levels that ascend: the outer ones of errors that fade, because the spread
// changes, the middle ones of all alike. The errors are reordered.
func (e *evidence) quantiles(errs []counted, levels, out []float64) {
	from, to := 0, len(levels)
	for from < to && levels[from] < .5 && !isMiddle(levels[from]) {
		from++
	}
	for to > from && !isMiddle(levels[to-1]) {
		to--
	}
	fadingQuantiles(errs, levels[to:], out[to:])
	fadingQuantiles(errs, levels[:from], out[:from])
	if from == to {
		return
	}
	e.plain = e.plain[:0]
	for _, c := range errs {
		e.plain = append(e.plain, c.v)
	}
	upperQuantiles(e.plain, levels[from:to], out[from:to])
}

// quantile writes the quantile q, the qi-th, of what each member said. What few days are widened by does not lead beyond top, the highest amount seen: what is off by the most that
// there was already is not off by more for being young.
func (b *blend) quantile(dst []float64, q float64, qi int, said [][]float64, top float64) {
	b.combine(dst, q, qi, said)
	var narrow []float64
	if b.narrow != nil && q > .5 && slices.Max(dst)+b.last[qi] > top {
		narrow = make([]float64, len(dst))
		(&blend{offset: b.narrow, weight: b.weight}).combine(narrow, q, qi, said)
	}
	for h := range dst {
		if dst[h] += b.last[qi]; narrow != nil {
			dst[h] = min(dst[h], max(top, narrow[h]+b.last[qi]))
		}
	}
}

// combine writes the quantile q, the qi-th, before the last shift of it, of what each member said: said is read for those that count.
func (b *blend) combine(dst []float64, q float64, qi int, said [][]float64) {
	if isMiddle(q) {
		b.majority(dst, qi, said)
		return
	}
	clear(dst)
	for i, w := range b.weight[qi] {
		if w == 0 {
			continue
		}
		off := b.offset[qi][i]
		for j, v := range said[i][:len(dst)] {
			dst[j] += w * max(0, v+off)
		}
	}
}

// majority writes the weighted medians of what the members that count said: between two of them one moves from the middle of
// one's weight to that of the other's.
func (b *blend) majority(dst []float64, qi int, said [][]float64) {
	var counting []int
	for i, w := range b.weight[qi] {
		if w > 0 {
			counting = append(counting, i)
		}
	}
	sorted := make([]counted, len(counting))
	for j := range dst {
		for n, i := range counting { // insertion: they are few
			v, k := max(0, said[i][j]+b.offset[qi][i]), n
			for ; k > 0 && sorted[k-1].v > v; k-- {
				sorted[k] = sorted[k-1]
			}
			sorted[k] = counted{v, b.weight[qi][i]}
		}
		dst[j] = majorityOf(sorted)
	}
}

// majorityOf returns the weighted median of values in order whose weights sum to 1.
func majorityOf(v []counted) float64 {
	below, last := 0.0, 0.0 // weight of those before, and the middle of the last one's
	for k, c := range v {
		middle := below + c.weight/2
		switch {
		case middle < .5:
		case k == 0:
			return c.v
		default:
			return v[k-1].v + (c.v-v[k-1].v)*(.5-last)/(middle-last)
		}
		below, last = below+c.weight, middle
	}
	return v[len(v)-1].v
}

// levels returns the levels that errors of few days are taken at: further out than the quantiles asked for, because the
// errors of one day are alike, so that few days seldom show the tail of what comes.
func (e *evidence) levels(quantiles []float64) []float64 {
	out := append([]float64(nil), quantiles...)
	square, enough := e.days*e.days, float64(longOrigins*longOrigins)
	for i, q := range quantiles {
		few := fewDays * rareness(q)
		left := min(1, square/(square+few)*(enough+few)/enough) // of what lies beyond a quantile
		switch {
		case q > .5:
			out[i] = 1 - (1-q)*left
		case q < .5:
			out[i] = q * left
		}
	}
	return out
}

// rareness is 1 for quantiles beyond which there is so little that few days say little of it, and less for inner ones: what comes on every
// day a day or two have shown.
func rareness(q float64) float64 { return min(1, rareBeyond/min(q, 1-q)) }

// caution is by how much offsets of the outermost quantiles are widened because there are few days of evidence: 2.4 for two, 1.1 for ten.
func (e *evidence) caution() float64 {
	const enough = longOrigins * longOrigins
	return 1 + max(0, 3/(1+e.days*e.days/4)-3/(1+enough/4.0))
}

// widen makes the distances from the median to the other quantiles larger by the factor, because the errors are of fewer days or of
// a shorter horizon.
func (b *blend) widen(factor float64, quantiles []float64) {
	if factor > 1 {
		for _, off := range b.offset {
			b.narrow = append(b.narrow, slices.Clone(off))
		}
	}
	for qi, q := range quantiles {
		for i, off := range b.offset[qi] {
			if away := off - b.middle[i]; q != .5 && (q > .5) == (away > 0) {
				b.offset[qi][i] += (factor - 1) * math.Pow(rareness(q), 3) * away
			}
		}
	}
}

// evenBlend is that of members nothing is known of: those that have something to say count alike.
func evenBlend(members []chosen, quantiles int) blend {
	b := blend{last: make([]float64, quantiles), middle: make([]float64, len(members))}
	muted, speak := mute(members), 0.0
	for i := range members {
		if !muted[i] {
			speak++
		}
	}
	for range quantiles {
		w := make([]float64, len(members))
		for i := range w {
			if !muted[i] {
				w[i] = 1 / speak
			}
		}
		b.offset, b.weight = append(b.offset, make([]float64, len(members))), append(b.weight, w)
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
