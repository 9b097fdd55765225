//go:build linux

package vm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// useStateDir gives the test a folder for fleets of its own.
func useStateDir(t *testing.T) string {
	t.Helper()
	// Not t.TempDir, whose paths are too long for sockets.
	dir, err := os.MkdirTemp("", "gpvm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("GLIDEPATH_VM_STATE", filepath.Join(dir, "s"))
	state, err := makeStateDir()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// leave makes a fleet's folder as its program would have left it.
func leave(t *testing.T, state string, m manifest) string {
	t.Helper()
	dir := filepath.Join(state, m.Name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if m.BootID == "" {
		var err error
		if m.BootID, err = bootID(); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sleeper starts a process that ends when the test does.
func sleeper(t *testing.T, env ...string) *watched {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p, err := watch(id, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func ended(p *watched) bool {
	ended, err := pollEnd(p.fd, 0)
	return ended && err == nil
}

func TestSweepKillsRecordedAndMarkedProcesses(t *testing.T) {
	state := useStateDir(t)
	recorded := sleeper(t)
	marked := sleeper(t, fleetVariable+"="+filepath.Join(state, "old"))
	bystander := sleeper(t, fleetVariable+"="+filepath.Join(state, "older"))
	dir := leave(t, state, manifest{Name: "old", Processes: []processRecord{{recorded.id, "a"}}})

	removed, err := Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(removed, []string{"old"}) {
		t.Errorf("removed %q", removed)
	}
	if !ended(recorded) || !ended(marked) {
		t.Errorf("recorded process ended: %v, marked process ended: %v", ended(recorded), ended(marked))
	}
	if ended(bystander) {
		t.Error("a process of another fleet was killed")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder: %v", err)
	}
}

func TestSweepSparesAProcessThatGotTheNumberLater(t *testing.T) {
	state := useStateDir(t)
	other := sleeper(t)
	earlier := processID{PID: other.id.PID, StartTicks: other.id.StartTicks - 1}
	leave(t, state, manifest{Name: "old", Processes: []processRecord{{earlier, "a"}}})
	if _, err := Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ended(other) {
		t.Error("a stranger was killed")
	}
}

func TestSweepAfterARebootTouchesFilesOnly(t *testing.T) {
	state := useStateDir(t)
	other := sleeper(t)
	dir := leave(t, state, manifest{Name: "old", BootID: "an earlier one", Processes: []processRecord{{other.id, "a"}}})
	if _, err := Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ended(other) {
		t.Error("a stranger was killed")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder: %v", err)
	}
}

func TestSweepLeavesHeldAndDetachedFleets(t *testing.T) {
	state := useStateDir(t)
	held := leave(t, state, manifest{Name: "held"})
	detached := leave(t, state, manifest{Name: "detached", Detached: true})
	lock, err := tryLockFile(filepath.Join(held, lockName))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if removed, err := Sweep(t.Context()); err != nil || len(removed) > 0 {
		t.Errorf("removed %q, %v", removed, err)
	}
	if err := Destroy(t.Context(), "held"); err == nil {
		t.Error("a held fleet was destroyed")
	}
	if err := Destroy(t.Context(), "detached"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(detached); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder: %v", err)
	}
}

func TestSweepRemovesAFolderWithoutManifest(t *testing.T) {
	state := useStateDir(t)
	dir := filepath.Join(state, "barely")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(t.Context()); err != nil || !slices.Equal(removed, []string{"barely"}) {
		t.Errorf("removed %q, %v", removed, err)
	}
}

func TestStateDirPreparedByOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("GLIDEPATH_VM_STATE", filepath.Join(dir, "link"))
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := makeStateDir(); err == nil || !strings.Contains(err.Error(), "only this user can write") {
		t.Errorf("got error %v", err)
	}
	t.Setenv("GLIDEPATH_VM_STATE", filepath.Join(dir, "open"))
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "open"), 0o700), os.Chmod(filepath.Join(dir, "open"), 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := makeStateDir(); err == nil {
		t.Error("a folder that all can write was accepted")
	}
}

func TestStarterStartsProcessesThatDieWithTheirParentsThread(t *testing.T) {
	s := newStarter()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.start(cmd); err != nil {
		t.Fatal(err)
	}
	id, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p, err := watch(id, cmd)
	if err != nil {
		t.Fatal(err)
	}
	if p.id.PID != cmd.Process.Pid || ended(p) {
		t.Errorf("process %d has ended", cmd.Process.Pid)
	}
	if err := p.kill(); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(p.state); got != "signal: killed" {
		t.Errorf("ended by %q", got)
	}
	s.close()
}
