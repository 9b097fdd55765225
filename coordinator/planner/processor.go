package planner

import (
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/lesson"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// processors is what moves to hosts of other CPU models are planned by. Demand was measured on the model of the host that has the instance.
type processors struct {
	here   string               // the host on which demand was measured
	model  string               // that the planning is of
	factor lesson.Factor        // to it, from the model that demand was measured on
	start  lesson.Start         // what the application takes after a start there
	others map[string]*planning // by their models, as far as they were asked for; of the planning that was prepared alone
	scores map[string]int64     // of the fleet's models; nil: not looked up yet
}

// measured sets a planning up with the model that demand was measured on.
func (p *planning) measured() {
	p.here, p.model, p.factor, p.others = p.source.Facts.Name, p.source.Facts.CPUModel, lesson.Alike(), map[string]*planning{}
	on := proto.CPU{Model: p.model}
	if len(p.book) > 0 { // else nothing depends on it
		on = p.cpu(p.model)
	}
	p.start = p.book.Start(p.app, on)
}

// cpu returns what is known of a CPU model.
func (p *planning) cpu(model string) proto.CPU {
	if p.scores == nil {
		p.scores = lesson.Scores(p.View)
	}
	return proto.CPU{Model: model, Score: p.scores[model]}
}

// on returns the planning with demand as it is on a host's CPU.
func (p *planning) on(host *proto.Host) *planning {
	model := host.Facts.CPUModel
	if model == p.model || p.others == nil {
		return p
	}
	c := p.others[model]
	if c == nil {
		c = p.translated(model)
		p.others[model] = c
	}
	c.Request, c.instance, c.source = p.Request, p.instance, p.source // as whoever plans has changed them since
	c.recent, c.queued, c.anew, c.out = p.recent, p.queued, p.anew, p.out
	return c
}

func (p *planning) translated(model string) *planning {
	c := *p
	c.shapes, c.courses, c.others = nil, nil, nil
	spec := p.instance.Spec
	c.model, c.factor = model, p.book.Factor(p.cpu(p.model), p.cpu(model), spec.Application, spec.Class)
	c.start = p.book.Start(p.app, p.cpu(model))
	if p.Forecast.Cold && c.factor.By < 1 { // what stands in for demand that was not measured is no less on a faster CPU
		c.factor = lesson.Alike()
		return &c
	}
	c.Forecast = c.factor.Forecast(p.Forecast)
	if p.Forecast.Cold { // nor more than all that there is
		most := p.sizing.Type[resource.CPU]
		for i, q := range c.Forecast.Profiles {
			c.Forecast.Profiles[i] = timeline.Combine(q, p.Forecast.Profiles[i], func(v, was resource.Vector) resource.Vector {
				v[resource.CPU] = min(v[resource.CPU], max(most, was[resource.CPU]))
				return v
			})
		}
	}
	c.allocated()
	return &c
}

// allocated works out what is allocated by the forecast alone, and warns of what the type cuts off that.
func (p *planning) allocated() {
	p.wanted, p.cut = p.sizing.Allocation(p.Forecast)
	p.beyond = p.sizing.tail(p.wanted)
	p.warnings = slices.Clone(p.assumed)
	for k, n := range p.cut {
		if n > 0 {
			kind := resource.Kind(k)
			p.warnings = append(p.warnings, fmt.Sprintf("the forecast of %s exceeds what type %s allows by up to %s: choose a larger type, or expect throttling",
				kind, p.toType.Name, resource.Format(kind, n)))
		}
	}
	p.warnings = slices.Clip(p.warnings) // plans to several hosts go on from it
}

// weigh asks the ledger for the room that a move at full speed takes on each of the hosts, whose names come in order with the planning that is theirs. Hosts of one
// model are asked at once.
func (p *planning) weigh(names []string, of []*planning, start timeline.Time, f func(i int, fit ledger.Fit)) {
	var done []*planning
	for n, one := range of {
		if n > 0 && of[n-1] == one || slices.Contains(done, one) {
			continue
		}
		done = append(done, one)
		i := 0
		p.View.Ledger().Weigh(one.fullSpeed(start), func(name string, fit ledger.Fit) bool {
			for i < len(names) && names[i] != name && names[i] < name {
				i++
			}
			if i < len(names) && names[i] == name && of[i] == one {
				f(i, fit)
			}
			return i < len(names)
		})
	}
}

// least returns the planning for the host, of those named, on which the instance is expected to take least.
func (p *planning) least(hosts []string) *planning {
	best := p
	for n, name := range hosts {
		host, ok := p.View.Host(name)
		if !ok {
			continue
		}
		if c := p.on(&host); n == 0 || c.factor.By < best.factor.By {
			best = c
		}
	}
	return best
}
