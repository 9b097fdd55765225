package pilot

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const mib = 1 << 20

// A host is a closed loop: instances that want something, a kernel that gives them what their limits allow, the
// demand estimated from what that looks like, and the pilot.
type host struct {
	t        *testing.T
	in       Input
	state    State
	programs []*program // sorted by instance
	rewrites int
}

// A program is what an instance wants at a second, and what its kernel does about it.
type program struct {
	instance string
	cores    func(second int) int64 // thousandths, at most 1000: one client that computes, pauses, and computes again
	memory   func(second int) int64 // bytes that can't be reclaimed
	stuck    int64                  // bytes that the kernel fails to take back below what is used

	held   resource.Vector
	used   int64 // bytes
	demand demand.State
}

func newHost(t *testing.T, allocatable resource.Vector, d proto.Document, programs ...*program) *host {
	t.Helper()
	if err := Accept("host-a", proto.Document{}, d); err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		p.held = resource.Uniform(resource.Unlimited)
	}
	return &host{t: t, in: Input{Now: epoch, Document: &d, Allocatable: allocatable}, programs: programs}
}

// run lets a second pass.
func (h *host) run() Decision {
	second := int(h.in.Now.Sub(epoch).Seconds())
	h.in.Observed = nil
	for _, p := range h.programs {
		h.in.Observed = append(h.in.Observed, p.observe(second, h.in.Allocatable))
	}
	d := Decide(h.in, h.state)
	for _, c := range d.Changes {
		i := slices.IndexFunc(h.programs, func(p *program) bool { return p.instance == c.Instance })
		if h.programs[i].held != c.From {
			h.t.Fatalf("second %d: %+v, it holds %v", second, c, h.programs[i].held)
		}
		h.programs[i].held = c.To
		h.rewrites++
		if sum := h.held(); !sum.Fits(h.in.Allocatable) {
			h.t.Fatalf("second %d: %v are held in all, more than %v", second, sum, h.in.Allocatable)
		}
	}
	h.state, h.in.Now = d.State, h.in.Now.Add(time.Second)
	return d
}

// until runs to a second, counted from the epoch, and returns what was decided last.
func (h *host) until(second int) (d Decision) {
	for h.in.Now <= epoch.Add(time.Duration(second)*time.Second) {
		d = h.run()
	}
	return d
}

func (h *host) held() (sum resource.Vector) {
	for _, p := range h.programs {
		for k, n := range p.held {
			if n < resource.Unlimited {
				sum[k] += n
			}
		}
	}
	return sum
}

func (p *program) observe(second int, most resource.Vector) Observed {
	o := demand.Observation{Elapsed: time.Second, Periods: 10}
	if p.cores != nil {
		wants := p.cores(second)
		gets := min(wants, p.held[resource.CPU])
		o.Usage[resource.CPU] = gets
		if gets < wants {
			waits := 1 - float64(gets)/float64(wants) // what is left of a second when it computes and pauses in proportion
			o.ThrottledPeriods, o.Pressure.CPU = 10, waits
			o.Throttled = time.Duration(waits * float64(time.Second))
		}
	}
	if p.memory != nil {
		wants, limit := p.memory(second), p.held[resource.Memory]
		switch {
		case wants > limit && p.used <= limit: // it is stalled at its limit
			p.used, o.HighEvents, o.Pressure.Memory = limit, 100, 0.5
		case wants > limit: // what is used beyond it can't be taken back: debt
		default:
			p.used = max(wants, min(p.used, p.stuck))
		}
		o.Usage[resource.Memory] = p.used
	}
	d, state := demand.Estimate(o, p.held, most, p.demand)
	p.demand = state
	return Observed{Instance: p.instance, Held: p.held, Measured: true, Demand: d, Observation: o}
}

func cpu(n int64) resource.Vector    { return resource.Vector{resource.CPU: n} }
func memory(n int64) resource.Vector { return resource.Vector{resource.Memory: n} }

