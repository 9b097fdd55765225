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
	low    [numSteps]uint64  // Σ σ_own², as far as 64 bits go
	high   *[numSteps]uint64 // and beyond; nil until a sum is that large, as those of bandwidths may be
	common [numSteps]uint64  // Σ σ_common
}

func (p *pool) own(i int) wide {
	if p.high == nil {
		return wide{lo: p.low[i]}
	}
	return wide{p.high[i], p.low[i]}
}

func (p *pool) setOwn(i int, n wide) {
	p.low[i] = n.lo
	if p.high == nil && n.hi != 0 {
		p.high = new([numSteps]uint64)
	}
	if p.high != nil {
		p.high[i] = n.hi
	}
}

func (p *pool) clone() *pool {
	q := *p
	if p.high != nil {
		high := *p.high
		q.high = &high
	}
	return &q
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
			p.setOwn(i, p.own(i).sub(sq))
			p.common[i] -= common
		} else {
			p.setOwn(i, p.own(i).add(sq))
			p.common[i] += common
		}
	}
}

// unshare gives a copy of sums pools of its own.
func (s *sums) unshare() {
	for k, p := range s.pool {
		if p != nil {
			s.pool[k] = p.clone()
		}
	}
}

// shift moves the last steps of [from, to) to its front, up to kept, and empties those after them.
func (s *sums) shift(from, kept, to int) {
	for k := range s.sum {
		shift(s.sum[k][from:to], kept-from)
		if p := s.pool[k]; p != nil {
			shift(p.low[from:to], kept-from)
			shift(p.common[from:to], kept-from)
			if p.high != nil {
				shift(p.high[from:to], kept-from)
			}
		}
	}
}

// shift moves the last n cells to the front and empties the others.
func shift[T int64 | uint64](cells []T, n int) {
	copy(cells, cells[len(cells)-n:])
	clear(cells[n:])
}

// split moves the sums over one coarse step: those of the first coarse step become those of each of its fine steps, and the
// tail's those of the last coarse one, too.
func (s *sums) split() {
	for k := range s.sum {
		split(&s.sum[k])
		if p := s.pool[k]; p != nil {
			split(&p.low)
			split(&p.common)
			if p.high != nil {
				split(p.high)
			}
		}
	}
}

func split[T int64 | uint64](cells *[numSteps]T) {
	const kept = numFine - coarseLength
	copy(cells[:kept], cells[coarseLength:numFine])
	for i := range coarseLength {
		cells[kept+i] = cells[numFine]
	}
	copy(cells[numFine:], cells[numFine+1:]) // the tail stays behind the last coarse step
}
