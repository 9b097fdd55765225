//go:build linux

package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Fleet is a running fleet. Its methods may be called by many goroutines at once, but for Close
// and Detach, which come last.
type Fleet struct {
	dir        string
	lock       *os.File
	keep       bool
	logger     *slog.Logger
	net        network
	image      builtImage
	starter    *starter
	guests     map[string]*Guest
	namespaces map[string]*Namespace

	mu       sync.Mutex
	manifest manifest
}

// Start sweeps, makes the image if the cache lacks it, builds the fleet and returns when every
// guest has booted. If it fails, nothing is left behind.
func Start(ctx context.Context, spec Spec) (*Fleet, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	nodes, err := spec.resolve()
	if err != nil {
		return nil, err
	}
	progress := spec.Progress
	if progress == nil {
		progress = func(string) {}
	}
	image, err := BuildImage(ctx, spec.Image, progress)
	if err != nil {
		return nil, fmt.Errorf("fleet %s: %w", spec.Name, err)
	}
	f, err := claim(ctx, spec, nodes, image)
	if err != nil {
		return nil, fmt.Errorf("fleet %s: %w", spec.Name, err)
	}
	if err := f.bringUp(ctx, progress); err != nil {
		return nil, errors.Join(fmt.Errorf("fleet %s: %w", spec.Name, err), f.Close())
	}
	return f, nil
}

// claim makes the fleet's folder, locked, with the manifest of all that will be made.
func claim(ctx context.Context, spec Spec, nodes []node, image string) (*Fleet, error) {
	state, release, err := lockState(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if _, err := sweepLocked(ctx, state, isStale); err != nil {
		return nil, err
	}
	dir := filepath.Join(state, spec.Name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, errors.New("there is a fleet of this name already: choose another name, or remove that fleet with Destroy")
		}
		return nil, err
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	net := network{fleet: spec.Name, nodes: nodes}
	m := manifest{
		Name: spec.Name, BootID: boot, Created: time.Now().UTC(), Namespaces: net.namespaces(), Nodes: nodes, Image: image,
	}
	held, err := tryLockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	if err := m.write(dir); err != nil {
		held.Close()
		return nil, err
	}
	return newFleet(dir, held, m, spec.Keep, spec.Logger), nil
}

func newFleet(dir string, lock *os.File, m manifest, keep bool, logger *slog.Logger) *Fleet {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	f := &Fleet{
		dir: dir, lock: lock, keep: keep, logger: logger.With("component", "vm", "fleet", m.Name),
		net: network{fleet: m.Name, nodes: m.Nodes}, image: openImage(m.Image), starter: newStarter(),
		guests: map[string]*Guest{}, namespaces: map[string]*Namespace{}, manifest: m,
	}
	for _, n := range m.Nodes {
		if n.Guest {
			f.guests[n.Name] = newGuest(f, n)
		} else {
			f.namespaces[n.Name] = &Namespace{fleet: f, node: n, dir: filepath.Join(dir, "ns", n.Name)}
		}
	}
	return f
}

// Open takes over a fleet that was detached. Its namespaces' processes go on, but are not
// known as a Process any more.
func Open(ctx context.Context, name string, logger *slog.Logger) (*Fleet, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	state, err := makeStateDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(state, name)
	m, err := readManifest(dir)
	if err != nil {
		return nil, fmt.Errorf("no fleet %q to open: %w", name, err)
	}
	lock, err := tryLockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("open fleet %s: %w", name, err)
	}
	f := newFleet(dir, lock, m, true, logger)
	for _, g := range f.guests {
		if err := g.adopt(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("open fleet %s: guest %s: %w", name, g.node.Name, err), f.Detach())
		}
	}
	return f, nil
}

func (f *Fleet) bringUp(ctx context.Context, progress func(string)) error {
	if err := f.net.build(ctx); err != nil {
		return fmt.Errorf("build the network: %w", err)
	}
	for _, ns := range f.namespaces {
		if err := os.MkdirAll(ns.dir, 0o700); err != nil {
			return err
		}
	}
	progress(fmt.Sprintf("Booting %d guests", len(f.guests)))
	boots, ctx := errgroup.WithContext(ctx)
	for _, g := range f.guests {
		if err := g.prepare(ctx); err != nil {
			return fmt.Errorf("guest %s: %w", g.node.Name, err)
		}
		if !g.node.Off {
			boots.Go(func() error { return g.Boot(ctx) })
		}
	}
	return boots.Wait()
}

