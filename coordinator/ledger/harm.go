package ledger

import (
	"math/bits"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Harm measures what a yield takes: of each resource the part that is taken of what was held, times how long, in
// milliseconds. Half of the CPU for a minute is as much as all of it for 30 seconds. What is taken for good counts as long
// as the grid has steps that are not its tail, and half an hour more.
func (l *Ledger) Harm(was, next proto.Envelope) int64 {
	within := timeline.Span{Start: l.layout.start(), End: l.layout.coarseEnd() + coarseLength*l.layout.step}
	return harm(was, next, within)
}

func harm(was, next proto.Envelope, within timeline.Span) int64 {
	total := int64(0)
	for span, p := range together(was, next) {
		for k := range resource.Kinds {
			a, b := partOf(p[0], k), partOf(p[1], k)
			total += share(max(0, a.all()-b.all()), a.all(), span.Intersect(within))
		}
	}
	return total
}

// share returns the part that is taken of what was held, at most all of it, times the milliseconds of the span.
func share(taken, held int64, span timeline.Span) int64 {
	if taken == 0 || span.Empty() {
		return 0
	}
	hi, lo := bits.Mul64(uint64(taken), uint64(span.End-span.Start))
	q, _ := bits.Div64(hi, lo, uint64(held)) // taken ≤ held and a span's length is below 2^53: so is the quotient
	return int64(q)
}
