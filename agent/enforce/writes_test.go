package enforce

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
)

func TestEveryWriteOnTheWayToACPULimitIsOneTheKernelTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amounts := rapid.OneOf(rapid.Int64Range(10, 64000), rapid.Just(resource.Unlimited))
		from, to := amounts.Draw(t, "from"), amounts.Draw(t, "to")
		quota, burst := cpuQuota(from), int64(0)
		if from < resource.Unlimited {
			burst = rapid.Int64Range(0, quota).Draw(t, "burst")
		}
		for _, w := range cpuWrites(cpuState{max: printAmount(quota) + " 100000", burst: burst}, to) {
			first, _, _ := strings.Cut(w.value, " ")
			n, err := parseAmount(first)
			if err != nil {
				t.Fatal(err)
			}
			if w.file == "cpu.max" {
				quota = n
			} else {
				burst = n
			}
			if burst > quota {
				t.Fatalf("after %v the burst %d is above the quota %d: the kernel refuses it", w, burst, quota)
			}
		}
		if quota != cpuQuota(to) {
			t.Fatalf("quota %d, want %d", quota, cpuQuota(to))
		}
	})
}

func TestSafeShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.OneOf(rapid.Int64Range(0, 1<<20), rapid.Just(resource.Unlimited>>12))
		page := int64(os.Getpagesize())
		high, want := sizes.Draw(t, "high")*page, sizes.Draw(t, "want")*page
		used := rapid.Int64Range(0, 1<<32).Draw(t, "used")
		top := maxAbove(max(high, pageUp(used)))
		for _, w := range memoryWrites(high, top, want, used) {
			n, err := strconv.ParseInt(strings.Replace(w.value, "max", strconv.FormatInt(resource.Unlimited, 10), 1), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if w.file == "memory.max" {
				top = n
			} else {
				high = n
			}
			if top < used {
				t.Fatalf("after %v memory.max %d is below the %d in use", w, top, used)
			}
			if top < high {
				t.Fatalf("after %v memory.max %d is below memory.high %d", w, top, high)
			}
		}
		if high != min(want, resource.Unlimited) {
			t.Fatalf("memory.high %d, want %d", high, want)
		}
	})
}

func TestMemoryThatCanNotBeTakenBackIsDebtAndAskedForEverMoreRarely(t *testing.T) {
	h, e := newFakeHost(t)
	mustAttach(t, e, cache())
	path := "/system.slice/" + fakeUnit
	h.put(path, "memory.current", "104857600")
	h.put(path, "memory.reclaim", "")
	o := mustApply(t, e, change(resource.Memory, 64<<20))[0]
	if o.Debt != 36<<20 || o.Held != 100<<20 || o.Event != "" {
		t.Fatalf("%+v", o)
	}
	h.holds(map[string]string{"memory.high": "104857600", "memory.max": "121634816", "memory.reclaim": "16777216"})
	c, s := cgroup(filepath.Join(h.cfg.CgroupRoot, path)), shrink{}
	now := time.Now()
	asked := 0
	for range 60 { // a minute of steps
		h.put(path, "memory.reclaim", "")
		if _, _, err := setMemory(t.Context(), c, 64<<20, &s, now); err != nil {
			t.Fatal(err)
		}
		if b, _ := c.read("memory.reclaim"); b != "" {
			asked++
		}
		now = now.Add(time.Second)
	}
	if asked < 4 || asked > 7 {
		t.Errorf("asked %d times in a minute, want about 6", asked)
	}
	h.put(path, "memory.current", "50000000")
	if debt, _, err := setMemory(t.Context(), c, 64<<20, &s, now); err != nil || debt != 0 {
		t.Errorf("debt %d, %v", debt, err)
	}
	h.holds(map[string]string{"memory.high": "67108864", "memory.max": "83886080"})
}

func TestIOMaxKeysOfOtherDisksAreNotOurs(t *testing.T) {
	dir := t.TempDir()
	c := cgroup(dir)
	if err := os.WriteFile(filepath.Join(dir, "io.max"), []byte("8:0 rbps=max wbps=max riops=7 wiops=max\n254:0 rbps=1000 wbps=max riops=max wiops=20\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		disk, key string
		n         int64
	}{{"8:0", "riops", 7}, {"254:0", "rbps", 1000}, {"254:0", "wiops", 20}, {"254:0", "riops", resource.Unlimited}, {"9:9", "riops", resource.Unlimited}} {
		if n, err := readIO(c, want.disk, want.key); err != nil || n != want.n {
			t.Errorf("%v: %d, %v", want, n, err)
		}
	}
	if wrote, err := setIO(c, []Disk{{Number: "254:0"}}, "wiops", 20); wrote || err != nil {
		t.Error("wrote what was there already:", err)
	}
}

func TestPartitionLeadsToItsDisk(t *testing.T) {
	sys := t.TempDir()
	disk := filepath.Join(sys, "devices/virtio0/block/vda")
	for path, content := range map[string]string{
		"dev": "254:0\n", "vda1/dev": "254:1\n", "vda1/partition": "1\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(disk, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(disk, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(sys, "dev/block"), 0o755); err != nil {
		t.Fatal(err)
	}
	for number, to := range map[string]string{"254:0": "vda", "254:1": "vda/vda1"} {
		if err := os.Symlink("../../devices/virtio0/block/"+to, filepath.Join(sys, "dev/block", number)); err != nil {
			t.Fatal(err)
		}
		if d, err := wholeDisk(sys, number); err != nil || d != (Disk{"254:0", "/dev/vda"}) {
			t.Errorf("%s: %v, %v", number, d, err)
		}
	}
	if _, err := wholeDisk(sys, "0:31"); !errors.Is(err, ErrNoDisk) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file system without a disk: %v", err)
	}
}
