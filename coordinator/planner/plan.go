package planner

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/lesson"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Request is what an operator asks for.
type Request struct {
	Instance string
	Target   string // host; "" lets the planner choose
	Type     string // instance type on the target; "" keeps it
	Margin   int64  // thousandths of a score by which the host that the planner chooses has to beat the one where the instance is; 0: it is to move anyhow

	At        timeline.Time      // when it is to begin; 0: now
	Best      bool               // the planner chooses when it begins, between now and Before, or the end of its grid
	Before    timeline.Time      // when it has to be over, all but probation; 0: whenever
	Windows   []proto.MoveWindow // when it may go on, beside those of the policy
	LeastGain int64              // of Best: by how many thousandths of its cost a later start has to be cheaper than one at once
	Probation int64              // milliseconds; 0: as the policy says
	Squeeze   bool               // where there is no room for it lower classes yield

	WhatIf *proto.WhatIf // of another fleet than that of View, which then is the caller's own; nil: of that

	Returns string // the migration that is undone: Target is its source, Type what it came from, and the capacity is what was kept there
}

// Input is what a plan follows from.
type Input struct {
	Request  Request
	View     *state.View
	Now      timeline.Time
	Forecast proto.ForecastReply // of the instance from now on, of the highest demand in each step; empty if there is none
	Data     int64               // bytes to move; 0 is unknown
	Costs    Costs
	Silent   map[string]timeline.Time // hosts whose agents have had no session for a while, and since when, 0 where that is not known: none of them is chosen
}

// Refusal says why there is no plan: for which object, and what to do.
type Refusal struct {
	Reason     string
	Remedy     string             // where the reason does not say it
	Considered []proto.Considered // targets that were weighed, those that came closest first
	Ruled      []proto.RuledOut   // targets beside those, by what rules them out
	Invalid    bool               // what was asked for is at no time that can be planned, whatever the fleet
	Passes     bool               // what is in the way goes away without anybody asking for something else: the same may be asked again
}

// Error returns the reason.
func (r *Refusal) Error() string { return r.Reason }

// Result is a plan, with what has to be reserved for it.
type Result struct {
	Plan        proto.Plan
	Reservation proto.Reservation   // on the target, for MigrationStart
	Extra       []proto.Reservation // of the transfer
	Yielded     ledger.Yielded      // who yields for it; nobody, unless that was asked for and there is no room else
}

// probationSlack is for how long beyond a plan's end its reservations hold, should it take longer.
const probationSlack = time.Hour

// ErrNoFleet is returned before the fleet is made.
var ErrNoFleet = errors.New("there is no fleet yet")

// Make plans a migration. The error is a *Refusal when the answer is no. Nothing is promised yet: the plan is checked again
// when its migration starts.
func Make(in Input) (Result, error) {
	p, err := prepare(in)
	if err != nil {
		return Result{}, err
	}
	if in.Request.Target != "" {
		return p.named()
	}
	return p.chosen()
}

// planning is a request with everything that it names looked up.
type planning struct {
	Input
	instance proto.Instance
	source   proto.Host
	toType   proto.InstanceType
	app      proto.Application
	sizing   Sizing
	grid     time.Duration
	fill     proto.Fill
	cut      resource.Vector  // that the type's maximum cuts off the forecast
	wanted   timeline.Profile // allocation by the forecast alone
	beyond   resource.Vector  // the same after its end
	assumed  []string         // warnings of what is assumed
	warnings []string
	book     lesson.Book
	recent   recent  // of the instance, where the planner chooses
	shapes   []shape // that were computed
	queued   bool    // whoever plans counts the moves of each host
	anew     bool    // the instance may go back to where it left
	courses  map[speed]course

	likely, high line // what the instance writes while it is copied, in bytes per second
	clients      line // see there
	out          way  // what a transfer finds at the source; empty until it is asked for
	processors
}

