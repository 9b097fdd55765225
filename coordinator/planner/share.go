package planner

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// link is one direction of a host's network, or its disk's reading or writing, that transfers share.
type link struct {
	host string
	kind resource.Kind
}

// flow is a transfer that shares links with others.
type flow struct {
	links    []link
	bytes    int64         // still to be sent
	start    timeline.Time // it doesn't begin before
	deadline timeline.Time // it has to be over by then; 0: whenever
	class    proto.Class
	most     int64 // bits per second that it never exceeds; 0: no limit
}

// flowBetween returns the flow of a transfer from one host to another.
func flowBetween(source, target string, bytes int64) flow {
	f := flow{bytes: bytes}
	for _, t := range sends {
		f.links = append(f.links, link{source, t.kind})
	}
	for _, t := range receives {
		f.links = append(f.links, link{target, t.kind})
	}
	return f
}

// Together is a move that begins together with others.
type Together struct {
	Source, Target string
	Bytes          int64         // that are copied
	Deadline       timeline.Time // when it has to be over; 0: whenever
	Class          proto.Class
}

// Rates returns at how many bits per second moves that begin together are to copy, from start to end, at most: so that they keep their deadlines where that can be and
// share what their links have left, instead of each leaving the next one a half. One that gets 0 has to wait. Costs.Rate takes it to the plan of each.
func Rates(v *state.View, moves []Together, most int64, now timeline.Time) []int64 {
	flows, rooms := make([]flow, len(moves)), map[link]line{}
	for i, m := range moves {
		flows[i] = flowBetween(m.Source, m.Target, m.Bytes)
		flows[i].start, flows[i].deadline, flows[i].class, flows[i].most = now, m.Deadline, m.Class, most
		for _, host := range []string{m.Source, m.Target} {
			if _, there := rooms[link{host, resource.NetTx}]; !there {
				maps.Copy(rooms, room(v.Ledger(), host))
			}
		}
	}
	out := make([]int64, len(moves))
	for i, s := range share(flows, rooms, now) {
		if out[i] = s.least(); moves[i].Bytes <= 0 {
			out[i] = most
		}
	}
	return out
}

// shared is what a flow gets: its rate from each time on, in bits per second, and when it is over.
type shared struct {
	rate line
	end  timeline.Time // farAhead from the first start, if it is never over
}

// least returns the least rate from its start to its end: what it can be had at throughout.
func (s shared) least() int64 {
	return s.rate.least(timeline.Span{Start: s.rate.starts[0], End: s.end})
}

// room returns what transfers may take of a host's links together, in bits per second: a half of what is left of each, or as much as one transfer takes
// at least where that is there.
func room(l *ledger.Ledger, host string) map[link]line {
	out := map[link]line{}
	for _, t := range slices.Concat(sends, receives) {
		var free line
		for _, s := range l.Steps(host) {
			n := s.Headroom()[t.kind]
			if n >= resource.Unlimited/2 {
				free.add(s.Start, resource.Unlimited)
				continue
			}
			free.add(s.Start, max(n/2*t.bits, min(n*t.bits, leastRate)))
		}
		if free.starts == nil {
			free = flat(0)
		}
		out[link{host, t.kind}] = free
	}
	return out
}

// share divides links among flows from a time on: at each instant as shares does, until all are over. Flows come in the order in which they were asked for.
func share(flows []flow, rooms map[link]line, from timeline.Time) []shared {
	out := make([]shared, len(flows))
	left := make([]float64, len(flows)) // bytes
	for i, f := range flows {
		left[i] = float64(f.bytes)
		out[i].end = from + timeline.Time(farAhead.Milliseconds())
		if f.bytes <= 0 {
			out[i].rate, out[i].end = flat(0), max(from, f.start)
		}
	}
	for at := from; ; {
		next := timeline.Time(math.MaxInt64)
		var active []int
		now := map[link]int64{}
		for i, f := range flows {
			switch {
			case left[i] <= 0:
			case f.start > at:
				next = min(next, f.start)
			default:
				active = append(active, i)
				for _, k := range f.links {
					l := rooms[k]
					if l.starts == nil {
						l = flat(0)
					}
					n := l.piece(at)
					now[k] = l.rates[n]
					if n+1 < len(l.starts) {
						next = min(next, l.starts[n+1])
					}
				}
			}
		}
		if len(active) == 0 && next == math.MaxInt64 {
			return out
		}
		rates := shares(flows, active, left, now, at)
		for n, i := range active {
			if rates[n] > 0 {
				next = min(next, at+timeline.Time(math.Ceil(left[i]*8/float64(rates[n])*1000)))
			}
		}
		if next == math.MaxInt64 {
			for n, i := range active {
				out[i].rate.add(at, rates[n])
			}
			return out // those that wait do so for good
		}
		for n, i := range active {
			out[i].rate.add(at, rates[n])
			if left[i] -= float64(rates[n]) / 8 * next.Sub(at).Seconds(); left[i] < 1 && rates[n] > 0 {
				left[i], out[i].end = 0, next
			}
		}
		at = next
	}
}

