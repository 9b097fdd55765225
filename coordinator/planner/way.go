package planner

import (
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// way is what a transfer finds between two hosts over time.
type way struct {
	rate line // bits per second that it may take
	busy line // thousandths of what may be promised that others hold, of the resource of which that is most
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
	if p.out.rate.starts == nil {
		p.out = p.end(p.instance.Owner, sends, nil)
	}
	comes := p.wanted
	if p.back() { // it is held there already
		comes = nil
	}
	in := p.end(target.Facts.Name, receives, comes)
	return way{rate: merged(p.out.rate, in.rate, minOf), busy: merged(p.out.busy, in.busy, maxOf)}
}

func minOf(a, b int64) int64 { return min(a, b) }
func maxOf(a, b int64) int64 { return max(a, b) }

// end returns what a transfer finds at one end of it: the rate is a half of what link and disk have left, beside what is to be held there, too.
func (p *planning) end(host string, taps []tap, comes timeline.Profile) way {
	var w way
	for _, s := range p.View.Ledger().Steps(host) {
		more := finite(comes.MaxOver(s.Span))
		w.rate.add(s.Start, min(p.Costs.Rate, left(s, taps, more)))
		w.busy.add(s.Start, taken(s, more))
	}
	if w.rate.starts == nil { // the ledger does not know the host
		return way{rate: flat(p.Costs.Rate), busy: flat(0)}
	}
	return w
}

// left returns the bits per second that a transfer may take in a step. There is a least rate, below which it would not end: whether that fits is for the ledger to say.
func left(s ledger.Step, taps []tap, more resource.Vector) int64 {
	room := s.Headroom()
	out := int64(resource.Unlimited)
	for _, t := range taps {
		if n := room[t.kind]; n < resource.Unlimited/2 {
			out = min(out, max((n-more[t.kind])/2*t.bits, leastRate))
		}
	}
	return out
}

// taken returns the share of a step's limit that is held of what neighbours of a transfer feel, in thousandths.
func taken(s ledger.Step, more resource.Vector) int64 {
	var out int64
	for _, k := range felt {
		if limit := s.Limit[k]; limit > 0 && limit < resource.Unlimited {
			out = max(out, min(1000, (s.Needed[k]+more[k])*1000/limit))
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

// firmly returns the last step of a host's grid that can't take what of the instance is firm, whatever its start, and the resource. A move that
// serves by its start does not fit.
func (p *planning) firmly(host string) (s ledger.Step, k resource.Kind, short bool) {
	if p.back() {
		return s, k, false
	}
	for _, s := range slices.Backward(p.View.Ledger().Steps(host)) {
		for _, k := range resource.All() {
			need := p.wanted.MaxOver(s.Span)
			if s.Start >= p.wanted.Span().End {
				need = p.sizing.tail(p.wanted)
			}
			need = finite(need)
			if p.sizing.Class != proto.Critical && k != resource.Memory {
				need = need.Min(p.sizing.Floor)
			}
			if free := s.Headroom()[k]; need[k] > free {
				return s, k, true
			}
		}
	}
	return s, k, false
}
