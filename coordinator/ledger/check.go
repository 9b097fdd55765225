package ledger

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Check returns where NoOversell does not hold, in words: the admission condition of every host and resource, computed
// from nothing but the envelopes, at every instant from the grid's start on at which something changes. Hosts that
// facts have made short are left out: Short says so. It shares no arithmetic with admission.
func (l *Ledger) Check() []string {
	var found []string
	l.hosts.Ascend(func(p place) bool {
		h := p.host
		if h.short == nil {
			found = append(found, h.check(l.layout.start(), l.z)...)
		}
		return true
	})
	return found
}

func (h *host) check(start timeline.Time, z int64) []string {
	at := []timeline.Time{start}
	held := make([]proto.Envelope, len(h.held))
	var others []proto.Envelope // but for what the host needs for itself
	for i, r := range h.held {
		held[i] = r.whole().Envelope
		if r.Purpose != proto.PurposeSystem {
			others = append(others, held[i])
		}
		for _, s := range held[i] {
			at = append(at, s.Start)
		}
	}
	for _, s := range h.capacity.Away {
		at = append(at, s.Start, s.End)
	}
	for _, s := range h.capacity.Reduced {
		at = append(at, s.Start)
	}
	slices.Sort(at)
	var found []string
	for _, t := range slices.Compact(at) {
		if t < start {
			continue
		}
		reduced, _ := h.capacity.Reduced.At(t)
		limit, held := h.capacity.limit(reduced), held
		if h.capacity.away(timeline.Span{Start: t, End: t + 1}) {
			held = others
		}
		for k := range resource.Kinds {
			if limit[k] < resource.Unlimited && !admissible(held, t, k, z, limit[k]) {
				found = append(found, fmt.Sprintf("%s promises more %s at %s than the %s it may", h.capacity.Host, resource.Kind(k), t, resource.Format(resource.Kind(k), limit[k])))
			}
		}
	}
	return found
}

// admissible reports whether Σ firm + Σ mean + z·√(Σ own² + (Σ common)²) ≤ limit, exactly.
func admissible(held []proto.Envelope, t timeline.Time, k int, z, limit int64) bool {
	sum, own, common := new(big.Int), new(big.Int), new(big.Int)
	for _, e := range held {
		for _, s := range e {
			if s.Contains(t) {
				sum.Add(sum, big.NewInt(s.Firm[k]+s.Mean[k]))
				own.Add(own, new(big.Int).Mul(big.NewInt(s.Own[k]), big.NewInt(s.Own[k])))
				common.Add(common, big.NewInt(s.Common[k]))
			}
		}
	}
	free := new(big.Int).Sub(big.NewInt(limit), sum)
	if free.Sign() < 0 {
		return false
	}
	free.Mul(free, big.NewInt(1000))
	left := own.Add(own, common.Mul(common, common))
	left.Mul(left, big.NewInt(z*z))
	return left.Cmp(free.Mul(free, free)) <= 0
}
