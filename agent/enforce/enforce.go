// Package enforce puts limits into the kernel, and reads back what it holds.
package enforce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/glidepath/glidepath/agent/enforce/netlimit"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// Config says where the kernel's and systemd's files are, and what the host has.
type Config struct {
	CgroupRoot string // the cgroup v2 hierarchy
	SysDir     string
	PinDir     string // a folder of the BPF file system
	UnitDir    string // drop-ins that a reboot keeps
	RunUnitDir string // drop-ins that a reboot takes away
	OwnCgroup  string // below CgroupRoot: no instance may live in it. Empty: not checked
	Device     string // network device that instances' traffic leaves by. Empty: it is not paced
	AgentUnit  string // that adopted units are ordered after
	MayRun     string // command that says whether a unit may run; gets the unit's name
}

// Default returns the configuration of a host with systemd. OwnCgroup and Device are the caller's to fill in.
func Default() Config {
	return Config{
		CgroupRoot: "/sys/fs/cgroup", SysDir: "/sys", PinDir: "/sys/fs/bpf/glidepath",
		UnitDir: "/etc/systemd/system", RunUnitDir: "/run/systemd/system",
		AgentUnit: "glidepath-agent.service", MayRun: "/usr/bin/glidepath-agent may-run",
	}
}

// OwnCgroup returns the cgroup of the calling process, below the root.
func OwnCgroup() (string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path, nil
		}
	}
	return "", errors.New("this process is in no cgroup v2: boot with systemd.unified_cgroup_hierarchy=1")
}

// Target is an instance that limits are set on.
type Target struct {
	Instance string
	Unit     string          // systemd service; or
	Cgroup   string          // the cgroup below the root, where no unit of the instance's own exists
	Data     []string        // paths whose disks are limited; the disk of / if none
	Class    proto.Class     // for cpu.weight and memory.low
	Limited  bool            // false: measured, never limited
	Envelope resource.Vector // the most that is ever granted; of a unit also what systemd is told. Unlimited where there is none
}

// equal reports whether two descriptions of a target mean the same.
func (t Target) equal(o Target) bool {
	return t.Instance == o.Instance && t.Unit == o.Unit && t.Cgroup == o.Cgroup && slices.Equal(t.Data, o.Data) &&
		t.Class == o.Class && t.Limited == o.Limited && t.Envelope == o.Envelope
}

// paced reports whether the target's traffic is ever limited, so that the device must hold its packets.
func (t Target) paced() bool {
	return t.Limited && min(t.Envelope[resource.NetTx], t.Envelope[resource.NetRx]) < resource.Unlimited
}

// Bus is what enforce needs of systemd. systemd.Bus is the real one.
type Bus interface {
	// ControlGroup returns systemd.ErrNoUnit for a unit that does not exist, and "" for one without a cgroup.
	ControlGroup(ctx context.Context, unit string) (string, error)
	Reload(ctx context.Context) error
}

// Enforcer sets limits on the instances of this host. Its methods may be called concurrently.
type Enforcer struct {
	cfg   Config
	bus   Bus
	net   network
	files durable.FS

	mu      sync.RWMutex // guards what follows and the device; held while the set of targets changes
	targets map[string]*target
	unread  bool // drop-ins or programs changed since systemd read them; until it has, every Attach has it try again
}

// target is a Target with what is held of it.
type target struct {
	Target
	disks []Disk
	pacer pacer

	mu     sync.Mutex // one writer of the instance's limits at a time
	cg     cgroup     // as of the last look
	wanted map[resource.Kind]int64
	shrink shrink
	debt   int64
}

// Open returns an enforcer without targets. What an earlier one set stays as it is until Attach takes it over.
func Open(cfg Config, bus Bus) *Enforcer {
	return open(cfg, bus, &pinned{dir: cfg.PinDir}, durable.OS{})
}

func open(cfg Config, bus Bus, net network, files durable.FS) *Enforcer {
	return &Enforcer{cfg: cfg, bus: bus, net: net, files: files, targets: map[string]*target{}}
}

// Attached is what Attach did.
type Attached struct {
	DropIn string   // path of the drop-in; empty without a unit
	Notes  []string // what is not as it could be, in words
}

