package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// constraint is something that a host has to meet, whatever room it has.
type constraint struct {
	name  string                                                    // kept with the plan, as what a host violates
	back  bool                                                      // the way back of a migration has to meet it, too
	free  bool                                                      // a host that was named need not meet it
	pass  bool                                                      // a host that does not meet it may before long, with nobody deciding anything
	fails func(n *needs, h *proto.Host) (why string, remedy string) // "" where it is met; a remedy of its own, if the reason doesn't say it
}

// needs is what constraints are checked against, looked up once for all hosts.
type needs struct {
	planning    *planning
	start       timeline.Time
	incarnation uint64
	address     string // the first floating one; "" without any
	placement   proto.Placement
	moves       map[string]int // that go on, by host
	movesHost   int            // how many of them a host may have
}

// leaveAhead is how far ahead of a time in which a host is not there nothing is moved to it any more. What comes later is left
// to the ledger.
const leaveAhead = 48 * time.Hour

// leavingHost is the constraint that a host does not meet then: the only one that a later start may meet.
const leavingHost = "leaving"

// constraints in the order in which they are checked: the first that fails is the one that is told. What an operator decided comes before what is
// found out.
var constraints = []constraint{
	{name: "left out", fails: func(_ *needs, h *proto.Host) (string, string) {
		if state.LeftOut(*h) {
			return "it is left out: it is asked what would be without it", "name another host, or leave this one in"
		}
		return "", ""
	}},
	{name: "drained", fails: func(_ *needs, h *proto.Host) (string, string) {
		if d := h.Drain; d != nil && d.State != proto.DrainNone {
			return fmt.Sprintf("it is being emptied: its drain is %s", d.State), "take the drain back first, or name another host"
		}
		return "", ""
	}},
	{name: "cordoned", fails: func(_ *needs, h *proto.Host) (string, string) {
		if h.Cordoned {
			return "it is cordoned: nothing new is placed there", "uncordon it first: glidepath host uncordon " + h.Facts.Name
		}
		return "", ""
	}},
	{name: leavingHost, fails: func(n *needs, h *proto.Host) (string, string) {
		for _, w := range h.Windows {
			if w.Whole && w.Span.End > n.latest() && w.Span.Start < n.start.Add(leaveAhead) {
				return fmt.Sprintf("it is not there in %s%s", w.Span, because(w.Reason)), "name another host, or take the window back"
			}
		}
		return "", ""
	}},
	{name: "unreported", back: true, pass: true, fails: func(n *needs, h *proto.Host) (string, string) {
		if h.Incarnation != n.incarnation {
			return "its agent has not reported what it runs yet", "wait for it: glidepath host show " + h.Facts.Name
		}
		return "", ""
	}},
	{name: "silent", free: true, pass: true, fails: func(n *needs, h *proto.Host) (string, string) {
		if since, silent := n.planning.Silent[h.Facts.Name]; silent {
			return "its agent has been silent" + sinceThen(since), ""
		}
		return "", ""
	}},
	{name: "clock", back: true, pass: true, fails: func(_ *needs, h *proto.Host) (string, string) { return clockOf(h.Facts.Missing), "" }},
	{name: "segment", back: true, fails: func(n *needs, h *proto.Host) (string, string) {
		if segment := n.planning.source.Facts.Segment; n.address != "" && h.Facts.Segment != segment {
			return fmt.Sprintf("the address %s belongs to segment %s, the host is on %s", n.address, segment, h.Facts.Segment), "name a host on segment " + segment
		}
		return "", ""
	}},
	{name: "bulk data", back: true, fails: func(_ *needs, h *proto.Host) (string, string) {
		if h.Facts.SyncAddr == "" {
			return "its agent takes no bulk data", "see the agent's log there"
		}
		return "", ""
	}},
	{name: "controllers", back: true, fails: func(n *needs, h *proto.Host) (string, string) {
		if n.planning.instance.Spec.Mode != proto.Enforce {
			return "", ""
		}
		for _, needed := range []string{"cpu", "io", "memory"} { // its agent takes the instance with none of them missing
			if !slices.Contains(h.Facts.Controllers, needed) {
				return fmt.Sprintf("its kernel offers no %s controller: limits can't be enforced there", needed), ""
			}
		}
		return "", ""
	}},
	{name: "labels", fails: labelled},
	{name: "processor", fails: func(n *needs, h *proto.Host) (string, string) {
		if want := n.placement.CPU; want != "" && !strings.Contains(h.Facts.CPUModel, want) {
			return fmt.Sprintf("its processor is %q, the instance needs %q", h.Facts.CPUModel, want), changePlacement
		}
		return "", ""
	}},
	{name: "kernel", fails: func(n *needs, h *proto.Host) (string, string) {
		if want := n.placement.Kernel; want != "" && !proto.KernelAtLeast(h.Facts.Kernel, want) {
			return fmt.Sprintf("its kernel is %q, the instance needs %s or newer", h.Facts.Kernel, want), changePlacement
		}
		return "", ""
	}},
	{name: "capability", fails: func(n *needs, h *proto.Host) (string, string) {
		for _, want := range n.placement.Needs {
			if m, lacks := h.Facts.Lacks(want); lacks {
				return fmt.Sprintf("it lacks %s, which the instance needs", want), m.Remedy
			}
		}
		return "", ""
	}},
	{name: "disk", pass: true, fails: func(n *needs, h *proto.Host) (string, string) {
		if free, data := h.Facts.DiskFree, n.planning.Data; free > 0 && data > free { // 0: an agent that does not say
			return fmt.Sprintf("%s of data come, %s of its disk are free", resource.Format(resource.Memory, data), resource.Format(resource.Memory, free)), "make room on its disk"
		}
		return "", ""
	}},
	{name: "left", free: true, fails: func(n *needs, h *proto.Host) (string, string) {
		if m, ok := n.planning.recent.left[h.Facts.Name]; ok && n.planning.Now.Sub(m.at) < stayAway {
			return fmt.Sprintf("the instance left it %s ago with migration %s: it goes back within %s only where it is told to", roughly(n.planning.Now.Sub(m.at)), m.id, roughly(stayAway)), ""
		}
		return "", ""
	}},
	{name: "moves", free: true, pass: true, fails: func(n *needs, h *proto.Host) (string, string) {
		if going := n.moves[h.Facts.Name]; n.latest() <= n.planning.Now && going >= n.movesHost && !n.planning.queued {
			return fmt.Sprintf("%s it: the policy allows %d at once", proto.CountIs(going, "migration", "touches", "touch"), n.movesHost), ""
		}
		return "", ""
	}},
}