// between returns a series that is high in [from, to) and low elsewhere.
func between(low, high int64, from, to int) func(int) int64 {
	return func(second int) int64 {
		if from <= second && second < to {
			return high
		}
		return low
	}
}

func grantedTo(d Decision, instance string) Allocation {
	for _, a := range d.Allocations {
		if a.Instance == instance {
			return a
		}
	}
	return Allocation{}
}

func TestScheduleThatIsTooLowIsCorrectedInSecondsAndReturnedTo(t *testing.T) {
	p := &program{instance: "a", cores: between(200, 700, 60, 120)}
	h := newHost(t, cpu(2000), documentOf(limited("a", proto.Critical, cpu(100), cpu(250), cpu(1000))), p)
	if d := h.until(59); p.held[resource.CPU] != 250 || len(grantedTo(d, "a").Reasons) != 0 {
		t.Fatalf("held %v for %v with a demand of 200m", p.held, grantedTo(d, "a").Reasons)
	}
	d := h.until(61)
	if p.held[resource.CPU] < 700 {
		t.Fatalf("held %v two seconds after demand rose to 700m", p.held)
	}
	if a := grantedTo(d, "a"); a.Scheduled[resource.CPU] != 250 || !strings.Contains(reasons(a), "cpu: raised from 250m") {
		t.Fatalf("scheduled %v, because %q", a.Scheduled, reasons(a))
	}
	if h.until(119); p.held[resource.CPU] > 800 {
		t.Fatalf("held %v for a demand of 700m", p.held)
	}
	if h.until(120 + int(dwell.Seconds()) - 2); p.held[resource.CPU] < 700 {
		t.Fatalf("held %v: taken back before the dwell was over", p.held)
	}
	if h.until(360); p.held[resource.CPU] != 250 {
		t.Fatalf("held %v long after demand fell, want the scheduled 250m", p.held)
	}
	if h.rewrites > 20 {
		t.Errorf("limits were rewritten %d times", h.rewrites)
	}
}

func reasons(a Allocation) string {
	var s []string
	for _, r := range a.Reasons {
		s = append(s, r.String())
	}
	return strings.Join(s, "; ")
}

func TestFeedbackStopsAtTheBoundAndSaysSo(t *testing.T) {
	p := &program{instance: "a", cores: between(900, 900, 0, 0)}
	h := newHost(t, cpu(2000), documentOf(limited("a", proto.Critical, cpu(100), cpu(250), cpu(600))), p)
	d := h.until(5)
	if p.held[resource.CPU] != 600 || !strings.Contains(reasons(grantedTo(d, "a")), "the bound is 600m") {
		t.Fatalf("held %v, because %q", p.held, reasons(grantedTo(d, "a")))
	}
}

func TestSteadyDemandNearTheAllocationDoesNotSwing(t *testing.T) {
	p := &program{instance: "a", cores: func(second int) int64 { return 470 + int64(second*37%20) }}
	h := newHost(t, cpu(2000), documentOf(limited("a", proto.Critical, cpu(100), cpu(480), cpu(1000))), p)
	h.until(600)
	if p.held[resource.CPU] < 489 || p.held[resource.CPU] > 560 || h.rewrites > 4 {
		t.Fatalf("held %v after %d rewrites", p.held, h.rewrites)
	}
}

func TestCriticalGetsTheHeadroomFirst(t *testing.T) {
	d := documentOf(
		limited("a", proto.BestEffort, cpu(100), cpu(100), cpu(1000)),
		limited("b", proto.Critical, cpu(100), cpu(100), cpu(1000)),
		limited("c", proto.BestEffort, cpu(100), cpu(100), cpu(150)),
	)
	d.Headroom = timeline.Flat(hour, cpu(500))
	a := &program{instance: "a", cores: between(900, 900, 0, 0)}
	b := &program{instance: "b", cores: between(100, 400, 20, 1000)}
	c := &program{instance: "c", cores: between(900, 900, 0, 0)}
	h := newHost(t, cpu(800), d, a, b, c)
	h.until(19)
	if a.held[resource.CPU] != 100+500-12-50 || c.held[resource.CPU] != 150 || b.held[resource.CPU] != 112 {
		t.Fatalf("a %v, b %v, c %v: want 538m, 112m and 150m", a.held, b.held, c.held)
	}
	last := h.until(24)
	if b.held[resource.CPU] < 400 {
		t.Fatalf("critical b holds %v four seconds after it wants 400m", b.held)
	}
	if !strings.Contains(reasons(grantedTo(last, "a")), "headroom allows") {
		t.Fatalf("a is told %q", reasons(grantedTo(last, "a")))
	}
}

