package forecast

// seasonal is a member that repeats a series of values at the same wall-clock time, plus a level that fades. The
// values' own step need be known only margin steps later.
type seasonal struct {
	g      *grid
	at     []float64
	period int
	margin int
	shift  []float64 // level of what the season leaves over, per origin's last step; nil for none
	decay  float64   // of the level, per step
}

func (m seasonal) path(dst []float64, o, _ int) {
	shift := 0.0
	if m.shift != nil {
		shift = m.shift[o-1]
	}
	m.g.runs(len(dst), o, m.period, m.margin, func(h, j, count int) {
		dst := dst[h : h+count]
		if j < 0 {
			m.g.unknown(dst, o+h, o, m.period)
			for range dst {
				shift *= m.decay
			}
			return
		}
		for i, v := range m.at[j : j+count] {
			dst[i] = max(0, v+shift)
			shift *= m.decay
		}
	})
}

// weekTried is how many days a history has at least of which a season of a week is tried: two days then had a week before them.
const weekTried = 9

// young reports whether the history is too short for a season so long to have been tried: what stands in for it would be judged in its place.
func (g *grid) young(period int) bool { return period > g.day && len(g.x) < weekTried*g.day }

func (m seasonal) silent() bool { return m.g.young(m.period) }

// unknown fills dst with what stands in, from step i and the origin o on, for a season that the history does not reach back to: the seasonal naive forecast by day for
// a longer one, else the last value.
func (g *grid) unknown(dst []float64, i, o, period int) {
	if period <= g.day {
		fill(dst, g.x[o-1])
		return
	}
	for h := range dst {
		dst[h] = g.naive(i+h, o)
	}
}

// fill sets all of dst to a value.
func fill(dst []float64, v float64) {
	for i := range dst {
		dst[i] = v
	}
}

// naive is the seasonal naive forecast by day of step i from the origin o, or the last value until there is a day.
func (g *grid) naive(i, o int) float64 {
	if j := g.same(i, o, g.day, 0); j >= 0 {
		return g.x[j]
	}
	return g.x[o-1]
}

// newYesterday is the seasonal naive forecast by day.
func newYesterday(g *grid, _ []float64) member { return seasonal{g: g, at: g.x, period: g.day} }

// newLastWeek is the seasonal naive forecast by week; by day until there is a week.
func newLastWeek(g *grid, _ []float64) member { return seasonal{g: g, at: g.x, period: 7 * g.day} }

const profileMemory = .75 // weight of the profile so far when a day is added to it

// profile returns at each step the exponentially weighted mean of v over the days up to it at the same time of day.
func profile(g *grid, v []float64) []float64 {
	p := append([]float64(nil), v...)
	for i := range v {
		if j := g.before(i, g.day); j >= 0 {
			p[i] = profileMemory*p[j] + (1-profileMemory)*v[i]
		}
	}
	return p
}

// newDayProfile is the exponentially weighted mean day, smoothed over half an hour to each side.
func newDayProfile(g *grid, _ []float64) member {
	half := g.hour / 2
	if g.meanDay == nil { // three members build on it
		g.meanDay = profile(g, centred(g.x, half))
	}
	return seasonal{g: g, at: g.meanDay, period: g.day, margin: half}
}

// newDayMedian is the median of the last seven days at the same time.
func newDayMedian(g *grid, _ []float64) member {
	at := make([]float64, len(g.x))
	var days [7]float64
	for i := g.from; i < len(at); i++ {
		n := 0
		for j := i; j >= 0 && n < len(days); j = g.before(j, g.day) {
			k, v := n, g.x[j] // insertion: seven values want no more
			for ; k > 0 && days[k-1] > v; k-- {
				days[k] = days[k-1]
			}
			days[k] = v
			n++
		}
		at[i] = (days[(n-1)/2] + days[n/2]) / 2
	}
	return seasonal{g: g, at: at, period: g.day}
}

// newDayMedianLevel is the median of the last seven days at the same time plus the middle of what it left over in the last six hours, which fades with a
// half-life of two days: a burst moves neither.
func newDayMedianLevel(g *grid) member {
	m := newDayMedian(g, nil).(seasonal)
	m.shift, m.decay = m.overFrom(g.from), halfLife(2*float64(g.day))
	last := &newWindows(1, g.day/4)[0]
	for i := g.from; i < len(m.shift); i++ { // in its first day it is not right, but no origin is in the first two

		last.add(m.shift[i])
		m.shift[i] = last.sorted[len(last.sorted)/2]
	}
	return m
}

// over returns what the seasonal member, forecasting each step from the steps before it, leaves over.
func (m seasonal) over() []float64 { return m.overFrom(0) }

// overFrom is over of the given step and those after it; 0 before.
func (m seasonal) overFrom(from int) []float64 {
	r := make([]float64, len(m.g.x))
	for i := from; i < len(r); i++ {
		if j := m.g.same(i, i, m.period, m.margin); j >= 0 {
			r[i] = m.g.x[i] - m.at[j]
		}
	}
	return r
}

// newProfileLevel is the mean day plus the recent difference from it, which fades with a half-life of half a day.
func newProfileLevel(g *grid, _ []float64) member {
	m := newDayProfile(g, nil).(seasonal)
	m.shift, m.decay = ewma(m.over(), float64(g.hour)), halfLife(float64(g.day)/2)
	return m
}

// newWeekLevel is the same day of last week, smoothed, plus the lasting difference from it.
func newWeekLevel(g *grid, _ []float64) member {
	half := g.hour / 2
	m := seasonal{g: g, at: centred(g.x, half), period: 7 * g.day, margin: half}
	m.shift, m.decay = ewma(m.over(), float64(g.day)/4), halfLife(2*float64(g.day))
	return m
}
