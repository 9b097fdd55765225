//go:build linux

package scenarios

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/load"
	"github.com/glidepath/glidepath/testenv/vm/vmtest"
)

const (
	instance  = "cache-1"
	dataBytes = 12 << 20
	gridStep  = 10 * time.Second
	probation = 5 * time.Second
	// serveWithin is how long after the end of a fault one side has to serve.
	serveWithin = 90 * time.Second
	// moveWithin bounds a whole move on a machine that is busy.
	moveWithin = 5 * time.Minute
	// unseenFor is how long a host that is on may go unseen on such a machine: no longer than a permit lasts.
	unseenFor = 15 * time.Second
	// heldOpen is so slow a link, in bits per second, that the first round of the data takes longer than it takes to harm it.
	heldOpen = 8_000_000
)

const types = `name: m.small
max: {cpu: 700m, memory: 192MiB}
---
name: m.large
max: {cpu: 750m, memory: 384MiB, write_bytes: 16MiB, net_tx: 50Mbit}
---
name: m.huge
max: {cpu: 64, memory: 384MiB}
`

const application = `name: redis
class: critical
startup: {cpu: 400m}
decay: 3s
memory_floor: 32MiB
`

const spec = `name: cache-1
driver: service
service: {unit: redis-server.service, data: [/var/lib/redis], config: [/etc/redis]}
host: host-a
address: 10.77.0.60/24
health: {tcp: 6379, within: 15s}
type: m.small
class: critical
application: redis
mode: enforce
`

// lab is the fleet that all scenarios share. Each begins with the instance where the one before left it.
type lab struct {
	f     *fleet.Fleet
	files string
	macs  map[string]string // of the hosts on the fleet's network
	trial int
}

// debs returns the folder with the packages that `make deb` built.
func debs() string {
	if folder := os.Getenv("GLIDEPATH_DEBS"); folder != "" {
		return folder
	}
	return filepath.Join("..", "..", "dist")
}