func prepare(in Input) (*planning, error) {
	var warnings []string
	if w := in.Request.WhatIf; w != nil {
		if err := in.imagine(); err != nil {
			return nil, err
		}
		warnings = []string{assumed(*w, "stays")}
	}
	fleet := in.View.Fleet()
	if fleet.ID == "" {
		return nil, ErrNoFleet
	}
	p := &planning{Input: in, grid: time.Duration(fleet.GridStep) * time.Millisecond, fill: fleet.Policy.Fill, assumed: warnings}
	if err := in.Request.timed(in.Now, p.grid); err != nil {
		return nil, err
	}
	var ok bool
	if p.instance, ok = in.View.Instance(in.Request.Instance); !ok {
		return nil, refusal("there is no instance %s: see them with glidepath instance list", in.Request.Instance)
	}
	if m := p.instance.Migration; m != in.Request.Returns {
		return nil, passing("instance %s is being moved by migration %s: wait for its end, or abort it", p.instance.Name(), m)
	}
	if p.instance.State != proto.InstanceRunning {
		return nil, passing("instance %s is %s: only a running one can be moved", p.instance.Name(), p.instance.State)
	}
	p.source, _ = in.View.Host(p.instance.Owner)
	if wrong := clockOf(p.source.Facts.Missing); wrong != "" {
		return nil, passing("instance %s can't move away from %s: %s", p.instance.Name(), p.instance.Owner, wrong)
	}
	name := in.Request.Type
	if name == "" {
		name = p.instance.Spec.Type
	}
	if p.toType, ok = in.View.Type(name); !ok {
		return nil, refusal("there is no instance type %s: see them with glidepath type list", name)
	}
	p.app, _ = in.View.Application(p.instance.Spec.Application)
	p.sizing = NewSizing(p.instance.Spec.Class, p.toType, p.app, fleet.Policy)
	if len(p.Forecast.Profiles) == 0 {
		p.Forecast = p.sizing.Cold(Grid(in.Now, p.grid))
	}
	if p.Costs.Bias == (proto.Bias{}) {
		p.Costs.Bias = LearnedOf(in.View, p.instance.Spec.Driver)
	}
	p.book = lesson.BookOf(in.View)
	p.measured()
	p.allocated()
	p.likely, p.high = writes(p.Forecast)
	p.clients = clients(p.Forecast)
	return p, nil
}

// back reports whether the way back of a migration is planned.
func (p *planning) back() bool { return p.Request.Returns != "" }

func refusal(format string, args ...any) *Refusal {
	return &Refusal{Reason: fmt.Sprintf(format, args...)}
}

// passing is a refusal for what passes.
func passing(format string, args ...any) *Refusal {
	return &Refusal{Reason: fmt.Sprintf(format, args...), Passes: true}
}

// to plans the move to one host that begins at start, now or later.
func (p *planning) to(host proto.Host, start timeline.Time) Result {
	c := p.course(p.way(host), start)
	t, phases := c.likely, c.phases
	settled := phases[len(phases)-1].Span
	plan := proto.Plan{
		Instance: p.instance.Name(), Source: p.instance.Owner, Target: host.Facts.Name,
		FromType: p.instance.Spec.Type, ToType: p.toType.Name, Fence: p.instance.Fence,
		MadeAt: p.Now, Start: start, Phases: phases,
		Duration: settled.Start.Sub(start).Milliseconds(), Downtime: t.Downtime.Milliseconds(),
		Bytes: t.Bytes, Rounds: t.Rounds, Rate: c.rate, Confidence: p.sizing.Quantile,
		Figures: c.figures(), Probation: p.Request.Probation, Bias: p.bias(),
	}
	plan.Profile, plan.Envelope = p.shaped(plan)
	plan.Reasons, plan.Warnings = p.reasons(host, t, plan), p.warnings
	if !t.Settled {
		plan.Warnings = append(plan.Warnings, "the instance writes about as fast as its data can be moved: the last round will be long; a higher rate or a quieter time helps")
	}
	if most := waiting(p.instance.Spec.Hooks); most > 0 {
		plan.Warnings = append(plan.Warnings, fmt.Sprintf("hooks after the freeze and before the start keep clients waiting for up to %s more", most))
	}
	until := settled.End.Add(probationSlack + c.served(true).Sub(c.served(false)))
	id := plan.Instance + "/" + plan.Target + "/" + fmt.Sprint(int64(p.Now))
	r := Result{Plan: plan, Reservation: proto.Reservation{
		ID: id, Host: plan.Target, Instance: plan.Instance, Class: p.instance.Spec.Class,
		Purpose: proto.PurposeMigration, Envelope: plan.Envelope, Floor: p.sizing.Floor, Until: until,
	}}
	r.Extra = extra(plan, id, c.busy(p.grid))
	if p.back() {
		// There is always a way back: what is missing makes it slower, or others.
		if err := p.View.Ledger().Fits(p.change(r)); err != nil {
			r.Extra = nil
			r.Plan.Warnings = append(slices.Clone(r.Plan.Warnings), fmt.Sprintf("what the transfer itself takes is not reserved: %s", err))
		}
	}
	return r
}

