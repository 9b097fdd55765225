package state

import (
	"fmt"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// move is a move of an instance as it is now, to a target and the type large.
func (w *world) move(instance, target string, holds ...string) proto.Move {
	p := w.plan(instance, target)
	return proto.Move{Instance: instance, Source: p.Source, Target: target, FromType: p.FromType, ToType: p.ToType, Fence: p.Fence, Start: w.now, Holds: holds}
}

// keep is a hold of n for an hour.
func (w *world) keep(id, host string, n int64) proto.Reservation {
	return proto.Reservation{ID: id, Host: host, Class: proto.Critical, Purpose: proto.PurposeHold, Envelope: open(n), Until: w.now + 3_600_000}
}

func (w *world) stored(id string) proto.StoredPlan {
	w.t.Helper()
	p, ok := w.s.View().Plan(id)
	if !ok {
		w.t.Fatalf("there is no plan %s", id)
	}
	return p
}

// scheduled stores a plan of one move to b that holds 70 there.
func (w *world) scheduled(id, instance string) *proto.PlanPut {
	w.t.Helper()
	hold := proto.PlanHold(id, 0, "target")
	b := &proto.PlanPut{
		Plan: proto.StoredPlan{ID: id, Kind: proto.PlanMigrate, Status: proto.PlanScheduled, Moves: []proto.Move{w.move(instance, "b", hold)}},
		Hold: []proto.Reservation{w.keep(hold, "b", 70)},
	}
	w.must(b)
	return b
}

func TestAStoredPlanHoldsRoomUntilItEnds(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.scheduled("p", "i")
	w.adopt("j", "c", 40)
	w.want(proto.ResultRefused, w.startOf("m", "j", "b", 60)) // 70 of 95 are held
	w.want(proto.ResultConflict, &proto.PlanPut{Plan: w.stored("p")})
	w.must(&proto.PlanChange{ID: "p", From: proto.PlanScheduled, To: proto.PlanPaused, Reason: "the operator waits"})
	w.want(proto.ResultRefused, w.startOf("m", "j", "b", 60))
	w.want(proto.ResultStale, &proto.PlanChange{ID: "p", From: proto.PlanScheduled, To: proto.PlanCancelled})
	w.must(&proto.PlanChange{ID: "p", From: proto.PlanPaused, To: proto.PlanCancelled, Reason: "not needed"})
	if p := w.stored("p"); p.EndedAt != w.now || len(p.Moves[0].Holds) != 0 || p.Reason != "not needed" || p.Revision != 3 {
		t.Fatalf("%+v", p)
	}
	w.must(w.startOf("m", "j", "b", 60))
	w.want(proto.ResultRefused, &proto.PlanChange{ID: "p", From: proto.PlanCancelled, To: proto.PlanQueued})
	again := w.stored("p")
	again.Status = proto.PlanQueued
	w.want(proto.ResultStale, &proto.PlanPut{Plan: again, From: again.Revision})
}

func TestAPlanIsReplacedWithWhatItHolds(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	b := w.scheduled("p", "i")
	p := w.stored("p")
	hold := p.Moves[0].Holds[0]
	p.Moves = []proto.Move{w.move("i", "b", hold)}
	w.want(proto.ResultStale, &proto.PlanPut{Plan: p, From: p.Revision + 1})
	w.want(proto.ResultRefused, &proto.PlanPut{Plan: p, From: p.Revision, Hold: []proto.Reservation{w.keep(hold, "b", 96)}})
	w.must(&proto.PlanPut{Plan: p, From: p.Revision, Hold: []proto.Reservation{w.keep(hold, "b", 90)}})
	r, _ := w.s.View().Reservation(hold)
	if r.Revision != 2 || r.Envelope[0].Firm[0] != 90 {
		t.Fatalf("%+v", r)
	}
	// To another host: what was held on the first is given back, in the same change.
	other := proto.PlanHold("p", 0, "other")
	p = w.stored("p")
	p.Moves = []proto.Move{w.move("i", "c", other)}
	w.want(proto.ResultStale, &proto.PlanPut{Plan: p, From: p.Revision}) // named, and not there
	w.must(&proto.PlanPut{Plan: p, From: p.Revision, Hold: []proto.Reservation{w.keep(other, "c", 80)}})
	if _, there := w.s.View().Reservation(hold); there {
		t.Fatal("what the plan does not name any more is held")
	}
	if p := w.stored("p"); p.MadeAt != w.now || p.MadeBy != "tester" || p.Revision != 3 {
		t.Fatalf("%+v", p)
	}
	w.now += 7_200_000
	w.must(&proto.Tick{}) // the hold has lapsed
	p = w.stored("p")
	w.want(proto.ResultStale, &proto.PlanPut{Plan: p, From: p.Revision})
	w.must(&proto.PlanPut{Plan: p, From: p.Revision, Hold: []proto.Reservation{w.keep(other, "c", 80)}})
	b.Plan.ID = "p2" // its hold is named for another plan
	w.want(proto.ResultInvalid, b)
}

func TestPlansThatCanNotBeAreRefused(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	hold := proto.PlanHold("p", 0, "target")
	for name, c := range map[string]struct {
		code   proto.ResultCode
		change func(*proto.PlanPut)
	}{
		"kind":               {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.Kind = "other" }},
		"identifier":         {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.ID = "p/0" }},
		"drain without host": {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.Kind = proto.PlanDrain }},
		"running at once":    {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.Status = proto.PlanRunning }},
		"ended":              {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.Status, b.Plan.Moves[0].Holds, b.Hold = proto.PlanDone, nil, nil }},
		"kept holds":         {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.Status = proto.PlanKept }},
		"what-if holds":      {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.WhatIf = &proto.WhatIf{Add: 1, Like: "a"} }},
		"what-if scheduled": {proto.ResultInvalid, func(b *proto.PlanPut) {
			b.Plan.WhatIf, b.Plan.Moves[0].Holds, b.Hold = &proto.WhatIf{Without: []string{"c"}}, nil, nil
		}},
		"what-if of nothing": {proto.ResultInvalid, func(b *proto.PlanPut) {
			b.Plan.WhatIf, b.Plan.Status, b.Plan.Moves[0].Holds, b.Hold = &proto.WhatIf{Add: 1}, proto.PlanKept, nil, nil
		}},
		"replaces nothing": {proto.ResultNotFound, func(b *proto.PlanPut) { b.From = 1 }},
		"after itself":     {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.Moves[0].After = []int{0} }},
		"hold of nothing":  {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.Moves[0].Holds = nil }},
		"hold that stays":  {proto.ResultInvalid, func(b *proto.PlanPut) { b.Hold[0].Until = 0 }},
		"hold of instance": {proto.ResultInvalid, func(b *proto.PlanPut) { b.Hold[0].Purpose = proto.PurposeInstance }},
		"hold twice":       {proto.ResultInvalid, func(b *proto.PlanPut) { b.Hold = append(b.Hold, b.Hold[0]) }},
		"hold too large":   {proto.ResultRefused, func(b *proto.PlanPut) { b.Hold[0].Envelope = open(96) }},
		"window":           {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.Windows = []proto.MoveWindow{{From: 1500}} }},
		"nameless move":    {proto.ResultInvalid, func(b *proto.PlanPut) { b.Plan.Moves[0].Target = "" }},
		"too many moves":   {proto.ResultRefused, func(b *proto.PlanPut) { b.Plan.Moves = make([]proto.Move, proto.MaxMoves+1) }},
	} {
		b := &proto.PlanPut{
			Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanMigrate, Status: proto.PlanScheduled, Moves: []proto.Move{w.move("i", "b", hold)}},
			Hold: []proto.Reservation{w.keep(hold, "b", 70)},
		}
		c.change(b)
		if r := w.do(b); r.Code != c.code {
			t.Errorf("%s: %s: %s", name, r.Code, r.Message)
		}
	}
	for range w.s.View().Plans() {
		t.Error("one of them is there")
	}
}

