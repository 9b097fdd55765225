package planner

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// respec gives cache-1 another specification.
func (w *world) respec(change func(*proto.InstanceSpec)) {
	w.t.Helper()
	i, _ := w.state.View().Instance("cache-1")
	change(&i.Spec)
	w.must(&proto.InstanceApply{Spec: i.Spec})
}

func (w *world) input(r Request) Input {
	return Input{Request: r, View: w.state.View(), Now: begin, Forecast: forecast(700), Data: 60 << 20, Costs: DefaultCosts()}
}

func TestEachConstraintRulesAHostOutInItsWords(t *testing.T) {
	w := newWorld(t)
	w.respec(func(s *proto.InstanceSpec) {
		s.Labels = []proto.Label{{Key: "app", Value: "cache"}}
		s.Placement = &proto.Placement{
			Require: []proto.Label{{Key: "disk", Value: "nvme"}}, Avoid: []proto.Label{{Key: "zone", Value: "lab"}},
			CPU: "EPYC", Kernel: "6.1", Needs: []string{"eBPF"},
		}
	})
	for _, c := range []struct {
		name, why, remedy string
		change            func(*proto.Host)
		free, back        bool // it holds only where the planner chooses; on the way back, too
	}{
		{name: "left out", why: "what would be without it", remedy: "leave this one in", change: func(h *proto.Host) {
			v, err := w.state.View().With(proto.WhatIf{Without: []string{"host-b"}})
			if err != nil {
				t.Fatal(err)
			}
			*h, _ = v.Host("host-b")
		}},
		{name: "drained", why: "being emptied", remedy: "take the drain back", change: func(h *proto.Host) { h.Drain = &proto.Drain{State: proto.DrainPaused} }},
		{name: "cordoned", why: "is cordoned", remedy: "glidepath host uncordon host-b", change: func(h *proto.Host) { h.Cordoned = true }},
		{name: "leaving", why: "is not there in [2027-01-16T08:00:00.000Z, 2027-01-16T09:00:00.000Z): new disks", remedy: "take the window back", change: func(h *proto.Host) {
			h.Windows = []proto.CapacityWindow{{ID: "w", Whole: true, Span: timeline.Span{Start: begin.Add(24 * time.Hour), End: begin.Add(25 * time.Hour)}, Reason: "new disks"}}
		}},
		{name: "unreported", why: "has not reported", remedy: "wait for it", back: true, change: func(h *proto.Host) { h.Incarnation += 7 }},
		{name: "clock", why: "does not agree with the coordinators': set it", back: true, change: func(h *proto.Host) {
			h.Facts.Missing = []proto.Missing{{What: proto.LacksClock, Remedy: "set it"}}
		}},
		{name: "segment", why: "belongs to segment lan, the host is on dmz", remedy: "on segment lan", back: true, change: func(h *proto.Host) { h.Facts.Segment = "dmz" }},
		{name: "bulk data", why: "takes no bulk data", remedy: "log", back: true, change: func(h *proto.Host) { h.Facts.SyncAddr = "" }},
		{name: "controllers", why: "no cpu controller", back: true, change: func(h *proto.Host) { h.Facts.Controllers = []string{"io", "memory"} }},
		{name: "controllers", why: "no io controller", back: true, change: func(h *proto.Host) { h.Facts.Controllers = []string{"cpu", "memory", "pids"} }},
		{name: "controllers", why: "no memory controller", back: true, change: func(h *proto.Host) { h.Facts.Controllers = []string{"cpu", "io"} }},
		{name: "labels", why: "no label disk=nvme", remedy: "placement", change: func(h *proto.Host) { h.Facts.Labels = nil }},
		{name: "labels", why: "has the label zone=lab", remedy: "placement", change: func(h *proto.Host) {
			h.Facts.Labels = append(h.Facts.Labels, proto.Label{Key: "zone", Value: "lab"})
		}},
		{name: "processor", why: `its processor is "Xeon", the instance needs "EPYC"`, remedy: "placement", change: func(h *proto.Host) { h.Facts.CPUModel = "Xeon" }},
		{name: "kernel", why: `its kernel is "5.10.0-28-amd64", the instance needs 6.1 or newer`, remedy: "placement", change: func(h *proto.Host) { h.Facts.Kernel = "5.10.0-28-amd64" }},
		{name: "capability", why: "lacks eBPF", remedy: "load it", change: func(h *proto.Host) {
			h.Facts.Missing = []proto.Missing{{What: "eBPF", Remedy: "load it"}}
		}},
		{name: "disk", why: "60MiB of data come, 50MiB of its disk are free", remedy: "make room", change: func(h *proto.Host) { h.Facts.DiskFree = 50 << 20 }},
		{name: "silent", why: "silent since 2027-01-15T", free: true, change: func(h *proto.Host) { h.Facts.Name = "host-silent" }},
		{name: "left", why: "left it 3 h ago with migration m7", free: true, change: func(h *proto.Host) { h.Facts.Name = "host-left" }},
		{name: "moves", why: "2 migrations touch it: the policy allows 2 at once", free: true, change: func(h *proto.Host) { h.Facts.Name = "host-busy" }},
	} {
		for _, target := range []string{"", "host-b"} {
			for _, returns := range []string{"", "m1"} {
				p, err := prepare(w.input(Request{Instance: "cache-1", Target: target}))
				if err != nil {
					t.Fatal(err)
				}
				p.Request.Returns = returns
				p.Silent = map[string]timeline.Time{"host-silent": begin.Add(-time.Minute)}
				p.recent = recent{left: map[string]past{"host-left": {"m7", begin.Add(-3 * time.Hour)}}}
				n := p.needs(begin)
				n.moves["host-busy"], n.movesHost = 2, 2
				h, _ := p.View.Host("host-b")
				h.Facts.CPUModel, h.Facts.Kernel, h.Facts.DiskFree = "AMD EPYC 9354", "6.1.0-18-amd64", 1<<30
				h.Facts.Labels = []proto.Label{{Key: "disk", Value: "nvme"}, {Key: "zone", Value: "prod"}}
				if v := n.violation(&h); v.constraint != "" {
					t.Fatalf("a host that meets all: %+v", v)
				}
				c.change(&h)
				v := n.violation(&h)
				if want := (target == "" || !c.free) && (returns == "" || c.back); !want && v.constraint != "" || want && v.constraint != c.name {
					t.Errorf("%s, target %q, return of %q: %+v", c.name, target, returns, v)
				} else if want && (!strings.Contains(v.why, c.why) || !strings.Contains(v.remedy, c.remedy)) {
					t.Errorf("%s: %q, remedy %q", c.name, v.why, v.remedy)
				}
			}
		}
	}
}

