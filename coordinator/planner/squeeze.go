package planner

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// LeastRate is what a transfer goes at for which others have to yield their share of a link, in bits per second.
const LeastRate = leastRate

const (
	mostSqueezed = 16 // hosts on which it is asked who would yield, those that come closest to having room first
	mostYielding = 8  // starts at each of them, of those that are possible: the cheapest
)

// squeezes reports whether others may yield for the move. Into a slot that was kept nobody has to.
func (p *planning) squeezes() bool { return p.Request.Squeeze && !p.back() }

// squeezed plans the move to the candidates that have no room, for which others yield, and returns the one that harms them least, of those alike the better one. Where
// it is not enough that they do, false.
func (p *planning) squeezed(list []option) (best option, ok bool) {
	for _, o := range list[:min(mostSqueezed, len(list))] {
		host, there := p.View.Host(o.name)
		var short *proto.Shortfall
		if !there || !errors.As(o.no, &short) {
			continue // what rules it out is not want of room
		}
		if o.result, o.no = p.yielding(host); o.no != nil {
			continue
		}
		o.terms = p.terms(o.candidate, o.result.Plan, p.fastest(p.begin()))
		o.score = scoreOf(o.terms)
		harm := cmp.Compare(o.result.Yielded.Harm, best.result.Yielded.Harm)
		if !ok || cmp.Or(harm, cmp.Compare(best.score, o.score), strings.Compare(o.name, best.name)) < 0 {
			best, ok = o, true
		}
	}
	return best, ok
}

// yielding plans the move to a host for which others yield: at the start that was asked for or, where it is the best one that was, at that of the cheapest ones at which they
// are harmed least. The error is a *Refusal or the ledger's.
func (p *planning) yielding(host proto.Host) (Result, error) {
	p = p.on(&host)
	open := p.open()
	starts := []moment{p.moment(p.way(host), p.begin())}
	if p.Request.Best {
		starts = p.moments(p.way(host))
	}
	for i := range starts {
		p.keeps(&starts[i], open)
	}
	may := slices.DeleteFunc(slices.Clone(starts), func(m moment) bool { return !m.in })
	if len(may) == 0 {
		return Result{}, p.outside(p.soonest(starts))
	}
	slices.SortStableFunc(may, cheaper)
	var best Result
	var no error
	for _, m := range may[:min(mostYielding, len(may))] {
		r, err := p.yieldingAt(host, m.start, open)
		switch {
		case err != nil:
			no = cmp.Or(no, err)
		case best.Plan.Target == "" || r.Yielded.Harm < best.Yielded.Harm:
			best = r
		}
	}
	if best.Plan.Target == "" {
		return Result{}, no
	}
	return best, nil
}

// yieldingAt plans the move to a host from a start, or from as soon after it as the memory that is yielded may be there.
func (p *planning) yieldingAt(host proto.Host, start timeline.Time, open []timeline.Span) (Result, error) {
	class := p.instance.Spec.Class
	r := p.to(host, start)
	y, err := p.View.Squeeze(p.change(r), class)
	if err != nil {
		return Result{}, err
	}
	late := ""
	if there := p.Now.Add(proto.MemoryYields); start < there && y.GivesMemory(p.View.Ledger()) && p.View.Ledger().Before(p.change(r), there) != nil {
		late = fmt.Sprintf("it begins %s from now: memory that is yielded has to be given back first", proto.MemoryYields)
		r = p.to(host, there)
		if y, err = p.View.Squeeze(p.change(r), class); err != nil {
			return Result{}, err
		}
	}
	m := p.moment(p.way(host), r.Plan.Start)
	p.keeps(&m, open)
	if !m.in {
		return Result{}, p.outside(m)
	}
	plan := &r.Plan
	if !m.sure {
		plan.Warnings = append(slices.Clone(plan.Warnings), p.tight(m))
	}
	if len(y.Yield) == 0 { // there is room then
		return r, nil
	}
	r.Yielded = y
	for _, one := range y.Yield {
		plan.Yields = append(plan.Yields, one.Told())
	}
	plan.Reasons = slices.Insert(plan.Reasons, 0, fmt.Sprintf("it has room on %s because %s of lower classes than %s give way, none below its floor: as much harm as taking all of one resource from one of them for %s",
		host.Facts.Name, counted(len(y.Yield), "reservation"), class, (time.Duration(y.Harm)*time.Millisecond).Round(time.Second)))
	if late != "" {
		plan.Reasons = slices.Insert(plan.Reasons, 1, late)
	}
	return r, nil
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// cheaper orders starts: those first that keep to windows and deadline though more is written than is likely, of those the cheapest.
func cheaper(a, b moment) int {
	if a.sure != b.sure {
		return map[bool]int{true: -1, false: 1}[a.sure]
	}
	return cmp.Compare(a.cost, b.cost)
}

// Change returns what a result does to the ledger when it begins; of a way back only what it holds.
func (r Result) Change() ledger.Change {
	c := ledger.Change{Hold: slices.Clone(r.Extra), Revise: r.Yielded.Revise}
	if r.Reservation.ID != "" {
		c.Hold = append(c.Hold, r.Reservation)
	}
	return c
}

// HoldsYield returns who yields to what keeps the room of a move of a stored plan, as Holds returned it.
func (r Result) HoldsYield(held []proto.Reservation) []proto.Yield {
	out := slices.Clone(r.Yielded.Yield)
	for i := range out {
		at := slices.IndexFunc(r.asked(), func(h proto.Reservation) bool { return h.ID == out[i].For })
		out[i].For = held[at].ID
	}
	return out
}
