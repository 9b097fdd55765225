package forecast

// sameTime is, per quantile, what the last periods showed at the same time of them.
type sameTime struct {
	g              *grid
	period, levels int       // a day or an hour, in steps
	at             []float64 // [step × levels]: over the step and those at the same time before it
}

// newTimeQuantile goes by the time of day of the last four weeks: what is done once in a while comes back at its minute.
func newTimeQuantile(g *grid, quantiles []float64) member {
	return newSameTime(g, quantiles, g.day, 28)
}

// newMinuteQuantile goes by the minute of the hour, of the last day.
func newMinuteQuantile(g *grid, quantiles []float64) member {
	return newSameTime(g, quantiles, g.hour, 24)
}

func newSameTime(g *grid, quantiles []float64, period, periods int) member {
	m := &sameTime{g: g, period: period, levels: len(quantiles), at: make([]float64, len(g.x)*len(quantiles))}
	windows, ranks := newWindows(period, periods), conformalRanks(periods, quantiles)
	for i := max(0, g.from-(periods+clockPeriods)*period); i < len(g.x); i++ {
		w := &windows[g.slotIn(i, period)]
		w.add(g.x[i])
		for qi, rank := range ranks[len(w.sorted)] {
			m.at[i*m.levels+qi] = w.sorted[rank]
		}
	}
	return m
}

func (m *sameTime) path(dst []float64, o, qi int) {
	m.g.sames(len(dst), o, m.period, 0, func(h, j int) {
		if j < 0 {
			dst[h] = m.g.x[o-1]
			return
		}
		dst[h] = m.at[j*m.levels+qi]
	})
}
