package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A tree is a folder that looks like a mount of cgroup v2.
type tree struct {
	t    testing.TB
	root string
}

func newTree(t testing.TB) tree { return tree{t, t.TempDir()} }

// state is what a fake cgroup's files say.
type state struct {
	cpu, periods, throttledPeriods, throttled int // microseconds and counts
	stall                                     int // microseconds, for each of the three
	memory, file, refaults                    int
	high                                      int
	bytes                                     int // read and written, with an operation for each 4096
	disk                                      string
}

func (tr tree) write(cgroup string, s state) {
	tr.t.Helper()
	if s.disk == "" {
		s.disk = "1000:0" // a number that no /sys knows: it counts
	}
	dir := filepath.Join(tr.root, cgroup)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tr.t.Fatal(err)
	}
	pressure := fmt.Sprintf("some avg10=0.00 avg60=0.12 avg300=0.05 total=%d\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n", s.stall)
	for name, text := range map[string]string{
		"cpu.stat": fmt.Sprintf("usage_usec %d\nuser_usec 1\nsystem_usec 2\ncore_sched.force_idle_usec 0\nnr_periods %d\nnr_throttled %d\nthrottled_usec %d\nnr_bursts 0\nburst_usec 0\n",
			s.cpu, s.periods, s.throttledPeriods, s.throttled),
		"cpu.pressure": pressure, "memory.pressure": pressure, "io.pressure": pressure,
		"memory.current": fmt.Sprintf("%d\n", s.memory),
		"memory.events":  fmt.Sprintf("low 0\nhigh %d\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n", s.high),
		"memory.stat":    memoryStatText(s.memory-s.file, s.file, s.refaults),
		"io.stat": fmt.Sprintf("7:0 rbytes=999999 wbytes=999999 rios=9 wios=9 dbytes=0 dios=0\n%s rbytes=%d wbytes=%d rios=%d wios=%d dbytes=0 dios=0\n",
			s.disk, s.bytes, s.bytes, s.bytes/4096, s.bytes/4096),
	} {
		tr.file(cgroup, name, text)
	}
}

// file replaces the content of a file in place, as the kernel's files change under an open descriptor.
func (tr tree) file(cgroup, name, text string) {
	tr.t.Helper()
	f, err := os.OpenFile(filepath.Join(tr.root, cgroup, name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		tr.t.Fatal(err)
	}
	if _, err = f.WriteString(text); err == nil {
		err = f.Close()
	}
	if err != nil {
		tr.t.Fatal(err)
	}
}

// replace puts another cgroup with the same name in the place of one, as when a unit is restarted.
func (tr tree) replace(cgroup string) {
	tr.t.Helper()
	dir := filepath.Join(tr.root, cgroup)
	if err := os.Rename(dir, dir+".removed"); err != nil { // kept, so that its inode is not given to the new one
		tr.t.Fatal(err)
	}
}

func memoryStatText(anon, file, refaults int) string {
	return fmt.Sprintf(`anon %d
file %d
kernel 3633152
kernel_stack 163840
pagetables 1507328
sec_pagetables 0
percpu 1200
sock 8192
vmalloc 0
shmem 0
zswap 0
zswapped 0
file_mapped 11489280
file_dirty 0
file_writeback 0
swapcached 0
anon_thp 0
file_thp 0
shmem_thp 0
inactive_anon %d
active_anon 4096
inactive_file %d
active_file %d
unevictable 0
slab_reclaimable 0
slab_unreclaimable 530864
slab 1410544
workingset_refault_anon 0
workingset_refault_file %d
workingset_activate_anon 0
workingset_activate_file %d
workingset_restore_anon 0
workingset_restore_file 12
workingset_nodereclaim 0
pgdemote_kswapd 0
pgscan 0
pgsteal 0
pgscan_kswapd 0
pgscan_direct 0
pgsteal_kswapd 0
pgsteal_direct 0
pgfault 93211
pgmajfault 215
pgrefill 0
pgactivate 0
pgdeactivate 0
pglazyfree 0
pglazyfreed 0
thp_fault_alloc 0
thp_collapse_alloc 0
`, anon, file, anon, file/2, file-file/2, 2*refaults, refaults)
}
