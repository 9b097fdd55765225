package planner

import (
	"cmp"
	"errors"
	"slices"
	"sort"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const mostKept = 16 // hosts that a plan keeps, with what their scores are made of

// candidate is a host that meets the constraints.
type candidate struct {
	name  string
	of    *planning // with demand as it is on its CPU
	lie   lie
	score int64            // by how the instance would lie there: at most, as what the move costs is taken off it
	short *proto.Shortfall // of a move at full speed; nil where that fits
}

// option is a candidate for which the move was planned to its end.
type option struct {
	candidate
	result Result
	terms  []proto.Term
	score  int64
	no     error // why it does not fit; nil where it does
	apart  violated
}

// listing is what came of looking at every host.
type listing struct {
	hosts   int      // that were looked at
	keeps   int      // options that are planned for whatever the best one scores, to be kept with the plan
	fits    int      // of them that have room by the first look
	tried   int      // of those for which a move was planned to its end
	options []option // best first: at least as many as are kept, where there are
	refused []option // that had room by the first look, or were closest to it, and have none
	ruled   tally
}

// look asks every host but the source for the constraints, and the ledger at once for the room that a move at full speed takes. Both answers are in the
// order of names.
func (p *planning) look(start timeline.Time) ([]candidate, *listing) {
	out := &listing{keeps: mostKept, ruled: tally{}}
	if p.queued {
		out.keeps = keptByDrain
	}
	open, of := make([]string, 0, p.View.HostCount()), make([]*planning, 0, p.View.HostCount())
	n := p.needs(start)
	p.View.EachHost(func(host *proto.Host) bool {
		if host.Facts.Name == p.instance.Owner {
			return true
		}
		out.hosts++
		if v := n.violation(host); v.constraint != "" {
			out.ruled.add(v.constraint, host.Facts.Name, "%s", v.why)
			return true
		}
		open, of = append(open, host.Facts.Name), append(of, p.on(host))
		return true
	})
	if len(open) == 0 {
		return nil, out
	}
	candidates := make([]candidate, len(open))
	p.weigh(open, of, start, func(i int, fit ledger.Fit) {
		c := candidate{name: open[i], of: of[i], lie: p.lieOf(fit), short: fit.Short()}
		c.score = c.lie.score()
		candidates[i] = c
	})
	return slices.DeleteFunc(candidates, func(c candidate) bool { return c.name == "" }), out // whom the ledger does not know
}

// fullSpeed returns what a move needs of its target when its transfer goes as fast as it may: the instance's envelope, and the least that any
// transfer takes while it lasts.
func (p *planning) fullSpeed(start timeline.Time) proto.Envelope {
	phases := p.fastest(start)
	_, envelope := p.shaped(proto.Plan{Start: start, Phases: phases})
	busy := timeline.Span{Start: start.Floor(p.grid), End: phases[2].End.Ceil(p.grid).Add(p.grid)}
	least := resource.Vector{resource.NetRx: leastRate, resource.WriteBytes: leastRate / 8}
	if p.Data == 0 {
		return envelope
	}
	return withFirm(envelope, busy, least)
}

// fastest returns the phases of a move whose transfer goes as fast as it may.
func (p *planning) fastest(start timeline.Time) []proto.PlanPhase {
	return p.phases(start, p.Costs.transfer(p.Data, start.Add(p.Costs.Prepare), p.likely, flat(max(1, p.Costs.Rate/8))))
}

// withFirm returns an envelope with more held in a span. It may have more segments than are committed: it is for asking.
func withFirm(e proto.Envelope, span timeline.Span, more resource.Vector) proto.Envelope {
	out := make(proto.Envelope, 0, len(e)+3)
	add := func(s proto.Segment, start, end timeline.Time) {
		if s.Start, s.End = start, end; start < end {
			out = append(out, s)
		}
	}
	at := span.Start // up to where the span is covered
	for _, s := range e {
		add(proto.Segment{Firm: more}, at, min(s.Start, span.End))
		add(s, s.Start, min(s.End, max(s.Start, span.Start)))
		both := s
		both.Firm = s.Firm.Add(more)
		in := s.Intersect(span)
		add(both, in.Start, in.End)
		add(s, max(s.Start, min(s.End, span.End)), s.End)
		at = max(at, s.End)
	}
	add(proto.Segment{Firm: more}, at, span.End)
	return out
}

// list weighs every host for a move that begins at start. What is promised is the same wherever the instance goes; the transfer's share of it, and so
// its length, is each host's own. So hosts are ordered by a first look, and moves planned to their end from the best one on, until none that is left
// can have a better score.
func (p *planning) list(start timeline.Time) *listing {
	candidates, out := p.look(start)
	t := tries{planning: p, listing: out, candidates: candidates, start: start, fastest: p.fastest(start)}
	t.slow = slower(p.quickest().Milliseconds(), served(t.fastest).Milliseconds())
	order := ranked(candidates)
	out.fits = sort.Search(len(order), func(i int) bool { return candidates[order[i].at].short != nil })
	if p.Request.Best {
		t.all(order[:out.fits])
	} else {
		t.best(order[:out.fits])
	}
	t.all(order[out.fits:])
	return out
}

// rank is a candidate's place: candidates are large, so that to sort them themselves would take longer than to weigh them.
type rank struct {
	missing, score int64
	at             int
}

// ranked returns the order in which candidates are tried: those that have room by their scores, then the others, the closest first; of those alike the first
// name. Candidates come in the order of their names.
func ranked(candidates []candidate) []rank {
	out := make([]rank, len(candidates))
	for i, c := range candidates {
		out[i] = rank{missingShare(c.short), c.score, i}
	}
	slices.SortFunc(out, func(a, b rank) int {
		switch {
		case a.missing != b.missing:
			return cmp.Compare(a.missing, b.missing)
		case a.score != b.score:
			return cmp.Compare(b.score, a.score)
		}
		return cmp.Compare(a.at, b.at)
	})
	return out
}

// missingShare returns how far a host is from having room, in thousandths of its limit; -1 where it has.
func missingShare(s *proto.Shortfall) int64 {
	if s == nil {
		return -1
	}
	return s.Missing * 1000 / max(1, s.Limit+999)
}

// shortOf names what a host is short of, for counting.
func shortOf(no error) string {
	var s *proto.Shortfall
	if errors.As(no, &s) {
		return "short of " + s.Resource.String()
	}
	var late *Refusal
	if errors.As(no, &late) {
		return outsideTime
	}
	return "refused by the ledger"
}
