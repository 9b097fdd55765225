package forecast

import "slices"

// level is a member that stays at a value known at the origin.
type level struct{ at []float64 }

func (m level) path(dst []float64, o, _ int) {
	fill(dst, m.at[o-1])
}

// newLastHour stays at the mean of the last hour.
func newLastHour(g *grid, _ []float64) member { return level{trailing(g.x, g.hour)} }

// newLastHourPeak stays at the highest step of the last hour: what bursts come back to.
func newLastHourPeak(g *grid, _ []float64) member {
	at, top := make([]float64, len(g.x)), 0.0
	for i, v := range g.x {
		top = max(top, v)
		if before := i - g.hour; before >= 0 && g.x[before] == top { // it may have been the highest alone
			top = slices.Max(g.x[before+1 : i+1])
		}
		at[i] = top
	}
	return level{at}
}

// Simple exponential smoothing with a fixed half-life.
func newSmoothing6h(g *grid, _ []float64) member { return level{ewma(g.x, float64(g.day)/4)} }
func newSmoothing2d(g *grid, _ []float64) member { return level{ewma(g.x, 2*float64(g.day))} }
