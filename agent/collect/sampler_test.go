package collect

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
)

const unit = "system.slice/redis.service"

// watch returns a sampler of one instance in tr.
func watch(t *testing.T, tr tree, net NetCounters) *Sampler {
	s := New(Config{Cgroups: tr.root, Net: net})
	t.Cleanup(s.Close)
	s.Track([]Target{{Instance: "cache-1", Cgroup: unit}})
	return s
}

// after lets d pass and returns what the sampler then says of its one instance.
func after(t *testing.T, s *Sampler, d time.Duration) (Sample, bool) {
	t.Helper()
	time.Sleep(d)
	samples, err := s.instances(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) == 0 {
		return Sample{}, false
	}
	return samples[0], true
}

type traffic struct {
	tx, rx uint64
	ok     bool
}

func (n *traffic) NetCounters(string) (tx, rx uint64, ok bool) { return n.tx, n.rx, n.ok }

func TestRatesAreWhatTheCountersGrewPerSecondThatPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, net := newTree(t), &traffic{tx: 1 << 40, rx: 5, ok: true}
		before := state{cpu: 5_000_000, periods: 100, throttledPeriods: 10, throttled: 100_000, stall: 1000, memory: 100 << 20, file: 30 << 20, high: 3, bytes: 40960}
		tr.write(unit, before)
		s := watch(t, tr, net)
		if _, sampled := after(t, s, 0); sampled {
			t.Fatal("a first reading is no sample")
		}
		tr.write(unit, state{cpu: 6_000_000, periods: 120, throttledPeriods: 15, throttled: 600_000, stall: 501_000, memory: 90 << 20, file: 30 << 20, high: 5, bytes: 81920})
		net.tx, net.rx = net.tx+2500, net.rx+250
		got, _ := after(t, s, 2*time.Second)
		want := Sample{Instance: "cache-1", Running: true, Observation: demand.Observation{
			Elapsed: 2 * time.Second,
			Usage: resource.Vector{
				resource.CPU: 500, resource.Memory: 90 << 20, resource.ReadIOPS: 5, resource.WriteIOPS: 5,
				resource.ReadBytes: 20480, resource.WriteBytes: 20480, resource.NetTx: 10_000, resource.NetRx: 1000,
			},
			Periods: 20, ThrottledPeriods: 5, Throttled: 500 * time.Millisecond,
			Pressure:    demand.Pressure{CPU: 0.25, Memory: 0.25, IO: 0.25},
			Reclaimable: 30 << 20, CacheFresh: true, // it moved by 10 MiB, so memory.stat was read out of turn
			HighEvents: 2,
		}}
		if _, isDisk := s.disks[7<<32]; !isDisk {
			t.Error("the loop device was not looked at")
		}
		if s.disks[7<<32] { // no /sys/dev/block/7:0 on this machine: both devices count
			want.Observation.Usage[resource.ReadBytes] = got.Observation.Usage[resource.ReadBytes]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestRestartedUnitCountsFromNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t)
		tr.write(unit, state{cpu: 900_000_000, memory: 50 << 20, refaults: 1000})
		s := watch(t, tr, nil)
		after(t, s, 0)
		tr.replace(unit)
		if got, _ := after(t, s, statEvery*time.Second); got.Observation.Usage[resource.CPU] != 0 {
			t.Fatalf("the open files of the removed cgroup have not changed: %v", got.Observation.Usage)
		}
		for range statEvery { // the kernel says at once that a cgroup is gone; a plain folder only shows by its inode
			if got, _ := after(t, s, time.Second); !got.Running {
				break
			}
		}
		if got, _ := after(t, s, time.Second); got.Running || !got.Observation.Usage.IsZero() {
			t.Fatalf("nothing runs, got %v", got)
		}
		tr.write(unit, state{cpu: 300_000, memory: 20 << 20, refaults: 10})
		got, _ := after(t, s, time.Second)
		want := resource.Vector{resource.CPU: 300, resource.Memory: 20 << 20}
		if !got.Running || got.Observation.Usage != want {
			t.Fatalf("running %v, usage %v; want %v", got.Running, got.Observation.Usage, want)
		}
		if want := int64(10 * os.Getpagesize()); got.Observation.Refaulted != want {
			t.Fatalf("%d bytes refaulted, want %d", got.Observation.Refaulted, want)
		}
	})
}

func TestCounterThatBeganAnewCountsWhatItShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, net := newTree(t), &traffic{}
		tr.write(unit, state{cpu: 5_000_000})
		s := watch(t, tr, net)
		after(t, s, 0)
		*net = traffic{tx: 1 << 50, rx: 1 << 50, ok: true} // the program has counted since long before this agent started
		if got, _ := after(t, s, time.Second); got.Observation.Usage[resource.NetTx] != 0 {
			t.Fatalf("traffic from before it was first seen was counted: %v", got.Observation.Usage)
		}
		*net = traffic{tx: 125, ok: true} // the program was replaced
		tr.write(unit, state{cpu: 200_000})
		got, _ := after(t, s, time.Second)
		if u := got.Observation.Usage; u[resource.NetTx] != 1000 || u[resource.NetRx] != 0 || u[resource.CPU] != 200 {
			t.Fatalf("usage %v, want cpu=200m net_tx=1kbit", u)
		}
	})
}

func TestMemoryStatIsReadInTurnOrWhenMemoryMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t)
		tr.write(unit, state{memory: 100 << 20})
		s := watch(t, tr, nil)
		after(t, s, 0)
		fresh := 0
		for range 3 * statEvery {
			if got, _ := after(t, s, time.Second); got.Observation.CacheFresh {
				fresh++
			}
		}
		if fresh != 3 {
			t.Fatalf("read %d times in %d rounds, want 3", fresh, 3*statEvery)
		}
		tr.write(unit, state{memory: 120 << 20, file: 20 << 20})
		got, _ := after(t, s, time.Second)
		if !got.Observation.CacheFresh || demand.Unreclaimable(got.Observation) != 100<<20 {
			t.Fatalf("20 MiB of cache were taken for demand: %+v", got.Observation)
		}
	})
}

