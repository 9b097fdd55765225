//go:build linux

// Package fleet brings up a Glidepath fleet as its users would have it: three coordinators and two hosts, installed from the
// Debian packages that the build makes, on the guests and namespaces of package vm.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/testenv/vm"
)

// Names in every fleet.
const (
	HostA = "host-a"
	HostB = "host-b"
	// clients is the namespace that clients and the command line run in.
	clients = "clients"

	// Unit is the service that a fleet has to move: Debian's Redis.
	Unit = "redis-server.service"
	// Port is where it listens.
	Port = "6379"
	// Address is for it to take along, with the prefix length.
	Address = "10.77.0.60/24"
)

// Options say how a fleet is to be.
type Options struct {
	Name string // tells fleets that run at the same time apart; see vm.Spec
	// Debs is the folder with the packages that `make deb` built.
	Debs string
	// Packages are Debian packages that the hosts have beside those that all guests have.
	Packages []string
	CPUs     int // of each host; 2 if 0
	// GridStep and Probation are the fleet's; 10 s and 15 s if 0.
	GridStep, Probation time.Duration
	// Keep lets the fleet outlive this program; see vm.Spec.
	Keep     bool
	Progress func(string) // is told what is going on, in sentences
	Logger   *slog.Logger
}

// Fleet is a running fleet. Its methods may be called by many goroutines at once, but for Close and Detach, which come last.
type Fleet struct {
	VM *vm.Fleet

	coordinators []*Coordinator
	admin        credentials
	programs     string // folder of the coordinator's unpacked package
	options      Options
}

// credentials are what init prints for the command line.
type credentials struct{ token, pin string }

// Up brings a fleet up and returns when both hosts have joined. If it fails, nothing is left behind.
func Up(ctx context.Context, o Options) (*Fleet, error) {
	o.GridStep = cmp.Or(o.GridStep, 10*time.Second)
	o.Probation = cmp.Or(o.Probation, 15*time.Second)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	debs, err := findDebs(o.Debs)
	if err != nil {
		return nil, err
	}
	guests, err := vm.Start(ctx, vm.Spec{
		Name: o.Name, Keep: o.Keep, Progress: o.Progress, Logger: o.Logger, Image: vm.Image{Packages: o.Packages},
		// They boot while the coordinators start.
		Guests: []vm.GuestSpec{{Name: HostA, Addr: "10.77.0.21/24", CPUs: o.CPUs, Off: true}, {Name: HostB, Addr: "10.77.0.22/24", CPUs: o.CPUs, Off: true}},
		Namespaces: []vm.NamespaceSpec{
			{Name: "c1", Addr: "10.77.0.11/24"}, {Name: "c2", Addr: "10.77.0.12/24"}, {Name: "c3", Addr: "10.77.0.13/24"},
			{Name: clients, Addr: "10.77.0.31/24"},
		},
	})
	if err != nil {
		return nil, err
	}
	f := &Fleet{VM: guests, options: o, programs: filepath.Join(guests.Dir(), "coordinator")}
	if err := f.bringUp(ctx, debs); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// debs are the paths of the packages.
type debs struct{ agent, coordinator string }

func findDebs(folder string) (debs, error) {
	var d debs
	for name, path := range map[string]*string{"glidepath-agent": &d.agent, "glidepath-coordinator": &d.coordinator} {
		found, err := filepath.Glob(filepath.Join(folder, name+"_*.deb"))
		if err != nil {
			return d, err
		}
		if len(found) != 1 {
			return d, fmt.Errorf("%d packages %s_*.deb in %s instead of one: run make clean deb", len(found), name, folder)
		}
		*path = found[0]
	}
	return d, nil
}

func (f *Fleet) bringUp(ctx context.Context, d debs) error {
	if err := unpack(ctx, d.coordinator, f.programs); err != nil {
		return err
	}
	f.options.Progress("Booting host-a and host-b, and starting three coordinators")
	both, started := errgroup.WithContext(ctx)
	both.Go(func() error { return f.startCoordinators(started) })
	for _, g := range f.Hosts() {
		both.Go(func() error { return prepareHost(started, g, d.agent) })
	}
	if err := both.Wait(); err != nil {
		return err
	}
	f.options.Progress("Joining host-a and host-b to the fleet")
	joining, joined := errgroup.WithContext(ctx)
	for _, g := range f.Hosts() {
		joining.Go(func() error { return f.join(joined, g) })
	}
	if err := joining.Wait(); err != nil {
		return err
	}
	return f.awaitHosts(ctx)
}

// Hosts returns the guests.
func (f *Fleet) Hosts() []*vm.Guest { return f.VM.Guests() }

// Host returns a guest by name.
func (f *Fleet) Host(name string) *vm.Guest { return f.VM.Guest(name) }

// Other returns the host that name is not.
func Other(name string) string {
	if name == HostA {
		return HostB
	}
	return HostA
}

// Clients returns the namespace for clients.
func (f *Fleet) Clients() *vm.Namespace { return f.VM.Namespace(clients) }

// FloatingAddr returns the address that the instance takes along.
func FloatingAddr() netip.Addr { return netip.MustParsePrefix(Address).Addr() }

// Close ends the fleet and removes everything.
func (f *Fleet) Close() error { return f.VM.Close() }

// Detach leaves the fleet running, and writes a file that a shell reads to speak to it. It returns its path.
func (f *Fleet) Detach() (string, error) {
	path, err := f.writeEnvironment()
	return path, errors.Join(err, f.VM.Detach())
}

// poll calls what until it returns true or an error, and gives up with a description of what was waited for.
func poll(ctx context.Context, most time.Duration, waitingFor string, what func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		done, err := what(ctx)
		if done {
			return err
		}
		if err != nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s: %w", most, waitingFor, errors.Join(ctx.Err(), last))
		}
	}
}

// quote makes text one word for a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
