package service

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
	"golang.org/x/sys/unix"
)

// spareBytes is what must remain free on a target's file system after the data have come.
const spareBytes = 64 << 20

// verifyTarget says whether this host can take the instance. It changes nothing.
func (j *job) verifyTarget(ctx context.Context) error {
	spec, facts := j.op.Spec, j.op.Facts
	if facts == nil {
		return &proto.Fault{Code: proto.FaultFailed, What: "verify-target came without the source's facts", Remedy: "upgrade the coordinators"}
	}
	r := j.Fence.Get(j.op.Instance)
	switch r.State {
	case proto.FenceNone, proto.FenceRetired, proto.FenceRefused:
	case proto.FenceTarget:
		if r.Migration == j.op.Migration {
			return nil // prepared already
		}
		fallthrough
	default:
		return j.refusal(fmt.Sprintf("instance %s is %s here (migration %s)", j.op.Instance, r.State, r.Migration), "end that migration first: `glidepath migration show "+r.Migration+"`")
	}
	for _, check := range []struct {
		name string
		run  func() error
	}{
		{"unit", func() error { return j.sameSoftware(ctx, *facts) }},
		{"companions", func() error { return j.companionsThere(ctx, facts.Companions) }},
		{"users", func() error { return j.namesThere(*facts) }},
		{"paths", func() error { return j.pathsFree(spec, *facts) }},
		{"controllers", j.controllers},
		{"hooks", func() error { return j.hooksThere(spec.Hooks) }},
		{"address", func() error { return j.addressesReach(ctx, spec) }},
	} {
		if err := j.step(check.name, check.run); err != nil {
			return err
		}
	}
	return nil
}

// sameSoftware refuses a target whose unit runs, is another instance's, or starts another program than the source's.
func (j *job) sameSoftware(ctx context.Context, facts proto.SourceFacts) error {
	u, err := j.find(ctx, j.op.Spec.Service.Unit)
	if err != nil {
		return err
	}
	if u.Running() {
		return j.refusal(fmt.Sprintf("unit %s is %s there", u.Name, u.ActiveState), "stop it if it is not needed (systemctl disable --now "+u.Name+"), or choose another target")
	}
	if err := j.unclaimed(u.Name); err != nil {
		return err
	}
	path, err := j.executable(u)
	if err != nil {
		return err
	}
	if path != facts.Executable {
		return j.refusal(fmt.Sprintf("unit %s starts %s, on the source %s", u.Name, path, facts.Executable), "install the same package on both")
	}
	if err := j.sameProgram(ctx, u, proto.Program{Path: path, Package: facts.Package, Version: facts.Version, Digest: facts.Digest}); err != nil {
		return err
	}
	if facts.Main == nil {
		return nil
	}
	if !exists(facts.Main.Path) {
		return j.refusal(fmt.Sprintf("there is no %s, which unit %s runs on the source", facts.Main.Path, u.Name), "install the same package on both")
	}
	return j.sameProgram(ctx, u, *facts.Main)
}

// sameProgram refuses a program that is neither the source's nor of the same version of its package.
func (j *job) sameProgram(ctx context.Context, u systemd.Unit, source proto.Program) error {
	if own, err := digest(source.Path); err == nil && own == source.Digest {
		return nil // the package manager takes seconds to answer
	}
	own, err := j.program(ctx, u, source.Path)
	switch {
	case err != nil:
		return err
	case own.Package == "" || own.Package != source.Package:
		return j.refusal(fmt.Sprintf("program %s differs from the source's", own.Path), "install the same build on both")
	case own.Version != source.Version:
		return j.refusal(fmt.Sprintf("package %s has version %s, on the source %s", own.Package, own.Version, source.Version), "install the same version on both")
	}
	return nil
}

