package planner

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// Bounds of the search for moves of others that make room.
const (
	mostSwapHosts = 4       // hosts that take part, beside the one that is emptied
	mostMovers    = 24      // instances that take part
	mostPlaced    = 20_000  // moves that are tried against the ledger
	mostBounded   = 400_000 // moves that are tried against what is needed at the least
)

// search is what came of it.
type search struct {
	ended bool // every placement of every instance that could be moved was looked at
	least int  // so many instances stay whatever is done
}

// mover is an instance that takes part.
type mover struct {
	name string
	may  []bool            // by host
	box  proto.Reservation // what it holds where it goes to, from now on
	own  string            // what it holds where it is
	need resource.Vector   // the least that it needs where it goes to
	here resource.Vector   // the least that it needs where it is
	plan *planning
}

// board is the hosts and instances of a search. Host 0 is the one that is emptied.
type board struct {
	drain  *drain
	hosts  []string
	movers []mover
	start  string // the host of each mover, one byte each
	whole  bool   // there are no others
	stuck  int    // instances that stay and can't be moved at all
}

// spot is a placement that was reached.
type spot struct {
	at     string
	left   int // on the host that is emptied
	moves  int
	number int
	from   *spot
	mover  int // that came last
}

// swapped looks for moves by which fewer instances stay, of others too. It returns the plan with fewest, and what is proven about that.
func (d *drain) swapped(leaving []proto.Instance) (*drain, search) {
	var out search
	for _, i := range leaving {
		if d.nowhere(i.Name()) {
			out.least++
		}
	}
	if out.least == len(d.stays) {
		return d, out
	}
	b := d.board(leaving)
	best, ended := b.search(mostPlaced, true)
	out.ended = ended && b.whole
	if best.left+b.stuck < len(d.stays) {
		if c, err := b.carry(best); err == nil {
			d = c
		} else {
			out.ended = false // the placement is one, but its moves don't end in time
		}
	}
	if b.whole && len(d.stays) > out.least {
		if least, all := b.search(mostBounded, false); all {
			out.least = max(out.least, least.left+b.stuck)
		}
	}
	return d, out
}

// board sets up a search: over all hosts where these are few, and from the fleet as it is; else over those that come closest to taking who stays and those
// with most room, from what is planned so far.
func (d *drain) board(leaving []proto.Instance) *board {
	b := &board{drain: d, hosts: []string{d.Host}}
	b.hosts = append(b.hosts, d.swapHosts()...)
	b.whole = len(b.hosts) == d.countHosts()
	start := []byte{}
	add := func(name string, host int) {
		if len(b.movers) == mostMovers {
			b.whole = false
			return
		}
		if m, ok := b.mover(name, host); ok {
			b.movers, start = append(b.movers, m), append(start, byte(host))
		}
	}
	for _, i := range leaving {
		if b.whole || d.stays[i.Name()] != nil {
			add(i.Name(), 0)
		}
	}
	for h, name := range b.hosts[1:] {
		for _, r := range d.base.On(name) {
			if d.movable(r) {
				add(r.Instance, h+1)
			}
		}
	}
	if !b.whole { // who was to leave with all others leaves by the plan that is there
		keep := 0
		for n, m := range b.movers {
			if start[n] != 0 || d.stays[m.name] != nil {
				b.movers[keep], start[keep] = m, start[n]
				keep++
			}
		}
		b.movers, start = b.movers[:keep], start[:keep]
	}
	b.start = string(start)
	for name := range d.stays {
		if !slices.ContainsFunc(b.movers, func(m mover) bool { return m.name == name }) {
			b.stuck++
		}
	}
	return b
}

func (d *drain) countHosts() int {
	n := 0
	for range d.View.Hosts() {
		n++
	}
	return n
}

