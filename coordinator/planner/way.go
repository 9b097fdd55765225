package planner

import (
	"slices"
	"sort"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// way is what a transfer finds between two hosts over time.
type way struct {
	rate line // bits per second that it may take
	ends []end
}

// end is one of the two hosts, as it is without the transfer.
type end struct {
	steps []ledger.Step
	comes []resource.Vector // what is to be held there, too, in each step
	taps  []tap
}

// What a transfer takes from at its two ends, and what its neighbours there feel.
var (
	sends    = []tap{{resource.NetTx, 1}, {resource.ReadBytes, 8}}
	receives = []tap{{resource.NetRx, 1}, {resource.WriteBytes, 8}}
	felt     = []resource.Kind{resource.CPU, resource.ReadBytes, resource.WriteBytes, resource.NetTx, resource.NetRx}
)

// tap is a resource that a transfer takes from, with the bits of a transfer that one unit of it carries.
type tap struct {
	kind resource.Kind
	bits int64
}

// way returns what a transfer finds between the source and a target.
func (p *planning) way(target proto.Host) way {
	out, in := p.leaves(), p.end(target.Facts.Name, receives, p.comes())
	return way{rate: merged(out.rate, in.rate, minOf), ends: []end{out.ends[0], in.ends[0]}}
}

// leaves returns what a transfer finds at the source, whichever host it goes to.
func (p *planning) leaves() way {
	if p.out.ends == nil {
		p.out = p.end(p.instance.Owner, sends, nil)
	}
	return p.out
}

// comes returns what is to be held at the target beside the transfer.
func (p *planning) comes() timeline.Profile {
	if p.back() { // it is held there already
		return nil
	}
	return p.wanted
}

// pace returns the phases of a move to a host as its course has them, by a look at no more of the host than the steps that the transfer touches.
func (p *planning) pace(host string, start timeline.Time) []proto.PlanPhase {
	out, comes := p.leaves(), p.comes()
	return p.settled(start, func(busy timeline.Span) int64 {
		least := min(p.Costs.Rate, out.rate.least(busy))
		for _, s := range p.View.Ledger().StepsIn(host, busy) {
			least = min(least, left(s, receives, finite(comes.MaxOver(s.Span))))
		}
		return least
	}).phases
}

func minOf(a, b int64) int64 { return min(a, b) }
func maxOf(a, b int64) int64 { return max(a, b) }

// end returns what a transfer finds at one end of it: the rate is a half of what link and disk have left, beside what is to be held there, too.
func (p *planning) end(host string, taps []tap, comes timeline.Profile) way {
	e := end{steps: p.View.Ledger().Steps(host), taps: taps}
	w := way{ends: []end{e}}
	if len(e.steps) == 0 { // the ledger does not know the host
		w.rate = flat(p.Costs.Rate)
		return w
	}
	e.comes = make([]resource.Vector, len(e.steps))
	for i, s := range e.steps {
		e.comes[i] = finite(comes.MaxOver(s.Span))
		w.rate.add(s.Start, min(p.Costs.Rate, left(s, taps, e.comes[i])))
	}
	w.ends[0] = e
	return w
}

// pressure returns what neighbours of a transfer feel in a span, at the end where that is more: the share that is taken, by it and by others, of the resource of
// which that is most, in thousandths of what may be promised.
func (w way) pressure(rate int64, span timeline.Span) int64 {
	var out int64
	for _, e := range w.ends {
		var takes resource.Vector
		for _, t := range e.taps {
			takes[t.kind] = rate / t.bits
		}
		first := sort.Search(len(e.steps), func(i int) bool { return e.steps[i].End > span.Start })
		for i := first; i < len(e.steps) && e.steps[i].Start < span.End; i++ {
			for _, k := range felt {
				if limit := e.steps[i].Limit[k]; limit > 0 && limit < resource.Unlimited {
					out = max(out, min(1000, (e.steps[i].Needed[k]+e.comes[i][k]+takes[k])*1000/limit))
				}
			}
		}
	}
	return out
}

// left returns the bits per second that a transfer may take in a step. There is a least rate, below which it would not end: whether that fits is for the ledger to say.
func left(s ledger.Step, taps []tap, more resource.Vector) int64 {
	room := s.Headroom()
	out := resource.Unlimited
	for _, t := range taps {
		if n := room[t.kind]; n < resource.Unlimited/2 {
			out = min(out, max((n-more[t.kind])/2*t.bits, leastRate))
		}
	}
	return out
}

// writes returns what the instance is expected to write in bytes per second, likely and at most in 19 of 20 steps.
func writes(f proto.ForecastReply) (likely, high line) {
	of := func(q int) line {
		p := f.At(q)
		return lineOf(p, func(s timeline.Step) int64 { return finite(s.Amount)[resource.WriteBytes] }, finite(p.MaxOver(lastDay(p)))[resource.WriteBytes])
	}
	likely = of(500)
	return likely, merged(likely, of(950), maxOf)
}

// clients returns how much of the instance's demand comes and goes and is there over time, in thousandths of the highest, over what varies of it: how many would
// wait for it.
func clients(f proto.ForecastReply) line {
	p := f.At(500)
	if len(p) == 0 {
		return flat(0)
	}
	least, most := p[0].Amount, p[0].Amount
	for _, s := range p {
		least, most = least.Min(s.Amount), most.Max(s.Amount)
	}
	share := func(v resource.Vector) int64 {
		var sum, kinds int64
		for k := range v {
			if k := resource.Kind(k); k == resource.Memory || most[k] >= resource.Unlimited || most[k]-least[k] <= leastMargin[k] {
				continue
			}
			sum += int64(1000 * (float64(v[k]-least[k]) / float64(most[k])))
			kinds++
		}
		return sum / max(1, kinds)
	}
	return lineOf(p, func(s timeline.Step) int64 { return share(s.Amount) }, share(p.MaxOver(lastDay(p))))
}

// lastDay returns the last 24 hours of a profile, of which the most stands for what comes after it.
func lastDay(p timeline.Profile) timeline.Span {
	end := p.Span().End
	return timeline.Span{Start: end.Add(-24 * time.Hour), End: end}
}

// firmly returns the last step of a host's grid that can't take what of the instance is firm. A move whose instance starts before it does not fit.
func (p *planning) firmly(host string) (last timeline.Span, full bool) {
	if p.back() {
		return last, false
	}
	for _, s := range slices.Backward(p.View.Ledger().Steps(host)) {
		need := p.wanted.MaxOver(s.Span)
		if s.Start >= p.wanted.Span().End {
			need = p.beyond
		}
		firm := need
		if p.sizing.Class != proto.Critical {
			firm = need.Min(p.sizing.Floor)
			firm[resource.Memory] = need[resource.Memory]
		}
		if !finite(firm).Fits(s.Headroom()) {
			return s.Span, true
		}
	}
	return last, false
}
