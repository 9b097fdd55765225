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
	outline outline
	flat    resource.Vector // limit where nothing is reduced
	limits  *[resource.Kinds][numSteps]int64
	held    []*proto.Reservation // sorted by ID
	short   *proto.Shortfall     // a fact took what was promised
}

// newHost returns the host with the reservations, computed from nothing.
func newHost(c Capacity, l layout, z int64, held []*proto.Reservation) *host {
	h := &host{capacity: c, held: held}
	h.setLimits(l)
	for _, r := range held {
		h.add(l, r.Envelope, 0, numSteps)
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
	c.sums = h.sums.clone()
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
		n += margin(z, p.own[i], p.common[i])
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

// shortage returns the first step, of all, where h needs more than its limit.
func (h *host) shortage(l layout, z int64) *proto.Shortfall { return h.worse(l, z, nil, 0, numSteps) }

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
		if limit >= resource.Unlimited || p == nil && n <= limit || p != nil && atMost(limit, n, z, p.own[i], p.common[i]) {
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

// insert adds a reservation that is not there, at place i of those that are.
func (h *host) insert(l layout, i int, r *proto.Reservation) {
	h.held = slices.Insert(h.held, i, r)
	h.add(l, r.Envelope, 0, numSteps)
}

// remove takes out the reservation at place i.
func (h *host) remove(l layout, i int) {
	h.subtract(l, h.held[i].Envelope, 0, numSteps)
	h.held = slices.Delete(h.held, i, i+1)
}

// find returns the place of the reservation with the identifier, or where it would be.
func (h *host) find(id string) (i int, there bool) {
	return slices.BinarySearchFunc(h.held, id, func(r *proto.Reservation, id string) int { return strings.Compare(r.ID, id) })
}

// rolled returns the host on a later layout of another base. Steps that are in both keep their sums; those that came nearer
// and were split are computed again from the envelopes, so that nothing is lost of what was reserved.
func (h *host) rolled(was, l layout) *host {
	c := h.clone()
	c.setLimits(l)
	fine := int((l.base - was.base) / l.step) // a whole number of coarse steps
	coarse := fine / coarseLength
	keepFine, keepCoarse := max(0, numFine-fine), max(0, numCoarse-coarse)
	c.shift(0, keepFine, numFine)
	c.shift(numFine, numFine+keepCoarse, numFine+numCoarse)
	c.shift(numFine+numCoarse, numFine+numCoarse, numSteps)
	for _, r := range c.held {
		c.add(l, r.Envelope, keepFine, numFine)
		c.add(l, r.Envelope, numFine+keepCoarse, numSteps)
	}
	return c
}
