package forecast

import (
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// The window forecasts as the Vertical Pod Autoscaler of Kubernetes recommends: from a histogram of the last days in which what is older
// counts less, with a margin. It knows no time of day.
const (
	windowHalfLife = 24 * time.Hour
	windowLength   = 8 * windowHalfLife
	windowMargin   = 1.15 // on quantiles above the median
)

// Window returns what the window would say in the place of m: for each resource the quantiles of its last eight days, where what is a day older
// counts half, and above the median 15 % more; the last hour is a floor of the next. Events are taken out and put back as m does. While there is too little history the window has
// the same stand-in as m. It returns the errors of Forecast.
func (m *Model) Window(now timeline.Time, horizon time.Duration) (*Forecast, error) {
	return m.predict(now, horizon, (*kindModel).windowValues)
}

// Quantiles returns the quantiles that m forecasts, ascending.
func (m *Model) Quantiles() []float64 { return m.opts.Quantiles }

// windowValues is what the window says of one resource for n steps.
func (m *kindModel) windowValues(all *Model, kind resource.Kind, start timeline.Time, n int) [][]float64 {
	if m.grid == nil {
		return m.values(all, kind, start, n)
	}
	levels := m.kept
	if m.held == nil {
		levels = m.grid.window(all.opts.Quantiles)
	}
	if levels == nil {
		return m.values(all, kind, start, n)
	}
	out := make([][]float64, len(levels))
	for qi, v := range levels {
		if all.opts.Quantiles[qi] > .5 && m.cold {
			v = max(v, m.standInFor())
		}
		out[qi] = make([]float64, n)
		for i := range out[qi] {
			out[qi][i] = v
			// A level that has just risen is far above what the last days say, and a window has nothing else to follow it with.
			if at := start.Add(time.Duration(i) * all.opts.Step).Sub(m.grid.timeOf(len(m.grid.x))); all.opts.Quantiles[qi] > .5 && at < time.Hour {
				out[qi][i] = max(v, m.recent[qi])
			}
		}
	}
	m.finish(out, all, kind, start)
	return out
}

// window returns the window's quantiles at the end of the grid; nil when none of its steps is known.
func (g *grid) window(quantiles []float64) []float64 {
	type sample struct{ value, weight float64 }
	var known []sample
	total := 0.0
	for i := max(0, len(g.y)-int(windowLength/g.step)); i < len(g.y); i++ {
		if v := g.y[i]; !math.IsNaN(v) {
			age := time.Duration(len(g.y)-1-i) * g.step
			w := math.Exp2(-float64(age) / float64(windowHalfLife))
			known = append(known, sample{v, w})
			total += w
		}
	}
	if len(known) == 0 {
		return nil
	}
	slices.SortFunc(known, func(a, b sample) int {
		switch {
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	out := make([]float64, len(quantiles))
	at, sum := 0, known[0].weight
	for qi, q := range quantiles {
		for at+1 < len(known) && sum < q*total-1e-12 {
			at++
			sum += known[at].weight
		}
		out[qi] = known[at].value
		if q > .5 {
			out[qi] *= windowMargin
		}
	}
	return out
}
