package state

import (
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// yieldsTo has low on b give way down to rest to a reservation.
func yieldsTo(id string, rest int64) []proto.Yield {
	return []proto.Yield{{ID: "low@b", From: 1, Envelope: open(rest), For: id, Why: "gives cpu"}}
}

// admitOf begins a migration of instance i to b with n of everything, of memory once that may have been given back, for which low there yields down to rest.
func (w *world) admitOf(n, rest int64) *proto.MigrationAdmit {
	start := w.startOf("m", "i", "b", n)
	start.Reservation.Envelope = ledger.PutOff(start.Reservation.Envelope, w.now.Add(proto.MemoryGiveBack))
	return &proto.MigrationAdmit{Start: *start, Yield: yieldsTo("m/target", rest)}
}

func TestAMigrationBeginsWithWhoeverYieldsForIt(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.adoptAs("low", "b", proto.BestEffort, 40)
	w.want(proto.ResultRefused, &w.admitOf(80, 10).Start)
	if r := w.want(proto.ResultRefused, w.admitOf(80, 30)); r.Shortfall == nil { // that is not enough: neither happens
		t.Fatalf("%+v", r)
	}
	if r, _ := w.s.View().Reservation("low@b"); r.Squeezed != nil || r.Revision != 1 {
		t.Fatalf("%+v", r)
	}
	w.must(w.admitOf(80, 10))
	r, _ := w.s.View().Reservation("low@b")
	if r.Squeezed == nil || r.Squeezed.For != "m/target" || w.migration("m").Phase != proto.PhasePrepare {
		t.Fatalf("%+v", r)
	}
	if n, ok := w.s.View().Notice("squeezed/low@b"); !ok || n.Instance != "low" || n.ClearedAt != 0 {
		t.Fatalf("%+v", n)
	}
	back := &proto.ReservationChange{Author: proto.AuthorReplan, Revise: []proto.Revision{{ID: "low@b", From: 2, Envelope: open(40), Floor: resource.Uniform(10)}}}
	w.want(proto.ResultRefused, back)
	w.must(&proto.MigrationAbort{Migration: "m", Fence: w.fence("i"), Reason: "no"})
	w.must(&proto.MigrationEnd{Migration: "m", Outcome: proto.OutcomeAborted})
	w.must(back)
	if n, _ := w.s.View().Notice("squeezed/low@b"); n.ClearedAt != w.now {
		t.Fatalf("%+v", n)
	}
}

func TestMemoryIsNotClaimedBeforeItCanHaveBeenGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		code   proto.ResultCode
		change func(*world, *proto.MigrationAdmit)
	}{
		"as it is": {proto.ResultOK, func(*world, *proto.MigrationAdmit) {}},
		"at once":  {proto.ResultRefused, func(_ *world, b *proto.MigrationAdmit) { b.Start.Reservation.Envelope = open(80) }},
		"a moment too soon": {proto.ResultRefused, func(w *world, b *proto.MigrationAdmit) {
			b.Start.Reservation.Envelope = ledger.PutOff(open(80), w.now.Add(proto.MemoryGiveBack)-1)
		}},
		"no more than is left": {proto.ResultOK, func(_ *world, b *proto.MigrationAdmit) { b.Start.Reservation.Envelope[0].Firm[resource.Memory] = 55 }},
		"more than is left":    {proto.ResultRefused, func(_ *world, b *proto.MigrationAdmit) { b.Start.Reservation.Envelope[0].Firm[resource.Memory] = 56 }},
		"none is yielded": {proto.ResultOK, func(_ *world, b *proto.MigrationAdmit) {
			b.Start.Reservation.Envelope = open(80)
			b.Start.Reservation.Envelope[0].Firm[resource.Memory] = 50
			b.Yield[0].Envelope[0].Firm[resource.Memory] = 40
		}},
	} {
		w := newWorld(t)
		w.adopt("i", "a", 40)
		w.adoptAs("low", "b", proto.BestEffort, 40)
		b := w.admitOf(80, 10)
		c.change(w, b)
		if r := w.do(b); r.Code != c.code || !r.OK() && !strings.Contains(r.Message, "claimed before") {
			t.Errorf("%s: %s: %s", name, r.Code, r.Message)
		}
	}
}

