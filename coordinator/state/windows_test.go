package state

import (
	"testing"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// away is a window of an hour that begins in an hour.
func (w *world) away(id string, n int64) *proto.CapacityWindow {
	return &proto.CapacityWindow{ID: id, Span: timeline.Span{Start: w.now + 3_600_000, End: w.now + 7_200_000}, Amount: resource.Uniform(n), Whole: n == 0, Reason: "disks"}
}

// least returns the least that host a may promise over the grid.
func (w *world) least() int64 {
	least := resource.Unlimited
	for _, s := range w.s.View().Ledger().Steps("a") {
		least = min(least, s.Limit[resource.CPU])
	}
	return least
}

func TestAHostHasLessInAWindow(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.must(&proto.HostWindow{Host: "a", Put: w.away("disks", 30)})
	inside, around := w.keep("inside", "a", 40), w.keep("around", "a", 40)
	inside.Envelope[0].Start, inside.Envelope[0].End, inside.Until = w.now+3_600_000, w.now+7_200_000, w.now+7_200_000
	around.Envelope[0].End = w.now + 3_500_000
	if r := w.want(proto.ResultRefused, &proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{inside}}); r.Shortfall.Limit != 70 {
		t.Fatalf("%+v", r.Shortfall)
	}
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{around}})
	// Windows that overlap add up, to no more than there is.
	w.must(&proto.HostWindow{Host: "a", Put: w.away("fan", 20)})
	if got := w.least(); got != 50 {
		t.Fatalf("%d are left", got)
	}
	whole := w.away("power", 0)
	r := w.want(proto.ResultRefused, &proto.HostWindow{Host: "a", Put: whole})
	if r.Shortfall == nil || r.Shortfall.Span.Start < w.now+3_500_000 || r.Shortfall.Missing != 40 {
		t.Fatalf("%+v", r.Shortfall)
	}
	w.must(&proto.HostWindow{Host: "a", Put: whole, Force: true})
	if s := w.s.View().Ledger().Short("a"); w.least() != 0 || s == nil {
		t.Fatalf("%d are left, short: %v", w.least(), s)
	}
	h, _ := w.s.View().Host("a")
	if len(h.Windows) != 3 || h.Windows[2].By != "tester" || h.Windows[2].At != w.now || h.Revision != 4 {
		t.Fatalf("%+v", h)
	}
	w.want(proto.ResultStale, &proto.HostWindow{Host: "a", Drop: "power", Revision: 1})
	w.must(&proto.HostWindow{Host: "a", Drop: "power", Revision: 4})
	w.want(proto.ResultNotFound, &proto.HostWindow{Host: "a", Drop: "power"})
	if got := w.least(); got != 50 {
		t.Fatalf("%d are left", got)
	}
	// The facts that an agent states again don't end a window, and a window that is over goes.
	w.must(&proto.HostRegister{Facts: facts("a", 90), Incarnation: 1})
	if got := w.least(); got != 40 {
		t.Fatalf("%d are left", got)
	}
	w.now += 8_000_000
	w.must(&proto.HostWindow{Host: "a", Put: w.away("later", 1)})
	if h, _ := w.s.View().Host("a"); len(h.Windows) != 1 || w.least() != 89 {
		t.Fatalf("%+v, %d are left", h.Windows, w.least())
	}
}

// What a host needs for itself keeps nobody from taking it away, and is nothing that it is short of then.
func TestAHostThatHasNothingOfOthersMayBeAway(t *testing.T) {
	w := newWorld(t)
	own := proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Uniform(5), Mean: resource.Vector{resource.CPU: 3}, Own: resource.Vector{resource.CPU: 2}}}
	w.must(&proto.HostSystem{Host: "b", Envelope: own})
	w.must(&proto.HostWindow{Host: "b", Put: w.away("power", 0)})
	ledger := func() *ledger.Ledger { return w.s.View().Ledger() }
	if s := ledger().Short("b"); s != nil || len(ledger().Shortages("b")) != 0 {
		t.Errorf("it is short: %v", s)
	}
	w.want(proto.ResultRefused, &proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{w.keep("more", "b", 1)}})
	own[0].Firm = resource.Uniform(7)
	w.must(&proto.HostSystem{Host: "b", Envelope: own})
	if s := ledger().Short("b"); s != nil {
		t.Errorf("it is short by what it needs for itself now: %v", s)
	}
	if found := ledger().Check(); len(found) != 0 {
		t.Error(found)
	}
	some := w.away("fan", 96)
	some.Span.Start, some.Span.End = w.now+300_000, w.now+400_000
	if r := w.want(proto.ResultRefused, &proto.HostWindow{Host: "b", Put: some}); r.Shortfall == nil || r.Shortfall.Limit != 4 {
		t.Errorf("%+v", r) // it is there, with less than it needs for itself
	}
}

