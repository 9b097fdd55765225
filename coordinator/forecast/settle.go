package forecast

import (
	"slices"

	"github.com/glidepath/glidepath/internal/timeline"
)

// settledWithin is how long ago a history may have ended at the end of what its model is settled for. Of one that ended earlier other weeks count.
const settledWithin = 14 * day

// Settled returns a model that forecasts to the byte what m does, up to a time, and refuses what goes further. It holds what that takes alone, about a twentieth: m keeps
// the past of each of its members, to forecast from it however far ahead.
func (m *Model) Settled(until timeline.Time) *Model {
	if until = max(until, 1); m.until != 0 {
		until = min(until, m.until) // it does not know more than it held
	}
	out := &Model{opts: m.opts, events: m.events, until: until}
	for k := range m.kinds {
		out.kinds[k] = m.kinds[k].settled(until, m.opts.Quantiles)
	}
	for _, f := range m.figures {
		out.figures = append(out.figures, f.settled(until))
	}
	return out
}

func (m *kindModel) settled(until timeline.Time, quantiles []float64) kindModel {
	out := *m
	if m.grid == nil || m.held != nil {
		return out
	}
	end := m.grid.timeOf(len(m.grid.x))
	if until.Sub(end) >= settledWithin {
		return out
	}
	out.held = m.blended(max(0, int(until.Sub(end)/m.grid.step))+1, quantiles)
	out.kept = m.grid.window(quantiles)
	out.standIn = m.standInFor()
	out.grid = &grid{start: end, step: m.grid.step, day: m.grid.day, hour: m.grid.hour}
	out.members = slices.Clone(m.members)
	for i := range out.members {
		out.members[i].member = nil
	}
	out.straight.clean = nil
	if m.straight.moved != nil {
		out.straight.moved = []chosen{} // that there was a shift still counts
	}
	return out
}
