package enforce_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/limit"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// The tests whose names start with TestGuest change the host that they run on: they run in a guest, driven by TestOnAGuest.

const (
	instance = "cache-1"
	unit     = "glidepath-test.service"
)

// bench is a guest with one unit to be limited.
type bench struct {
	*testing.T
	bus *systemd.Bus
	cfg enforce.Config
	e   *enforce.Enforcer
}

func newBench(t *testing.T) *bench {
	if os.Getenv(guestEnv) == "" {
		t.Skipf("changes the host it runs on: TestOnAGuest runs it in a guest (%s is not set)", guestEnv)
	}
	bus, err := systemd.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, bus: bus, cfg: enforce.Default()}
	b.cfg.Device = device(t)
	b.cfg.MayRun = "/bin/true"
	if b.cfg.OwnCgroup, err = enforce.OwnCgroup(); err != nil {
		t.Fatal(err)
	}
	b.e = enforce.Open(b.cfg, bus)
	t.Cleanup(b.cleanUp)
	return b
}

func (b *bench) cleanUp() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	failed := errors.Join(b.bus.Stop(ctx, unit), os.Remove(filepath.Join("/run/systemd/system", unit)), b.e.Release(ctx, b.target()), b.e.Close(), b.bus.Close())
	// A test that needs no unit has none to stop or to remove.
	if failed != nil && !errors.Is(failed, fs.ErrNotExist) && !errors.Is(failed, systemd.ErrNoUnit) {
		b.Error(failed)
	}
}

// device is where the default route, or else the only real network, leads.
func device(t *testing.T) string {
	host, _, err := net.SplitHostPort(os.Getenv(peerEnv))
	if err != nil {
		t.Fatalf("%s: %v", peerEnv, err)
	}
	c, err := net.Dial("udp4", net.JoinHostPort(host, "9"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok && ip.IP.Equal(c.LocalAddr().(*net.UDPAddr).IP) {
				return i.Name
			}
		}
	}
	t.Fatal("no network device leads to the peer")
	return ""
}

func (b *bench) target() enforce.Target {
	envelope := resource.Uniform(resource.Unlimited)
	envelope[resource.CPU], envelope[resource.Memory] = 1900, 512<<20
	envelope[resource.ReadIOPS] = 5000
	envelope[resource.NetTx], envelope[resource.NetRx] = 1e9, 1e9
	return enforce.Target{Instance: instance, Unit: unit, Data: []string{dataFile}, Class: proto.Critical, Limited: true, Envelope: envelope}
}

// start defines the unit anew, in the role given, starts it and attaches it.
func (b *bench) start(role string) {
	b.Helper()
	b.define(role)
	if err := errors.Join(b.bus.Reload(b.Context()), b.bus.Start(b.Context(), unit)); err != nil {
		b.Fatal(err)
	}
	a, err := b.e.Attach(b.Context(), b.target())
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range a.Notes {
		b.Log(n)
	}
}

