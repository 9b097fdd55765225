package systemd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// RunSpec is a command that runs to its end in a unit of its own, as its own user, confined: the file system is read-only
// but for what is named, there are no devices, no new privileges, no capabilities but those named.
type RunSpec struct {
	Unit        string        // name with .service, unique on the host while it runs
	Description string        // for people who read systemctl's output
	Command     []string      // absolute path and arguments
	User        string        // who runs it; never empty: say root to mean it
	Env         []string      // NAME=value
	Dir         string        // where it runs; / if empty
	Writable    []string      // paths that it may write
	Hidden      []string      // paths that it may not even see
	Caps        []uintptr     // unix.CAP_…: what it keeps; none by default
	NoNetwork   bool          // it can open no sockets but those of this host, and no io_uring
	Timeout     time.Duration // it is stopped then; none if 0
	MemoryMax   int64         // bytes; no limit if 0
	Slice       string        // system.slice if empty
	Spares      bool          // what is left of it goes on when one of its processes was killed for want of memory
	Before      []string      // units whose start waits for this one's. As long as this one runs systemd does not forget them

	Stdin  *os.File // nothing if nil. The caller closes its ends
	Stdout *os.File // kept in RunResult.Output if nil
	Stderr *os.File // the same

	Started func() // called when the command has its own copies of the files; may be nil
}

// RunResult is how a command ended.
type RunResult struct {
	ExitStatus int    // 0: it succeeded; a signal's number when Why is signal or core-dump
	Why        string // systemd's word: success, exit-code, signal, timeout, oom-kill, …
	Output     string // what it wrote to standard error and standard output where they were not handed in; at most 16 KiB of the end
}

// OK reports whether the command succeeded.
func (r RunResult) OK() bool { return r.Why == "success" && r.ExitStatus == 0 }

// maxOutput is how much is kept of what a command writes.
const maxOutput = 16 << 10

// RunTransient runs a command in a unit of its own until it ends, and says how. The error tells only that it could not be run or
// that ctx ended; then its processes have been stopped. No unit remains.
func (b *Bus) RunTransient(ctx context.Context, spec RunSpec) (RunResult, error) {
	if err := spec.valid(); err != nil {
		return RunResult{}, err
	}
	conn, err := b.connected(ctx)
	if err != nil {
		return RunResult{}, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return RunResult{}, fmt.Errorf("run %s: %w", spec.Unit, err)
	}
	tail := make(chan string, 1)
	go func() { tail <- readTail(out) }() // ends when the last writer of the pipe is gone
	defer out.Close()                     // ends it at the latest

	done := make(chan string, 1)
	// Not cut short by ctx: systemd would run the command all the same, and nobody would know.
	starting, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	captured := spec
	captured.Stdout, captured.Stderr = cmp.Or(spec.Stdout, in), cmp.Or(spec.Stderr, in)
	// A oneshot's start job ends with its process: its result is the command's.
	_, err = conn.StartTransientUnitContext(starting, spec.Unit, "fail", append(captured.properties(), dbus.PropType("oneshot")), done)
	late := starting.Err() != nil
	cancel()
	_ = in.Close()
	if err != nil {
		err = fmt.Errorf("run %s: %w", spec.Unit, err)
		if late {
			err = errors.Join(err, b.abandon(ctx, conn, spec.Unit))
		}
		return RunResult{}, err
	}
	if spec.Started != nil {
		spec.Started()
	}
	result := RunResult{Why: "success"}
	select {
	case job := <-done:
		if job != "done" {
			result, err = b.autopsy(ctx, conn, spec.Unit, job)
		}
	case <-ctx.Done():
		err = errors.Join(fmt.Errorf("run %s: %w", spec.Unit, context.Cause(ctx)), b.abandon(ctx, conn, spec.Unit))
	}
	select {
	case result.Output = <-tail:
	case <-time.After(time.Second): // a process that left the unit holds the pipe: not ours to wait for
		_ = out.Close()
		result.Output = <-tail
	}
	return result, err
}

