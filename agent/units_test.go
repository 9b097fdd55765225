package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/transfer"
)

// unitLab starts the processes of units without systemd.
type unitLab struct {
	*testing.T
	runner *unitRunner
	ended  chan string // names of units that have ended

	mu    sync.Mutex
	specs []systemd.RunSpec
	main  []*os.Process
}

func newUnitLab(t *testing.T) *unitLab {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := &unitLab{T: t, ended: make(chan string, 16)}
	l.runner = newUnitRunner(l.run, func() string { return self })
	l.runner.idle = time.Hour
	t.Cleanup(func() {
		if err := l.runner.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *unitLab) run(ctx context.Context, spec systemd.RunSpec) (systemd.RunResult, error) {
	cmd := exec.CommandContext(ctx, spec.Command[0], spec.Command[1:]...)
	cmd.Stdin = spec.Stdin
	l.mu.Lock() // what it runs may have ended before it is noted
	err := cmd.Start()
	if err == nil {
		spec.Started()
		l.specs, l.main = append(l.specs, spec), append(l.main, cmd.Process)
	}
	l.mu.Unlock()
	if err != nil {
		return systemd.RunResult{}, err
	}
	result := systemd.RunResult{Why: "success"}
	if err := cmd.Wait(); err != nil {
		result.Why = "signal"
	}
	l.ended <- spec.Unit
	return result, nil
}

// units returns what was started so far.
func (l *unitLab) units() []systemd.RunSpec {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.specs)
}

// command runs a script that may write the given places, and returns how it ended.
func (l *unitLab) command(script string, write ...string) (int, error) {
	return l.runner.Run(l.Context(), transfer.Command{Name: "sync-test", Path: "/bin/sh", Args: []string{"-c", script}, Write: write})
}

func TestCommandsThatMayWriteTheSameShareAUnit(t *testing.T) {
	l := newUnitLab(t)
	dir := t.TempDir()
	for i, c := range []struct {
		write []string
		units int
	}{{nil, 1}, {nil, 1}, {[]string{dir}, 2}, {[]string{dir}, 2}, {nil, 2}} {
		if status, err := l.command("exit 7", c.write...); err != nil || status != 7 {
			t.Fatalf("command %d: status %d, %v", i, status, err)
		}
		if got := len(l.units()); got != c.units {
			t.Errorf("after command %d there were %d units, want %d", i, got, c.units)
		}
	}
	reads, writes := l.units()[0], l.units()[1]
	if len(reads.Writable) > 0 || !slices.Equal(reads.Caps, []uintptr{unix.CAP_DAC_READ_SEARCH}) || !reads.NoNetwork {
		t.Errorf("what reads may %+v", reads)
	}
	if !slices.Equal(writes.Writable, []string{dir}) || !slices.Contains(writes.Caps, unix.CAP_CHOWN) || !writes.NoNetwork {
		t.Errorf("what writes may %+v", writes)
	}
	// Another directory is at the path now, perhaps of the same number: to a unit that is there, the old one is what may be written.
	for i := range 2 {
		if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
		if _, err := l.command("true", dir); err != nil || len(l.units()) != 3+i {
			t.Errorf("%d units, %v", len(l.units()), err)
		}
	}
	before := len(l.units())
	c := transfer.Command{
		Name: "sync-test", Path: "/bin/sh", Args: []string{"-c", "head -c 2000000 /dev/zero >" + dir + "/large"}, Write: []string{dir}, FileSize: 1 << 20,
	}
	status, err := l.runner.Run(t.Context(), c)
	if large, failed := os.Stat(filepath.Join(dir, "large")); status == 0 && err == nil || failed != nil || large.Size() > 1<<20 || len(l.units()) != before {
		t.Errorf("a file of more than its command may make: status %d, %v, %v, %v, %d units more", status, err, large, failed, len(l.units())-before)
	}
	if _, err := l.command("true", dir+".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a place that is not there: %v", err)
	}
}

