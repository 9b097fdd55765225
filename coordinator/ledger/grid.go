package ledger

import (
	"fmt"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

// The grid's shape, in base steps: fine steps up to fineReach, coarse steps of coarseLength up to coarseReach, and a
// tail without end. Boundaries lie on multiples of their step's length from the epoch, so that a step that comes
// nearer is split into finer ones and never straddles two: what fits the coarse step fits each of its parts.
const (
	fineReach    = 72
	coarseLength = 6
	coarseReach  = 576

	numFine   = fineReach + coarseLength - 1
	numCoarse = (coarseReach - fineReach) / coarseLength
	numSteps  = numFine + numCoarse + 1
)

// Grid is the time grid on which capacity is promised: 72 base steps (and up to five more, to the next coarse boundary),
// 84 steps of six times that length, and a tail. With a base step of 5 minutes: 6 hours finely, 48 hours coarsely.
type Grid struct {
	Step time.Duration // base step: at least a second, a whole number of milliseconds
}

// Valid returns an error unless the base step is between a second and an hour.
func (g Grid) Valid() error {
	if g.Step < time.Second || g.Step > time.Hour || g.Step%time.Millisecond != 0 {
		return fmt.Errorf("a grid step of %s: use 1s to 1h in whole milliseconds", g.Step)
	}
	return nil
}

// layout is the grid at a time: which instants each of its steps covers. Coarse steps are split six base steps at once, and
// until then time only passes over the first ones: layouts with the same base number their steps alike.
type layout struct {
	step  timeline.Time // base step
	base  timeline.Time // start of step 0
	first int           // the step that contains now, below coarseLength: those before it are past
}

// at returns the layout whose first step contains now.
func (g Grid) at(now timeline.Time) layout {
	start, step := max(0, now).Floor(g.Step), timeline.Time(g.Step.Milliseconds())
	base := (start - step).Floor(g.Step*coarseLength) + step
	return layout{step: step, base: base, first: int((start - base) / step)}
}

// next returns the layout that follows when the first coarse step is split.
func (l layout) next() layout {
	return layout{step: l.step, base: l.base + coarseLength*l.step}
}

func (l layout) start() timeline.Time     { return l.base + timeline.Time(l.first)*l.step }
func (l layout) fineEnd() timeline.Time   { return l.base + numFine*l.step }
func (l layout) coarseEnd() timeline.Time { return l.fineEnd() + numCoarse*coarseLength*l.step }

// span returns what step i covers. The last is the tail.
func (l layout) span(i int) timeline.Span {
	switch {
	case i < numFine:
		s := l.base + timeline.Time(i)*l.step
		return timeline.Span{Start: s, End: s + l.step}
	case i < numFine+numCoarse:
		s := l.fineEnd() + timeline.Time(i-numFine)*coarseLength*l.step
		return timeline.Span{Start: s, End: s + coarseLength*l.step}
	default:
		return timeline.Span{Start: l.coarseEnd(), End: timeline.Forever}
	}
}

// index returns the step that covers t; step 0 for what is before it.
func (l layout) index(t timeline.Time) int {
	switch {
	case t < l.base:
		return 0
	case t < l.fineEnd():
		return int((t - l.base) / l.step)
	case t < l.coarseEnd():
		return numFine + int((t-l.fineEnd())/(coarseLength*l.step))
	default:
		return numFine + numCoarse
	}
}

// over returns the range of steps, [from, to), that the span touches, past ones of the layout among them; empty for what
// is before them all.
func (l layout) over(s timeline.Span) (from, to int) {
	if s.Empty() || s.End <= l.base {
		return 0, 0
	}
	return l.index(s.Start), l.index(s.End-1) + 1
}
