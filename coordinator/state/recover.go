package state

import (
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Recovery says how exported tables become those of a fleet that begins anew with one coordinator.
type Recovery struct {
	By     proto.Coordinator // the one coordinator
	At     timeline.Time
	Reason string
	Forget []string     // instances that the tables must not speak of any more
	Token  *proto.Token // one more token; nil for none
}

// Recover makes s the beginning of a new life of the control plane. The coordinators of before are taken out, whoever they were: they are
// refused until they join again. Every host gets the one coordinator as its home, and is not operated before its agent has reported. It is for tables that no
// log follows.
func (s *State) Recover(r Recovery) error {
	x := &tx{View: s.view, actor: "restore"}
	if x.fleet.ID == "" {
		return fmt.Errorf("there is no fleet in what is restored")
	}
	x.now = max(x.now, r.At)
	for _, name := range r.Forget {
		if err := x.forget(name); err != nil {
			return err
		}
	}
	f := x.fleet
	f.Removed = slices.Clone(f.Removed)
	for _, c := range slices.Collect(x.coordinators.all()) {
		if c.Identity != "" {
			f.Removed = append(f.Removed, c.Identity)
		}
		x.coordinators.drop(c.Name)
	}
	f.Removed = f.Removed[max(0, len(f.Removed)-removedKept):]
	// Not the next number: the same backup may be restored twice, and agents that reported to the first attempt must not take the second one for it.
	f.Incarnation = max(f.Incarnation+1, uint64(x.now.Std().Unix()))
	f.RaisedAt, f.RaisedFor = x.now, r.Reason
	x.putFleet(f)
	if result := x.coordinatorPut(&proto.CoordinatorPut{Coordinator: r.By}); !result.OK() {
		return result.Err()
	}
	for _, h := range slices.Collect(x.hosts.all()) {
		h.Home, h.Standby, h.Conflicts = r.By.Name, "", nil
		x.putHost(h)
	}
	if r.Token != nil {
		if result := x.tokenCreate(&proto.TokenCreate{Token: *r.Token}); !result.OK() {
			return result.Err()
		}
	}
	x.applied++
	return nil
}

// forget drops an instance with all that is reserved for it, and ends its migrations.
func (x *tx) forget(name string) error {
	if !x.instances.has(name) {
		return fmt.Errorf("there is no instance %q in what is restored: leave it out", name)
	}
	for _, m := range slices.Collect(x.migrations.all()) {
		if m.Instance == name && m.Active() {
			x.end(m, proto.OutcomeFailed, "the instance was forgotten when the fleet was restored from a backup")
		}
	}
	var ids []string
	for r := range x.ledger.Reservations() {
		if r.Instance == name {
			ids = append(ids, r.ID)
		}
	}
	if result := x.reserve(ledger.Change{Release: ids}); !result.OK() {
		return result.Err()
	}
	x.instances.drop(name)
	return nil
}
