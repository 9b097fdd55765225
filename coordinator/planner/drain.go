package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// DrainInput is what the plan of a drain follows from.
type DrainInput struct {
	Host      string
	View      *state.View // the caller's own: it and its ledger are cloned
	Now       timeline.Time
	Deadline  timeline.Time                       // when every instance has to have left, all but probation; 0: whenever
	Windows   []proto.MoveWindow                  // when it may move instances, beside those of the policy
	Probation int64                               // milliseconds; 0: as the policy says
	Squeeze   bool                                // where a move has no room else, lower classes yield
	WhatIf    *proto.WhatIf                       // of another fleet than that of View; nil: of that
	Of        func(instance string) MovingFigures // of any instance of the fleet: the same answer whenever it is asked
	Costs     Costs
	Silent    map[string]timeline.Time // as in Input
	Over      func() error             // is asked now and then whether anybody waits for the answer still: its error is the answer then; nil: somebody does
}

// MovingFigures is what is known of an instance that may have to move.
type MovingFigures struct {
	Forecast proto.ForecastReply // as in Input
	Data     int64               // bytes to move; 0 is unknown
}

// DrainPlan is how a host is emptied.
type DrainPlan struct {
	Moves  []proto.Move  // in an order in which they can be done; without those that are blocked
	Waits  []string      // instances that are being moved already, away from the host or to it, sorted: they are planned for when that has ended
	Change ledger.Change // what all moves do to the ledger together: it fits, and with it every step on the way
	Left   timeline.Time // when the last instance that moves is expected to have left; Now where none does
	Late   timeline.Time // when the last one has left if that one writes more than is likely
	Empty  timeline.Time // when the last probation is over, and with it what was kept on the host
	Stays  []DrainStays  // instances that find no place, by name
	Says   []string      // in words, most telling first
	WhatIf *proto.WhatIf // the fleet that it is for, where that is not the one that is
}

// DrainStays is an instance that a drain can't move, and why.
type DrainStays struct {
	Instance string
	Why      string
}

// Stored returns the plan as it is kept, without identifier and status.
func (p DrainPlan) Stored(in DrainInput, blocked *proto.Blocked) proto.StoredPlan {
	return proto.StoredPlan{
		Kind: proto.PlanDrain, Host: in.Host, Deadline: in.Deadline, Windows: in.Windows,
		Moves: p.Moves, Says: p.Says, Blocked: blocked, WhatIf: p.WhatIf, Squeeze: in.Squeeze,
	}
}

// Drain plans how every instance leaves a host. Where not all of them can, it answers what is in the way, and the moves of the others. The error is a *Refusal
// where the question can't be answered. Nothing is promised: each move is checked again when it begins.
func Drain(in DrainInput) (DrainPlan, *proto.Blocked, error) {
	if in.WhatIf != nil {
		return drainImagined(in)
	}
	d, found, err := drained(in)
	if err != nil {
		return DrainPlan{}, nil, err
	}
	if err := in.over(); err != nil {
		return DrainPlan{}, nil, err
	}
	blocked := d.blocked(found)
	return d.finished(blocked), blocked, nil
}

// drained returns a drain with all that can be planned of it.
func drained(in DrainInput) (*drain, search, error) {
	d, err := newDrain(in)
	if err != nil {
		return nil, search{}, err
	}
	leaving := d.leaving()
	d.greedy(leaving, len(leaving)+1)
	d = d.reordered(leaving)
	if err := in.over(); err != nil {
		return nil, search{}, err // not all of them were placed
	}
	var found search
	if len(d.stays) > 0 {
		d, found = d.swapped(leaving)
	}
	if len(d.stays) > 0 && d.Squeeze {
		d.squeezed(leaving)
		found = search{} // who could stay instead was not asked with others yielding
	}
	return d, found, d.prove()
}

