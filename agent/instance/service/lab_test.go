package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/agent/allow"
	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

const (
	name     = "cache-1"
	unitName = "redis-server.service"
	socket   = "redis-server.socket"
	timer    = "redis-server.timer"
)

// The addresses of the instance, which go from place to place one by one.
var floatingAddrs = [2]netip.Prefix{netip.MustParsePrefix("10.77.0.60/24"), netip.MustParsePrefix("10.77.0.61/24")}

// crash is what an agent dies of in these tests.
type crash struct{ at int }

// lab is two hosts on one link. Every effect of an agent on its host is a point at which it may die, before and after; at
// each the invariants are looked at.
type lab struct {
	t       *testing.T
	mu      sync.Mutex // of all that follows: an agent's operations and its keeper run at once
	hosts   [2]*labHost
	points  int
	crashAt []int // ascending
	broken  []string
	permit  int64 // milliseconds that a permit lasts

	hook func(host string, spec systemd.RunSpec) (systemd.RunResult, error) // what commands come to; nothing is run where it is nil

	stuck     string // a path that can't be renamed
	unguarded bool   // no guard can be started
	lax       bool   // what systemd asks lets everything run
	unfenced  error  // what it fails with
}

// labHost is a host whose systemd, kernel and disk outlive its agent.
type labHost struct {
	lab     *lab
	name    string
	dir     string
	units   map[string]*systemd.Unit
	dropIns map[string]bool
	places  [2]address.Place // of the addresses
	guard   string           // unit of the guard that runs
	runs    string           // the program of the unit's main process

	driver *Driver
}

// lock takes the lab and returns what gives it back.
func (l *lab) lock() (unlock func()) {
	l.mu.Lock()
	return l.mu.Unlock
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, permit: 15_000}
	base := scratch(t)
	for i, host := range []string{"host-a", "host-b"} {
		h := &labHost{lab: l, name: host, dir: filepath.Join(base, host), dropIns: map[string]bool{}}
		h.units = map[string]*systemd.Unit{
			unitName: {Name: unitName, LoadState: "loaded", ActiveState: "inactive", UnitFileState: "disabled", Type: "notify", ExecStart: [][]string{{"/bin/sh"}}, TriggeredBy: []string{timer, socket}},
			socket:   {Name: socket, LoadState: "loaded", ActiveState: "inactive", UnitFileState: "disabled"},
			timer:    {Name: timer, LoadState: "loaded", ActiveState: "inactive", UnitFileState: "disabled"},
		}
		for _, d := range []string{"fence", "lib", "etc/redis", "own", "keep/aside"} {
			l.must(os.MkdirAll(filepath.Join(h.dir, d), 0o755))
		}
		l.must(os.WriteFile(filepath.Join(h.dir, "etc/redis/redis.conf"), []byte("of "+host), 0o640))
		l.must(os.WriteFile(h.path("cgroup.controllers"), []byte("cpu io memory pids\n"), 0o644))
		l.hosts[i] = h
	}
	a := l.hosts[0]
	for _, u := range a.units {
		u.ActiveState, u.UnitFileState, u.InvocationID = "active", "enabled", "first"
	}
	a.places = both(address.Announced)
	l.must(os.MkdirAll(filepath.Join(a.dir, "lib/redis/sub"), 0o750))
	l.must(os.WriteFile(filepath.Join(a.dir, "lib/redis/sub/data.aof"), []byte("precious"), 0o600))
	for _, h := range l.hosts {
		h.boot()
	}
	return l
}

// scratch returns a folder in memory where there is one: what a disk may lose is tested where the files are written.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "glidepath-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// point is passed before and after every effect.
func (l *lab) point(what string) {
	l.points++
	running, announcing := 0, 0
	for _, h := range l.hosts {
		if h.units[unitName].ActiveState == "active" {
			running++
		}
		if slices.Contains(h.places[:], address.Announced) {
			announcing++
		}
	}
	if running > 1 || announcing > 1 {
		l.broken = append(l.broken, fmt.Sprintf("at %s (point %d): %d run it, %d announce an address", what, l.points, running, announcing))
	}
	if slices.Contains(l.crashAt, l.points) {
		panic(crash{l.points})
	}
}