func TestAHostThatIsShortGetsNoShorterByAnOperatorsWord(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.must(&proto.HostWindow{Host: "a", Put: w.away("power", 0), Force: true})
	soon := w.away("fan", 80)
	soon.Span.Start, soon.Span.End = w.now+300_000, w.now+400_000
	w.want(proto.ResultRefused, &proto.HostWindow{Host: "a", Put: soon})
	soon.Amount = resource.Uniform(20)
	w.must(&proto.HostWindow{Host: "a", Put: soon})
}

func TestWindowsThatCanNotBeAreRefused(t *testing.T) {
	w := newWorld(t)
	for name, b := range map[string]*proto.HostWindow{
		"nothing":    {Host: "a"},
		"both":       {Host: "a", Put: w.away("x", 1), Drop: "y"},
		"past":       {Host: "a", Put: &proto.CapacityWindow{ID: "x", Whole: true, Span: timeline.Span{Start: w.now - 9, End: w.now}}},
		"backwards":  {Host: "a", Put: &proto.CapacityWindow{ID: "x", Whole: true, Span: timeline.Span{Start: w.now + 9, End: w.now + 3}}},
		"negative":   {Host: "a", Put: &proto.CapacityWindow{ID: "x", Amount: resource.Uniform(-1), Span: timeline.Span{Start: w.now, End: w.now + 9}}},
		"no amount":  {Host: "a", Put: &proto.CapacityWindow{ID: "x", Span: timeline.Span{Start: w.now, End: w.now + 9}}},
		"identifier": {Host: "a", Put: w.away("", 1)},
	} {
		if r := w.do(b); r.Code != proto.ResultInvalid {
			t.Errorf("%s: %s: %s", name, r.Code, r.Message)
		}
	}
	w.want(proto.ResultNotFound, &proto.HostWindow{Host: "x", Put: w.away("x", 1)})
	for n := range proto.MaxWindows {
		w.must(&proto.HostWindow{Host: "a", Put: w.away("w"+string(rune('A'+n%26))+string(rune('a'+n/26)), 1)})
	}
	w.want(proto.ResultInvalid, &proto.HostWindow{Host: "a", Put: w.away("more", 1)})
}

func TestADrainedHostIsCordonedUntilItIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.adopt("j", "b", 10)
	drain := func(from, to proto.DrainState) *proto.HostDrain {
		return &proto.HostDrain{Host: "a", From: from, To: to}
	}
	begin := drain(proto.DrainNone, proto.DrainGoesOn)
	begin.Deadline = w.now - 1
	w.want(proto.ResultInvalid, begin)
	begin.Deadline, begin.Probation = w.now+7_200_000, 1000
	w.must(begin)
	w.want(proto.ResultRefused, w.startOf("m", "j", "a", 10))
	w.want(proto.ResultStale, begin)
	w.must(drain(proto.DrainGoesOn, proto.DrainPaused))
	w.must(drain(proto.DrainPaused, proto.DrainGoesOn))
	w.want(proto.ResultRefused, &proto.HostSet{Host: "a"}) // uncordoned
	w.must(&proto.HostSet{Host: "a", Cordoned: true, Override: resource.Uniform(90)})
	h, _ := w.s.View().Host("a")
	if *h.Drain != (proto.Drain{State: proto.DrainGoesOn, Deadline: begin.Deadline, Probation: 1000, By: "tester", Since: start}) || !h.Cordoned {
		t.Fatalf("%+v", h.Drain)
	}
	w.want(proto.ResultRefused, drain(proto.DrainGoesOn, proto.DrainDone)) // i is there
	w.settled("m", "i", "b", 60)
	w.want(proto.ResultRefused, drain(proto.DrainGoesOn, proto.DrainDone)) // its slot is kept
	w.must(&proto.MigrationComplete{Migration: "m", Fence: w.fence("i")})
	w.must(drain(proto.DrainGoesOn, proto.DrainDone))
	w.want(proto.ResultRefused, drain(proto.DrainDone, proto.DrainPaused))
	w.must(drain(proto.DrainDone, proto.DrainGoesOn)) // again
	w.must(drain(proto.DrainGoesOn, proto.DrainNone))
	if h, _ := w.s.View().Host("a"); h.Drain != nil || h.Cordoned {
		t.Fatalf("%+v", h)
	}
	w.must(&proto.HostSet{Host: "a", Cordoned: true})
	begin.Deadline = 0
	w.must(begin)
	w.must(drain(proto.DrainGoesOn, proto.DrainNone))
	if h, _ := w.s.View().Host("a"); !h.Cordoned {
		t.Fatal("it was cordoned before, and is not any more")
	}
}