// swapHosts returns the hosts that take part in a search.
func (d *drain) swapHosts() []string {
	var all, out []string
	for h := range d.View.Hosts() {
		if h.Facts.Name != d.Host {
			all = append(all, h.Facts.Name)
		}
	}
	if len(all) <= mostSwapHosts {
		return all
	}
	type near struct {
		name  string
		share int64
	}
	var closest, roomy []near
	for _, name := range d.staying()[:min(2, len(d.stays))] {
		owner, _, _ := d.stands(name)
		p, err := d.planning(name, owner, d.Now)
		if err != nil {
			continue
		}
		n := p.needs(d.Now)
		d.ledger.Weigh(p.fullSpeed(d.Now), func(host string, fit ledger.Fit) bool {
			h, _ := d.View.Host(host)
			if host == d.Host {
				return true
			}
			if n.violation(&h).constraint == "" {
				closest = append(closest, near{host, missingShare(fit.Short())})
			}
			return true
		})
	}
	d.ledger.Weigh(nil, func(host string, fit ledger.Fit) bool {
		if h, _ := d.View.Host(host); host != d.Host && !h.Cordoned {
			roomy = append(roomy, near{host, -int64(fit.Tightest)})
		}
		return true
	})
	take := func(list []near, most int) {
		slices.SortStableFunc(list, func(a, b near) int { return cmp.Or(cmp.Compare(a.share, b.share), strings.Compare(a.name, b.name)) })
		for _, n := range list {
			if len(out) < most && !slices.Contains(out, n.name) {
				out = append(out, n.name)
			}
		}
	}
	take(closest, mostSwapHosts/2)
	take(roomy, mostSwapHosts)
	return out
}

// mover looks up an instance that takes part; false for one that can't be moved.
func (b *board) mover(name string, host int) (mover, bool) {
	d := b.drain
	i, _ := d.View.Instance(name)
	p, err := d.planning(name, i.Owner, d.Now)
	if err != nil {
		return mover{}, false
	}
	n := p.needs(d.Now)
	at := p.least(b.hosts) // so that nothing is ruled out that is possible; whoever carries it out plans for each host
	m := mover{name: name, own: i.Reservation, plan: p, need: d.leastNeed(at), may: make([]bool, len(b.hosts))}
	m.here = m.need.Min(d.bareHost(b.hosts[host]).movers[name])
	_, envelope := at.shaped(proto.Plan{Start: d.Now, Phases: p.fastest(d.Now)})
	m.box = proto.Reservation{Instance: name, Class: p.sizing.Class, Purpose: proto.PurposeMigration, Envelope: envelope, Floor: p.sizing.Floor}
	for h, name := range b.hosts[1:] {
		facts, _ := d.View.Host(name)
		m.may[h+1] = d.whenever(n, &facts).constraint == ""
	}
	return m, true
}

// search looks at placements, those with fewest left on the host first, until nothing is left or most were looked at. Those by the ledger are tried against it:
// whoever moves is held where it goes to before it is given back where it is. Else only against what is needed at the least. It returns the placement with
// fewest left, and whether all that can be reached were looked at.
func (b *board) search(most int, byLedger bool) (*spot, bool) {
	first := &spot{at: b.start, left: strings.Count(b.start, "\x00")}
	best, seen, queue := first, map[string]bool{b.start: true}, &spots{first}
	for tried := 0; queue.Len() > 0; {
		s := heap.Pop(queue).(*spot)
		if s.left < best.left {
			best = s
		}
		if best.left == 0 {
			return best, true
		}
		if tried >= most {
			return best, false
		}
		var held *ledger.Ledger // made for each placement that is looked at, as to keep them all would take a host's copy each
		if byLedger {
			if held = b.held(s.at); held == nil {
				continue
			}
		}
		for m := range b.movers {
			for h := 1; h < len(b.hosts); h++ {
				if int(s.at[m]) == h || !b.movers[m].may[h] {
					continue
				}
				at := s.at[:m] + string([]byte{byte(h)}) + s.at[m+1:]
				if seen[at] {
					continue
				}
				tried++
				next := &spot{at: at, left: strings.Count(at, "\x00"), moves: s.moves + 1, number: len(seen), from: s, mover: m}
				if byLedger && !b.goes(held, m, h) || !byLedger && !b.fitsAtLeast(s.at, m, h) {
					continue
				}
				seen[at] = true
				heap.Push(queue, next)
			}
		}
	}
	return best, true
}

