package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// drainImagined plans how every instance leaves a host in the fleet that is asked for. What hosts that are left out have goes elsewhere, too, and has its room there
// before the rest is planned: whenever that can be, as nobody drains them.
func drainImagined(in DrainInput) (DrainPlan, *proto.Blocked, error) {
	w := *in.WhatIf
	view, err := imagined(in.View, w)
	if err != nil {
		return DrainPlan{}, nil, err
	}
	if slices.Contains(w.Without, in.Host) {
		return DrainPlan{}, nil, &Refusal{Reason: fmt.Sprintf("host %s is the one to be emptied: it can't be left out", in.Host), Remedy: "leave out other hosts, or none", Invalid: true}
	}
	if err := othersThan(view, in.Host, w); err != nil {
		return DrainPlan{}, nil, err
	}
	before := leavers{in: in, ledger: view.Ledger().Clone()}
	if before.view, err = view.With(proto.WhatIf{Without: []string{in.Host}}); err != nil {
		return DrainPlan{}, nil, refusal("there is no host %s: see them with glidepath host list", in.Host)
	}
	for _, host := range w.Without {
		if err := before.drain(host); err != nil {
			return DrainPlan{}, nil, err
		}
	}
	in.WhatIf, in.View = nil, view.Over(before.ledger)
	plan, blocked, err := Drain(in)
	if err != nil {
		return DrainPlan{}, nil, err
	}
	plan.WhatIf = &w
	plan.Stays = append(plan.Stays, before.stays...)
	slices.SortFunc(plan.Stays, func(a, b DrainStays) int { return strings.Compare(a.Instance, b.Instance) })
	plan.Says = slices.Concat([]string{assumed(w, "goes elsewhere")}, before.says, plan.Says)
	return plan, before.joined(blocked), nil
}

// leavers is what hosts that are left out have, on its way to others.
type leavers struct {
	in      DrainInput
	view    *state.View    // the fleet without any of those hosts, nor the one that is emptied
	ledger  *ledger.Ledger // with what they have where it goes
	moves   int
	stays   []DrainStays
	says    []string
	blocked []proto.Blocked
}

// drain has what a host has go elsewhere.
func (l *leavers) drain(host string) error {
	plan, blocked, err := Drain(DrainInput{Host: host, View: l.view.Over(l.ledger), Now: l.in.Now, Of: l.in.Of, Costs: l.in.Costs, Silent: l.in.Silent, Over: l.in.Over})
	if err != nil {
		return err
	}
	if err := l.ledger.Apply(plan.Change); err != nil {
		return err
	}
	l.moves += len(plan.Moves)
	l.stays = append(l.stays, plan.Stays...)
	if blocked != nil {
		l.blocked = append(l.blocked, *blocked)
	}
	if len(plan.Moves) > 0 {
		l.says = append(l.says, fmt.Sprintf("what %s has is elsewhere by %s: %s", host, plan.Left, placed(plan.Moves)))
	}
	if len(plan.Waits) > 0 {
		l.says = append(l.says, fmt.Sprintf("what is being moved from or to %s stays where it is: %s", host, firstNames(plan.Waits)))
	}
	return nil
}

// placed says where moves lead to, host by host.
func placed(moves []proto.Move) string {
	last := map[string]string{} // one that is parked goes on
	for _, m := range moves {
		last[m.Instance] = m.Target
	}
	at := map[string][]string{}
	for instance, host := range last {
		at[host] = append(at[host], instance)
	}
	var parts []string
	for _, host := range slices.Sorted(maps.Keys(at)) {
		slices.Sort(at[host])
		parts = append(parts, firstNames(at[host])+" to "+host)
	}
	return firstNames(parts)
}

// joined returns what is in the way of all of it. That the rest was planned with what was found for these hosts first, and with nothing else, takes from what is proven.
func (l *leavers) joined(b *proto.Blocked) *proto.Blocked {
	all := l.blocked
	if b != nil {
		all = append(all, *b)
	}
	if len(all) == 0 {
		return nil
	}
	out := all[0]
	out.Instances = slices.Clone(out.Instances)
	if l.moves > 0 && out.Proof == proto.BlockedSmallest {
		out.Proof = proto.BlockedMinimal
	}
	for _, more := range all[1:] {
		out.Proof = proto.BlockedNotFound
		out.Instances = append(out.Instances, more.Instances...)
		out.Unblock = slices.Concat(out.Unblock, more.Unblock)
	}
	slices.Sort(out.Instances)
	return &out
}
