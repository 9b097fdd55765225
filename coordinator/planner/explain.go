package planner

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// terms returns what a host's score is made of, with the numbers behind it.
func (p *planning) terms(c candidate, plan proto.Plan, fastest []proto.PlanPhase) []proto.Term {
	points := c.lie.points()
	out := []proto.Term{
		{Name: termRoom, Points: points[0], Says: p.room(c)},
		{Name: termPeaks, Points: points[1], Says: fmt.Sprintf("the instance adds %s to the mean of its squared use, which is %s then", parts(c.lie.added, million), parts(c.lie.use, million))},
		{Name: termMix, Points: points[2], Says: fmt.Sprintf("the instance adds %s to the variance between its resources, which is %s then", parts(c.lie.mixed, million), parts(c.lie.mix, million))},
	}
	took, best := served(plan.Phases), served(fastest)
	if n := slower(took.Milliseconds(), best.Milliseconds()); n != 0 {
		out = append(out, proto.Term{Name: termTransfer, Points: n, Says: fmt.Sprintf("at %s the target serves after %s, at full speed it would after %s", resource.Format(resource.NetTx, plan.Rate), tidy(took), tidy(best))})
	}
	if m := p.recent.gaveUp[c.name]; p.failedLately(c.name) {
		out = append(out, proto.Term{Name: termGaveUp, Points: -gaveUpWeight, Says: fmt.Sprintf("migration %s to it was given up %s ago", m.id, roughly(p.Now.Sub(m.at)))})
	}
	return out
}

// worth returns the score that terms add up to, without a word of why.
func (p *planning) worth(c candidate, phases, fastest []proto.PlanPhase) int64 {
	points := c.lie.points()
	sum := points[0] + points[1] + points[2] + slower(served(phases).Milliseconds(), served(fastest).Milliseconds())
	if p.failedLately(c.name) {
		sum -= gaveUpWeight
	}
	return max(sum, 1)
}

// failedLately reports whether a move of the instance to a host was given up not long ago.
func (p *planning) failedLately(host string) bool {
	m, ok := p.recent.gaveUp[host]
	return ok && p.Now.Sub(m.at) < gaveUp
}

// served returns how long a move takes until the target serves.
func served(phases []proto.PlanPhase) time.Duration { return phases[2].End.Sub(phases[0].Start) }

// room says what stays free at the fullest time of a host.
func (p *planning) room(c candidate) string {
	if c.lie.span.Empty() {
		return "nothing of it has a limit"
	}
	return fmt.Sprintf("%s %% of its %s stay free at its fullest time, %s: %s of %s", parts(c.lie.room, 10), c.lie.kind, p.when(c.lie.span),
		resource.Format(c.lie.kind, c.lie.free), resource.Format(c.lie.kind, c.lie.of))
}

// when prints a span of the grid, in UTC, with the day where that is not today's.
func (p *planning) when(s timeline.Span) string {
	form := "15:04"
	if s.Start.Sub(p.Now) > 12*time.Hour {
		form = "2 January 15:04"
	}
	if s.End >= timeline.Forever {
		return "from " + s.Start.Std().Format(form) + " UTC on"
	}
	return s.Start.Std().Format(form) + " to " + s.End.Std().Format("15:04") + " UTC"
}