// boot gives the host a new agent, as after a crash.
func (h *labHost) boot() {
	store, err := fence.Open(labFiles{durable.OS{}, h}, filepath.Join(h.dir, "fence"))
	h.lab.must(err)
	list, err := allow.Parse(strings.NewReader(fmt.Sprintf("units: [%s]\npaths: [%s]\naddresses: [10.77.0.0/24]\nhooks: ['root:%[2]s/hooks/*']", unitName, h.dir)), "allow.yaml")
	h.lab.must(err)
	h.driver = New(Config{
		Host: h.name, DataDir: filepath.Join(h.dir, "own"), KeepDir: filepath.Join(h.dir, "keep"), Root: h.dir, CgroupRoot: h.dir, Interface: "eth0",
		Files: labFiles{durable.OS{}, h}, Fence: store, Allow: list, Systemd: labSystemd{h}, Limits: labLimits{h}, Addresses: labAddresses{h}, Permits: labPermits{h},
		MayRun: func(_ context.Context, unit string) (bool, error) {
			ok, _ := fence.MayRun(h.path("fence"), unit)
			return ok || h.lab.lax, h.lab.unfenced
		},
		Log: slog.New(slog.DiscardHandler),
	})
}

// do carries out an operation, begun again after each crash, as the journal and the leader do it.
func (l *lab) do(host int, kind proto.OperationKind, fenceNumber uint64, migration string, facts *proto.SourceFacts) proto.OperationResult {
	l.t.Helper()
	h := l.hosts[host]
	for {
		result, crashed := l.try(h, proto.Operation{Kind: kind, Instance: name, Migration: migration, Incarnation: 1, Fence: fenceNumber, Spec: h.spec(), Facts: facts})
		if !crashed {
			return result
		}
		for again := true; again; {
			_, again = l.survive(h, func() proto.OperationResult {
				h.boot()
				l.must(h.driver.Recover(context.Background()))
				return proto.OperationResult{}
			})
		}
	}
}

func (l *lab) try(h *labHost, op proto.Operation) (proto.OperationResult, bool) {
	return l.survive(h, func() proto.OperationResult { return h.driver.Operate(context.Background(), op) })
}

func (l *lab) survive(_ *labHost, f func() proto.OperationResult) (result proto.OperationResult, crashed bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ours := r.(crash); !ours {
				panic(r)
			}
			crashed = true
		}
	}()
	return f(), false
}

// done carries out an operation that must succeed.
func (l *lab) done(host int, kind proto.OperationKind, fenceNumber uint64, migration string, facts *proto.SourceFacts) proto.OperationResult {
	l.t.Helper()
	result := l.do(host, kind, fenceNumber, migration, facts)
	if result.Error != nil {
		l.t.Fatalf("%s on %s: %v (crashes at %v)", kind, l.hosts[host].name, result.Error, l.crashAt)
	}
	return result
}

func (h *labHost) spec() proto.InstanceSpec {
	data := []string{h.path("lib/redis")}
	if exists(h.path("lib/more")) {
		data = append(data, h.path("lib/more"))
	}
	return proto.InstanceSpec{
		Name: name, Driver: "service", Address: floatingAddrs[0].String(), Addresses: []string{floatingAddrs[1].String()}, Mode: proto.Enforce,
		Service: &proto.ServiceSpec{Unit: unitName, Data: data, Config: []string{h.path("etc/redis")}},
	}
}

func (h *labHost) path(p string) string { return filepath.Join(h.dir, p) }