func (b *bench) define(role string) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	text := fmt.Sprintf("[Service]\nExecStart=%s\nEnvironment=%s=%s %s=%s\nTimeoutStopSec=2\n", self, roleEnv, role, peerEnv, os.Getenv(peerEnv))
	if err := os.Remove(countFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("/run/systemd/system", unit), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

// set applies one limit, which must hold.
func (b *bench) set(k resource.Kind, amount int64) enforce.Outcome {
	b.Helper()
	o := b.e.Apply(b.Context(), []limit.Change{{Instance: instance, Kind: k, Amount: amount}})[0]
	if o.Err != nil {
		b.Fatal(o.Err)
	}
	if o.Event != "" {
		b.Error(o.Event)
	}
	return o
}

// cgroupFile returns a file of the unit's cgroup.
func (b *bench) cgroupFile(name string) string {
	b.Helper()
	data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup/system.slice", unit, name))
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// stat returns a figure of a cgroup file whose lines are a name and a number.
func (b *bench) stat(file, name string) int64 {
	b.Helper()
	for line := range strings.Lines(b.cgroupFile(file)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("no %s in %s", name, file)
	return 0
}

// count returns what the unit has counted.
func (b *bench) count() int64 {
	n, _ := b.counted()
	return n
}

// counted returns what the unit has counted, and when.
func (b *bench) counted() (n int64, at time.Time) {
	data, err := os.ReadFile(countFile)
	if err != nil {
		return 0, time.Now()
	}
	f := strings.Fields(string(data))
	if len(f) != 2 {
		b.Fatalf("%s: %q", countFile, data)
	}
	n, err1 := strconv.ParseInt(f[0], 10, 64)
	nano, err2 := strconv.ParseInt(f[1], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		b.Fatal(err)
	}
	return n, time.Unix(0, nano)
}

// eventually waits until something holds.
func (b *bench) eventually(what string, within time.Duration, holds func() bool) {
	b.Helper()
	for until := time.Now().Add(within); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			b.Fatalf("%s: not within %s", what, within)
		}
	}
}

// rate measures how fast a figure grows, per second, over a time that follows a time to settle. The figure comes with its
// own time: what reads it may be late on a busy machine.
func rate(settle, over time.Duration, figure func() (int64, time.Time)) float64 {
	time.Sleep(settle)
	from, begin := figure()
	time.Sleep(over)
	to, end := figure()
	return float64(to-from) / end.Sub(begin).Seconds()
}

// tries is how often a rate is measured until it is reached: a busy machine makes everything slower for a while, never faster.
const tries = 5

// holds measures a rate: it must never be above the limit, and reach it once, within tolerances.
func (b *bench) holds(what string, want, below, above float64, measure func() float64) {
	b.Helper()
	best := 0.0
	for range tries {
		got := measure()
		best = max(best, got)
		b.Logf("%s: %.4g, %.1f %% of what was set", what, got, 100*got/want)
		if best >= want*(1-below) {
			break
		}
	}
	if best < want*(1-below) || best > want*(1+above) {
		b.Errorf("%s: %.4g, want %.4g −%.0f%% +%.0f%%", what, best, want, 100*below, 100*above)
	}
}

func (b *bench) readBack() enforce.Held {
	b.Helper()
	held, err := b.e.ReadBack(b.Context(), instance)
	if err != nil {
		b.Fatal(err)
	}
	return held
}

func TestGuestCPULimitHolds(t *testing.T) {
	b := newBench(t)
	b.start("burn")
	for _, milli := range []int64{100, 500, 1500} {
		b.set(resource.CPU, milli)
		b.holds(fmt.Sprintf("CPU at %dm", milli), float64(milli), 0.05, 0.10, func() float64 {
			return rate(500*time.Millisecond, 6*time.Second, func() (int64, time.Time) {
				// By the kernel's own clock: it counts the periods of 100 ms.
				return b.stat("cpu.stat", "usage_usec"), time.UnixMilli(100 * b.stat("cpu.stat", "nr_periods"))
			}) / 1000
		})
		if got := b.readBack().Limits[resource.CPU]; got != milli {
			t.Errorf("read back %d", got)
		}
	}
}

// writeData makes the file that storage tests read.
func (b *bench) writeData(size int) {
	b.Helper()
	f, err := os.Create(dataFile)
	if err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = byte(i * 7)
	}
	for range size >> 20 {
		if _, err := f.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(f.Sync(), f.Close(), os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.Remove(dataFile); err != nil {
			b.Error(err)
		}
	})
}

func TestGuestStorageLimitHolds(t *testing.T) {
	b := newBench(t)
	b.writeData(64 << 20)
	b.start("read")
	if got := b.readBack().Limits[resource.ReadIOPS]; got != 5000 {
		t.Errorf("the drop-in's envelope: read back %d IOPS, want 5000: io.max %q", got, b.cgroupFile("io.max"))
	}
	for _, iops := range []int64{50, 200} {
		b.set(resource.ReadIOPS, iops)
		b.holds(fmt.Sprintf("reads at %d IOPS", iops), float64(iops), 0.10, 0.05, func() float64 {
			return rate(time.Second, 3*time.Second, b.counted)
		})
	}
	if err := b.bus.Stop(b.Context(), unit); err != nil {
		t.Fatal(err)
	}
	b.start("read-big")
	b.set(resource.ReadIOPS, 5000)
	b.set(resource.ReadBytes, 8<<20)
	b.holds("reads at 8 MiB/s", 8<<20, 0.10, 0.05, func() float64 {
		return rate(time.Second, 3*time.Second, b.counted) * 64 * 4096
	})
}

