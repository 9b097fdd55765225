package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"

	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
	"golang.org/x/sys/unix"
)

// adopt takes a running unit over. It goes on running, untouched; only its address may be added.
func (j *job) adopt(ctx context.Context) error {
	spec := j.op.Spec
	u, err := j.find(ctx, spec.Service.Unit)
	if err != nil {
		return err
	}
	if u.ActiveState != "active" {
		return j.refusal(fmt.Sprintf("unit %s is %s", u.Name, u.ActiveState), "start it first: systemctl start "+u.Name)
	}
	if err := j.unclaimed(u.Name); err != nil {
		return err
	}
	for _, p := range spec.Floating() {
		if err := j.addressIsOurs(spec, p); err != nil {
			return err
		}
	}
	if err := j.hooksThere(spec.Hooks); err != nil {
		return err
	}
	s, known, err := j.load(j.op.Instance)
	if err != nil {
		return err
	}
	starters, others := companions(u, spec.Service.Companions)
	if s.Companions, s.Enable, err = j.inUse(ctx, u, starters); err != nil {
		return err
	}
	if err := j.save(j.op.Instance, s); err != nil {
		return err
	}
	take := func() error {
		return j.step("record", func() error { _, err := j.change(fence.Record.Adopt); return err })
	}
	if err := j.takeAddresses(ctx, spec, "address", take); err != nil {
		return err
	}
	result := &proto.AdoptResult{Companions: s.Companions, DropIn: s.DropIn, Running: true}
	// What is limited already is not lifted because its owner is told again that it is one.
	if !known || s.DropIn == "" || !exists(s.DropIn) {
		err := j.step("drop-in", func() error {
			attached, err := j.Limits.Attach(ctx, target(spec, false, resource.Uniform(resource.Unlimited)))
			result.DropIn, result.Notes = attached.DropIn, attached.Notes
			return err
		})
		if err != nil {
			return err
		}
	}
	if s.DropIn != result.DropIn {
		s.DropIn = result.DropIn
		if err := j.save(j.op.Instance, s); err != nil {
			return err
		}
	}
	for _, name := range others {
		result.Notes = append(result.Notes, fmt.Sprintf("%s is tied to %s and does not move with it: adopt it as an instance of its own if it must", name, u.Name))
	}
	for _, name := range u.PartOf {
		result.Notes = append(result.Notes, fmt.Sprintf("%s stops and restarts %s with it, and does not move: leave it as it is on every host that is to run the instance", name, u.Name))
	}
	j.result.Adopt = result
	return nil
}

// unclaimed refuses a unit that is another instance's.
func (j *job) unclaimed(name string) error {
	for _, r := range j.Fence.List() {
		if r.Instance != j.op.Instance && slices.Contains(r.Units, name) {
			return j.refusal(fmt.Sprintf("unit %s belongs to instance %s", name, r.Instance), "release that one first: `glidepath instance release "+r.Instance+"`")
		}
	}
	return nil
}

// addressIsOurs refuses a floating address that would come up on this host by itself.
func (j *job) addressIsOurs(spec proto.InstanceSpec, p netip.Prefix) error {
	where, err := address.Configured(j.Root, p.Addr())
	if err != nil {
		return err
	}
	if where != "" {
		return j.refusal(fmt.Sprintf("address %s of instance %s is configured persistently in %s, so it would come up there after a reboot whoever owns the instance", p.Addr(), spec.Name, where),
			"remove it from that file; the agent adds it at run time. The address that is up now may stay")
	}
	leased, err := j.Addresses.Temporary(p)
	if err != nil {
		return err
	}
	if leased {
		return j.refusal(fmt.Sprintf("address %s of instance %s was given to %s by DHCP or a router", p.Addr(), spec.Name, j.Interface), "use an address that belongs to the instance alone")
	}
	return nil
}

// inUse returns those of a unit's companions that are active or start at boot, and which of them and the unit start at boot, sorted.
func (j *job) inUse(ctx context.Context, u systemd.Unit, starters []string) (used, enabled []string, err error) {
	atBoot := func(u systemd.Unit) bool { return u.UnitFileState == "enabled" || u.UnitFileState == "enabled-runtime" }
	if atBoot(u) {
		enabled = append(enabled, u.Name)
	}
	for _, name := range starters {
		c, err := j.Systemd.Unit(ctx, name)
		if err != nil {
			return nil, nil, fmt.Errorf("companion of %s: %w", u.Name, err)
		}
		if atBoot(c) {
			enabled = append(enabled, name)
		}
		if atBoot(c) || c.ActiveState == "active" || slices.Contains(j.op.Spec.Service.Companions, name) {
			used = append(used, name)
		}
	}
	slices.Sort(enabled)
	return used, enabled, nil
}

// target describes an instance to the enforcer.
func target(spec proto.InstanceSpec, limited bool, envelope resource.Vector) enforce.Target {
	return enforce.Target{
		Instance: spec.Name, Unit: spec.Service.Unit, Data: spec.Service.Data, Class: spec.Class,
		Limited: limited && spec.Mode == proto.Enforce, Envelope: envelope,
	}
}

// freeze stops the instance so that nothing but a thaw can start it again.
func (j *job) freeze(ctx context.Context) error {
	var r fence.Record
	if err := j.step("record", func() (err error) { r, err = j.change(fence.Record.Freeze); return err }); err != nil {
		return err
	}
	// What the kernel still holds of its data needs no disk yet: the final round reads it, and so does a thaw.
	return j.still(ctx, r)
}

