// Package service is the driver for instances that are systemd services.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/agent/allow"
	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

// Systemd is what the driver needs of the service manager. *Host is the real one.
type Systemd interface {
	// Unit returns systemd.ErrNoUnit for a unit that does not exist.
	Unit(ctx context.Context, name string) (systemd.Unit, error)
	// Brief returns the unit's states and invocation alone, quickly.
	Brief(ctx context.Context, name string) (systemd.Unit, error)
	// ControlGroup returns the unit's cgroup, "" while it has none, quickly.
	ControlGroup(ctx context.Context, name string) (string, error)
	// Running returns which of the units run.
	Running(ctx context.Context, units []string) (map[string]bool, error)
	// Start returns systemd.ErrRefused when the unit's own condition refused it.
	Start(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
	Enable(ctx context.Context, unit string) error
	Disable(ctx context.Context, unit string) error
	RunTransient(ctx context.Context, spec systemd.RunSpec) (systemd.RunResult, error)
	StartTransient(ctx context.Context, spec systemd.RunSpec) error
}

// Limits writes and removes the drop-in that asks may-run, and limits with it. *enforce.Enforcer is the real one.
type Limits interface {
	Attach(ctx context.Context, t enforce.Target) (enforce.Attached, error)
	Detach(ctx context.Context, instance string) error
	Release(ctx context.Context, t enforce.Target) error
}

// Addresses holds floating addresses. *address.Holder is the real one.
type Addresses interface {
	Place(p netip.Prefix) (address.Place, error)
	Probe(ctx context.Context, all ...netip.Prefix) error
	Temporary(p netip.Prefix) (bool, error)
	Hold(p netip.Prefix) error
	Take(ctx context.Context, all []netip.Prefix, decide func() error) error
	Remove(p netip.Prefix) error
}

// Permits asks the leader whether a starting instance may go on. It is called every few seconds, and must not outlast ctx.
type Permits interface {
	Ask(ctx context.Context, req proto.PermitRequest) (proto.PermitReply, error)
}

// Config says what a driver works on and with.
type Config struct {
	Host       string // this host's name, for words to people
	DataDir    string // the driver's own state
	KeepDir    string // below it, in aside/ and retained/, lies what was set aside and what is retained
	Root       string // where the host's configuration is looked for; / but in tests
	CgroupRoot string // the cgroup v2 hierarchy
	Interface  string // where addresses are announced, for words to people

	Guard  []string                                             // the command that guards an instance's permit; the instance is its last argument
	MayRun func(ctx context.Context, unit string) (bool, error) // asks what systemd asks before it starts the unit of an instance

	Files     durable.FS
	Fence     *fence.Store
	Allow     *allow.List
	Systemd   Systemd
	Limits    Limits
	Addresses Addresses
	Permits   Permits
	Log       *slog.Logger
}

// Driver implements instance.Driver.
type Driver struct {
	Config

	wake        chan struct{} // a permit was given: see Run
	packages    packages
	executables executables

	mu   sync.Mutex
	busy map[string]*sync.Mutex // by instance: an operation, or Run's look at it
	told map[string]hooking     // by instance
}

// New returns a driver. The directories below DataDir are made as they are needed.
func New(c Config) *Driver {
	return &Driver{Config: c, wake: make(chan struct{}, 1), busy: map[string]*sync.Mutex{}, told: map[string]hooking{}, packages: packages{known: map[string]origin{}}, executables: executables{known: map[string]executed{}}}
}

// Operate implements instance.Driver.
func (d *Driver) Operate(ctx context.Context, op proto.Operation) proto.OperationResult {
	if op.Kind == proto.OpHook { // which changes nothing of the instance, and must not keep anything else from it
		defer d.hookBegins(op)()
	} else {
		lock := d.lock(op.Instance)
		lock.Lock()
		defer lock.Unlock()
	}
	job := &job{Driver: d, op: op, began: time.Now()}
	var err error
	if err = d.checkSpec(op); err == nil {
		err = job.do(ctx)
	}
	job.result.Took = time.Since(job.began).Milliseconds()
	job.result.Error = fault(err)
	return job.result
}

func (d *Driver) lock(instance string) *sync.Mutex {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[instance] == nil {
		d.busy[instance] = &sync.Mutex{}
	}
	return d.busy[instance]
}

// job is one operation being carried out.
type job struct {
	*Driver
	op     proto.Operation
	began  time.Time
	result proto.OperationResult
}

func (j *job) do(ctx context.Context) error {
	switch j.op.Kind {
	case proto.OpAdopt:
		return j.adopt(ctx)
	case proto.OpRelease:
		return j.release(ctx)
	case proto.OpVerifySource:
		return j.verifySource(ctx)
	case proto.OpVerifyTarget:
		return j.verifyTarget(ctx)
	case proto.OpPrepareTarget:
		return j.prepare(ctx)
	case proto.OpFreeze:
		return j.freeze(ctx)
	case proto.OpStart:
		return j.start(ctx)
	case proto.OpConfirm:
		return j.confirm(ctx)
	case proto.OpThaw:
		return j.thaw(ctx, fence.Record.Thaw)
	case proto.OpRefuse:
		return j.refuse(ctx)
	case proto.OpCleanTarget:
		return j.clean(ctx)
	case proto.OpRetire:
		return j.retire(ctx)
	case proto.OpHook:
		return j.hooks(ctx)
	}
	return &proto.Fault{Code: proto.FaultRefused, What: fmt.Sprintf("the service driver has no operation %q", j.op.Kind), Remedy: "upgrade the agent on " + j.Host}
}

// step carries out a part of the operation and notes how long it took.
func (j *job) step(name string, f func() error) error {
	start := time.Now()
	err := f()
	j.result.Steps = append(j.result.Steps, proto.TimedStep{Name: name, Took: time.Since(start).Milliseconds()})
	if err != nil {
		j.Log.Debug("step failed", "instance", j.op.Instance, "step", name, "error", err)
	}
	return err
}

// request returns what the operation asks of the ownership record.
func (j *job) request() fence.Request {
	q := fence.Request{
		Instance: j.op.Instance, Migration: j.op.Migration, Spec: j.op.Spec,
		Token: fence.Token{Incarnation: j.op.Incarnation, Fence: j.op.Fence}, Peer: j.op.Peer,
	}
	if s := j.op.Spec.Service; s != nil {
		q.Units = []string{s.Unit}
	}
	return q
}

// change makes a transition of the instance's record durable.
func (j *job) change(transition func(fence.Record, fence.Request) (fence.Record, error)) (fence.Record, error) {
	return j.Fence.Change(j.op.Instance, func(r fence.Record) (fence.Record, error) { return transition(r, j.request()) })
}

// checkSpec refuses an operation whose instance can't be one of this driver's. Operations on an instance that is known here go by the
// record, which was checked when it was made.
func (d *Driver) checkSpec(op proto.Operation) error {
	if err := fence.CheckName(op.Instance); err != nil {
		return err
	}
	if op.Migration != "" {
		if err := proto.ValidName("migration", op.Migration); err != nil {
			return &proto.Fault{Code: proto.FaultRefused, What: err.Error()}
		}
	}
	switch op.Kind {
	case proto.OpAdopt, proto.OpVerifySource, proto.OpVerifyTarget, proto.OpPrepareTarget:
	default:
		return nil
	}
	if op.Spec.Service == nil || op.Spec.Name != op.Instance {
		return &proto.Fault{Code: proto.FaultRefused, What: fmt.Sprintf("instance %s has no description of a service of its name", op.Instance), Remedy: "apply its file again: `glidepath instance apply -f`"}
	}
	return d.Allow.Instance(op.Spec)
}

// takeAddresses calls decide as Take does, in a step of that name if the instance has floating addresses.
func (j *job) takeAddresses(ctx context.Context, spec proto.InstanceSpec, name string, decide func() error) error {
	all := spec.Floating()
	if len(all) == 0 {
		return decide()
	}
	return j.step(name, func() error { return j.Addresses.Take(ctx, all, decide) })
}

// removeAddresses takes all of an instance's floating addresses off this host. One that can't be taken off does not keep the others.
func (d *Driver) removeAddresses(spec proto.InstanceSpec) error {
	var errs []error
	for _, p := range spec.Floating() {
		errs = append(errs, d.Addresses.Remove(p))
	}
	return errors.Join(errs...)
}

// unit returns the name of the record's unit.
func unit(r fence.Record) string {
	if r.Spec.Service != nil {
		return r.Spec.Service.Unit
	}
	return ""
}

// fault turns an error into what survives the wire.
func fault(err error) *proto.Fault {
	var f *proto.Fault
	var taken *address.TakenError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	case errors.As(err, &taken):
		return &proto.Fault{Code: proto.FaultInDoubt, What: fmt.Sprintf("address %s is in use on the link of %s by %s", taken.Addr, taken.Interface, taken.By),
			Remedy: "find that host and take the address off it; the instance may be running there"}
	}
	return &proto.Fault{Code: proto.FaultFailed, What: err.Error()}
}

func (d *Driver) statePath(instance string) string {
	return filepath.Join(d.DataDir, "service", instance+".json")
}
