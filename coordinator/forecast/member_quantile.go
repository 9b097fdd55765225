package forecast

// hourQuantile is, per quantile, what the last days, or the same days of the last weeks, showed in the same hour.
type hourQuantile struct {
	g      *grid
	period int // a day or a week, in steps
	levels int
	blocks []float64 // [block × levels]: over the hour and the same hour of the periods before
}

// newHourQuantile goes by the last seven days.
func newHourQuantile(g *grid, quantiles []float64) member {
	return newHourQuantileOf(g, quantiles, g.day, 7)
}

// newWeekHourQuantile goes by the same day of the last four weeks.
func newWeekHourQuantile(g *grid, quantiles []float64) member {
	return newHourQuantileOf(g, quantiles, 7*g.day, 4)
}

func newHourQuantileOf(g *grid, quantiles []float64, period, periods int) member {
	n := len(g.x) / g.hour
	m := &hourQuantile{g: g, period: period, levels: len(quantiles), blocks: make([]float64, n*len(quantiles))}
	buf := make([]float64, 0, periods*g.hour)
	for b := max(0, g.from+g.day-period) / g.hour; b < n; b++ { // of a week as much is read before that as of a day
		buf = buf[:0]
		for d, j := 0, b*g.hour; d < periods && j >= 0; d++ {
			buf = append(buf, g.x[j:j+g.hour]...)
			j = g.before(j, period)
		}
		upperQuantiles(buf, quantiles, m.blocks[b*m.levels:(b+1)*m.levels])
	}
	return m
}

func (m *hourQuantile) silent() bool { return m.g.young(m.period) }

func (m *hourQuantile) path(dst []float64, o, qi int) {
	hour, last := m.g.hour, len(m.blocks)/m.levels-1
	m.g.runs(len(dst), o, m.period, hour-1, func(h, j, count int) {
		if j < 0 {
			m.g.unknown(dst[h:h+count], o+h, o, m.period)
			return
		}
		for end := h + count; h < end; {
			b, n := min(j/hour, last), min(end-h, hour-j%hour)
			fill(dst[h:h+n], m.blocks[b*m.levels+qi])
			h, j = h+n, j+n
		}
	})
}

// recentQuantile stays, per quantile, at what the last steps showed.
type recentQuantile struct {
	end, every, levels int
	at                 []float64 // [checkpoint × levels]; checkpoint k lies k × every steps before the end
}

// The quantiles are taken anew every so often; an origin in between goes by the checkpoint before it.
func newQuantile1d(g *grid, qs []float64) member { return newRecentQuantile(g, g.day, g.day/4, qs) }
func newQuantile7d(g *grid, qs []float64) member { return newRecentQuantile(g, 7*g.day, g.day/2, qs) }

// recentSamples is how many values a quantile is taken of: a regular subset, fine enough for a level at .99.
const recentSamples = 300

func newRecentQuantile(g *grid, steps, every int, qs []float64) member {
	m := &recentQuantile{end: len(g.x), every: max(1, every), levels: len(qs)}
	out := make([]float64, len(qs))
	var buf []float64
	for o := m.end; o >= 1; o -= m.every {
		from := max(0, o-steps)
		stride := max(1, (o-from)/recentSamples)
		buf = buf[:0]
		for i := o - 1; i >= from; i -= stride {
			buf = append(buf, g.x[i])
		}
		upperQuantiles(buf, qs, out)
		m.at = append(m.at, out...)
		if o < g.from { // no origin lies before it
			return m
		}
	}
	if first := (m.end - 1) % m.every; first > 0 { // the earliest origins know the first value
		for range qs {
			m.at = append(m.at, g.x[0])
		}
	}
	return m
}

func (m *recentQuantile) path(dst []float64, o, qi int) {
	fill(dst, m.at[(m.end-o+m.every-1)/m.every*m.levels+qi])
}
