package ledger

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// give says what a reservation keeps of a resource.
type give struct {
	pooled int64 // thousandths of the pooled part
	firm   int64 // at most, but for the floor
}

// nothing is given by who keeps all.
var nothing = give{pooled: 1000, firm: math.MaxInt64}

// of returns what is left of a part: never below the floor, or below what there was if that was less.
func (g give) of(p part, floor int64) part {
	keep := min(p.sum(), floor) - p.firm // of the mean, where the firm part alone is below the floor
	return part{
		firm:   max(min(p.firm, g.firm), min(p.firm, floor)),
		mean:   max(mulDiv(p.mean, g.pooled, 1000), keep),
		own:    mulDiv(p.own, g.pooled, 1000),
		common: mulDiv(p.common, g.pooled, 1000),
	}
}

// and returns what is left when both are given.
func (g give) and(h give) give { return give{min(g.pooled, h.pooled), min(g.firm, h.firm)} }

// cell is one step and resource of a host that is short. Cells are independent of each other: what one reservation gives in a step
// changes nothing in the next one.
type cell struct {
	step, kind   int
	span         timeline.Span
	needed       int64 // by all, before anybody gives way
	limit, bound int64 // what may be promised; what would do: no less than it is already
	need
	holders []holder
}

// need is the sums of what is held in a cell.
type need struct {
	sum    int64
	own    wide
	common uint64
}

func (n *need) of(z int64) int64 { return n.sum + margin(z, n.own, n.common) }

func (n *need) add(m need) {
	n.sum, n.own, n.common = n.sum+m.sum, n.own.add(m.own), n.common+m.common
}

func (n *need) subtract(m need) {
	n.sum, n.own, n.common = n.sum-m.sum, n.own.sub(m.own), n.common-m.common
}

// holder is a yielder in a cell.
type holder struct {
	who   int
	class proto.Class
	parts []part // of the segments that share the step
	floor int64
	give  give
}

// needs returns what the holder needs in the cell when it gives g: of its parts the largest of each amount.
func (h *holder) needs(g give) need {
	var p part
	sum := int64(0)
	for _, q := range h.parts {
		q = g.of(q, h.floor)
		sum, p.own, p.common = max(sum, q.sum()), max(p.own, q.own), max(p.common, q.common)
	}
	return need{sum: sum, own: square(uint64(p.own)), common: uint64(p.common)}
}

// holds returns the most that the holder has in the cell when it gives g, as Harm measures it.
func (h *holder) holds(g give) int64 {
	most := int64(0)
	for _, p := range h.parts {
		most = max(most, g.of(p, h.floor).all())
	}
	return most
}

// changes reports whether the holder keeps something else with one give than with another.
func (h *holder) changes(g, with give) bool {
	return slices.ContainsFunc(h.parts, func(p part) bool { return g.of(p, h.floor) != with.of(p, h.floor) })
}

// fill adds up the cell.
func (c *cell) fill(held []proto.Reservation, yielders []yielder) {
	next := 0
	for _, r := range held {
		h := holder{who: -1, class: r.Class, floor: r.Floor[c.kind], give: nothing}
		for i := range r.Envelope {
			if s := &r.Envelope[i]; s.Overlaps(c.span) {
				h.parts = append(h.parts, partOf(s, c.kind))
			}
		}
		if next < len(yielders) && yielders[next].ID == r.ID {
			h.who = next
			next++
		}
		if len(h.parts) == 0 {
			continue
		}
		c.add(h.needs(nothing))
		if h.who >= 0 && h.changes(nothing, give{}) {
			c.holders = append(c.holders, h)
		}
	}
}

// keep has a holder give g, and returns what the cell needs then.
func (c *cell) keep(z int64, h *holder, g give) int64 {
	c.subtract(h.needs(h.give))
	h.give = g
	c.add(h.needs(g))
	return c.of(z)
}

