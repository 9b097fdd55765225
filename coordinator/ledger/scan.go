package ledger

import (
	"iter"
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// probe is an envelope that is tried on many hosts: spread over the grid once, and outlined like them.
type probe struct {
	layout layout
	z      int64
	sums
	most [resource.Kinds]int64            // of the need, in all blocks
	need [resource.Kinds][numBlocks]int64 // at most so much, in every step of the block
	used [resource.Kinds][numBlocks]int64 // firm and mean, on the average

	shares [resource.Kinds]shares // of the last host's limits: many have the same
}

// shares is what is used of a limit.
type shares struct {
	limit int64
	of    [numBlocks]int32
}

// sharesOf returns the shares of a limit that d uses. They are good until another limit of the resource is asked for.
func (d *probe) sharesOf(k int, limit int64) *[numBlocks]int32 {
	s := &d.shares[k]
	if s.limit != limit {
		s.limit = limit
		share := shareOf(limit)
		for b, n := range &d.used[k] {
			s.of[b] = share.of(n)
		}
	}
	return &s.of
}

func (l *Ledger) probe(e proto.Envelope) *probe {
	d := &probe{layout: l.layout, z: l.z}
	d.add(l.layout, e, 0, numSteps)
	for k := range resource.Kinds {
		for b := range numBlocks {
			d.need[k][b], d.used[k][b] = d.part(l.z, k, b)
		}
		d.most[k] = slices.Max(d.need[k][:])
	}
	return d
}

// Scan asks every host, in order of names, whether the envelope could be held there now. It yields the shortfall, or nil
// where it fits. Shortfalls are those that Hold would answer.
func (l *Ledger) Scan(e proto.Envelope) iter.Seq2[string, *proto.Shortfall] {
	return func(yield func(string, *proto.Shortfall) bool) {
		d := l.probe(e)
		l.hosts.Ascend(func(p place) bool {
			if d.fitsAlways(&p.least) { // on most
				return yield(p.name, nil)
			}
			return yield(p.name, d.shortfall(p.host))
		})
	}
}

// fitsAlways reports whether d fits into what is free at all times.
func (d *probe) fitsAlways(least *[resource.Kinds]int64) bool {
	for k, most := range d.most {
		if most > least[k] && most != 0 {
			return false
		}
	}
	return true
}

// shortfall returns the first step, and in it the first resource, where h with d on top would need more than it may and
// more than it does.
func (d *probe) shortfall(h *host) *proto.Shortfall {
	kind, i := d.short(h)
	if kind < 0 {
		return nil
	}
	return h.shortfall(d.layout, kind, i, d.needed(h, kind, i))
}

// short returns the resource and the step of the shortfall; a negative resource where there is none.
func (d *probe) short(h *host) (kind, step int) {
	end := numSteps
	kind = -1
	for k := range resource.Kinds {
		if d.most[k] <= h.outline.least[k] || d.most[k] == 0 { // most hosts and resources
			continue
		}
		if i := d.shortStep(h, k, end); i < end {
			end, kind = i, k
		}
	}
	return kind, end
}

// shortStep returns the first step before end that d does not fit in one resource; end where there is none. Two pools that are
// held together need no more than they do apart: where the outlines fit, so does every step.
func (d *probe) shortStep(h *host, k, end int) int {
	room := &h.outline.room[k]
	for b, need := range d.need[k] {
		if need <= room[b] || need == 0 {
			continue
		}
		from, to := max(blockStart(b), d.layout.first), min(blockStart(b+1), end)
		if i := d.shortIn(h, k, from, to); i < to {
			return i
		}
		if to == end {
			break
		}
	}
	return end
}

// shortIn returns the first step in [from, to) that d does not fit in one resource; to where there is none.
func (d *probe) shortIn(h *host, k, from, to int) int {
	if from >= to || h.limits == nil && h.flat[k] >= resource.Unlimited {
		return to
	}
	limit, held, more := h.flat[k], h.sum[k][from:to], d.sum[k][from:to]
	for i, sum := range held {
		if h.limits != nil {
			limit = h.limits[k][from+i]
		}
		own, common := d.deviations(h, k, from+i)
		if !atMost(limit, sum+more[i], d.z, own, common) && limit < resource.Unlimited && d.needed(h, k, from+i) > h.needed(d.z, k, from+i) {
			return from + i
		}
	}
	return to
}

// needed returns what a step of h needs with d on top.
func (d *probe) needed(h *host, k, i int) int64 {
	own, common := d.deviations(h, k, i)
	return h.sum[k][i] + d.sum[k][i] + margin(d.z, own, common)
}

// deviations returns the sums of a step's deviations with d on top.
func (d *probe) deviations(h *host, k, i int) (own wide, common uint64) {
	for _, p := range [...]*pool{h.pool[k], d.pool[k]} {
		if p != nil {
			own, common = own.add(p.own(i)), common+p.common[i]
		}
	}
	return own, common
}
