package pilot

import (
	"fmt"
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"pgregory.net/rapid"
)

// amountsUpTo draws a vector whose amounts are at most n; round ones often, so that equal amounts meet.
func amountsUpTo(n int64) *rapid.Generator[resource.Vector] {
	return rapid.Custom(func(t *rapid.T) (v resource.Vector) {
		for k := range v {
			v[k] = rapid.Int64Range(0, n).Draw(t, "amount")
		}
		return v
	})
}

// Amounts are in steps of the coarsest grain, so that the tests need not allow for it.
const unit = 64 << 10

func whole(v resource.Vector) resource.Vector {
	for k := range v {
		v[k] *= unit
	}
	return v
}

// schedules draws an instance's schedule, whose amounts are in order, of some steps from the epoch on.
func schedules(name string) *rapid.Generator[proto.InstanceSchedule] {
	return rapid.Custom(func(t *rapid.T) proto.InstanceSchedule {
		more := func(v resource.Vector, what string) resource.Vector {
			return v.Add(whole(amountsUpTo(200).Draw(t, what)))
		}
		s := proto.InstanceSchedule{Instance: name, Limited: rapid.IntRange(0, 4).Draw(t, "limited") > 0}
		s.Spec.Class = rapid.SampledFrom([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort}).Draw(t, "class")
		s.Floor = more(resource.Vector{}, "floor")
		s.Safe = more(s.Floor, "safe")
		at := epoch
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			span := timeline.Span{Start: at, End: at + timeline.Time(rapid.IntRange(1, 60).Draw(t, "seconds")*1000)}
			scheduled := more(s.Safe, "scheduled")
			promised := more(scheduled, "promised")
			s.Schedule = append(s.Schedule, timeline.Step{Span: span, Amount: scheduled})
			s.Promised = append(s.Promised, timeline.Step{Span: span, Amount: promised})
			s.Max = s.Max.Max(promised)
			at = span.End
		}
		s.Max = more(s.Max, "max")
		return s
	})
}

// inputs draws a document that Accept takes, and what is seen of its instances.
func inputs() *rapid.Generator[Input] {
	return rapid.Custom(func(t *rapid.T) Input {
		in := Input{
			Now:         epoch + timeline.Time(rapid.IntRange(0, 200).Draw(t, "now")*1000),
			Allocatable: whole(amountsUpTo(3000).Draw(t, "allocatable")),
			Document:    &proto.Document{Host: "host-a", Version: proto.DocumentVersion{Revision: 1}, Paused: rapid.IntRange(0, 9).Draw(t, "paused") == 0},
		}
		in.Document.Headroom = timeline.Flat(timeline.Span{Start: epoch, End: epoch + 100_000}, whole(amountsUpTo(300).Draw(t, "headroom")))
		for i := range rapid.IntRange(1, 5).Draw(t, "instances") {
			name := fmt.Sprintf("instance-%d", i)
			s := schedules(name).Draw(t, name)
			in.Document.Instances = append(in.Document.Instances, s)
			if rapid.IntRange(0, 9).Draw(t, "running") == 0 {
				continue
			}
			in.Observed = append(in.Observed, observed(name).Draw(t, "observed"))
		}
		if err := Accept("host-a", proto.Document{}, *in.Document); err != nil {
			t.Fatalf("the generator is wrong: %v", err)
		}
		return in
	})
}

func observed(name string) *rapid.Generator[Observed] {
	return rapid.Custom(func(t *rapid.T) Observed {
		o := Observed{Instance: name, Held: whole(amountsUpTo(1000).Draw(t, "held")), Measured: rapid.Bool().Draw(t, "measured")}
		for k := range o.Held {
			if rapid.IntRange(0, 9).Draw(t, "unlimited") == 0 {
				o.Held[k] = resource.Unlimited
			}
		}
		o.Demand = whole(amountsUpTo(1000).Draw(t, "demand"))
		o.Observation = demand.Observation{
			Elapsed: time.Second, Usage: o.Demand.Min(o.Held), HighEvents: rapid.Uint64Range(0, 1).Draw(t, "high"),
			Pressure: demand.Pressure{Memory: rapid.Float64Range(0, 1).Draw(t, "pressure")},
		}
		return o
	})
}

// decide makes some decisions with changing observations, so that the state is not always fresh, and returns the last with its input.
func decide(t *rapid.T) (Input, Decision) {
	in := inputs().Draw(t, "in")
	var d Decision
	for range rapid.IntRange(1, 3).Draw(t, "rounds") {
		for i := range in.Observed {
			in.Observed[i] = observed(in.Observed[i].Instance).Draw(t, "observed")
		}
		in.Now = in.Now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "later")) * time.Second)
		d = Decide(in, d.State)
	}
	return in, d
}

func (in Input) observed(instance string) (Observed, bool) {
	for _, o := range in.Observed {
		if o.Instance == instance {
			return o, true
		}
	}
	return Observed{}, false
}

func TestNoLimitAboveTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, d := decide(t)
		for i, a := range d.Allocations {
			s := in.Document.Instances[i]
			if in.Document.Paused || !s.Limited {
				if a.Granted != resource.Uniform(resource.Unlimited) {
					t.Fatalf("%s is not limited, and is granted %v", a.Instance, a.Granted)
				}
				continue
			}
			bound := in.at(&s, in.Now).bound
			if !a.Granted.Fits(bound) {
				t.Fatalf("%s is granted %v, above %v", a.Instance, a.Granted, bound)
			}
		}
	})
}

func TestSafeAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, d := decide(t)
		for i, a := range d.Allocations {
			s := in.Document.Instances[i]
			o, running := in.observed(a.Instance)
			if !running {
				continue
			}
			if least := s.Safe.Min(o.Held); !least.Fits(a.Granted) {
				t.Fatalf("%s had %v, its safe allocation is %v, and it is granted %v", a.Instance, o.Held, s.Safe, a.Granted)
			}
		}
	})
}

func TestHeadroomIsNeverOversubscribed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, d := decide(t)
		headroom, _ := in.Document.Headroom.At(in.Now)
		for _, k := range resource.All() {
			var beyond int64
			raised := false
			for i, a := range d.Allocations {
				promised, _ := in.Document.Instances[i].Promised.At(in.Now)
				own := max(a.Scheduled[k], promised[k])
				if in.Document.Paused || !in.Document.Instances[i].Limited || a.Granted[k] <= own {
					continue
				}
				beyond += a.Granted[k] - own
				o, _ := in.observed(a.Instance)
				raised = raised || a.Granted[k] > o.Held[k]
			}
			// Memory that falls slowly may still be more than the headroom; then nobody is raised.
			if beyond > headroom[k] && (raised || k != resource.Memory) {
				t.Fatalf("%s: %d beyond what is promised, the headroom is %d", k, beyond, headroom[k])
			}
		}
	})
}

// On the way from what is held to what is granted the sum is never above what the host has, or above where it was or will be; memory,
// which is never pooled, never goes above what the host has at all.
func TestOrderOfWritesNeverOvercommitsOnTheWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, d := decide(t)
		holds := map[string]resource.Vector{}
		for i, s := range in.Document.Instances {
			if in.Document.Paused || !s.Limited {
				continue
			}
			holds[s.Instance] = d.Allocations[i].Granted
			if o, running := in.observed(s.Instance); running {
				holds[s.Instance] = o.Held
			}
		}
		var start, end resource.Vector
		for i, a := range d.Allocations {
			if hold, is := holds[a.Instance]; is {
				start, end = start.Add(hold), end.Add(d.Allocations[i].Granted)
			}
		}
		most := start.Max(in.Allocatable)
		for _, k := range resource.All() {
			if k.Poolable() {
				most[k] = max(most[k], end[k])
			}
		}
		for _, c := range d.Changes {
			hold, is := holds[c.Instance]
			if !is {
				continue
			}
			if hold != c.From {
				t.Fatalf("%s: a change from %v, it has %v", c.Instance, c.From, hold)
			}
			holds[c.Instance] = c.To
			var sum resource.Vector
			for _, v := range holds {
				sum = sum.Add(v)
			}
			if !sum.Fits(most) {
				t.Fatalf("after %+v %v are granted, more than %v", c, sum, most)
			}
		}
		for _, a := range d.Allocations {
			if hold, is := holds[a.Instance]; is && hold != a.Granted {
				t.Fatalf("%s: the changes lead to %v, not to %v", a.Instance, hold, a.Granted)
			}
		}
	})
}

func TestMemoryNeverFallsFastInsideTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, d := decide(t)
		for i, a := range d.Allocations {
			s := in.Document.Instances[i]
			o, running := in.observed(a.Instance)
			held := o.Held[resource.Memory]
			if says := in.at(&s, in.Now); !running || says.alone || held > says.bound[resource.Memory] {
				continue // what is above the bound has to go at once
			}
			// What is not in use may go at once.
			if o.Measured {
				held = min(held, o.Observation.Usage[resource.Memory])
			}
			if least := held - max(held/memoryParts, leastFall); a.Granted[resource.Memory] < least {
				t.Fatalf("%s: memory falls from %d to %d", a.Instance, held, a.Granted[resource.Memory])
			}
		}
	})
}

// With constant demand and a kernel that does what it is told the limits come to rest.
func TestDecisionsComeToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "in")
		for i := range in.Document.Instances {
			s := &in.Document.Instances[i]
			at := s.Schedule[0].Start
			s.Schedule = timeline.Flat(timeline.Span{Start: at, End: timeline.Forever}, s.Schedule[0].Amount)
			s.Promised = timeline.Flat(s.Schedule.Span(), s.Promised[0].Amount)
		}
		in.Document.Headroom[0].End = timeline.Forever
		for i := range in.Observed {
			in.Observed[i].Measured = true
			in.Observed[i].Observation.HighEvents = 0
		}
		var d Decision
		const rounds = 800
		for round := range rounds {
			if d = Decide(in, d.State); round > rounds/2 && len(d.Changes) > 0 {
				t.Fatalf("round %d still changes %+v", round, d.Changes)
			}
			for _, c := range d.Changes {
				for i := range in.Observed {
					if o := &in.Observed[i]; o.Instance == c.Instance {
						o.Held = c.To
						o.Observation.Usage = o.Demand.Min(o.Held)
					}
				}
			}
			in.Now = in.Now.Add(time.Second)
		}
	})
}
