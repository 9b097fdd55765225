package state

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Holder is a host whose agent's report holds an instance: it contradicts what the tables say of it.
type Holder struct {
	Host string
	proto.Conflict
}

// Held returns the hosts whose reports hold an instance, sorted; none where it is operated.
func (v *View) Held(instance string) []Holder {
	var out []Holder
	v.eachHolder(func(h Holder) {
		if h.Instance == instance {
			out = append(out, h)
		}
	})
	return out
}

// eachHolder calls f with every conflict that holds an instance, sorted by host.
func (v *View) eachHolder(f func(Holder)) {
	v.conflicted.rows.Ascend(func(r row[struct{}]) bool {
		h, _ := v.hosts.get(r.key)
		for _, c := range h.Conflicts {
			if c.Holds {
				f(Holder{r.key, c})
			}
		}
		return true
	})
}

// noteHost keeps which hosts hold instances.
func (v *View) noteHost(h proto.Host) {
	if slices.ContainsFunc(h.Conflicts, func(c proto.Conflict) bool { return c.Holds }) {
		v.conflicted.put(h.Facts.Name, struct{}{})
	} else {
		v.conflicted.drop(h.Facts.Name)
	}
}

// HeldBecause says why nothing is done with an instance before somebody decides who may run it; "" where it is operated.
func (v *View) HeldBecause(instance string) string {
	var said []string
	for _, h := range v.Held(instance) {
		said = append(said, fmt.Sprintf("%s reports otherwise than the tables say: %s", h.Host, h.What))
	}
	return strings.Join(said, "; ")
}

// waitsFor says for which host's report the migration of an instance waits; "" for none.
func (v *View) waitsFor(i proto.Instance) string {
	m, moving := v.migrations.get(i.Migration)
	if !moving {
		return ""
	}
	return cmp.Or(v.Reported(m.Source), v.Reported(m.Target))
}

// operated refuses what would be decided on an instance that is held.
func (x *tx) operated(instance string) proto.Result {
	if why := x.HeldBecause(instance); why != "" {
		return refused("instance %s is held: %s. Decide first who may run it: see glidepath status", instance, why)
	}
	return done()
}

// Reported returns why a host is not operated yet: its agent has not told this incarnation of the control plane what it runs. "" where it has, or there is no
// such host.
func (v *View) Reported(host string) string {
	h, known := v.hosts.get(host)
	if !known || h.Incarnation == v.fleet.Incarnation {
		return ""
	}
	return fmt.Sprintf("host %s has not yet reported what it runs to incarnation %d: it is not operated before; is its agent running?", host, v.fleet.Incarnation)
}

// takenByHeld returns what instances that are held take of a host while nothing is reserved for them there.
func takenByHeld(h proto.Host) timeline.Profile {
	var sum resource.Vector
	for _, c := range h.Conflicts {
		sum = sum.Add(c.Takes)
	}
	if sum.IsZero() {
		return nil
	}
	return timeline.Flat(timeline.Span{End: timeline.Forever}, sum)
}

// heldDoubts returns the doubts about instances that are held, those that the tables don't know among them.
func (v *View) heldDoubts() map[string]Doubt {
	holders := map[string][]Holder{}
	v.eachHolder(func(h Holder) { holders[h.Instance] = append(holders[h.Instance], h) })
	out := make(map[string]Doubt, len(holders))
	for name, by := range holders {
		i, known := v.instances.get(name)
		d := Doubt{Instance: name, Migration: i.Migration, Since: v.fleet.RaisedAt, Known: v.HeldBecause(name)}
		var there []string
		for _, h := range by {
			if host, _ := v.hosts.get(h.Host); d.Since < host.JoinedAt {
				d.Since = host.JoinedAt
			}
			if h.There {
				there = append(there, h.Host)
			}
		}
		d.Known += "; nothing is done with it, on any host"
		if len(there) > 0 {
			d.Known += ", and on " + strings.Join(there, " and ") + " it keeps its limits, and what it may take"
		}
		if known {
			d.Decide = append(d.Decide, "if the agents are right, have the tables forget it: glidepath instance forget "+name)
		}
		again := "adopt it again where its data are"
		if len(there) > 0 {
			again = "adopt it again on " + strings.Join(there, " or ")
		}
		if known {
			again = "then " + again
		}
		d.Decide = append(d.Decide, again+": glidepath instance apply -f FILE")
		out[name] = d
	}
	return out
}

