//go:build linux

package vm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/testenv/vm/guestd"
	"github.com/glidepath/glidepath/testenv/vm/qmp"
)

// Guest is one host of the fleet.
type Guest struct {
	fleet  *Fleet
	node   node
	dir    string
	client *guestd.Client

	mu sync.Mutex
	// qemu is nil while the guest is off.
	qemu *watched
}

// ErrOff means that the guest has no running QEMU.
var ErrOff = errors.New("the guest is off")

func newGuest(f *Fleet, n node) *Guest {
	g := &Guest{fleet: f, node: n, dir: filepath.Join(f.dir, "guest", n.Name)}
	g.client = &guestd.Client{Dial: g.dialControl}
	return g
}

// Name returns the guest's name, which is also its host name.
func (g *Guest) Name() string { return g.node.Name }

// Addr returns the guest's address on the fleet's network.
func (g *Guest) Addr() netip.Addr { return g.node.Addr.Addr() }

// Console returns the path of the log of the guest's serial console.
func (g *Guest) Console() string { return filepath.Join(g.dir, "console.log") }

func (g *Guest) disk() string       { return filepath.Join(g.dir, "disk.qcow2") }
func (g *Guest) qmpSocket() string  { return filepath.Join(g.dir, "qmp") }
func (g *Guest) qemuLog() string    { return filepath.Join(g.dir, "qemu.log") }
func (g *Guest) wrap(e error) error { return fmt.Errorf("guest %s: %w", g.node.Name, e) }

// prepare makes the guest's disk.
func (g *Guest) prepare(ctx context.Context) error {
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return err
	}
	if len(g.qmpSocket()) > maxSocketPath {
		return fmt.Errorf("path of its socket %s is longer than %d bytes: set GLIDEPATH_VM_STATE to a shorter folder, or shorten the fleet's name", g.qmpSocket(), maxSocketPath)
	}
	return runTool(ctx, nil, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", g.fleet.image.disk, g.disk())
}

// Boot starts a guest that is off, from the disk as it was left, and waits until its system is
// up. It adds itself to the hosts file there.
//
// A kernel measures how fast its time stamp counter runs while it starts, and on busy cores an emulated one may be
// wrong by several times: its clocks then crawl until it is booted again, which is done here.
func (g *Guest) Boot(ctx context.Context) error {
	for boots := 1; ; boots++ {
		if err := g.boot(ctx); err != nil {
			return err
		}
		off, err := g.clockOff(ctx)
		if err != nil {
			return err
		}
		if off <= mostClockOff {
			return g.WriteFile(ctx, "/etc/hosts", 0o644, g.fleet.hostsFile())
		}
		if boots == mostBoots {
			return g.wrap(fmt.Errorf("boot: its clock does not keep time: it is off by %v after %d boots", off, boots))
		}
		g.fleet.logger.Warn("guest's clock does not keep time: booting it again", "guest", g.node.Name, "off", off)
		if err := g.Kill(); err != nil {
			return err
		}
	}
}

const (
	// mostClockOff is by how much a clock that was set by its second at the start of a boot may be off at its end.
	mostClockOff = 3 * time.Second
	mostBoots    = 3
)

// clockOff returns by how much the guest's wall clock is off, at least.
func (g *Guest) clockOff(ctx context.Context) (time.Duration, error) {
	asked := time.Now()
	is, err := g.Clock(ctx)
	if err != nil {
		return 0, err
	}
	return max(0, asked.Sub(is), time.Until(is)), nil
}

func (g *Guest) boot(ctx context.Context) error {
	g.mu.Lock()
	if g.qemu != nil {
		select {
		case <-g.qemu.ended:
			g.qemu.abandon()
		default:
			g.mu.Unlock()
			return g.wrap(errors.New("boot: it is on"))
		}
	}
	start := time.Now()
	var err error
	g.qemu, err = g.fleet.launch(g.node.Name, g.fleet.net.switchNamespace(), g.qemuLog(), g.qemuCommand())
	g.mu.Unlock()
	if err != nil {
		return g.wrap(fmt.Errorf("start QEMU: %w", err))
	}
	if err := g.awaitBoot(ctx); err != nil {
		return err
	}
	g.fleet.logger.Info("guest booted", "guest", g.node.Name, "took", time.Since(start))
	return nil
}

// bootTime bounds a boot, which takes half a minute on two busy cores: an emulated processor may hang for good.
const bootTime = 5 * time.Minute

