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

// planTime bounds how long agents and homes are asked for what a move is planned by: others wait for their turn.
const planTime = 10 * time.Second

// plans begins the moves of stored plans while this coordinator leads.
func (c *Coordinator) plans() *leader.Plans {
	return &leader.Plans{
		View: c.tables.View,
		Own: func() *state.View {
			v, _ := c.tables.at()
			return v
		},
		Plan: c.planMove,
		Propose: func(ctx context.Context, id string, body proto.Body) (proto.Result, error) {
			return c.Propose(ctx, id, "leader", body)
		},
		NewID: NewID, Rate: planner.DefaultCosts().Rate, Log: c.log.With("component", "leader"),
	}
}

// planMove plans a move that begins now, by the demand that is forecast now, and the data that there are. Where those are not known it is no time to begin.
func (c *Coordinator) planMove(ctx context.Context, view *state.View, request planner.Request, rate int64) (planner.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	now, step := timeline.Of(time.Now()), time.Duration(view.Fleet().GridStep)*time.Millisecond
	demand, err := c.Forecast(ctx, proto.ForecastRequest{
		Instance: request.Instance, From: planner.Grid(now, step).Start, Step: step.Milliseconds(), Steps: planner.GridSteps,
	})
	if err != nil && wire.CodeOf(err) != wire.NotFound {
		return planner.Result{}, fmt.Errorf("the demand of instance %s is not known: %w", request.Instance, err)
	}
	data, err := c.dataBytes(ctx, request.Instance)
	if err != nil {
		return planner.Result{}, fmt.Errorf("the size of the data of instance %s is not known: %w", request.Instance, err)
	}
	silent := map[string]timeline.Time{}
	for host, p := range c.Presence(ctx) {
		if !p.Connected {
			silent[host] = p.Since
		}
	}
	if since, away := silent[request.Target]; away {
		return planner.Result{}, fmt.Errorf("the agent of %s has been silent since %s", request.Target, since)
	}
	costs := planner.DefaultCosts()
	costs.Rate = min(costs.Rate, rate)
	return planner.Make(planner.Input{Request: request, View: view, Now: now, Forecast: demand, Data: data, Costs: costs, Silent: silent})
}
