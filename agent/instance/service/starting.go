package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/proto"
	"golang.org/x/sync/errgroup"
)

// How permits are kept up. One that is nearly over is asked for more often.
const (
	permitEvery = 5 * time.Second
	permitRetry = 500 * time.Millisecond
	permitAsk   = 3 * time.Second
	settleEvery = 5 * time.Second
	endTime     = 90 * time.Second
)

// start runs the instance under a permit, unannounced, until it is healthy. When it does not get so far, it is the leader who decides; without
// one the permit runs out and the instance is stopped.
func (j *job) start(ctx context.Context) error {
	began := time.Now()
	r := j.Fence.Get(j.op.Instance)
	addresses := r.Spec.Floating()
	silence := func() error {
		if len(addresses) == 0 || r.State == proto.FenceOwner {
			return nil
		}
		return j.step("address held silently", func() error {
			for _, p := range addresses {
				if err := j.Addresses.Hold(p); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var err error
	if r.State == proto.FenceStarting || r.State == proto.FenceOwner {
		now, err := fence.Now()
		if err != nil {
			return err
		}
		if r, err = r.Start(j.request(), fence.Permit{}, now); err != nil {
			return err
		}
		if err := silence(); err != nil {
			return err
		}
	} else if r, err = j.permitted(ctx, r, silence); err != nil {
		return errors.Join(err, j.removeAddresses(r.Spec))
	}
	s, _, err := j.load(r.Instance)
	if err != nil {
		return err
	}
	var asking errgroup.Group // whether another host has an address, while the unit starts
	if len(addresses) > 0 && r.State == proto.FenceStarting {
		asking.Go(func() error { return j.Addresses.Probe(ctx, addresses...) })
	}
	result := &proto.StartResult{}
	if err := j.step("start", func() error {
		err := j.startCompanions(ctx, s.Companions, true)
		if err == nil {
			err = j.Systemd.Start(ctx, unit(r))
		}
		return errors.Join(err, asking.Wait())
	}); err != nil {
		return err
	}
	result.ActiveAfter = time.Since(began).Milliseconds()
	if err := j.step("health", func() error { return j.settled(ctx, r.Spec) }); err != nil {
		return err
	}
	result.HealthyAfter = time.Since(began).Milliseconds()
	j.result.Start = result
	return nil
}

// permitted asks for the first permit and makes it durable. The guard is there since the instance was prepared, unless somebody ended it. While
// the question is on its way silence holds the addresses. The permit counts from before the question.
func (j *job) permitted(ctx context.Context, r fence.Record, silence func() error) (fence.Record, error) {
	if err := j.step("guard", func() error { return j.guard(ctx, r) }); err != nil {
		return r, err
	}
	asked, err := fence.Now()
	if err != nil {
		return r, err
	}
	// Whoever could not start with any permit does not ask for one.
	if _, err := r.Start(j.request(), fence.NewPermit(asked, time.Second), asked); err != nil {
		return r, err
	}
	var reply proto.PermitReply
	var asking errgroup.Group
	asking.Go(func() (err error) { reply, err = j.ask(ctx, j.request()); return err })
	err = silence()
	failed := j.step("permit", asking.Wait)
	switch {
	case err != nil:
		return r, err
	case failed != nil:
		return r, &proto.Fault{Code: proto.FaultFailed, What: fmt.Sprintf("host %s got no permit to start instance %s: %v", j.Host, r.Instance, failed), Remedy: "look for a broken link between it and the coordinators"}
	case reply.Milliseconds <= 0:
		return r, errors.Join(j.refusal(fmt.Sprintf("it may not start instance %s: %s", r.Instance, reply.Reason), "see `glidepath migration show "+j.op.Migration+"`"), j.refuse(ctx))
	}
	err = j.step("record", func() (err error) {
		r, err = j.change(func(r fence.Record, q fence.Request) (fence.Record, error) {
			now, err := fence.Now()
			if err != nil {
				return r, err
			}
			return r.Start(q, fence.NewPermit(asked, time.Duration(reply.Milliseconds)*time.Millisecond), now)
		})
		return err
	})
	if err == nil {
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
	return r, err
}

func (d *Driver) ask(ctx context.Context, q fence.Request) (proto.PermitReply, error) {
	ctx, cancel := context.WithTimeout(ctx, permitAsk)
	defer cancel()
	return d.Permits.Ask(ctx, proto.PermitRequest{Instance: q.Instance, Migration: q.Migration, Incarnation: q.Token.Incarnation, Fence: q.Token.Fence})
}

// confirm makes this host the owner and announces the addresses.
func (j *job) confirm(ctx context.Context) error {
	r := j.Fence.Get(j.op.Instance)
	s, _, err := j.load(j.op.Instance)
	if err != nil {
		return err
	}
	own := func() error {
		return j.step("record", func() (err error) {
			r, err = j.change(func(r fence.Record, q fence.Request) (fence.Record, error) {
				now, err := fence.Now()
				if err != nil {
					return r, err
				}
				return r.Confirm(q, now)
			})
			return err
		})
	}
	if err := j.takeAddresses(ctx, r.Spec, "announce", own); err != nil {
		return err
	}
	if err := j.step("companions", func() error {
		// A guard that saw the permit run out while this record was on its way to the disk may have ended the instance: it runs from now on.
		return errors.Join(j.Systemd.Start(ctx, unit(r)), j.startCompanions(ctx, s.Companions, false))
	}); err != nil {
		return err
	}
	return j.step("enable at boot", func() error {
		for _, name := range s.Enable {
			if err := j.Systemd.Enable(ctx, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// Run implements instance.Driver.
func (d *Driver) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { d.keepPermits(ctx, group); return nil })
	group.Go(func() error {
		tick := time.NewTicker(settleEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.settle(ctx)
			case <-ctx.Done():
				return nil
			}
		}
	})
	return group.Wait()
}

// keepPermits has one keeper for each instance that is starting.
func (d *Driver) keepPermits(ctx context.Context, group *errgroup.Group) {
	ended := make(chan string)
	kept := map[string]bool{}
	look := func() {
		for _, r := range d.Fence.List() {
			if r.State != proto.FenceStarting || kept[r.Instance] {
				continue
			}
			kept[r.Instance] = true
			group.Go(func() error {
				d.keepPermit(ctx, r.Instance)
				select {
				case ended <- r.Instance:
				case <-ctx.Done():
				}
				return nil
			})
		}
	}
	for look(); ; look() {
		select {
		case <-d.wake:
		case name := <-ended:
			delete(kept, name)
		case <-ctx.Done():
			return
		}
	}
}

// keepPermit renews an instance's permit until it is no longer starting. When that does not succeed in time, or is refused, the instance is
// ended for good: it may be running elsewhere by then.
func (d *Driver) keepPermit(ctx context.Context, instance string) {
	wait := permitEvery
	for {
		now, err := fence.Now()
		if err != nil {
			d.Log.Error("the clock can't be read", "error", err)
		}
		r := d.Fence.Get(instance)
		if r.State != proto.FenceStarting {
			return
		}
		left := r.Permit.Remaining(now)
		if left == 0 {
			d.expire(ctx, instance, fence.Record.Recover)
			return
		}
		timer := time.NewTimer(min(wait, left))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		var gone bool
		if gone, err = d.renew(ctx, r); gone {
			return
		}
		if wait = permitEvery; err != nil {
			wait = permitRetry
			d.Log.Warn("a permit could not be renewed yet", "instance", instance, "error", err)
		}
	}
}

// renew asks once for more. It reports whether that was the end of the instance here.
func (d *Driver) renew(ctx context.Context, r fence.Record) (gone bool, err error) {
	asked, err := fence.Now()
	if err != nil {
		return false, err
	}
	left := r.Permit.Remaining(asked)
	if left == 0 {
		return false, nil // the keeper ends it
	}
	limited, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	q := fence.Request{Instance: r.Instance, Migration: r.Migration, Token: r.Token}
	reply, err := d.ask(limited, q)
	if err != nil {
		return false, err
	}
	if reply.Milliseconds <= 0 {
		d.Log.Warn("the permit was refused", "instance", r.Instance, "reason", reply.Reason)
		d.expire(ctx, r.Instance, func(now fence.Record, _ fence.Moment) fence.Record {
			if refused, err := now.Refuse(q); err == nil {
				return refused
			}
			return now
		})
		return true, nil
	}
	_, err = d.Fence.Change(r.Instance, func(now fence.Record) (fence.Record, error) {
		moment, err := fence.Now()
		if err != nil {
			return now, err
		}
		return now.Renew(q, fence.NewPermit(asked, time.Duration(reply.Milliseconds)*time.Millisecond), moment)
	})
	return false, err
}

// expire makes the record refuse, and when it does, stops the instance.
func (d *Driver) expire(ctx context.Context, instance string, refuse func(fence.Record, fence.Moment) fence.Record) {
	r, err := d.Fence.Change(instance, func(r fence.Record) (fence.Record, error) {
		now, err := fence.Now()
		if err != nil {
			return r, err
		}
		return refuse(r, now), nil
	})
	if err != nil {
		// The unit goes all the same: systemd asks may-run, which knows that the permit is over.
		d.Log.Error("the end of a permit could not be made durable", "instance", instance, "error", err)
	} else if r.State != proto.FenceRefused {
		return // confirmed meanwhile
	}
	// Not cut short by the agent's own end: the instance must not go on without its permit.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if err := d.end(ctx, r); err != nil {
		d.Log.Error("an instance without a permit could not be stopped; it is tried again", "instance", instance, "error", err)
		return
	}
	d.Log.Warn("an instance without a permit was stopped", "instance", instance, "fence", r.Token.Fence)
}
