package home

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/pool"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// What is known of how instances grow speaks for those that have little history, and none that is like them.
const (
	growthMost  = 50                 // instances that are looked at: more say the same
	growthYoung = 4 * 24 * time.Hour // of history that it takes
	growthKeeps = 24 * time.Hour     // until it is looked at anew
	growthOld   = 2 * 24 * time.Hour // from which on an instance is taken to have another home, or to be gone
)

// growing is how an instance grew, as of a time.
type growing struct {
	at timeline.Time
	of *pool.Growth
}

// grow looks at how an instance grew whose model was just trained, if that is wanted.
func (h *Homes) grow(instance string, history forecast.History, most resource.Vector, now timeline.Time) {
	h.mu.Lock()
	known, ok := h.growth[instance]
	if !ok && len(h.growth) >= growthMost {
		maps.DeleteFunc(h.growth, func(_ string, g growing) bool { return now.Sub(g.at) > growthOld })
	}
	wanted := now.Sub(known.at) >= growthKeeps && (ok || len(h.growth) < growthMost)
	h.mu.Unlock()
	if !wanted {
		return
	}
	g := growing{now, pool.GrowthOf(history, most)}
	h.mu.Lock()
	h.growth[instance] = g
	h.fleet = nil
	h.mu.Unlock()
}

// grown returns what the instances known here say together; nil if they are too few.
func (h *Homes) grown() *pool.Fleet {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fleet == nil && len(h.growth) >= pool.FleetLeast {
		var all []*pool.Growth
		for _, name := range slices.Sorted(maps.Keys(h.growth)) {
			all = append(all, h.growth[name].of)
		}
		h.fleet = pool.FleetOf(all)
	}
	return h.fleet
}

// standsInFor puts into the options what stands in for resources of which nobody like the instance speaks.
func standsInFor(opts *forecast.Options, history forecast.History, fleet *pool.Fleet) {
	if fleet == nil {
		return
	}
	for k := range opts.PriorQuantiles {
		if opts.PriorFrom[k] != "" {
			continue
		}
		kind := resource.Kind(k)
		if amounts := fleet.StandsIn(kind, history[k], opts.Maximum[k], forecast.DefaultQuantiles()); amounts != nil {
			opts.PriorQuantiles[k] = amounts
			opts.PriorFrom[k] = fmt.Sprintf("what %d instances of all applications came to ask for in the day after as much time", fleet.Instances(kind))
		}
	}
}