// InDoubt returns the instances that are in doubt at a time, sorted by name.
func (v *View) InDoubt(now timeline.Time) []Doubt {
	held := v.heldDoubts()
	var out []Doubt
	for i := range v.Instances() {
		if _, is := held[i.Name()]; is {
			continue // whatever else it waits for, that comes first
		}
		if d, ok := v.doubt(i, now); ok {
			out = append(out, d)
		}
	}
	out = slices.AppendSeq(out, maps.Values(held))
	slices.SortFunc(out, func(a, b Doubt) int { return cmp.Compare(a.Instance, b.Instance) })
	return out
}

// instanceForget takes an instance out of the tables that agents' reports contradict. What a host reports to run is held on, as what the tables don't know, until it
// is adopted there.
func (x *tx) instanceForget(b *proto.InstanceForget) proto.Result {
	i, ok := x.instances.get(b.Instance)
	if !ok {
		return missing("instance", b.Instance)
	}
	if err := text("reason", b.Reason); err != nil {
		return invalid("%s", err)
	}
	if i.Fence != b.Fence {
		return stale("instance %s is under fence %d, the decision was made on %d: another one was first", i.Name(), i.Fence, b.Fence)
	}
	holders := x.Held(b.Instance)
	if len(holders) == 0 && x.waitsFor(i) == "" {
		return refused("instance %s is not held, no agent contradicts the tables: give it back with `glidepath instance release %s`", i.Name(), i.Name())
	}
	if !b.Unreported && !slices.ContainsFunc(holders, func(h Holder) bool { return h.There }) {
		// Whoever has not reported may run it, and would find it adopted elsewhere.
		for h := range x.hosts.all() {
			if why := x.Reported(h.Facts.Name); why != "" {
				return refused("no host that has reported runs instance %s, and one that has not may: %s If it and all others that have not are off for good, use --unreported", i.Name(), why)
			}
		}
	}
	for k := range holders { // what was reserved for it goes, and it stays
		by := &holders[k]
		if r, reserved := x.ReservationOf(b.Instance, by.Host); reserved && by.There {
			by.Takes = by.Takes.Add(alone(r, x.fleet.Policy.Z))
		}
	}
	reason := "the instance was forgotten: agents reported otherwise than the tables said"
	if b.Reason != "" {
		reason += ": " + b.Reason
	}
	if r := x.forget(b.Instance, reason); !r.OK() {
		return r
	}
	for _, by := range holders {
		h, _ := x.hosts.get(by.Host)
		h.Conflicts = without(h.Conflicts, b.Instance)
		if by.There {
			by.What = fmt.Sprintf("by its agent it runs on %s, and the tables don't know it any more: adopt it again", by.Host)
			h.Conflicts = append(h.Conflicts, by.Conflict)
		}
		if err := x.ledger.SetHost(capacity(h, x.fleet.Policy)); err != nil {
			return invalid("%s", err)
		}
		x.putHost(h)
	}
	return done()
}

// takeOver makes the first reservation of an instance, in the place of what it takes of its host as long as that host's report holds it. No report does then.
func (x *tx) takeOver(instance string, c ledger.Change) proto.Result {
	holders, before := x.Held(instance), x.ledger
	if len(holders) > 0 {
		x.ledger = x.ledger.Clone()
	}
	for _, by := range holders {
		h, _ := x.hosts.get(by.Host)
		h.Conflicts = without(h.Conflicts, instance)
		if err := x.ledger.SetHost(capacity(h, x.fleet.Policy)); err != nil {
			x.ledger = before
			return invalid("%s", err)
		}
	}
	if r := x.reserve(c); !r.OK() {
		x.ledger = before
		return r
	}
	for _, by := range holders {
		h, _ := x.hosts.get(by.Host)
		h.Conflicts = without(h.Conflicts, instance)
		x.putHost(h)
	}
	return done()
}

// without returns conflicts but for those that hold an instance.
func without(list []proto.Conflict, instance string) []proto.Conflict {
	return slices.DeleteFunc(slices.Clone(list), func(c proto.Conflict) bool { return c.Holds && c.Instance == instance })
}

// adoptable refuses to adopt an instance that another host may run: agents' reports hold it, whether or not the tables know it.
func (x *tx) adoptable(s proto.InstanceSpec) proto.Result {
	for _, h := range x.Held(s.Name) {
		if h.There && h.Host != s.Host {
			return refused("instance %s runs on %s by that host's agent: adopt it there; if it does not, the agent says so within a minute", s.Name, h.Host)
		}
	}
	return done()
}
