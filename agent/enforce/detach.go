package enforce

import (
	"context"
	"errors"
	"fmt"
)

// Lift takes all limits of instances off at once and keeps them off, drop-ins included, until Attach says otherwise. Their programs go on counting.
func (e *Enforcer) Lift(ctx context.Context, instances ...string) error {
	var failed error
	for _, name := range instances { // the files first: that is what is felt
		t, err := e.target(name)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		t.mu.Lock()
		if err := e.locate(ctx, t); err == nil {
			failed = errors.Join(failed, e.lift(ctx, t))
		}
		t.mu.Unlock()
	}
	for _, name := range instances {
		t, err := e.target(name)
		if err != nil {
			continue
		}
		off := t.Target
		off.Limited = false
		_, err = e.Attach(ctx, off)
		failed = errors.Join(failed, err)
	}
	return failed
}

// Detach takes an instance's limits and programs off and forgets it. The drop-in that asks whether the unit may run stays, without limits: Release
// removes it. The last instance that goes takes fq off the device.
func (e *Enforcer) Detach(ctx context.Context, instance string) error {
	t, err := e.target(instance)
	if err != nil {
		return err
	}
	if err := e.Lift(ctx, instance); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if t = e.targets[instance]; t == nil {
		return nil
	}
	if t.Unit != "" {
		// Out of the drop-in before they are unpinned: without them the unit would not start.
		changed, err := e.removeDropIn(e.cfg.RunUnitDir, t.Unit, netDropInName)
		if err != nil {
			return err
		}
		if changed {
			if err := e.bus.Reload(ctx); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(t.pacer.Close(), e.net.remove(instance)); err != nil {
		return fmt.Errorf("detach %s: %w", instance, err)
	}
	delete(e.targets, instance)
	return e.unpaceUnused()
}

// Release detaches an instance and restores its unit: no file of ours remains.
func (e *Enforcer) Release(ctx context.Context, t Target) error {
	if _, err := e.target(t.Instance); err == nil {
		if err := e.Detach(ctx, t.Instance); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.Unit == "" {
		return nil
	}
	net, err := e.removeDropIn(e.cfg.RunUnitDir, t.Unit, netDropInName)
	if err != nil {
		return err
	}
	ours, err := e.removeDropIn(e.cfg.UnitDir, t.Unit, dropInName)
	if err != nil {
		return err
	}
	if net || ours {
		if err := e.bus.Reload(ctx); err != nil {
			return err
		}
	}
	return e.net.remove(t.Instance)
}

// unpaceUnused takes fq off the device when no instance is limited any more.
func (e *Enforcer) unpaceUnused() error {
	for _, t := range e.targets {
		if t.Limited {
			return nil
		}
	}
	if e.cfg.Device == "" {
		return nil
	}
	return e.net.unpace(e.cfg.Device)
}