// held returns the ledger with everybody where a placement has them; nil where that does not fit.
func (b *board) held(at string) *ledger.Ledger {
	out := b.drain.ledger.Clone()
	if b.whole {
		out = b.drain.base.Clone()
	}
	var c ledger.Change
	for n, m := range b.movers {
		if at[n] != b.start[n] {
			c.Hold, c.Release = append(c.Hold, b.box(m, int(at[n]))), append(c.Release, m.own)
		}
	}
	if out.Apply(c) != nil {
		return nil
	}
	return out
}

// box returns what a mover holds on a host that it goes to.
func (b *board) box(m mover, host int) proto.Reservation {
	r := m.box
	r.Host = b.hosts[host]
	r.ID = "swap/" + m.name + "/" + r.Host
	return r
}

// goes reports whether a mover may go to a host, where it is held before it is given back where it is.
func (b *board) goes(held *ledger.Ledger, mover, host int) bool {
	m := b.movers[mover]
	return m.plan.apartIn(b.drain.View.Over(held), b.hosts[host]).constraint == "" && held.Fits(ledger.Change{Hold: []proto.Reservation{b.box(m, host)}}) == nil
}

// fitsAtLeast reports whether a host could have a mover beside those that are there in a placement.
func (b *board) fitsAtLeast(at string, mover, host int) bool {
	e := b.drain.bareHost(b.hosts[host])
	used := e.stuck
	for n, m := range b.movers {
		switch {
		case n == mover || int(at[n]) != host:
		case at[n] == b.start[n]:
			used = used.Add(m.here)
		default:
			used = used.Add(m.need)
		}
	}
	return e.takes(used, b.movers[mover].need)
}

// carry plans the moves that lead to a placement, each as soon as it can be.
func (b *board) carry(end *spot) (*drain, error) {
	var path []*spot
	for s := end; s.from != nil; s = s.from {
		path = append(path, s)
	}
	slices.Reverse(path)
	c := b.drain.fork()
	if b.whole {
		c = b.drain.afresh()
	}
	for _, s := range path {
		m := b.movers[s.mover]
		if err := c.place(m.name, b.hosts[s.at[s.mover]]); err != nil {
			return nil, fmt.Errorf("%s to %s: %w", m.name, b.hosts[s.at[s.mover]], err)
		}
		if last := &c.trips[len(c.trips)-1]; last.Source != c.Host {
			last.Reasons = slices.Insert(last.Reasons, 0, fmt.Sprintf("it makes room on %s, so that more can leave %s", last.Source, c.Host))
		}
	}
	for n, m := range b.movers {
		if end.at[n] == 0 {
			if err := c.place(m.name, ""); err != nil {
				c.stays[m.name] = err
			}
		}
	}
	for name, err := range b.drain.stays {
		if !slices.ContainsFunc(b.movers, func(m mover) bool { return m.name == name }) { // it took no part
			c.stays[name] = err
		}
	}
	return c, nil
}

// spots is a heap of placements: those with fewest left first, then those with fewest moves, then those that were reached first.
type spots []*spot

func (q spots) Len() int      { return len(q) }
func (q spots) Swap(a, b int) { q[a], q[b] = q[b], q[a] }
func (q spots) Less(a, b int) bool {
	return cmp.Or(cmp.Compare(q[a].left, q[b].left), cmp.Compare(q[a].moves, q[b].moves), cmp.Compare(q[a].number, q[b].number)) < 0
}
func (q *spots) Push(x any) { *q = append(*q, x.(*spot)) }
func (q *spots) Pop() any {
	n := len(*q) - 1
	out := (*q)[n]
	*q = (*q)[:n]
	return out
}