// The host has nothing left that is not promised, and that is no reason to keep from an instance what was promised to it.
func TestFeedbackStaysWithinThePromiseOnAFullHost(t *testing.T) {
	s := limited("a", proto.Critical, cpu(100), cpu(200), cpu(1000))
	s.Promised = timeline.Flat(hour, cpu(600))
	d := documentOf(s)
	d.Headroom = timeline.Flat(hour, cpu(0))
	p := &program{instance: "a", cores: between(900, 900, 0, 0)}
	newHost(t, cpu(1000), d, p).until(10)
	if p.held[resource.CPU] != 600 {
		t.Fatalf("held %v, 600m are promised and nothing else is free", p.held)
	}
}

// One steps down when the other steps up, on a host that has no room for both.
func TestHandoverIsOnTimeAndNeverOvercommits(t *testing.T) {
	const at = 60
	mid := epoch.Add(at * time.Second)
	step := func(name string, before, after resource.Vector) proto.InstanceSchedule {
		s := limited(name, proto.Standard, cpu(100), cpu(0), before.Max(after))
		s.Schedule = timeline.Profile{
			{Span: timeline.Span{Start: epoch, End: mid}, Amount: before}, {Span: timeline.Span{Start: mid, End: hour.End}, Amount: after},
		}
		s.Promised = s.Schedule
		return s
	}
	a := &program{instance: "a", cores: between(50, 50, 0, 0)}
	b := &program{instance: "b", cores: between(50, 50, 0, 0)}
	h := newHost(t, cpu(1000), documentOf(step("a", cpu(800), cpu(200)), step("b", cpu(200), cpu(800))), a, b)
	if h.until(at - 4); a.held[resource.CPU] != 800 {
		t.Fatalf("a holds %v well before its step", a.held)
	}
	d := h.until(at)
	if a.held[resource.CPU] != 200 || b.held[resource.CPU] != 800 {
		t.Fatalf("a holds %v and b %v at the step; b: %q", a.held, b.held, reasons(grantedTo(d, "b")))
	}
	roomy := newHost(t, cpu(2000), *h.in.Document, a, b)
	if roomy.until(at - 1); a.held[resource.CPU] != 800 {
		t.Fatalf("a gave back to %v ahead of its step, and nobody needs it", a.held)
	}
}

func TestRiseOfMemoryWaitsUntilTheOthersHasBeenTakenBack(t *testing.T) {
	const at = 100
	mid := epoch.Add(at * time.Second)
	step := func(name string, before, after resource.Vector) proto.InstanceSchedule {
		s := limited(name, proto.Standard, memory(100*mib), memory(0), before.Max(after))
		s.Schedule = timeline.Profile{
			{Span: timeline.Span{Start: epoch, End: mid}, Amount: before}, {Span: timeline.Span{Start: mid, End: hour.End}, Amount: after},
		}
		s.Promised = s.Schedule
		return s
	}
	a := &program{instance: "a", memory: between(150*mib, 700*mib, 10, 90), stuck: 600 * mib}
	b := &program{instance: "b", memory: between(150*mib, 150*mib, 0, 0)}
	doc := documentOf(step("a", memory(800*mib), memory(200*mib)), step("b", memory(200*mib), memory(800*mib)))
	doc.Headroom = timeline.Flat(hour, memory(0))
	h := newHost(t, memory(1000*mib), doc, a, b)
	d := h.until(at + 20)
	if a.held[resource.Memory] != 200*mib || b.held[resource.Memory] != 400*mib {
		t.Fatalf("a holds %v with 400 MiB of debt, b %v; want 200 and 400 MiB", a.held, b.held)
	}
	if !strings.Contains(reasons(grantedTo(d, "b")), "memory: waits for others to give back: at 400MiB of 800MiB") {
		t.Fatalf("b is told %q", reasons(grantedTo(d, "b")))
	}
	a.stuck = 0
	if h.until(at + 23); b.held[resource.Memory] != 800*mib {
		t.Fatalf("b holds %v though the debt is paid", b.held)
	}
}

