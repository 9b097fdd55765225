package home

import (
	"fmt"
	"math"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// What others need to speak for a new instance.
const (
	youngest   = 24 * time.Hour // of history, each
	fewest     = 2              // of them: one may have a part of its own, as a replica that only follows
	mostAsked  = 20             // the most that are asked
	alikeShare = 1.25           // times what they take: they were started long ago
)

// alike returns what instances of the same application and type, whose models are here, are forecast to ask for in the next
// day, at most. It stands in for a new one's first day where the pattern of all of them says that the next day is like those
// before; nothing where it goes on rising, is nothing mostly, or bursts as it likes, or where they don't say for sure.
func (h *Homes) alike(view *state.View, instance string, now timeline.Time) (prior resource.Vector, from string) {
	young, ok := view.Instance(instance)
	spec := young.Spec
	if !ok || spec.Application == "" {
		return prior, ""
	}
	tell := [resource.Kinds]bool{}
	for k := range tell {
		tell[k] = true
	}
	count := 0
	for i := range view.Instances() {
		if i.Name() == instance || i.Spec.Application != spec.Application || i.Spec.Type != spec.Type {
			continue
		}
		h.mu.Lock()
		m := h.models[i.Name()]
		h.mu.Unlock()
		if m == nil || m.observed < youngest || now.Sub(m.trainedAt) > watchFor { // old ones are of instances that have another home now
			continue
		}
		f, err := m.forecast.Forecast(now, youngest)
		if err == nil {
			err = m.standIn(f)
		}
		if err != nil {
			continue // it lies too far in the past or the future
		}
		if count++; count > mostAsked {
			break
		}
		for k, why := range f.Reasons {
			tell[k] = tell[k] && why.Confidence >= pattern.Sure && repeats(why.Pattern)
			prior[k] = max(prior[k], most(f, resource.Kind(k), alikeShare))
		}
	}
	if count < fewest {
		return resource.Vector{}, ""
	}
	for k := range prior {
		if !tell[k] {
			prior[k] = 0
		}
	}
	return prior, fmt.Sprintf("the most that others of application %s are forecast to take (%d known here), and a quarter more", spec.Application, min(count, mostAsked))
}

// repeats reports whether demand of the pattern is tomorrow about what it was.
func repeats(p pattern.Pattern) bool {
	switch p {
	case pattern.Idle, pattern.Steady, pattern.Periodic, pattern.Batch:
		return true
	}
	return false
}

// most returns a share of the highest value of the highest quantile, rounded up, and at least 1: 0 would say that nothing is known.
func most(f *forecast.Forecast, k resource.Kind, share float64) int64 {
	high := 0.0
	for _, v := range f.Values[k][len(f.Quantiles)-1] {
		high = max(high, v)
	}
	return max(1, int64(math.Ceil(min(high*share, float64(resource.Unlimited)))))
}
