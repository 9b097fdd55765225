package ledger

import (
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// piece is a part of a segment, as it is left.
type piece struct {
	proto.Segment
	of int // which segment
}

// cut returns the reservation's envelope with what it gives in each step taken out. Where that makes more segments than there may
// be, neighbours of one segment become the lower of both, those first that it harms least: what a whole segment gives is never
// below its floor.
func cut(r proto.Reservation, steps []Step, gives map[int]*[resource.Kinds]give) proto.Envelope {
	var pieces []piece
	for i, s := range r.Envelope {
		at := s.Start
		put := func(end timeline.Time, g *[resource.Kinds]give) {
			in := s
			in.Span = timeline.Span{Start: at, End: min(end, s.End)}
			if in.Empty() {
				return
			}
			at = in.End
			if g != nil {
				in = left(in, r.Floor, g)
			}
			if n := len(pieces); n > 0 && pieces[n-1].of == i && alike(pieces[n-1].Segment, in) {
				pieces[n-1].End = in.End
				return
			}
			pieces = append(pieces, piece{in, i})
		}
		for j, step := range steps {
			if g := gives[j]; g != nil && step.Overlaps(s.Span) {
				put(step.Start, nil)
				put(step.End, g)
			}
		}
		put(s.End, nil)
	}
	pieces = fewer(pieces, r.Envelope)
	out := make(proto.Envelope, len(pieces))
	for i, p := range pieces {
		out[i] = p.Segment
	}
	return out
}

// left returns a segment with what is given taken out.
func left(s proto.Segment, floor resource.Vector, gives *[resource.Kinds]give) proto.Segment {
	for k, g := range gives {
		p := g.of(partOf(&s, k), floor[k])
		s.Firm[k], s.Mean[k], s.Own[k], s.Common[k] = p.firm, p.mean, p.own, p.common
	}
	return s
}

func alike(a, b proto.Segment) bool {
	return a.Firm == b.Firm && a.Mean == b.Mean && a.Own == b.Own && a.Common == b.Common
}

// fewer merges pieces until there are no more of them than an envelope may have segments.
func fewer(pieces []piece, was proto.Envelope) []piece {
	for len(pieces) > proto.MaxSegments {
		best, least := -1, int64(0)
		for i := 1; i < len(pieces); i++ {
			a, b := pieces[i-1], pieces[i]
			if a.of != b.of {
				continue
			}
			m := lowest(a, b)
			harm := further(was[a.of], a.Segment, m) + further(was[a.of], b.Segment, m)
			if best < 0 || harm < least {
				best, least = i, harm
			}
		}
		pieces[best-1] = lowest(pieces[best-1], pieces[best])
		pieces = slices.Delete(pieces, best, best+1)
	}
	return pieces
}

// lowest returns two neighbours as one that is above neither.
func lowest(a, b piece) piece {
	a.End = b.End
	a.Firm, a.Mean = a.Firm.Min(b.Firm), a.Mean.Min(b.Mean)
	a.Own, a.Common = a.Own.Min(b.Own), a.Common.Min(b.Common)
	return a
}

// further returns the harm of lowering a piece of a segment further.
func further(was, from proto.Segment, to piece) int64 {
	total := int64(0)
	for k := range resource.Kinds {
		held := partOf(&was, k).all()
		total += share(partOf(&from, k).all()-partOf(&to.Segment, k).all(), held, from.Span)
	}
	return total
}
