package enforce_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/netlimit"
	"github.com/glidepath/glidepath/internal/resource"
)

const sigUSR1 = syscall.SIGUSR1

// attachedPrograms counts the network programs on a cgroup.
func attachedPrograms(t *testing.T, cgroup string) int {
	t.Helper()
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	n := 0
	for _, attach := range []ebpf.AttachType{ebpf.AttachCGroupInetEgress, ebpf.AttachCGroupInetIngress} {
		r, err := link.QueryPrograms(link.QueryOptions{Target: int(dir.Fd()), Attach: attach})
		if err != nil {
			t.Fatal(err)
		}
		n += len(r.Programs)
	}
	return n
}

// leftovers lists what enforcing may leave on a host: drop-ins, pins, and the queueing discipline.
func leftovers(t *testing.T, device string) (all []string) {
	t.Helper()
	for _, pattern := range []string{"/etc/systemd/system/*.d/50-glidepath*", "/run/systemd/system/*.d", "/sys/fs/bpf/glidepath/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	dev, err := netlink.LinkByName(device)
	if err != nil {
		t.Fatal(err)
	}
	qdiscs, err := netlink.QdiscList(dev)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range qdiscs {
		all = append(all, fmt.Sprintf("%s %x", q.Type(), q.Attrs().Handle))
	}
	slices.Sort(all)
	return all
}

// pacing limits one direction of a unit's traffic and compares what arrives with the rate. Payload is less than the rate by the headers: 3 to 4 %.
// How much a busy machine moves at all is measured first: a limit near that is not expected to be reached.
func pacing(t *testing.T, role string, kind resource.Kind, rates []int64, above float64) {
	b := newBench(t)
	b.start(role)
	arrived := b.counted
	if role == "udp-tx1" {
		arrived = b.datagramsArrived
	}
	free := rate(2*time.Second, 3*time.Second, arrived) * 8
	t.Logf("%s without a limit: %.4g bits/s", role, free)
	for _, bits := range rates {
		b.set(kind, bits)
		below := 1 - 0.88*min(1, free/3/float64(bits))
		b.holds(fmt.Sprintf("%s at %s", role, resource.Format(kind, bits)), float64(bits), below, above, func() float64 {
			return rate(2*time.Second, 5*time.Second, arrived) * 8
		})
	}
}

func TestGuestTransmitPacing(t *testing.T) {
	for _, role := range []string{"tcp-tx1", "tcp-tx4"} {
		t.Run(role, func(t *testing.T) { pacing(t, role, resource.NetTx, []int64{10e6, 100e6}, 0.05) })
	}
	t.Run("udp-tx1", func(t *testing.T) { pacing(t, "udp-tx1", resource.NetTx, []int64{2e6, 10e6}, 0.05) })
}

func TestGuestReceivePacing(t *testing.T) {
	for _, role := range []string{"tcp-rx1", "tcp-rx4"} {
		t.Run(role, func(t *testing.T) { pacing(t, role, resource.NetRx, []int64{10e6, 100e6}, 0.10) })
	}
	t.Run("udp-rx1", func(t *testing.T) { pacing(t, "udp-rx1", resource.NetRx, []int64{2e6, 10e6}, 0.05) })
}

func TestGuestProgramsOutliveTheAgentAndAreTakenOverWithoutAGap(t *testing.T) {
	b := newBench(t)
	b.start("tcp-rx4")
	b.set(resource.NetRx, 10e6)
	b.eventually("traffic flows", 10*time.Second, func() bool { return b.count() > 1<<20 })
	if err := b.e.Close(); err != nil { // the agent is gone
		t.Fatal(err)
	}
	b.holds("receiving without an agent", 10e6, 0.20, 0.10, func() float64 { return rate(time.Second, 3*time.Second, b.counted) * 8 })
	programs := programIDs(t)

	reloads := &countingBus{Bus: b.bus}
	b.e = enforce.Open(b.cfg, reloads)
	if _, err := b.e.Attach(t.Context(), b.target()); err != nil {
		t.Fatal(err)
	}
	if reloads.n != 0 {
		t.Errorf("%d daemon-reloads to take over what is in place", reloads.n)
	}
	if again := programIDs(t); !slices.Equal(programs, again) {
		t.Errorf("programs were replaced: %v, now %v", programs, again)
	}
	if held := b.readBack(); held.Limits[resource.NetRx] != 10e6 {
		t.Errorf("taken over with %v", held.Limits)
	}
	_, rx, err := b.e.Counters(instance)
	if err != nil || rx.Bytes < 1<<20 {
		t.Errorf("counters started anew: %+v %v", rx, err)
	}
}

func TestGuestTrafficIsCountedWhereNothingIsLimited(t *testing.T) {
	b := newBench(t)
	b.start("tcp-rx1")
	observed := b.target()
	observed.Limited = false
	if _, err := b.e.Attach(t.Context(), observed); err != nil {
		t.Fatal(err)
	}
	_, first, err := b.e.Counters(instance)
	if err != nil {
		t.Fatal(err)
	}
	payload := b.count()
	b.eventually("60 MB have come in", 2*time.Minute, func() bool { return b.count() > payload+60e6 })
	tx, last, err := b.e.Counters(instance)
	if err != nil {
		t.Fatal(err)
	}
	got, want := float64(last.Bytes-first.Bytes), float64(b.count()-payload)
	t.Logf("counted %.0f bytes of packets for %.0f bytes of data, %d packets, %d sent", got, want, last.Packets-first.Packets, tx.Packets)
	const buffered = 7e6 // counted when it arrives; the unit reads it later
	if got < want*0.98-buffered || got > want*1.15+buffered || tx.Packets == 0 {
		t.Errorf("counted %.0f, want %.0f and headers", got, want)
	}
}

func TestGuestCgroupOfOurOwnIsFollowedWhenItIsMadeAgain(t *testing.T) {
	b := newBench(t)
	const path = "/glidepath-test-own"
	full := filepath.Join(b.cfg.CgroupRoot, path)
	target := b.target()
	target.Unit, target.Cgroup = "", path
	if err := os.Mkdir(full, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(b.e.Release(t.Context(), target), os.Remove(full)); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.e.Attach(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	b.set(resource.CPU, 300)
	b.set(resource.NetRx, 1e6)
	for range 2 {
		if got := attachedPrograms(t, full); got != 2 {
			t.Fatalf("%d programs, want 2", got)
		}
		if held := b.readBack(); held.Limits[resource.CPU] != 300 || held.Limits[resource.NetRx] != 1e6 {
			t.Fatalf("%v", held.Limits)
		}
		if err := errors.Join(os.Remove(full), os.Mkdir(full, 0o755)); err != nil {
			t.Fatal(err)
		}
		b.e.Reconcile(t.Context())
	}
}

func TestGuestAnOperatorsQueueingDisciplineStays(t *testing.T) {
	newBench(t)
	for _, kind := range []string{"fq", "prio"} {
		dev, remove := dummy(t, 1)
		q := &netlink.GenericQdisc{QdiscType: kind, QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: dev.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)}}
		if kind == "prio" {
			if err := netlink.QdiscAdd(netlink.NewPrio(q.QdiscAttrs)); err != nil {
				t.Fatal(err)
			}
		} else if err := netlink.QdiscAdd(netlink.NewFq(q.QdiscAttrs)); err != nil {
			t.Fatal(err)
		}
		before := leftovers(t, dev.Attrs().Name)
		err := netlimit.Pace(dev.Attrs().Name)
		var foreign *netlimit.ForeignQueueError
		if (kind == "prio") != errors.As(err, &foreign) {
			t.Errorf("%s: %v", kind, err)
		}
		if err := netlimit.Unpace(dev.Attrs().Name); err != nil {
			t.Error(err)
		}
		if after := leftovers(t, dev.Attrs().Name); !slices.Equal(before, after) {
			t.Errorf("%s: %v became %v", kind, before, after)
		}
		remove()
	}
}

func TestGuestEveryQueueOfADeviceGetsFq(t *testing.T) {
	newBench(t)
	for _, queues := range []int{1, 2} {
		dev, remove := dummy(t, queues)
		name := dev.Attrs().Name
		before := leftovers(t, name)
		for range 2 { // twice is as good as once
			if err := netlimit.Pace(name); err != nil {
				t.Fatal(err)
			}
		}
		fq := 0
		for _, line := range leftovers(t, name) {
			if strings.HasPrefix(line, "fq ") {
				fq++
			}
		}
		if fq != queues {
			t.Errorf("%d queues, %d have fq: %v", queues, fq, leftovers(t, name))
		}
		if err := netlimit.Unpace(name); err != nil {
			t.Fatal(err)
		}
		if after := leftovers(t, name); !slices.Equal(before, after) {
			t.Errorf("%d queues: %v became %v", queues, before, after)
		}
		remove()
	}
}
