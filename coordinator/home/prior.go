package home

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
	"github.com/glidepath/glidepath/coordinator/forecast/pool"
	"github.com/glidepath/glidepath/coordinator/lesson"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// What others need to speak for a new instance.
const (
	youngest   = 24 * time.Hour // of history, each
	fewest     = 2              // of them: one may have a part of its own, as a replica that only follows
	mostAsked  = 20             // the most that are asked
	alikeShare = 1.25           // times what they take: they were started long ago
)

// kin is what others say of an instance.
type kin struct {
	common *pool.Common // what they have in common; nil: nothing

	prior resource.Vector // the most that they ask for in the next day; 0 where they don't speak for it
	from  string          // says who

	fleet *pool.Fleet // what instances of all applications say of a resource that they don't speak for; nil: nothing

	notes []string
}

// kin returns what others say of an instance.
func (h *Homes) kin(view *state.View, instance string, step time.Duration, now timeline.Time) kin {
	k := h.alike(view, instance, step, now)
	k.fleet = h.grown()
	return k
}

// alike returns what instances of the same application and type, whose models are here, are forecast to ask for. It stands in for a new one's first days where the
// pattern of all of them says that the next day is like those before; nothing where it goes on rising, is nothing mostly, or bursts as it likes, or where they don't say
// for sure.
func (h *Homes) alike(view *state.View, instance string, step time.Duration, now timeline.Time) (out kin) {
	young, ok := view.Instance(instance)
	spec := young.Spec
	if !ok || spec.Application == "" {
		return out
	}
	prior, tell, steady := resource.Vector{}, [resource.Kinds]bool{}, [resource.Kinds]bool{}
	for k := range tell {
		tell[k], steady[k] = true, true
	}
	var others pool.Others
	count := 0
	onto := processor{view: view, instance: young}
	for i := range view.Instances() {
		if i.Name() == instance || i.Spec.Application != spec.Application || i.Spec.Type != spec.Type {
			continue
		}
		h.mu.Lock()
		m := h.models[i.Name()]
		h.mu.Unlock()
		if m == nil || m.step != step || m.observed < youngest || now.Sub(m.trainedAt) > watchFor { // old ones are of instances that have another home now
			continue
		}
		f, err := m.forecast.Forecast(now, max(youngest, planner.GridSteps*step))
		if err == nil {
			err = m.standIn(f)
		}
		if err != nil {
			continue // it lies too far in the past or the future
		}
		onto.translate(f, i)
		if count++; count > mostAsked {
			break
		}
		for k, why := range f.Reasons {
			tell[k] = tell[k] && why.Confidence >= pattern.Sure && repeats(why.Pattern)
			steady[k] = steady[k] && !why.Shifted // else nobody knows yet what its days will be like
			prior[k] = max(prior[k], most(f, resource.Kind(k), int(youngest/step), alikeShare))
		}
		others.Forecasts = append(others.Forecasts, f)
	}
	if count < fewest {
		return kin{}
	}
	for k := range prior {
		if others.Of[k] = tell[k] && steady[k]; !tell[k] {
			prior[k] = 0
		}
	}
	out.prior = prior
	out.from = fmt.Sprintf("the most that others of application %s are forecast to take (%d known here), and a quarter more", spec.Application, len(others.Forecasts))
	common := others.Common()
	var of []string
	for _, k := range resource.All() {
		if common.Of(k) {
			of = append(of, k.String())
		}
	}
	if len(of) > 0 {
		out.common = common
		out.notes = []string{fmt.Sprintf("it has little history: what %d others of application %s are forecast to take counts, at its own level as far as that shows (%s)",
			len(others.Forecasts), spec.Application, strings.Join(of, ", "))}
	}
	return out
}

// processor puts forecasts of others onto an instance's CPU.
type processor struct {
	view     *state.View
	instance proto.Instance
	book     lesson.Book
	scores   map[string]int64 // nil: nothing was looked up yet
}

func (p *processor) translate(f *forecast.Forecast, of proto.Instance) {
	from, to := cpuOf(p.view, of.Name()), cpuOf(p.view, p.instance.Name())
	if from == to {
		return
	}
	if p.scores == nil {
		p.book, p.scores = lesson.BookOf(p.view), lesson.Scores(p.view)
	}
	by := p.book.Factor(proto.CPU{Model: from, Score: p.scores[from]}, proto.CPU{Model: to, Score: p.scores[to]}, p.instance.Spec.Application, p.instance.Spec.Class).By
	for qi := range f.Values[resource.CPU] {
		for i := range f.Values[resource.CPU][qi] {
			f.Values[resource.CPU][qi][i] *= by
		}
	}
}

// repeats reports whether demand of the pattern is tomorrow about what it was.
func repeats(p pattern.Pattern) bool {
	switch p {
	case pattern.Idle, pattern.Steady, pattern.Periodic, pattern.Batch:
		return true
	}
	return false
}

// most returns a share of the highest value of the highest quantile in the first steps, rounded up, and at least 1: 0 would say that nothing is known.
func most(f *forecast.Forecast, k resource.Kind, steps int, share float64) int64 {
	high, values := 0.0, f.Values[k][len(f.Quantiles)-1]
	for _, v := range values[:min(steps, len(values))] {
		high = max(high, v)
	}
	return max(1, int64(math.Ceil(min(high*share, float64(resource.Unlimited)))))
}