// shape is what a move whose phases run at the same times is allocated, and what is reserved for that, whichever host it goes to.
type shape struct {
	phases   []proto.PlanPhase
	profile  []proto.PlanStep
	envelope proto.Envelope
}

const mostShapes = 8 // that are kept: links of a fleet have about the same left

// shaped returns the allocation of a plan with its phases, and its envelope. They are most of the work of a plan.
func (p *planning) shaped(plan proto.Plan) ([]proto.PlanStep, proto.Envelope) {
	for _, s := range p.shapes {
		if slices.Equal(s.phases, plan.Phases) {
			return s.profile, s.envelope
		}
	}
	plan.Profile = p.profile(plan.Phases)
	s := shape{phases: plan.Phases, profile: plan.Profile}
	if !p.back() { // which goes into the slot as it was kept
		s.envelope = p.sizing.Envelope(p.held(plan), p.Forecast)
	}
	if len(p.shapes) == mostShapes {
		p.shapes = slices.Delete(p.shapes, 0, 1)
	}
	p.shapes = append(p.shapes, s)
	return s.profile, s.envelope
}

// waiting returns for how long hooks may keep clients waiting: those of a point run one after the other on a host, and both hosts at once.
func waiting(hooks proto.Hooks) time.Duration {
	var all time.Duration
	for _, point := range []proto.HookPoint{proto.HookAfterFreeze, proto.HookBeforeStart} {
		var longest time.Duration
		for _, side := range []proto.HookSide{proto.HookSource, proto.HookTarget} {
			var took time.Duration
			for _, h := range hooks.Run(point, side) {
				took += h.Time()
			}
			longest = max(longest, took)
		}
		all += longest
	}
	return all
}

// change returns what a plan does to the ledger when it begins.
func (p *planning) change(r Result) ledger.Change {
	if !p.back() {
		return ledger.Change{Hold: append([]proto.Reservation{r.Reservation}, r.Extra...)}
	}
	c := ledger.Change{Hold: r.Extra}
	undone, _ := p.View.Migration(p.Request.Returns)
	for _, id := range undone.Extra { // the transfer that they were for is over
		if _, held := p.View.Ledger().Reservation(id); held {
			c.Release = append(c.Release, id)
		}
	}
	return c
}

// extra returns what the transfer itself takes on both hosts, held until the switch is over.
func extra(plan proto.Plan, id string, span timeline.Span) []proto.Reservation {
	hold := func(end, host string, need resource.Vector) proto.Reservation {
		return proto.Reservation{
			ID: id + "/" + end, Host: host, Class: proto.Critical, Purpose: proto.PurposeMigration,
			Envelope: proto.FirmEnvelope(timeline.Flat(span, need)), Until: span.End,
		}
	}
	return []proto.Reservation{
		hold("send", plan.Source, resource.Vector{resource.NetTx: plan.Rate, resource.ReadBytes: plan.Rate / 8}),
		hold("receive", plan.Target, resource.Vector{resource.NetRx: plan.Rate, resource.WriteBytes: plan.Rate / 8}),
	}
}

// startup returns what the application takes on top of its forecast at the time since its start.
func (p *planning) startup(since time.Duration) resource.Vector {
	if p.start.Extra.IsZero() || since < 0 {
		return resource.Vector{}
	}
	share := math.Exp(-since.Seconds() / p.start.Decay.Seconds())
	if share < .01 {
		return resource.Vector{}
	}
	return p.start.Extra.Scale(int64(math.Ceil(share*1000)), 1000)
}
