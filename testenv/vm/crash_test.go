//go:build linux

package vm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/glidepath/glidepath/testenv/vm"
	"github.com/glidepath/glidepath/testenv/vm/vmtest"
)

// crashVariable makes this test binary a harness that starts a fleet of that name and waits to
// be killed.
const crashVariable = "GLIDEPATH_VM_TEST_CRASH"

func TestMain(m *testing.M) {
	if name := os.Getenv(crashVariable); name != "" {
		if err := runUntilKilled(name); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// runUntilKilled is what the crashing harness does.
func runUntilKilled(name string) error {
	fleet, err := vm.Start(context.Background(), vm.Spec{
		Name: name, Guests: []vm.GuestSpec{{Name: "g", Off: true}}, Namespaces: []vm.NamespaceSpec{{Name: "c"}}, Keep: true,
	})
	if err != nil {
		return err
	}
	// The guest does not get as far as to answer.
	go fleet.Guest("g").Boot(context.Background())
	process, err := fleet.Namespace("c").Start(vm.ProcessSpec{Name: "sleeper", Argv: []string{"sleep", "1000"}})
	if err != nil {
		return err
	}
	for {
		content, err := os.ReadFile(filepath.Join(fleet.Dir(), "manifest.json"))
		if err != nil {
			return err
		}
		if bytes.Count(content, []byte(`"PID"`)) == 2 {
			break
		}
	}
	fmt.Println("ready", process.PID())
	select {}
}

func TestNothingIsLeftOfAKilledHarness(t *testing.T) {
	vmtest.Require(t)
	name := fmt.Sprintf("crash-%d", os.Getpid())
	harness := exec.CommandContext(t.Context(), os.Args[0])
	harness.Env = append(os.Environ(), crashVariable+"="+name)
	var lines lineWaiter
	harness.Stdout = lines.start()
	if err := harness.Start(); err != nil {
		t.Fatal(err)
	}
	ready := lines.next(t)
	if err := harness.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	harness.Wait()
	var pid int
	if _, err := fmt.Sscanf(ready, "ready %d", &pid); err != nil {
		t.Fatalf("the harness said %q", ready)
	}
	// With Keep, processes live on without their harness.
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("process %d: %v", pid, err)
	}
	if _, err := os.Stat("/run/netns/gp-" + name); err != nil {
		t.Error(err)
	}

	if _, err := vm.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A dead process that nobody has waited for has no command line.
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(text) > 0 {
		t.Errorf("process %d is still there: %q", pid, text)
	}
	if out, err := exec.Command("pgrep", "--full", "guest="+name).Output(); err == nil {
		t.Errorf("QEMU is still there: %s", out)
	}
	for _, path := range []string{"/run/netns/gp-" + name, "/run/netns/gp-" + name + ".c", filepath.Join(vm.StateDir(), name)} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

func TestDetachedFleetCanBeOpenedAndDestroyed(t *testing.T) {
	vmtest.Require(t)
	name := fmt.Sprintf("detach-%d", os.Getpid())
	fleet, err := vm.Start(t.Context(), vm.Spec{Name: name, Namespaces: []vm.NamespaceSpec{{Name: "c"}}, Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	process, err := fleet.Namespace("c").Start(vm.ProcessSpec{Name: "sleeper", Argv: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := fleet.Detach(); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := vm.Open(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(process.PID(), 0); err != nil {
		t.Errorf("process %d: %v", process.PID(), err)
	}
	out, err := again.Namespace("c").Command(t.Context(), "ip", "-br", "addr").Output()
	if err != nil || !strings.Contains(string(out), "10.77.0.101") {
		t.Errorf("a command in the opened fleet: %q, %v", out, err)
	}
	if err := again.Detach(); err != nil {
		t.Fatal(err)
	}
	if err := vm.Destroy(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/run/netns/gp-" + name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the network is still there: %v", err)
	}
}
