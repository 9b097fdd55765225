package planner

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	mostTries  = 64 // starts that are tried against the ledger for one host, cheapest first; then as many of those after what is in the way
	mostStarts = 8  // starts that a plan keeps
)

// DefaultLeastGain is by how many thousandths of its cost a later start has to be cheaper than moving at once, where nobody has said so.
const DefaultLeastGain = 50

// What a start costs, in points: a move that sends every byte once, at the full rate, with clients waiting no longer than stopping and starting take,
// costs 700; what is above that is for bytes sent twice, for a slow link, for a long last round, for clients that are there to wait, and for neighbours.
const (
	bytesWeight    = 200
	copyWeight     = 200
	downtimeWeight = 300
	clientsWeight  = 250 // at the height of the instance's demand
	pressureWeight = 150 // where the transfer fills the host together with what others hold
)

// timed returns an error, a *Refusal, if what is asked for is at no time that can be planned.
func (r Request) timed(now timeline.Time, grid time.Duration) error {
	no := func(format string, args ...any) error {
		return &Refusal{Reason: fmt.Sprintf(format, args...), Invalid: true}
	}
	known := Grid(now, grid).End
	if err := ValidWindows(r.Windows); err != nil {
		return no("%s", err)
	}
	switch {
	case r.Best && r.At != 0:
		return no("the start is to be %s and the best one: ask for one of the two", r.At)
	case r.At != 0 && r.At < now:
		return no("the start, %s, is past: it is %s now", r.At, now)
	case r.At >= known:
		return no("the start, %s, is further ahead than demand is forecast: ask for one before %s", r.At, known)
	case r.Before != 0 && r.Before <= max(now, r.At):
		return no("it is to be over before %s, which is no later than its start, %s", r.Before, max(now, r.At))
	case r.LeastGain < 0 || r.LeastGain > 1000:
		return no("a later start is to gain at least %d thousandths: use 0 to 1000", r.LeastGain)
	case r.Probation < 0 || r.Probation > maxProbation.Milliseconds():
		return no("a probation of %d ms: use 0 for that of the policy, or up to %d", r.Probation, maxProbation.Milliseconds())
	}
	return nil
}

// maxProbation is how long a source's data and slot can be asked to be kept.
const maxProbation = 30 * 24 * time.Hour

// moment is a start that was weighed.
type moment struct {
	start timeline.Time
	course
	cost     int64
	clients  int64 // see planning
	in, sure bool  // it keeps to windows and deadline if no more is written than is likely; also if more is
}

// outsideTime is what hosts are counted under to which a move would keep to no window, or not to its deadline.
const outsideTime = "too slow for the time there is"

// begin returns the first start that may be asked for.
func (p *planning) begin() timeline.Time { return max(p.Now, p.Request.At) }

// planned plans the move to one host that begins at start or, if that is asked for, at the best time. The error is a *Refusal or the ledger's.
func (p *planning) planned(host proto.Host, start timeline.Time) (Result, error) {
	if p.Request.Best {
		return p.best(host)
	}
	return p.from(host, start)
}

// from plans the move to one host from a start that was asked for.
func (p *planning) from(host proto.Host, start timeline.Time) (Result, error) {
	r := p.to(host, start)
	if err := p.View.Ledger().Fits(p.change(r)); err != nil {
		return r, err
	}
	open := p.open()
	if p.Request.Before == 0 && inOne(open, timeline.Span{Start: start, End: timeline.Forever}) {
		return r, nil
	}
	m := p.moment(p.way(host), start)
	p.keeps(&m, open)
	if !m.in {
		return r, p.outside(m)
	}
	if !m.sure {
		r.Plan.Warnings = append(slices.Clone(r.Plan.Warnings), p.tight(m))
	}
	return r, nil
}

