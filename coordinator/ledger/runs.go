package ledger

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// amounts is what one reservation holds in a step: of segments that share the step the largest of each part, so that the
// admission condition holds at every instant of it.
type amounts struct{ sum, own, common resource.Vector }

func amountsOf(s *proto.Segment) amounts {
	a := amounts{sum: s.Firm, own: s.Own, common: s.Common}
	for k, n := range s.Mean {
		a.sum[k] += n
	}
	return a
}

// runs calls f for each range of steps in [from, to) in which the envelope holds the same amounts, in order.
func (l layout) runs(e proto.Envelope, from, to int, f func(from, to int, a *amounts)) {
	emit := func(a, b int, v *amounts) {
		if a, b = max(a, from), min(b, to); a < b {
			f(a, b, v)
		}
	}
	shared := -1 // the step whose amounts are still being collected: the last one of the segment before
	var v, pending amounts
	for i := range e {
		first, end := l.over(e[i].Span)
		if first == end || end <= from || first >= to {
			continue
		}
		v = amountsOf(&e[i])
		if first == shared {
			pending = amounts{pending.sum.Max(v.sum), pending.own.Max(v.own), pending.common.Max(v.common)}
			if end == first+1 {
				continue
			}
			emit(shared, shared+1, &pending)
			first++
		} else if shared >= 0 {
			emit(shared, shared+1, &pending)
		}
		emit(first, end-1, &v)
		shared, pending = end-1, v
	}
	if shared >= 0 {
		emit(shared, shared+1, &pending)
	}
}
