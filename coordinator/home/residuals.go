package home

import (
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/common"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
)

// inCommon is what the instances on a host have in common, and of which step.
type inCommon struct {
	at       timeline.Time
	estimate common.Estimate
}

// erred keeps how far what came was off an instance's forecasts. A home that begins to be one knows nothing: it assumes until it does.
func (h *Homes) erred(instance string, step time.Duration, errors []forecast.StepErrors) {
	if len(errors) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	ring := h.rings[instance]
	if ring == nil || ring.Step() != step {
		ring = common.NewRing(step)
		h.rings[instance] = ring
	}
	for _, e := range errors {
		ring.Put(e.At, e.Of)
	}
}

// common returns what part of their deviations the instances on a host have in common. It is estimated anew once in a step of the grid.
func (h *Homes) common(view *state.View, host string, now timeline.Time) common.Estimate {
	step := time.Duration(view.Fleet().GridStep) * time.Millisecond
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.shares[host]
	if ok && s.at == now.Floor(step) {
		return s.estimate
	}
	var rings []*common.Ring
	for _, i := range view.InstancesOn(host) {
		if ring := h.rings[i.Name()]; ring != nil && i.Owner == host && ring.Step() == step {
			rings = append(rings, ring)
		}
	}
	s = inCommon{now.Floor(step), common.Of(rings)}
	h.shares[host] = s
	return s.estimate
}

// forgetErrors forgets the errors of instances, and what was estimated of hosts, that this coordinator is not home to any more.
func (h *Homes) forgetErrors(view *state.View) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for instance := range h.rings {
		if !h.owned(view, instance) {
			delete(h.rings, instance)
		}
	}
	for name := range h.turns {
		if host, ok := view.Host(name); !ok || host.Home != h.cfg.Name {
			delete(h.turns, name)
			delete(h.shares, name)
		}
	}
}
