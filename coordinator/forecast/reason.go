package forecast

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// reason tells how the model came about, for a forecast from start on.
func (m *kindModel) reason(quantiles []float64, start timeline.Time) Reason {
	r := Reason{Cold: m.cold, Note: m.note, Pattern: m.pattern, Confidence: m.sure}
	r.Effects = m.effectsSeen()
	if m.grid == nil {
		return r
	}
	r.Follows = m.following(quantiles)
	r.Observed = m.observed
	r.Missing = m.missing
	r.Shifted = m.straight.moved != nil
	from := time.Duration(0)
	for b, end := range bucketEnds() {
		for qi, q := range quantiles {
			r.Weights = append(r.Weights, m.shares(b, qi, Weight{Quantile: q, From: from, To: end})...)
		}
		from = end
	}
	if r.Note == "" {
		r.Note = "1 member"
		if n := len(m.members); n != 1 {
			r.Note = fmt.Sprintf("%d members, weighted by their loss over the last week", n)
		}
		r.Note += m.policy.note(m.pattern, m.grid.hour)
	}
	r.Note += m.straight.note(m.grid.step)
	if m.sundays != nil {
		r.Note += "; on holidays it runs as on Sundays, as far as none have been seen"
	}
	if gap := start.Sub(m.grid.timeOf(len(m.grid.x))); gap > longHorizon {
		r.Note += fmt.Sprintf("; the history ends %s before the forecast begins", gap)
	}
	return r
}

// Effects returns what is known of each kind of event, by name, for one resource.
func (m *Model) Effects(kind resource.Kind) []Effect { return m.kinds[kind].effectsSeen() }

func (m *kindModel) effectsSeen() []Effect {
	var out []Effect
	for _, e := range m.effects {
		effect := Effect{Kind: e.kind, Mean: e.mean(), Spread: e.spread, Occurrences: e.occurrences}
		for _, v := range e.part {
			if math.Abs(v) > math.Abs(effect.Peak) {
				effect.Peak = v
			}
		}
		out = append(out, effect)
	}
	return out
}

// shares returns the members that count in one bucket and quantile, largest first.
func (m *kindModel) shares(b, qi int, like Weight) []Weight {
	var out []Weight
	for mi, w := range m.blends[b].weight[qi] {
		if w >= .01 {
			like.Member, like.Share = m.members[mi].name, w
			out = append(out, like)
		}
	}
	slices.SortStableFunc(out, func(x, y Weight) int {
		switch {
		case x.Share > y.Share:
			return -1
		case x.Share < y.Share:
			return 1
		}
		return strings.Compare(x.Member, y.Member)
	})
	return out
}