// StartTransient starts a command in a unit of its own, which goes on by itself, and after the caller's own end: it is started again if it fails, and
// as hard to starve and to kill as the agent. What it writes goes to the journal. One that runs already is left alone. No unit remains of one that has ended.
func (b *Bus) StartTransient(ctx context.Context, spec RunSpec) error {
	if err := spec.valid(); err != nil {
		return err
	}
	conn, err := b.connected(ctx)
	if err != nil {
		return err
	}
	properties := append(spec.properties(), dbus.PropType("exec"), prop("CollectMode", "inactive-or-failed"),
		prop("Restart", "on-failure"), prop("RestartUSec", uint64(time.Second/time.Microsecond)), prop("OOMScoreAdjust", int32(-900)), prop("CPUWeight", uint64(1000)))
	_, err = conn.StartTransientUnitContext(ctx, spec.Unit, "fail", properties, nil)
	if err != nil && !says(err, "UnitExists") {
		return fmt.Errorf("start %s: %w", spec.Unit, err)
	}
	return nil
}

// Kill kills all processes of a unit at once. One that does not run has none.
func (b *Bus) Kill(ctx context.Context, unit string) error {
	conn, err := b.connected(ctx)
	if err != nil {
		return err
	}
	err = conn.KillUnitWithTarget(ctx, unit, dbus.All, int32(unix.SIGKILL))
	if err != nil && !says(err, "NoSuchUnit") && !says(err, "NoSuchProcess") {
		return fmt.Errorf("kill %s: %w", unit, err)
	}
	return nil
}

// autopsy reads how a command failed, and lets systemd forget the unit, also when nobody waits for the answer any more.
func (b *Bus) autopsy(ctx context.Context, conn *dbus.Conn, unit, job string) (RunResult, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	u, err := b.Unit(ctx, unit)
	if err != nil {
		return RunResult{}, fmt.Errorf("how %s ended (%s): %w", unit, job, err)
	}
	if err := conn.ResetFailedUnitContext(ctx, unit); err != nil && !errors.Is(named(err), ErrNoUnit) {
		return RunResult{}, fmt.Errorf("forget %s: %w", unit, err)
	}
	if u.Result == "success" { // the job failed, but not by the command: canceled by a stop, for example
		return RunResult{}, &JobError{Job: "run", Unit: unit, Result: job}
	}
	return RunResult{ExitStatus: u.ExitStatus, Why: u.Result}, nil
}

// abandonTime is how long a command that is no longer wanted gets to end; after that systemd kills it.
const abandonTime = 15 * time.Second

func (b *Bus) abandon(ctx context.Context, conn *dbus.Conn, unit string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	if err := b.Stop(ctx, unit); err != nil && !errors.Is(err, ErrNoUnit) {
		return err
	}
	if err := conn.ResetFailedUnitContext(ctx, unit); err != nil && !errors.Is(named(err), ErrNoUnit) {
		return fmt.Errorf("forget %s: %w", unit, err)
	}
	return nil
}

