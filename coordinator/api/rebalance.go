package api

import (
	"fmt"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/auth"
	"github.com/glidepath/glidepath/coordinator/figures"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/proto"
)

// rebalanceTime is how long a look at the fleet may take: of many instances it is asked what is expected of them.
const rebalanceTime = 2 * time.Minute

// rebalance looks for moves that would make the fleet better, and keeps them as suggestions if it is to. It carries none of them out.
func rebalance(c *call) (any, error) {
	var in v1.RebalanceRequest
	if c.r.ContentLength != 0 {
		if err := c.read(&in); err != nil {
			return nil, err
		}
	}
	if in.WhatIf != nil {
		if err := c.asksFor(in.WhatIf); err != nil {
			return nil, err
		}
		if in.Store {
			return nil, invalid("what is suggested for a fleet that is not there, %s, is carried out nowhere: leave out what_if or store", in.WhatIf.Words())
		}
	}
	if in.Store {
		c.changed = true
		if err := auth.Authorise(c.who, proto.RoleOperator); err != nil {
			return nil, err
		}
		if err := c.knows(proto.CmdPlanBegin); err != nil {
			return nil, err
		}
	}
	if in.LeastGain == 0 {
		in.LeastGain = planner.MarginOfBalance
		if p := c.view.Fleet().Policy.Rebalance; p != nil && p.LeastGain > 0 {
			in.LeastGain = p.LeastGain
		}
	}
	known, err := figures.Sources{Forecast: c.cfg.Forecast, DataBytes: c.cfg.DataBytes}.At(c.ctx, c.now, c.gridStep(), nil)
	if err != nil {
		return nil, err
	}
	found, err := planner.Rebalance(planner.RebalanceInput{
		View: c.cfg.OwnView(), Now: c.now, Moves: in.Moves, Margin: in.LeastGain, Of: known.Ask, Ahead: known.Ahead, Costs: c.cfg.Costs, Silent: c.silent(""),
		WhatIf: in.WhatIf,
	})
	if err != nil {
		return nil, err
	}
	out := v1.Rebalance{
		Now: c.now, Hosts: found.Hosts, Weighed: found.Weighed, LeastGain: in.LeastGain, Before: found.Before, After: found.After, Says: found.Says, Suggestions: []v1.Suggestion{},
	}
	for _, s := range found.Suggestions {
		out.Suggestions = append(out.Suggestions, suggestion(s))
	}
	if unsized := known.Unsized(); unsized != "" {
		out.Says = append(out.Says, unsized)
	}
	if !in.Store {
		return out, nil
	}
	ids, err := c.suggest(found)
	if err != nil {
		return nil, err
	}
	for n, id := range ids {
		out.Suggestions[n].Plan = id
	}
	return out, nil
}

// suggest stores what was found, in the place of what was suggested before, and returns the plans.
func (c *call) suggest(found planner.Rebalanced) ([]string, error) {
	stored := found.Store(c.view, c.now)
	var bodies []proto.Body
	for _, b := range stored.End {
		bodies = append(bodies, b)
	}
	for _, b := range stored.Put {
		bodies = append(bodies, b)
	}
	for n, b := range bodies {
		if _, err := c.proposeAs(fmt.Sprintf("%s/%d", c.id, n), b); err != nil {
			return nil, err
		}
	}
	return stored.IDs, nil
}

func suggestion(s planner.Suggestion) v1.Suggestion {
	out := v1.Suggestion{
		Instance: s.Move.Instance, Source: s.Move.Source, Target: s.Move.Target, Start: s.Move.Start, Stays: s.Stays, Scores: s.Scores, Cost: s.Cost, Wins: s.Wins(), Relief: s.Relief(),
		Figures: s.Move.Figures, Reason: s.Why(), Reasons: s.Move.Reasons, Warnings: s.Says,
	}
	for _, h := range s.Strain {
		out.Strain = append(out.Strain, v1.Strain{Host: h.Host, Before: h.Before, After: h.After})
	}
	return out
}

// rebalances refuses a policy under which nothing is done that it says.
func rebalances(p *proto.Rebalance) error {
	if p == nil {
		return nil
	}
	switch every := time.Duration(p.Every) * time.Millisecond; {
	case every != 0 && every < planner.LeastEvery:
		return invalid("the policy: the fleet would be looked at every %s for moves that balance it: use %s or more, or 0 for when somebody asks", every, planner.LeastEvery)
	case p.LeastGain > 1000:
		return invalid("the policy: a move that balances the fleet would have to win by %d thousandths of a score: use 0 to 1000", p.LeastGain)
	case p.Execute && p.Every == 0:
		return invalid("the policy: what a look at the fleet suggests would be carried out, and it is looked at only when somebody asks: say how often, too, with glidepath policy set --rebalance-every 6h")
	case p.Execute && p.MovesDay == 0:
		return invalid("the policy: moves that balance the fleet would be carried out, 0 a day at most: say how many, with glidepath policy set --rebalance-moves-per-day 4")
	}
	return nil
}
