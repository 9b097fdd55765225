//go:build linux

package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// stopWait is how long a process is given to end on SIGTERM when its fleet is closed.
const stopWait = 3 * time.Second

// Namespace is a place for processes of this machine on the fleet's network.
type Namespace struct {
	fleet *Fleet
	node  node
	dir   string

	mu        sync.Mutex
	processes []*Process
}

// ProcessSpec describes a process that runs as long as the fleet, or until it is stopped.
type ProcessSpec struct {
	// Name names its log: NAME.log in Namespace.Dir. A second process of the same name
	// continues the log of the first.
	Name string
	Argv []string
	// Env is added to this program's own environment.
	Env []string
	// Dir is the working directory; Namespace.Dir if empty.
	Dir string
}

// Process is a process in a namespace.
type Process struct {
	name    string
	log     string
	fleet   *Fleet
	watched *watched
}

// Name returns the namespace's name.
func (n *Namespace) Name() string { return n.node.Name }

// Addr returns its address on the fleet's network.
func (n *Namespace) Addr() netip.Addr { return n.node.Addr.Addr() }

// NetNS returns the name of the network namespace, for ip netns exec.
func (n *Namespace) NetNS() string { return n.fleet.net.namespace(n.node) }

// Dir returns a folder for the namespace's processes. It goes with the fleet.
func (n *Namespace) Dir() string { return n.dir }

// Start starts a process. It is stopped by Fleet.Close, and dies with this program unless
// the fleet has Spec.Keep.
func (n *Namespace) Start(spec ProcessSpec) (*Process, error) {
	if err := checkName("process", spec.Name); err != nil {
		return nil, err
	}
	if len(spec.Argv) == 0 {
		return nil, fmt.Errorf("process %s: no command given", spec.Name)
	}
	cmd := exec.Command(spec.Argv[0], spec.Argv[1:]...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Dir = spec.Dir
	if cmd.Dir == "" {
		cmd.Dir = n.dir
	}
	p := &Process{name: spec.Name, log: filepath.Join(n.dir, spec.Name+".log"), fleet: n.fleet}
	var err error
	if p.watched, err = n.fleet.launch(n.node.Name, n.NetNS(), p.log, cmd); err != nil {
		return nil, fmt.Errorf("start %s in %s: %w", spec.Name, n.node.Name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.processes = append(n.processes, p)
	return p, nil
}

// Command returns a command to be run to its end in the namespace, such as a call of a command
// line tool: set its streams, then Run it. If the command is still running when the fleet is closed,
// it is killed.
func (n *Namespace) Command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	n.fleet.place(n.NetNS(), cmd)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = stopWait
	return cmd
}

// Do calls fn on a thread in the namespace: sockets that fn opens belong to the fleet's network
// for good. Goroutines that fn starts do not run in the namespace.
func (n *Namespace) Do(fn func() error) error { return inNamespace(n.NetNS(), fn) }

// DialContext connects from the namespace. The host in addr is an IP address or the name of
// a guest or namespace. It fits http.Transport and the like.
func (n *Namespace) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	addr, err := n.fleet.resolve(addr)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	err = n.Do(func() (err error) {
		// For one literal address the socket is opened on the calling goroutine.
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Listen listens in the namespace, for addr as net.Listen takes it.
func (n *Namespace) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	var listener net.Listener
	err := n.Do(func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(ctx, network, addr)
		return err
	})
	return listener, err
}

// resolve replaces the name of a node by its address.
func (f *Fleet) resolve(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return addr, nil
	}
	n, err := findNode(f.net.nodes, host)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(n.Addr.Addr().String(), port), nil
}

// PID returns the process identifier.
func (p *Process) PID() int { return p.watched.id.PID }

// Log returns the path of the file that has the process's output.
func (p *Process) Log() string { return p.log }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.watched.ended }

// ExitCode returns the exit code of a process that has ended, or -1 if a signal ended it.
func (p *Process) ExitCode() int {
	<-p.watched.ended
	return p.watched.state.ExitCode()
}

// Signal sends a signal, SIGSTOP for instance. The error wraps os.ErrProcessDone if the
// process has ended.
func (p *Process) Signal(signal syscall.Signal) error {
	if err := p.watched.signal(signal); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.watched.kill(); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	return p.fleet.forget(p.watched)
}

// Stop ends the process with SIGTERM, or with SIGKILL when ctx ends first, which is an error.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var late error
	if err := p.watched.wait(ctx); err != nil {
		late = fmt.Errorf("%s did not end on SIGTERM: %w", p.name, err)
	}
	return errors.Join(late, p.Kill())
}

func (n *Namespace) stopAll() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	for _, p := range n.processes {
		p.watched.signal(syscall.SIGTERM) //nolint:errcheck // killed below in any case
	}
	var faults []error
	for _, p := range n.processes {
		p.watched.wait(ctx) //nolint:errcheck // as above
		faults = append(faults, p.Kill())
	}
	return errors.Join(faults...)
}

func (n *Namespace) abandonAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.processes {
		p.watched.abandon()
	}
}
