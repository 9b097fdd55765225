package forecast

import "math"

// ridge is an autoregression on hourly means, or on a root of them, carried on from hour to hour; within the hour it has
// the mean shape of that time of day. It is fitted by ridge regression to deviations from the mean of the last week, anew
// for each day of the history from what lies before it, so that its past forecasts are as good as they would have been.
// (Hoerl and Kennard, Ridge regression: biased estimation for nonorthogonal problems, Technometrics 1970.)
type ridge struct {
	g     *grid
	root  bool      // values are fourth roots: demand that varies in proportion varies evenly there
	lead  int       // steps before the first whole hour
	v     []float64 // of each hour: its mean, or the root of that
	level []float64 // mean of the last week's hours up to and with each
	lags  []int
	fits  []ridgeFit
	shape []float64 // what each step has over its hour, averaged over the days up to it
}

// ridgeFit is what was known after so many hours.
type ridgeFit struct {
	hours int
	beta  []float64 // per lag; nil: too little is known
}

const (
	ridgePenalty = .0005 // relative to the mean square of a regressor
	ridgeMemory  = 21.0  // days after which an hour counts half
	ridgeDays    = 4     // of history that a fit needs
)

// newRidge goes by every hour of the last day, and by the hour of the days of a week.
func newRidge(g *grid, _ []float64) member { return newRidgeOf(g, hourLags(g.day/g.hour), false) }

// newRidgeRoot is the same for demand whose variation grows with it.
func newRidgeRoot(g *grid, _ []float64) member { return newRidgeOf(g, hourLags(g.day/g.hour), true) }

// newRidgeDay goes by the hour, and hours beside it, of days before only: errors of one hour are not carried into the next.
func newRidgeDay(g *grid, _ []float64) member { return newRidgeOf(g, dayLags(g.day/g.hour), false) }

// newRidgeDayRoot is the same for demand whose variation grows with it.
func newRidgeDayRoot(g *grid, _ []float64) member { return newRidgeOf(g, dayLags(g.day/g.hour), true) }

// hourLags are all up to an hour more than a day, whole days up to a week, and an hour more than that.
func hourLags(perDay int) []int {
	var lags []int
	for l := 1; l <= perDay+1; l++ {
		lags = append(lags, l)
	}
	for d := 2; d <= 7; d++ {
		lags = append(lags, d*perDay)
	}
	return append(lags, 7*perDay+1)
}

// dayLags are whole days up to a week and a day, with the hours beside those of the first two days and of a week, and two weeks.
func dayLags(perDay int) []int {
	lags := []int{perDay, perDay + 1}
	for d := 2; d <= 8; d++ {
		if d == 2 || d >= 7 {
			lags = append(lags, d*perDay-1, d*perDay, d*perDay+1)
		} else {
			lags = append(lags, d*perDay)
		}
	}
	return append(lags, 14*perDay)
}

func newRidgeOf(g *grid, lags []int, root bool) member {
	m := &ridge{g: g, root: root, lead: len(g.x) % g.hour, lags: lags}
	means := g.hourlyMeans(m.lead)
	m.v = make([]float64, len(means))
	for i, v := range means {
		m.v[i] = m.value(v)
	}
	m.level = trailing(m.v, 7*g.day/g.hour)
	m.fit(g.day / g.hour)
	if g.hour > 1 {
		m.shape = g.hourShape(means, m.lead)
	}
	return m
}

// value is what an amount is regressed as, and amount the way back.
func (m *ridge) value(amount float64) float64 {
	if m.root {
		return math.Sqrt(math.Sqrt(amount))
	}
	return amount
}

func (m *ridge) amount(value float64) float64 {
	if m.root {
		return value * value * value * value
	}
	return value
}

// hourlyMeans returns the means of the whole hours from step lead on.
func (g *grid) hourlyMeans(lead int) []float64 {
	var out []float64
	for i := lead; i < len(g.x); i += g.hour {
		sum := 0.0
		for _, v := range g.x[i : i+g.hour] {
			sum += v
		}
		out = append(out, sum/float64(g.hour))
	}
	return out
}

// hourShape returns the exponentially weighted mean, over the days up to each step, of what a step has over its hour.
// Members share it.
func (g *grid) hourShape(means []float64, lead int) []float64 {
	if g.shape == nil {
		g.shape = make([]float64, len(g.x))
		for i := lead; i < len(g.x); i++ {
			g.shape[i] = g.x[i] - means[(i-lead)/g.hour]
			if j := g.before(i, g.day); j >= lead {
				g.shape[i] += profileMemory * (g.shape[j] - g.shape[i])
			}
		}
	}
	return g.shape
}

func (m *ridge) path(dst []float64, o, _ int) {
	hour := m.g.hour
	known := max(0, o-m.lead) / hour // whole hours before the origin
	beta := m.betaAt(known)
	if beta == nil {
		for h := range dst {
			dst[h] = m.g.naive(o+h, o)
		}
		return
	}
	from := max(0, known-m.lags[len(m.lags)-1])
	level := m.level[known-1]
	hours := (o + len(dst) - m.lead + hour - 1) / hour
	v := append(make([]float64, 0, hours-from), m.v[from:known]...)
	low, high := math.Inf(1), math.Inf(-1)
	for _, x := range v {
		low, high = min(low, m.amount(x)), max(high, m.amount(x))
	}
	low, high = m.value(max(0, low-(high-low)/2)), m.value(high+(high-low)/2)
	row := make([]float64, len(m.lags))
	for i := known; i < hours; i++ {
		m.regressors(row, v, i-from, level)
		y := level
		for k, r := range row {
			y += beta[k] * r
		}
		v = append(v, min(max(y, low), high)) // an unstable recursion stays near what was
	}
	for i := known - from; i < len(v); i++ {
		v[i] = m.amount(v[i])
	}
	if m.shape == nil {
		copy(dst, v[known-from:])
		return
	}
	m.g.sames(len(dst), o, m.g.day, hour-1, func(h, j int) {
		dst[h] = v[(o+h-m.lead)/hour-from] // an hour that has begun is forecast whole
		if j >= 0 {
			dst[h] = max(0, dst[h]+m.shape[j])
		}
	})
}

// betaAt returns the newest coefficients that were known after so many hours, or nil.
func (m *ridge) betaAt(hours int) []float64 {
	for i := len(m.fits) - 1; i >= 0; i-- {
		if m.fits[i].hours <= hours {
			return m.fits[i].beta
		}
	}
	return nil
}