// ClearTransient ends and forgets the transient units whose names match pattern ("prefix-*.service"): an agent that was killed has left them. A
// failed one would stay until somebody resets it. It takes as long as the slowest, and at most some 15 s.
func (b *Bus) ClearTransient(ctx context.Context, pattern string) error {
	conn, err := b.connected(ctx)
	if err != nil {
		return err
	}
	units, err := conn.ListUnitsByPatternsContext(ctx, nil, []string{pattern})
	if err != nil {
		return fmt.Errorf("list units %s: %w", pattern, err)
	}
	failed := make([]error, len(units))
	var all sync.WaitGroup
	for i, u := range units {
		all.Go(func() {
			now, err := b.Unit(ctx, u.Name)
			if err == nil && now.UnitFileState == "transient" {
				err = b.abandon(ctx, conn, u.Name)
			}
			if !errors.Is(err, ErrNoUnit) {
				failed[i] = err
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

func (s RunSpec) valid() error {
	switch {
	case !strings.HasSuffix(s.Unit, ".service"):
		return fmt.Errorf("run %q: the unit's name must end in .service", s.Unit)
	case len(s.Command) == 0 || !strings.HasPrefix(s.Command[0], "/"):
		return fmt.Errorf("run %s: the command %q must start with an absolute path", s.Unit, s.Command)
	case s.User == "":
		return fmt.Errorf("run %s: no user is named: name one, root if it must be", s.Unit)
	}
	return nil
}

// properties puts the spec into systemd's words.
func (s RunSpec) properties() []dbus.Property {
	var caps uint64
	for _, c := range s.Caps {
		caps |= 1 << c
	}
	p := []dbus.Property{
		dbus.PropDescription(s.Description),
		dbus.PropBefore(s.Before...),
		dbus.PropExecStart(s.Command, false), // false: a failure counts; the library's name for it says the opposite
		prop("User", s.User),
		prop("Environment", s.Env),
		prop("TimeoutStopUSec", uint64(5*time.Second/time.Microsecond)),
		prop("KillMode", "control-group"),
		prop("CapabilityBoundingSet", caps),
		prop("NoNewPrivileges", true),
		prop("ProtectSystem", "strict"),
		prop("PrivateTmp", true),
		prop("PrivateDevices", true),
		prop("ProtectClock", true),
		prop("ProtectControlGroups", true),
		prop("ProtectHostname", true),
		prop("ProtectKernelLogs", true),
		prop("ProtectKernelModules", true),
		prop("ProtectKernelTunables", true),
		prop("RestrictRealtime", true),
		prop("LockPersonality", true),
		prop("ReadWritePaths", s.Writable),
		prop("InaccessiblePaths", s.Hidden),
	}
	for name, file := range map[string]*os.File{"StandardInput": s.Stdin, "StandardOutput": s.Stdout, "StandardError": s.Stderr} {
		if file != nil {
			p = append(p, prop(name+"FileDescriptor", godbus.UnixFD(file.Fd())))
		}
	}
	if s.NoNetwork {
		// Not PrivateNetwork: to make and remove a namespace takes the kernel's one lock of all interfaces and addresses, and a move of an address waits
		// for it. io_uring can make sockets that no filter of system calls sees.
		p = append(p, prop("RestrictAddressFamilies", filter{true, []string{"AF_UNIX"}}), prop("SystemCallArchitectures", []string{"native"}),
			prop("SystemCallFilter", filter{false, []string{"io_uring_setup", "io_uring_enter", "io_uring_register"}}))
	}
	if s.Dir != "" {
		p = append(p, prop("WorkingDirectory", s.Dir))
	}
	if s.Timeout > 0 {
		p = append(p, prop("TimeoutStartUSec", uint64(s.Timeout/time.Microsecond)))
	}
	if s.MemoryMax > 0 {
		p = append(p, prop("MemoryMax", uint64(s.MemoryMax)))
	}
	if s.Spares {
		p = append(p, prop("OOMPolicy", "continue"))
	}
	if s.Slice != "" {
		p = append(p, dbus.PropSlice(s.Slice))
	}
	return p
}

// filter is systemd's (bas): what is let through, or, if not Allow, what is not.
type filter struct {
	Allow bool
	Names []string
}

func prop(name string, value any) dbus.Property {
	return dbus.Property{Name: name, Value: godbus.MakeVariant(value)}
}

// readTail reads to the end and keeps the last maxOutput bytes.
func readTail(r io.Reader) string {
	var kept []byte
	b := make([]byte, 4<<10)
	for {
		n, err := r.Read(b)
		kept = append(kept, b[:n]...)
		if len(kept) > maxOutput {
			kept = append(kept[:0], kept[len(kept)-maxOutput:]...)
		}
		if err != nil {
			return string(kept)
		}
	}
}
