package coordinator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/figures"
	"github.com/glidepath/glidepath/coordinator/leader"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// drainTime bounds how long homes and agents are asked for what a drain is planned by: other hosts wait for their turn.
const drainTime = 30 * time.Second

// drains empties hosts while this coordinator leads.
func (c *Coordinator) drains() *leader.Drains {
	return &leader.Drains{
		View: c.tables.View, Plan: c.planDrain, NewID: NewID, Log: c.log.With("component", "leader"),
		Propose: func(ctx context.Context, body proto.Body) (proto.Result, error) {
			return c.Propose(ctx, NewID(), "leader", body)
		},
	}
}

// planDrain plans how all that a host has leaves it, by the demand that is forecast now, and the data that there are.
func (c *Coordinator) planDrain(ctx context.Context, in planner.DrainInput) (proto.StoredPlan, error) {
	in.Over = ctx.Err // whoever leads no more waits for what is planned: it is joined
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	in.View, in.Costs, in.Silent = c.tables.Own(), planner.DefaultCosts(), map[string]timeline.Time{}
	for host, p := range c.Presence(ctx) {
		if !p.Connected && in.Now.Sub(p.Since) >= v1.AwayAfter {
			in.Silent[host] = p.Since
		}
	}
	var names []string
	for _, i := range in.View.InstancesOn(in.Host) {
		names = append(names, i.Name())
	}
	step := time.Duration(in.View.Fleet().GridStep) * time.Millisecond
	known, err := figures.Sources{Forecast: c.Forecast, DataBytes: c.dataBytes}.At(ctx, in.Now, step, names)
	if err != nil {
		return proto.StoredPlan{}, err
	}
	in.Of = known.Of
	plan, blocked, err := planner.Drain(in)
	if err := errors.Join(err, known.Err()); err != nil {
		return proto.StoredPlan{}, err
	}
	out := plan.Stored(in, blocked)
	if unsized := known.Unsized(); unsized != "" {
		out.Says = append(slices.Clone(out.Says), unsized)
	}
	return out, nil
}
