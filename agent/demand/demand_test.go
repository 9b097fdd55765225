package demand

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"pgregory.net/rapid"
)

var unlimited = resource.Uniform(resource.Unlimited)

// tasks makes n tasks by calling one for each.
func tasks(n int, one func(i int) task) []task {
	out := make([]task, n)
	for i := range out {
		out[i] = one(i)
	}
	return out
}

func TestDemandBehindAQuotaIsWhatTheTwinUsesWithoutOne(t *testing.T) {
	never := func(int) task { return busy{} }
	request := func(compute, pause int) func(int) task {
		return func(i int) task { return &cycle{compute: compute, pause: pause, until: 37 * i} }
	}
	for _, c := range []struct {
		name  string
		tasks func() []task
		quota int
		band  float64 // of the truth, to both sides
	}{
		{"one busy thread at a quarter", func() []task { return tasks(1, never) }, 25, 0.02},
		{"one busy thread at 5 %", func() []task { return tasks(1, never) }, 5, 0.05},
		{"four busy threads at one core", func() []task { return tasks(4, never) }, 100, 0.02},
		{"four busy threads at 3.9 cores", func() []task { return tasks(4, never) }, 390, 0.05},
		{"six busy threads on four CPUs at two cores", func() []task { return tasks(6, never) }, 200, 0.05},
		{"one client, 60 ms of work, 140 ms of pause, at 0.4", func() []task { return tasks(1, request(60, 140)) }, 40, 0.10},
		{"one client, 60 ms of work, 140 ms of pause, at 0.2", func() []task { return tasks(1, request(60, 140)) }, 20, 0.10},
		{"one client, 300 ms of work, 100 ms of pause, at 0.5", func() []task { return tasks(1, request(300, 100)) }, 50, 0.12},
		{"no throttling", func() []task { return tasks(2, request(20, 180)) }, 300, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			free := cfs{cpus: 4, tasks: c.tasks()}
			truth := float64(free.second().Usage[resource.CPU])
			limited := cfs{cpus: 4, quota: c.quota, tasks: c.tasks()}
			o := limited.second()
			got, _ := Estimate(o, unlimited, resource.Vector{resource.CPU: 4000}, State{})
			if off := float64(got[resource.CPU])/truth - 1; math.Abs(off) > c.band {
				t.Errorf("used %d of a demand of %.0f: estimated %d, off by %.1f %%, want ±%.0f %%",
					o.Usage[resource.CPU], truth, got[resource.CPU], 100*off, 100*c.band)
			}
		})
	}
}

// Clients in parallel wait at different times, which the kernel's figures don't tell apart.
func TestDemandOfParallelClientsIsBetweenTheTruthAndWhatStoodWaiting(t *testing.T) {
	for _, quota := range []int{30, 50, 70, 90, 110, 150, 300} {
		t.Run(fmt.Sprint(quota), func(t *testing.T) {
			clients := func() []task {
				return tasks(3, func(i int) task { return &cycle{compute: 50, pause: 110, until: 37 * i} })
			}
			free := cfs{cpus: 4, tasks: clients()}
			truth := free.second().Usage[resource.CPU]
			limited := cfs{cpus: 4, quota: quota, tasks: clients()}
			o := limited.second()
			got, _ := Estimate(o, unlimited, resource.Vector{resource.CPU: 4000}, State{})
			waiting := o.Usage[resource.CPU] + o.Throttled.Milliseconds()
			if n := got[resource.CPU]; n < truth*9/10 || n > max(waiting, truth) {
				t.Errorf("used %d of a demand of %d: estimated %d, want at most %d", o.Usage[resource.CPU], truth, n, waiting)
			}
		})
	}
}

// Work that arrives regardless is the case that the estimate can't see: it stays between the truth and what serving it
// without delay takes, and is right as soon as the quota is large enough.
func TestDemandOfArrivingWorkIsBetweenTheTruthAndServingItWithoutDelay(t *testing.T) {
	for _, quota := range []int{35, 40, 50, 55, 60, 70} {
		t.Run(fmt.Sprint(quota), func(t *testing.T) {
			s := cfs{cpus: 4, quota: quota, tasks: []task{&arrivals{every: 200, work: 60}}}
			got, _ := Estimate(s.second(), unlimited, resource.Vector{resource.CPU: 4000}, State{})
			if n := got[resource.CPU]; n < 295 || n > 600 {
				t.Errorf("estimated %d, want 300 to 600", n)
			}
			if quota >= 60 && got[resource.CPU] != 300 {
				t.Errorf("estimated %d though nothing was held back, want 300", got[resource.CPU])
			}
		})
	}
}

