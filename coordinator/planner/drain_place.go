package planner

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// laterBy is how long after the first start that is possible others are tried, where there is no room at that one.
var laterBy = []time.Duration{
	30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour, 6 * time.Hour, 9 * time.Hour, 12 * time.Hour, 18 * time.Hour, 24 * time.Hour,
	36 * time.Hour, 47 * time.Hour,
}

// mostStuck is how many instances that find no place bound the search: for more of them no later start is tried, nor another order.
const mostStuck = 8

// mostEffort bounds how many later starts are tried in a whole drain, and as many again for what would help one that is blocked: some 150 in a fleet of 1,000
// hosts. It is counted in hosts that are looked at, and effortOfLook for the few of them that a move is planned to.
const (
	mostEffort   = 300_000
	effortOfLook = 1000
)

// effort is what is left of the work that may be spent on more than the first start of each move.
type effort struct{ left int }

// spend takes a look over so many hosts off it, and reports false where that is more than is left.
func (e *effort) spend(hosts int) bool {
	if cost := effortOfLook + hosts; cost <= e.left {
		e.left -= cost
		return true
	}
	e.left = 0
	return false
}

// mostSlots is at how many ends of probations a start is tried, and of times in which a host is away.
const mostSlots = 4

// keptByDrain is how many hosts each move of a drain keeps, so that hundreds of them fit a command.
const keptByDrain = 4

// place plans the move of an instance to the host that is named, or to the one that suits it best; as soon as it can be. The error says why there is none.
func (d *drain) place(instance, target string) error {
	owner, after, from := d.stands(instance)
	for n, t := range d.trips { // who leaves the target leaves first; and so does who is gone already by what is planned
		if (t.Source == target || t.Source == owner && t.released) && !slices.Contains(after, n) {
			after, from = append(after, n), max(from, t.gone)
		}
	}
	slices.Sort(after)
	if len(after) > 0 {
		from = d.nextStep(owner, from)
	}
	d.leave(after)
	var first error
	for n, start := range d.starts(owner, target, from) {
		if n > 0 && target == "" && !d.effort.spend(d.View.HostCount()) {
			break
		}
		r, err := d.try(instance, owner, target, start)
		if err == nil && target == "" && slices.ContainsFunc(d.trips, func(t trip) bool { return t.released && t.Source == r.Plan.Target }) {
			return d.place(instance, r.Plan.Target) // after who leaves it
		}
		if err == nil {
			err = d.crowded(r)
		}
		if err == nil {
			return d.take(r, after)
		}
		first = cmp.Or(first, err)
		if n == 0 && (target == "" && len(d.stays) >= mostStuck || d.hopeless(instance, owner, target)) {
			break // no later start would do, or that has cost enough
		}
	}
	if first == nil {
		first = refusal("instance %s can't leave %s: no time in which it may be moved is left%s", instance, owner, d.byThen())
	}
	return first
}

// nextStep returns the start of the first step of the ledger's grid from a time on: before that, who left in the step counts beside who comes.
func (d *drain) nextStep(host string, from timeline.Time) timeline.Time {
	for _, s := range d.base.Steps(host) {
		if s.Contains(from) && s.Start < from {
			return s.End
		}
	}
	return from
}

func (d *drain) byThen() string {
	if d.Deadline == 0 {
		return ""
	}
	return " before " + d.Deadline.String()
}

// stands returns where an instance is after the moves that are planned, which of them brought it there, and from when on it can go on.
func (d *drain) stands(instance string) (owner string, after []int, from timeline.Time) {
	i, _ := d.View.Instance(instance)
	owner, from = i.Owner, d.Now
	for n, t := range d.trips {
		if t.Instance == instance {
			owner, after, from = t.Target, []int{n}, t.gone
		}
	}
	return owner, after, from
}

// leave gives back what moves leave behind, for those that come after them.
func (d *drain) leave(after []int) {
	for _, n := range after {
		d.trips[n].released = true
		if _, there := d.ledger.Reservation(d.trips[n].source); there {
			if err := d.ledger.Release(d.trips[n].source); err != nil {
				panic("planner: a release was refused: " + err.Error()) // releasing what is there always succeeds
			}
		}
	}
}

