package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/agent/collect"
	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/limit"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/transfer"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// kernel is a host's limits in memory: what is set is held, until somebody disturbs it.
type kernel struct {
	sync.Mutex // held by the loop's calls and by the test's changes; guards the bench, too
	attached   map[string]enforce.Target
	held       map[string]resource.Vector
	wanted     map[string]resource.Vector
	stopped    map[string]bool // instances that do not run
	refuse     error           // what attaching is answered
	reads      int             // how often anything was read back
	log        []string
}

func newKernel() *kernel {
	return &kernel{attached: map[string]enforce.Target{}, held: map[string]resource.Vector{}, wanted: map[string]resource.Vector{}, stopped: map[string]bool{}}
}

func (k *kernel) say(format string, args ...any) { k.log = append(k.log, fmt.Sprintf(format, args...)) }

func (k *kernel) Attach(_ context.Context, t enforce.Target) (enforce.Attached, error) {
	k.Lock()
	defer k.Unlock()
	if k.refuse != nil {
		return enforce.Attached{}, k.refuse
	}
	if before, ok := k.attached[t.Instance]; !ok || before.Limited != t.Limited || before.Envelope != t.Envelope {
		k.say("attach %s limited=%v", t.Instance, t.Limited)
	}
	if _, ok := k.held[t.Instance]; !ok || !t.Limited {
		k.held[t.Instance] = resource.Uniform(resource.Unlimited)
	}
	k.attached[t.Instance] = t
	return enforce.Attached{}, nil
}

func (k *kernel) gone(verb, instance string) error {
	k.Lock()
	defer k.Unlock()
	if _, ok := k.attached[instance]; !ok {
		return enforce.ErrNotAttached
	}
	k.say("%s %s", verb, instance)
	delete(k.attached, instance)
	delete(k.held, instance)
	delete(k.wanted, instance)
	return nil
}

func (k *kernel) Detach(_ context.Context, instance string) error { return k.gone("detach", instance) }
func (k *kernel) Release(_ context.Context, t enforce.Target) error {
	return k.gone("release", t.Instance)
}

func (k *kernel) Apply(_ context.Context, changes []limit.Change) (out []enforce.Outcome) {
	k.Lock()
	defer k.Unlock()
	for _, c := range changes {
		o := enforce.Outcome{Change: c, Held: c.Amount}
		if k.stopped[c.Instance] {
			o.Err = enforce.ErrNotRunning
		} else {
			held, wanted := k.held[c.Instance], k.wanted[c.Instance]
			held[c.Kind], wanted[c.Kind] = c.Amount, c.Amount
			k.held[c.Instance], k.wanted[c.Instance] = held, wanted
		}
		out = append(out, o)
	}
	return out
}

func (k *kernel) Reconcile(context.Context) (out []enforce.Outcome) {
	k.Lock()
	defer k.Unlock()
	for instance, wanted := range k.wanted {
		held := k.held[instance]
		for _, kind := range resource.All() {
			if held[kind] != wanted[kind] {
				out = append(out, enforce.Outcome{Change: limit.Change{Instance: instance, Kind: kind, Amount: wanted[kind]}, Held: wanted[kind], Wrote: true, Event: "it was not as it had been set"})
				held[kind] = wanted[kind]
			}
		}
		k.held[instance] = held
	}
	return out
}

func (k *kernel) ReadBack(_ context.Context, instance string) (enforce.Held, error) {
	k.Lock()
	defer k.Unlock()
	k.reads++
	if _, ok := k.attached[instance]; !ok || k.stopped[instance] {
		return enforce.Held{}, enforce.ErrNotRunning
	}
	return enforce.Held{Limits: k.held[instance]}, nil
}

// meter says the same of every instance each second.
type meter struct {
	k         *kernel
	tracked   []collect.Target
	usage     resource.Vector
	throttled time.Duration // in each second
	waits     float64       // share of each second in which something waited for memory
	silent    bool          // nothing can be read
	taken     time.Time
}