func TestAWindowThatIsFarOrOverOrOfAPartKeepsNobodyAway(t *testing.T) {
	w := newWorld(t)
	p, err := prepare(w.input(Request{Instance: "cache-1"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, window := range []proto.CapacityWindow{
		{ID: "far", Whole: true, Span: timeline.Span{Start: begin.Add(49 * time.Hour), End: begin.Add(50 * time.Hour)}},
		{ID: "over", Whole: true, Span: timeline.Span{Start: begin.Add(-2 * time.Hour), End: begin}},
		{ID: "part", Amount: resource.Vector{resource.CPU: 10}, Span: timeline.Span{Start: begin, End: begin.Add(time.Hour)}},
	} {
		h, _ := p.View.Host("host-b")
		h.Windows = []proto.CapacityWindow{window}
		if v := p.needs(begin).violation(&h); v.constraint != "" {
			t.Errorf("%s: %+v", window.ID, v)
		}
	}
}

func TestANamedHostThatViolatesAConstraintIsRefusedWithTheRemedy(t *testing.T) {
	w := newWorld(t)
	w.must(&proto.HostSet{Host: "host-b", Cordoned: true})
	_, err := Make(w.input(Request{Instance: "cache-1", Target: "host-b"}))
	var no *Refusal
	if !errors.As(err, &no) || no.Remedy != "uncordon it first: glidepath host uncordon host-b" {
		t.Fatalf("%+v", err)
	}
	if len(no.Considered) != 1 || no.Considered[0].Violates != "cordoned" || no.Considered[0].Score != 0 {
		t.Errorf("%+v", no.Considered)
	}
}

func TestWhatIsOnlyObservedNeedsNoControllers(t *testing.T) {
	w := newWorld(t)
	w.respec(func(s *proto.InstanceSpec) { s.Mode = proto.Observe })
	p, err := prepare(w.input(Request{Instance: "cache-1"}))
	if err != nil {
		t.Fatal(err)
	}
	h, _ := p.View.Host("host-b")
	h.Facts.Controllers = nil
	if v := p.needs(begin).violation(&h); v.constraint != "" {
		t.Errorf("%+v", v)
	}
}

func TestInstancesThatAreKeptApartMeetOnNoHost(t *testing.T) {
	label := []proto.Label{{Key: "app", Value: "cache"}}
	for name, mine := range map[string]bool{"by its own word": true, "by the other's": false} {
		w := newWorld(t)
		apart := &proto.Placement{Apart: []string{"app"}}
		w.respec(func(s *proto.InstanceSpec) {
			s.Labels = label
			if mine {
				s.Placement = apart
			}
		})
		other := proto.InstanceSpec{
			Name: "cache-2", Driver: "service", Service: &proto.ServiceSpec{Unit: "redis-2.service"}, Host: "host-c", Type: "m.small",
			Class: proto.Standard, Mode: proto.Observe, Labels: label,
		}
		if !mine {
			other.Placement = apart
		}
		w.must(&proto.InstanceApply{Spec: other, Envelope: proto.Envelope{{Span: timeline.Span{Start: begin, End: timeline.Forever}, Firm: leastFloor}}, Floor: leastFloor})
		r, err := Make(w.input(Request{Instance: "cache-1"}))
		if err != nil || r.Plan.Target != "host-b" {
			t.Fatalf("%s: to %q: %v", name, r.Plan.Target, err)
		}
		last := r.Plan.Considered[len(r.Plan.Considered)-1]
		if last.Host != "host-c" || last.Violates != "apart" || !strings.Contains(last.Reason, "cache-2 is there or on its way, with the same label app=cache") {
			t.Errorf("%s: %+v", name, last)
		}
		var no *Refusal
		if _, err := Make(w.input(Request{Instance: "cache-1", Target: "host-c"})); !errors.As(err, &no) || no.Considered[0].Violates != "apart" {
			t.Errorf("%s: named: %v", name, err)
		}
	}
}

func TestAHostWhoseAgentIsSilentIsNotChosenAndWarnedOfWhereItIsNamed(t *testing.T) {
	w := newWorld(t)
	in := w.input(Request{Instance: "cache-1"})
	in.Silent = map[string]timeline.Time{"host-c": begin.Add(-time.Hour)}
	r, err := Make(in)
	if err != nil || r.Plan.Target != "host-b" {
		t.Fatalf("to %q: %v", r.Plan.Target, err)
	}
	in.Request.Target = "host-c"
	if r, err = Make(in); err != nil || !strings.Contains(strings.Join(r.Plan.Warnings, "\n"), "the agent of host-c has been silent since") {
		t.Errorf("%v %q", err, r.Plan.Warnings)
	}
}
