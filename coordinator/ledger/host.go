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
	layout   layout
	sum      [resource.Kinds][maxSteps]int64 // Σ firm + Σ mean
	pool     [resource.Kinds]*pool           // nil where nothing is pooled
	flat     resource.Vector                 // limit where nothing is reduced
	limits   *[resource.Kinds][maxSteps]int64
	held     []*proto.Reservation // sorted by ID
	short    *proto.Shortfall     // a fact took what was promised
}

// pool sums the deviations of one resource in each step.
type pool struct {
	own    [maxSteps]wide   // Σ σ_own²
	common [maxSteps]uint64 // Σ σ_common
}

// newHost returns the host with the reservations, computed from nothing.
func newHost(c Capacity, l layout, held []*proto.Reservation) *host {
	h := &host{capacity: c, layout: l, held: held}
	h.setLimits()
	for _, r := range held {
		h.add(r.Envelope, 0, l.steps())
	}
	return h
}

func (h *host) setLimits() {
	h.flat = h.capacity.limit(resource.Vector{})
	h.limits = nil
	if len(h.capacity.Reduced) == 0 {
		return
	}
	h.limits = new([resource.Kinds][maxSteps]int64)
	for i := range h.layout.steps() {
		for k, n := range h.capacity.limit(h.capacity.Reduced.MaxOver(h.layout.span(i))) {
			h.limits[k][i] = n
		}
	}
}

// clone returns a copy whose sums can be changed.
func (h *host) clone() *host {
	c := *h
	c.held = slices.Clone(h.held)
	for k, p := range h.pool {
		if p != nil {
			q := *p
			c.pool[k] = &q
		}
	}
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

// worse returns the first step, and in it the first resource, where h needs more than its limit and more than base
// did; nil where there is none. With a nil base every step above its limit counts.
func (h *host) worse(z int64, base *host) *proto.Shortfall {
	end, kind := h.layout.steps(), -1
	for k := range h.sum {
		if i := h.worseStep(z, base, k, end); i < end {
			end, kind = i, k
		}
	}
	if kind < 0 {
		return nil
	}
	return h.shortfall(kind, end, h.needed(z, kind, end))
}

// worseStep returns the first step before end that is worse in one resource; end where there is none.
func (h *host) worseStep(z int64, base *host, k, end int) int {
	if h.limits == nil && h.flat[k] >= resource.Unlimited {
		return end
	}
	p := h.pool[k]
	for i, n := range h.sum[k][:end] {
		limit := h.limit(k, i)
		if p == nil && n <= limit || p != nil && atMost(limit, n, z, p.own[i], p.common[i]) || limit >= resource.Unlimited {
			continue
		}
		if base == nil || h.needed(z, k, i) > base.needed(z, k, i) {
			return i
		}
	}
	return end
}

func (h *host) shortfall(k, i int, needed int64) *proto.Shortfall {
	limit := h.limit(k, i)
	return &proto.Shortfall{
		Host: h.capacity.Host, Span: h.layout.span(i), Resource: resource.Kind(k),
		Missing: needed - limit, Needed: needed, Limit: limit,
	}
}

// insert adds a reservation that is not there.
func (h *host) insert(r *proto.Reservation) {
	i, _ := h.find(r.ID)
	h.held = slices.Insert(h.held, i, r)
	h.add(r.Envelope, 0, h.layout.steps())
}

// remove takes a reservation out that is there.
func (h *host) remove(r *proto.Reservation) {
	i, _ := h.find(r.ID)
	h.held = slices.Delete(h.held, i, i+1)
	h.subtract(r.Envelope)
}

func (h *host) find(id string) (int, bool) {
	return slices.BinarySearchFunc(h.held, id, func(r *proto.Reservation, id string) int { return strings.Compare(r.ID, id) })
}

// add adds what the envelope holds in the steps [from, to).
func (h *host) add(e proto.Envelope, from, to int) {
	h.layout.runs(e, from, to, func(from, to int, a *amounts) {
		for k := range resource.Kinds {
			if n := a.sum[k]; n != 0 {
				cells := h.sum[k][from:to]
				for i := range cells {
					cells[i] += n
				}
			}
			if a.own[k] == 0 && a.common[k] == 0 {
				continue
			}
			if h.pool[k] == nil {
				h.pool[k] = new(pool)
			}
			p, sq := h.pool[k], square(uint64(a.own[k]))
			for i := from; i < to; i++ {
				p.own[i] = p.own[i].add(sq)
				p.common[i] += uint64(a.common[k])
			}
		}
	})
}

// subtract takes away what add added in all steps.
func (h *host) subtract(e proto.Envelope) {
	h.layout.runs(e, 0, h.layout.steps(), func(from, to int, a *amounts) {
		for k := range resource.Kinds {
			for i := from; i < to; i++ {
				h.sum[k][i] -= a.sum[k]
			}
			if a.own[k] == 0 && a.common[k] == 0 {
				continue
			}
			p, sq := h.pool[k], square(uint64(a.own[k]))
			for i := from; i < to; i++ {
				p.own[i] = p.own[i].sub(sq)
				p.common[i] -= uint64(a.common[k])
			}
		}
	})
}

// rolled returns the host on a later layout. Steps that are in both keep their sums; those that came nearer and were
// split are computed again from the envelopes, so that nothing is lost of what was reserved.
func (h *host) rolled(l layout) *host {
	c := &host{capacity: h.capacity, layout: l, held: slices.Clone(h.held), short: h.short}
	c.setLimits()
	keepFine := max(0, h.layout.fine-h.layout.index(l.start))
	firstCoarse := max(0, h.layout.index(l.fineEnd())-h.layout.fine)
	keepCoarse := max(0, numCoarse-firstCoarse)
	if l.start >= h.layout.fineEnd() {
		keepFine = 0
	}
	for k := range h.sum {
		from, coarse := h.layout.index(l.start), h.layout.fine+firstCoarse
		copy(c.sum[k][:keepFine], h.sum[k][from:])
		copy(c.sum[k][l.fine:l.fine+keepCoarse], h.sum[k][coarse:])
		p := h.pool[k]
		if p == nil {
			continue
		}
		q := new(pool)
		copy(q.own[:keepFine], p.own[from:])
		copy(q.common[:keepFine], p.common[from:])
		copy(q.own[l.fine:l.fine+keepCoarse], p.own[coarse:])
		copy(q.common[l.fine:l.fine+keepCoarse], p.common[coarse:])
		c.pool[k] = q
	}
	for _, r := range c.held {
		c.add(r.Envelope, keepFine, l.fine)
		c.add(r.Envelope, l.fine+keepCoarse, l.steps())
	}
	return c
}
