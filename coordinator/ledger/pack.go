package ledger

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// reservation is one as the ledger keeps it. A fleet has fifty to a host, and envelopes are most of what they take: they are
// packed, and read again when somebody asks.
type reservation struct {
	proto.Reservation // its envelope is nil
	packed            packed
}

// keep returns a valid reservation as it is kept. It shares no envelope with r.
func keep(r *proto.Reservation) *reservation {
	k := &reservation{*r, pack(r.Envelope)}
	k.Envelope = nil
	return k
}

// whole returns the reservation with its envelope.
func (r *reservation) whole() proto.Reservation {
	out := r.Reservation
	out.Envelope = r.packed.within(make(proto.Envelope, 0, r.packed.len()), always)
	return out
}

// End is that of the whole reservation.
func (r *reservation) End() timeline.Time {
	end := r.packed.span(r.packed.len() - 1).End
	if r.Until != 0 {
		end = min(end, r.Until)
	}
	return end
}

// always is every time that is computed with.
var always = timeline.Span{Start: 0, End: timeline.Forever}

// packed is a valid envelope in few bytes: how many segments there are; of each its span and where its amounts are; the amounts that are
// the same in all segments; and the others of each segment. What is 0 takes nothing. An envelope packs to the same bytes always.
type packed []byte

const (
	packedHead    = 1
	packedSegment = 8 + 8 + 2
)

// parts returns the amounts of a segment, in the order in which they are packed.
func parts(s *proto.Segment) [4]*resource.Vector {
	return [...]*resource.Vector{&s.Firm, &s.Mean, &s.Own, &s.Common}
}

func pack(e proto.Envelope) packed {
	alike, first := uint32(math.MaxUint32), parts(&e[0])
	for i := range e[1:] {
		for part, v := range parts(&e[1+i]) {
			for k, n := range v {
				if n != first[part][k] {
					alike &^= 1 << (part*resource.Kinds + k)
				}
			}
		}
	}
	b := make(packed, packedHead+len(e)*packedSegment, 512)
	b[0] = byte(len(e))
	b = b.row(&e[0], alike)
	for i := range e {
		head := b[packedHead+i*packedSegment:]
		binary.LittleEndian.PutUint64(head, uint64(e[i].Start))
		binary.LittleEndian.PutUint64(head[8:], uint64(e[i].End))
		binary.LittleEndian.PutUint16(head[16:], uint16(len(b))) // at most 24 × (18 + 4 + 32 × 8) and the common row
		b = b.row(&e[i], ^alike)
	}
	return slices.Clone(b)
}

// row appends the amounts of the columns that are not 0, after which ones they are.
func (b packed) row(s *proto.Segment, columns uint32) packed {
	at, there := len(b), uint32(0)
	b = append(b, 0, 0, 0, 0)
	for part, v := range parts(s) {
		for k, n := range v {
			if bit := uint32(1) << (part*resource.Kinds + k); n != 0 && columns&bit != 0 {
				there |= bit
				b = binary.AppendUvarint(b, uint64(n))
			}
		}
	}
	binary.LittleEndian.PutUint32(b[at:], there)
	return b
}

func (b packed) len() int { return int(b[0]) }

// span returns the span of segment i.
func (b packed) span(i int) timeline.Span {
	head := b[packedHead+i*packedSegment:]
	return timeline.Span{Start: timeline.Time(binary.LittleEndian.Uint64(head)), End: timeline.Time(binary.LittleEndian.Uint64(head[8:]))}
}

// reach returns the span from the first segment's start to the last one's end.
func (b packed) reach() timeline.Span {
	return timeline.Span{Start: b.span(0).Start, End: b.span(b.len() - 1).End}
}

// cut reports whether the envelope changes within the span: whether a segment overlaps it and does not cover it.
func (b packed) cut(s timeline.Span) bool {
	for i := range b.len() {
		if span := b.span(i); span.Overlaps(s) && (span.Start > s.Start || span.End < s.End) {
			return true
		}
	}
	return false
}

// within appends the segments that overlap the span.
func (b packed) within(e proto.Envelope, s timeline.Span) proto.Envelope {
	n := b.len()
	for i := range n {
		span := b.span(i)
		if span.End <= s.Start {
			continue
		}
		if span.Start >= s.End {
			break
		}
		e = append(e, proto.Segment{Span: span})
		seg := &e[len(e)-1]
		b.read(packedHead+n*packedSegment, seg)
		b.read(int(binary.LittleEndian.Uint16(b[packedHead+i*packedSegment+16:])), seg)
	}
	return e
}

// read reads the row at a place into a segment.
func (b packed) read(at int, s *proto.Segment) {
	there, into := binary.LittleEndian.Uint32(b[at:]), parts(s)
	for at += 4; there != 0; there &= there - 1 {
		column := bits.TrailingZeros32(there)
		n, size := binary.Uvarint(b[at:])
		into[column/resource.Kinds][column%resource.Kinds] = int64(n)
		at += size
	}
}