func (j *job) companionsThere(ctx context.Context, names []string) error {
	for _, name := range names {
		if _, err := j.find(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) namesThere(facts proto.SourceFacts) error {
	var missing []string
	for _, name := range facts.Users {
		if _, err := user.Lookup(name); err != nil {
			missing = append(missing, "user "+name)
		}
	}
	for _, name := range facts.Groups {
		if _, err := user.LookupGroup(name); err != nil {
			missing = append(missing, "group "+name)
		}
	}
	if len(missing) > 0 {
		return j.refusal(strings.Join(missing, " and ")+" that the data belong to is not there", "create it there, with any ID: owners are mapped by name")
	}
	return nil
}

// pathsFree refuses data paths at which something lies, and a file system without room for what comes.
func (j *job) pathsFree(spec proto.InstanceSpec, facts proto.SourceFacts) error {
	for _, path := range spec.Service.Data {
		_, free, err := vacant(path)
		if err != nil {
			return err
		}
		if !free {
			return j.refusal(fmt.Sprintf("data path %s is not empty", path), "move away what lies there if it is not needed, or choose another target")
		}
		if err := j.room(path, facts); err != nil {
			return err
		}
	}
	return nil
}

// room refuses a data path whose file system is too full for what comes.
func (j *job) room(path string, facts proto.SourceFacts) error {
	existing := path
	if missing := missingParents(path); len(missing) > 0 {
		existing = filepath.Dir(missing[0])
	} else if !exists(path) {
		existing = filepath.Dir(path)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(existing, &fs); err != nil {
		return fmt.Errorf("free space of %s: %w", existing, err)
	}
	if free, need := int64(fs.Bavail)*fs.Bsize, facts.DataBytes+spareBytes; free < need {
		return j.refusal(fmt.Sprintf("%s has %d MiB free, the data need %d MiB", existing, free>>20, need>>20), "free some space there, or choose another target")
	}
	if fs.Files > 0 && int64(fs.Ffree) < facts.DataFiles {
		return j.refusal(fmt.Sprintf("%s has %d inodes free, the data need %d", existing, fs.Ffree, facts.DataFiles), "remove files there, or choose another target")
	}
	return nil
}

// controllers refuses a host that can't limit the instance although it must be limited.
func (j *job) controllers() error {
	if j.op.Spec.Mode != proto.Enforce {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(j.CgroupRoot, "cgroup.controllers"))
	if err != nil {
		return j.refusal("cgroup v2 is not mounted at "+j.CgroupRoot, "boot with systemd.unified_cgroup_hierarchy=1")
	}
	for _, name := range []string{"cpu", "io", "memory"} {
		if !slices.Contains(strings.Fields(string(data)), name) {
			return j.refusal("the cgroup controller "+name+" is missing", "enable it in the kernel (cgroup_disable= on its command line may name it)")
		}
	}
	return nil
}

// reachProbes is how often the owner of an address is asked for, two questions each time, before it is taken not to be on this link.
const reachProbes = 15

// addressesReach refuses a host on another link than the source: one that has an address already, that would bring it up by itself, or that gets no answer
// when it asks for it, although the source announces it.
func (j *job) addressesReach(ctx context.Context, spec proto.InstanceSpec) error {
	for _, p := range spec.Floating() {
		if err := j.addressReaches(ctx, spec, p); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) addressReaches(ctx context.Context, spec proto.InstanceSpec, p netip.Prefix) error {
	if err := j.addressIsOurs(spec, p); err != nil {
		return err
	}
	at, err := j.Addresses.Place(p)
	if err != nil {
		return err
	}
	if at != address.Nowhere {
		return j.refusal(fmt.Sprintf("address %s is on this host already", p), fmt.Sprintf("ip addr del %s dev %s", p, j.Interface))
	}
	// Here an answer is expected: one that a busy host gives late, or a busy link loses, is asked for again.
	for range reachProbes {
		var taken *address.TakenError
		switch err := j.Addresses.Probe(ctx, p); {
		case errors.As(err, &taken):
			return nil
		case err != nil:
			return err
		}
	}
	return j.refusal(fmt.Sprintf("nobody answers for address %s on the link of %s, though the source announces it", p.Addr(), j.Interface), "the two hosts must be on the same L2 segment: correct the agent's interface there, or choose another target")
}

// prepare makes this host ready to receive. The unit can't be started from here on.
func (j *job) prepare(ctx context.Context) error {
	if err := j.unclaimed(j.op.Spec.Service.Unit); err != nil {
		return err
	}
	// Before the record: once it is there, a unit that runs is taken for one that got past its fence, and stopped.
	u, err := j.find(ctx, j.op.Spec.Service.Unit)
	if err != nil {
		return err
	}
	if before := j.Fence.Get(j.op.Instance); u.Running() && before.State != proto.FenceTarget {
		return j.refusal(fmt.Sprintf("unit %s is %s there", u.Name, u.ActiveState), "stop it if it is not needed (systemctl disable --now "+u.Name+"), or choose another target")
	}
	r, err := j.change(fence.Record.Prepare)
	if err != nil {
		return err
	}
	s, known, err := j.load(j.op.Instance)
	if err != nil {
		return err
	}
	if !known || s.Migration != j.op.Migration {
		if s, err = j.survey(r, s); err != nil {
			return err
		}
		if err := j.save(r.Instance, s); err != nil {
			return err
		}
	}
	if err := j.step("drop-in", func() error {
		attached, err := j.Limits.Attach(ctx, target(r.Spec, j.op.Max != resource.Vector{}, j.op.Max))
		if err == nil && s.DropIn != attached.DropIn {
			s.DropIn = attached.DropIn
			err = j.save(r.Instance, s)
		}
		return err
	}); err != nil {
		return err
	}
	if err := j.step("set aside", func() error {
		for _, m := range s.Moved {
			if err := m.run(j.Files); err != nil {
				return fmt.Errorf("set %s aside: %w", m.From, err)
			}
		}
		for _, dir := range s.MadeDirs {
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := j.step("fence", func() error { return j.fenced(ctx, r) }); err != nil {
		return err
	}
	return j.step("guard", func() error { return j.guard(ctx, r) }) // now, so that clients don't wait for it
}

// fenced makes sure that what systemd asks before it starts the unit is there, runs and says no, before anything depends on it. When clients wait for its yes
// it is in memory.
func (j *job) fenced(ctx context.Context, r fence.Record) error {
	runs, err := j.MayRun(ctx, unit(r))
	if err == nil && runs {
		err = errors.New("it was told that the unit may run")
	}
	if err != nil {
		return &proto.Fault{
			Code: proto.FaultFailed, What: fmt.Sprintf("host %s can't keep instance %s from running before its time: %v", j.Host, r.Instance, err),
			Remedy: "reinstall the package glidepath-agent there",
		}
	}
	return nil
}

// survey notes what is on the target before anything changes, so that it can be put back.
func (j *job) survey(r fence.Record, was state) (state, error) {
	s := state{Migration: j.op.Migration, DropIn: was.DropIn}
	if f := j.op.Facts; f != nil {
		s.Companions, s.Enable = f.Companions, f.Enabled
	}
	for _, path := range r.Spec.Service.Data {
		p, free, err := vacant(path)
		if err != nil {
			return s, err
		}
		if !free {
			return s, j.refusal(fmt.Sprintf("data path %s is not empty", path), "move away what lies there if it is not needed, or choose another target")
		}
		s.Data = append(s.Data, p)
		s.MadeDirs = append(s.MadeDirs, missingParents(path)...)
	}
	for _, path := range r.Spec.Service.Config {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			s.Data = append(s.Data, dataPath{Path: path}) // comes with the migration, goes with its abort
			s.MadeDirs = append(s.MadeDirs, missingParents(path)...)
			continue
		} else if err != nil {
			return s, err
		}
		to, err := away(filepath.Join(j.KeepDir, "aside", j.op.Migration), path, "aside-"+j.op.Migration)
		if err != nil {
			return s, fmt.Errorf("set %s aside: %w", path, err)
		}
		s.Moved = append(s.Moved, move{From: path, To: to})
	}
	slices.Sort(s.MadeDirs)
	s.MadeDirs = slices.Compact(s.MadeDirs)
	return s, nil
}

// refuse makes sure that this host never starts the instance under the operation's fence, and stops it if it had.
func (j *job) refuse(ctx context.Context) error {
	r, err := j.change(fence.Record.Refuse)
	if err != nil {
		return err
	}
	if r.State != proto.FenceRefused {
		return nil // cleaned, or given away: nothing runs here
	}
	return j.end(ctx, r)
}

// end stops what was starting here and takes its addresses off.
func (d *Driver) end(ctx context.Context, r fence.Record) error {
	if unit(r) == "" {
		return nil
	}
	s, _, err := d.load(r.Instance)
	if err != nil {
		return err
	}
	return errors.Join(d.stopCompanions(ctx, s.Companions), d.stopNow(ctx, unit(r)), d.removeAddresses(r.Spec))
}

// clean leaves nothing of the migration behind on the target.
func (j *job) clean(ctx context.Context) error {
	r := j.Fence.Get(j.op.Instance)
	if r.State == proto.FenceStarting || r.State == proto.FenceTarget {
		// From here on the instance can't be started, whatever remains to be cleaned.
		var err error
		if r, err = j.change(fence.Record.Refuse); err != nil {
			return err
		}
	}
	// Refused before anything is removed, if it is to be refused.
	if _, err := r.Clean(j.request()); err != nil {
		return err
	}
	s, known, err := j.load(j.op.Instance)
	if err != nil {
		return err
	}
	if r.State == proto.FenceRefused && known && s.Migration == j.op.Migration {
		if err := j.step("stop", func() error { return errors.Join(j.end(ctx, r), j.unguard(ctx, r.Instance)) }); err != nil {
			return err
		}
		if err := j.step("remove data", func() error { return j.putBack(s) }); err != nil {
			return err
		}
	}
	if r.State == proto.FenceRefused && r.RetiredBy == "" && r.Spec.Service != nil {
		if err := j.step("drop-in", func() error {
			return j.Limits.Release(ctx, target(r.Spec, false, resource.Uniform(resource.Unlimited)))
		}); err != nil {
			return err
		}
		if err := j.forget(r.Instance); err != nil {
			return err
		}
	}
	if r.RetiredBy != "" { // the drop-in stays as a fence
		if err := j.Limits.Detach(ctx, r.Instance); err != nil && !errors.Is(err, enforce.ErrNotAttached) {
			return err
		}
	}
	// The record last: as long as the drop-in is there it must be able to answer.
	_, err = j.change(fence.Record.Clean)
	return err
}

// putBack removes what the migration brought, and brings back what it had set aside.
func (j *job) putBack(s state) error {
	for _, p := range s.Data {
		if err := j.Allow.Path(p.Path); err != nil {
			return err
		}
		if err := p.restore(); err != nil {
			return fmt.Errorf("remove what was received in %s: %w", p.Path, err)
		}
	}
	for _, m := range s.Moved {
		if err := j.Allow.Path(m.From); err != nil {
			return err
		}
		if err := m.back(j.Files); err != nil {
			return fmt.Errorf("bring %s back: %w", m.From, err)
		}
	}
	if err := removeEmpty(s.MadeDirs); err != nil {
		return fmt.Errorf("remove directories that were made: %w", err)
	}
	return removeEmptyTree(filepath.Join(j.KeepDir, "aside", s.Migration))
}
