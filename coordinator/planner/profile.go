package planner

import (
	"cmp"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	warmFor   = 30 * time.Second // that a move is watched closely after it is confirmed, where nobody has said how long a start takes
	warmLeast = 10 * time.Second // and at least, however short a start is: the demand of a window is seen at its end
)

// phases returns when each phase of a move that begins at start is expected to run, prepare to settle.
func (p *planning) phases(start timeline.Time, t Transfer) []proto.PlanPhase {
	warm := warmFor
	if !p.start.Extra.IsZero() {
		warm = max(warmLeast, 3*p.start.Decay) // by then a twentieth of the start-up demand is left
	}
	probation := time.Duration(cmp.Or(p.Request.Probation, p.View.Fleet().Policy.Probation)) * time.Millisecond
	at := start
	var out []proto.PlanPhase
	for _, ph := range []struct {
		phase proto.Phase
		takes time.Duration
	}{
		{proto.PhasePrepare, p.Costs.Prepare}, {proto.PhaseCopy, t.Copy}, {proto.PhaseSwitch, t.Downtime},
		{proto.PhaseWarm, warm}, {proto.PhaseSettle, max(probation, time.Second)},
	} {
		end := at.Add(max(ph.takes, time.Millisecond))
		out = append(out, proto.PlanPhase{Phase: ph.phase, Span: timeline.Span{Start: at, End: end}})
		at = end
	}
	return out
}

// profile returns the instance's allocation on the target, step by step: from the floor up while nothing runs there,
// what a start takes from before the switch on, then the forecast. Steps follow the fleet's grid, which phases cut.
// Equal neighbours are joined.
func (p *planning) profile(phases []proto.PlanPhase) []proto.PlanStep {
	begin := phases[0].Start
	running := phases[2].Start // at the switch it starts
	end := max(p.wanted.Span().End, phases[len(phases)-1].End)
	var out []proto.PlanStep
	add := func(s proto.PlanStep) {
		if n := len(out); n > 0 && out[n-1].Allocation == s.Allocation && out[n-1].Reason == s.Reason && out[n-1].Forecast == s.Forecast {
			out[n-1].End = s.End
			return
		}
		out = append(out, s)
	}
	for at := begin; at < running; {
		next := min(running, at.Floor(p.grid).Add(p.grid))
		add(proto.PlanStep{
			Span: timeline.Span{Start: at, End: next}, Allocation: p.sizing.Floor, Quantile: p.sizing.Quantile,
			Reason: "nothing runs there yet: the floor; what arrives lies on its disk, in no memory of its own",
		})
		at = next
	}
	middle := p.Forecast.At(500)
	for at := running; at < end; {
		next := min(end, at.Floor(p.grid).Add(p.grid))
		span := timeline.Span{Start: at, End: next}
		step := proto.PlanStep{Span: span, Forecast: middle.MaxOver(span), Quantile: p.sizing.Quantile}
		step.Allocation, step.Reason = p.allocate(span, running)
		add(step)
		at = next
	}
	return out
}

// startLate is by how much the switch may come later than planned, at least, and still find what a start takes.
const startLate = 2 * time.Minute

// held returns what is reserved for a plan: its allocation, with what a start takes for as long as the switch may be late,
// which is as long again as it takes to get there.
func (p *planning) held(plan proto.Plan) timeline.Profile {
	out := make(timeline.Profile, len(plan.Profile))
	for i, s := range plan.Profile {
		out[i] = timeline.Step{Span: s.Span, Amount: s.Allocation}
	}
	first, warm := plan.Phases[2].Start, plan.Phases[3].End
	most := out.MaxOver(timeline.Span{Start: first, End: warm})
	late := timeline.Span{Start: first, End: warm.Add(max(startLate, p.instance.Spec.Health.Time(), first.Sub(plan.Start)))}
	return out.Max(timeline.Flat(late.Intersect(out.Span()), most)).Join()
}

// allocate returns what the instance gets in a step after its start, and what shapes it.
func (p *planning) allocate(span timeline.Span, started timeline.Time) (resource.Vector, string) {
	want := p.wanted.MaxOver(span)
	if p.wanted.Span().End <= span.Start {
		want = p.beyond
	}
	reason := fmt.Sprintf("forecast p%g", float64(p.sizing.Quantile)/10)
	// The step holds the highest of it: a start that falls within is at its beginning.
	since := max(0, span.Start.Sub(started))
	if extra := p.startup(since); !extra.IsZero() {
		raised := want.Add(extra)
		if raised[resource.CPU] > want[resource.CPU]+want[resource.CPU]/50 || raised[resource.Memory] > want[resource.Memory]+want[resource.Memory]/50 {
			reason += " and start-up demand"
		}
		want = raised
	}
	out := want.Clamp(p.sizing.Floor, p.sizing.Type)
	for k := range out {
		if want[k] > out[k] {
			reason += fmt.Sprintf(", cut by the type's %s", resource.Kind(k))
			break
		}
	}
	return out, reason
}

// reasons explains a plan in the order of what weighs most.
func (p *planning) reasons(host proto.Host, t Transfer, plan proto.Plan) []string {
	var out []string
	switch {
	case p.back():
		out = append(out, fmt.Sprintf("%s kept its capacity and its data since migration %s", host.Facts.Name, p.Request.Returns))
	case p.Request.Target != "":
		out = append(out, fmt.Sprintf("%s was named as the target", host.Facts.Name))
	}
	switch {
	case p.Forecast.Cold:
		out = append(out, p.Forecast.Reasons...)
	default:
		out = append(out, fmt.Sprintf("class %s: p%g of the forecast is allocated, with a margin of %d %%", p.sizing.Class,
			float64(p.sizing.Quantile)/10, marginNum-marginDen))
		out = append(out, p.Forecast.Reasons...)
	}
	if p.sizing.Class != proto.Critical {
		out = append(out, fmt.Sprintf("%d %% of the deviation is assumed to be in common with the instances there: it is measured once it runs among them", p.sizing.Common[resource.CPU]))
	}
	if text := p.factor.Says(p.here, host.Facts.Name); text != "" {
		out = append(out, text)
	}
	if text := p.start.Says(p.app.Name); text != "" {
		out = append(out, text)
	}
	data := "the size of its data is not known yet"
	if p.Data > 0 {
		data = resource.Format(resource.Memory, p.Data) + " of data"
	}
	out = append(out, fmt.Sprintf("%s, %d early rounds at %s, then %s in the last one", data, t.Rounds,
		resource.Format(resource.NetTx, plan.Rate), resource.Format(resource.Memory, t.Rest)))
	if text := learned(p.Costs.Bias); text != "" {
		out = append(out, text)
	}
	return out
}
