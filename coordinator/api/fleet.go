package api

import (
	"slices"

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
	servers, err := c.cfg.Servers()
	if err != nil {
		return nil, err
	}
	voters := map[string]bool{}
	for _, s := range servers {
		voters[s.Name] = s.Voter
	}
	out.Coordinators = []v1.Coordinator{}
	for m := range c.view.Coordinators() {
		out.Coordinators = append(out.Coordinators, v1.Coordinator{Coordinator: m, Leader: m.Name == leader, Voter: voters[m.Name]})
	}
	out.Short = []proto.Shortfall{}
	for h := range c.view.Hosts() {
		out.Hosts++
		if s := c.view.Ledger().Short(h.Facts.Name); s != nil {
			out.Short = append(out.Short, *s)
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
	var out []v1.Host
	for h := range c.view.Hosts() {
		out = append(out, hostOf(c.view, h, owns[h.Facts.Name], c.now))
	}
	return items(out), nil
}

func hostOf(view *state.View, h proto.Host, owns []string, now timeline.Time) v1.Host {
	out := v1.Host{Host: h, Allocatable: h.Allocatable(), Owns: owns, PausedBy: view.PausedOn(h.Facts.Name)}
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
	out := v1.HostDetail{Host: hostOf(c.view, h, owns, c.now), Reservations: slices.Clone(c.view.ReservationsOn(name)), Steps: []v1.HostStep{}}
	if out.Reservations == nil {
		out.Reservations = []proto.Reservation{}
	}
	for _, s := range c.view.Ledger().Steps(name) {
		if n := len(out.Steps); n > 0 && out.Steps[n-1].Needed == s.Needed && out.Steps[n-1].Limit == s.Limit && out.Steps[n-1].End == s.Start {
			out.Steps[n-1].End = s.End
			continue
		}
		out.Steps = append(out.Steps, v1.HostStep{Span: s.Span, Needed: s.Needed, Limit: s.Limit})
	}
	return out, nil
}

// listReservations lists reservations, of one host or one instance if the query says so.
func listReservations(c *call) (any, error) {
	q := c.r.URL.Query()
	host, instance := q.Get("host"), q.Get("instance")
	if _, ok := c.view.Host(host); host != "" && !ok {
		return nil, missing("host", host, "host list")
	}
	if _, ok := c.view.Instance(instance); instance != "" && !ok {
		return nil, missing("instance", instance, "instance list")
	}
	var out []proto.Reservation
	for r := range c.view.Reservations() {
		if (host == "" || r.Host == host) && (instance == "" || r.Instance == instance) {
			out = append(out, r)
		}
	}
	return items(out), nil
}
