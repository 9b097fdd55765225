package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

// Recover implements instance.Driver. What fails for one instance does not keep the others from being looked after; Run tries it again.
func (d *Driver) Recover(ctx context.Context) error {
	now, err := fence.Now()
	if err != nil {
		return err
	}
	if _, err := d.Fence.Recover(now); err != nil {
		return err
	}
	// What a crash left of unfinished notes; the retention folder is not the agent's own, so nobody else sweeps it.
	if _, err := durable.Sweep(d.Files, retainedDir(d.KeepDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Log.Warn("unfinished notes of what is retained could not be removed", "error", err)
	}
	d.settle(ctx)
	return nil
}

// settle compares what this host does with its records, and mends it. Instances that an operation is working on are left to it.
func (d *Driver) settle(ctx context.Context) {
	for _, r := range d.Fence.List() {
		if r.Spec.Service == nil {
			continue // refused before anything of it was here
		}
		lock := d.lock(r.Instance)
		if !lock.TryLock() {
			continue
		}
		if err := d.settleOne(ctx, r.Instance); err != nil {
			d.Log.Error("an instance is not as its ownership record says", "instance", r.Instance, "state", r.State, "error", err)
		}
		lock.Unlock()
	}
}

func (d *Driver) settleOne(ctx context.Context, instance string) error {
	r := d.Fence.Get(instance)
	switch r.State {
	case proto.FenceOwner:
		return d.announced(ctx, r)
	case proto.FenceStarting:
		return nil // its keeper looks after it
	case proto.FenceNone:
		return nil
	}
	for _, p := range r.Spec.Floating() {
		at, err := d.Addresses.Place(p)
		if err != nil {
			return err
		}
		if at != address.Nowhere {
			d.Log.Warn("an address is here that this host does not own; it is removed", "instance", instance, "address", p)
			if err := d.Addresses.Remove(p); err != nil {
				return err
			}
		}
	}
	u, err := d.Systemd.Brief(ctx, unit(r))
	if errors.Is(err, systemd.ErrNoUnit) {
		return nil
	}
	if err != nil {
		return err
	}
	// One that still asks whether it may start is about to hear that it may not: stopping it would make the start fail, instead
	// of being skipped with the reason in the unit's journal.
	if u.Running() && !u.Asking() {
		d.Log.Warn("a unit runs here that may not; it is stopped", "instance", instance, "unit", u.Name, "state", r.State)
		s, _, err := d.load(instance)
		if err != nil {
			return err
		}
		return errors.Join(d.stopCompanions(ctx, s.Companions), d.stop(ctx, u.Name))
	}
	return nil
}

// announced puts the addresses of an instance that this host owns back, after a reboot above all.
func (d *Driver) announced(ctx context.Context, r fence.Record) error {
	var missing []netip.Prefix
	for _, p := range r.Spec.Floating() {
		at, err := d.Addresses.Place(p)
		if err != nil {
			return err
		}
		if at != address.Announced {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return d.Addresses.Take(ctx, missing, func() error {
		if now := d.Fence.Get(r.Instance); now.State != proto.FenceOwner {
			return fmt.Errorf("instance %s is %s meanwhile", r.Instance, now.State)
		}
		return nil
	})
}

// Holdings implements instance.Driver.
func (d *Driver) Holdings(ctx context.Context) ([]proto.Holding, error) {
	records := d.Fence.List()
	var units []string
	for _, r := range records {
		if name := unit(r); name != "" {
			units = append(units, name)
		}
	}
	running, err := d.Systemd.Running(ctx, units)
	if err != nil {
		return nil, fmt.Errorf("what runs here: %w", err)
	}
	var out []proto.Holding
	for _, r := range records {
		out = append(out, r.Holding(running[unit(r)]))
	}
	return out, nil
}
