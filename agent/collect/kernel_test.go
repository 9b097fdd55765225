package collect

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/internal/resource"
	"golang.org/x/sys/unix"
)

// kernelMount is where a kernel has cgroup v2 with all controllers.
const kernelMount = "/sys/fs/cgroup"

// kernelTests is the environment variable that allows tests to make cgroups of the running kernel: in a guest, not on a machine that somebody uses.
const kernelTests = "GLIDEPATH_KERNEL_TESTS"

// kernelCgroup makes a cgroup of the running kernel, below a folder of the test's own, and returns its path below the mount.
func kernelCgroup(t testing.TB, name string) string {
	t.Helper()
	if os.Getenv(kernelTests) == "" {
		t.Skip("makes cgroups on this machine: run make guests, or set " + kernelTests + "=1 in a guest")
	}
	parent := "glidepath-collect-test"
	if err := os.MkdirAll(filepath.Join(kernelMount, parent), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", parent} {
		if err := os.WriteFile(filepath.Join(kernelMount, dir, "cgroup.subtree_control"), []byte("+cpu +memory +io"), 0); err != nil {
			t.Fatalf("enable the controllers: %v", err)
		}
	}
	path := filepath.Join(parent, name)
	if err := os.Mkdir(filepath.Join(kernelMount, path), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		removeCgroup(t, path)
		_ = os.Remove(filepath.Join(kernelMount, parent)) // fails until the last one is gone
	})
	return path
}

// removeCgroup kills what runs in a cgroup and removes it, if it is there.
func removeCgroup(t testing.TB, path string) {
	t.Helper()
	dir := filepath.Join(kernelMount, path)
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); errors.Is(err, os.ErrNotExist) {
		return
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // between polls: processes die in their own time
	}
}

// spin starts a process that never pauses in a cgroup that grants it a quota per 100 ms.
func spin(t *testing.T, path, quota string) {
	t.Helper()
	dir := filepath.Join(kernelMount, path)
	if err := os.WriteFile(filepath.Join(dir, "cpu.max"), []byte(quota+" 100000"), 0); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	process := exec.Command("sh", "-c", "while :; do :; done")
	process.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill() // it may be gone with its cgroup
		_ = process.Wait()
	})
}

func TestKernelShowsTheDemandBehindAQuota(t *testing.T) {
	path := kernelCgroup(t, "quota")
	spin(t, path, "20000")
	s := New(Config{Cgroups: kernelMount})
	defer s.Close()
	s.Track([]Target{{"spinner", path}})
	unlimited := resource.Uniform(resource.Unlimited)
	var used, wanted int64
	var known demand.State
	const rounds = 5
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; n < rounds; <-tick.C {
		samples, err := s.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(samples) < 2 {
			continue // the first round
		}
		o := samples[0].Observation
		var d resource.Vector
		d, known = demand.Estimate(o, unlimited, unlimited, known)
		t.Logf("used %dm, %d of %d periods and %s throttled, pressure %.2f: demand %dm; the system used %v",
			o.Usage[resource.CPU], o.ThrottledPeriods, o.Periods, o.Throttled, o.Pressure.CPU, d[resource.CPU], samples[1].Observation.Usage)
		used, wanted, n = used+o.Usage[resource.CPU], wanted+d[resource.CPU], n+1
	}
	if used /= rounds; used < 150 || used > 250 {
		t.Errorf("used %dm under a quota of 200m", used)
	}
	if wanted /= rounds; wanted < 800 || wanted > 1300 {
		t.Errorf("a process that never pauses is taken to want %dm, want about 1000m", wanted)
	}
}

func TestKernelTellsThatAUnitWasRestarted(t *testing.T) {
	path := kernelCgroup(t, "restarted")
	spin(t, path, "max")
	s := New(Config{Cgroups: kernelMount})
	defer s.Close()
	s.Track([]Target{{"spinner", path}})
	sample := func() Sample {
		t.Helper()
		samples, err := s.instances(0)
		if err != nil || len(samples) != 1 {
			t.Fatalf("%v, %v", samples, err)
		}
		return samples[0]
	}
	if _, err := s.instances(0); err != nil {
		t.Fatal(err)
	}
	if got := sample(); !got.Running {
		t.Fatal("it runs")
	}
	removeCgroup(t, path)
	if got := sample(); got.Running {
		t.Fatal("its cgroup is gone, and it is said to run")
	}
	kernelCgroup(t, "restarted")
	if got := sample(); !got.Running || got.Observation.Usage[resource.CPU] != 0 {
		t.Fatalf("the new cgroup has used nothing: %+v", got)
	}
	removeCgroup(t, path)
	kernelCgroup(t, "restarted") // between two rounds
	if got := sample(); !got.Running {
		t.Fatal("the new cgroup was not found")
	}
}

// BenchmarkKernelSampling is BenchmarkSampling on the kernel's own files: those of cgroups that it makes, or of those
// below the mount that the pattern in GLIDEPATH_KERNEL_CGROUPS matches.
func BenchmarkKernelSampling(b *testing.B) {
	var targets []Target
	if pattern := os.Getenv("GLIDEPATH_KERNEL_CGROUPS"); pattern != "" {
		found, err := filepath.Glob(filepath.Join(kernelMount, pattern))
		if err != nil || len(found) != benched {
			b.Fatalf("%d cgroups match %s, want %d (%v)", len(found), pattern, benched, err)
		}
		for _, path := range found {
			targets = append(targets, Target{filepath.Base(path), strings.TrimPrefix(path, kernelMount+"/")})
		}
	}
	for i := len(targets); i < benched; i++ {
		name := fmt.Sprintf("instance-%02d", i)
		targets = append(targets, Target{name, kernelCgroup(b, name)})
	}
	benchmarkSampling(b, tracking(b, kernelMount, targets))
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for l := range strings.Lines(string(status)) {
			if strings.HasPrefix(l, "VmRSS") {
				b.Log(strings.TrimSpace(l))
			}
		}
	}
}
