//go:build linux

package vm_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/testenv/vm"
	"github.com/glidepath/glidepath/testenv/vm/vmtest"
)

// patience bounds every single operation on guests, on a machine that is busy with other tests.
const patience = 3 * time.Minute

// lab is a fleet under test.
type lab struct {
	*vm.Fleet
	ctx context.Context
}

func newLab(t *testing.T, fleet *vm.Fleet) lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return lab{fleet, ctx}
}

func (l lab) shell(t *testing.T, guest, script string) string {
	t.Helper()
	out, err := l.Guest(guest).Shell(l.ctx, script)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// reaches reports whether a guest gets an answer from another node's address. One lost packet
// proves nothing on a busy machine, so it asks up to eight times.
func (l lab) reaches(t *testing.T, guest, other string) bool {
	t.Helper()
	_, err := l.Guest(guest).Exec(l.ctx, "ping", "-c", "1", "-w", "8", "-i", "0.5", other)
	var exit *vm.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return err == nil
}

func (l lab) wantReach(t *testing.T, want bool, guest, other string) {
	t.Helper()
	if got := l.reaches(t, guest, other); got != want {
		t.Errorf("%s reaches %s: %v, want %v", guest, other, got, want)
	}
}

func (l lab) do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFleetOfTwoGuests(t *testing.T) {
	fleet := vmtest.Fleet(t, vm.Spec{
		Guests:     []vm.GuestSpec{{Name: "host-a"}, {Name: "host-b"}},
		Namespaces: []vm.NamespaceSpec{{Name: "c1"}},
	})
	for _, test := range []struct {
		name string
		run  func(*testing.T, lab)
	}{
		{"guests have what the agent needs", guestsHaveWhatTheAgentNeeds},
		{"files and folders come back as they were", filesComeBack},
		{"commands stream and can be cancelled", commandsStream},
		{"namespaces reach guests", namespacesReachGuests},
		{"a cut guest is still under control", cutGuest},
		{"a cut pair is reached by others", cutPair},
		{"a slow link is slow both ways", slowLink},
		{"a paused guest stands still", pausedGuest},
		{"a stepped clock is off by the step", steppedClock},
		{"a full disk takes nothing", fullDisk},
		{"loading brings the saved state back", savedState},
		{"a hard reboot keeps what was synced", hardReboot},
		{"a killed guest boots again", killedGuest},
		{"logs explain what happened", logsExplain},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newLab(t, fleet)) })
	}
}

func guestsHaveWhatTheAgentNeeds(t *testing.T, l lab) {
	controllers := strings.Fields(l.shell(t, "host-a", "cat /sys/fs/cgroup/cgroup.controllers"))
	for _, want := range []string{"cpu", "memory", "io", "pids"} {
		if !strings.Contains(strings.Join(controllers, " "), want) {
			t.Errorf("no cgroup controller %s among %v", want, controllers)
		}
	}
	if got := l.shell(t, "host-a", "hostname; ls /sys/class/net"); got != "host-a\neth0\nlo" {
		t.Errorf("name and interfaces are %q", got)
	}
	if got := l.shell(t, "host-a", "nproc"); got != "2" {
		t.Errorf("%s of 2 processors are up", got)
	}
	l.shell(t, "host-a", "test -r /proc/pressure/cpu")
	l.shell(t, "host-a", "modprobe -a sch_fq sch_netem sch_tbf && tc qdisc replace dev eth0 root fq")
	l.shell(t, "host-a", "mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf; mkdir /sys/fs/bpf/test; rmdir /sys/fs/bpf/test")
	l.shell(t, "host-a", "command -v rsync arping setfacl setfattr ps systemd-run")
	if got := l.shell(t, "host-a", "systemctl start redis-server && redis-cli ping && systemctl stop redis-server"); got != "PONG" {
		t.Errorf("Redis says %q", got)
	}
	if got := l.shell(t, "host-a", "systemctl list-units --failed --plain --no-legend"); got != "" {
		t.Errorf("failed units: %s", got)
	}
	a, b := l.shell(t, "host-a", "cat /etc/machine-id"), l.shell(t, "host-b", "cat /etc/machine-id")
	if a == b {
		t.Errorf("both guests have the machine ID %s", a)
	}
}

