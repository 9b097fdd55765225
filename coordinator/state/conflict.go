package state

import (
	"fmt"

	"github.com/glidepath/glidepath/proto"
)

// maxConflicts is how many contradictions of one host are told. One is enough to keep the host from being operated.
const maxConflicts = 64

// Contradictions returns where what a host's agent reports and what the tables say can't both be right, sorted as the report is and then by
// instance. It is asked when an agent reports to a new incarnation: tables from a backup don't have the decisions that came after it, and acting on them
// could make a second owner, or give away what has served clients.
func (v *View) Contradictions(host string, held []proto.Holding) []proto.Conflict {
	var out []proto.Conflict
	add := func(instance string, blocks bool, format string, args ...any) {
		if len(out) < maxConflicts {
			out = append(out, proto.Conflict{Instance: instance, What: fmt.Sprintf(format, args...), Blocks: blocks})
		}
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
				add(h.Instance, false, "%s holds it as %s, and the tables don't know it: adopt it again", host, h.State)
			}
			continue
		}
		if what := v.contradicts(host, i, h); what != "" {
			add(h.Instance, true, "%s", what)
		}
	}
	for i := range v.Instances() {
		if i.Owner == host && !there[i.Name()] && i.State != proto.InstanceAdopting && i.State != proto.InstanceReleasing {
			add(i.Name(), true, "by the tables %s is its owner, and its agent holds nothing of it", host)
		}
	}
	return out
}

func runs(h proto.Holding) bool {
	return h.Running || h.State == proto.FenceOwner || h.State == proto.FenceStarting
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