// still takes the addresses off this host and stops the unit with all that could start it.
func (j *job) still(ctx context.Context, r fence.Record) error {
	s, _, err := j.load(r.Instance)
	if err != nil {
		return err
	}
	group, err := j.Systemd.ControlGroup(ctx, unit(r)) // while clients are still served
	if err != nil && !errors.Is(err, systemd.ErrNoUnit) {
		return err
	}
	if len(r.Spec.Floating()) > 0 {
		if err := j.step("address off", func() error { return j.removeAddresses(r.Spec) }); err != nil {
			return err
		}
	}
	if err := j.step("stop companions", func() error { return j.stopCompanions(ctx, s.Companions) }); err != nil {
		return err
	}
	return j.step("stop", func() error { return j.stopIn(ctx, unit(r), group) })
}

// flush writes what the kernel still holds of the data's file systems to their disks. Data that are not there any more are passed over.
func flush(paths []string) error {
	done := map[uint64]bool{}
	for _, path := range paths {
		dev, err := device(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("flush data: %w", err)
		}
		if done[dev] {
			continue
		}
		done[dev] = true
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("flush data: %w", err)
		}
		if err := errors.Join(unix.Syncfs(int(f.Fd())), f.Close()); err != nil {
			return fmt.Errorf("flush the file system of %s: %w", path, err)
		}
	}
	return nil
}

// thaw lets a frozen source go on, if the transition does. What was frozen only in part is made whole; what was put away, in whole or in part, is
// put back first, if all of it can be.
func (j *job) thaw(ctx context.Context, transition func(fence.Record, fence.Request) (fence.Record, error)) error {
	r := j.Fence.Get(j.op.Instance)
	s, _, err := j.load(j.op.Instance)
	if err != nil {
		return err
	}
	if _, err := transition(r, j.request()); err != nil {
		return err // before anything is put back
	}
	if err := j.step("put data back", func() error { return j.takeBack(r, &s) }); err != nil {
		return err
	}
	grant := func() error {
		return j.step("record", func() (err error) { r, err = j.change(transition); return err })
	}
	// Somebody who still answers for an address may be running the instance: then nothing is granted.
	if err := j.takeAddresses(ctx, r.Spec, "address on", grant); err != nil {
		return err
	}
	if len(s.Retained) > 0 {
		if err := j.step("limits", func() error {
			_, err := j.Limits.Attach(ctx, target(r.Spec, false, resource.Uniform(resource.Unlimited)))
			return err
		}); err != nil {
			return err
		}
	}
	if err := j.step("start", func() error { return j.startAll(ctx, r, s) }); err != nil {
		return err
	}
	if len(s.Retained) > 0 {
		if err := j.step("enable at boot", func() error { return j.tookBack(ctx, r, &s, j.op.Migration) }); err != nil {
			return err
		}
	}
	if r.Unstarted {
		if _, err := j.change(func(r fence.Record, _ fence.Request) (fence.Record, error) { return r.Started(), nil }); err != nil {
			return err
		}
	}
	return j.step("health", func() error { return j.settled(ctx, r.Spec) })
}

// startAll starts an instance with all its companions.
func (j *job) startAll(ctx context.Context, r fence.Record, s state) error {
	if err := j.startCompanions(ctx, s.Companions, true); err != nil {
		return err
	}
	if err := j.Systemd.Start(ctx, unit(r)); err != nil {
		return err
	}
	return j.startCompanions(ctx, s.Companions, false)
}

// retire ends the source's part: its data go to the retention folder, its unit no longer starts at boot, and the drop-in stays as a fence.
//
// Where the instance is to come back here, the operation says how much comes: what this host kept is only given up where there is room for both.
func (j *job) retire(ctx context.Context) error {
	if before := j.Fence.Get(j.op.Instance); j.op.Facts != nil && before.State == proto.FenceFrozen {
		for _, path := range before.Spec.Service.Data {
			if err := j.room(path, *j.op.Facts); err != nil {
				return err
			}
		}
	}
	r, err := j.change(fence.Record.Retire)
	if err != nil {
		return err
	}
	return j.putAway(ctx, r, j.op.Migration)
}

// putAway stops an instance that this host has given away, retains its data, and gives its limits up.
func (j *job) putAway(ctx context.Context, r fence.Record, migration string) error {
	if err := j.still(ctx, r); err != nil {
		return err
	}
	s, _, err := j.load(r.Instance)
	if err != nil {
		return err
	}
	if err := j.step("retain data", func() error {
		if err := flush(r.Spec.Service.Data); err != nil {
			return err
		}
		return j.retain(r, &s, migration)
	}); err != nil {
		return err
	}
	return j.step("give up limits", func() error {
		for _, name := range s.Enable {
			if err := j.Systemd.Disable(ctx, name); err != nil {
				return err
			}
		}
		if err := j.Limits.Detach(ctx, r.Instance); err != nil && !errors.Is(err, enforce.ErrNotAttached) {
			return err
		}
		return nil
	})
}

// release gives the unit back as it was before adoption. It goes on running, and its address stays up until the next reboot.
func (j *job) release(ctx context.Context) error {
	r := j.Fence.Get(j.op.Instance)
	if r.State == proto.FenceNone || r.Spec.Service == nil {
		return nil
	}
	// Refused before anything is undone, if it is to be refused.
	if _, err := r.Release(j.request()); err != nil {
		return err
	}
	// The record last: as long as the drop-in is there it must be able to answer.
	if err := j.step("drop-in", func() error {
		return j.Limits.Release(ctx, target(r.Spec, false, resource.Uniform(resource.Unlimited)))
	}); err != nil {
		return err
	}
	if err := j.forget(r.Instance); err != nil {
		return err
	}
	_, err := j.change(fence.Record.Release)
	return err
}
