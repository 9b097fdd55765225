package coordinator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// diskSize is that of the file systems that fill up.
const diskSize = 48 << 20

// inOwnMounts reports whether this is a process in whose mount namespace file systems may be mounted that end with it. If it is not, it runs the test in one.
func inOwnMounts(t *testing.T) bool {
	t.Helper()
	const mark = "GLIDEPATH_TEST_OWN_MOUNTS"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	if os.Getenv("GLIDEPATH_FURTHER") == "" {
		t.Skip("what is refused for want of a disk is refused after half a minute: run make guests, or set GLIDEPATH_FURTHER=1")
	}
	if os.Geteuid() != 0 {
		t.Skip("a file system that fills up is mounted by root only")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("in a mount namespace of its own:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return false
}

// onSmallDisk is config3 with a data folder on a file system of its own.
func onSmallDisk(t testing.TB, name string) Config {
	t.Helper()
	cfg := config3(t, name)
	if err := unix.Mount("tmpfs", cfg.DataDir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(cfg.DataDir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return cfg
}

// fill takes all the room of a coordinator's disk, and returns what gives it back.
func fill(t *testing.T, cfg Config) (empty func()) {
	t.Helper()
	path := filepath.Join(cfg.DataDir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err = f.Write(block); err != nil {
			break
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// bulk is a command that changes nothing and has some kilobytes.
func bulk() *proto.IncarnationRaise {
	return &proto.IncarnationRaise{From: 1 << 40, Reason: strings.Repeat("bulk ", 800)}
}

// scraped returns the metrics of a coordinator.
func scraped(m *member) string {
	out := httptest.NewRecorder()
	m.metrics.Handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return out.Body.String()
}

// What was acknowledged stays, whoever's disk is full; a majority with room goes on, whoever led; without one commands are refused with what to do; and
// once there is room all go on by themselves.
func TestACoordinatorWhoseDiskIsFullTakesNoPartUntilThereIsRoom(t *testing.T) {
	if !inOwnMounts(t) {
		return
	}
	all, made, _ := threeOf(t, onSmallDisk)
	c, ctx := connect(t, made, all...), context.Background()
	var kept []string
	put := func(name string) error {
		return c.Call(ctx, "PUT", "/v1/types/"+name, proto.InstanceType{Name: name, Max: resource.Uniform(100)}, nil)
	}
	// must puts a type, which is acknowledged then.
	must := func(name string) {
		t.Helper()
		if err := put(name); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kept = append(kept, name)
	}
	leads := func(want func(m *member) bool) (leader *member) {
		t.Helper()
		eventually(t, "one of them leads", func() error {
			s, err := status(c)
			if err != nil {
				return err
			}
			for _, m := range all {
				if m.cfg.Name == s.Leader && want(m) {
					leader = m
					return nil
				}
			}
			return fmt.Errorf("%q leads", s.Leader)
		})
		return leader
	}
	have := func(members ...*member) {
		t.Helper()
		for _, m := range members {
			eventually(t, m.cfg.Name+" has what was acknowledged", func() error {
				for _, name := range kept {
					if _, ok := m.tables.View().Type(name); !ok {
						return fmt.Errorf("%s is not there", name)
					}
				}
				return nil
			})
		}
	}
	must("before")

	// The leader's disk is full: it steps back, and what it was asked for is done by the next one.
	full := leads(func(*member) bool { return true })
	rest := slices.DeleteFunc(slices.Clone(all), func(m *member) bool { return m == full })
	c = connect(t, made, rest...)
	empty := fill(t, full.cfg)
	for n := 0; full.consensus.IsLeader(); n++ {
		if n == 1000 {
			t.Fatal("its log is written though its disk is full")
		}
		if _, err := rest[0].Propose(ctx, NewID(), "test", bulk()); err != nil {
			t.Fatalf("a command is refused while two of three have room: %v", err)
		}
	}
	must("while-the-leaders-disk-is-full")
	next := leads(func(m *member) bool { return m != full })
	have(rest...)
	// By way of the one that is full it is committed, too, but never seen there.
	_, err := full.Propose(ctx, NewID(), "test", bulk())
	if err == nil || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), "make room") {
		t.Errorf("by way of the coordinator whose disk is full: %v", err)
	}
	t.Logf("by way of the coordinator whose disk is full: %v", err)
	for _, word := range []string{"takes no part in deciding", "no space left on device", "make room", full.cfg.DataDir} {
		if !strings.Contains(full.said.String(), word) {
			t.Errorf("its log does not say %q", word)
		}
	}
	text := scraped(full)
	for _, line := range []string{"glidepath_data_available_bytes 0\n", fmt.Sprintf("glidepath_data_size_bytes %g\n", float64(diskSize))} {
		if !strings.Contains(text, line) {
			t.Errorf("its metrics do not say %q", line)
		}
	}
	if strings.Contains(text, "glidepath_raft_write_failures_total 0\n") || !strings.Contains(scraped(next), "glidepath_raft_write_failures_total 0\n") {
		t.Error("what could not be written is not counted where it could not")
	}
	// A snapshot finds no room, and leaves nothing behind.
	if err := full.consensus.Snapshot(); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("a snapshot on a full disk: %v", err)
	}
	if parts, err := filepath.Glob(filepath.Join(full.cfg.DataDir, raftDir, "snapshots", "*.tmp")); err != nil || len(parts) > 0 {
		t.Errorf("it left %q, %v", parts, err)
	}

	// Another one's is, too: nothing has a majority, and whoever asks is told, in time, where to look.
	other := rest[slices.IndexFunc(rest, func(m *member) bool { return m != next })]
	emptyOther := fill(t, other.cfg)
	var refused error
	for n := 0; refused == nil; n++ {
		if n == 1000 {
			t.Fatal("commands have a majority though two of three disks are full")
		}
		_, refused = next.Propose(ctx, NewID(), "test", bulk())
	}
	t.Logf("refused: %v", refused)
	if !strings.Contains(refused.Error(), "disk") {
		t.Errorf("the refusal does not say where to look: %v", refused)
	}
	err = put("while-two-disks-are-full")
	if codeOf(err) != v1.CodeUnavailable || !strings.Contains(err.Error(), "it is not known whether") {
		t.Errorf("by way of the API it is %v", err)
	}
	t.Logf("by way of the API: %v", err)
	have(rest...) // reads go on

	// One of them has room again: all goes on, with nothing lost. Then the other.
	emptyOther()
	eventually(t, "commands have a majority again", func() error { return put("after-there-was-room") })
	kept = append(kept, "after-there-was-room")
	have(next, other)
	empty()
	must("after-there-was-room-everywhere")
	have(all...)
	if err := full.consensus.Snapshot(); err != nil {
		t.Errorf("a snapshot with room: %v", err)
	}

	// And from the disk: each is restarted, and one that is full when it starts says so and goes on when there is room.
	for _, m := range all {
		m.end(t)
	}
	empty = fill(t, full.cfg)
	for n, m := range all {
		if m != full {
			all[n] = start(t, m.cfg)
		}
	}
	c = connect(t, made, slices.DeleteFunc(slices.Clone(all), func(m *member) bool { return m == full })...)
	leads(func(m *member) bool { return m != full })
	eventually(t, "it goes on with two of three", func() error { return put("after-a-restart") })
	kept = append(kept, "after-a-restart")
	if err := startFull(t, full.cfg); err != nil && !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("on a full disk it does not start, and does not say why: %v", err)
	}
	empty()
	for n, m := range all {
		if m == full {
			all[n] = start(t, m.cfg)
		}
	}
	have(all...)
}

// startFull starts a coordinator whose disk is full, and stops it again if it comes up. It returns what it ended with.
func startFull(t *testing.T, cfg Config) error {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := newCoordinator(cfg, Process{Version: "test", Log: slog.New(slog.DiscardHandler), Audit: io.Discard})
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- c.run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
		t.Log("it comes up on a full disk")
		stop()
		return <-ended
	case err := <-ended:
		t.Logf("on a full disk it ends: %v", err)
		return err
	}
}
