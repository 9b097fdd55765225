package collect

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const epoch timeline.Time = 1_700_000_000_000

func sample(instance string, elapsed time.Duration, usage int64) Measured {
	return Measured{
		Instance: instance, Demand: resource.Uniform(2 * usage), Granted: resource.Uniform(usage + 1), Scheduled: resource.Uniform(usage + 2),
		Observation: demand.Observation{Elapsed: elapsed, Usage: resource.Uniform(usage)},
	}
}

func TestWindowHoldsMeanMaxAndLast(t *testing.T) {
	f := NewFolder()
	for i := range 10 {
		m := sample("a", time.Second, int64(i))
		m.Observation.Throttled = 3 * time.Second // three run queues: a second of it counts as one
		m.Observation.Pressure.IO = 0.25
		m.Observation.OOMKills = 1
		m.Faults = []string{"cpu.max"}
		m.Debt = int64(i)
		f.Add(epoch.Add(time.Duration(i+1)*time.Second), m)
	}
	if early := f.Take(epoch.Add(9999 * time.Millisecond)); len(early) != 0 {
		t.Fatalf("a window was taken before it ended: %v", early)
	}
	want := []proto.Window{{
		Instance: "a", Start: epoch, Samples: 10,
		Usage:   proto.Fold{Mean: resource.Uniform(5), Max: resource.Uniform(9), Last: resource.Uniform(9)},
		Demand:  proto.Fold{Mean: resource.Uniform(9), Max: resource.Uniform(18), Last: resource.Uniform(18)},
		Granted: resource.Uniform(10), Scheduled: resource.Uniform(11),
		Throttled: 10_000, Pressure: proto.Pressure{IO: 2500}, OOMKills: 10, Debt: 9, Faults: []string{"cpu.max"},
	}}
	if diff := cmp.Diff(want, f.Take(epoch.Add(window))); diff != "" {
		t.Fatal(diff)
	}
}

func TestSamplesWeighAsMuchAsTheTimeThatTheyCover(t *testing.T) {
	f := NewFolder()
	f.Add(epoch.Add(1*time.Second), sample("a", time.Second, 100))
	f.Add(epoch.Add(4*time.Second), sample("a", 3*time.Second, 500))
	if w := f.Take(timeline.Forever); len(w) != 1 || w[0].Usage.Mean != resource.Uniform(400) || w[0].Samples != 2 {
		t.Fatalf("%+v: want one window of two samples with a mean of 400", w)
	}
}

func TestPartialWindowsSayHowManySamplesTheyHave(t *testing.T) {
	f := NewFolder()
	for _, second := range []int{8, 9, 10, 11, 12} { // the agent started late in the first window
		f.Add(epoch.Add(time.Duration(second)*time.Second), sample("b", time.Second, 1))
		f.Add(epoch.Add(time.Duration(second)*time.Second), sample("a", time.Second, 1))
	}
	var got []string
	for _, w := range f.Take(timeline.Forever) {
		got = append(got, w.Instance+" "+w.Start.String()[17:19]+" "+string(rune('0'+w.Samples)))
	}
	if diff := cmp.Diff([]string{"a 20 3", "b 20 3", "a 30 2", "b 30 2"}, got); diff != "" {
		t.Fatal(diff)
	}
}

// Whatever the corrected clock does, as long as its steps are those of a correction, no window comes twice and none of the
// samples is lost.
func TestSmallClockStepsNeverBeginAWindowTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, at := NewFolder(), epoch
		begun := map[timeline.Time]bool{}
		var added, folded int
		check := func(ws []proto.Window) {
			for _, w := range ws {
				if begun[w.Start] {
					t.Fatalf("the window at %s comes twice", w.Start)
				}
				begun[w.Start] = true
				if w.Start%proto.WindowLength != 0 || w.Samples < 1 || w.Samples > 10 {
					t.Fatalf("window %s with %d samples", w.Start, w.Samples)
				}
				folded += w.OOMKills // each sample brings one
			}
		}
		for range rapid.IntRange(1, 100).Draw(t, "samples") {
			at = at.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
			step := rapid.SampledFrom([]int{0, 0, 0, 0, 0, 700, -700, -9000, 40_000}).Draw(t, "step")
			shown := at.Add(time.Duration(step) * time.Millisecond)
			at = max(at, shown)
			m := sample("a", time.Second, 1)
			m.Observation.OOMKills = 1
			f.Add(shown, m)
			added++
			check(f.Take(shown))
		}
		check(f.Take(timeline.Forever))
		if folded != added {
			t.Fatalf("%d of %d samples are in the windows", folded, added)
		}
	})
}

func TestClockThatStepsFarBackIsBelieved(t *testing.T) {
	f := NewFolder()
	f.Add(epoch.Add(time.Hour), sample("a", time.Second, 1))
	f.Add(epoch.Add(time.Second), sample("a", time.Second, 2))
	got := f.Take(epoch.Add(time.Minute))
	if len(got) != 2 || got[0].Start != epoch || got[1].Start != epoch.Add(time.Hour-window) {
		t.Fatalf("%v: want a window at the earlier time, and the one before the step", got)
	}
}
