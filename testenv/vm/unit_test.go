//go:build linux

package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSpecFillsInAddressesAndSizes(t *testing.T) {
	nodes, err := Spec{
		Name:       "demo",
		Guests:     []GuestSpec{{Name: "host-a"}, {Name: "host-b", Addr: "10.77.0.9/24", CPUs: 1, MemoryMiB: 512, Off: true}},
		Namespaces: []NamespaceSpec{{Name: "c1"}},
	}.resolve()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range nodes {
		got = append(got, strings.Join([]string{n.Name, n.Addr.String(), n.dataMAC().String()}, " "))
	}
	want := []string{
		"host-a 10.77.0.1/24 52:54:00:77:00:01", "host-b 10.77.0.9/24 52:54:00:77:00:02", "c1 10.77.0.101/24 52:54:00:77:00:03",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if a, b := nodes[0], nodes[1]; a.CPUs != 2 || a.MemoryMiB != 1024 || b.CPUs != 1 || b.MemoryMiB != 512 || !b.Off {
		t.Errorf("got sizes %+v and %+v", a, b)
	}
}

func TestSpecNamesEveryFault(t *testing.T) {
	for name, test := range map[string]struct {
		spec Spec
		want []string
	}{
		"no name":  {Spec{}, []string{`fleet name ""`}},
		"bad name": {Spec{Name: "a.b"}, []string{`fleet name "a.b"`}},
		"subnet":   {Spec{Name: "a", Subnet: "10.0.0.0/28"}, []string{"10.0.0.0/28"}},
		"several": {
			Spec{
				Name:       "a",
				Guests:     []GuestSpec{{Name: "x", Addr: "10.77.0.101/24"}, {Name: "X"}, {Name: "y", Addr: "10.77.0.2"}, {Name: "z", CPUs: 100}},
				Namespaces: []NamespaceSpec{{Name: "x"}},
			},
			[]string{`guest name "X"`, `address "10.77.0.2"`, "guest z: 100 CPUs", `two nodes are called "x"`, "same address 10.77.0.101"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.spec.resolve()
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
}

func TestImageKeyDependsOnEveryInput(t *testing.T) {
	key := func(i Image) string { return i.withDefaults().key("server") }
	plain := key(Image{})
	if key(Image{Codename: "bookworm", Packages: []string{"rsync"}, DiskGiB: 8}) != plain {
		t.Error("spelling out the defaults changes the key")
	}
	if (Image{}).withDefaults().key("other server") == plain {
		t.Error("the control server does not count")
	}
	seen := map[string]string{plain: "plain"}
	for name, image := range map[string]Image{
		"codename": {Codename: "trixie"},
		"package":  {Packages: []string{"mariadb-server"}},
		"file":     {Files: map[string]File{"/etc/x": {Content: []byte("a")}}},
		"content":  {Files: map[string]File{"/etc/x": {Content: []byte("b")}}},
		"mode":     {Files: map[string]File{"/etc/x": {Content: []byte("a"), Mode: 0o600}}},
		"masked":   {Masked: []string{"x.service"}},
		"disabled": {Disabled: []string{"x.service"}},
		"disk":     {DiskGiB: 16},
	} {
		if other, taken := seen[key(image)]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[key(image)] = name
	}
	withFile := Image{Files: map[string]File{"/etc/x": {}}}
	if withFile.withDefaults().baseKey() != (Image{}).withDefaults().baseKey() {
		t.Error("a file makes Debian be installed again")
	}
}

func TestImageRefusesWhatCantBeMeant(t *testing.T) {
	for name, image := range map[string]Image{
		"relative file": {Files: map[string]File{"etc/x": {}}},
		"file outside":  {Files: map[string]File{"/etc/../../x": {}}},
		"two packages":  {Packages: []string{"a,b"}},
		"unit path":     {Masked: []string{"../x"}},
		"disk":          {DiskGiB: 1},
	} {
		if err := image.withDefaults().validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestFurnishMasksUnitsAndStaysInsideTheTree(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	wants := filepath.Join(root, "etc/systemd/system/multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(outside, "fstab")
	generators := filepath.Join(root, "usr/lib/systemd/system-generators")
	if err := errors.Join(
		os.MkdirAll(generators, 0o755),
		os.WriteFile(filepath.Join(generators, "systemd-fstab-generator"), nil, 0o755),
		os.WriteFile(filepath.Join(generators, "systemd-other-generator"), nil, 0o755),
		os.WriteFile(victim, []byte("theirs"), 0o600),
		os.Symlink(victim, filepath.Join(root, "etc/fstab")),
		os.Symlink("/lib/systemd/system/redis-server.service", filepath.Join(wants, "redis-server.service")),
		os.WriteFile(filepath.Join(outside, "guestd"), []byte("binary"), 0o755),
	); err != nil {
		t.Fatal(err)
	}
	if err := (Image{Masked: []string{"x.timer"}}).withDefaults().furnish(root, filepath.Join(outside, "guestd")); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(victim); err != nil || string(content) != "theirs" {
		t.Errorf("a file outside was changed: %q, %v", content, err)
	}
	if content, err := os.ReadFile(filepath.Join(root, "etc/fstab")); err != nil || string(content) != fstab {
		t.Errorf("fstab is %q, %v", content, err)
	}
	if target, err := os.Readlink(filepath.Join(root, "etc/systemd/system/x.timer")); target != "/dev/null" {
		t.Errorf("the masked unit leads to %q, %v", target, err)
	}
	masks, err := filepath.Glob(filepath.Join(root, "etc/systemd/system-generators/*"))
	if err != nil || len(masks) != 1 || filepath.Base(masks[0]) != "systemd-other-generator" {
		t.Errorf("the masked generators are %v, %v", masks, err)
	}
	if _, err := os.Lstat(filepath.Join(wants, "redis-server.service")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the disabled unit is still wanted: %v", err)
	}
}

func TestCacheBuildsAnEntryOnceAndWhole(t *testing.T) {
	c := cache{t.TempDir()}
	if _, err := c.entry(t.Context(), "x", func(path string) error {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			return err
		}
		return errors.New("interrupted")
	}); err == nil {
		t.Error("a failed build made an entry")
	}
	var builds sync.Map
	var users sync.WaitGroup
	for i := range 8 {
		users.Go(func() {
			path, err := c.entry(t.Context(), "x", func(path string) error {
				builds.Store(i, true)
				return os.WriteFile(path, []byte("whole"), 0o600)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if content, err := os.ReadFile(path); err != nil || string(content) != "whole" {
				t.Errorf("got %q, %v", content, err)
			}
		})
	}
	users.Wait()
	count := 0
	builds.Range(func(any, any) bool { count++; return true })
	if count != 1 {
		t.Errorf("built %d times", count)
	}
}

func TestCacheForgetsWhatIsNotUsed(t *testing.T) {
	c := cache{t.TempDir()}
	build := func(path string) error { return os.Mkdir(path, 0o755) }
	for _, name := range []string{"old", "used"} {
		if _, err := c.entry(t.Context(), name, build); err != nil {
			t.Fatal(err)
		}
		long := time.Now().Add(-unusedFor - time.Hour)
		if err := os.Chtimes(filepath.Join(c.dir, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.entry(t.Context(), "used", build); err != nil {
		t.Fatal(err)
	}
	if err := c.prune(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "old")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("old: %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "used")); err != nil {
		t.Error(err)
	}
}

func TestLockWaitsNoLongerThanItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tryLockFile(path); !errors.Is(err, errLocked) {
		t.Errorf("got error %v, want errLocked", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lockFile(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want canceled", err)
	}
	held.Close()
	again, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestSwitchCommandsJoinEveryNodeToTheBridge(t *testing.T) {
	nodes, err := Spec{Name: "f", Guests: []GuestSpec{{Name: "a"}}, Namespaces: []NamespaceSpec{{Name: "c"}}}.resolve()
	if err != nil {
		t.Fatal(err)
	}
	want := `link set lo up
link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link set br0 up
link add sw0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
link set sw0 up
tuntap add dev tap0 mode tap
link set tap0 master sw0
link set tap0 up
link add dn0 type veth peer name up0
link set up0 master sw0
link set up0 up
link set dn0 master br0
link set dn0 up
tuntap add dev ctl0 mode tap
addr add 10.78.0.1/30 dev ctl0
link set ctl0 up
neigh add 10.78.0.2 lladdr 52:54:00:78:00:01 dev ctl0 nud permanent
link add dn1 type veth peer name eth0 netns gp-f.c
link set dn1 master br0
link set dn1 up
`
	if diff := cmp.Diff(want, network{"f", nodes}.switchCommands()); diff != "" {
		t.Error(diff)
	}
}

func TestCheckNamesThePackageOfAMissingTool(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := missingTools()
	if err == nil || !strings.Contains(err.Error(), "mke2fs") || !strings.Contains(err.Error(), "apt-get install qemu-system-x86 qemu-utils") {
		t.Errorf("got error %v", err)
	}
	if err := Check(); err == nil || !strings.Contains(err.Error(), "no apt-get") {
		t.Errorf("got error %v", err)
	}
}
