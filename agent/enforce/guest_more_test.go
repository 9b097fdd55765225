package enforce_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
)

// countingBus counts daemon-reloads.
type countingBus struct {
	*systemd.Bus
	n int
}

func (b *countingBus) Reload(ctx context.Context) error {
	b.n++
	return b.Bus.Reload(ctx)
}

// programIDs returns the numbers that the kernel gave the instance's programs.
func programIDs(t *testing.T) (ids []ebpf.ProgramID) {
	t.Helper()
	for _, pin := range []string{"egress", "ingress"} {
		p, err := ebpf.LoadPinnedProgram(filepath.Join("/sys/fs/bpf/glidepath", instance, pin), nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		id, _ := info.ID()
		ids = append(ids, id)
		p.Close()
	}
	return ids
}

// dummy makes a network device with queues to send by.
func dummy(t *testing.T, queues int) (netlink.Link, func()) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumTxQueues, attrs.TxQLen = "gptest0", queues, 1000
	if err := netlink.LinkAdd(&netlink.Ifb{LinkAttrs: attrs}); err != nil {
		t.Fatalf("make a device of type ifb: %v", err)
	}
	dev, err := netlink.LinkByName(attrs.Name)
	if err == nil {
		err = netlink.LinkSetUp(dev)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dev, func() {
		if err := netlink.LinkDel(dev); err != nil {
			t.Error(err)
		}
	}
}

func TestGuestCommandsRunConfinedAsTheirUser(t *testing.T) {
	b := newBench(t)
	run := func(spec systemd.RunSpec) systemd.RunResult {
		t.Helper()
		spec.Unit = "glidepath-test-run.service"
		r, err := b.bus.RunTransient(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if u, err := b.bus.Unit(t.Context(), spec.Unit); !errors.Is(err, systemd.ErrNoUnit) {
			t.Errorf("the unit remains: %+v, %v", u, err)
		}
		return r
	}
	sh := func(user, script string) systemd.RunSpec {
		return systemd.RunSpec{Command: []string{"/bin/sh", "-c", script}, User: user}
	}
	begin := time.Now()
	if r := run(sh("nobody", "id -un; echo oops >&2")); !r.OK() || r.Output != "nobody\noops\n" {
		t.Errorf("%+v", r)
	}
	t.Logf("a command in a unit of its own takes %s", time.Since(begin))
	if r := run(sh("nobody", "exit 7")); r.OK() || r.ExitStatus != 7 || r.Why != "exit-code" {
		t.Errorf("%+v", r)
	}
	if r := run(sh("root", "touch /var/tmp/../lib/glidepath-no 2>&1 || mknod /tmp/n c 1 3")); r.OK() || !strings.Contains(r.Output, "Read-only") {
		t.Errorf("root could write: %+v", r)
	}
	dir, err := os.MkdirTemp("/run", "glidepath-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	writable := sh("nobody", "echo hello > "+dir+"/x")
	writable.Writable = []string{dir}
	if r := run(writable); !r.OK() {
		t.Errorf("%+v", r)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "x")); err != nil || string(text) != "hello\n" {
		t.Errorf("%q %v", text, err)
	}
	// bash reaches for a port where nobody listens: with a network it is refused, without one there is no such socket.
	lonely := systemd.RunSpec{Command: []string{"/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9"}, User: "nobody"}
	if r := run(lonely); r.OK() || !strings.Contains(r.Output, "refused") {
		t.Errorf("with a network: %+v", r)
	}
	lonely.NoNetwork = true
	if r := run(lonely); r.OK() || !strings.Contains(r.Output, "not supported") {
		t.Errorf("without a network: %+v", r)
	}
	slow := sh("nobody", "sleep 60")
	slow.Timeout = 300 * time.Millisecond
	if r := run(slow); r.OK() || r.Why != "timeout" {
		t.Errorf("%+v", r)
	}

	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	drain, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.WriteString(feed, "three little words")
		feed.Close()
	}()
	got := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(drain)
		got <- string(b)
	}()
	piped := sh("nobody", "tr a-z A-Z; echo note >&2")
	piped.Stdin, piped.Stdout = in, out
	r := run(piped)
	in.Close()
	out.Close()
	if text := <-got; text != "THREE LITTLE WORDS" || r.Output != "note\n" {
		t.Errorf("through the pipes came %q, kept was %q", text, r.Output)
	}
}