// newLab brings the fleet up and adopts the Redis on host-a. The hosts have so many CPUs, and packages of Debian's beside what all guests have.
func newLab(t *testing.T, cpus int, packages ...string) *lab {
	vmtest.Require(t)
	if found, _ := filepath.Glob(filepath.Join(debs(), "*.deb")); len(found) == 0 { //nolint:errcheck // the pattern is good
		if os.Getenv("CI") != "" {
			t.Fatalf("no packages in %s: run make deb", debs())
		}
		t.Skipf("no packages in %s: run make deb", debs())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	f, err := fleet.Up(ctx, fleet.Options{
		Name: "scenarios", Debs: debs(), CPUs: cpus, Packages: packages, GridStep: gridStep, Probation: probation,
		Progress: func(text string) { t.Log(text) }, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			keepLogs(t, f)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &lab{f: f, files: t.TempDir(), macs: map[string]string{}}
	for _, g := range f.Hosts() {
		mac, err := g.Shell(ctx, "cat /sys/class/net/$(ip -4 -oneline addr show to "+g.Addr().String()+" | awk '{print $2}')/address")
		must(t, err)
		l.macs[g.Name()] = strings.TrimSpace(mac)
	}
	must(t, f.StartRedis(ctx, fleet.HostA))
	must(t, load.Fill(ctx, f.DialHost(fleet.HostA), "data", dataBytes))
	for _, file := range []struct{ kind, text string }{{"type", types}, {"app", application}, {"instance", spec}} {
		must(t, os.WriteFile(filepath.Join(l.files, file.kind), []byte(file.text), 0o600))
		if _, err := f.CLIIn(ctx, l.files, file.kind, "apply", "-f", file.kind); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func keepLogs(t *testing.T, f *fleet.Fleet) {
	folder := os.Getenv("GLIDEPATH_VM_LOGS")
	if folder == "" {
		folder = os.TempDir()
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Error(err)
		return
	}
	folder, err := os.MkdirTemp(folder, "scenarios-logs-")
	if err != nil {
		t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.VM.CollectLogs(ctx, folder); err != nil {
		t.Error(err)
	}
	for _, table := range []string{"reservation", "migration", "instance"} {
		out, err := f.CLI(ctx, table, "list", "--json")
		if err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(filepath.Join(folder, table+".json"), []byte(out), 0o600); err != nil {
			t.Error(err)
		}
	}
	t.Logf("the fleet's logs are in %s", folder)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// trial is one scenario: clients write from its beginning to its end, and it is watched from outside that never two sides serve.
type trial struct {
	*testing.T
	*lab
	ctx     context.Context
	source  string // where the instance is at first
	target  string // the other host
	clients *load.Clients
	watch   *fleet.Watch
	prints  map[string][]string // footprints at first, by host
	promise []string            // reservations at first
	forfeit string              // host whose loss an operator accepts: what was written there may be lost, and should it come back, it starts what it had
}

// run tries a scenario, and ends the test with its failure when it leaves the instance where no other can begin.
func (l *lab) run(t *testing.T, s scenario) {
	t.Helper()
	if t.Run(s.name, func(t *testing.T) { s.run(l.begin(t)) }) {
		return
	}
	i, err := l.f.Instance(t.Context(), instance)
	must(t, err)
	if i.State != proto.InstanceRunning || i.Migration != "" {
		t.Fatalf("%q left %s %s on %s, in migration %q: the scenarios after it are not tried", s.name, instance, i.State, i.Owner, i.Migration)
	}
}

// begin starts a scenario, whose checks run when it ends.
func (l *lab) begin(t *testing.T) *trial {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	t.Cleanup(cancel)
	l.trial++
	tr := &trial{T: t, lab: l, ctx: ctx, prints: map[string][]string{}}
	i := tr.instance()
	tr.source, tr.target = i.Owner, fleet.Other(i.Owner)
	for _, g := range l.f.Hosts() {
		tr.prints[g.Name()] = tr.footprint(g.Name())
	}
	tr.promise = tr.reservations()
	var err error
	tr.watch, err = l.f.Watch(context.WithoutCancel(ctx))
	must(t, err)
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	tr.clients = &load.Clients{Dial: l.f.Dial, Prefix: fmt.Sprint("trial", l.trial), Rate: 6}
	done := make(chan error, 1)
	go func() { done <- tr.clients.Run(writing) }()
	t.Cleanup(func() {
		now := time.Now()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		tr.judge(now)
		if err := tr.watch.Close(); err != nil {
			t.Error(err)
		}
	})
	tr.wait("the clients write", 30*time.Second, func() (bool, error) { return tr.clients.Stats(time.Now()).Acknowledged > 10, nil })
	return tr
}

// judge checks what holds after every scenario: nothing was lost, and never did two sides serve, as all could see.
func (tr *trial) judge(end time.Time) {
	stats := tr.clients.Stats(end)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	read, err := tr.clients.Verify(ctx)
	if err != nil {
		tr.Error(err)
	}
	tr.Logf("%d writes acknowledged, %d lost, %d tried again; longest silence %s", stats.Acknowledged, read.Lost, stats.Errors,
		stats.Longest(time.Time{}, end).Length().Round(time.Millisecond))
	if read.Lost > 0 && tr.forfeit == "" {
		tr.Errorf("%d acknowledged writes are lost, like %s", read.Lost, read.First)
	}
	for _, fault := range tr.watch.Faults() {
		if tr.forfeit != "" && strings.HasPrefix(fault, "redis-server ran on ") { // that both answer for the address is a fault all the same
			continue
		}
		tr.Errorf("two sides at once: %s", fault)
	}
	for _, g := range tr.f.Hosts() {
		if gap := tr.watch.Unseen(g.Name()); gap.Length() > unseenFor {
			tr.Errorf("two sides may have served: nothing was seen of %s for %s", g.Name(), gap)
		} else {
			tr.Logf("%s was never unseen for longer than %s", g.Name(), gap.Length().Round(time.Millisecond))
		}
	}
}

// wait looks until something holds.
func (tr *trial) wait(what string, most time.Duration, holds func() (bool, error)) {
	tr.Helper()
	began := time.Now()
	late := time.NewTimer(most)
	defer late.Stop()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		ok, err := holds()
		if ok {
			if took := time.Since(began); took > 5*time.Second {
				tr.Logf("%s: after %s", what, took.Round(time.Second/10))
			}
			return
		}
		if err != nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-late.C:
			tr.Fatalf("waited %s until %s (%v)", most, what, last)
		case <-tr.ctx.Done():
			tr.Fatalf("out of time until %s (%v)", what, last)
		}
	}
}

// pause lets time pass.
func (tr *trial) pause(d time.Duration) {
	tr.Helper()
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-over.C:
	case <-tr.ctx.Done():
		tr.Fatal("out of time")
	}
}

func (tr *trial) instance() v1.InstanceDetail {
	tr.Helper()
	i, err := tr.f.Instance(tr.ctx, instance)
	must(tr.T, err)
	return i
}

// migrate begins a move to the other host.
func (tr *trial) migrate() proto.Migration {
	tr.Helper()
	m, err := fleet.Ask[proto.Migration](tr.ctx, tr.f, "migrate", instance, "--to", tr.target)
	must(tr.T, err)
	return m
}

// serves waits until exactly one side serves, by process and by address, as both are seen, and the fleet says the same.
func (tr *trial) serves(most time.Duration) string {
	tr.Helper()
	before := tr.clients.Stats(time.Now()).Acknowledged
	var host string
	tr.wait("exactly one side serves", most, func() (bool, error) {
		serving, unseen := tr.watch.Serving()
		i, err := tr.f.Instance(tr.ctx, instance)
		mac := tr.watch.Answerer()
		if err != nil || unseen != nil || len(serving) != 1 || i.Owner != serving[0] || mac != tr.macs[serving[0]] {
			return false, errors.Join(err, unseen, fmt.Errorf("Redis runs on %v, %s is on %s, %q of %v answers for the address", serving, instance, i.Owner, mac, tr.macs))
		}
		if now := tr.clients.Stats(time.Now()).Acknowledged; now <= before+10 {
			return false, fmt.Errorf("the clients were acknowledged %d writes since", now-before)
		}
		host = serving[0]
		return true, nil
	})
	return host
}

// footprint lists what a host has of the instance: files, drop-ins, addresses, programs, what was set aside.
func (tr *trial) footprint(host string) []string {
	tr.Helper()
	out, err := tr.f.Host(host).Shell(tr.ctx, `
		shopt -s nullglob
		find /etc/redis /etc/systemd/system/redis-server.service.d /run/systemd/system/redis-server.service.d /run/systemd/transient \
			/var/lib/glidepath/aside /var/lib/glidepath/retained -mindepth 1 2>/dev/null | sort || true
		find /var/lib/redis -mindepth 0 -maxdepth 1 -printf '%p %u:%g %m\n' 2>/dev/null | sort || true
		ip -oneline address | grep -o 'inet 10.77.0.60/[0-9]*' || true
		find /sys/fs/bpf -mindepth 1 2>/dev/null | sort || true
		systemctl list-units --plain --no-legend 'glidepath[-_]*' | cut -d' ' -f1 | grep -v glidepath-agent || true
		for cgroup in /sys/fs/cgroup/system.slice/redis-server.service; do test -e $cgroup && echo $cgroup; done || true
		pgrep -a redis-server | cut -d' ' -f2- || true`)
	must(tr.T, err)
	return strings.Split(strings.TrimSpace(out), "\n")
}

// reservations lists what is promised on which host, and for what, but for hosts' own use, which is held from their first samples on.
func (tr *trial) reservations() []string {
	tr.Helper()
	list, err := fleet.Ask[v1.List[proto.Reservation]](tr.ctx, tr.f, "reservation", "list")
	must(tr.T, err)
	var out []string
	for _, r := range list.Items {
		if r.Purpose == proto.PurposeSystem {
			continue
		}
		out = append(out, fmt.Sprintf("%s on %s for %s", r.Instance, r.Host, r.Purpose))
	}
	slices.Sort(out)
	return out
}

// nothingLeft checks that an aborted migration has left no trace on its target, nor in the ledger.
func (tr *trial) nothingLeft() {
	tr.Helper()
	if diff := cmp.Diff(tr.prints[tr.target], tr.footprint(tr.target)); diff != "" {
		tr.Errorf("%s is not as it was:\n%s", tr.target, diff)
	}
	if diff := cmp.Diff(tr.promise, tr.reservations()); diff != "" {
		tr.Errorf("what is promised is not as it was:\n%s", diff)
	}
}

// livesOn checks that the other host, which has given the instance away, does not run, announce or hold it any more, and that nothing
// but the owner's reservations is left.
func (tr *trial) livesOn(owner string) {
	tr.Helper()
	other := fleet.Other(owner)
	for _, line := range tr.footprint(other) {
		if strings.HasPrefix(line, "inet ") || strings.HasPrefix(line, "/sys/fs/cgroup") || strings.Contains(line, "redis-server ") {
			tr.Errorf("%s, which gave the instance away, still has: %s", other, line)
		}
	}
	// What an agent has systemd do is a unit until it is done.
	for _, host := range []string{other, owner} {
		tr.wait(host+" has no unit of a move", 15*time.Second, func() (bool, error) {
			for _, line := range tr.footprint(host) {
				if strings.HasPrefix(line, "glidepath") {
					return false, fmt.Errorf("%s still has: %s", host, line)
				}
			}
			return true, nil
		})
	}
	for _, r := range tr.reservations() {
		if strings.HasPrefix(r, instance+" on ") && !strings.HasPrefix(r, instance+" on "+owner+" ") {
			tr.Errorf("still promised: %s", r)
		}
	}
}