// latest returns the last start that there may be: a host that is back by then, or has fewer moves, is one for the start that is best.
func (n *needs) latest() timeline.Time {
	if n.planning.Request.Best {
		return max(n.start, n.planning.horizon())
	}
	return n.start
}

const changePlacement = "name another host, or change the instance's placement"

func labelled(n *needs, h *proto.Host) (string, string) {
	for _, l := range n.placement.Require {
		if !slices.Contains(h.Facts.Labels, l) {
			return fmt.Sprintf("it has no label %s=%s, which the instance needs", l.Key, l.Value), changePlacement
		}
	}
	for _, l := range n.placement.Avoid {
		if slices.Contains(h.Facts.Labels, l) {
			return fmt.Sprintf("it has the label %s=%s, which the instance avoids", l.Key, l.Value), changePlacement
		}
	}
	return "", ""
}

// needs looks up what the constraints are checked against, for a move that begins at start.
func (p *planning) needs(start timeline.Time) *needs {
	fleet := p.View.Fleet()
	n := &needs{planning: p, start: start, incarnation: fleet.Incarnation, moves: map[string]int{}, movesHost: fleet.Policy.MovesHost}
	if all := p.instance.Spec.FloatingAddresses(); len(all) > 0 {
		n.address = all[0]
	}
	if p.instance.Spec.Placement != nil {
		n.placement = *p.instance.Spec.Placement
	}
	for m := range p.View.ActiveMigrations() {
		n.moves[m.Source]++
		n.moves[m.Target]++
	}
	return n
}

// violated is a constraint that a host does not meet; its zero value is none.
type violated struct {
	constraint, why, remedy string
	passes                  bool // see constraint.pass
}

// violation returns the first constraint that a host does not meet. Who else is there, which takes a look at each of them, is asked last, by apart.
func (n *needs) violation(h *proto.Host) violated {
	p := n.planning
	for i := range constraints {
		c := &constraints[i]
		if p.back() && !c.back || p.Request.Target != "" && c.free {
			continue
		}
		if why, remedy := c.fails(n, h); why != "" {
			return violated{c.name, why, remedy, c.pass}
		}
	}
	return violated{}
}

// apart returns which instance on a host, or on its way there, the instance must be kept apart from: by its own word or by the other's.
func (p *planning) apart(host string) violated { return p.apartIn(p.View, host) }

func (p *planning) apartIn(v *state.View, host string) violated {
	if p.back() { // its slot was kept
		return violated{}
	}
	for _, other := range v.InstancesOn(host) {
		if other.Name() == p.instance.Name() {
			continue
		}
		for _, side := range [][2]proto.InstanceSpec{{p.instance.Spec, other.Spec}, {other.Spec, p.instance.Spec}} {
			if l, ok := keeps(side[0], side[1]); ok {
				return violated{"apart", fmt.Sprintf("%s is there or on its way, with the same label %s=%s: they are kept apart", other.Name(), l.Key, l.Value), changePlacement, other.Migration != ""}
			}
		}
	}
	return violated{}
}

// keeps returns the label by which one instance wants to be apart from another.
func keeps(one, other proto.InstanceSpec) (proto.Label, bool) {
	if one.Placement == nil {
		return proto.Label{}, false
	}
	for _, key := range one.Placement.Apart {
		for _, l := range one.Labels {
			if l.Key == key && slices.Contains(other.Labels, l) {
				return l, true
			}
		}
	}
	return proto.Label{}, false
}

// clockOf says what is wrong with the clock of a host that lacks these, "" if nothing is.
func clockOf(missing []proto.Missing) string {
	for _, m := range missing {
		if m.What == proto.LacksClock {
			return "its clock does not agree with the coordinators': " + m.Remedy
		}
	}
	return ""
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func sinceThen(t timeline.Time) string {
	if t == 0 {
		return ""
	}
	return " since " + t.String()
}

// roughly prints a duration as people say it.
func roughly(d time.Duration) string {
	switch {
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	case d >= time.Minute:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	default:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
}