func TestGuestPageCacheIsTakenBackWithoutDebt(t *testing.T) {
	b := newBench(t)
	b.writeData(200 << 20)
	b.start("cache")
	b.eventually("the file is read", 30*time.Second, func() bool { return b.count() == 200<<20 })
	before, begin := b.stat("memory.stat", "file"), time.Now()
	o := b.set(resource.Memory, 64<<20)
	t.Logf("%d MiB of page cache in use, limited to 64 MiB in %s, debt %d KiB", before>>20, time.Since(begin), o.Debt>>10)
	for tries := 0; o.Debt > 0 && tries < 20; tries++ {
		time.Sleep(time.Second)
		o = b.set(resource.Memory, 64<<20)
	}
	if o.Debt != 0 || o.Held != 64<<20 {
		t.Errorf("debt %d, held %d", o.Debt, o.Held)
	}
	b.noKills()
}

func (b *bench) noKills() {
	b.Helper()
	if n := b.stat("memory.events", "oom_kill"); n != 0 {
		b.Errorf("%d processes were killed for memory", n)
	}
}

func TestGuestMemoryInUseIsDebtNeverKilled(t *testing.T) {
	b := newBench(t)
	b.start("hold")
	b.eventually("the memory is in use", 30*time.Second, func() bool { return b.count() > 0 })
	begin := time.Now()
	o := b.set(resource.Memory, 64<<20)
	took := time.Since(begin)
	current, _ := strconv.ParseInt(b.cgroupFile("memory.current"), 10, 64)
	top, _ := strconv.ParseInt(b.cgroupFile("memory.max"), 10, 64)
	t.Logf("150 MiB in use, limited to 64 MiB in %s: debt %d MiB, memory.max %d MiB, in use %d MiB", took, o.Debt>>20, top>>20, current>>20)
	if o.Debt < 80<<20 || o.Debt > 100<<20 || top < current+8<<20 || took > 2*time.Second {
		t.Errorf("debt %d, memory.max %d with %d in use, took %s", o.Debt, top, current, took)
	}
	if got := b.readBack().Debt; got != o.Debt {
		t.Errorf("read back a debt of %d, want %d", got, o.Debt)
	}
	u, err := b.bus.Unit(t.Context(), unit)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(u.MainPID)
	if err == nil {
		err = p.Signal(sigUSR1)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.eventually("the debt is paid", 10*time.Second, func() bool {
		for _, o := range b.e.Reconcile(t.Context()) {
			if o.Err != nil {
				t.Error(o.Err)
			}
		}
		held := b.readBack()
		return held.Debt == 0 && held.Limits[resource.Memory] == 64<<20
	})
	if u, err = b.bus.Unit(t.Context(), unit); err != nil || !u.Running() {
		t.Errorf("the unit does not run any more: %+v %v", u, err)
	}
	b.noKills()
}

func TestGuestDaemonReloadWidensToTheEnvelopeUntilReconciled(t *testing.T) {
	b := newBench(t)
	b.start("idle")
	b.set(resource.CPU, 500)
	b.set(resource.Memory, 128<<20)
	b.set(resource.ReadIOPS, 300)
	if err := b.bus.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := b.readBack().Limits
	t.Logf("after daemon-reload: %v", after)
	if !after.Fits(b.target().Envelope) {
		t.Errorf("after daemon-reload the kernel holds %v, above the envelope %v", after, b.target().Envelope)
	}
	outcomes := b.e.Reconcile(t.Context())
	for _, o := range outcomes {
		t.Logf("%+v", o)
	}
	want := b.target().Envelope // holds for what was not set
	want[resource.CPU], want[resource.Memory], want[resource.ReadIOPS] = 500, 128<<20, 300
	if got := b.readBack().Limits; got != want {
		t.Errorf("reconciled to %v, want %v", got, want)
	}
	if again := b.e.Reconcile(t.Context()); len(again) != 0 {
		t.Errorf("reconciled twice: %+v", again)
	}
}

func TestGuestARestartedUnitIsInsideTheEnvelopeAtOnceWithItsPrograms(t *testing.T) {
	b := newBench(t)
	b.start("idle")
	b.set(resource.CPU, 500)
	b.set(resource.NetTx, 5e6)
	if err := b.bus.Restart(t.Context(), unit); err != nil {
		t.Fatal(err)
	}
	held := b.readBack()
	if held.Limits[resource.CPU] != 1900 || held.Limits[resource.Memory] != 512<<20 || held.Limits[resource.NetTx] != 5e6 {
		t.Errorf("after the restart: %v", held.Limits)
	}
	if got := attachedPrograms(t, filepath.Join("/sys/fs/cgroup/system.slice", unit)); got != 2 {
		t.Errorf("%d network programs on the new cgroup, want 2", got)
	}
	if o := b.e.Reconcile(t.Context()); len(o) == 0 || b.readBack().Limits[resource.CPU] != 500 {
		t.Errorf("not reconciled: %+v", o)
	}
}

func TestGuestTheUnitAsksMayRun(t *testing.T) {
	b := newBench(t)
	b.start("idle")
	if err := b.bus.Stop(t.Context(), unit); err != nil {
		t.Fatal(err)
	}
	refusing := b.cfg
	refusing.MayRun = "/bin/false"
	e := enforce.Open(refusing, b.bus)
	if _, err := e.Attach(t.Context(), b.target()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.bus.Start(t.Context(), unit); !errors.Is(err, systemd.ErrRefused) {
		t.Errorf("start: %v, want it refused", err)
	}
	if u, err := b.bus.Unit(t.Context(), unit); err != nil || u.Running() {
		t.Errorf("it runs: %+v, %v", u, err)
	}
}

func TestGuestNothingLeaks(t *testing.T) {
	b := newBench(t)
	before := leftovers(t, b.cfg.Device)
	b.start("idle")
	fresh := map[string]string{}
	for _, f := range []string{"cpu.max", "cpu.max.burst", "cpu.weight", "memory.high", "memory.max", "memory.low"} {
		fresh[f] = map[string]string{"cpu.max": "max 100000", "cpu.max.burst": "0", "cpu.weight": "100", "memory.low": "0"}[f]
		if fresh[f] == "" {
			fresh[f] = "max"
		}
	}
	for _, k := range resource.All() {
		b.set(k, min(b.target().Envelope[k], 100<<20))
	}
	pid := func() int {
		u, err := b.bus.Unit(t.Context(), unit)
		if err != nil {
			t.Fatal(err)
		}
		return u.MainPID
	}
	was := pid()
	if got := leftovers(t, b.cfg.Device); slices.Equal(got, before) {
		t.Fatal("attaching left no trace: this test would see no leak")
	}
	if err := b.e.Release(t.Context(), b.target()); err != nil {
		t.Fatal(err)
	}
	for f, want := range maps.All(fresh) {
		if got := b.cgroupFile(f); got != want {
			t.Errorf("%s is %q after the release, want %q", f, got, want)
		}
	}
	if got := b.cgroupFile("io.max"); got != "" {
		t.Errorf("io.max is %q after the release", got)
	}
	if n := attachedPrograms(t, filepath.Join("/sys/fs/cgroup/system.slice", unit)); n != 0 {
		t.Errorf("%d programs still attached", n)
	}
	u, err := b.bus.Unit(t.Context(), unit)
	if err != nil || len(u.DropInPaths) != 0 {
		t.Errorf("drop-ins %v, %v", u.DropInPaths, err)
	}
	if pid() != was {
		t.Error("the instance was restarted")
	}
	if got := leftovers(t, b.cfg.Device); !slices.Equal(got, before) {
		t.Errorf("left behind %v, before %v", got, before)
	}
}

// datagramsArrived asks the peer how many bytes of datagrams it has got.
func (b *bench) datagramsArrived() (int64, time.Time) {
	b.Helper()
	c, err := net.Dial("tcp4", os.Getenv(peerEnv))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var n int64
	if _, err := c.Write(request{kind: askUDP}.bytes()); err != nil {
		b.Fatal(err)
	}
	if err := binary.Read(c, binary.BigEndian, &n); err != nil {
		b.Fatal(err)
	}
	return n, time.Now()
}