// drain is a drain that is being planned.
type drain struct {
	DrainInput
	grid   time.Duration
	base   *ledger.Ledger  // without anything of the plan
	slots  []timeline.Time // when slots are given up there that are kept now
	back   []timeline.Time // when hosts are back that are away for a time, in order
	ledger *ledger.Ledger  // with what is planned so far. What is left behind is there until a move begins that needs it gone
	view   *state.View     // over it
	open   []timeline.Span
	limits places
	types  map[string]string // that instances go on as, where that is another one
	share  map[string]line   // bits per second that one of several transfers away from a host may take

	trips []trip
	waits []string
	bare  map[string]emptied // hosts, once they are asked for
	stays map[string]error   // why the instances that find no place do not
	yield bool               // lower classes make room

	effort *effort // of this plan and of those that are tried beside it
}

// trip is a move that is planned.
type trip struct {
	proto.Move
	left, gone timeline.Time // when its instance has left the source, and when nothing of it is kept there any more
	source     string        // the reservation that it leaves behind
	holds      []proto.Reservation
	yields     []proto.Reservation // of lower classes, as they are then
	released   bool                // what it leaves behind is out of the ledger that the next ones are planned with
}

func newDrain(in DrainInput) (*drain, error) {
	fleet := in.View.Fleet()
	if fleet.ID == "" {
		return nil, ErrNoFleet
	}
	if _, ok := in.View.Host(in.Host); !ok {
		return nil, refusal("there is no host %s: see them with glidepath host list", in.Host)
	}
	if in.Deadline != 0 && in.Deadline <= in.Now {
		return nil, &Refusal{Reason: fmt.Sprintf("the host is to be empty by %s, which is past: it is %s now", in.Deadline, in.Now), Invalid: true}
	}
	if err := ValidWindows(in.Windows); err != nil {
		return nil, &Refusal{Reason: err.Error(), Invalid: true}
	}
	p := fleet.Policy
	d := &drain{
		DrainInput: in, grid: time.Duration(fleet.GridStep) * time.Millisecond, stays: map[string]error{},
		limits: places{fleet: max(1, p.MovesFleet), host: max(1, p.MovesHost), link: max(1, cmp.Or(p.MovesLink, p.MovesFleet))},
		share:  map[string]line{}, bare: map[string]emptied{}, effort: &effort{mostEffort},
	}
	d.base, d.slots = keptSlots(in.View, in.Now)
	d.back = backAt(in.View, in.Now)
	d.open = OpenIn(timeline.Span{Start: in.Now, End: in.Now.Add(windowsFor)}, p.Windows, in.Windows)
	if len(p.Windows)+len(in.Windows) == 0 {
		d.open = []timeline.Span{{Start: in.Now, End: timeline.Forever}}
	}
	d.begin()
	return d, nil
}

// begin starts the plan with nothing in it.
func (d *drain) begin() {
	d.ledger = d.base.Clone()
	d.view = d.View.Over(d.ledger)
	d.trips, d.stays = nil, map[string]error{}
}

// fork returns a drain that goes on from what is planned so far, apart from d.
func (d *drain) fork() *drain {
	c := *d
	c.ledger = d.ledger.Clone()
	c.view = d.view.Over(c.ledger)
	c.trips, c.stays = slices.Clone(d.trips), map[string]error{}
	return &c
}

// afresh returns a drain like d with nothing planned.
func (d *drain) afresh() *drain {
	c := *d
	c.begin()
	return &c
}