func TestGrowingMemoryIsFollowedAndGivenBackSlowly(t *testing.T) {
	p := &program{instance: "a", memory: func(second int) int64 {
		switch {
		case second < 60:
			return 90 * mib
		case second < 120:
			return (90 + int64(second-60)*2) * mib
		default:
			return 90 * mib
		}
	}}
	h := newHost(t, memory(1024*mib), documentOf(limited("a", proto.Critical, memory(64*mib), memory(100*mib), memory(256*mib))), p)
	h.until(59)
	for second := 60; second < 120; second++ {
		h.until(second)
		if wants := p.memory(second); p.held[resource.Memory] < wants {
			t.Fatalf("second %d: held %v, wants %d MiB", second, p.held, wants/mib)
		}
	}
	for second := 120; second < 500; second++ {
		before := p.held[resource.Memory]
		h.until(second)
		if fell := before - p.held[resource.Memory]; fell > max(before/memoryParts, leastFall) {
			t.Fatalf("second %d: fell by %d MiB of %d", second, fell/mib, before/mib)
		}
	}
	if p.held[resource.Memory] != 101*mib && p.held[resource.Memory] != 100*mib && p.held[resource.Memory] > plus(90*mib, marginPercent) {
		t.Fatalf("held %v at last", p.held)
	}
}

func TestScheduleThatHasRunOutLeavesTheSafeAllocation(t *testing.T) {
	p := &program{instance: "a", cores: between(900, 900, 0, 0)}
	h := newHost(t, cpu(2000), documentOf(limited("a", proto.Critical, cpu(300), cpu(500), cpu(1000))), p)
	h.in.Now = hour.End - 5000
	h.until(3599)
	if p.held[resource.CPU] != 1000 {
		t.Fatalf("held %v before the end", p.held)
	}
	d := h.until(3700)
	if p.held[resource.CPU] != 300 || !strings.Contains(reasons(grantedTo(d, "a")), "run out") {
		t.Fatalf("held %v, because %q; want the safe 300m", p.held, reasons(grantedTo(d, "a")))
	}
}

func TestPauseLiftsEveryLimitAtOnce(t *testing.T) {
	p := &program{instance: "a", cores: between(100, 100, 0, 0)}
	h := newHost(t, cpu(2000), documentOf(limited("a", proto.Critical, cpu(300), cpu(500), cpu(1000))), p)
	h.until(5)
	h.in.Document.Paused = true
	if h.run(); p.held != resource.Uniform(resource.Unlimited) {
		t.Fatalf("held %v", p.held)
	}
	rewrites := h.rewrites
	if h.run(); h.rewrites != rewrites {
		t.Fatal("lifted limits are lifted again")
	}
}

func TestRestartedAgentKeepsWhatFeedbackHadGranted(t *testing.T) {
	p := &program{instance: "a", cores: between(700, 700, 0, 0)}
	h := newHost(t, cpu(2000), documentOf(limited("a", proto.Critical, cpu(100), cpu(250), cpu(1000))), p)
	h.until(30)
	rewrites := h.rewrites
	h.state = State{}
	if h.until(60); h.rewrites != rewrites || p.held[resource.CPU] < 700 {
		t.Fatalf("limits were rewritten %d times after the restart; held %v", h.rewrites-rewrites, p.held)
	}
}
