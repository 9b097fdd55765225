package state

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Violation is a breach of an invariant, which only a fault of this program can make.
type Violation struct {
	Invariant string // NoOversell, OneOwner, AlwaysAWayBack, ReservationsEnd or NothingLeaks
	What      string
}

// Check returns what of a view breaks an invariant.
func Check(v *View) []Violation {
	var found []Violation
	add := func(invariant, format string, args ...any) {
		found = append(found, Violation{invariant, fmt.Sprintf(format, args...)})
	}
	for _, what := range v.ledger.Check() {
		add("NoOversell", "%s", what)
	}
	addresses := map[netip.Addr]string{}
	for i := range v.Instances() {
		checkOwner(v, i, add)
		for _, p := range i.Spec.Floating() {
			if other, taken := addresses[p.Addr()]; taken {
				add("OneOwner", "%s and %s both have address %s", other, i.Name(), p.Addr())
			}
			addresses[p.Addr()] = i.Name()
		}
	}
	for m := range v.ActiveMigrations() {
		checkWayBack(v, m, add)
	}
	if n := v.active.len() + v.ended.len(); n != v.migrations.len() {
		add("NothingLeaks", "%d migrations go on or have ended, %d are kept", n, v.migrations.len())
	}
	for r := range v.Reservations() {
		checkEnd(v, r, add)
	}
	checkPlans(v, add)
	return found
}

// checkPlans holds that nothing is left of plans that have ended, that what is only asked for promises nothing, and that the tables stay small.
func checkPlans(v *View, add report) {
	live, idle, size := 0, 0, 0
	for p := range v.Plans() {
		size += p.Size
		if mayGo(p) {
			idle++
		} else {
			live++
		}
		for i, m := range p.Moves {
			if len(m.Holds) > 0 && (m.Migration != "" || !mayHold(p)) {
				add("NothingLeaks", "plan %s is %s and holds %v for move %d, migration %q", p.ID, p.Status, m.Holds, i, m.Migration)
			}
			if m.Migration != "" && p.WhatIf != nil {
				add("OneOwner", "plan %s is of a fleet that is not there, and began migration %s", p.ID, m.Migration)
			}
		}
	}
	for r := range v.Reservations() {
		if id, _, ok := strings.Cut(strings.TrimPrefix(r.ID, "plan/"), "/"); ok && strings.HasPrefix(r.ID, "plan/") {
			if p, there := v.plans.get(id); !there || !slices.ContainsFunc(p.Moves, func(m proto.Move) bool { return slices.Contains(m.Holds, r.ID) }) {
				add("NothingLeaks", "reservation %s is left of plan %s", r.ID, id)
			}
		}
	}
	if live > proto.MaxPlans || idle > proto.MaxPlansEnded || size > proto.MaxPlansSize || v.notices.len() > proto.MaxNotices {
		add("NothingLeaks", "there are %d plans of %d bytes, %d of which nothing follows, and %d notices", live+idle, size, idle, v.notices.len())
	}
}

// CheckStep returns what of the change from one view to a later one breaks an invariant.
func CheckStep(before, after *View) []Violation {
	var found []Violation
	for i := range after.Instances() {
		if i.Fence > after.applied {
			found = append(found, Violation{"OneOwner", fmt.Sprintf("%s is under fence %d after %d commands: one that is adopted later could get it, too", i.Name(), i.Fence, after.applied)})
		}
		was, ok := before.Instance(i.Name())
		if !ok {
			if i.Fence <= before.applied {
				found = append(found, Violation{"OneOwner", fmt.Sprintf("%s is adopted under fence %d: agents may have seen a higher one", i.Name(), i.Fence)})
			}
			continue
		}
		if i.Fence < was.Fence {
			found = append(found, Violation{"OneOwner", fmt.Sprintf("the fence of %s fell from %d to %d", i.Name(), was.Fence, i.Fence)})
		}
		if i.Owner != was.Owner && i.Fence == was.Fence {
			found = append(found, Violation{"OneOwner", fmt.Sprintf("the owner of %s changed under fence %d", i.Name(), i.Fence)})
		}
	}
	return found
}

