package pilot

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// A unit that is started without its agent holds its type's maximum. It is given what nobody needs of it, not what another was lent.
func TestAStartTakesNoMemoryThatAnotherNeeds(t *testing.T) {
	a := &program{instance: "a", memory: between(900*mib, 3000*mib, 5, 1000)}
	b := &program{instance: "b", memory: between(100*mib, 100*mib, 0, 0)}
	d := documentOf(
		limited("a", proto.Critical, memory(500*mib), memory(1000*mib), memory(16000*mib)),
		limited("b", proto.BestEffort, memory(500*mib), memory(1000*mib), memory(16000*mib)),
	)
	d.Headroom = timeline.Flat(hour, memory(4000*mib))
	h := newHost(t, memory(6000*mib), d, a, b)
	if h.until(40); a.held[resource.Memory] < 3000*mib {
		t.Fatalf("a holds %v, and needs 3000 MiB", a.held)
	}
	b.held = d.Instances[1].Max
	in := h.in
	in.Observed = []Observed{a.observe(41, in.Allocatable), b.observe(41, in.Allocatable)}
	got := Decide(in, h.state)
	if lent, given := grantedTo(got, "a").Granted[resource.Memory], grantedTo(got, "b").Granted[resource.Memory]; lent < 3000*mib || lent+given > 6000*mib {
		t.Fatalf("a is granted %d MiB and b %d MiB of 6000", lent/mib, given/mib)
	}
}

// Memory that was lent is back before it is somebody's by promise.
func TestLentMemoryIsGivenBackBeforeTheHeadroomFalls(t *testing.T) {
	const at = 100
	a := &program{instance: "a", memory: between(900*mib, 3000*mib, 5, 1000)}
	d := documentOf(limited("a", proto.Critical, memory(500*mib), memory(1000*mib), memory(16000*mib)))
	mid := epoch.Add(at * time.Second)
	d.Headroom = timeline.Profile{
		{Span: timeline.Span{Start: epoch, End: mid}, Amount: memory(4000 * mib)}, {Span: timeline.Span{Start: mid, End: hour.End}, Amount: memory(100 * mib)},
	}
	h := newHost(t, memory(6000*mib), d, a)
	if h.until(at - 35); a.held[resource.Memory] < 3000*mib {
		t.Fatalf("a holds %v: nothing was lent", a.held)
	}
	// It halves in 22 seconds, and began to fall 30 seconds before.
	if h.until(at - 1); a.held[resource.Memory] > 1500*mib {
		t.Fatalf("a second before the headroom falls a still holds %v; 1100 MiB will be its own or free", a.held)
	}
	if h.until(at + 1); a.held[resource.Memory] > 1100*mib {
		t.Fatalf("a holds %v, 1100 MiB are its own or free", a.held)
	}
}

// What is promised is pooled, and comes to more than the host has when all need it at once: the classes come in order.
func TestPooledPromisesNeverComeToMoreThanTheHost(t *testing.T) {
	var schedules []proto.InstanceSchedule
	var programs []*program
	for _, name := range []string{"a", "b", "c", "d"} {
		s := limited(name, proto.BestEffort, cpu(50), cpu(100), cpu(1000))
		s.Promised = timeline.Flat(hour, cpu(300))
		schedules = append(schedules, s)
		programs = append(programs, &program{instance: name, cores: between(900, 900, 0, 0)})
	}
	schedules[0].Spec.Class = proto.Critical
	d := documentOf(schedules...)
	d.Headroom = timeline.Flat(hour, cpu(0))
	newHost(t, cpu(700), d, programs...).until(20)
	if programs[0].held[resource.CPU] != 300 || programs[1].held[resource.CPU] > 150 {
		t.Fatalf("critical a holds %v, b %v", programs[0].held, programs[1].held)
	}
}

// An instance that is only observed may use more than was foreseen for it: that is no headroom any more.
func TestWhatAnObservedInstanceUsesIsNotLent(t *testing.T) {
	a := &program{instance: "a", memory: between(900*mib, 3000*mib, 5, 1000)}
	b := &program{instance: "b", memory: between(2500*mib, 2500*mib, 0, 0)}
	observed := limited("b", proto.Standard, memory(500*mib), memory(1000*mib), memory(16000*mib))
	observed.Limited = false
	d := documentOf(limited("a", proto.Critical, memory(500*mib), memory(1000*mib), memory(16000*mib)), observed)
	d.Headroom = timeline.Flat(hour, memory(2000*mib))
	h := newHost(t, memory(4000*mib), d, a, b)
	if h.until(40); a.held[resource.Memory] > 1500*mib {
		t.Fatalf("a holds %v, and 1500 MiB of 4000 are left", a.held)
	}
	if a.held[resource.Memory] < 1300*mib {
		t.Fatalf("a holds %v: what b does not use is not lent", a.held)
	}
}
