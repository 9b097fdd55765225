package home

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/timeline"
)

// watchFor is how long a forecast is watched: a little longer than models are let grow old.
const watchFor = retrainMost + retrainMost/2

// watch is the look-out for demand that drifts away from what a model said when it was trained.
type watch struct {
	mu     sync.Mutex
	drift  *forecast.Drift
	looked timeline.Time
}

// driftRest is how long a model is left alone after its training, and lookEvery how often the history is asked.
const (
	driftRest = 15 * time.Minute
	lookEvery = time.Minute
)

func (m *model) beginWatch(now timeline.Time) error {
	f, err := m.forecast.Forecast(now, watchFor)
	if err != nil {
		return err
	}
	m.watch.drift = forecast.NewDrift(f, now)
	return nil
}

// drifted reports whether what has come since a model was trained is so far from what it said that it should be trained anew now.
func (h *Homes) drifted(ctx context.Context, instance string, m *model, means bool, now timeline.Time) bool {
	m.watch.mu.Lock()
	defer m.watch.mu.Unlock()
	// Two steps have to be there: one to look at, and the beginning of the next.
	span := m.watch.drift.Wants(now)
	if m.step < forecast.DefaultStep || span.Length() < m.step+time.Second || now.Sub(m.trainedAt) < driftRest || now.Sub(m.watch.looked) < lookEvery {
		return false
	}
	m.watch.looked = now
	history, err := h.cfg.Store.Demand(ctx, instance, span, !means)
	if err != nil {
		return false // said when the model is trained next
	}
	if !means {
		h.erred(instance, m.step, m.watch.drift.Errors(history))
	}
	all := m.watch.drift.See(history)
	// The window falls by itself, and rises by its floor, which a training moves.
	all = slices.DeleteFunc(all, func(d forecast.Drifted) bool { return m.stands[d.Resource] != "" && !d.Up })
	for _, d := range all {
		h.cfg.Meter.Drifted(d.Up)
		direction := "down"
		if d.Up {
			direction = "up"
		}
		h.cfg.Log.Debug("demand drifts away from its forecast, which is made anew", "instance", instance, "resource", d.Resource.String(), "direction", direction)
	}
	return len(all) > 0
}