func filesComeBack(t *testing.T, l lab) {
	guest, here := l.Guest("host-a"), t.TempDir()
	content := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	l.do(t, guest.WriteFile(l.ctx, "/root/deep/file", 0o640, content))
	got, err := guest.ReadFile(l.ctx, "/root/deep/file")
	l.do(t, err)
	if !bytes.Equal(got, content) {
		t.Errorf("got %d bytes that differ from the %d written", len(got), len(content))
	}
	if mode := l.shell(t, "host-a", "stat -c %a /root/deep/file"); mode != "640" {
		t.Errorf("mode is %s", mode)
	}
	l.do(t, os.Mkdir(filepath.Join(here, "sub"), 0o755))
	l.do(t, os.WriteFile(filepath.Join(here, "sub/x"), content, 0o600))
	l.do(t, guest.CopyTo(l.ctx, here, "/root/copied"))
	back := filepath.Join(t.TempDir(), "back")
	l.do(t, guest.CopyFrom(l.ctx, "/root/copied", back))
	if got, err := os.ReadFile(filepath.Join(back, "sub/x")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes back, %v", len(got), err)
	}
	l.do(t, guest.CopyFrom(l.ctx, "/root/copied/sub/x", filepath.Join(back, "single")))
	if err := guest.CopyFrom(l.ctx, "/root/missing", filepath.Join(back, "missing")); err == nil {
		t.Error("a missing file was copied")
	}
}

func commandsStream(t *testing.T, l lab) {
	guest := l.Guest("host-a")
	_, err := guest.Shell(l.ctx, "echo complaint >&2; exit 7")
	var exit *vm.ExitError
	if !errors.As(err, &exit) || exit.Code != 7 || exit.Stderr != "complaint" {
		t.Errorf("got error %v", err)
	}
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	var lines lineWaiter
	process, err := guest.Start(ctx, vm.Command{Argv: []string{"sh", "-c", "echo $$; exec sleep 1000"}, Stdout: lines.start()})
	l.do(t, err)
	pid := lines.next(t)
	l.shell(t, "host-a", "test -d /proc/"+pid)
	cancel()
	if err := process.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want canceled", err)
	}
	l.shell(t, "host-a", "for i in $(seq 100); do test -d /proc/"+pid+" || exit 0; sleep 0.1; done; exit 1")

	_, err = guest.Spawn(l.ctx, "/root/spawned.log", "sh", "-c", "echo begun; sleep 1000")
	l.do(t, err)
	l.shell(t, "host-a", "for i in $(seq 100); do grep -q begun /root/spawned.log && exit 0; sleep 0.1; done; exit 1")
}

func namespacesReachGuests(t *testing.T, l lab) {
	ns := l.Namespace("c1")
	listener, err := ns.Listen(l.ctx, "tcp", ":7000")
	l.do(t, err)
	defer listener.Close()
	greeted := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = conn.Write([]byte("hello\n"))
			conn.Close()
		}
		greeted <- err
	}()
	if got := l.shell(t, "host-a", "cat < /dev/tcp/c1/7000"); got != "hello" {
		t.Errorf("a guest got %q", got)
	}
	l.do(t, <-greeted)

	l.shell(t, "host-a", "systemd-run -q --unit=greeter --service-type=exec redis-server --bind 0.0.0.0 --protected-mode no --port 7001")
	conn := dialUntilUp(t, l, "host-a:7001")
	defer conn.Close()
	_, err = conn.Write([]byte("PING\r\n"))
	l.do(t, err)
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || answer != "+PONG\r\n" {
		t.Errorf("Redis says %q, %v", answer, err)
	}
	l.shell(t, "host-a", "systemctl stop greeter")

	out, err := ns.Command(l.ctx, "ip", "-br", "addr", "show", "eth0").Output()
	l.do(t, err)
	if !strings.Contains(string(out), "10.77.0.101/24") {
		t.Errorf("a command in the namespace sees %q", out)
	}
	process, err := ns.Start(vm.ProcessSpec{Name: "talker", Argv: []string{"sh", "-c", "echo in $GREETING; trap 'exit 4' TERM; while :; do sleep 0.1; done"}, Env: []string{"GREETING=c1"}})
	l.do(t, err)
	waitFor(l.ctx, t, func() bool {
		log, err := os.ReadFile(process.Log())
		return err == nil && string(log) == "in c1\n"
	})
	l.do(t, process.Stop(l.ctx))
	if process.ExitCode() != 4 {
		t.Errorf("exit code is %d", process.ExitCode())
	}
}

