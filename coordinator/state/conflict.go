package state

import (
	"fmt"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// maxConflicts is how many contradictions of one host are kept. With more of them the host is not operated: not all that is in doubt could be held.
const maxConflicts = 256

// Contradictions returns where what a host's agent reports and what the tables say can't both be right, sorted as the report is and then by
// instance. It is asked when an agent reports to a new incarnation: tables from a backup don't have the decisions that came after it, and acting on them
// could make a second owner, or give away what has served clients. Hold or Block says what follows from them.
func (v *View) Contradictions(host string, held []proto.Holding) []proto.Conflict {
	var out []proto.Conflict
	add := func(h proto.Holding, known bool, format string, args ...any) {
		if len(out) > maxConflicts { // enough to tell that they are too many
			return
		}
		c := proto.Conflict{Instance: h.Instance, What: fmt.Sprintf(format, args...), Blocks: known, There: runs(h)}
		if c.There {
			c.Takes = v.takes(host, h)
		}
		out = append(out, c)
	}
	there := map[string]bool{}
	for _, h := range held {
		if proto.ValidName("instance", h.Instance) != nil {
			continue // nothing in the tables can be of that name
		}
		there[h.Instance] = true
		i, known := v.Instance(h.Instance)
		if !known {
			if runs(h) || h.State == proto.FenceFrozen {
				add(h, false, "%s holds it as %s, and the tables don't know it: adopt it again", host, h.State)
			}
			continue
		}
		if what := v.contradicts(host, i, h); what != "" {
			add(h, true, "%s", what)
		}
	}
	for i := range v.Instances() {
		if i.Owner == host && !there[i.Name()] && i.State != proto.InstanceAdopting && i.State != proto.InstanceReleasing {
			add(proto.Holding{Instance: i.Name()}, true, "by the tables %s is its owner, and its agent holds nothing of it", host)
		}
	}
	return out
}

// Hold returns contradictions as those that hold each its instance: nothing is done with it before somebody decides, and the host is operated. Those that are
// too many to be kept block the host.
func Hold(found []proto.Conflict) []proto.Conflict {
	out := make([]proto.Conflict, 0, min(len(found), maxConflicts))
	for _, c := range found[:min(len(found), maxConflicts)] {
		if c.Blocks, c.Holds = false, true; len(found) > maxConflicts {
			c = proto.Conflict{Instance: c.Instance, What: c.What, Blocks: true}
		}
		out = append(out, c)
	}
	return out
}

// Block returns contradictions as coordinators know them that can't hold a single instance: one of an instance that the tables know blocks the whole host.
func Block(found []proto.Conflict) []proto.Conflict {
	out := make([]proto.Conflict, 0, min(len(found), maxConflicts))
	for _, c := range found[:min(len(found), maxConflicts)] {
		out = append(out, proto.Conflict{Instance: c.Instance, What: c.What, Blocks: c.Blocks || len(found) > maxConflicts})
	}
	return out
}

// Remaining returns which conflicts of a host that has reported are left by its newest report. What is not held is operated, and its records and the tables may
// differ for a moment: such differences are no new conflicts. Conflicts that hold nothing stay, and tell what was found.
func Remaining(known, found []proto.Conflict) []proto.Conflict {
	now := map[string]proto.Conflict{}
	for _, c := range found {
		now[c.Instance] = c
	}
	var out []proto.Conflict
	for _, c := range known {
		if !c.Holds {
			out = append(out, c)
		} else if next, still := now[c.Instance]; still {
			next.Blocks, next.Holds = false, true
			if next.There { // what the tables reserved for it may be forgotten since
				next.Takes = next.Takes.Max(c.Takes)
			}
			out = append(out, next)
		}
	}
	return out
}

func runs(h proto.Holding) bool {
	return h.Running || h.State == proto.FenceOwner || h.State == proto.FenceStarting
}

// takes returns what an instance may take on a host where it is in conflict, beyond what is reserved for it there: by its agent's document or, as far as that says
// nothing, by what the tables have reserved for it where they have it.
func (v *View) takes(host string, h proto.Holding) resource.Vector {
	i, _ := v.Instance(h.Instance)
	elsewhere, _ := v.Reservation(i.Reservation)
	most := alone(elsewhere, v.fleet.Policy.Z)
	for k, n := range h.Granted {
		if n > 0 && n < resource.Unlimited {
			most[k] = n
		}
	}
	here, _ := v.ReservationOf(h.Instance, host)
	return most.Sub(alone(here, v.fleet.Policy.Z))
}

// alone returns the most that a reservation holds at any time, if it shares with nobody.
func alone(r proto.Reservation, z int64) resource.Vector {
	var most resource.Vector
	for _, s := range r.Envelope {
		for k := range most {
			deviation := s.Own[k] + s.Common[k]
			n := s.Firm[k] + s.Mean[k] + deviation/1000*z + deviation%1000*z/1000
			most[k] = max(most[k], min(n, resource.Unlimited))
		}
	}
	return most
}

// contradicts says why a host can't hold an instance as it does, by the tables; "" when it can.
func (v *View) contradicts(host string, i proto.Instance, h proto.Holding) string {
	m, moving := v.Migration(i.Migration)
	if !moving || m.Source != host && m.Target != host {
		switch {
		case i.Owner == host && h.State != proto.FenceOwner && i.State != proto.InstanceAdopting && i.State != proto.InstanceReleasing:
			return fmt.Sprintf("by the tables %s is its owner, and its agent holds it as %q", host, h.State)
		case i.Owner != host && (runs(h) || h.State == proto.FenceFrozen):
			return fmt.Sprintf("by the tables %s is its owner, and %s holds it as %q", i.Owner, host, h.State)
		}
		return ""
	}
	switch {
	case h.Fence > i.Fence:
		return fmt.Sprintf("its agent has seen fence %d, and the tables have %d: something was decided on it that they don't know", h.Fence, i.Fence)
	case i.State == proto.InstanceStarting && i.Owner == host && h.State == proto.FenceOwner:
		return "by the tables it is starting, and its agent has it confirmed: clients may have been served there"
	case i.State == proto.InstanceRunning && i.Owner == host && h.State != proto.FenceOwner:
		return fmt.Sprintf("by the tables it runs on %s, and its agent holds it as %q", host, h.State)
	case i.Owner != host && runs(h):
		return fmt.Sprintf("by the tables %s is its owner, and %s holds it as %q", i.Owner, host, h.State)
	}
	return ""
}

// Blocked reports whether any of the conflicts keeps its host from being operated.
func Blocked(list []proto.Conflict) bool {
	for _, c := range list {
		if c.Blocks {
			return true
		}
	}
	return false
}