func TestFilesThatAreMissingCountNothingUntilTheyAppear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t)
		tr.write(unit, state{})
		io := filepath.Join(tr.root, unit, "io.stat")
		for _, gone := range []string{io, filepath.Join(tr.root, unit, "cpu.pressure")} {
			if err := os.Remove(gone); err != nil {
				t.Fatal(err)
			}
		}
		s := watch(t, tr, nil)
		after(t, s, 0)
		got, _ := after(t, s, time.Second)
		if !got.Running || got.Observation.Pressure.CPU != 0 {
			t.Fatalf("%+v: want it running and its pressure unknown", got)
		}
		for i := range 2 * statEvery {
			tr.write(unit, state{stall: 100_000 * i})
			got, _ = after(t, s, time.Second)
		}
		if got.Observation.Pressure.CPU != 0.1 {
			t.Fatalf("cpu.pressure is there now, and was not found: %+v", got)
		}
	})
}

func TestWhatCouldNotBeReadIsNamedAndTheRestIsGood(t *testing.T) {
	tr := newTree(t)
	tr.write("a", state{})
	tr.write("b", state{})
	if err := os.Remove(filepath.Join(tr.root, "a", "cpu.stat")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(tr.root, "a", "cpu.stat"), 0o755); err != nil { // reads fail with EISDIR
		t.Fatal(err)
	}
	s := New(Config{Cgroups: tr.root})
	defer s.Close()
	s.Track([]Target{{"second", "b"}, {"first", "a"}})
	for range 2 {
		if _, err := s.instances(0); err == nil {
			t.Fatal("no error")
		}
	}
	if samples, _ := s.instances(0); len(samples) != 1 || samples[0].Instance != "second" {
		t.Fatalf("%v, want one sample of the second", samples)
	}
}

func TestTrackKeepsWhatStaysAndClosesWhatGoes(t *testing.T) {
	tr := newTree(t)
	tr.write("a", state{cpu: 1})
	tr.write("b", state{cpu: 1})
	s := New(Config{Cgroups: tr.root})
	defer s.Close()
	s.Track([]Target{{"a", "a"}, {"b", "b"}})
	for range 2 {
		if _, err := s.instances(0); err != nil {
			t.Fatal(err)
		}
	}
	open := descriptors(t)
	s.Track([]Target{{"a", "a"}, {"c", "c"}})
	if now := descriptors(t); now != open-cgroupFiles {
		t.Errorf("%d open files, want %d", now, open-cgroupFiles)
	}
	samples, err := s.instances(0)
	if err != nil || len(samples) != 1 || samples[0].Instance != "a" {
		t.Fatalf("%v, %v: want one sample, of a, which was known", samples, err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestSystemIsTheHostWithoutItsInstancesAndNeverNegative(t *testing.T) {
	host := hostObservation{measured: true, elapsed: time.Second, usage: resource.Uniform(1000), busy: 0.5}
	of := func(n, cache int64) Sample {
		return Sample{Observation: demand.Observation{Usage: resource.Uniform(n), Reclaimable: cache}}
	}
	got := New(Config{Cgroups: t.TempDir()}).system(host, []Sample{of(300, 0), of(500, 200)})
	want := resource.Uniform(200)
	want[resource.Memory] = 400
	if got.Instance != proto.SystemInstance || got.Observation.Usage != want {
		t.Fatalf("%+v, want %v", got, want)
	}
	if got := New(Config{Cgroups: t.TempDir()}).system(host, []Sample{of(3000, 0)}); !got.Observation.Usage.IsZero() {
		t.Fatalf("%v, want nothing", got.Observation.Usage)
	}
}

func TestAnInstancesBurstIsNotTheSystemsBecauseItWasReadSooner(t *testing.T) {
	s := New(Config{Cgroups: t.TempDir()})
	sample := func(host, instance int64) int64 {
		o := hostObservation{measured: true, elapsed: time.Second, usage: resource.Uniform(host)}
		return s.system(o, []Sample{{Observation: demand.Observation{Usage: resource.Uniform(instance)}}}).Observation.Usage[resource.NetRx]
	}
	// The system takes 10 of each second; 400 of the instance's burst are seen a sample later on the host.
	var sum int64
	for _, seen := range [][2]int64{{10, 0}, {610, 1000}, {1410, 1000}, {10, 0}, {10, 0}} {
		sum += sample(seen[0], seen[1])
	}
	if sum != 50 {
		t.Errorf("the system used %d in 5 s, want 50", sum)
	}
	for range 20 {
		sample(100, 500) // traffic on the host alone, say
	}
	if sample(1000, 0); sample(1000, 0) != 1000 {
		t.Error("what an instance used long ago is still taken off")
	}
}

func TestTheHostIsMeasured(t *testing.T) {
	s := New(Config{Cgroups: t.TempDir()})
	defer s.Close()
	if samples, err := s.Sample(t.Context()); err != nil || len(samples) != 0 {
		t.Fatalf("first round: %v, %v", samples, err)
	}
	samples, err := s.Sample(t.Context())
	if err != nil || len(samples) != 1 || samples[0].Instance != proto.SystemInstance {
		t.Fatalf("%v, %v: want the system's sample", samples, err)
	}
	if u := samples[0].Observation.Usage; u[resource.Memory] < 1<<20 || u.Valid() != nil {
		t.Fatalf("usage %v", u)
	}
}
