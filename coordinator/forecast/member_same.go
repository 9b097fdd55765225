package forecast

// sameTime is, per quantile, what the last periods showed at the same time of them.
type sameTime struct {
	g      *grid
	period int         // a day or an hour, in steps
	at     [][]float64 // per level, from g.from on: over the step and those at the same time before it
	from   int         // what at begins with
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
	m := &sameTime{g: g, period: period, from: g.from, at: levelsFrom(g, len(quantiles))}
	windows, ranks := newWindows(period, periods), conformalRanks(periods, quantiles)
	// Of so many periods a step needs one less before it, and there is one that a change of the clock may have skipped.
	g.slots(max(0, g.from-periods*period), g.from, period, func(i, slot int) { windows[slot].begin(g.x[i]) })
	for i := range windows {
		windows[i].sort()
	}
	g.slots(g.from, len(g.x), period, func(i, slot int) {
		w := &windows[slot]
		w.add(g.x[i])
		for qi, rank := range ranks[len(w.sorted)] {
			m.at[qi][i-g.from] = w.sorted[rank]
		}
	})
	return m
}

// levelsFrom returns room for so many amounts of each step from g.from on.
func levelsFrom(g *grid, levels int) [][]float64 {
	n := len(g.x) - g.from
	out, room := make([][]float64, levels), make([]float64, levels*n)
	for i := range out {
		out[i] = room[i*n:][:n]
	}
	return out
}

func (m *sameTime) path(dst []float64, o, qi int) {
	at := m.at[qi]
	m.g.runs(len(dst), o, m.period, 0, func(h, j, count int) {
		if j < 0 {
			fill(dst[h:h+count], m.g.x[o-1])
			return
		}
		copy(dst[h:h+count], at[j-m.from:])
	})
}