func (m *meter) Track(t []collect.Target) { m.tracked = slices.Clone(t) }
func (m *meter) Close()                   {}

func (m *meter) Sample(context.Context) ([]collect.Sample, error) {
	m.k.Lock()
	defer m.k.Unlock()
	elapsed := time.Since(m.taken)
	if m.taken = time.Now(); elapsed <= 0 || m.silent {
		return nil, nil
	}
	var out []collect.Sample
	for _, t := range m.tracked {
		out = append(out, collect.Sample{Instance: t.Instance, Running: !m.k.stopped[t.Instance], Observation: demand.Observation{Elapsed: elapsed, Usage: m.usage, Throttled: m.throttled, Pressure: demand.Pressure{Memory: m.waits}}})
	}
	return append(out, collect.Sample{Instance: proto.SystemInstance, Running: true, Observation: demand.Observation{Elapsed: elapsed}}), nil
}

// bench is a loop on a host in memory.
type bench struct {
	*testing.T
	k       *kernel
	m       *meter
	doc     proto.Document
	states  map[string]proto.FenceState
	windows []proto.Window
	changed chan struct{}
	board   *board
	metrics *metrics
	working func() bool
	rounds  int
}

func newBench(t *testing.T) *bench {
	k, shows := newKernel(), newBoard()
	return &bench{T: t, k: k, m: &meter{k: k, usage: resource.Vector{resource.CPU: 100, resource.Memory: 10 << 20}, taken: time.Now().Add(-collect.Interval)}, states: map[string]proto.FenceState{}, changed: make(chan struct{}, 1), board: shows, metrics: newMetrics("1.2.3", true, shows), working: func() bool { return false }}
}