func TestGuestACommandEndsWithItsContext(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	spec := systemd.RunSpec{Unit: "glidepath-test-run.service", User: "nobody", Command: []string{"/bin/sleep", "60"}}
	begin := time.Now()
	_, err := b.bus.RunTransient(ctx, spec)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
	if _, err := b.bus.Unit(t.Context(), spec.Unit); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("the unit remains: %v", err)
	}
}

func TestGuestACommandGoesOnByItself(t *testing.T) {
	b := newBench(t)
	spec := systemd.RunSpec{Unit: "glidepath_test-run.service", User: "nobody", Command: []string{"/bin/sleep", "600"}}
	for range 2 { // the second finds it there
		if err := b.bus.StartTransient(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	var first int
	runs := func() bool {
		u, err := b.bus.Unit(t.Context(), spec.Unit)
		if err != nil || u.ActiveState != "active" || u.MainPID == 0 || u.MainPID == first {
			return false
		}
		first = u.MainPID
		return true
	}
	b.eventually("it runs", 30*time.Second, runs)
	if err := b.bus.Kill(t.Context(), spec.Unit); err != nil {
		t.Fatal(err)
	}
	b.eventually("it is started again", 30*time.Second, runs)
	if err := b.bus.Stop(t.Context(), spec.Unit); err != nil {
		t.Fatal(err)
	}
	b.eventually("it is gone", 30*time.Second, func() bool {
		_, err := b.bus.Unit(t.Context(), spec.Unit)
		return errors.Is(err, systemd.ErrNoUnit)
	})
	if err := b.bus.Kill(t.Context(), spec.Unit); err != nil {
		t.Errorf("kill what is not there: %v", err)
	}
}

func TestGuestWhatAKilledAgentLeftIsPutAway(t *testing.T) {
	b := newBench(t)
	names := []string{"glidepath-test-left-failed.service", "glidepath-test-left-running.service"}
	for n, command := range [][]string{{"/bin/false"}, {"/bin/sleep", "60"}} {
		// Nobody waits for them, as when the agent dies.
		if out, err := exec.CommandContext(t.Context(), "systemd-run", slices.Concat([]string{"--no-block", "--unit=" + names[n]}, command)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	want := []string{"failed", "active"}
	for n, name := range names {
		b.eventually(name+" is "+want[n], 30*time.Second, func() bool {
			u, err := b.bus.Unit(t.Context(), name)
			return err == nil && u.ActiveState == want[n]
		})
	}
	if err := b.bus.ClearTransient(t.Context(), "glidepath-test-left-*.service"); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if u, err := b.bus.Unit(t.Context(), name); !errors.Is(err, systemd.ErrNoUnit) {
			t.Errorf("%s remains: %+v, %v", name, u, err)
		}
	}
}

func TestGuestSystemdTellsWhatAUnitIs(t *testing.T) {
	b := newBench(t)
	b.start("idle")
	u, err := b.bus.Unit(t.Context(), unit)
	if err != nil {
		t.Fatal(err)
	}
	self, _ := os.Executable()
	if !u.Running() || u.MainPID == 0 || u.ControlGroup != "/system.slice/"+unit || len(u.ExecStart) != 1 || u.ExecStart[0][0] != self ||
		len(u.DropInPaths) != 2 || u.FragmentPath != "/run/systemd/system/"+unit || u.InvocationID == "" {
		t.Errorf("%+v", u)
	}
	if _, err := b.bus.Unit(t.Context(), "glidepath-no-such.service"); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("%v", err)
	}
	if group, err := b.bus.ControlGroup(t.Context(), "glidepath-no-such.service"); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("%q, %v", group, err)
	}
	for name, want := range map[string]string{unit: u.ControlGroup, "system.slice": "/system.slice", "basic.target": ""} {
		if group, err := b.bus.ControlGroup(t.Context(), name); err != nil || group != want {
			t.Errorf("%s: %q, %v, want %q", name, group, err, want)
		}
	}
	if err := b.bus.Start(t.Context(), "glidepath-no-such.service"); !errors.Is(err, systemd.ErrNoUnit) {
		t.Errorf("%v", err)
	}
	companions, err := b.bus.Companions(t.Context(), "systemd-journald.service")
	if err != nil || !strings.Contains(strings.Join(companions, " "), "systemd-journald.socket") {
		t.Errorf("%v %v", companions, err)
	}
	controllers, missing, err := b.e.Probe()
	if err != nil || len(missing) != 0 || len(controllers) < 3 {
		t.Errorf("%v %v %v", controllers, missing, err)
	}
}