// best plans the move to one host from the start that costs least of all that fit there.
func (p *planning) best(host proto.Host) (Result, error) {
	all := p.moments(p.way(host))
	may := p.possible(host, all)
	if len(may) == 0 {
		return Result{}, p.outside(p.soonest(all))
	}
	now := all[0]
	found := p.first(host, may)
	if found.moment == nil {
		return Result{}, found.no
	}
	chosen, r := found.moment, found.result
	why := fmt.Sprintf("%s is the only start that is possible until %s", when(chosen.start, p.Now), p.horizon())
	if len(may) > 1 {
		why = fmt.Sprintf("%s costs least of the %d starts that are possible until %s", when(chosen.start, p.Now), len(may), p.horizon())
	}
	if found.passed > 0 {
		why += fmt.Sprintf(", but for %d at which it does not fit: %s", found.passed, found.no)
	}
	if found.left > 0 {
		why += fmt.Sprintf("; %d more were not tried, as it does not fit before %s", found.left, found.from)
	}
	rival := now.sure == chosen.sure && slices.ContainsFunc(may, func(m moment) bool { return m.start == now.start })
	switch {
	case chosen.start == now.start:
	case !rival:
		why += "; " + p.notNow(now, host)
	default:
		at := p.to(host, now.start)
		switch err := p.View.Ledger().Fits(p.change(at)); {
		case err != nil:
			why += fmt.Sprintf("; moving now does not fit: %s", err)
		case now.cost-chosen.cost < now.cost*p.Request.LeastGain/1000:
			why = fmt.Sprintf("moving now is all but as good as at %s: %s; a later start has to cost %s less", chosen.start, chosen.against(now), promille(p.Request.LeastGain))
			chosen, r = &now, at
		default:
			why += ", and " + chosen.against(now)
		}
	}
	r.Plan.Reasons = append([]string{why}, r.Plan.Reasons...)
	if !chosen.sure {
		r.Plan.Warnings = append(slices.Clone(r.Plan.Warnings), p.tight(*chosen))
	}
	r.Plan.Starts = kept(may, now, *chosen)
	return r, nil
}

// found is the first start, of those that are possible, at which a move fits.
type found struct {
	moment *moment // nil where it fits at none
	result Result
	passed int           // starts before it at which it does not fit
	no     error         // of the first of them
	left   int           // starts before it that were not tried, as they are before from
	from   timeline.Time // it fits at the earliest
}

// first tries starts against the ledger in their order. Where it fits at none of the first ones, what is in the way is taken to be there until some time, and that is
// looked for by halves: an instance that has begun to run stays, so that it meets all that comes after its start.
func (p *planning) first(host proto.Host, may []moment) found {
	var out found
	fits := func(m *moment) bool {
		r := p.to(host, m.start)
		if err := p.View.Ledger().Fits(p.change(r)); err != nil {
			out.no = cmp.Or(out.no, err)
			return false
		}
		out.moment, out.result = m, r
		return true
	}
	near := min(mostTries, len(may))
	for ; out.passed < near; out.passed++ {
		if fits(&may[out.passed]) {
			return out
		}
	}
	if near == len(may) {
		return out
	}
	ordered := make([]*moment, len(may))
	for i := range may {
		ordered[i] = &may[i]
	}
	slices.SortFunc(ordered, func(a, b *moment) int { return cmp.Compare(a.start, b.start) })
	n := sort.Search(len(ordered), func(i int) bool { return fits(ordered[i]) })
	if n == len(ordered) {
		return out
	}
	out.from = ordered[n].start
	earliest := ordered[n]
	for i := near; i < len(may) && out.passed < 2*mostTries; i++ {
		switch m := &may[i]; {
		case m.start < out.from:
			out.left++
		case fits(m):
			return out
		default:
			out.passed++
		}
	}
	fits(earliest)
	return out
}

// notNow says why a move can't begin now.
func (p *planning) notNow(now moment, host proto.Host) string {
	switch {
	case !now.in:
		return p.outside(now).Reason
	case !now.sure:
		return p.tight(now)
	default:
		return fmt.Sprintf("what it holds at the least does not fit on %s now", host.Facts.Name)
	}
}

// horizon returns until when starts are looked for.
func (p *planning) horizon() timeline.Time {
	end := p.Now.Add(GridSteps * p.grid)
	if p.Request.Before != 0 {
		end = min(end, p.Request.Before)
	}
	return end
}

// windowsFor is how far ahead windows are looked at.
const windowsFor = 14 * 24 * time.Hour