type report func(invariant, format string, args ...any)

// checkOwner holds that state, phase and owner agree, so that at most one host may run the instance.
func checkOwner(v *View, i proto.Instance, add report) {
	if !v.hosts.has(i.Owner) {
		add("OneOwner", "%s is owned by %s, which is no host", i.Name(), i.Owner)
	}
	if r, ok := v.Reservation(i.Reservation); !ok || r.Instance != i.Name() || r.Host != i.Owner {
		add("NoOversell", "%s lives on %s without a reservation there", i.Name(), i.Owner)
	}
	if i.Migration == "" {
		if s := i.State; s == proto.InstanceFrozen || s == proto.InstanceStarting || s == proto.InstanceThawing {
			add("OneOwner", "%s is %s without a migration", i.Name(), s)
		}
		return
	}
	m, ok := v.Migration(i.Migration)
	if !ok || !m.Active() || m.Instance != i.Name() || m.Returning != "" {
		add("OneOwner", "%s is moved by %s, which is not its migration", i.Name(), i.Migration)
		return
	}
	type place struct {
		state proto.InstanceState
		owner string
	}
	may := map[proto.Phase][]place{
		proto.PhasePrepare: {{proto.InstanceRunning, m.Source}},
		proto.PhaseCopy:    {{proto.InstanceRunning, m.Source}},
		proto.PhaseSwitch:  {{proto.InstanceFrozen, m.Source}, {proto.InstanceStarting, m.Target}},
		proto.PhaseWarm:    {{proto.InstanceRunning, m.Target}},
		proto.PhaseSettle:  {{proto.InstanceRunning, m.Target}},
		proto.PhaseUndo:    {{proto.InstanceThawing, m.Source}, {proto.InstanceRunning, m.Source}},
	}
	for _, p := range may[m.Phase] {
		if p.state == i.State && p.owner == i.Owner {
			return
		}
	}
	add("OneOwner", "%s is %s on %s in phase %s of %s from %s to %s", i.Name(), i.State, i.Owner, m.Phase, m.ID, m.Source, m.Target)
}

// checkWayBack holds that both sides of an active migration keep their capacity, and that its instance knows it.
func checkWayBack(v *View, m proto.Migration, add report) {
	for _, side := range []struct{ host, id string }{{m.Source, m.SourceReservation}, {m.Target, m.TargetReservation}} {
		if r, ok := v.Reservation(side.id); !ok || r.Host != side.host || r.Instance != m.Instance || !r.Envelope.Open() {
			add("AlwaysAWayBack", "migration %s has no capacity kept on %s", m.ID, side.host)
		}
	}
	i, ok := v.Instance(m.Instance)
	if !ok || i.Migration != m.ID && i.Migration != m.Returning {
		add("OneOwner", "migration %s moves %s, which is moved by %q", m.ID, m.Instance, i.Migration)
	}
}

// checkEnd holds that a reservation ends, or belongs to an instance that lives on its host, and ends with its migration.
func checkEnd(v *View, r proto.Reservation, add report) {
	if r.Migration != "" && !v.active.has(r.Migration) {
		add("NothingLeaks", "reservation %s is left of migration %s", r.ID, r.Migration)
	}
	i, lives := v.Instance(r.Instance)
	switch {
	case r.Purpose == proto.PurposeSystem:
		return
	case r.Purpose == proto.PurposeInstance && lives:
		if i.Owner == r.Host {
			return
		}
		// While its target is starting, the source is the way back; during a way back, the target of the first move is.
		if m, ok := v.Migration(i.Migration); ok && (m.SourceReservation == r.ID || m.TargetReservation == r.ID) {
			return
		}
	case r.Purpose != proto.PurposeInstance && r.End() < timeline.Forever:
		return
	}
	add("ReservationsEnd", "reservation %s on %s never ends", r.ID, r.Host)
}
