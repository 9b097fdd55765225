package enforce

import (
	"context"
	"errors"
	"fmt"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
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
	return e.detach(ctx, t.Target, false)
}

// Release detaches an instance and restores its unit: no file of ours remains. It works as well for an instance that is not attached.
func (e *Enforcer) Release(ctx context.Context, t Target) error { return e.detach(ctx, t, true) }

func (e *Enforcer) detach(ctx context.Context, was Target, release bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.targets[was.Instance]
	if t == nil {
		t = &target{Target: was}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Limited = false
	if err := errors.Join(e.liftHeld(ctx, t), e.dropOut(ctx, t, release)); err != nil {
		return fmt.Errorf("detach %s: %w", t.Instance, err)
	}
	if t.pacer != nil {
		if err := t.pacer.Close(); err != nil {
			return fmt.Errorf("detach %s: %w", t.Instance, err)
		}
	}
	delete(e.targets, t.Instance)
	return errors.Join(e.net.remove(t.Instance), e.unpaceUnused())
}

// liftHeld lifts the limits of a target that is attached and runs.
func (e *Enforcer) liftHeld(ctx context.Context, t *target) error {
	if t.pacer == nil {
		return nil
	}
	err := e.locate(ctx, t)
	if errors.Is(err, ErrNotRunning) || errors.Is(err, systemd.ErrNoUnit) {
		return nil
	}
	if err != nil {
		return err
	}
	return e.lift(ctx, t)
}

// dropOut takes the programs out of the unit's drop-ins, before they are unpinned: without them the unit would not start. What asks may-run
// goes, too, where the unit is released.
func (e *Enforcer) dropOut(ctx context.Context, t *target, release bool) error {
	if t.Unit == "" {
		return nil
	}
	err := e.removeDropIn(e.cfg.RunUnitDir, t.Unit, netDropInName)
	switch {
	case err != nil:
	case release:
		err = e.removeDropIn(e.cfg.UnitDir, t.Unit, dropInName)
	default:
		err = e.writeDropIn(e.cfg.UnitDir, t.Unit, dropInName, dropIn(t.Target, t.disks, e.cfg.AgentUnit, e.cfg.MayRun))
	}
	if err != nil {
		return err
	}
	return e.reload(ctx)
}

// unpaceUnused takes fq off the device when no instance's traffic is limited any more. The caller holds e.mu.
func (e *Enforcer) unpaceUnused() error {
	for _, t := range e.targets {
		if t.paced() {
			return nil
		}
	}
	if e.cfg.Device == "" {
		return nil
	}
	return e.net.unpace(e.cfg.Device)
}