// starts returns the starts that are tried for a move, in order.
func (d *drain) starts(source, target string, from timeline.Time) []timeline.Time {
	end := Grid(d.Now, d.grid).End
	if d.Deadline != 0 {
		end = min(end, d.Deadline)
	}
	at := []timeline.Time{d.free(source, target, from)}
	for _, l := range laterBy {
		at = append(at, d.free(source, target, at[0].Add(l).Ceil(d.grid)))
	}
	for _, list := range [][]timeline.Time{d.slots, d.back} {
		soon := slices.DeleteFunc(slices.Clone(list), func(t timeline.Time) bool { return t <= at[0] })
		for _, t := range soon[:min(mostSlots, len(soon))] {
			at = append(at, d.free(source, target, d.nextStep(source, t)))
		}
	}
	for _, o := range d.open {
		if o.Start > at[0] {
			at = append(at, d.free(source, target, o.Start))
		}
	}
	slices.Sort(at)
	at = slices.Compact(at)
	return slices.DeleteFunc(at, func(t timeline.Time) bool {
		return t >= end || !slices.ContainsFunc(d.open, func(o timeline.Span) bool { return o.Contains(t) })
	})
}

// free returns the first time from which on one more move may begin at the hosts.
func (d *drain) free(source, target string, from timeline.Time) timeline.Time {
	for {
		next := d.busy(source, target, from)
		if next <= from {
			return from
		}
		from = next
	}
}

// busy returns when the first of the moves that are in the way at a time has left; that time, where none is.
func (d *drain) busy(source, target string, at timeline.Time) timeline.Time {
	room := d.limits
	room.taken = map[string]int{}
	soonest := timeline.Forever
	take := func(s, t string, start, left timeline.Time) {
		if start <= at && at < left {
			room.take(d.View, s, t)
			soonest = min(soonest, left)
		}
	}
	for m := range d.View.ActiveMigrations() {
		if transfers(m.Phase) {
			left := d.Now.Add(d.grid)
			if len(m.Plan.Phases) > 3 {
				left = max(left, m.Plan.Phases[3].End)
			}
			take(m.Source, m.Target, d.Now, left)
		}
	}
	for _, t := range d.trips {
		take(t.Source, t.Target, t.Start, t.left)
	}
	if target == "" {
		target = source
	}
	if room.has(d.View, source, target) {
		return at
	}
	return soonest
}

// crowded refuses a move that would still go on when one that is planned for later begins, where that is one too many.
func (d *drain) crowded(r Result) error {
	for _, t := range d.trips {
		if t.Start > r.Plan.Start && t.Start < r.Plan.Phases[3].End && d.busy(r.Plan.Source, r.Plan.Target, t.Start) > t.Start {
			return refusal("instance %s would still be moving at %s, when that of %s begins", r.Plan.Instance, t.Start, t.Instance)
		}
	}
	return nil
}

// try plans one move from a start on.
func (d *drain) try(instance, owner, target string, start timeline.Time) (Result, error) {
	p, err := d.planning(instance, owner, start)
	if err != nil {
		return Result{}, err
	}
	if target != "" {
		p.Request.Target = target
		return d.timely(p.named())
	}
	r, err := p.chosen()
	if err != nil && len(p.recent.left) > 0 {
		p.anew = true // rather back to where it left than nowhere
		r, err = p.chosen()
	}
	if err != nil {
		return r, err
	}
	// The host that was chosen may have as many moves as it may by then.
	if at := d.free(owner, r.Plan.Target, start); at > start {
		p.Request.Target, p.Request.At = r.Plan.Target, at
		considered, ruled := r.Plan.Considered, r.Plan.Ruled
		r, err = p.named()
		r.Plan.Considered, r.Plan.Ruled = considered, ruled
		if err == nil {
			r.Plan.Reasons = append(r.Plan.Reasons, fmt.Sprintf("it waits until %s for other moves of %s", at, r.Plan.Target))
		}
	}
	return d.timely(r, err)
}

