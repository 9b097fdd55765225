package planner

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// What is learned from finished moves.
const (
	learnLast  = 64   // from so many, the newest
	learnLeast = 5    // nothing from fewer
	leastBias  = 250  // thousandths; what is further off is no bias, but something else
	mostBias   = 4000 // thousandths
)

// LearnedOf returns what completed moves of instances of a driver, or of all of them for "", came to beside what was predicted for them. It reads no more of
// what is kept than it learns from, and what ended in between.
func LearnedOf(v *state.View, driver string) proto.Bias {
	return Learn(newest(v.EndedMigrations(), func(instance string) bool {
		i, ok := v.Instance(instance)
		return driver == "" || ok && i.Spec.Driver == driver
	}))
}

// newest returns the first of the moves, which come last first, that something is learned from.
func newest(moves iter.Seq[proto.Migration], of func(instance string) bool) iter.Seq[proto.Migration] {
	return func(yield func(proto.Migration) bool) {
		n := 0
		for m := range moves {
			if !learnable(m) || !of(m.Instance) {
				continue
			}
			if n++; !yield(m) || n == learnLast {
				return
			}
		}
	}
}

// learnable reports whether a move says anything of what moves come to.
func learnable(m proto.Migration) bool { return m.Outcome == proto.OutcomeCompleted && m.Returns == "" }

// Learn returns what completed moves came to beside what was predicted for them: the median of each figure's ratio, over the newest ones. A move whose prediction
// was corrected already counts by what it would have been without.
func Learn(moves iter.Seq[proto.Migration]) proto.Bias {
	var all []proto.Migration
	for m := range moves {
		if learnable(m) {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b proto.Migration) int {
		return cmp.Or(cmp.Compare(b.EndedAt, a.EndedAt), cmp.Compare(b.ID, a.ID))
	})
	known := make([][biases]float64, 0, learnLast)
	for _, m := range all[:min(learnLast, len(all))] {
		known = append(known, ratios(m))
	}
	var out proto.Bias
	for n, to := range fields(&out) {
		var sorted []float64
		for _, r := range known {
			if r[n] > 0 {
				sorted = append(sorted, r[n])
			}
		}
		if len(sorted) < learnLeast {
			continue
		}
		slices.Sort(sorted)
		middle := (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
		*to = int64(min(max(middle*1000+.5, leastBias), mostBias))
		out.Moves = max(out.Moves, len(sorted))
	}
	return out
}

const biases = 3

// fields returns the figures of a bias in the order of ratios.
func fields(b *proto.Bias) [biases]*int64 { return [biases]*int64{&b.Bytes, &b.Copy, &b.Downtime} }

// ratios returns what a move came to, in shares of what was predicted without a correction; 0 where one of the two is not known.
func ratios(m proto.Migration) [biases]float64 {
	r := Report(m)
	var copied, planned time.Duration
	for _, p := range r.Phases {
		if p.Phase == proto.PhaseCopy && p.Actual.End > p.Actual.Start {
			copied, planned = p.Actual.Length(), p.Planned.Length()
		}
	}
	var corrected proto.Bias
	if m.Plan.Bias != nil {
		corrected = *m.Plan.Bias
	}
	ratio := func(came, predicted, bias int64) float64 {
		if came <= 0 || predicted <= 0 {
			return 0
		}
		return float64(came) / float64(predicted) * float64(cmp.Or(bias, 1000)) / 1000
	}
	return [biases]float64{
		ratio(r.Bytes, m.Plan.Bytes, corrected.Bytes),
		ratio(copied.Milliseconds(), planned.Milliseconds(), corrected.Copy),
		ratio(r.Downtime, m.Plan.Downtime, corrected.Downtime),
	}
}

// corrected returns a prediction by what was learned.
func corrected(t Transfer, b proto.Bias) Transfer {
	by := func(n, bias int64) int64 { return int64(float64(n) * float64(cmp.Or(bias, 1000)) / 1000) }
	t.Bytes = by(t.Bytes, b.Bytes)
	t.Copy = time.Duration(by(int64(t.Copy), b.Copy))
	t.Downtime = time.Duration(by(int64(t.Downtime), b.Downtime))
	return t
}

// bias returns what a plan's prediction was corrected by; nil for nothing.
func (p *planning) bias() *proto.Bias {
	if p.Costs.Bias == (proto.Bias{}) {
		return nil
	}
	b := p.Costs.Bias
	return &b
}

// learned says what was learned, "" for nothing.
func learned(b proto.Bias) string {
	if b == (proto.Bias{}) {
		return ""
	}
	share := func(n int64) string { return fmt.Sprintf("%d %%", (cmp.Or(n, 1000)+5)/10) }
	moves := "the last move"
	if b.Moves != 1 {
		moves = fmt.Sprintf("the last %d moves", b.Moves)
	}
	return fmt.Sprintf("%s sent %s of the bytes that were predicted, copied for %s of the time and kept clients waiting for %s of it: counted in",
		moves, share(b.Bytes), share(b.Copy), share(b.Downtime))
}
