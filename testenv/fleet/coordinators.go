//go:build linux

package fleet

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/testenv/vm"
)

// startWait bounds the start of coordinators on a machine that boots guests at the same time.
const startWait = 90 * time.Second

// Coordinator is one of the coordinators: a process in a namespace of its own, whose data outlive it.
type Coordinator struct {
	fleet *Fleet
	ns    *vm.Namespace

	mu       sync.Mutex
	programs string      // folder of the package that it runs; "": the fleet's
	process  *vm.Process // nil while it is stopped
}

// Coordinators returns all three.
func (f *Fleet) Coordinators() []*Coordinator { return f.coordinators }

// Name returns its name in the fleet.
func (c *Coordinator) Name() string { return c.ns.Name() }

// API returns the address of its API.
func (c *Coordinator) API() string { return c.ns.Addr().String() + ":7648" }

func (c *Coordinator) config() string { return filepath.Join(c.ns.Dir(), "coordinator.yaml") }

// Use makes it run the programs of another package, which Unpack has unpacked, from its next start on; "" are those that the fleet began with.
func (c *Coordinator) Use(programs string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.programs = programs
}

// Unpack unpacks another package of the coordinator, and returns the folder with its programs.
func (f *Fleet) Unpack(ctx context.Context, deb string) (programs string, err error) {
	programs = filepath.Join(f.VM.Dir(), filepath.Base(deb))
	return programs, unpack(ctx, deb, programs)
}

func unpack(ctx context.Context, deb, folder string) error {
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "--extract", deb, folder).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w: %s", deb, err, out)
	}
	return nil
}

// writeConfig writes what stands in /etc/glidepath/coordinator.yaml elsewhere.
func (c *Coordinator) writeConfig() error {
	addr := c.ns.Addr()
	text := fmt.Sprintf("name: %s\ndata_dir: %s\nrpc: {listen: \"%s:7647\"}\ngossip: {listen: \"%s:7646\"}\napi: {listen: \"%s:7648\"}\n",
		c.Name(), filepath.Join(c.ns.Dir(), "data"), addr, addr, addr)
	return os.WriteFile(c.config(), []byte(text), 0o600)
}

// glidepathd runs the daemon's program to its end and returns what it printed.
func (c *Coordinator) glidepathd(ctx context.Context, args ...string) (string, error) {
	var out, errOut bytes.Buffer
	argv := append([]string{c.fleet.program("glidepathd"), "--config", c.config()}, args...)
	cmd := c.ns.Command(ctx, argv...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("coordinator %s: glidepathd %s: %w: %s", c.Name(), args[0], err, bytes.TrimSpace(errOut.Bytes()))
	}
	return out.String(), nil
}

// Start starts it. It is an error if it runs.
func (c *Coordinator) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		return fmt.Errorf("coordinator %s runs already", c.Name())
	}
	process, err := c.ns.Start(vm.ProcessSpec{Name: "glidepathd", Argv: []string{filepath.Join(cmp.Or(c.programs, c.fleet.programs), "usr/bin/glidepathd"), "--config", c.config(), "run"}})
	if err != nil {
		return err
	}
	c.process = process
	return nil
}

// Stop ends it as systemd does. One that is stopped is no error.
func (c *Coordinator) Stop(ctx context.Context) error {
	return c.end(func(p *vm.Process) error { return p.Stop(ctx) })
}

// Kill9 ends it with SIGKILL.
func (c *Coordinator) Kill9() error { return c.end((*vm.Process).Kill) }

func (c *Coordinator) end(how func(*vm.Process) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return nil
	}
	err := how(c.process)
	c.process = nil
	return err
}

// Ended returns an error if it ended by itself.
func (c *Coordinator) Ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return nil
	}
	select {
	case <-c.process.Done():
		return fmt.Errorf("coordinator %s ended by itself with code %d: see %s", c.Name(), c.process.ExitCode(), c.process.Log())
	default:
		return nil
	}
}

func (f *Fleet) program(name string) string { return filepath.Join(f.programs, "usr/bin", name) }

// startCoordinators makes the fleet on the first coordinator and has the others join it.
func (f *Fleet) startCoordinators(ctx context.Context) error {
	for _, name := range []string{"c1", "c2", "c3"} {
		c := &Coordinator{fleet: f, ns: f.VM.Namespace(name)}
		if err := c.writeConfig(); err != nil {
			return err
		}
		f.coordinators = append(f.coordinators, c)
	}
	first := f.coordinators[0]
	out, err := first.glidepathd(ctx, "init", "--grid-step", f.options.GridStep.String(), "--probation", f.options.Probation.String())
	if err != nil {
		return err
	}
	if f.admin, err = readCredentials(out); err != nil {
		return err
	}
	if err := first.Start(); err != nil {
		return err
	}
	if err := f.awaitLeader(ctx, 1); err != nil {
		return err
	}
	var joining errgroup.Group
	for _, c := range f.coordinators[1:] {
		joining.Go(func() error { return f.takeIn(ctx, c) })
	}
	if err := joining.Wait(); err != nil {
		return err
	}
	return f.awaitLeader(ctx, len(f.coordinators))
}

// readCredentials finds in what init printed the lines for a shell.
func readCredentials(text string) (credentials, error) {
	find := func(name string) string {
		m := regexp.MustCompile(`(?m)^\s*export ` + name + `=(\S+)$`).FindStringSubmatch(text)
		if m == nil {
			return ""
		}
		return m[1]
	}
	c := credentials{token: find("GLIDEPATH_TOKEN"), pin: find("GLIDEPATH_CA_PIN")}
	if c.token == "" || c.pin == "" {
		return c, fmt.Errorf("glidepathd init has not printed GLIDEPATH_TOKEN and GLIDEPATH_CA_PIN, but: %.500s", text)
	}
	return c, nil
}

func (f *Fleet) takeIn(ctx context.Context, c *Coordinator) error {
	token, err := f.joinToken(ctx, "coordinator", c.Name())
	if err != nil {
		return err
	}
	if _, err := c.glidepathd(ctx, "join", "--token", token); err != nil {
		return err
	}
	return c.Start()
}

// awaitLeader waits until there is a leader and so many coordinators vote.
func (f *Fleet) awaitLeader(ctx context.Context, voters int) error {
	return poll(ctx, startWait, fmt.Sprintf("a leader of %d coordinators", voters), func(ctx context.Context) (bool, error) {
		for _, c := range f.coordinators {
			if err := c.Ended(); err != nil {
				return true, err
			}
		}
		s, err := f.Status(ctx)
		if err != nil {
			return false, err
		}
		voting := 0
		for _, c := range s.Coordinators {
			if c.Voter {
				voting++
			}
		}
		return s.Leader != "" && voting >= voters, nil
	})
}

// Leader returns the coordinator that leads.
func (f *Fleet) Leader(ctx context.Context) (*Coordinator, error) {
	s, err := f.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range f.coordinators {
		if c.Name() == s.Leader {
			return c, nil
		}
	}
	return nil, errors.New("there is no leader")
}
