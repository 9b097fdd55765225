package forecast

// level is a member that stays at a value known at the origin.
type level struct{ at []float64 }

func (m level) path(dst []float64, o, _ int) {
	v := m.at[o-1]
	for i := range dst {
		dst[i] = v
	}
}

// newLastHour stays at the mean of the last hour.
func newLastHour(g *grid, _ []float64) member { return level{trailing(g.x, g.hour)} }

// newLastHourPeak stays at the highest step of the last hour: what bursts come back to.
func newLastHourPeak(g *grid, _ []float64) member {
	at := make([]float64, len(g.x))
	for i := range at {
		for _, v := range g.x[max(0, i+1-g.hour) : i+1] {
			at[i] = max(at[i], v)
		}
	}
	return level{at}
}

// Simple exponential smoothing with a fixed half-life.
func newSmoothing6h(g *grid, _ []float64) member { return level{ewma(g.x, float64(g.day)/4)} }
func newSmoothing2d(g *grid, _ []float64) member { return level{ewma(g.x, 2*float64(g.day))} }
