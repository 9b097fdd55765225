package leader

import (
	"context"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
)

// Bounds of what is asked for moves that are due.
const (
	movesAsked = 64               // moves that are asked for at once: those whose turn comes first
	askedFor   = 20 * time.Second // from the question on, for which an answer counts
)

// known is what a move is planned by, or why that is not known.
type known struct {
	instance string
	in       planner.Input
	err      error
	at       time.Time // when it was asked
}

// Run begins moves until ctx ends.
func (p *Plans) Run(ctx context.Context) error {
	p.tried = map[planner.Ready]try{}
	return p.asking.rounds(ctx, planEvery, movesAsked, p.round)
}

// answer returns what a move is planned by, once. Where it is not known it has it asked.
func (p *Plans) answer(ctx context.Context, view *state.View, r planner.Ready) (known, bool) {
	if k, told := p.asking.told(r); told && time.Since(k.at) < askedFor {
		return k, true
	}
	if plan, _ := view.Plan(r.Plan); r.Move < len(plan.Moves) {
		instance, at := plan.Moves[r.Move].Instance, time.Now()
		p.asking.ask(r, func() known {
			in, err := p.Ask(ctx, instance)
			return known{instance, in, err, at}
		})
	}
	return known{}, false
}

// plan plans what is asked for in a fleet, at a rate of so many bits per second at most.
func (k known) plan(view *state.View, request planner.Request, rate int64) (planner.Result, error) {
	in := k.in
	in.View, in.Request = view, request
	in.Costs.Rate = min(in.Costs.Rate, rate)
	return planner.Make(in)
}

// wrong returns why a move to a host can't be planned by it.
func (k known) wrong(target string) error {
	if since, away := k.in.Silent[target]; away && k.err == nil {
		return fmt.Errorf("the agent of %s has been silent since %s", target, since)
	}
	return k.err
}

// fitsLater reports whether a move that does not fit now will, within the time that it has: then what is in the way passes.
func (k known) fitsLater(view *state.View, request planner.Request, rate int64) bool {
	request.Best = true
	_, err := k.plan(view, request, rate)
	return err == nil
}