// solve has the holders give way until the cell's bound is kept, or until they have given all, and returns what is needed then.
func (c *cell) solve(z int64) int64 {
	var taken []*holder // in the order in which they were taken from, each once
	needed := c.of(z)
	for _, class := range [...]proto.Class{proto.BestEffort, proto.Standard} {
		if needed <= c.bound {
			break
		}
		for _, m := range c.moves(z, class) {
			if needed <= c.bound {
				break
			}
			if m.holder.give == nothing {
				taken = append(taken, m.holder)
			}
			needed = c.keep(z, m.holder, m.of().and(m.holder.give))
		}
	}
	if needed <= c.bound {
		c.giveBack(z, taken)
		needed = c.of(z)
	}
	return needed
}

// giveBack returns what was taken beyond what had to be, from the last to the first. Of a class that gave all before a higher one had
// to it returns only what changes nothing: who is lower keeps nothing that somebody higher has to give for.
func (c *cell) giveBack(z int64, taken []*holder) {
	for _, h := range slices.Backward(taken) {
		allowed := c.bound
		if h.class != taken[len(taken)-1].class {
			allowed = c.of(z)
		}
		g := h.give
		g.firm = most(g.firm, h.top(), func(n int64) bool { return c.with(z, h, give{g.pooled, n}) <= allowed })
		if g.firm >= h.top() {
			g.firm = nothing.firm
		}
		g.pooled = most(g.pooled, nothing.pooled, func(n int64) bool { return c.with(z, h, give{n, g.firm}) <= allowed })
		c.keep(z, h, g)
	}
}

// top returns the largest firm part.
func (h *holder) top() int64 {
	n := int64(0)
	for _, p := range h.parts {
		n = max(n, p.firm)
	}
	return n
}

// most returns the largest n in [from, to] for which ok holds: it does for from, and where it does not, for nothing above.
func most(from, to int64, ok func(int64) bool) int64 {
	for from < to {
		middle := from + (to-from+1)/2
		if ok(middle) {
			from = middle
		} else {
			to = middle - 1
		}
	}
	return from
}

// move is what a holder gives at once: all of its pooled part, or after that all of its firm one down to the floor.
type move struct {
	holder *holder
	firm   bool
	rate   int64
}

// moves returns what those of a class can give, in the order in which it is taken: most room for the harm first. For what is
// firm only that is the least harm, as room and harm grow alike; what is pooled makes less room the more others have given.
func (c *cell) moves(z int64, class proto.Class) []move {
	var out []move
	for i := range c.holders {
		h := &c.holders[i]
		if h.class != class {
			continue
		}
		worth := int64(math.MaxInt64)
		before := nothing
		for _, m := range [...]move{{holder: h}, {holder: h, firm: true}} {
			g := m.of()
			if !h.changes(before, g) {
				continue
			}
			room := c.with(z, h, before) - c.with(z, h, g)
			m.rate = min(worth, rate(room, h.holds(nothing), h.holds(before)-h.holds(g)))
			if m.rate > 0 {
				worth = m.rate // the firm part comes second
			}
			out = append(out, m)
			before = g
		}
	}
	slices.SortStableFunc(out, func(a, b move) int {
		return cmp.Or(cmp.Compare(b.rate, a.rate), cmp.Compare(a.holder.who, b.holder.who))
	})
	return out
}

// of returns what the holder keeps after the move.
func (m move) of() give {
	if m.firm {
		return give{}
	}
	return give{firm: nothing.firm}
}

// with returns what the cell would need if the holder gave g.
func (c *cell) with(z int64, h *holder, g give) int64 {
	n := c.need
	n.subtract(h.needs(h.give))
	n.add(h.needs(g))
	return n.of(z)
}

// rate returns how much room is made for the harm that it does: room ÷ (taken ÷ held).
func rate(room, held, taken int64) int64 {
	if room <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(room), uint64(held))
	if taken <= 0 || hi >= uint64(taken) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(taken))
	return int64(min(q, math.MaxInt64))
}
