package ledger

import (
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Capacity is what a host may promise.
type Capacity struct {
	Host        string
	Allocatable resource.Vector
	Ratio       resource.Vector  // thousandths of Allocatable that may be promised, per resource
	Reduced     timeline.Profile // what is not there for a while
	Debt        int64            // bytes of memory that the host could not take back
	Away        []timeline.Span  // when all of it is not there: what it needs for itself is nothing that it is short of then
}

// limit returns what may be promised while reduced is missing: never rounded up.
func (c Capacity) limit(reduced resource.Vector) resource.Vector {
	reduced[resource.Memory] += c.Debt
	v := c.Allocatable.Sub(reduced)
	for k, n := range v {
		if n < resource.Unlimited {
			v[k] = min(mulDiv(n, c.Ratio[k], 1000), resource.Unlimited-1)
		}
	}
	return v
}

// mulDiv returns ⌊n·num ÷ den⌋ for n below Unlimited and num at most MaxRatio.
func mulDiv(n, num, den int64) int64 {
	return n/den*num + n%den*num/den
}

// host is one host's reservations, and the dense sums that are derived from them. Clones of the ledger share it. Once there may
// have been one it is never changed: a change makes another host. Until then it is changed itself, as copying the sums
// is most of the work.
type host struct {
	owner    *owner
	capacity Capacity
	sums
	flat    resource.Vector // limit where nothing is reduced; beside the outline, as both are looked at together
	outline outline
	limits  *[resource.Kinds][numSteps]int64
	held    []*reservation   // sorted by ID
	short   *proto.Shortfall // a fact took what was promised
}

// newHost returns the host with the reservations, computed from nothing.
func newHost(c Capacity, l layout, z int64, held []*reservation) *host {
	h := &host{capacity: c, held: held}
	h.setLimits(l)
	for _, r := range held {
		h.put(l, r, 0, numSteps)
	}
	h.settle(l, z)
	return h
}

// settle computes what follows from the sums and the limits.
func (h *host) settle(l layout, z int64) {
	h.short = h.shortage(l, z)
	h.draw(z, 0, numSteps)
}

func (h *host) setLimits(l layout) {
	h.flat = h.capacity.limit(resource.Vector{})
	h.limits = nil
	if len(h.capacity.Reduced) == 0 {
		return
	}
	h.limits = new([resource.Kinds][numSteps]int64)
	for i := range numSteps {
		for k, n := range h.capacity.limit(h.capacity.Reduced.MaxOver(l.span(i))) {
			h.limits[k][i] = n
		}
	}
}

// clone returns a copy whose sums can be changed.
func (h *host) clone() *host {
	c := *h
	c.held = slices.Clone(h.held)
	c.unshare()
	return &c
}

// limit returns what may be promised of a resource in step i.
func (h *host) limit(k, i int) int64 {
	if h.limits != nil {
		return h.limits[k][i]
	}
	return h.flat[k]
}

// needed returns what everything that is held needs of a resource in step i: the left side of the admission condition.
func (h *host) needed(z int64, k, i int) int64 {
	n := h.sum[k][i]
	if p := h.pool[k]; p != nil {
		n += margin(z, p.own(i), p.common[i])
	}
	return n
}

// worse returns the first step in [from, to) that is not past, and in it the first resource, where h needs more than its
// limit and more than base did; nil where there is none. With a nil base every step above its limit counts.
func (h *host) worse(l layout, z int64, base *host, from, to int) *proto.Shortfall {
	from = max(from, l.first)
	end, kind := to, -1
	for k := range h.sum {
		if i := h.worseStep(z, base, k, from, end); i < end {
			end, kind = i, k
		}
	}
	if kind < 0 {
		return nil
	}
	return h.shortfall(l, kind, end, h.needed(z, kind, end))
}

// shortage returns the first step, of all, where h owes more than its limit.
func (h *host) shortage(l layout, z int64) *proto.Shortfall {
	if len(h.capacity.Away) == 0 {
		return h.worse(l, z, nil, 0, numSteps)
	}
	if all := shortages(h.capacity.Host, h.owed(l, z)); len(all) > 0 {
		return &all[0]
	}
	return nil
}

// steps returns the grid from a step to before another one.
func (h *host) steps(l layout, z int64, from, to int) []Step {
	out := make([]Step, to-from)
	for i := range out {
		out[i].Span = l.span(from + i)
		for k := range resource.Kinds {
			out[i].Needed[k], out[i].Limit[k] = h.needed(z, k, from+i), h.limit(k, from+i)
		}
	}
	return out
}

// owed returns the grid with what others are promised alone where the host is away: what it needs for itself it does not need then.
func (h *host) owed(l layout, z int64) []Step {
	out := h.steps(l, z, l.first, numSteps)
	if len(h.capacity.Away) == 0 {
		return out
	}
	others := h.clone()
	for i := len(others.held) - 1; i >= 0; i-- {
		if others.held[i].Purpose == proto.PurposeSystem {
			others.remove(l, i)
		}
	}
	for i := range out {
		if h.capacity.away(out[i].Span) {
			for k := range resource.Kinds {
				out[i].Needed[k] = others.needed(z, k, l.first+i)
			}
		}
	}
	return out
}

// away reports whether the host is away in some of a span.
func (c Capacity) away(s timeline.Span) bool {
	return slices.ContainsFunc(c.Away, func(a timeline.Span) bool { return a.Start < s.End && s.Start < a.End })
}

// worseStep returns the first step in [from, end) that is worse in one resource; end where there is none.
func (h *host) worseStep(z int64, base *host, k, from, end int) int {
	p := h.pool[k]
	if h.limits == nil {
		limit := h.flat[k]
		if limit >= resource.Unlimited {
			return end
		}
		if p == nil { // most hosts and resources: nothing but comparisons
			for from < end && h.sum[k][from] <= limit {
				from++
			}
		}
	}
	for i := from; i < end; i++ {
		limit, n := h.limit(k, i), h.sum[k][i]
		if limit >= resource.Unlimited || p == nil && n <= limit || p != nil && atMost(limit, n, z, p.own(i), p.common[i]) {
			continue
		}
		if base == nil || h.needed(z, k, i) > base.needed(z, k, i) {
			return i
		}
	}
	return end
}

func (h *host) shortfall(l layout, k, i int, needed int64) *proto.Shortfall {
	limit := h.limit(k, i)
	return &proto.Shortfall{
		Host: h.capacity.Host, Span: l.span(i), Resource: resource.Kind(k),
		Missing: needed - limit, Needed: needed, Limit: limit,
	}
}

// keep returns a reservation as the host keeps it: its name is there once for all of them.
func (h *host) keep(r *proto.Reservation) *reservation {
	k := keep(r)
	k.Host = h.capacity.Host
	return k
}

// insert adds a reservation that is not there, at place i of those that are.
func (h *host) insert(l layout, i int, r *reservation) {
	h.held = slices.Insert(h.held, i, r)
	h.put(l, r, 0, numSteps)
}

// remove takes out the reservation at place i.
func (h *host) remove(l layout, i int) {
	var room [proto.MaxSegments]proto.Segment
	h.subtract(l, h.held[i].packed.within(room[:0], always), 0, numSteps)
	h.held = slices.Delete(h.held, i, i+1)
}

// put adds what a reservation holds in the steps [from, to).
func (h *host) put(l layout, r *reservation, from, to int) {
	if from == to {
		return
	}
	var room [proto.MaxSegments]proto.Segment
	span := timeline.Span{Start: l.span(from).Start, End: l.span(to - 1).End}
	if from == 0 {
		span.Start = 0 // of a grid that begins before the epoch
	}
	h.add(l, r.packed.within(room[:0], span), from, to)
}

// find returns the place of the reservation with the identifier, or where it would be.
func (h *host) find(id string) (i int, there bool) {
	return slices.BinarySearchFunc(h.held, id, func(r *reservation, id string) int { return strings.Compare(r.ID, id) })
}

// roll moves the host to a later layout of another base. Steps that are in both keep their sums; those that came nearer and
// were split are computed again from the envelopes, so that nothing is lost of what was reserved.
func (h *host) roll(was, l layout) {
	h.setLimits(l)
	fine := int((l.base - was.base) / l.step) // a whole number of coarse steps
	if fine == coarseLength {
		h.split(was, l)
		return
	}
	keepFine, keepCoarse := max(0, numFine-fine), max(0, numCoarse-fine/coarseLength)
	h.shift(0, keepFine, numFine)
	h.shift(numFine, numFine+keepCoarse, numFine+numCoarse)
	h.shift(numFine+numCoarse, numFine+numCoarse, numSteps)
	for _, r := range h.held {
		h.put(l, r, keepFine, numFine)
		h.put(l, r, numFine+keepCoarse, numSteps)
	}
}

// split is roll over one coarse step, as time goes by. Most reservations hold the same all over what is split, the first coarse
// step and the tail: its parts take over its sums, and only what changes in it is computed again.
func (h *host) split(was, l layout) {
	h.sums.split()
	coarse, tail := was.span(numFine), was.span(numSteps-1)
	for _, r := range h.held {
		if r.packed.cut(coarse) {
			h.again(l, r, coarse, numFine-coarseLength, numFine)
		}
		if r.packed.cut(tail) {
			h.again(l, r, tail, numSteps-2, numSteps)
		}
	}
}

// again counts a reservation anew in the steps [from, to), each of which has had all that it holds in the span.
func (h *host) again(l layout, r *reservation, s timeline.Span, from, to int) {
	var room [proto.MaxSegments]proto.Segment
	e := r.packed.within(room[:0], s)
	a := amountsOf(&e[0])
	for i := range e[1:] {
		b := amountsOf(&e[1+i])
		a.max(&b)
	}
	h.changeRun(from, to, &a, true)
	h.add(l, e, from, to)
}