// What a transfer takes is critical; who it is for may be of a lower class.
func TestATransferMakesNobodyYieldToWhoMoves(t *testing.T) {
	w := newWorld(t)
	w.adoptAs("i", "a", proto.Standard, 40)
	w.adoptAs("std", "a", proto.Standard, 40)
	extra := proto.Reservation{ID: "m/send", Host: "a", Class: proto.Critical, Envelope: proto.Envelope{{Span: open(1)[0].Span, Firm: resource.Vector{resource.NetTx: 30}}}, Until: w.now + 600_000}
	yields := open(40)
	yields[0].Firm[resource.NetTx] = 15
	begin := func() *proto.MigrationAdmit {
		start := w.startOf("m", "i", "b", 10)
		start.Extra = []proto.Reservation{extra}
		return &proto.MigrationAdmit{Start: *start, Yield: []proto.Yield{{ID: "std@a", From: 1, Envelope: yields, For: "m/send"}}}
	}
	if r := w.want(proto.ResultRefused, begin()); !strings.Contains(r.Message, "its class is standard") {
		t.Fatal(r.Message)
	}
	s := w.instance("i").Spec
	s.Class = proto.Critical
	w.must(&proto.InstanceApply{Spec: s})
	w.must(begin())
}

func TestAStoredPlanHoldsTheRoomThatOthersYield(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.adoptAs("low", "b", proto.BestEffort, 40)
	hold := proto.PlanHold("p", 0, "target")
	keep := w.keep(hold, "b", 80)
	keep.Envelope = ledger.PutOff(keep.Envelope, w.now.Add(proto.MemoryGiveBack))
	put := &proto.PlanPut{
		Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanMigrate, Status: proto.PlanScheduled, Squeeze: true, Moves: []proto.Move{w.move("i", "b", hold)}},
		Hold: []proto.Reservation{keep},
	}
	w.want(proto.ResultRefused, put)
	put.Yield = yieldsTo("elsewhere", 10)
	w.want(proto.ResultInvalid, put)
	put.Yield = yieldsTo(hold, 10)
	put.Hold[0].Class = proto.Critical
	s := w.instance("i").Spec
	s.Class = proto.BestEffort
	w.must(&proto.InstanceApply{Spec: s})
	w.want(proto.ResultRefused, put) // whatever class is held, it is for one that nobody yields to
	s.Class = proto.Critical
	w.must(&proto.InstanceApply{Spec: s})
	put.Plan.Moves = []proto.Move{w.move("i", "b", hold)}
	w.must(put)
	if r, _ := w.s.View().Reservation("low@b"); r.Squeezed == nil || r.Squeezed.For != hold || !w.stored("p").Squeeze {
		t.Fatalf("%+v", r)
	}
	// In the room that is there by then the move begins with nobody yielding any more.
	w.now = w.now.Add(proto.MemoryGiveBack)
	w.must(w.beginOf("p", 0, "m", 80))
	if r, _ := w.s.View().Reservation("low@b"); r.Squeezed == nil || r.Revision != 2 {
		t.Fatalf("%+v", r)
	}
}

func TestADrainSaysWhetherOthersYieldForIt(t *testing.T) {
	w := newWorld(t)
	w.must(&proto.HostDrain{Host: "a", To: proto.DrainGoesOn, Squeeze: true})
	w.must(&proto.HostDrain{Host: "a", From: proto.DrainGoesOn, To: proto.DrainPaused})
	if h, _ := w.s.View().Host("a"); !h.Drain.Squeeze {
		t.Fatalf("%+v", h.Drain)
	}
	w.must(&proto.HostDrain{Host: "a", From: proto.DrainPaused, To: proto.DrainNone})
	w.must(&proto.HostDrain{Host: "a", To: proto.DrainGoesOn})
	if h, _ := w.s.View().Host("a"); h.Drain.Squeeze {
		t.Fatalf("%+v", h.Drain)
	}
}

func TestOnlyWhoKnowsOfYieldsIsAskedToKeepThem(t *testing.T) {
	plain := proto.StoredPlan{ID: "p"}
	squeezes := plain
	squeezes.Squeeze = true
	told := proto.Plan{Yields: []proto.Yield{{}}}
	for _, c := range []struct {
		body proto.Asking
		want proto.CommandType
	}{
		{proto.PlanPut{Plan: plain}, 0},
		{proto.PlanPut{Plan: squeezes}, proto.CmdMigrationAdmit},
		{proto.PlanPut{Plan: plain, Yield: []proto.Yield{{}}}, proto.CmdMigrationAdmit},
		{proto.HostDrain{}, 0},
		{proto.HostDrain{Squeeze: true}, proto.CmdMigrationAdmit},
		{proto.MigrationStart{Plan: told}, proto.CmdMigrationAdmit},
		{proto.PlanBegin{}, 0},
		{proto.PlanBegin{Start: proto.MigrationStart{Plan: told}}, proto.CmdMigrationAdmit},
	} {
		if got := c.body.Asks(); got != c.want {
			t.Errorf("%+v asks for %s, want %s", c.body, got, c.want)
		}
	}
}
