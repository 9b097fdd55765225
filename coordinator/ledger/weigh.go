package ledger

import (
	"math"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Fit is how an envelope would lie on a host. All of it follows from what is reserved there and from the time, in integers:
// two coordinators with the same ledger answer the same. It is good until the function that was given it returns.
type Fit struct {
	// Tightest is the share of its limit that the scarcest resource keeps free at its fullest time, in thousandths, with the
	// envelope on top: never more than is free in truth. Hours are taken as one, with the largest of each part in
	// them, and pooled demand apart on the host and in the envelope. It is 0 where the envelope does not fit.
	Tightest int32
	Kind     resource.Kind // the scarcest resource, of those that have a limit
	Span     timeline.Span // its fullest time, to an hour or two
	Free     int64         // what Tightest is of Limit, in the resource's unit
	Limit    int64         // of that resource where nothing of it is reduced; 0 where none has a limit

	// MeanSquare is the mean, over the grid and the resources that have a limit, of the squared share that is expected to be
	// used (firm and mean), in millionths: of two hosts that are used alike, the one whose peaks do not coincide has less. The
	// grid counts from its next half hour on (six base steps), and the tail as two hours.
	MeanSquare int64
	Rise       int64 // how much of MeanSquare the envelope adds

	// Skew is the mean over the grid of the variance between the shares of the resources, in millionths: what one resource
	// has left is worth little where another is used up.
	Skew     int64
	SkewRise int64 // how much of Skew the envelope adds, or takes away

	kind, step int // of the shortfall; a negative kind where it fits
	host       *host
	probe      *probe
}

// Fits reports whether the envelope could be held there now, as Scan does.
func (f *Fit) Fits() bool { return f.kind < 0 }

// Short returns the shortfall that Hold would answer; nil where it fits. It is made when it is asked for.
func (f *Fit) Short() *proto.Shortfall {
	if f.kind < 0 {
		return nil
	}
	return f.host.shortfall(f.probe.layout, f.kind, f.step, f.probe.needed(f.host, f.kind, f.step))
}

// Weigh asks every host, in order of names, how the envelope would lie there, until f answers false. What is free and what is used is
// read by the hour or two, not step by step: a few microseconds for each host.
func (l *Ledger) Weigh(e proto.Envelope, f func(host string, fit Fit) bool) {
	d := l.probe(e)
	l.hosts.Ascend(func(p place) bool { return f(p.name, d.weigh(p.host)) })
}

// WeighOn asks one host, and reports false where there is none of the name. The answer is good until the ledger is changed.
func (l *Ledger) WeighOn(name string, e proto.Envelope) (Fit, bool) {
	h, ok := l.host(name)
	if !ok {
		return Fit{}, false
	}
	return l.probe(e).weigh(h), true
}

func (d *probe) weigh(h *host) Fit {
	f := Fit{host: h, probe: d, Tightest: 1000}
	f.kind, f.step = d.short(h)
	first := blockOf(d.layout.first)
	var used, more shareLists
	for k := range resource.Kinds {
		limit := h.flat[k]
		if !counts(limit) {
			continue
		}
		d.tighten(&f, k, first)
		used.add(&h.outline.used[k])
		more.add(d.sharesOf(k, limit))
	}
	if !f.Fits() {
		f.Tightest, f.Free = 0, 0
	}
	f.MeanSquare, f.Skew = balance(used.all(), more.all())
	f.Rise, f.SkewRise = f.MeanSquare-h.outline.square, f.Skew-h.outline.skew
	return f
}

// tighten takes a resource into account.
func (d *probe) tighten(f *Fit, k, first int) {
	limit := f.host.flat[k]
	if f.host.outline.least[k]-d.most[k] >= (int64(f.Tightest)*limit+999)/1000 && !f.Span.Empty() {
		return // no block is tighter
	}
	room, need := &f.host.outline.room[k], &d.need[k]
	least, at := int64(math.MaxInt64), first
	for b := first; b < numBlocks; b++ {
		if left := room[b] - need[b]; left < least {
			least, at = left, b
		}
	}
	least = max(0, least)
	if free := int32(least * 1000 / limit); free < f.Tightest || f.Span.Empty() {
		f.Tightest, f.Kind, f.Free, f.Limit = free, resource.Kind(k), least, limit
		f.Span = timeline.Span{Start: d.layout.span(max(blockStart(at), d.layout.first)).Start, End: d.layout.span(blockStart(at+1) - 1).End}
	}
}
