package forecast

// hourQuantile is, per quantile, what the last seven days showed in the same hour.
type hourQuantile struct {
	g      *grid
	levels int
	blocks []float64 // [block × levels]: over the hour and the same hour of the six days before
}

func newHourQuantile(g *grid, quantiles []float64) member {
	n := len(g.x) / g.hour
	m := &hourQuantile{g: g, levels: len(quantiles), blocks: make([]float64, n*len(quantiles))}
	const days = 7
	buf := make([]float64, 0, days*g.hour)
	for b := 0; b < n; b++ {
		buf = buf[:0]
		for d, j := 0, b*g.hour; d < days && j >= 0; d++ {
			buf = append(buf, g.x[j:j+g.hour]...)
			j = g.before(j, g.day)
		}
		upperQuantiles(buf, quantiles, m.blocks[b*m.levels:(b+1)*m.levels])
	}
	return m
}

func (m *hourQuantile) path(dst []float64, o, qi int) {
	m.g.sames(len(dst), o, m.g.day, m.g.hour-1, func(h, j int) {
		if b := j / m.g.hour; j >= 0 && (b+1)*m.levels <= len(m.blocks) {
			dst[h] = m.blocks[b*m.levels+qi]
			return
		}
		dst[h] = m.g.x[o-1]
	})
}

// recentQuantile stays, per quantile, at what the last steps showed.
type recentQuantile struct {
	g         *grid
	steps     int
	quantiles []float64
	buf, at   []float64
	origin    int // that at was computed at; it serves origins up to half of a seventh of steps later, too
}

func newQuantile1d(g *grid, qs []float64) member { return newRecentQuantile(g, g.day, qs) }
func newQuantile7d(g *grid, qs []float64) member { return newRecentQuantile(g, 7*g.day, qs) }

func newRecentQuantile(g *grid, steps int, qs []float64) member {
	return &recentQuantile{g: g, steps: steps, quantiles: qs, at: make([]float64, len(qs))}
}

// recentSamples is how many values the quantile is taken of: a regular subset, fine enough for a level at .99.
const recentSamples = 600

func (m *recentQuantile) path(dst []float64, o, qi int) {
	if m.origin == 0 || o < m.origin || o-m.origin >= max(1, m.steps/14) {
		m.origin = o
		from := max(0, o-m.steps)
		stride := max(1, (o-from)/recentSamples)
		m.buf = m.buf[:0]
		for i := o - 1; i >= from; i -= stride {
			m.buf = append(m.buf, m.g.x[i])
		}
		upperQuantiles(m.buf, m.quantiles, m.at)
	}
	for h := range dst {
		dst[h] = m.at[qi]
	}
}