// observations draws observations as a host of most could show them.
func observations(most resource.Vector) *rapid.Generator[Observation] {
	return rapid.Custom(func(t *rapid.T) Observation {
		o := Observation{Elapsed: time.Duration(rapid.IntRange(1, 20_000).Draw(t, "elapsed")) * time.Millisecond}
		for k := range o.Usage {
			o.Usage[k] = rapid.Int64Range(0, most[k]).Draw(t, "usage")
		}
		share := rapid.Float64Range(0, 1)
		o.Periods = rapid.Uint64Range(0, 200).Draw(t, "periods")
		o.ThrottledPeriods = rapid.Uint64Range(0, o.Periods).Draw(t, "throttled periods")
		o.Throttled = time.Duration(rapid.Int64Range(0, int64(o.Elapsed)*8).Draw(t, "throttled"))
		o.Pressure = Pressure{share.Draw(t, "cpu"), share.Draw(t, "memory"), share.Draw(t, "io")}
		o.HostBusy = share.Draw(t, "busy")
		o.Reclaimable = rapid.Int64Range(0, o.Usage[resource.Memory]).Draw(t, "reclaimable")
		o.CacheFresh = rapid.Bool().Draw(t, "fresh")
		o.Refaulted = rapid.Int64Range(0, 1<<30).Draw(t, "refaulted")
		o.HighEvents = rapid.Uint64Range(0, 3).Draw(t, "high")
		o.DroppedTx = rapid.Int64Range(0, 1<<34).Draw(t, "dropped")
		return o
	})
}

func queues() *rapid.Generator[queued] {
	return rapid.Custom(func(t *rapid.T) queued {
		return queued{rapid.Float64Range(0, 40).Draw(t, "seconds"), rapid.Float64Range(0, 5).Draw(t, "weight")}
	})
}

func states() *rapid.Generator[State] {
	return rapid.Custom(func(t *rapid.T) State {
		return State{
			queued: queues().Draw(t, "queued"),
			cache:  cache(rapid.Float64Range(0, 1<<45).Draw(t, "cache")),
		}
	})
}

// hosts draws what a host has.
func hosts() *rapid.Generator[resource.Vector] {
	return rapid.Custom(func(t *rapid.T) resource.Vector {
		v := resource.Uniform(rapid.Int64Range(1, 1<<40).Draw(t, "other"))
		v[resource.CPU] = 1000 * rapid.Int64Range(1, 128).Draw(t, "cpus")
		return v
	})
}

func TestDemandIsNeverBelowUsageNorAboveTheHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := hosts().Draw(t, "host")
		o := observations(most).Draw(t, "o")
		held := resource.Uniform(rapid.Int64Range(0, resource.Unlimited).Draw(t, "held"))
		d, _ := Estimate(o, held, most, states().Draw(t, "state"))
		if err := d.Valid(); err != nil {
			t.Fatal(err)
		}
		for _, k := range resource.All() {
			if k != resource.Memory && d[k] < o.Usage[k] {
				t.Errorf("%s: demand %d is below usage %d", k, d[k], o.Usage[k])
			}
			if d[k] > most[k] {
				t.Errorf("%s: demand %d is above what the host has, %d", k, d[k], most[k])
			}
		}
		if d[resource.Memory] < min(Unreclaimable(o), most[resource.Memory]) {
			t.Errorf("memory: demand %d is below what can't be reclaimed, %d", d[resource.Memory], Unreclaimable(o))
		}
	})
}

func TestDemandIsUsageWhenNothingHoldsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := hosts().Draw(t, "host")
		o := observations(most).Draw(t, "o")
		o.ThrottledPeriods, o.Throttled, o.Pressure, o.DroppedTx = 0, 0, Pressure{}, 0
		o.Reclaimable, o.Refaulted, o.OOMKills = 0, 0, 0
		before := State{queued: queues().Draw(t, "queued")}
		if d, _ := Estimate(o, unlimited, most, before); d != o.Usage {
			t.Fatalf("demand %v, want the usage %v", d, o.Usage)
		}
	})
}

func TestBeingHeldBackMoreNeverLowersDemand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := hosts().Draw(t, "host")
		o := observations(most).Draw(t, "o")
		held := resource.Uniform(rapid.Int64Range(1, 1<<40).Draw(t, "held"))
		before := states().Draw(t, "state")
		less, _ := Estimate(o, held, most, before)
		more := o
		switch rapid.SampledFrom([]string{"periods", "throttled", "cpu", "memory", "io", "busy", "dropped"}).Draw(t, "what") {
		case "periods":
			more.ThrottledPeriods = rapid.Uint64Range(o.ThrottledPeriods, o.Periods).Draw(t, "to")
		case "throttled":
			more.Throttled += time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "by"))
		case "cpu":
			more.Pressure.CPU = rapid.Float64Range(o.Pressure.CPU, 1).Draw(t, "to")
		case "memory":
			more.Pressure.Memory = rapid.Float64Range(o.Pressure.Memory, 1).Draw(t, "to")
		case "io":
			more.Pressure.IO = rapid.Float64Range(o.Pressure.IO, 1).Draw(t, "to")
		case "busy":
			more.HostBusy = rapid.Float64Range(o.HostBusy, 1).Draw(t, "to")
		case "dropped":
			more.DroppedTx += rapid.Int64Range(0, 1<<30).Draw(t, "by")
		}
		if got, _ := Estimate(more, held, most, before); !less.Fits(got) {
			t.Fatalf("demand fell from %v to %v", less, got)
		}
	})
}