func TestAWhatIfIsNeverCarriedOut(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	m := w.move("i", "a+1")
	w.must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanMigrate, Status: proto.PlanKept, Moves: []proto.Move{m}, WhatIf: &proto.WhatIf{Add: 1, Like: "a"}}})
	w.want(proto.ResultRefused, &proto.PlanChange{ID: "p", From: proto.PlanKept, To: proto.PlanQueued})
	w.want(proto.ResultRefused, w.beginOf("p", 0, "m", 60))
	p := w.stored("p")
	p.WhatIf = nil
	w.want(proto.ResultInvalid, &proto.PlanPut{Plan: p, From: p.Revision})
	w.must(&proto.PlanChange{ID: "p", From: proto.PlanKept, To: proto.PlanCancelled})
}

func TestThePlansThatAreKeptAreBounded(t *testing.T) {
	w := newWorld(t)
	put := func(id string, s proto.PlanStatus) proto.Result {
		w.now += 1000
		r, _ := w.s.Apply(w.command(&proto.PlanPut{Plan: proto.StoredPlan{ID: id, Kind: proto.PlanMigrate, Status: s}}))
		return r
	}
	for n := range proto.MaxPlansEnded + 5 {
		if r := put(fmt.Sprintf("k%d", n), proto.PlanKept); !r.OK() {
			t.Fatal(r.Message)
		}
	}
	for n := range proto.MaxPlans {
		if r := put(fmt.Sprintf("q%d", n), proto.PlanQueued); !r.OK() {
			t.Fatal(r.Message)
		}
	}
	w.must(&proto.Tick{}) // the tables are checked
	if _, there := w.s.View().Plan("k4"); there {
		t.Error("one of the oldest is there")
	}
	if _, there := w.s.View().Plan("k5"); !there {
		t.Error("one that there is room for is gone")
	}
	if r := put("more", proto.PlanQueued); r.Code != proto.ResultRefused || !strings.Contains(r.Message, "cancel one") {
		t.Errorf("%+v", r)
	}
	w.want(proto.ResultRefused, &proto.PlanChange{ID: "k9", From: proto.PlanKept, To: proto.PlanQueued})
	w.must(&proto.PlanChange{ID: "q0", From: proto.PlanQueued, To: proto.PlanCancelled})
	if r := put("more", proto.PlanQueued); !r.OK() {
		t.Error(r.Message)
	}
}

