package planner

import (
	"cmp"
	"errors"
	"fmt"
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
	Change ledger.Change // what all moves do to the ledger together: it fits, and so does every step on the way
	Left   timeline.Time // when the last instance that moves is expected to have left; Now where none does
	Late   timeline.Time // and if each of them writes more than is likely
	Empty  timeline.Time // when the last probation is over, and with it what was kept on the host
	Stays  []DrainStays  // instances that find no place, by name
	Says   []string      // in words, most telling first
	WhatIf *proto.WhatIf // the fleet that it is for, where that is not the one that is
}

// DrainStays is an instance that a drain can't move.
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
	d, err := newDrain(in)
	if err != nil {
		return DrainPlan{}, nil, err
	}
	d.greedy()
	return d.plan, d.blocked(), nil
}

// drain is a drain that is being planned.
type drain struct {
	DrainInput
	grid    time.Duration
	windows []proto.MoveWindow
	ledger  *ledger.Ledger // with what is planned so far
	view    *state.View    // over it
	lanes   []timeline.Time
	plan    DrainPlan
	refused map[string]error // why the instances of plan.Stays find no place
}

func newDrain(in DrainInput) (*drain, error) {
	if in.WhatIf != nil {
		v, err := in.View.With(*in.WhatIf)
		if err != nil {
			return nil, &Refusal{Reason: err.Error(), Invalid: true}
		}
		in.View = v
	}
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
	d := &drain{
		DrainInput: in, grid: time.Duration(fleet.GridStep) * time.Millisecond, ledger: in.View.Ledger().Clone(), refused: map[string]error{},
		windows: slices.Concat(fleet.Policy.Windows, in.Windows),
	}
	d.view = in.View.Over(d.ledger)
	d.plan = DrainPlan{Left: in.Now, Late: in.Now, Empty: in.Now, WhatIf: in.WhatIf}
	d.lanes = make([]timeline.Time, max(1, min(fleet.Policy.MovesHost, fleet.Policy.MovesFleet)))
	for i := range d.lanes {
		d.lanes[i] = in.Now
	}
	return d, nil
}

// leaving returns the instances that the host has, those of the higher class first, then the larger ones.
func (d *drain) leaving() []proto.Instance {
	var out []proto.Instance
	size := map[string]int64{}
	limit := resource.Vector{}
	if steps := d.ledger.Steps(d.Host); len(steps) > 0 {
		limit = steps[0].Limit
	}
	for _, i := range d.View.InstancesOn(d.Host) {
		if i.Name() == proto.SystemInstance {
			continue
		}
		if i.Migration != "" || i.Owner != d.Host {
			d.plan.Waits = append(d.plan.Waits, i.Name())
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
	slices.Sort(d.plan.Waits)
	slices.SortStableFunc(out, func(a, b proto.Instance) int {
		return cmp.Or(cmp.Compare(standing(a.Spec.Class), standing(b.Spec.Class)), cmp.Compare(size[b.Name()], size[a.Name()]), strings.Compare(a.Name(), b.Name()))
	})
	return out
}

// greedy places one instance after the other where it suits best, each when as many may go on beside it as the policy allows.
func (d *drain) greedy() {
	for _, i := range d.leaving() {
		lane := d.lane()
		r, err := Make(d.input(i.Name(), d.lanes[lane]))
		if err == nil {
			err = d.take(r, lane)
		}
		if err != nil {
			d.refused[i.Name()] = err
			d.plan.Stays = append(d.plan.Stays, DrainStays{i.Name(), err.Error()})
		}
	}
	slices.SortFunc(d.plan.Stays, func(a, b DrainStays) int { return strings.Compare(a.Instance, b.Instance) })
}

// lane returns where the next move can begin first.
func (d *drain) lane() int {
	out := 0
	for i, at := range d.lanes {
		if at < d.lanes[out] {
			out = i
		}
	}
	return out
}

func (d *drain) input(instance string, start timeline.Time) Input {
	of := d.Of(instance)
	return Input{
		Request: Request{Instance: instance, At: start, Before: d.Deadline, Windows: d.windows, Probation: d.Probation, Squeeze: d.Squeeze},
		View:    d.view, Now: d.Now, Forecast: of.Forecast, Data: of.Data, Costs: d.Costs, Silent: d.Silent,
	}
}

// take puts a move into the plan, and what it holds into the ledger that the next ones are planned with.
func (d *drain) take(r Result, lane int) error {
	c := r.Change()
	if err := d.ledger.Apply(c); err != nil {
		return err
	}
	d.plan.Change.Hold = append(d.plan.Change.Hold, c.Hold...)
	d.plan.Change.Revise = revisedBy(d.plan.Change.Revise, c.Revise)
	p := r.Plan
	d.plan.Moves = append(d.plan.Moves, proto.Move{
		Instance: p.Instance, Source: p.Source, Target: p.Target, FromType: p.FromType, ToType: p.ToType, Fence: p.Fence, Start: p.Start,
		Figures: *p.Figures, Rate: p.Rate, Reasons: p.Reasons, Considered: p.Considered[:min(4, len(p.Considered))], Ruled: p.Ruled,
		Yields: p.Yields,
	})
	left := p.Phases[3].End
	d.lanes[lane] = left
	d.plan.Left = max(d.plan.Left, left)
	d.plan.Late = max(d.plan.Late, p.Start.Add(time.Duration(p.Figures.Duration.High)*time.Millisecond))
	d.plan.Empty = max(d.plan.Empty, p.Phases[4].End)
	return nil
}

// blocked returns what is in the way of those that find no place; nil where all do.
func (d *drain) blocked() *proto.Blocked {
	if len(d.plan.Stays) == 0 {
		return nil
	}
	b := &proto.Blocked{Proof: proto.BlockedNotFound}
	for _, s := range d.plan.Stays {
		b.Instances = append(b.Instances, s.Instance)
	}
	var no *Refusal
	if errors.As(d.refused[b.Instances[0]], &no) {
		for _, c := range no.Considered {
			if s := c.Shortfall; s != nil {
				b.Host, b.Span, b.Resource, b.Missing = c.Host, s.Span, s.Resource, s.Missing
				break
			}
		}
	}
	return b
}