func TestSaturatedHostMakesWaitingADemand(t *testing.T) {
	o := Observation{Elapsed: time.Second, Usage: resource.Vector{resource.CPU: 500}, Pressure: Pressure{CPU: 0.5}}
	idle, _ := Estimate(o, unlimited, resource.Uniform(4000), State{})
	o.HostBusy = 1
	full, _ := Estimate(o, unlimited, resource.Uniform(4000), State{})
	if idle[resource.CPU] != 500 || full[resource.CPU] != 1000 {
		t.Fatalf("demand %d on an idle host, %d on a full one; want 500 and 1000", idle[resource.CPU], full[resource.CPU])
	}
}

// A cache that is read in turns refaults while it does not fit. The grant follows the demand; the demand must come to
// rest at the size of the working set, not grow on.
func TestCacheThatRefaultsIsProvenUpToTheWorkingSetAndNoFurther(t *testing.T) {
	const anon, set = 100 << 20, 300 << 20
	granted := int64(150 << 20)
	var s State
	for range 60 {
		cache := min(granted-anon, set)
		o := Observation{Elapsed: 10 * time.Second, CacheFresh: true, Reclaimable: cache, Refaulted: set - cache}
		o.Usage[resource.Memory] = anon + cache
		var d resource.Vector
		d, s = Estimate(o, unlimited, unlimited, s)
		granted = max(granted, d[resource.Memory])
	}
	if granted < anon+set*95/100 || granted > anon+set {
		t.Fatalf("came to rest at %d MiB, want about %d", granted>>20, (anon+set)>>20)
	}
}

func TestCacheThatNobodyReadsIsForgotten(t *testing.T) {
	o := Observation{Elapsed: 10 * time.Second, CacheFresh: true, Reclaimable: 200 << 20, Refaulted: 20 << 20}
	o.Usage[resource.Memory] = 300 << 20
	d, s := Estimate(o, unlimited, unlimited, State{})
	if d[resource.Memory] != 320<<20 {
		t.Fatalf("demand %d MiB while it refaults, want 320", d[resource.Memory]>>20)
	}
	o.Refaulted = 0
	for range 90 {
		d, s = Estimate(o, unlimited, unlimited, s)
	}
	if d[resource.Memory] > 201<<20 || d[resource.Memory] < 190<<20 {
		t.Fatalf("demand %d MiB after a half-life, want about 200", d[resource.Memory]>>20)
	}
}

func TestStalledMemoryAsksForMoreInProportion(t *testing.T) {
	o := Observation{Elapsed: time.Second, HighEvents: 5, Pressure: Pressure{Memory: 0.4}}
	o.Usage[resource.Memory] = 100 << 20
	if d, _ := Estimate(o, unlimited, unlimited, State{}); d[resource.Memory] != 110<<20 {
		t.Fatalf("demand %d MiB, want 110", d[resource.Memory]>>20)
	}
	o.HighEvents = 0 // the host as a whole is short; not this instance's limit
	if d, _ := Estimate(o, unlimited, unlimited, State{}); d[resource.Memory] != 100<<20 {
		t.Fatalf("demand %d MiB without its own limit being met, want 100", d[resource.Memory]>>20)
	}
}

func TestFlowsAtTheirLimitProbe(t *testing.T) {
	var o Observation
	o.Elapsed, o.Usage, o.Pressure.IO, o.DroppedRx = time.Second, resource.Uniform(1000), 0.5, 300
	d, _ := Estimate(o, resource.Uniform(1000), unlimited, State{})
	for k, want := range map[resource.Kind]int64{
		resource.ReadIOPS: 1500, resource.WriteBytes: 1500, resource.NetTx: 1250, resource.NetRx: 1300,
	} {
		if d[k] != want {
			t.Errorf("%s: demand %d, want %d", k, d[k], want)
		}
	}
}

// The kernel counts throttled time when a queue is let go: one second shows too little of it, the next too much.
func TestThrottledTimeThatIsCountedLateIsEvenedOut(t *testing.T) {
	o := Observation{Elapsed: time.Second, Usage: resource.Vector{resource.CPU: 200}, Periods: 10, ThrottledPeriods: 10}
	var s State
	for round := range 20 {
		o.Throttled = 600 * time.Millisecond
		if round%2 == 0 {
			o.Throttled = time.Second
		}
		var d resource.Vector
		d, s = Estimate(o, unlimited, unlimited, s)
		if n := d[resource.CPU]; round > 0 && (n < 800 || n > 1200) {
			t.Errorf("round %d: a process that never pauses is taken to want %dm", round, n)
		}
	}
}
