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

	// MeanSquare is the mean, over the grid and the resources that have a limit, of the squared share that is expected to be
	// used (firm and mean), in millionths: of two hosts that are used alike, the one whose peaks do not coincide has less. The
	// tail counts as two hours, and what is past of the current half hour like what is left of it.
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

// Weigh asks every host, in order of names, how the envelope would lie there, until f answers false. Each host costs about
// as much as in Scan, wherever its steps are: what is free and what is used is read by the hour.
func (l *Ledger) Weigh(e proto.Envelope, f func(host string, fit Fit) bool) {
	d := l.probe(e)
	l.hosts.Ascend(func(p place) bool { return f(p.name, d.weigh(p.host)) })
}

// balance sums shares of a block over the resources, and their squares.
type balance struct{ sum, squares int64 }

func (b *balance) add(share int32) {
	b.sum += int64(share)
	b.squares += int64(share) * int64(share)
}

func (d *probe) weigh(h *host) Fit {
	f := Fit{host: h, probe: d, Tightest: 1000}
	f.kind, f.step = d.short(h)
	kinds, first := int64(0), blockOf(d.layout.first)
	var before, after [numBlocks]balance
	for k := range resource.Kinds {
		limit := h.flat[k]
		if limit <= 0 || limit >= resource.Unlimited {
			continue
		}
		kinds++
		d.tighten(&f, k, first)
		share := shareOf(limit)
		for b := first; b < numBlocks; b++ {
			used := h.outline.used[k][b]
			before[b].add(used)
			if n := d.used[k][b]; n != 0 {
				used = min(used+share.of(n), maxShare)
			}
			after[b].add(used)
		}
	}
	if !f.Fits() {
		f.Tightest = 0
	}
	if kinds == 0 {
		return f
	}
	square, skew := d.mean(&before, first, kinds)
	f.MeanSquare, f.Skew = d.mean(&after, first, kinds)
	f.Rise, f.SkewRise = f.MeanSquare-square, f.Skew-skew
	return f
}

// tighten takes a resource into account.
func (d *probe) tighten(f *Fit, k, first int) {
	room, need := &f.host.outline.room[k], &d.need[k]
	least, at := int64(math.MaxInt64), first
	for b := first; b < numBlocks; b++ {
		if left := room[b] - need[b]; left < least {
			least, at = left, b
		}
	}
	if free := int32(max(0, least) * 1000 / f.host.flat[k]); free < f.Tightest || f.Span.Empty() {
		f.Tightest, f.Kind = free, resource.Kind(k)
		f.Span = timeline.Span{Start: d.layout.span(max(blockStart(at), d.layout.first)).Start, End: d.layout.span(blockStart(at+1) - 1).End}
	}
}

// mean returns the mean of the squares, and of the variances between resources, in millionths.
func (d *probe) mean(of *[numBlocks]balance, first int, kinds int64) (square, skew int64) {
	all := int64(0)
	for b := first; b < numBlocks; b++ {
		w := d.layout.weight(b)
		all += w
		square += w * of[b].squares
		skew += w * (kinds*of[b].squares - of[b].sum*of[b].sum)
	}
	return millionths(square / (kinds * all)), millionths(skew / (kinds * kinds * all))
}

// millionths returns a square of shares in parts of one as one in millionths.
func millionths(n int64) int64 { return n * (1_000_000 / 64) >> (32 - 6) }
