package planner

import (
	"cmp"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	mostTried  = 256  // hosts for which a move is planned to its end
	mostScored = 2048 // hosts whose score is made out, of a move at one start
)

// tries plans moves to candidates to their end.
type tries struct {
	*planning
	*listing
	candidates []candidate
	start      timeline.Time
	fastest    []proto.PlanPhase
	slow       int64 // points that every move is worth less than its host, as the source has no more left
}

// most returns the highest score that a candidate may come to, of its own one.
func (t *tries) most(score int64) int64 { return max(1, score+t.slow) }

// try plans the move to one candidate.
func (t *tries) try(c candidate) {
	host, _ := t.View.Host(c.name)
	o := t.option(c, host, t.start, t.fastest)
	switch {
	case o.apart.constraint != "":
		t.ruled.add(o.apart.constraint, c.name, "%s", o.apart.why)
	case o.no != nil:
		t.tried++
		t.refused = append(t.refused, o)
		t.ruled.add(shortOf(o.no), c.name, "%s", o.no)
	default:
		t.tried++
		t.put(o)
	}
}

// all tries candidates in an order, for as long as those that follow may be better.
func (t *tries) all(order []rank) {
	for _, r := range order {
		if c := t.candidates[r.at]; t.enough(c, t.most(c.score)) {
			t.pass(c)
		} else {
			t.try(c)
		}
	}
}

// best tries the candidates that have room in the order of their scores. These are made out, which takes a look at a few steps of each, for as long as
// one that follows in the order of what they come to at most may be better: so a move is planned to its end for hardly more than are kept.
func (t *tries) best(order []rank) {
	var known []scored // the best one last
	next := 0
	for {
		for next < len(order) && next < mostScored && (len(known) == 0 || known[len(known)-1].before(t.most(order[next].score), order[next].at) >= 0) {
			r := order[next]
			c := t.candidates[r.at]
			s := scored{t.worth(c, c.of.pace(c.name, t.start), t.fastest), r.at}
			i, _ := slices.BinarySearchFunc(known, s, scored.worse)
			known = slices.Insert(known, i, s)
			next++
		}
		if len(known) == 0 || len(t.options) >= t.listing.keeps || t.tried >= mostTried {
			break
		}
		t.try(t.candidates[known[len(known)-1].at])
		known = known[:len(known)-1]
	}
	for _, s := range slices.Backward(known) {
		t.pass(t.candidates[s.at])
	}
	for _, r := range order[next:] {
		t.pass(t.candidates[r.at])
	}
}

// scored is a candidate whose score was made out: its place tells its name.
type scored struct {
	score int64
	at    int
}

// worse orders what is worse before what is better.
func (s scored) worse(o scored) int {
	return cmp.Or(cmp.Compare(s.score, o.score), cmp.Compare(o.at, s.at))
}

// before tells, by a negative number, that s comes before another candidate, whose score is at most so much.
func (s scored) before(most int64, at int) int {
	return cmp.Or(cmp.Compare(most, s.score), cmp.Compare(s.at, at))
}

// enough reports whether a candidate need not be planned for: those before it have been, and it can't be better, as its score is at most so much. Candidates
// that had no room by the first look are tried only where nobody else has: a slower transfer may pass by what is in the way.
func (l *listing) enough(c candidate, most int64) bool {
	if c.short != nil {
		return len(l.options) > 0 || len(l.refused) >= mostKept
	}
	if l.tried >= mostTried {
		return true
	}
	if len(l.options) < l.keeps {
		return false
	}
	best := &l.options[0]
	return best.score > most || best.score == most && best.name < c.name
}

// pass counts a candidate that was not planned for.
func (l *listing) pass(c candidate) {
	switch {
	case c.short != nil:
		l.ruled.add(shortOf(c.short), c.name, "%s", c.short)
	case len(l.options) > 0:
		l.ruled.add(lowerScore, c.name, scores+" at most", fraction(c.score))
	default:
		l.ruled.add(notTried, c.name, "it has room for the instance, but none of the %d best had room for the transfer, too", l.tried)
	}
}

// What hosts are counted under that have room by the first look, and are not among those that are kept with a plan.
const (
	lowerScore = "a lower score"
	notTried   = "not tried"
	scores     = "it scores %s"
)

// put puts an option in its place.
func (l *listing) put(o option) {
	i, _ := slices.BinarySearchFunc(l.options, o, func(a, b option) int {
		if a.worse(b) {
			return 1
		}
		return -1
	})
	l.options = slices.Insert(l.options, i, o)
}

// worse reports whether b comes before o: by its score, and of those alike by its name.
func (o option) worse(b option) bool {
	return cmp.Or(cmp.Compare(b.score, o.score), strings.Compare(o.name, b.name)) > 0
}

// option plans the move to a candidate to its end.
func (p *planning) option(c candidate, host proto.Host, start timeline.Time, fastest []proto.PlanPhase) option {
	p = p.on(&host)
	o := option{candidate: c, apart: p.apart(c.name)}
	if o.apart.constraint != "" {
		return o
	}
	if o.result, o.no = p.planned(host, start); o.no != nil {
		return o
	}
	o.terms = p.terms(c, o.result.Plan, fastest)
	o.score = scoreOf(o.terms)
	return o
}
