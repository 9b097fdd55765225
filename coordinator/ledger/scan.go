package ledger

import (
	"iter"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// Scan asks every host, in order of names, whether the envelope could be held there now. It yields the shortfall, or nil
// where it fits. Shortfalls are those that Hold would answer.
func (l *Ledger) Scan(e proto.Envelope) iter.Seq2[string, *proto.Shortfall] {
	return func(yield func(string, *proto.Shortfall) bool) {
		d := new(sums) // spread over the grid once
		d.add(l.layout, e, 0, l.layout.steps())
		l.hosts.Ascend(func(p place) bool { return yield(p.name, p.host.shortWith(l.z, d)) })
	}
}

// shortWith returns the first step, and in it the first resource, where h with d on top would need more than it may and
// more than it does.
func (h *host) shortWith(z int64, d *sums) *proto.Shortfall {
	end, kind := h.layout.steps(), -1
	for k := range resource.Kinds {
		if i := h.shortStep(z, d, k, end); i < end {
			end, kind = i, k
		}
	}
	if kind < 0 {
		return nil
	}
	return h.shortfall(kind, end, h.neededWith(z, d, kind, end))
}

// shortStep returns the first step before end that d does not fit in one resource; end where there is none.
func (h *host) shortStep(z int64, d *sums, k, end int) int {
	if h.limits == nil {
		if h.flat[k] >= resource.Unlimited {
			return end
		}
		if h.pool[k] == nil && d.pool[k] == nil { // most hosts and resources: additions and comparisons, nothing else
			limit, sum, more := h.flat[k], h.sum[k][:end], d.sum[k][:end]
			for i, n := range sum {
				if n+more[i] > limit && more[i] > 0 {
					return i
				}
			}
			return end
		}
	}
	for i := range end {
		own, common := h.deviations(d, k, i)
		limit := h.limit(k, i)
		if limit >= resource.Unlimited || atMost(limit, h.sum[k][i]+d.sum[k][i], z, own, common) {
			continue
		}
		if h.neededWith(z, d, k, i) > h.needed(z, k, i) {
			return i
		}
	}
	return end
}

// neededWith returns what a step needs with d on top.
func (h *host) neededWith(z int64, d *sums, k, i int) int64 {
	own, common := h.deviations(d, k, i)
	return h.sum[k][i] + d.sum[k][i] + margin(z, own, common)
}

// deviations returns the sums of a step's deviations with d on top.
func (h *host) deviations(d *sums, k, i int) (own wide, common uint64) {
	for _, p := range [...]*pool{h.pool[k], d.pool[k]} {
		if p != nil {
			own, common = own.add(p.own[i]), common+p.common[i]
		}
	}
	return own, common
}