// leaving returns the instances that the host has, those of the higher class first, then the larger ones.
func (d *drain) leaving() []proto.Instance {
	var out []proto.Instance
	size := map[string]int64{}
	limit := resource.Vector{}
	if steps := d.base.Steps(d.Host); len(steps) > 0 {
		limit = steps[0].Limit
	}
	for _, i := range d.View.InstancesOn(d.Host) {
		if i.Migration != "" || i.Owner != d.Host {
			d.waits = append(d.waits, i.Name())
			continue
		}
		r, _ := d.View.Reservation(i.Reservation)
		for k, n := range r.Envelope.Expected().MaxOver(timeline.Span{Start: d.Now, End: timeline.Forever}) {
			if limit[k] > 0 && limit[k] < resource.Unlimited {
				size[i.Name()] = max(size[i.Name()], n*1000/limit[k])
			}
		}
		out = append(out, i)
	}
	slices.Sort(d.waits)
	slices.SortStableFunc(out, func(a, b proto.Instance) int {
		return cmp.Or(cmp.Compare(standing(a.Spec.Class), standing(b.Spec.Class)), cmp.Compare(size[b.Name()], size[a.Name()]), strings.Compare(a.Name(), b.Name()))
	})
	return out
}

// greedy places one instance after the other where it suits best, each as soon as as many may go on beside it as the policy allows, until so many find no place.
func (d *drain) greedy(order []proto.Instance, most int) {
	for _, i := range order {
		if len(d.stays) >= most || d.over() != nil {
			return
		}
		if err := d.place(i.Name(), ""); err != nil {
			d.stays[i.Name()] = err
		}
	}
}

// squeezed has lower classes yield to those that find no place else.
func (d *drain) squeezed(order []proto.Instance) {
	d.yield = true
	for _, i := range order {
		if d.stays[i.Name()] == nil {
			continue
		}
		if err := d.place(i.Name(), ""); err != nil {
			d.stays[i.Name()] = err
			continue
		}
		delete(d.stays, i.Name())
	}
}

// mostOrders bounds how many orders are tried beside the first one.
const mostOrders = 3

// reordered tries other orders: those first that found no place. It returns the plan that leaves fewest where they are.
func (d *drain) reordered(order []proto.Instance) *drain {
	best := d
	for range mostOrders {
		if len(best.stays) == 0 || len(best.stays) > mostStuck || len(order) < 2 {
			break
		}
		first := func(i proto.Instance) int {
			if best.stays[i.Name()] != nil {
				return 0
			}
			return 1
		}
		next := slices.Clone(order)
		slices.SortStableFunc(next, func(a, b proto.Instance) int { return cmp.Compare(first(a), first(b)) })
		if slices.EqualFunc(next, order, func(a, b proto.Instance) bool { return a.Name() == b.Name() }) {
			break
		}
		order = next
		c := d.afresh()
		if c.greedy(order, len(best.stays)); len(c.stays) >= len(best.stays) {
			break
		}
		best = c
	}
	return best
}

// prove returns an error unless all moves together, as one change, fit the ledger as it is: then there is room at every step on the way, whatever has begun by
// then.
func (d *drain) prove() error {
	if err := d.base.Fits(d.change()); err != nil {
		return fmt.Errorf("the plan to drain %s does not fit though each of its moves does: %w", d.Host, err)
	}
	return nil
}