// copyTo stands for the transfer.
func (h *labHost) copyTo(to *labHost) {
	for _, p := range []string{"lib/redis", "etc/redis"} {
		h.lab.must(os.RemoveAll(to.path(p)))
		h.lab.must(os.CopyFS(to.path(p), os.DirFS(h.path(p))))
	}
}

// tree is all that is on the host but the agent's own records: paths with mode and content.
func (h *labHost) tree() map[string]string {
	out := map[string]string{}
	h.lab.must(filepath.WalkDir(h.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(h.dir, path)
		if rel == "fence" || rel == "own" {
			return fs.SkipDir
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		out[rel] = info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			out[rel] += " " + string(data)
		}
		return nil
	}))
	for n, u := range h.units {
		out["unit "+n] = u.ActiveState + " " + u.UnitFileState
	}
	out["addresses"] = fmt.Sprint(h.places)
	out["drop-ins"] = fmt.Sprint(h.dropIns)
	return out
}

type labSystemd struct{ h *labHost }

func (s labSystemd) Unit(_ context.Context, n string) (systemd.Unit, error) {
	defer s.h.lab.lock()()
	u := s.h.units[n]
	if u == nil {
		return systemd.Unit{}, systemd.ErrNoUnit
	}
	return *u, nil
}

func (s labSystemd) ControlGroup(ctx context.Context, n string) (string, error) {
	u, err := s.Unit(ctx, n)
	return u.ControlGroup, err
}

func (s labSystemd) Brief(ctx context.Context, n string) (systemd.Unit, error) { return s.Unit(ctx, n) }

func (s labSystemd) Running(ctx context.Context, names []string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, n := range names {
		u, err := s.Unit(ctx, n)
		out[n] = err == nil && u.Running()
	}
	return out, nil
}

func (s labSystemd) Start(_ context.Context, n string) error {
	defer s.h.lab.lock()()
	s.h.lab.point("start")
	u := s.h.units[n]
	if u == nil {
		return systemd.ErrNoUnit
	}
	if u.ActiveState == "active" {
		return nil
	}
	if s.h.dropIns[n] {
		if ok, why := fence.MayRun(s.h.path("fence"), n); !ok {
			return fmt.Errorf("start %s: %w: %s", n, systemd.ErrRefused, why)
		}
	}
	if s.h.driver.Fence.Get(name).State == proto.FenceStarting && s.h.guard != guardUnit(name) {
		s.h.lab.t.Errorf("%s starts %s with guard %q", s.h.name, n, s.h.guard)
	}
	u.ActiveState = "active"
	u.InvocationID = fmt.Sprint(s.h.lab.points)
	s.h.lab.point("started")
	return nil
}

func (s labSystemd) Stop(_ context.Context, n string) error {
	defer s.h.lab.lock()()
	s.h.lab.point("stop")
	if n == s.h.guard {
		s.h.guard = ""
		return nil
	}
	if s.h.units[n] == nil {
		return systemd.ErrNoUnit
	}
	s.h.units[n].ActiveState = "inactive"
	s.h.lab.point("stopped")
	return nil
}

func (s labSystemd) setEnabled(n, state string) error {
	defer s.h.lab.lock()()
	s.h.lab.point(state)
	s.h.units[n].UnitFileState = state
	s.h.lab.point(state)
	return nil
}

func (s labSystemd) Enable(_ context.Context, n string) error  { return s.setEnabled(n, "enabled") }
func (s labSystemd) Disable(_ context.Context, n string) error { return s.setEnabled(n, "disabled") }

func (s labSystemd) RunTransient(_ context.Context, spec systemd.RunSpec) (systemd.RunResult, error) {
	if spec.Command[0] == "/usr/bin/readlink" {
		return systemd.RunResult{Why: "success", Output: s.h.runs + "\n"}, nil
	}
	if s.h.lab.hook != nil {
		return s.h.lab.hook(s.h.name, spec)
	}
	return systemd.RunResult{}, errors.New("nothing is run here")
}