// timely refuses a move that does not keep to the windows.
func (d *drain) timely(r Result, err error) (Result, error) {
	if err != nil {
		return r, err
	}
	takes := timeline.Span{Start: r.Plan.Start, End: r.Plan.Phases[3].End}
	if !inOne(d.open, takes) {
		return r, refusal("instance %s would move in %s, which is in no window: allow a longer one", r.Plan.Instance, takes)
	}
	return r, nil
}

// planning looks up one move of the drain.
func (d *drain) planning(instance, owner string, start timeline.Time) (*planning, error) {
	of := d.Of(instance)
	p, err := prepare(Input{
		Request: Request{Instance: instance, Type: d.types[instance], At: start, Before: d.Deadline, Windows: d.Windows, Probation: d.Probation, Squeeze: d.yield},
		View:    d.view, Now: d.Now, Forecast: of.Forecast, Data: of.Data, Costs: d.Costs, Silent: d.Silent,
	})
	if err != nil {
		return nil, err
	}
	p.queued = true
	if owner != p.instance.Owner {
		p.instance.Owner = owner
		p.source, _ = d.View.Host(owner)
	}
	p.out = p.end(owner, sends, nil)
	p.out.rate = merged(p.out.rate, d.part(owner), minOf)
	return p, nil
}

// part returns what one of as many transfers as there may be at once away from a host may take of its links: the same for each, so that those that begin first
// don't leave the next ones a half of a half.
func (d *drain) part(host string) line {
	if l, ok := d.share[host]; ok {
		return l
	}
	n := int64(min(d.limits.host, d.limits.fleet, d.limits.link, max(1, len(d.View.InstancesOn(host)))))
	out := flat(d.Costs.Rate)
	all := room(d.base, host)
	for _, t := range sends {
		out = merged(out, all[link{host, t.kind}], func(a, b int64) int64 { return min(a, max(b/n, min(b, leastRate))) })
	}
	d.share[host] = out
	return out
}

// take puts a move into the plan, and what it holds into the ledger that the next ones are planned with.
func (d *drain) take(r Result, after []int) error {
	p := r.Plan
	source := ""
	if i, ok := d.View.Instance(p.Instance); ok {
		source = i.Reservation
	}
	for n := range d.trips {
		if t := &d.trips[n]; t.Instance == p.Instance {
			t.Parked, source = true, t.holds[0].ID
		}
	}
	if err := d.ledger.Apply(r.Change()); err != nil {
		return err
	}
	d.trips = append(d.trips, trip{
		Move: proto.Move{
			Instance: p.Instance, Source: p.Source, Target: p.Target, FromType: p.FromType, ToType: p.ToType, Fence: p.Fence, Start: p.Start,
			Figures: *p.Figures, Rate: p.Rate, After: after, Reasons: p.Reasons,
			Considered: p.Considered[:min(keptByDrain, len(p.Considered))], Ruled: p.Ruled, Yields: p.Yields,
		},
		left: p.Phases[3].End, gone: p.Phases[4].End, source: source,
		holds: append([]proto.Reservation{r.Reservation}, r.Extra...), yields: r.Yielded.Revise,
	})
	return nil
}

// closest returns what is missing on the host that comes closest to taking an instance that stays.
func closest(err error) *proto.Shortfall {
	var s *proto.Shortfall
	if errors.As(err, &s) {
		return s
	}
	var no *Refusal
	if !errors.As(err, &no) {
		return nil
	}
	for _, c := range no.Considered {
		if c.Shortfall != nil && (s == nil || missingShare(c.Shortfall) < missingShare(s)) {
			s = c.Shortfall
		}
	}
	return s
}

// staying returns the names of the instances that stay, sorted.
func (d *drain) staying() []string {
	var out []string
	for name := range d.stays {
		out = append(out, name)
	}
	slices.SortFunc(out, strings.Compare)
	return out
}
