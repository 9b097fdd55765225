package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/proto"
)

// GiveUp stops what this host owns, for good: it was taken out of the fleet, and its instances may run elsewhere. Their data are retained, as those of
// instances that moved away are. What fails for one does not keep the others; it is done again by the next call.
func (d *Driver) GiveUp(ctx context.Context) error {
	var failed []error
	for _, r := range d.Fence.List() {
		if r.Spec.Service == nil {
			continue
		}
		if err := d.giveUp(ctx, r.Instance); err != nil {
			failed = append(failed, fmt.Errorf("give up instance %s: %w", r.Instance, err))
		}
	}
	return errors.Join(failed...)
}

func (d *Driver) giveUp(ctx context.Context, instance string) error {
	lock := d.lock(instance)
	lock.Lock()
	defer lock.Unlock()
	before := d.Fence.Get(instance)
	r, err := d.Fence.Change(instance, func(r fence.Record) (fence.Record, error) { return r.GiveUp(), nil })
	if err != nil {
		return err
	}
	if !r.TakenOut {
		return nil
	}
	if before.State != r.State {
		d.Log.Warn("this host was taken out of the fleet: an instance that it owned is stopped here, and its data are retained", "instance", instance)
	}
	j := &job{Driver: d, op: proto.Operation{Kind: proto.OpRetire, Instance: instance}, began: time.Now()}
	return j.putAway(ctx, r, fmt.Sprintf("taken-out-%d", r.Token.Fence))
}
