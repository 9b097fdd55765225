package service

import (
	"context"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// ThawRefused lets a frozen source go on because the target has said, over the direct link between the two hosts, that it
// has durably refused every token up to the given one. It is for a source that the coordinators don't reach; who calls it
// has authenticated the target as the operation's peer.
func (d *Driver) ThawRefused(ctx context.Context, instance, migration string, refused fence.Token) error {
	lock := d.lock(instance)
	lock.Lock()
	defer lock.Unlock()
	j := &job{Driver: d, op: proto.Operation{Kind: proto.OpThaw, Instance: instance, Migration: migration}, began: time.Now()}
	return j.thaw(ctx, func(r fence.Record, _ fence.Request) (fence.Record, error) {
		if r.State == proto.FenceOwner && r.Migration == migration { // begun before
			return r, nil
		}
		return r.ThawRefused(migration, refused)
	})
}

// Refused answers a source that asks, over the direct link, whether this host can still start the instance in the
// migration under the token, or under an older one. It returns what this host has durably refused, once nothing of the
// instance runs here; the zero token when it has not refused that. A prepared target refuses now, if it is the migration's own source that asks.
func (d *Driver) Refused(ctx context.Context, q fence.Request, bySource bool) (fence.Token, proto.FenceState, error) {
	if err := fence.CheckName(q.Instance); err != nil {
		return fence.Token{}, "", err
	}
	lock := d.lock(q.Instance)
	if !lock.TryLock() {
		return fence.Token{}, "", wire.Errorf(wire.Unavailable, "host %s is working on instance %s: ask again", d.Host, q.Instance)
	}
	defer lock.Unlock()
	r := d.Fence.Get(q.Instance)
	if bySource && r.State == proto.FenceTarget && d.hooksLately(q.Instance, q.Migration) {
		// They may take longer than the source waits before it asks.
		return fence.Token{}, "", wire.Errorf(wire.Unavailable, "host %s runs hooks of instance %s for this migration: ask again", d.Host, q.Instance)
	}
	if bySource && r.State == proto.FenceTarget {
		next, err := d.Fence.Change(q.Instance, func(r fence.Record) (fence.Record, error) { return r.RefuseSource(q) })
		if err != nil {
			return fence.Token{}, r.State, err
		}
		d.Log.Warn("the source asks for the instance back, and no coordinator has committed it to this host: it is not started here any more", "instance", q.Instance, "migration", q.Migration)
		r = next
	}
	if !r.HasRefused(q) {
		return fence.Token{}, r.State, nil
	}
	if r.State == proto.FenceRefused {
		// Its permit may have run out a moment ago: the record comes first, the stop after it.
		if err := d.end(ctx, r); err != nil {
			return fence.Token{}, r.State, fmt.Errorf("make sure that instance %s does not run on host %s any more: %w", q.Instance, d.Host, err)
		}
	}
	return r.Refused, r.State, nil
}
