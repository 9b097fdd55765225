package api

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// items returns a list reply; an empty list is [], not null.
func items[T any](list []T) v1.List[T] {
	if list == nil {
		list = []T{}
	}
	return v1.List[T]{Items: list}
}

func getStatus(c *call) (any, error) {
	leader, _ := c.cfg.Leader()
	out := v1.Status{Fleet: c.view.Fleet(), Now: c.now, Version: c.cfg.Version, Leader: leader}
	var presence map[string]proto.Presence
	var asked sync.WaitGroup
	asked.Go(func() { presence = c.cfg.Presence(c.ctx) }) // beside the other question: whoever is away lets both wait
	members, err := c.cfg.Members(c.ctx)
	asked.Wait()
	if err != nil {
		return nil, err
	}
	out.Coordinators = []v1.Coordinator{}
	for m := range c.view.Coordinators() {
		one := v1.Coordinator{Coordinator: m, Leader: m.Name == leader}
		if i := slices.IndexFunc(members, func(x v1.Member) bool { return x.Name == m.Name }); i >= 0 {
			one.Voter, one.Reached, one.Why = members[i].Voter, members[i].Reached, members[i].Why
			one.Program = cmp.Or(members[i].Program, m.Program)
		}
		out.Coordinators = append(out.Coordinators, one)
	}
	out.Short, out.Away, out.InDoubt = []proto.Shortfall{}, []v1.AwayHost{}, []v1.Doubt{}
	owns := map[string]int{}
	for i := range c.view.Instances() {
		owns[i.Owner]++
	}
	for _, d := range c.view.InDoubt(c.now) {
		out.InDoubt = append(out.InDoubt, v1.Doubt{Instance: d.Instance, Migration: d.Migration, Since: d.Since, Known: d.Known, Decide: d.Decide})
	}
	for h := range c.view.Hosts() {
		out.Hosts++
		if len(h.Conflicts) > 0 {
			out.Conflicts = append(out.Conflicts, h.Facts.Name)
		}
		if h.Incarnation != out.Fleet.Incarnation {
			out.Unreported = append(out.Unreported, h.Facts.Name)
		}
		if s := c.view.Ledger().Short(h.Facts.Name); s != nil {
			out.Short = append(out.Short, *s)
		}
		if a := agentOf(presence, h.Facts.Name); a.Silent(c.now) {
			out.Away = append(out.Away, v1.AwayHost{Host: h.Facts.Name, Since: a.Since, Owns: owns[h.Facts.Name]})
		}
	}
	for i := range c.view.Instances() {
		out.Instances.Total++
		if i.Spec.Mode == proto.Enforce {
			out.Instances.Enforced++
		}
		if i.Migration != "" {
			out.Instances.Moving++
		}
		if i.Fault != nil {
			out.Instances.Faulty++
		}
	}
	out.Paused = c.pausedIn()
	out.Plans, out.Drains = c.plansIn(), c.drainsIn(owns)
	out.Notices = append([]proto.Notice{}, told(c.view, false)...)
	out.Migrations = []v1.MigrationStatus{}
	for m := range c.view.ActiveMigrations() {
		out.Migrations = append(out.Migrations, v1.StatusOf(m))
	}
	return out, nil
}

func listHosts(c *call) (any, error) {
	owns := map[string][]string{}
	for i := range c.view.Instances() {
		owns[i.Owner] = append(owns[i.Owner], i.Name())
	}
	want, err := selector(c.r.URL.Query()["label"])
	if err != nil {
		return nil, err
	}
	presence := c.cfg.Presence(c.ctx)
	var out []v1.Host
	for h := range c.view.Hosts() {
		if selects(want, h.Facts.Labels) {
			out = append(out, hostOf(c.view, h, owns[h.Facts.Name], agentOf(presence, h.Facts.Name), c.now))
		}
	}
	return items(out), nil
}

// selector reads labels like rack=a1.
func selector(texts []string) ([]proto.Label, error) {
	if len(texts) > proto.MaxList {
		return nil, invalid("%d labels are asked for: use at most %d", len(texts), proto.MaxList)
	}
	var out []proto.Label
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, invalid("label=%.80q is not KEY=VALUE", text)
		}
		out = append(out, proto.Label{Key: key, Value: value})
	}
	return out, nil
}

// selects reports whether all the labels that are wanted are there.
func selects(want, have []proto.Label) bool {
	return !slices.ContainsFunc(want, func(l proto.Label) bool { return !slices.Contains(have, l) })
}

// agentOf returns how a host's agent is, by what the coordinators said that answered.
func agentOf(presence map[string]proto.Presence, host string) v1.Agent {
	p, ok := presence[host]
	switch {
	case !ok:
		return v1.Agent{State: v1.AgentUnknown}
	case p.Connected:
		return v1.Agent{State: v1.AgentConnected, Since: p.Since}
	}
	return v1.Agent{State: v1.AgentAway, Since: p.Since}
}

func hostOf(view *state.View, h proto.Host, owns []string, agent v1.Agent, now timeline.Time) v1.Host {
	out := v1.Host{Host: h, Allocatable: h.Allocatable(), Owns: owns, Agent: agent, PausedBy: view.PausedOn(h.Facts.Name)}
	if owns == nil {
		out.Owns = []string{}
	}
	for i, s := range view.Ledger().Steps(h.Facts.Name) {
		// Before the ledger's grid has moved on to now, its first step is the nearest.
		if i == 0 || s.Contains(now) {
			out.Needed, out.Limit = s.Needed, s.Limit
		}
	}
	return out
}

func getHost(c *call) (any, error) {
	name := c.r.PathValue("name")
	h, ok := c.view.Host(name)
	if !ok {
		return nil, missing("host", name, "host list")
	}
	var owns []string
	for i := range c.view.Instances() {
		if i.Owner == name {
			owns = append(owns, i.Name())
		}
	}
	out := v1.HostDetail{Host: hostOf(c.view, h, owns, agentOf(c.cfg.Presence(c.ctx), name), c.now), Reservations: slices.Clone(c.view.ReservationsOn(name))}
	if out.Reservations == nil {
		out.Reservations = []proto.Reservation{}
	}
	out.Steps = joinedSteps(c.view.Ledger().Steps(name))
	return out, nil
}