func (b *bench) start() (stop func()) {
	l := newLoop(loopConfig{
		now:      func() timeline.Time { return timeline.Of(time.Now()) },
		document: func() (d proto.Document, ok bool) { b.edit(func() { d = b.doc }); return d, d.Host != "" },
		changed:  b.changed,
		record: func(i string) (r fence.Record) {
			b.edit(func() { r = fence.Record{Instance: i, State: b.states[i]} })
			return r
		},
		cgroup: func(_ context.Context, unit string) (string, error) { return "/system.slice/" + unit, nil },
		host:   func() (capacity, allocatable resource.Vector) { all := full(4000, 4<<30); return all, all },
		limits: b.k, sampler: b.m, board: b.board, meter: b.metrics, log: slog.New(slog.DiscardHandler),
		put: func(_ timeline.Time, w []proto.Window) error {
			b.edit(func() { b.windows = append(b.windows, w...) })
			return nil
		},
		working: b.working, alive: func() { b.edit(func() { b.rounds++ }) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// edit changes or reads what the loop uses, too.
func (b *bench) edit(f func()) {
	b.k.Lock()
	defer b.k.Unlock()
	f()
}

// push makes a document the one in force.
func (b *bench) push(d proto.Document) {
	b.edit(func() { b.doc = d })
	b.changed <- struct{}{}
	synctest.Wait()
}

func (b *bench) holds(instance string, k resource.Kind, want int64) {
	b.Helper()
	var got int64
	if b.edit(func() { got = b.k.held[instance][k] }); got != want {
		b.Errorf("%s of %s is %s, want %s", k, instance, resource.Format(k, got), resource.Format(k, want))
	}
}

// full is a vector with all but CPU and memory unlimited.
func full(cpu, memory int64) resource.Vector {
	v := resource.Uniform(resource.Unlimited)
	v[resource.CPU], v[resource.Memory] = cpu, memory
	return v
}

// stepping is a schedule of cache-1 that goes from one amount of CPU to another after a while, and ends an hour later.
func stepping(first, then int64, after time.Duration) proto.Document {
	now := timeline.Of(time.Now())
	steps := timeline.Profile{
		{Span: timeline.Span{Start: now, End: now.Add(after)}, Amount: full(first, 256<<20)},
		{Span: timeline.Span{Start: now.Add(after), End: now.Add(after + time.Hour)}, Amount: full(then, 256<<20)},
	}
	safe := full(min(first, then), 256<<20)
	most := full(max(first, then), 256<<20)
	return proto.Document{Host: "host-a", Version: proto.DocumentVersion{Incarnation: 1, Revision: 1}, Instances: []proto.InstanceSchedule{{
		Instance: "cache-1", Fence: 1, Limited: true, Schedule: steps, Promised: steps, Max: most, Safe: safe, Floor: safe,
		Spec: proto.InstanceSpec{Name: "cache-1", Class: proto.Standard, Service: &proto.ServiceSpec{Unit: "redis.service"}},
	}}}
}

func TestAPushedDocumentIsHeldAtOnceAndItsStepsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.states["cache-1"] = proto.FenceOwner
		defer b.start()()
		synctest.Wait()
		b.push(stepping(500, 900, time.Minute))
		b.holds("cache-1", resource.CPU, 500)
		time.Sleep(59 * time.Second)
		b.holds("cache-1", resource.CPU, 500)
		time.Sleep(2 * time.Second)
		b.holds("cache-1", resource.CPU, 900)
		time.Sleep(2 * time.Hour) // nobody sends another one
		b.holds("cache-1", resource.CPU, 500)
		if shown, _ := b.board.of("cache-1"); len(shown.reasons) == 0 || !strings.Contains(shown.reasons[0], "run out") {
			t.Errorf("reasons %q", shown.reasons)
		}
	})
}

func TestADocumentIsReadBackForAsOftenAsItChangesWhoIsLimitedAndHow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.states["cache-1"] = proto.FenceOwner
		defer b.start()()
		synctest.Wait()
		b.push(stepping(500, 900, time.Minute))
		for _, c := range []struct {
			what  string
			doc   proto.Document
			reads int
		}{
			{"another schedule", stepping(600, 900, time.Minute), 1},
			{"another envelope", stepping(600, 1200, time.Minute), 2},
			{"an end of all limits", func() proto.Document {
				d := stepping(600, 1200, time.Minute)
				d.Paused = true
				return d
			}(), 2},
		} {
			var before, after int
			b.edit(func() { before = b.k.reads })
			b.push(c.doc)
			if b.edit(func() { after = b.k.reads }); after-before != c.reads {
				t.Errorf("%s: read back %d times, want %d", c.what, after-before, c.reads)
			}
		}
		b.edit(func() { b.states["cache-1"], b.k.reads = proto.FenceTarget, 0 }) // which has not been started
		b.push(stepping(700, 1200, time.Minute))
		if b.edit(func() {}); b.k.reads != 0 {
			t.Errorf("what does not run yet is read back %d times", b.k.reads)
		}
	})
}

func TestANewLifeOfTheAgentTakesOverWhatIsHeldAndKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.states["cache-1"] = proto.FenceOwner
		b.doc = stepping(500, 900, time.Hour)
		b.k.held["cache-1"] = full(500, 256<<20) // by the life before
		defer b.start()()
		synctest.Wait()
		b.holds("cache-1", resource.CPU, 500)
		b.edit(func() { b.k.held["cache-1"] = full(2000, 256<<20) }) // a daemon-reload
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		b.holds("cache-1", resource.CPU, 500)
	})
}

func TestOnlyInstancesThatMayBeHereAreLimited(t *testing.T) {
	for state, attached := range map[proto.FenceState]bool{
		proto.FenceOwner: true, proto.FenceStarting: true, proto.FenceTarget: true,
		proto.FenceNone: false, proto.FenceFrozen: false, proto.FenceRefused: false, proto.FenceRetired: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.states["cache-1"] = state
			b.doc = stepping(500, 900, time.Hour)
			defer b.start()()
			synctest.Wait()
			var is bool
			if b.edit(func() { _, is = b.k.attached["cache-1"] }); is != attached {
				t.Errorf("in state %q attached is %v", state, is)
			}
		})
	}
}