// Attach takes an instance over, or what is known of it changed: it writes its drop-ins, puts the network programs on it and, where it
// is not limited, lifts its limits. What is as it should be is not touched, so that attaching again after a restart of the agent leaves no gap.
// systemd is made to reload only when a drop-in changed; limits that the reload reset are set again before Attach returns.
func (e *Enforcer) Attach(ctx context.Context, t Target) (Attached, error) {
	if err := e.valid(t); err != nil {
		return Attached{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	done := Attached{DropIn: e.dropInPath(t)}
	held, known := e.targets[t.Instance]
	if !known {
		held = &target{Target: t, wanted: map[resource.Kind]int64{}}
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	before := held.Target
	if known && before.equal(t) && e.inPlace(held) && !e.unread {
		return done, nil
	}
	if before.Unit != t.Unit || before.Cgroup != t.Cgroup {
		return Attached{}, fmt.Errorf("attach %s to %s: it is attached to %s: detach it first", t.Instance, t.Unit+t.Cgroup, before.Unit+before.Cgroup)
	}
	held.Target = t
	if err := e.attach(ctx, held, &done); err != nil {
		held.Target = before
		if !known && held.pacer != nil {
			err = errors.Join(err, held.pacer.Close())
		}
		return Attached{}, fmt.Errorf("attach %s: %w", t.Instance, err)
	}
	e.targets[t.Instance] = held
	if before.paced() && !t.paced() {
		return done, e.unpaceUnused()
	}
	return done, nil
}

// attach does the work of Attach. The caller holds t.mu.
func (e *Enforcer) attach(ctx context.Context, t *target, done *Attached) (err error) {
	paths := t.Data
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	if t.disks, err = disksBehind(e.cfg.SysDir, paths); err != nil {
		if !errors.Is(err, ErrNoDisk) {
			return err
		}
		done.Notes = append(done.Notes, err.Error())
	}
	if t.pacer == nil {
		if t.pacer, err = e.net.open(t.Instance); err != nil {
			return err
		}
		e.unread = e.unread || t.Unit != "" && t.pacer.Replaced()
	}
	if t.Unit != "" {
		if err := e.letGo(ctx, t); err != nil {
			return err
		}
		if err := e.writeDropIns(t); err != nil {
			return err
		}
		if err := e.reload(ctx); err != nil {
			return err
		}
	}
	if t.paced() && e.cfg.Device != "" {
		var foreign *netlimit.ForeignQueueError
		switch err := e.net.pace(e.cfg.Device); {
		case errors.As(err, &foreign):
			done.Notes = append(done.Notes, foreign.Error())
		case err != nil:
			return err
		}
	}
	notes, err := e.settle(ctx, t)
	done.Notes = append(done.Notes, notes...)
	if errors.Is(err, ErrNotRunning) {
		return nil // its drop-in waits for it
	}
	return err
}

// reload has systemd read what changed, if anything did. The caller holds e.mu.
func (e *Enforcer) reload(ctx context.Context) error {
	if !e.unread {
		return nil
	}
	if err := e.bus.Reload(ctx); err != nil {
		return err
	}
	e.unread = false
	return nil
}

// letGo lifts what a unit's drop-in limits that is not to limit any more. It does so before systemd reads the new one, which then sets
// again what the unit's own configuration limits: that is not ours to lift.
func (e *Enforcer) letGo(ctx context.Context, t *target) error {
	if t.Limited {
		return nil
	}
	limits, err := e.cfg.DropInLimits(t.Unit)
	if err != nil || !limits {
		return err
	}
	err = e.locate(ctx, t)
	if errors.Is(err, ErrNotRunning) || errors.Is(err, systemd.ErrNoUnit) {
		return nil
	}
	if err != nil {
		return err
	}
	return e.lift(ctx, t)
}

// settle brings the kernel's limits in line with what t says, right after it or its drop-in changed. The caller holds t.mu.
func (e *Enforcer) settle(ctx context.Context, t *target) (notes []string, err error) {
	if err := e.locate(ctx, t); err != nil {
		return nil, err
	}
	if t.Cgroup != "" {
		if err := t.pacer.Link(string(t.cg)); err != nil {
			return nil, err
		}
	}
	if !t.Limited {
		if t.Unit == "" {
			return nil, e.lift(ctx, t)
		}
		return nil, e.liftNet(ctx, t) // the rest was let go before systemd was told
	}
	note, err := e.rank(t)
	if note != "" {
		notes = append(notes, note)
	}
	if err != nil {
		return notes, err
	}
	for _, o := range e.reconcile(ctx, t) {
		err = errors.Join(err, o.Err)
	}
	return notes, err
}

// valid refuses a target that can't be one.
func (e *Enforcer) valid(t Target) error {
	switch {
	case t.Instance == "" || strings.ContainsAny(t.Instance, "/.\x00"):
		return fmt.Errorf("attach: %q is no name of an instance", t.Instance)
	case (t.Unit == "") == (t.Cgroup == ""):
		return fmt.Errorf("attach %s: it must have either a unit or a cgroup", t.Instance)
	case t.Unit != "" && (!strings.HasSuffix(t.Unit, ".service") || strings.Contains(t.Unit, "/")):
		return fmt.Errorf("attach %s: %q is no service of systemd", t.Instance, t.Unit)
	case t.Cgroup != "" && (!filepath.IsAbs(t.Cgroup) || filepath.Clean(t.Cgroup) != t.Cgroup || t.Cgroup == "/"):
		return fmt.Errorf("attach %s: %q is no path of a cgroup", t.Instance, t.Cgroup)
	case t.Unit == e.cfg.AgentUnit:
		return fmt.Errorf("attach %s: %s is the agent itself", t.Instance, t.Unit)
	}
	return e.outside(t.Instance, t.Cgroup)
}

// outside refuses a cgroup below the agent's own: the instance would go down with the agent, and share its limits.
func (e *Enforcer) outside(instance, path string) error {
	own := strings.TrimSuffix(e.cfg.OwnCgroup, "/")
	if own != "" && (path == own || strings.HasPrefix(path, own+"/")) {
		return fmt.Errorf("attach %s: its cgroup %s is below the agent's own: run it as a unit of its own", instance, path)
	}
	return nil
}

// locate finds the cgroup of a target; ErrNotRunning when there is none. A unit's may come and go.
func (e *Enforcer) locate(ctx context.Context, t *target) error {
	path := t.Cgroup
	if t.Unit != "" {
		// systemd gives a unit the same cgroup each time, so the one of the last look will do as long as it is there.
		if t.cg != "" && t.cg.has("cgroup.procs") {
			return nil
		}
		var err error
		if path, err = e.bus.ControlGroup(ctx, t.Unit); err != nil {
			return err
		}
		if path == "" {
			return fmt.Errorf("%s: %w", t.Unit, ErrNotRunning)
		}
		if err := e.outside(t.Instance, path); err != nil {
			return err
		}
	}
	t.cg = cgroup(filepath.Join(e.cfg.CgroupRoot, path))
	if !t.cg.has("cgroup.procs") {
		return fmt.Errorf("%s: %w", t.cg, ErrNotRunning)
	}
	return nil
}

// Close lets go of the programs. All limits stay.
func (e *Enforcer) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var failed error
	for name, t := range e.targets {
		failed = errors.Join(failed, t.pacer.Close())
		delete(e.targets, name)
	}
	return failed
}

// Counters returns what the instance has sent and received since its programs were first loaded. It does not wait for limits being set.
func (e *Enforcer) Counters(instance string) (tx, rx netlimit.Counters, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	t := e.targets[instance]
	if t == nil {
		return tx, rx, fmt.Errorf("%s: %w", instance, ErrNotAttached)
	}
	if tx, err = t.pacer.Counters(netlimit.Transmit); err != nil {
		return tx, rx, err
	}
	rx, err = t.pacer.Counters(netlimit.Receive)
	return tx, rx, err
}

// ErrNotAttached is told by errors.Is for an instance that Attach was not called for.
var ErrNotAttached = errors.New("the instance is not attached")

func (e *Enforcer) target(instance string) (*target, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	t := e.targets[instance]
	if t == nil {
		return nil, fmt.Errorf("%s: %w", instance, ErrNotAttached)
	}
	return t, nil
}

func (e *Enforcer) dropInPath(t Target) string {
	if t.Unit == "" {
		return ""
	}
	return filepath.Join(e.cfg.UnitDir, t.Unit+".d", dropInName)
}

// exists reports whether there is a file.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