// Name returns the fleet's name.
func (f *Fleet) Name() string { return f.net.fleet }

// Dir returns the fleet's folder. What is put there is removed with the fleet.
func (f *Fleet) Dir() string { return f.dir }

// Guest returns a guest by name. It panics if the fleet has none of that name, as that is a mistake in
// the program.
func (f *Fleet) Guest(name string) *Guest {
	g, found := f.guests[name]
	if !found {
		panic(fmt.Sprintf("vm: fleet %s has no guest %q", f.Name(), name))
	}
	return g
}

// Namespace returns a namespace by name. It panics if the fleet has none of that name.
func (f *Fleet) Namespace(name string) *Namespace {
	ns, found := f.namespaces[name]
	if !found {
		panic(fmt.Sprintf("vm: fleet %s has no namespace %q", f.Name(), name))
	}
	return ns
}

// Guests returns all guests in the order of the description.
func (f *Fleet) Guests() []*Guest {
	var all []*Guest
	for _, n := range f.net.nodes {
		if n.Guest {
			all = append(all, f.guests[n.Name])
		}
	}
	return all
}

// Close ends all processes and guests, without ceremony, and removes everything.
func (f *Fleet) Close() error {
	var faults []error
	for _, ns := range f.namespaces {
		faults = append(faults, ns.stopAll())
	}
	var guests errgroup.Group
	for _, g := range f.guests {
		guests.Go(g.Kill)
	}
	faults = append(faults, guests.Wait())
	f.starter.close()
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	faults = append(faults, dismantle(ctx, f.dir, f.manifest), f.lock.Close())
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("remove fleet %s: %w", f.Name(), err)
	}
	return nil
}

// Detach leaves a fleet with Spec.Keep running when this program ends. Open takes it up
// again, Destroy removes it.
func (f *Fleet) Detach() error {
	if !f.keep {
		return fmt.Errorf("fleet %s: can't be detached, its processes end with this program: start it with Keep", f.Name())
	}
	for _, ns := range f.namespaces {
		ns.abandonAll()
	}
	for _, g := range f.guests {
		g.abandon()
	}
	f.starter.close()
	err := f.record(func(m *manifest) { m.Detached = true })
	return errors.Join(err, f.lock.Close())
}

// record changes the manifest.
func (f *Fleet) record(change func(*manifest)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.manifest)
	return f.manifest.write(f.dir)
}

// launch starts a process of the fleet, on behalf of a node, in one of the fleet's network
// namespaces, with its output appended to the file log.
func (f *Fleet) launch(node, namespace, log string, cmd *exec.Cmd) (*watched, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	f.place(namespace, cmd)
	if !f.keep {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := f.starter.start(cmd); err != nil {
		return nil, err
	}
	// Our child keeps its number until it is waited for, so this can't be another.
	id, err := identify(cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	p, err := watch(id, cmd)
	if err != nil {
		return nil, err
	}
	err = f.record(func(m *manifest) { m.Processes = append(m.Processes, processRecord{id, node}) })
	if err != nil {
		return nil, errors.Join(err, p.kill())
	}
	return p, nil
}

// forget takes a process that has ended from the manifest.
func (f *Fleet) forget(p *watched) error {
	return f.record(func(m *manifest) {
		m.Processes = slices.DeleteFunc(m.Processes, func(r processRecord) bool { return r.processID == p.id })
	})
}

// place makes cmd run in a network namespace as a process of this fleet, out of reach of the
// terminal's Ctrl-C. The command keeps its process identifier, as nsenter becomes the program.
func (f *Fleet) place(namespace string, cmd *exec.Cmd) {
	cmd.Args = slices.Concat([]string{"nsenter", "--net=" + filepath.Join(netnsDir, namespace), "--"}, cmd.Args)
	if path, err := exec.LookPath("nsenter"); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	cmd.Env = append(cmd.Environ(), fleetVariable+"="+f.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