// open returns when the instance may be moved.
func (p *planning) open() []timeline.Span {
	lists := [][]proto.MoveWindow{p.Request.Windows}
	if p.Request.Best || p.Request.At > p.Now { // what is asked for at once is not planned ahead: the policy's windows are not for it
		lists = append(lists, p.View.Fleet().Policy.Windows)
	}
	within := timeline.Span{Start: p.Now, End: timeline.Forever}
	if slices.ContainsFunc(lists, func(l []proto.MoveWindow) bool { return len(l) > 0 }) {
		within.End = p.Now.Add(max(2*GridSteps*p.grid, windowsFor)) // a move may take longer than starts are looked for
	}
	return OpenIn(within, lists...)
}

// moments weighs every start: now, each step of the grid, and when a window opens.
func (p *planning) moments(w way) []moment {
	end, open := p.horizon(), p.open()
	starts := []timeline.Time{p.Now}
	for at := p.Now.Floor(p.grid).Add(p.grid); at < end; at = at.Add(p.grid) {
		starts = append(starts, at)
	}
	for _, s := range open {
		if s.Start > p.Now && s.Start < end {
			starts = append(starts, s.Start)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	out := make([]moment, len(starts))
	for i, at := range starts {
		out[i] = p.moment(w, at)
		p.keeps(&out[i], open)
	}
	return out
}

// moment weighs one start.
func (p *planning) moment(w way, start timeline.Time) moment {
	m := moment{start: start, course: p.course(w, start)}
	silent := m.phases[2].Span
	m.clients = p.clients.most(silent)
	// Both predictions count alike: where the band is wide, waiting for a time that is surer is worth something.
	share := func(likely, high float64, ideal float64) float64 { return (likely + high) / 2 / ideal }
	cost := bytesWeight * share(float64(m.likely.Bytes), float64(m.high.Bytes), max(1, float64(p.Data)))
	if p.Data == 0 {
		cost = bytesWeight
	}
	shortest := seconds(p.Data, max(1, p.Costs.Rate/8)) + p.Costs.Round
	cost += copyWeight * share(m.likely.Copy.Seconds(), m.high.Copy.Seconds(), max(.001, shortest.Seconds()))
	still := p.Costs.Stop + p.Costs.Start + p.Costs.Switch + seconds(p.Data, p.Costs.Reread)
	cost += downtimeWeight * share(m.likely.Downtime.Seconds(), m.high.Downtime.Seconds(), max(.001, still.Seconds()))
	cost += clientsWeight*float64(m.clients)/1000 + pressureWeight*float64(m.pressure)/1000
	m.cost = rounded(cost)
	return m
}

// keeps sets whether a start keeps to the windows and to the deadline.
func (p *planning) keeps(m *moment, open []timeline.Span) {
	before := cmp.Or(p.Request.Before, timeline.Forever)
	may := func(end timeline.Time) bool {
		return end <= before && inOne(open, timeline.Span{Start: m.start, End: end})
	}
	m.in, m.sure = may(m.served(false)), may(m.served(true))
}

// possible returns the starts that keep to windows and deadline, and at which what is firm of the instance may fit on the host from its start on: those first that
// keep to them though more is written than is likely, the cheapest first. Where it fits at none, there is the first of them, for the ledger to say what is in the way.
func (p *planning) possible(host proto.Host, all []moment) []moment {
	last, full := p.firmly(host.Facts.Name)
	var may, no []moment
	for _, m := range all {
		switch {
		case !m.in:
		case full && m.phases[2].Start <= last.Start:
			no = append(no, m)
		default:
			may = append(may, m)
		}
	}
	if len(may) == 0 {
		return no[:min(1, len(no))]
	}
	slices.SortStableFunc(may, cheaper)
	return may
}

// soonest returns the start whose move is over first, of those at which a move may begin if there are any.
func (p *planning) soonest(all []moment) moment {
	open := p.open()
	may := slices.DeleteFunc(slices.Clone(all), func(m moment) bool {
		return !slices.ContainsFunc(open, func(s timeline.Span) bool { return s.Contains(m.start) })
	})
	if len(may) == 0 {
		may = all
	}
	return slices.MinFunc(may, func(a, b moment) int { return cmp.Compare(a.served(false), b.served(false)) })
}

// outside refuses a start for the windows or the deadline.
func (p *planning) outside(m moment) *Refusal {
	end := m.served(false)
	if before := p.Request.Before; before != 0 && end > before {
		return refusal("begun at %s the move is over at %s, %s after %s: allow more time, or a host with more of its link left", m.start, end, end.Sub(before).Round(time.Second), before)
	}
	for _, s := range p.open() {
		switch {
		case s.Contains(m.start):
			return refusal("begun at %s the move takes until %s, and may not go on from %s on: allow a longer window, or a host with more of its link left", m.start, end, s.End)
		case s.Start > m.start:
			return refusal("begun at %s the move takes until %s, which is no time for it: the next one is %s", m.start, end, s)
		}
	}
	return refusal("begun at %s the move takes until %s, and no time for it follows: allow another window", m.start, end)
}

// tight warns of a start that keeps to windows and deadline only if no more is written than is likely.
func (p *planning) tight(m moment) string {
	end := m.served(true)
	if before := p.Request.Before; before != 0 && end > before {
		return fmt.Sprintf("it is over by %s if no more is written than is likely; in 1 of 20 cases it takes until %s or longer", before, end)
	}
	return fmt.Sprintf("it ends within its window if no more is written than is likely; in 1 of 20 cases it takes until %s or longer", end)
}

// against says in numbers what a start saves against another.
func (m moment) against(other moment) string {
	saves := func(a, b Transfer, f func(Transfer) int64) int64 { return f(b) - f(a) }
	bytes := saves(m.likely, other.likely, func(t Transfer) int64 { return t.Bytes })
	silent := saves(m.likely, other.likely, func(t Transfer) int64 { return t.Downtime.Milliseconds() })
	copied := saves(m.likely, other.likely, func(t Transfer) int64 { return t.Copy.Milliseconds() })
	change := func(n int64, text string) string {
		if n < 0 {
			return text + " more"
		}
		return text + " less"
	}
	return fmt.Sprintf("it sends %s, copies for %s, keeps clients waiting for %s, at %s of what comes and goes of its demand instead of %s, with neighbours at %s instead of %s: it costs %s less",
		change(bytes, resource.Format(resource.Memory, max(bytes, -bytes))), change(copied, milli(copied)), change(silent, milli(silent)),
		promille(m.clients), promille(other.clients), promille(m.pressure), promille(other.pressure), promille((other.cost-m.cost)*1000/max(1, other.cost)))
}

func milli(ms int64) string { return (time.Duration(max(ms, -ms)) * time.Millisecond).String() }

// promille prints thousandths as a percentage.
func promille(n int64) string { return fmt.Sprintf("%.1f %%", float64(n)/10) }

// when prints a start.
func when(at, now timeline.Time) string {
	if at == now {
		return "beginning now"
	}
	return fmt.Sprintf("beginning at %s", at)
}

// kept returns the starts that a plan tells of: now, the one that was chosen and the cheapest ones, in their order.
func kept(may []moment, now, chosen moment) []proto.StartWeighed {
	best := slices.Clone(may[:min(mostStarts-2, len(may))])
	for _, m := range []moment{now, chosen} {
		if !slices.ContainsFunc(best, func(o moment) bool { return o.start == m.start }) {
			best = append(best, m)
		}
	}
	slices.SortFunc(best, func(a, b moment) int { return cmp.Compare(a.start, b.start) })
	out := make([]proto.StartWeighed, len(best))
	for i, m := range best {
		out[i] = proto.StartWeighed{Start: m.start, Figures: *m.figures(), Cost: m.cost}
		switch {
		case m.start == chosen.start:
		case !m.in:
			out[i].Reason = "outside the windows, or over too late"
		case m.cost > chosen.cost:
			out[i].Reason = fmt.Sprintf("costs %s more", promille((m.cost-chosen.cost)*1000/max(1, chosen.cost)))
		case m.cost == chosen.cost:
			out[i].Reason = "costs as much, and is later"
		default:
			out[i].Reason = "does not fit, or gains too little"
		}
	}
	return out
}
