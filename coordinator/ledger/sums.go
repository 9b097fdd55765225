package ledger

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// sums is what envelopes hold together in each step of a layout.
type sums struct {
	sum  [resource.Kinds][numSteps]int64 // Σ firm + Σ mean
	pool [resource.Kinds]*pool           // nil where nothing is pooled
}

// pool sums the deviations of one resource in each step.
type pool struct {
	own    [numSteps]wide   // Σ σ_own²
	common [numSteps]uint64 // Σ σ_common
}

// amounts is what one envelope holds in a step: of segments that share the step the largest of each part, so that the
// admission condition holds at every instant of it.
type amounts struct{ sum, own, common resource.Vector }

func amountsOf(s *proto.Segment) amounts {
	a := amounts{sum: s.Firm, own: s.Own, common: s.Common}
	for k, n := range s.Mean {
		a.sum[k] += n
	}
	return a
}

func (a *amounts) max(b *amounts) {
	a.sum, a.own, a.common = a.sum.Max(b.sum), a.own.Max(b.own), a.common.Max(b.common)
}

// add adds what the envelope holds in the steps [from, to) of the layout.
func (s *sums) add(l layout, e proto.Envelope, from, to int) { s.change(l, e, from, to, false) }

// subtract takes away what add added.
func (s *sums) subtract(l layout, e proto.Envelope, from, to int) { s.change(l, e, from, to, true) }

// change walks over the ranges of steps in which the envelope holds the same. The last step of a segment may be the first one
// of those after it, too.
func (s *sums) change(l layout, e proto.Envelope, from, to int, subtract bool) {
	done := from // the first step that is still to be changed
	for i := range e {
		first, end := l.over(e[i].Span)
		first = max(first, done)
		if first >= min(end, to) {
			continue
		}
		a, last := amountsOf(&e[i]), end-1
		shared := false
		for j := i + 1; j < len(e); j++ {
			next, after := l.over(e[j].Span)
			if next > last {
				break
			}
			if next == after {
				continue
			}
			if !shared {
				shared = true
				s.changeRun(first, min(last, to), &a, subtract)
			}
			b := amountsOf(&e[j])
			a.max(&b)
			if after-1 > last {
				break
			}
		}
		if shared {
			first = last
		}
		s.changeRun(first, min(end, to), &a, subtract)
		done = end
	}
}

// changeRun changes the steps [from, to) by the same amounts.
func (s *sums) changeRun(from, to int, a *amounts, subtract bool) {
	if from >= to {
		return
	}
	for k := range resource.Kinds {
		if n := a.sum[k]; n != 0 {
			if subtract {
				n = -n
			}
			cells := s.sum[k][from:to]
			for i := range cells {
				cells[i] += n
			}
		}
		if a.own[k] != 0 || a.common[k] != 0 {
			s.changePool(k, from, to, a, subtract)
		}
	}
}

func (s *sums) changePool(k, from, to int, a *amounts, subtract bool) {
	if s.pool[k] == nil {
		s.pool[k] = new(pool)
	}
	p, sq, common := s.pool[k], square(uint64(a.own[k])), uint64(a.common[k])
	for i := from; i < to; i++ {
		if subtract {
			p.own[i] = p.own[i].sub(sq)
			p.common[i] -= common
		} else {
			p.own[i] = p.own[i].add(sq)
			p.common[i] += common
		}
	}
}

// clone returns a copy that shares nothing with s.
func (s *sums) clone() sums {
	c := *s
	for k, p := range s.pool {
		if p != nil {
			q := *p
			c.pool[k] = &q
		}
	}
	return c
}

// shift moves the last steps of [from, to) to its front, up to kept, and empties those after them.
func (s *sums) shift(from, kept, to int) {
	last := to - (kept - from)
	for k := range s.sum {
		copy(s.sum[k][from:kept], s.sum[k][last:to])
		clear(s.sum[k][kept:to])
		if p := s.pool[k]; p != nil {
			copy(p.own[from:kept], p.own[last:to])
			clear(p.own[kept:to])
			copy(p.common[from:kept], p.common[last:to])
			clear(p.common[kept:to])
		}
	}
}