func TestTheBytesOfAllPlansAreBounded(t *testing.T) {
	w := newWorld(t)
	says := []string{strings.Repeat("x", proto.MaxCommand-1000)}
	put := func(id string, s proto.PlanStatus, from uint64) proto.Result {
		w.now += 1000
		r, _ := w.s.Apply(w.command(&proto.PlanPut{Plan: proto.StoredPlan{ID: id, Kind: proto.PlanMigrate, Status: s, Says: says}, From: from}))
		return r
	}
	there := func() (n, size int) {
		for p := range w.s.View().Plans() {
			n++
			size += p.Size
		}
		return n, size
	}
	const most = proto.MaxPlansSize / proto.MaxCommand
	for n := range most + 8 { // of what only is kept the oldest go
		if r := put(fmt.Sprintf("k%d", n), proto.PlanKept, 0); !r.OK() {
			t.Fatal(r.Message)
		}
	}
	if n, size := there(); n != most || size > proto.MaxPlansSize {
		t.Errorf("%d plans with %d bytes", n, size)
	}
	if _, there := w.s.View().Plan("k7"); there {
		t.Error("one of the oldest is there")
	}
	for n := range most { // what goes on takes their place
		if r := put(fmt.Sprintf("q%d", n), proto.PlanQueued, 0); !r.OK() {
			t.Fatal(r.Message)
		}
	}
	if n, size := there(); n != most || size > proto.MaxPlansSize {
		t.Errorf("%d plans with %d bytes", n, size)
	}
	w.must(&proto.Tick{}) // the tables are checked
	for _, s := range []proto.PlanStatus{proto.PlanQueued, proto.PlanKept} {
		if r := put("more", s, 0); r.Code != proto.ResultRefused || !strings.Contains(r.Message, "together they may have 33554432; cancel one") {
			t.Errorf("%s: %+v", s, r)
		}
	}
	if r := put("q0", proto.PlanQueued, 1); !r.OK() { // it takes its own place
		t.Error(r.Message)
	}
	w.must(&proto.PlanChange{ID: "q1", From: proto.PlanQueued, To: proto.PlanCancelled})
	if r := put("more", proto.PlanQueued, 0); !r.OK() {
		t.Error(r.Message)
	}
	if n, size := there(); n != most || size > proto.MaxPlansSize {
		t.Errorf("%d plans with %d bytes", n, size)
	}
}

// beginOf begins a move of a plan with n of everything on its target.
func (w *world) beginOf(plan string, move int, migration string, n int64) *proto.PlanBegin {
	p := w.stored(plan)
	m := p.Moves[min(move, len(p.Moves)-1)]
	return &proto.PlanBegin{ID: plan, Move: move, Start: *w.startOf(migration, m.Instance, m.Target, n)}
}

