package forecast

import "math"

// holtWinters is additive Holt-Winters with a daily season and a damped trend.
// (Gardner and McKenzie, Forecasting trends in time series, 1985; Hyndman and Athanasopoulos, FPP3, section 8.3.)
type holtWinters struct {
	g            *grid
	level, trend []float64 // after each step
	season       []float64 // of each step
	phi          float64   // damping of the trend per step
}

// halfLife returns the factor per step that halves in n steps.
func halfLife(n float64) float64 { return math.Exp2(-1 / n) }

// newHoltWinters chooses the smoothing by the absolute error three hours ahead over the history.
func newHoltWinters(g *grid, _ []float64) member {
	best, next, least := emptyHoltWinters(g), emptyHoltWinters(g), math.NaN()
	for _, hours := range []float64{2, 24} { // half-life of the level
		for _, gamma := range []float64{.1, .4} {
			next.fit(1-halfLife(hours*float64(g.hour)), gamma)
			if e := next.errorAhead(3 * g.hour); !(e >= least) { // the first
				best, next, least = next, best, e
			}
		}
	}
	return best
}

func emptyHoltWinters(g *grid) *holtWinters {
	n := len(g.x)
	return &holtWinters{g: g, level: make([]float64, n), trend: make([]float64, n), season: make([]float64, n), phi: halfLife(float64(g.day) / 4)}
}

// fit works out level, trend and season anew.
func (m *holtWinters) fit(alpha, gamma float64) {
	g := m.g
	const beta = .02
	phi := m.phi
	first := min(len(g.x), g.day)
	l, t := 0.0, 0.0
	for _, v := range g.x[:first] {
		l += v / float64(first)
	}
	sofar := ewma(g.x[:first], math.Inf(1)) // an origin in the first day sees the mean until then
	for i, v := range g.x {
		if i < first {
			m.season[i], m.level[i] = v-l, sofar[i]
			continue
		}
		s := m.season[max(0, g.before(i, g.day))]
		e := v - (l + phi*t + s)
		l, t = l+phi*t+alpha*e, phi*t+alpha*beta*e
		m.level[i], m.trend[i], m.season[i] = l, t, s+gamma*(1-alpha)*e
	}
}

func (m *holtWinters) path(dst []float64, o, _ int) {
	l, t, damped := m.level[o-1], m.trend[o-1], 0.0
	m.g.runs(len(dst), o, m.g.day, 0, func(h, j, count int) {
		dst := dst[h : h+count]
		if o < m.g.day || j < 0 {
			fill(dst, l)
			return
		}
		for i, season := range m.season[j : j+count] {
			damped = m.phi * (1 + damped)
			dst[i] = max(0, l+t*damped+season)
		}
	})
}

// errorAhead is the mean absolute error of the forecasts h steps ahead after the first two days.
func (m *holtWinters) errorAhead(h int) float64 {
	sum, n, damped := 0.0, 0, 0.0
	for range h {
		damped = m.phi * (1 + damped)
	}
	for i := 2*m.g.day + h; i < len(m.g.x); i++ {
		o := i - h + 1
		j := m.g.before(i, m.g.day) // which is known at o, hours later
		sum += math.Abs(m.g.x[i] - (m.level[o-1] + m.trend[o-1]*damped + m.season[j]))
		n++
	}
	if n == 0 {
		return math.Inf(1)
	}
	return sum / float64(n)
}