func dialUntilUp(t *testing.T, l lab, addr string) net.Conn {
	t.Helper()
	var conn net.Conn
	waitFor(l.ctx, t, func() bool {
		var err error
		conn, err = l.Namespace("c1").DialContext(l.ctx, "tcp", addr)
		return err == nil
	})
	l.do(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

func cutGuest(t *testing.T, l lab) {
	l.wantReach(t, true, "host-a", "host-b")
	l.do(t, l.Cut(l.ctx, "host-a"))
	l.wantReach(t, false, "host-a", "host-b")
	l.wantReach(t, false, "host-b", "host-a")
	l.wantReach(t, true, "host-b", "c1")
	l.do(t, l.Heal(l.ctx, "host-a"))
	l.wantReach(t, true, "host-a", "host-b")
}

func cutPair(t *testing.T, l lab) {
	l.do(t, l.CutPair(l.ctx, "host-a", "host-b"))
	l.wantReach(t, false, "host-a", "host-b")
	l.wantReach(t, false, "host-b", "host-a")
	l.wantReach(t, true, "host-a", "c1")
	l.wantReach(t, true, "host-b", "c1")
	l.do(t, l.HealPair(l.ctx, "host-a", "host-b"))
	l.do(t, l.HealPair(l.ctx, "host-a", "host-b"))
	l.wantReach(t, true, "host-a", "host-b")
}

func slowLink(t *testing.T, l lab) {
	const rate, size = 8_000_000, 4 << 20
	ideal := time.Duration(float64(size*8) / rate * float64(time.Second))
	l.do(t, l.Slow(l.ctx, "host-a", rate))
	for direction, transfer := range map[string]func() error{
		"towards the guest": func() error { return l.send(size) },
		"from the guest":    func() error { return l.receive(size) },
	} {
		start := time.Now()
		l.do(t, transfer())
		// The queue and the sockets hold some of it back at the end.
		if took := time.Since(start); took < ideal*7/10 {
			t.Errorf("%s: %d bytes at %d bit/s took %v, want at least %v", direction, size, rate, took, ideal*7/10)
		}
	}
	l.do(t, l.Slow(l.ctx, "host-a", 0))
	start := time.Now()
	l.do(t, l.send(size))
	if took := time.Since(start); took > ideal*7/10 {
		t.Errorf("after the limit was lifted it took %v", took)
	}
}

// send moves so many bytes from the namespace to host-a, and returns when they have arrived.
func (l lab) send(size int) error {
	return l.transfer(func(conn net.Conn) error {
		_, err := conn.Write(make([]byte, size))
		return err
	}, fmt.Sprintf("exec 3<>/dev/tcp/c1/7002; head -c %d <&3 | wc -c", size), size)
}

// receive moves so many bytes from host-a to the namespace.
func (l lab) receive(size int) error {
	return l.transfer(func(conn net.Conn) error {
		n, err := bufio.NewReader(conn).Discard(size)
		if err == nil && n != size {
			err = fmt.Errorf("got %d bytes", n)
		}
		return err
	}, fmt.Sprintf("exec 3<>/dev/tcp/c1/7002; head -c %d /dev/zero >&3; cat <&3; echo %d", size, size), size)
}

func (l lab) transfer(here func(net.Conn) error, there string, size int) error {
	listener, err := l.Namespace("c1").Listen(l.ctx, "tcp", ":7002")
	if err != nil {
		return err
	}
	defer listener.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = here(conn)
			conn.Close()
		}
		done <- err
	}()
	out, err := l.Guest("host-a").Shell(l.ctx, there)
	if err == nil && strings.TrimSpace(out) != strconv.Itoa(size) {
		err = fmt.Errorf("the guest says %q", out)
	}
	if err != nil {
		listener.Close()
	}
	return errors.Join(err, <-done)
}

func pausedGuest(t *testing.T, l lab) {
	guest := l.Guest("host-b")
	l.do(t, guest.Pause(l.ctx))
	ctx, cancel := context.WithTimeout(l.ctx, 3*time.Second)
	defer cancel()
	// Where it gives up, dialling or waiting for the answer, depends on what was buffered.
	if _, err := guest.Exec(ctx, "true"); err == nil {
		t.Error("a paused guest answered")
	}
	l.do(t, guest.Resume(l.ctx))
	l.shell(t, "host-b", "true")
	l.do(t, guest.StepClock(l.ctx, 0))
}