func TestAMoveBeginsOnceInTheRoomThatItHeld(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.scheduled("p", "i")
	w.want(proto.ResultInvalid, w.beginOf("p", 1, "m", 75))
	w.want(proto.ResultNotFound, &proto.PlanBegin{ID: "q"})
	w.want(proto.ResultRefused, w.beginOf("p", 0, "m", 81)) // more than its type
	b := w.beginOf("p", 0, "m", 75)
	w.must(b)
	p, m := w.stored("p"), w.migration("m")
	if p.Status != proto.PlanRunning || p.Moves[0].Migration != "m" || len(p.Moves[0].Holds) != 0 || m.Plan.Stored != "p" {
		t.Fatalf("%+v %+v", p, m)
	}
	if _, held := w.s.View().Reservation(proto.PlanHold("p", 0, "target")); held {
		t.Fatal("the room is held twice")
	}
	b.Start.ID = "m2"
	w.want(proto.ResultConflict, b)
	w.want(proto.ResultRefused, &proto.PlanChange{ID: "p", From: proto.PlanRunning, To: proto.PlanDone})
	w.must(&proto.MigrationAbort{Migration: "m", Fence: w.fence("i"), Reason: "no"})
	w.must(&proto.MigrationEnd{Migration: "m", Outcome: proto.OutcomeAborted})
	p = w.stored("p")
	if p.Moves[0].Outcome != proto.OutcomeAborted || p.Status != proto.PlanRunning {
		t.Fatalf("%+v", p)
	}
	// It is tried again by another move. The one that ended stays as it is.
	retry := p
	retry.Moves = []proto.Move{w.move("i", "b"), w.move("i", "b")}
	w.must(&proto.PlanPut{Plan: retry, From: p.Revision})
	if m := w.stored("p").Moves[0]; m.Migration != "m" || m.Outcome != proto.OutcomeAborted {
		t.Fatalf("%+v", m)
	}
	retry.Moves = nil
	w.want(proto.ResultStale, &proto.PlanPut{Plan: retry, From: w.stored("p").Revision})
	w.must(w.beginOf("p", 1, "m2", 75))
	w.finish("m2", "i")
	if m := w.stored("p").Moves[1]; m.Outcome != proto.OutcomeCompleted {
		t.Fatalf("%+v", m)
	}
	w.must(&proto.PlanChange{ID: "p", From: proto.PlanRunning, To: proto.PlanDone})
}

// finish takes a migration from its start to its end.
func (w *world) finish(id, instance string) {
	w.t.Helper()
	w.serve(id, instance)
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.must(&proto.MigrationComplete{Migration: id, Fence: w.fence(instance)})
}

// serve takes a migration from its start to where its target serves.
func (w *world) serve(id, instance string) {
	w.t.Helper()
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhasePrepare, To: proto.PhaseCopy})
	f := w.must(&proto.MigrationFreeze{Migration: id, Fence: w.fence(instance)}).Fence
	f = w.must(&proto.MigrationCommit{Migration: id, Fence: f}).Fence
	w.must(&proto.MigrationConfirm{Migration: id, Fence: f, Until: w.now + 600_000})
}

func TestAMoveDoesNotBeginWhenThingsHaveChanged(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	p := proto.StoredPlan{ID: "p", Kind: proto.PlanMigrate, Status: proto.PlanScheduled, Moves: []proto.Move{w.move("i", "b")}}
	w.must(&proto.PlanPut{Plan: p})
	b := w.beginOf("p", 0, "m", 60)
	b.Start.Plan.Target = "c"
	w.want(proto.ResultStale, b)
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{w.keep("sold", "b", 50)}})
	if r := w.want(proto.ResultRefused, w.beginOf("p", 0, "m", 60)); r.Shortfall == nil || r.Shortfall.Host != "b" {
		t.Fatalf("%+v", r)
	}
	w.must(&proto.PlanChange{ID: "p", From: proto.PlanScheduled, To: proto.PlanPaused})
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Release: []string{"sold"}})
	w.want(proto.ResultRefused, w.beginOf("p", 0, "m", 60))
	w.must(&proto.PlanChange{ID: "p", From: proto.PlanPaused, To: proto.PlanQueued})
	b = w.beginOf("p", 0, "m", 60)
	b.Start.Plan.Fence++
	w.want(proto.ResultStale, b)
	w.must(w.beginOf("p", 0, "m", 60))
}

