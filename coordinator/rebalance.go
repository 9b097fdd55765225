package coordinator

import (
	"context"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/figures"
	"github.com/glidepath/glidepath/coordinator/leader"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// rebalanceTime bounds how long homes and agents are asked for what a look at the fleet is made from.
const rebalanceTime = time.Minute

// rebalance suggests moves while this coordinator leads.
func (c *Coordinator) rebalance() *leader.Rebalance {
	return &leader.Rebalance{
		View: c.tables.View, Own: c.tables.Own, Look: c.lookForBalance, Ask: c.moving,
		Propose: func(ctx context.Context, id string, body proto.Body) (proto.Result, error) {
			return c.Propose(ctx, id, "leader", body)
		},
		Rate: planner.DefaultCosts().Rate, Log: c.log.With("component", "leader"),
	}
}

// lookForBalance looks for moves that make the fleet better, by the demand that is forecast now, and the data that there are.
func (c *Coordinator) lookForBalance(ctx context.Context, in planner.RebalanceInput) (planner.Rebalanced, error) {
	ctx, cancel := context.WithTimeout(ctx, rebalanceTime)
	defer cancel()
	in.View, in.Costs, in.Silent = c.tables.Own(), planner.DefaultCosts(), map[string]timeline.Time{}
	for host, p := range c.Presence(ctx) {
		if !p.Connected && in.Now.Sub(p.Since) >= v1.AwayAfter {
			in.Silent[host] = p.Since
		}
	}
	step := time.Duration(in.View.Fleet().GridStep) * time.Millisecond
	known, err := figures.Sources{Forecast: c.Forecast, DataBytes: c.dataBytes}.At(ctx, in.Now, step, nil)
	if err != nil {
		return planner.Rebalanced{}, err
	}
	in.Of, in.Ahead = known.Ask, known.Ahead
	return planner.Rebalance(in)
}