func TestAUnitThatRunsNothingEnds(t *testing.T) {
	l := newUnitLab(t)
	l.runner.idle = time.Millisecond
	for range 3 {
		if status, err := l.command("exit 7"); err != nil || status != 7 {
			t.Fatalf("status %d, %v", status, err)
		}
		<-l.ended
	}
	if got := len(l.units()); got != 3 {
		t.Errorf("%d units, want one for each command", got)
	}
}

// staying runs a command that goes on until it is ended, and returns when it is up, with what it says and what comes of it.
func (l *unitLab) staying(ctx context.Context) (said *os.File, ended <-chan error) {
	l.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { r.Close() })
	done := make(chan error, 1)
	go func() {
		_, err := l.runner.Run(ctx, transfer.Command{Name: "sync-test", Path: "/bin/sh", Args: []string{"-c", "echo up; exec sleep 1000"}, Stdout: w})
		done <- err
	}()
	if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
		l.Fatal(err)
	}
	return r, done
}

func TestACommandWhoseUnitDiesFailsAndTheNextHasAnother(t *testing.T) {
	l := newUnitLab(t)
	_, failed := l.staying(t.Context())
	l.mu.Lock()
	err := l.main[0].Kill()
	l.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, transfer.ErrSpawner) || !strings.Contains(err.Error(), "signal") {
		t.Errorf("it failed with %v", err)
	}
	if status, err := l.command("exit 7"); err != nil || status != 7 || len(l.units()) != 2 {
		t.Errorf("status %d, %v, %d units", status, err, len(l.units()))
	}
}

func TestCommandsEndWithTheAgent(t *testing.T) {
	l := newUnitLab(t)
	r, failed := l.staying(t.Context())
	if err := l.runner.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, transfer.ErrSpawner) {
		t.Errorf("it failed with %v", err)
	}
	if _, err := io.ReadAll(r); err != nil { // every copy of the writing end is closed only when all of them are gone
		t.Error(err)
	}
}

func TestACommandThatDoesNotEndHasNobodyElseSuffer(t *testing.T) {
	l := newUnitLab(t)
	l.runner.grace = time.Millisecond
	_, neighbour := l.staying(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	_, stuck := l.staying(ctx)
	l.mu.Lock()
	spawner := l.main[0]
	l.mu.Unlock()
	// A spawner that stands still can't end what waits for a disk either.
	if err := spawner.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-stuck; !errors.Is(err, transfer.ErrLate) {
		t.Errorf("it failed with %v", err)
	}
	if status, err := l.command("exit 7"); err != nil || status != 7 || len(l.units()) != 2 {
		t.Errorf("another one: status %d, %v, %d units", status, err, len(l.units()))
	}
	select {
	case err := <-neighbour:
		t.Errorf("its neighbour has ended: %v", err)
	default:
	}
	if err := spawner.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	l.runner.idle = time.Millisecond
	l.mu.Lock()
	err := spawner.Kill()
	l.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := <-neighbour; !errors.Is(err, transfer.ErrSpawner) {
		t.Errorf("its neighbour failed with %v", err)
	}
}

func TestWhatRunsNothingIsReleasedAndNothingElse(t *testing.T) {
	l := newUnitLab(t)
	if status, err := l.command("exit 7", t.TempDir()); err != nil || status != 7 {
		t.Fatalf("status %d, %v", status, err)
	}
	_, staying := l.staying(t.Context())
	l.runner.Release(t.Context())
	if got := <-l.ended; got != l.units()[0].Unit || len(l.ended) > 0 {
		t.Errorf("%s and %d more have ended", got, len(l.ended))
	}
	select {
	case err := <-staying:
		t.Errorf("what runs has ended: %v", err)
	default:
	}
}

func TestAUnitThatCannotBeStartedFailsWhatWaitsForIt(t *testing.T) {
	refused := errors.New("refused")
	u := newUnitRunner(func(context.Context, systemd.RunSpec) (systemd.RunResult, error) { return systemd.RunResult{}, refused }, func() string { return "/none" })
	defer u.Close()
	for range 3 {
		if _, err := u.Run(t.Context(), transfer.Command{Name: "sync-test", Path: "/bin/true"}); !errors.Is(err, refused) {
			t.Errorf("it failed with %v", err)
		}
	}
}
