package service

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/proto"
)

// guardTime is how long systemd may take to start a guard.
const guardTime = 10 * time.Second

// guardUnit is the unit of an instance's guard. Units that begin with glidepath- are put away when the agent starts; this one has to outlive it.
func guardUnit(instance string) string { return "glidepath_guard-" + instance + ".service" }

// guard makes sure that an instance for which this host is the target ends with its permit, whatever becomes of this agent. A guard that is there stays.
// While it does, systemd keeps the instance's unit loaded: nothing else wants it here yet, and it would read the unit's files again whenever it is asked for it.
func (d *Driver) guard(ctx context.Context, r fence.Record) error {
	instance := r.Instance
	// systemd is asked only where it has to do something: clients wait.
	if guarded, err := d.populated(filepath.Join("system.slice", guardUnit(instance))); err == nil && guarded {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, guardTime)
	defer cancel()
	err := d.Systemd.StartTransient(ctx, systemd.RunSpec{
		Unit: guardUnit(instance), Description: "Glidepath: ends " + instance + " if it outlives its permit",
		Command: literal(append(slices.Clone(d.Guard), instance)), User: "root", Before: []string{unit(r)},
	})
	if err != nil {
		return &proto.Fault{
			Code: proto.FaultFailed, What: fmt.Sprintf("host %s can't start what guards instance %s while it starts: %v", d.Host, instance, err),
			Remedy: "see journalctl -u " + guardUnit(instance) + " there",
		}
	}
	return nil
}

// unguard ends a guard, which ends by itself a second after its record says that there is nothing to guard.
func (d *Driver) unguard(ctx context.Context, instance string) error {
	if err := d.Systemd.Stop(ctx, guardUnit(instance)); err != nil && !errors.Is(err, systemd.ErrNoUnit) {
		return err
	}
	return nil
}