func TestWhatLeavesIsDetachedReleasedOrKeptAsItsRecordSays(t *testing.T) {
	for state, want := range map[proto.FenceState]string{
		proto.FenceRetired: "detach cache-1", proto.FenceNone: "release cache-1", proto.FenceFrozen: "attach cache-1 limited=true",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.states["cache-1"] = proto.FenceOwner
			b.doc = stepping(500, 900, time.Hour)
			defer b.start()()
			synctest.Wait()
			b.edit(func() { b.states["cache-1"] = state })
			time.Sleep(3 * time.Second)
			synctest.Wait()
			var last string
			if b.edit(func() { last = b.k.log[len(b.k.log)-1] }); last != want {
				t.Errorf("in state %q the last that was done is %q, want %q", state, last, want)
			}
		})
	}
}

func TestAPauseLiftsAndItsEndLimitsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.states["cache-1"] = proto.FenceOwner
		defer b.start()()
		synctest.Wait()
		d := stepping(500, 500, time.Hour)
		b.push(d)
		d.Paused = true
		b.push(d)
		b.holds("cache-1", resource.CPU, resource.Unlimited)
		d.Paused = false
		b.push(d)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		b.holds("cache-1", resource.CPU, 500)
	})
}

func TestWindowsSayWhatWasGrantedAndOnlyOfWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.states["cache-1"] = proto.FenceOwner
		b.doc = stepping(500, 900, time.Hour)
		stop := b.start()
		time.Sleep(25 * time.Second)
		synctest.Wait()
		b.edit(func() { b.k.stopped["cache-1"] = true })
		time.Sleep(35 * time.Second)
		stop()
		var ran, system int
		for _, w := range b.windows {
			if w.Instance == proto.SystemInstance {
				system += w.Samples
				continue
			}
			ran += w.Samples
			if w.Granted[resource.CPU] != 500 || w.Scheduled[resource.CPU] != 500 || w.Usage.Mean[resource.CPU] != 100 {
				t.Errorf("window %+v", w)
			}
		}
		// Of the system's minute the first half is what the agent's start may weigh.
		if ran < 23 || ran > 26 || system < 29 || system > 31 {
			t.Errorf("%d seconds of cache-1 and %d of the system were kept", ran, system)
		}
	})
}

func TestTheHostsOwnUseIsNotRecordedWhileInstancesAreMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.states["cache-1"] = proto.FenceOwner
		b.doc = stepping(500, 900, time.Hour)
		work := &activity{}
		units := counted{runnerFunc(func() { time.Sleep(30 * time.Second) }), work}
		b.working = work.since()
		stop := b.start()
		time.Sleep(settling + 20*time.Second + time.Millisecond)
		if _, err := units.Run(t.Context(), transfer.Command{Name: "sync", Path: "/usr/bin/rsync"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		stop()
		kept := map[string]int{}
		for _, w := range b.windows {
			kept[w.Instance] += w.Samples
		}
		// Windows are told of whole or not at all.
		if kept["cache-1"] < 99 || kept[proto.SystemInstance] < 29 || kept[proto.SystemInstance] > 32 {
			t.Errorf("seconds that were kept: %v", kept)
		}
	})
}

type runnerFunc func()

func (f runnerFunc) Run(context.Context, transfer.Command) (int, error) {
	f()
	return 0, nil
}

func TestALoopThatCantAttachGoesOnMeasuringAndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.states["cache-1"] = proto.FenceOwner
		b.doc = stepping(500, 900, time.Hour)
		b.k.refuse = errors.New("the disk is full")
		defer b.start()()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		b.edit(func() {
			if b.rounds < 10 {
				t.Errorf("%d rounds in 10 s", b.rounds)
			}
			b.k.refuse = nil
		})
		time.Sleep(attachAgain + time.Second)
		synctest.Wait()
		b.holds("cache-1", resource.CPU, 500)
	})
}
