package forecast

import "math"

// regressors writes the lagged deviations from level before hour i of v. A lag beyond the beginning is taken whole days later.
func (m *ridge) regressors(dst, v []float64, i int, level float64) {
	perDay := m.g.day / m.g.hour
	for k, l := range m.lags {
		for l > i {
			l -= perDay
		}
		dst[k] = v[i-l] - level
	}
}

// fit solves for the coefficients at the end and at each whole day before it. The normal equations grow by an hour at a
// time, so that all of these fits cost little more than the last.
func (m *ridge) fit(perDay int) {
	p := len(m.lags)
	gram, right, row := make([]float64, p*p), make([]float64, p), make([]float64, p)
	fade := halfLife(ridgeMemory * float64(perDay))
	weight := 1.0 // of the newest hour: it grows, instead of all others fading
	first := perDay + 1
	next := first + (len(m.v)-first)%perDay
	for i := first; i <= len(m.v); i++ {
		if i == next {
			f := ridgeFit{hours: i}
			if i >= ridgeDays*perDay {
				f.beta = solveRidge(gram, right)
			}
			m.fits = append(m.fits, f)
			next += perDay
		}
		if i == len(m.v) {
			break
		}
		m.regressors(row, m.v, i, m.level[i-1])
		y := weight * (m.v[i] - m.level[i-1])
		for a, r := range row {
			right[a] += y * r
			r *= weight
			to := gram[a*p : a*p+a+1]
			for b := range to {
				to[b] += r * row[b]
			}
		}
		weight /= fade
	}
}

// solveRidge returns the solution of the normal equations, of whose matrix the lower triangle is given, with the penalty
// added; nil where the series never moved. By Cholesky's decomposition.
func solveRidge(gram, right []float64) []float64 {
	p, trace := len(right), 0.0
	for a := range p {
		trace += gram[a*p+a]
	}
	penalty := ridgePenalty * trace / float64(p)
	if !(penalty > 0) || math.IsInf(penalty, 0) {
		return nil
	}
	l, x := make([]float64, p*p), make([]float64, p)
	for a := range p {
		rowA := l[a*p : a*p+a+1]
		for b := 0; b <= a; b++ {
			sum := gram[a*p+b]
			for c, v := range l[b*p : b*p+b] {
				sum -= rowA[c] * v
			}
			if b < a {
				rowA[b] = sum / l[b*p+b]
				continue
			}
			if sum += penalty; !(sum > 0) {
				return nil // lost in rounding
			}
			rowA[a] = math.Sqrt(sum)
		}
		x[a] = right[a]
		for c := range a {
			x[a] -= rowA[c] * x[c]
		}
		x[a] /= rowA[a]
	}
	for a := p - 1; a >= 0; a-- {
		for c := a + 1; c < p; c++ {
			x[a] -= l[c*p+a] * x[c]
		}
		x[a] /= l[a*p+a]
	}
	return x
}