// change returns what all moves do to the ledger together: what comes is held from its start on, and what is left behind until nothing of it is kept.
func (d *drain) change() ledger.Change {
	var c ledger.Change
	ends := map[string]timeline.Time{}
	yields := map[string]proto.Reservation{} // as the last move leaves them
	for _, t := range d.trips {
		ends[t.source] = t.gone
		for _, r := range t.yields {
			yields[r.ID] = r
		}
	}
	yielded := func(r proto.Reservation) proto.Reservation {
		if y, ok := yields[r.ID]; ok {
			delete(yields, r.ID)
			return y
		}
		return r
	}
	for _, t := range d.trips {
		for _, r := range t.holds {
			r = yielded(r)
			if end, leaves := ends[r.ID]; leaves { // it goes on from there
				r.Envelope = clipped(r.Envelope, end)
			}
			c.Hold = append(c.Hold, r)
		}
		if r, ok := d.base.Reservation(t.source); ok {
			r = yielded(r)
			if r.Envelope = clipped(r.Envelope, t.gone); len(r.Envelope) > 0 {
				c.Revise = append(c.Revise, r)
			} else {
				c.Release = append(c.Release, r.ID)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(yields)) {
		c.Revise = append(c.Revise, yields[id])
	}
	return c
}

// clipped returns what of an envelope is before end.
func clipped(e proto.Envelope, end timeline.Time) proto.Envelope {
	var out proto.Envelope
	for _, s := range e {
		if s.End = min(s.End, end); s.Start < s.End {
			out = append(out, s)
		}
	}
	return out
}

// finished returns the plan that was made.
func (d *drain) finished(blocked *proto.Blocked) DrainPlan {
	p := DrainPlan{Waits: d.waits, Change: d.change(), Left: d.Now, Late: d.Now, Empty: d.Now, WhatIf: d.WhatIf}
	for _, t := range d.trips {
		p.Moves = append(p.Moves, t.Move)
		if t.Source != d.Host {
			continue
		}
		p.Left, p.Empty = max(p.Left, t.left), max(p.Empty, t.gone)
		p.Late = max(p.Late, t.Start.Add(time.Duration(t.Figures.Duration.High)*time.Millisecond))
	}
	for name, err := range d.stays {
		p.Stays = append(p.Stays, DrainStays{name, err.Error()})
	}
	slices.SortFunc(p.Stays, func(a, b DrainStays) int { return strings.Compare(a.Instance, b.Instance) })
	p.Says = d.words(p, blocked)
	return p
}

// words says what a plan comes to.
func (d *drain) words(p DrainPlan, blocked *proto.Blocked) []string {
	var out []string
	leave, others := 0, 0
	for _, m := range p.Moves {
		if m.Source == d.Host {
			leave++
		} else {
			others++
		}
	}
	switch {
	case blocked != nil:
		out = append(out, fmt.Sprintf("%s stay on %s: %s", strings.Join(blocked.Instances, ", "), d.Host, proofWords(blocked.Proof)))
		for _, s := range p.Stays[:min(mostTold, len(p.Stays))] {
			out = append(out, s.Why)
		}
	case leave == 0 && len(p.Waits) == 0:
		return []string{d.Host + " is empty"}
	}
	if leave > 0 {
		out = append(out, fmt.Sprintf("%s %s, the last one by %s; what is kept for their way back is given up by %s", proto.CountIs(leave, "instance", "leaves", "leave"), d.Host, p.Left, p.Empty))
	}
	if others > 0 {
		out = append(out, fmt.Sprintf("moves of instances that are on other hosts make room, or take them on from where they are parked: %d", others))
	}
	for _, m := range p.Moves {
		if m.Parked {
			out = append(out, fmt.Sprintf("%s moves more than once: it is parked on %s, and goes on from there", m.Instance, m.Target))
		}
	}
	if len(p.Waits) > 0 {
		out = append(out, fmt.Sprintf("%s: being moved already, and planned for when that has ended", strings.Join(p.Waits, ", ")))
	}
	if d.Deadline != 0 && p.Left <= d.Deadline && p.Late > d.Deadline {
		out = append(out, fmt.Sprintf("the last one leaves by %s if it writes no more than is likely; in 1 of 20 cases it takes until %s or longer", d.Deadline, p.Late))
	}
	if d.Deadline != 0 && leave > 0 && p.Empty > d.Deadline {
		out = append(out, fmt.Sprintf("by %s probation is not over: a shorter one gives up the way back sooner", d.Deadline))
	}
	return out
}

func proofWords(p proto.BlockedProof) string {
	switch p {
	case proto.BlockedSmallest:
		return "no smaller set of instances could stay instead, whoever else moved"
	case proto.BlockedMinimal:
		return "every way of placing them was tried; a later start might let fewer stay"
	default:
		return "no place was found within the bounds of the search, which is no proof that there is none"
	}
}
