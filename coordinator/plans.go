package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/coordinator/leader"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// planTime bounds how long agents and homes are asked for what a move is planned by.
const planTime = 10 * time.Second

// plans begins the moves of stored plans while this coordinator leads.
func (c *Coordinator) plans() *leader.Plans {
	return &leader.Plans{
		View: c.tables.View,
		Own: func() *state.View {
			v, _ := c.tables.at()
			return v
		},
		Ask: c.moving,
		Propose: func(ctx context.Context, id string, body proto.Body) (proto.Result, error) {
			return c.Propose(ctx, id, "leader", body)
		},
		NewID: NewID, Rate: planner.DefaultCosts().Rate, Log: c.log.With("component", "leader"),
	}
}

// moving returns what a move of an instance that begins now is planned by: the demand that is forecast now, and the data that there are. Where those are not known it is no time to begin.
func (c *Coordinator) moving(ctx context.Context, instance string) (planner.Input, error) {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	now, step := timeline.Of(time.Now()), time.Duration(c.tables.View().Fleet().GridStep)*time.Millisecond
	demand, err := c.Forecast(ctx, proto.ForecastRequest{
		Instance: instance, From: planner.Grid(now, step).Start, Step: step.Milliseconds(), Steps: planner.GridSteps,
	})
	if err != nil && wire.CodeOf(err) != wire.NotFound {
		return planner.Input{}, fmt.Errorf("the demand of instance %s is not known: %w", instance, err)
	}
	data, err := c.dataBytes(ctx, instance)
	if err != nil {
		return planner.Input{}, fmt.Errorf("the size of the data of instance %s is not known: %w", instance, err)
	}
	silent := map[string]timeline.Time{}
	for host, p := range c.Presence(ctx) {
		if !p.Connected {
			silent[host] = p.Since
		}
	}
	return planner.Input{Now: now, Forecast: demand, Data: data, Costs: planner.DefaultCosts(), Silent: silent}, nil
}
