package forecast

// theta is the Theta method on the series without its mean day: exponential smoothing plus half the slope of the last
// week. (Assimakopoulos and Nikolopoulos, The theta model, 2000; Hyndman and Billah, Unmasking the Theta method, 2003.)
type theta struct {
	season seasonal
	slope  []float64 // per step, at each step
}

func newTheta(g *grid, _ []float64) member {
	s := newDayProfile(g, nil).(seasonal)
	s.shift, s.decay = ewma(s.over(), float64(g.day)/4), 1
	m := theta{season: s, slope: make([]float64, len(g.x))}
	// The slope of a line through daily means, which one day's shape does not move.
	means := trailing(g.x, g.day)
	const days = 7
	for i := (days + 1) * g.day; i < len(g.x); i++ {
		num, den := 0.0, 0.0
		for d := 0; d < days; d++ {
			w := float64(days-1)/2 - float64(d)
			num += w * means[i-d*g.day]
			den += w * w
		}
		m.slope[i] = num / den / float64(g.day)
	}
	return m
}

func (m theta) path(dst []float64, o, qi int) {
	m.season.path(dst, o, qi)
	half := m.slope[o-1] / 2
	for h := range dst {
		dst[h] = max(0, dst[h]+half*float64(h+1))
	}
}