func steppedClock(t *testing.T, l lab) {
	guest := l.Guest("host-b")
	for _, step := range []time.Duration{-90 * time.Minute, 24 * time.Hour, 0} {
		l.do(t, guest.StepClock(l.ctx, step))
		now, err := guest.Clock(l.ctx)
		l.do(t, err)
		if off := time.Until(now) - step; math.Abs(off.Seconds()) > 20 {
			t.Errorf("stepped by %v, the clock is %v off that", step, off)
		}
	}
}

func fullDisk(t *testing.T, l lab) {
	guest := l.Guest("host-b")
	l.do(t, guest.FillDisk(l.ctx, "/var/lib", 1<<20))
	left, err := strconv.Atoi(l.shell(t, "host-b", `echo $(( $(stat -f -c '%a * %S' /var/lib) ))`))
	l.do(t, err)
	if left > 1<<20+8192 {
		t.Errorf("%d bytes are free, want about %d", left, 1<<20)
	}
	_, err = guest.Shell(l.ctx, "head -c 3000000 /dev/zero > /var/lib/more")
	var exit *vm.ExitError
	if !errors.As(err, &exit) || !strings.Contains(exit.Stderr, "No space left") {
		t.Errorf("writing to a full disk: %v", err)
	}
	l.do(t, guest.FreeDisk(l.ctx, "/var/lib"))
	l.shell(t, "host-b", "head -c 3000000 /dev/zero > /var/lib/more; rm /var/lib/more")
}

func savedState(t *testing.T, l lab) {
	guest := l.Guest("host-a")
	l.shell(t, "host-a", "echo before > /root/state; sync")
	start := time.Now()
	l.do(t, guest.Save(l.ctx, "clean"))
	saved := time.Since(start)
	l.shell(t, "host-a", "echo after > /root/state; sync; systemctl start redis-server")
	start = time.Now()
	l.do(t, guest.Load(l.ctx, "clean"))
	t.Logf("saving took %v, loading %v", saved, time.Since(start))
	if got := l.shell(t, "host-a", "cat /root/state; systemctl is-active redis-server || true"); got != "before\ninactive" {
		t.Errorf("state is %q", got)
	}
	now, err := guest.Clock(l.ctx)
	l.do(t, err)
	if off := time.Until(now); math.Abs(off.Seconds()) > 20 {
		t.Errorf("the clock is %v off", off)
	}
	l.wantReach(t, true, "host-a", "host-b")
	if err := guest.Load(l.ctx, "missing"); err == nil {
		t.Error("a state that was never saved was loaded")
	}
}

func hardReboot(t *testing.T, l lab) {
	l.shell(t, "host-b", "echo synced > /root/synced; sync; echo lost > /run/lost")
	before := l.shell(t, "host-b", "cat /proc/sys/kernel/random/boot_id")
	l.do(t, l.Guest("host-b").HardReboot(l.ctx))
	if l.shell(t, "host-b", "cat /proc/sys/kernel/random/boot_id") == before {
		t.Error("it did not reboot")
	}
	if got := l.shell(t, "host-b", "cat /root/synced; ls /run/lost 2>/dev/null || true"); got != "synced" {
		t.Errorf("after the reboot there is %q", got)
	}
	l.wantReach(t, true, "host-b", "c1")
}

func killedGuest(t *testing.T, l lab) {
	guest := l.Guest("host-b")
	l.do(t, guest.Kill())
	if _, err := guest.Exec(l.ctx, "true"); err == nil {
		t.Error("a killed guest answered")
	}
	if err := guest.Pause(l.ctx); !errors.Is(err, vm.ErrOff) {
		t.Errorf("got error %v, want ErrOff", err)
	}
	l.do(t, guest.Boot(l.ctx))
	if got := l.shell(t, "host-b", "cat /root/synced"); got != "synced" {
		t.Errorf("after the kill there is %q", got)
	}
	l.do(t, guest.Shutdown(l.ctx))
	if _, err := guest.Exec(l.ctx, "true"); err == nil {
		t.Error("a guest that was shut down answered")
	}
}

func logsExplain(t *testing.T, l lab) {
	l.shell(t, "host-a", "logger -t test explanation")
	folder := t.TempDir()
	l.do(t, l.CollectLogs(l.ctx, folder))
	for name, want := range map[string]string{
		"host-a.journal.log": "explanation", "host-b.journal.log": "no more of the journal", "c1.talker.log": "in c1",
	} {
		if content, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !strings.Contains(string(content), want) {
			t.Errorf("%s lacks %q: %v", name, want, err)
		}
	}
}