// awaitBoot waits until the guest's system is up.
func (g *Guest) awaitBoot(ctx context.Context) error {
	process, err := g.process()
	if err != nil {
		return g.wrap(err)
	}
	ctx, late := context.WithTimeoutCause(ctx, bootTime, fmt.Errorf("it is not up after %v", bootTime))
	defer late()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		if process.wait(ctx) == nil {
			cancel(ErrOff)
		}
	}()
	defer func() { cancel(nil); <-watching }()

	err = g.pollBoot(ctx)
	if err == nil {
		err = g.awaitSystem(ctx)
	}
	if err != nil {
		return g.wrap(fmt.Errorf("did not boot: %w; %s", err, g.lastWords()))
	}
	return nil
}

// pollBoot asks until the control server answers.
func (g *Guest) pollBoot(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := g.client.Hello(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// awaitSystem waits until systemd has finished starting. A unit that failed is the business of
// whoever installed it.
func (g *Guest) awaitSystem(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := g.Exec(ctx, "systemctl", "is-system-running", "--wait")
		var exit *guestd.ExitError
		switch state = strings.TrimSpace(state); {
		case state == "running":
			return nil
		case state == "degraded":
			g.fleet.logger.Warn("guest has failed units", "guest", g.node.Name)
			return nil
		case err != nil && !errors.As(err, &exit):
			return err
		}
		// systemd does not take calls yet.
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// lastWords says what is known of a guest that is in trouble.
func (g *Guest) lastWords() string {
	text := ""
	for _, path := range []string{g.qemuLog(), g.Console()} {
		content, err := os.ReadFile(path)
		if err != nil {
			content = []byte(err.Error())
		}
		text += fmt.Sprintf("end of %s:\n%s\n", filepath.Base(path), lastLines(string(content), 15))
	}
	return text
}

// process returns the guest's QEMU, or ErrOff.
func (g *Guest) process() (*watched, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.qemu == nil {
		return nil, ErrOff
	}
	select {
	case <-g.qemu.ended:
		return nil, ErrOff
	default:
		return g.qemu, nil
	}
}

// Shutdown shuts the guest down in order, as an operator would, and waits until it is off.
func (g *Guest) Shutdown(ctx context.Context) error {
	process, err := g.process()
	if err != nil {
		return g.wrap(err)
	}
	if _, err := g.Exec(ctx, "systemctl", "poweroff", "--no-block"); err != nil {
		return err
	}
	if err := process.wait(ctx); err != nil {
		return g.wrap(fmt.Errorf("shut down: %w", err))
	}
	return g.Kill()
}

// Kill cuts the guest's power: SIGKILL to its QEMU. What the guest has synced to its disk is
// there when it boots again. A guest that is off is no error.
func (g *Guest) Kill() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.qemu == nil {
		return nil
	}
	if err := g.qemu.kill(); err != nil {
		return g.wrap(err)
	}
	err := g.fleet.forget(g.qemu)
	g.qemu = nil
	return err
}

// HardReboot cuts the guest's power, boots it again and waits until it is up. After the reset button it would be longer: an emulated processor unpacks
// the kernel at a tenth of its speed where a kernel has run before.
func (g *Guest) HardReboot(ctx context.Context) error {
	if err := g.Kill(); err != nil {
		return err
	}
	return g.Boot(ctx)
}

// Pause stops the guest's processors. Its clock stands still meanwhile.
func (g *Guest) Pause(ctx context.Context) error {
	return g.monitor(ctx, func(c *qmp.Client) error { return c.Execute(ctx, "stop", nil, nil) })
}

// Resume undoes Pause. The guest's clock is behind by the time of the pause; StepClock(ctx, 0) puts it right.
func (g *Guest) Resume(ctx context.Context) error {
	return g.monitor(ctx, func(c *qmp.Client) error { return c.Execute(ctx, "cont", nil, nil) })
}

// monitor runs something on a connection to the guest's QEMU.
func (g *Guest) monitor(ctx context.Context, use func(*qmp.Client) error) error {
	if _, err := g.process(); err != nil {
		return g.wrap(err)
	}
	client, err := qmp.Dial(ctx, g.qmpSocket())
	if err != nil {
		return g.wrap(err)
	}
	defer client.Close()
	if err := use(client); err != nil {
		return g.wrap(err)
	}
	return nil
}

// adopt finds the guest of a fleet that is opened again.
func (g *Guest) adopt(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.fleet.manifest.Processes {
		if r.Node != g.node.Name {
			continue
		}
		process, err := watch(r.processID, nil)
		if errors.Is(err, os.ErrProcessDone) {
			continue
		}
		if err != nil {
			return err
		}
		g.qemu = process
		if _, err := g.client.Hello(ctx); err != nil {
			return err
		}
	}
	return nil
}

// abandon lets the guest go on by itself.
func (g *Guest) abandon() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.qemu != nil {
		g.qemu.abandon()
	}
}