func (s labSystemd) StartTransient(_ context.Context, spec systemd.RunSpec) error {
	defer s.h.lab.lock()()
	if s.h.lab.unguarded {
		return errors.New("no")
	}
	s.h.guard = spec.Unit
	return nil
}

type labLimits struct{ h *labHost }

func (l labLimits) Attach(_ context.Context, t enforce.Target) (enforce.Attached, error) {
	defer l.h.lab.lock()()
	l.h.lab.point("attach")
	l.h.dropIns[t.Unit] = true
	l.h.lab.point("attached")
	return enforce.Attached{DropIn: l.h.path("etc/redis")}, nil // any path that is there
}

func (l labLimits) Detach(context.Context, string) error {
	defer l.h.lab.lock()()
	l.h.lab.point("detach")
	return enforce.ErrNotAttached
}

func (l labLimits) Release(_ context.Context, t enforce.Target) error {
	defer l.h.lab.lock()()
	l.h.lab.point("release")
	delete(l.h.dropIns, t.Unit)
	l.h.lab.point("released")
	return nil
}

type labAddresses struct{ h *labHost }

// both returns the places of the addresses when they are the same.
func both(p address.Place) [2]address.Place { return [2]address.Place{p, p} }

func (a labAddresses) Place(p netip.Prefix) (address.Place, error) {
	defer a.h.lab.lock()()
	return a.h.places[slices.Index(floatingAddrs[:], p)], nil
}

func (a labAddresses) Temporary(netip.Prefix) (bool, error) { return false, nil }

func (a labAddresses) set(what string, p netip.Prefix, place address.Place) error {
	defer a.h.lab.lock()()
	a.h.lab.point(what)
	a.h.places[slices.Index(floatingAddrs[:], p)] = place
	a.h.lab.point(what)
	return nil
}

func (a labAddresses) Probe(_ context.Context, all ...netip.Prefix) error {
	defer a.h.lab.lock()()
	for _, p := range all {
		for _, other := range a.h.lab.hosts {
			if other != a.h && other.places[slices.Index(floatingAddrs[:], p)] == address.Announced {
				return &address.TakenError{Addr: p.Addr(), Interface: "eth0"}
			}
		}
	}
	return nil
}

func (a labAddresses) Hold(p netip.Prefix) error   { return a.set("hold", p, address.Silent) }
func (a labAddresses) Remove(p netip.Prefix) error { return a.set("remove", p, address.Nowhere) }

func (a labAddresses) Take(ctx context.Context, all []netip.Prefix, decide func() error) error {
	for _, p := range all {
		if place, _ := a.Place(p); place != address.Announced {
			if err := a.Probe(ctx, p); err != nil {
				return err
			}
		}
	}
	if err := decide(); err != nil {
		return err
	}
	for _, p := range all {
		if err := a.set("take", p, address.Announced); err != nil {
			return err
		}
	}
	return nil
}

type labPermits struct{ h *labHost }

func (p labPermits) Ask(_ context.Context, q proto.PermitRequest) (proto.PermitReply, error) {
	defer p.h.lab.lock()()
	if p.h.guard != guardUnit(q.Instance) {
		p.h.lab.t.Errorf("%s asks for a permit with guard %q", p.h.name, p.h.guard)
	}
	return proto.PermitReply{Milliseconds: p.h.lab.permit, Reason: "no"}, nil
}

// labFiles is the real file system with points around what changes names.
type labFiles struct {
	durable.OS
	h *labHost
}

func (f labFiles) Rename(from, to string) error {
	defer f.h.lab.lock()()
	f.h.lab.point("rename")
	if from == f.h.lab.stuck {
		return errors.New("input/output error")
	}
	err := f.OS.Rename(from, to)
	f.h.lab.point("renamed")
	return err
}

func (f labFiles) Remove(path string) error {
	defer f.h.lab.lock()()
	f.h.lab.point("remove file")
	err := f.OS.Remove(path)
	f.h.lab.point("removed file")
	return err
}