func TestAMoveWaitsForThoseBeforeItToLeave(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 10)
	w.adopt("j", "b", 10)
	second := w.move("j", "c")
	second.After = []int{0}
	w.must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanRebalance, Status: proto.PlanQueued, Moves: []proto.Move{w.move("i", "c"), second}}})
	w.want(proto.ResultRefused, w.beginOf("p", 1, "n", 10))
	w.must(w.beginOf("p", 0, "m", 10))
	w.want(proto.ResultRefused, w.beginOf("p", 1, "n", 10))
	w.serve("m", "i")
	w.must(w.beginOf("p", 1, "n", 10))
}

// TestMigrationsOnProbationDoNotHoldUpPlans holds the bound on what transfers, of a plan, and the one on all that goes on, of a start by itself.
func TestMigrationsOnProbationDoNotHoldUpPlans(t *testing.T) {
	w := newWorld(t)
	policy := proto.DefaultPolicy()
	policy.MovesHost, policy.MovesFleet = 1, 1
	w.must(&proto.PolicyPut{Policy: policy})
	var moves []proto.Move
	for _, name := range []string{"i", "j", "k"} {
		w.adopt(name, "a", 5)
		moves = append(moves, w.move(name, "b"))
	}
	w.must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanDrain, Host: "a", Status: proto.PlanQueued, Moves: moves}})
	w.must(w.beginOf("p", 0, "m0", 5))
	w.want(proto.ResultRefused, w.beginOf("p", 1, "m1", 5))
	w.serve("m0", "i")
	w.want(proto.ResultRefused, w.beginOf("p", 1, "m1", 5)) // it gets warm
	w.must(&proto.MigrationAdvance{Migration: "m0", From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.want(proto.ResultRefused, w.startOf("m1", "j", "b", 5))
	w.must(w.beginOf("p", 1, "m1", 5))
}

func TestTransfersOverOneSegmentAreBounded(t *testing.T) {
	w := newWorld(t)
	policy := proto.DefaultPolicy()
	policy.MovesLink = 1
	w.must(&proto.PolicyPut{Policy: policy})
	for host, segment := range map[string]string{"a": "lan", "b": "lan", "c": "lan"} {
		f := facts(host, 100)
		f.Segment = segment
		w.must(&proto.HostRegister{Facts: f, Incarnation: 1})
	}
	w.adopt("i", "a", 5)
	w.adopt("j", "b", 5)
	w.must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanRebalance, Status: proto.PlanQueued, Moves: []proto.Move{w.move("i", "b"), w.move("j", "c")}}})
	w.must(w.beginOf("p", 0, "m0", 5))
	if r := w.want(proto.ResultRefused, w.beginOf("p", 1, "m1", 5)); !strings.Contains(r.Message, "segment") {
		t.Fatal(r.Message)
	}
	w.finish("m0", "i")
	w.must(w.beginOf("p", 1, "m1", 5))
}

func TestAMoveBeginsInTheRoomThatOthersYield(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.adoptAs("low", "b", proto.BestEffort, 40)
	w.must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanMigrate, Status: proto.PlanQueued, Moves: []proto.Move{w.move("i", "b")}}})
	b := w.beginOf("p", 0, "m", 70)
	b.Start.Reservation.Envelope = ledger.PutOff(b.Start.Reservation.Envelope, w.now.Add(proto.MemoryGiveBack))
	w.want(proto.ResultRefused, b)
	b.Yield = []proto.Yield{{ID: "low@b", From: 1, Envelope: open(25), For: "m/target", Why: "15 of everything"}}
	w.must(b)
	if r, _ := w.s.View().Reservation("low@b"); r.Squeezed == nil || r.Squeezed.For != "m/target" || r.Envelope[0].Firm[0] != 25 {
		t.Fatalf("%+v", r)
	}
}

func TestWindowsOfMovesAreTimes(t *testing.T) {
	for _, c := range []struct {
		w    proto.MoveWindow
		want bool
	}{
		{proto.MoveWindow{From: 60, To: 360}, true}, {proto.MoveWindow{From: 1380, To: 120, Forbid: true}, true}, {proto.MoveWindow{}, true},
		{proto.MoveWindow{Span: timeline.Span{Start: 1, End: 2}}, true}, {proto.MoveWindow{Span: timeline.Span{Start: 2, End: 1}}, false},
		{proto.MoveWindow{Span: timeline.Span{Start: 1, End: 2}, To: 5}, false}, {proto.MoveWindow{From: -1}, false}, {proto.MoveWindow{To: 1441}, false},
	} {
		if err := c.w.Valid(); (err == nil) != c.want {
			t.Errorf("%+v: %v", c.w, err)
		}
	}
}
