package state

import (
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/proto"
)

// Squeeze proposes who yields for a change that is made for somebody of a class, for an Admit: see ledger.Ledger.Squeeze. What
// belongs to an instance that moves is left alone.
func (v *View) Squeeze(c ledger.Change, by proto.Class) (ledger.Yielded, error) {
	return v.ledger.Squeeze(c, by, func(r proto.Reservation) bool { return !v.moves(r) })
}

// Remedies proposes what would end the shortages of a host: see ledger.Ledger.Remedies. Instances that move already are left alone.
func (v *View) Remedies(host string) ledger.Remedy {
	return v.ledger.Remedies(host, func(r proto.Reservation) bool { return !v.moves(r) })
}

// WithWindow returns the state in which a host has another window, and is short where that makes it so: for asking who would be in
// the way. Like that of With it is no more than a clone of v.
func (v *View) WithWindow(host string, w proto.CapacityWindow) (*View, error) {
	h, ok := v.hosts.get(host)
	if !ok {
		return nil, fmt.Errorf("there is no host %q: see them with glidepath host list", host)
	}
	c := v.clone()
	h.Windows = append(slices.DeleteFunc(slices.Clone(h.Windows), func(o proto.CapacityWindow) bool { return o.ID == w.ID }), w)
	if err := c.ledger.SetHost(capacity(h, c.fleet.Policy)); err != nil {
		return nil, err
	}
	c.hosts.put(host, h)
	return c, nil
}

// WithoutWindow is as WithWindow, for windows of the host that are taken back.
func (v *View) WithoutWindow(host string, ids ...string) (*View, error) {
	h, ok := v.hosts.get(host)
	if !ok {
		return nil, fmt.Errorf("there is no host %q: see them with glidepath host list", host)
	}
	c := v.clone()
	h.Windows = slices.DeleteFunc(slices.Clone(h.Windows), func(o proto.CapacityWindow) bool { return slices.Contains(ids, o.ID) })
	if err := c.ledger.SetHost(capacity(h, c.fleet.Policy)); err != nil {
		return nil, err
	}
	c.hosts.put(host, h)
	return c, nil
}

// moves reports whether a reservation belongs to an instance that has a migration.
func (v *View) moves(r proto.Reservation) bool {
	i, ok := v.instances.get(r.Instance)
	return ok && i.Migration != ""
}
