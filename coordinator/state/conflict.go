package state

import (
	"fmt"
	"slices"

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
		} else if _, there := v.Migration(h.Migration); !there && (h.State == proto.FenceTarget || h.State == proto.FenceRefused) {
			add(h.Instance, false, "%s holds a copy of it by migration %s, which the tables don't know: it can't become its target again before its record and what was copied are removed there", host, h.Migration)
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
		case i.Owner != host && !runs(h) && h.Fence < i.Fence && v.owesRetirement(host, h):
			return "" // it has been away, and hears what it missed
		case i.Owner != host && (runs(h) || h.State == proto.FenceFrozen):
			return fmt.Sprintf("by the tables %s is its owner, and %s holds it as %q", i.Owner, host, h.State)
		}
		return ""
	}
	switch {
	case m.Loss && host == m.Target && h.Fence < i.Fence && m.Phase == proto.PhaseUndo:
		return "" // it was given up before the backup, and is stopped as soon as it is there
	case h.Fence > i.Fence:
		return fmt.Sprintf("its agent has seen fence %d, and the tables have %d: something was decided on it that they don't know", h.Fence, i.Fence)
	case i.State == proto.InstanceStarting && i.Owner == host && h.State == proto.FenceOwner:
		return "by the tables it is starting, and its agent has it confirmed: clients may have been served there"
	case i.State == proto.InstanceRunning && i.Owner == host && h.State != proto.FenceOwner:
		return fmt.Sprintf("by the tables it runs on %s, and its agent holds it as %q", host, h.State)
	case i.Owner == host && !m.Loss && (i.State == proto.InstanceFrozen || i.State == proto.InstanceThawing) && h.State != proto.FenceOwner && h.State != proto.FenceFrozen:
		return fmt.Sprintf("by the tables it is %s there, and its agent holds it as %q: it may have been given away", i.State, h.State)
	case i.Owner != host && runs(h):
		return fmt.Sprintf("by the tables %s is its owner, and %s holds it as %q", i.Owner, host, h.State)
	}
	return ""
}

// owesRetirement reports whether a host has still to hear that what it holds was given away by a migration that has ended.
func (v *View) owesRetirement(host string, h proto.Holding) bool {
	m, known := v.Migration(h.Migration)
	return known && !m.Active() && slices.ContainsFunc(m.Operations, func(o proto.OperationRecord) bool {
		return o.Kind == proto.OpRetire && o.Host == host && o.Result == nil
	})
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
