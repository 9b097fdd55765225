package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// named plans the move to the host that was named.
func (p *planning) named() (Result, error) {
	name := p.Request.Target
	if name == p.instance.Owner {
		return Result{}, refusal("instance %s is on %s already: name another target", p.instance.Name(), name)
	}
	host, ok := p.View.Host(name)
	if !ok {
		return Result{}, refusal("there is no host %s: see them with glidepath host list", name)
	}
	p = p.on(&host)
	v := p.needs(p.begin()).violation(&host)
	if v.constraint == "" {
		v = p.apart(name)
	}
	if v.constraint != "" {
		return Result{}, &Refusal{
			Reason: fmt.Sprintf("instance %s can't move to %s: %s", p.instance.Name(), name, v.why), Remedy: v.remedy, Passes: v.passes,
			Considered: []proto.Considered{{Host: name, Reason: v.why, Violates: v.constraint}},
		}
	}
	o := p.option(candidate{name: name, lie: p.lie(name)}, host, p.begin(), p.fastest(p.begin()))
	if o.no != nil && p.squeezes() {
		if s, ok := p.squeezed([]option{o}); ok {
			o = s
		}
	}
	if o.no != nil {
		c := p.refusedAt(name, o.no)
		return Result{}, &Refusal{Reason: p.nowhere([]proto.Considered{c}, nil), Considered: []proto.Considered{c}}
	}
	if since, silent := p.Silent[name]; silent {
		o.result.Plan.Warnings = append(o.result.Plan.Warnings, fmt.Sprintf("the agent of %s has been silent%s: nothing begins there before it is back", name, sinceThen(since)))
	}
	o.result.Plan.Considered = []proto.Considered{{Host: name, Score: o.score, Reason: fitting(o), Terms: o.terms}}
	return o.result, nil
}

// lie returns how the instance would lie on a host; where it goes back to, how that is as it stands.
func (p *planning) lie(host string) lie {
	var envelope proto.Envelope
	if !p.back() {
		envelope = p.fullSpeed(p.begin())
	}
	fit, _ := p.View.Ledger().WeighOn(host, envelope)
	return p.lieOf(fit)
}

// chosen plans the move to the host that suits the instance best.
func (p *planning) chosen() (Result, error) {
	p.recent = recentMoves(p.View, p.instance.Name(), p.Now)
	if p.anew {
		p.recent.left = nil
	}
	if ago := p.Now.Sub(p.recent.moved.at); p.Request.Margin > 0 && p.recent.moved.id != "" && ago < dwell {
		return Result{}, refusal("instance %s came to %s %s ago with migration %s: it stays for %s before it is moved for the balance's sake", p.instance.Name(),
			p.instance.Owner, roughly(ago), p.recent.moved.id, roughly(dwell))
	}
	l := p.list(p.begin())
	if l.hosts == 0 {
		return Result{}, refusal("there is no host but %s: another one has to join first", p.instance.Owner)
	}
	if len(l.options) == 0 && p.squeezes() {
		if s, ok := p.squeezed(l.refused); ok {
			l.refused = slices.DeleteFunc(l.refused, func(o option) bool { return o.name == s.name })
			l.options = append(l.options, s)
		}
	}
	considered := p.considered(l)
	ruled := l.ruled.list(considered)
	if len(l.options) == 0 {
		return Result{}, &Refusal{Reason: p.nowhere(considered, ruled), Considered: considered, Ruled: ruled}
	}
	best := l.options[0]
	reason := fmt.Sprintf("%s has the best score, %s, of %s considered", best.name, parts(best.score, 1000), proto.Count(l.hosts, "host"))
	if p.Request.Margin > 0 {
		stays := p.staying().score()
		if best.score-stays < p.Request.Margin {
			return Result{}, &Refusal{
				Reason: fmt.Sprintf("instance %s stays on %s: that scores %s, and the best other host, %s, %s; a move has to win by %s", p.instance.Name(),
					p.instance.Owner, parts(stays, 1000), best.name, parts(best.score, 1000), parts(p.Request.Margin, 1000)),
				Considered: considered, Ruled: ruled,
			}
		}
		reason += fmt.Sprintf("; to stay on %s scores %s", p.instance.Owner, parts(stays, 1000))
	}
	r := best.result
	r.Plan.Considered, r.Plan.Ruled = considered, ruled
	r.Plan.Reasons = slices.Insert(r.Plan.Reasons, 0, reason)
	return r, nil
}

// mostTold is how many hosts a refusal tells one by one.
const mostTold = 8

// nowhere says why no host was found.
func (p *planning) nowhere(considered []proto.Considered, ruled []proto.RuledOut) string {
	if len(considered) == 1 {
		c := considered[0]
		if c.Shortfall != nil {
			return fmt.Sprintf("instance %s does not fit on %s: %s", p.instance.Name(), c.Host, c.Reason)
		}
		return fmt.Sprintf("instance %s can't move to %s: %s", p.instance.Name(), c.Host, c.Reason)
	}
	var lines []string
	for _, c := range considered[:min(mostTold, len(considered))] {
		lines = append(lines, c.Host+": "+c.Reason)
	}
	if more := len(considered) - mostTold; more > 0 {
		lines = append(lines, fmt.Sprintf("%d more that came as close", more))
	}
	for _, r := range ruled {
		lines = append(lines, fmt.Sprintf("%d more for %s (%s)", r.Count, r.Reason, r.Example))
	}
	return fmt.Sprintf("no host can take instance %s: %s", p.instance.Name(), strings.Join(lines, "; "))
}

// Grid returns the span that forecasts for plans have to cover: that of the ledger's grid at its base step, from the step
// at now on.
func Grid(now timeline.Time, step time.Duration) timeline.Span {
	start := now.Floor(step)
	return timeline.Span{Start: start, End: start.Add(GridSteps * step)}
}

// GridSteps is how many base steps the ledger's grid spans before its tail: 48 hours at 5 minutes.
const GridSteps = 576