// shares divides what links have at an instant among active flows, and returns the rate of each. Those with the earliest deadline come first, then those
// of the higher class, then those that were asked for first. In that order each gets the rate that a transfer takes at least, or waits; then what it needs to
// keep its deadline. What is left is shared so that nobody could get more but from one who has no more itself.
func shares(flows []flow, active []int, left []float64, room map[link]int64, at timeline.Time) []int64 {
	order := make([]int, len(active))
	for n := range order {
		order[n] = n
	}
	slices.SortStableFunc(order, func(a, b int) int {
		f, g := flows[active[a]], flows[active[b]]
		return cmp.Or(cmp.Compare(due(f.deadline), due(g.deadline)), cmp.Compare(standing(f.class), standing(g.class)))
	})
	room = maps.Clone(room)
	rates := make([]int64, len(active))
	give := func(n int, more int64) {
		rates[n] += more
		for _, k := range flows[active[n]].links {
			room[k] -= more
		}
	}
	free := func(n int) int64 {
		f := flows[active[n]]
		out := most(f) - rates[n]
		for _, k := range f.links {
			out = min(out, room[k])
		}
		return max(0, out)
	}
	for _, n := range order {
		if least := min(leastRate, most(flows[active[n]])); free(n) >= least {
			give(n, least)
		}
	}
	for _, n := range order {
		f := flows[active[n]]
		if f.deadline == 0 || rates[n] == 0 {
			continue
		}
		need := int64(resource.Unlimited)
		if f.deadline > at {
			need = rounded(math.Ceil(left[active[n]] * 8 / f.deadline.Sub(at).Seconds()))
		}
		give(n, min(max(0, need-rates[n]), free(n)))
	}
	fill(flows, active, rates, room)
	return rates
}

// fill raises the rates of those that don't wait together, the lowest first, until each is at its cap or goes over a link that has no more.
func fill(flows []flow, active []int, rates []int64, room map[link]int64) {
	rising := map[int]bool{}
	for n := range active {
		if rates[n] > 0 {
			rising[n] = true
		}
	}
	// raised returns what a flow has at a level, and over which link not all of them can have it.
	raised := func(n int, level int64) int64 { return max(rates[n], min(level, most(flows[active[n]]))) }
	over := func(level int64) map[link]bool {
		more := map[link]int64{}
		for n := range rising {
			for _, k := range flows[active[n]].links {
				more[k] += raised(n, level) - rates[n]
			}
		}
		out := map[link]bool{}
		for k, n := range more {
			if n > room[k] {
				out[k] = true
			}
		}
		return out
	}
	for len(rising) > 0 {
		low, high := int64(0), int64(resource.Unlimited)+1
		for high-low > 1 {
			if middle := low + (high-low)/2; len(over(middle)) == 0 {
				low = middle
			} else {
				high = middle
			}
		}
		full := over(low + 1)
		for n := range rising {
			stops := len(full) == 0 || raised(n, low) >= most(flows[active[n]])
			for _, k := range flows[active[n]].links {
				stops = stops || full[k]
			}
			if !stops {
				continue
			}
			to := raised(n, low)
			for _, k := range flows[active[n]].links {
				room[k] -= to - rates[n]
			}
			rates[n] = to
			delete(rising, n)
		}
	}
}

// most returns the most that a flow takes.
func most(f flow) int64 {
	if f.most > 0 {
		return f.most
	}
	return resource.Unlimited
}

// due returns a deadline in an order in which none comes last.
func due(t timeline.Time) timeline.Time { return cmp.Or(t, timeline.Forever) }

// standing returns a class in the order in which classes come.
func standing(c proto.Class) int {
	classes := []proto.Class{proto.Critical, proto.Standard, proto.BestEffort}
	if i := slices.Index(classes, c); i >= 0 {
		return i
	}
	return len(classes)
}