// parts prints n of one as a decimal fraction.
func parts(n, one int64) string {
	text := fmt.Sprintf("%.4f", float64(n)/float64(one))
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// fraction prints itself as a share of a thousand.
type fraction int64

func (f fraction) String() string { return parts(int64(f), 1000) }

func tidy(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// considered returns the hosts that are kept with a plan, best first: those that fit, and where these are few those that were ruled out.
func (p *planning) considered(l *listing) []proto.Considered {
	var out []proto.Considered
	for i, o := range l.options[:min(mostKept, len(l.options))] {
		c := proto.Considered{Host: o.name, Score: o.score, Terms: o.terms, Reason: fitting(o)}
		if i > 0 {
			c.Reason += "; " + behind(l.options[0], o)
		}
		out = append(out, c)
	}
	for _, o := range l.options[len(out):] {
		l.ruled.add(lowerScore, o.name, scores, fraction(o.score))
	}
	for _, o := range l.refused {
		if len(out) < mostKept {
			out = append(out, p.refusedAt(o.name, o.no))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.ruled)) {
		if name == lowerScore {
			continue
		}
		for _, r := range l.ruled[name].some {
			if len(out) < mostKept && !slices.ContainsFunc(out, func(c proto.Considered) bool { return c.Host == r.host }) {
				out = append(out, proto.Considered{Host: r.host, Reason: r.why, Violates: name})
			}
		}
	}
	return out
}

// fitting says how an option has room.
func fitting(o option) string {
	if len(o.result.Yielded.Yield) > 0 {
		return "fits at every step if others yield"
	}
	return "fits at every step"
}

// refusedAt returns a host that the ledger refuses, with who holds what is short there.
func (p *planning) refusedAt(host string, no error) proto.Considered {
	c := proto.Considered{Host: host, Reason: no.Error(), Violates: shortOf(no)}
	if errors.As(no, &c.Shortfall) {
		c.Reason += heldBy(p.View.Ledger(), c.Shortfall)
	}
	return c
}

// behind says by how much an option is worse than the best one, and what makes most of that.
func behind(best, o option) string {
	type gap struct {
		name         string
		points       int64
		here, better string
	}
	var gaps []gap
	at := map[string]proto.Term{}
	for _, t := range best.terms {
		at[t.Name] = t
	}
	for _, t := range o.terms {
		gaps = append(gaps, gap{t.Name, at[t.Name].Points - t.Points, t.Says, at[t.Name].Says})
	}
	for _, t := range best.terms {
		if !slices.ContainsFunc(o.terms, func(u proto.Term) bool { return u.Name == t.Name }) {
			gaps = append(gaps, gap{t.Name, t.Points, "", t.Says})
		}
	}
	slices.SortStableFunc(gaps, func(a, b gap) int { return cmp.Compare(b.points, a.points) })
	if best.score == o.score || len(gaps) == 0 || gaps[0].points <= 0 {
		return fmt.Sprintf("as good as %s, which comes first by its name", best.name)
	}
	text := fmt.Sprintf("it scores %s less than %s, most of it for %s: %s", parts(best.score-o.score, 1000), best.name, gaps[0].name, gaps[0].here)
	if gaps[0].better != "" {
		text += fmt.Sprintf("; on %s %s", best.name, gaps[0].better)
	}
	return text
}

// tally counts the hosts that were ruled out, by what they violate.
type tally map[string]*ruled

// ruled is how many hosts have the same against them, and some of them.
type ruled struct {
	count int
	some  []ruledHost
}

type ruledHost struct{ host, why string }

// add counts a host. Of those that violate the same the first ones are kept, with why: for most of them no words are made.
func (t tally) add(constraint, host, why string, about ...any) {
	r := t[constraint]
	if r == nil {
		r = new(ruled)
		t[constraint] = r
	}
	r.count++
	if len(r.some) <= mostKept { // one more than may be told of one by one: it is the example
		r.some = append(r.some, ruledHost{host, fmt.Sprintf(why, about...)})
	}
}

// list returns the counts, those of most hosts first, without the hosts that are told one by one.
func (t tally) list(told []proto.Considered) []proto.RuledOut {
	var out []proto.RuledOut
	for name, r := range t {
		o := proto.RuledOut{Reason: name, Count: r.count}
		for _, c := range told {
			if c.Violates == name {
				o.Count--
			}
		}
		for _, h := range r.some {
			if o.Example == "" && !slices.ContainsFunc(told, func(c proto.Considered) bool { return c.Host == h.host }) {
				o.Example = h.host + ": " + h.why
			}
		}
		if o.Count > 0 {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b proto.RuledOut) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Reason, b.Reason))
	})
	return out
}
