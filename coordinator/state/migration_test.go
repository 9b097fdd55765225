package state

import (
	"fmt"
	"slices"
	"testing"

	"github.com/glidepath/glidepath/proto"
)

func TestAMigrationFromStartToCompleted(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	adopted := w.fence("i")
	w.settled("m", "i", "b", 70)
	i := w.instance("i")
	if i.Owner != "b" || i.Spec.Type != "large" || i.State != proto.InstanceRunning || i.Fence != adopted+2 {
		t.Fatalf("%+v", i)
	}
	slot, ok := w.s.View().ReservationOf("i", "a")
	if !ok || slot.Purpose != proto.PurposeMigration || slot.Until != w.now+600_000 {
		t.Fatalf("the source's slot: %+v", slot)
	}
	w.want(proto.ResultRefused, &proto.MigrationAbort{Migration: "m", Fence: i.Fence})
	w.want(proto.ResultStale, &proto.MigrationComplete{Migration: "m", Fence: i.Fence - 1})
	w.must(&proto.MigrationComplete{Migration: "m", Fence: i.Fence})
	if _, left := w.s.View().ReservationOf("i", "a"); left {
		t.Fatal("the source's reservation is left")
	}
	if m := w.migration("m"); m.Active() || m.Outcome != proto.OutcomeCompleted {
		t.Fatalf("%s %s", m.Phase, m.Outcome)
	}
	w.want(proto.ResultStale, &proto.MigrationComplete{Migration: "m", Fence: i.Fence})
	// And on from there.
	w.settled("n", "i", "c", 60)
	w.must(&proto.MigrationComplete{Migration: "n", Fence: w.instance("i").Fence})
	w.must(&proto.MigrationPrune{Before: w.now + 1})
	if _, there := w.s.View().Migration("m"); there {
		t.Fatal("a migration that ended long ago is left")
	}
}

func TestAnInstanceThatIsAdoptedAgainIsUnderANewerFenceThanEver(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	for _, target := range []string{"b", "a", "b"} {
		id := fmt.Sprintf("m%d", w.next)
		w.settled(id, "i", target, 70)
		w.must(&proto.MigrationComplete{Migration: id, Fence: w.fence("i")})
	}
	last := w.fence("i")
	w.must(&proto.InstanceRelease{Instance: "i"})
	w.must(&proto.InstanceRemove{Instance: "i", Fence: last})
	w.adopt("i", "b", 40)
	if got := w.fence("i"); got <= last {
		t.Fatalf("adopted again under fence %d: its hosts have seen %d", got, last)
	}
}

func TestOfCommitAndAbortTheFirstWins(t *testing.T) {
	for _, commitFirst := range []bool{true, false} {
		w := newWorld(t)
		w.adopt("i", "a", 40)
		w.copying("m", "i", "b", 70)
		f := w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")}).Fence
		commit, abort := &proto.MigrationCommit{Migration: "m", Fence: f}, &proto.MigrationAbort{Migration: "m", Fence: f, Reason: "test"}
		if commitFirst {
			w.must(commit)
			if r := w.want(proto.ResultStale, abort); r.Fence != f+1 {
				t.Fatalf("the loser learns fence %d, want %d", r.Fence, f+1)
			}
			if i := w.instance("i"); i.Owner != "b" || i.State != proto.InstanceStarting {
				t.Fatalf("%s on %s", i.State, i.Owner)
			}
			// With the fence that holds it can still be aborted, before it is confirmed: and then not be confirmed.
			w.must(&proto.MigrationAbort{Migration: "m", Fence: f + 1})
			w.want(proto.ResultStale, &proto.MigrationConfirm{Migration: "m", Fence: f + 1, Until: w.now + 1})
		} else {
			w.must(abort)
			w.want(proto.ResultStale, commit)
		}
		i := w.instance("i")
		if i.Owner != "a" || i.State != proto.InstanceThawing || i.Spec.Type != "small" {
			t.Fatalf("%s on %s, type %s", i.State, i.Owner, i.Spec.Type)
		}
		end := &proto.MigrationEnd{Migration: "m", Outcome: proto.OutcomeAborted}
		w.want(proto.ResultStale, end)
		w.must(&proto.MigrationThaw{Migration: "m", Fence: i.Fence})
		w.must(end)
		if _, left := w.s.View().ReservationOf("i", "b"); left {
			t.Fatal("the target's reservation is left")
		}
		if m := w.migration("m"); m.Outcome != proto.OutcomeAborted {
			t.Fatal(m.Outcome)
		}
		w.copying("again", "i", "b", 70)
	}
}

func TestAnAbortDuringCopyLeavesTheSourceRunning(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.copying("m", "i", "b", 70)
	before := w.fence("i")
	f := w.must(&proto.MigrationAbort{Migration: "m", Fence: before}).Fence
	if i := w.instance("i"); i.State != proto.InstanceRunning || f != before+1 {
		t.Fatalf("%s under %d", i.State, f)
	}
	w.want(proto.ResultStale, &proto.MigrationFreeze{Migration: "m", Fence: before})
	w.want(proto.ResultStale, &proto.MigrationFreeze{Migration: "m", Fence: f})
	w.must(&proto.MigrationEnd{Migration: "m", Outcome: proto.OutcomeFailed, Reason: "the target is gone"})
}

func TestAStalePlanIsRefused(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.adopt("j", "c", 40)
	one, two := w.startOf("m", "i", "b", 60), w.startOf("n", "j", "b", 60)
	before := export(t, w.s.View())
	w.must(one)
	r := w.want(proto.ResultRefused, two) // each fitted when it was planned
	if r.Shortfall == nil || r.Shortfall.Host != "b" || r.Shortfall.Missing != 25 {
		t.Fatalf("%+v", r.Shortfall)
	}
	if w.instance("j").Migration != "" || len(before) == 0 {
		t.Fatal("a refused start left something behind")
	}
	w.want(proto.ResultConflict, w.startOf("o", "i", "c", 10))
	late := w.startOf("p", "j", "a", 10)
	late.Plan.Fence++
	w.want(proto.ResultStale, late)
	for name, change := range map[string]func(*proto.MigrationStart){
		"target is source":    func(b *proto.MigrationStart) { b.Plan.Target = "c" },
		"cordoned":            func(*proto.MigrationStart) { w.must(&proto.HostSet{Host: "a", Cordoned: true}) },
		"unknown target":      func(b *proto.MigrationStart) { b.Plan.Target = "z" },
		"unknown type":        func(b *proto.MigrationStart) { b.Plan.ToType = "z" },
		"above the type":      func(b *proto.MigrationStart) { b.Plan.ToType = "small"; b.Reservation.Envelope = open(51) },
		"never lapses":        func(b *proto.MigrationStart) { b.Reservation.Until = 0 },
		"the envelope ends":   func(b *proto.MigrationStart) { b.Reservation.Envelope[0].End = w.now + 1000 },
		"extra on the wrong":  func(b *proto.MigrationStart) { b.Extra = []proto.Reservation{{ID: "x", Host: "b"}} },
		"known migration":     func(b *proto.MigrationStart) { b.ID = "m" },
		"known reservation":   func(b *proto.MigrationStart) { b.Reservation.ID = "j@c" },
		"other source's type": func(b *proto.MigrationStart) { b.Plan.FromType = "large" },
	} {
		b := w.startOf("q", "j", "a", 10)
		change(b)
		if r := w.do(b); r.OK() {
			t.Errorf("%s: accepted", name)
		}
		w.must(&proto.HostSet{Host: "a"})
	}
	w.must(w.startOf("q", "j", "a", 10))
}

func TestNothingIsOperatedUntilAgentsHaveReported(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.copying("m", "i", "b", 60)
	w.must(&proto.IncarnationRaise{From: 1, Reason: "restored"})
	w.want(proto.ResultStale, &proto.IncarnationRaise{From: 1})
	w.want(proto.ResultRefused, &proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")})
	w.want(proto.ResultInvalid, &proto.HostRegister{Facts: facts("a", 100), Incarnation: 3})
	for _, h := range []string{"a", "b"} {
		w.must(&proto.HostRegister{Facts: facts(h, 100), Incarnation: 2})
	}
	w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")})
}

func returning(w *world) *proto.MigrationReturn {
	p := w.plan("i", "a")
	p.ToType = "small"
	return &proto.MigrationReturn{ID: "back", Returns: "m", Fence: w.instance("i").Fence, Plan: p, Reason: "slow"}
}

func TestAReturnGoesBackIntoTheSlotThatWasKept(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.settled("m", "i", "b", 70)
	w.want(proto.ResultRefused, &proto.InstanceApply{Spec: spec("thief", "a"), Envelope: open(60)}) // the slot is kept
	f := w.must(returning(w)).Fence
	w.want(proto.ResultConflict, &proto.MigrationComplete{Migration: "m", Fence: f})
	w.must(&proto.MigrationAdvance{Migration: "back", From: proto.PhasePrepare, To: proto.PhaseCopy})
	f = w.must(&proto.MigrationFreeze{Migration: "back", Fence: f}).Fence
	f = w.must(&proto.MigrationCommit{Migration: "back", Fence: f}).Fence
	w.must(&proto.MigrationConfirm{Migration: "back", Fence: f, Until: w.now + 1000})
	w.must(&proto.MigrationAdvance{Migration: "back", From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.must(&proto.MigrationComplete{Migration: "back", Fence: f})
	if m, b := w.migration("m"), w.migration("back"); m.Outcome != proto.OutcomeReturned || b.Outcome != proto.OutcomeCompleted {
		t.Fatalf("%s, %s", m.Outcome, b.Outcome)
	}
	i := w.instance("i")
	if i.Owner != "a" || i.Spec.Type != "small" || i.Migration != "" {
		t.Fatalf("%+v", i)
	}
	if _, left := w.s.View().ReservationOf("i", "b"); left {
		t.Fatal("the reservation on b is left")
	}
}

func TestAReturnThatIsAbortedLeavesTheMigrationAsItWas(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.settled("m", "i", "b", 70)
	f := w.must(returning(w)).Fence
	f = w.must(&proto.MigrationAbort{Migration: "back", Fence: f}).Fence
	w.must(&proto.MigrationEnd{Migration: "back", Outcome: proto.OutcomeAborted})
	if m := w.migration("m"); m.Phase != proto.PhaseSettle || m.Returning != "" {
		t.Fatalf("%s, returned by %q", m.Phase, m.Returning)
	}
	w.must(&proto.MigrationComplete{Migration: "m", Fence: f})
}

func TestLossIsAcceptedOnlyAfterConfirmedAndAlsoDuringAReturn(t *testing.T) {
	for _, during := range []bool{false, true} {
		w := newWorld(t)
		w.adopt("i", "a", 40)
		w.copying("m", "i", "b", 70)
		w.want(proto.ResultRefused, &proto.AcceptLoss{Migration: "m", Fence: w.fence("i")})
		f := w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")}).Fence
		f = w.must(&proto.MigrationCommit{Migration: "m", Fence: f}).Fence
		w.must(&proto.MigrationConfirm{Migration: "m", Fence: f, Until: w.now + 1000})
		if during {
			f = w.must(returning(w)).Fence
		}
		f = w.must(&proto.AcceptLoss{Migration: "m", Fence: f, Reason: "b burnt down"}).Fence
		w.must(&proto.MigrationThaw{Migration: "m", Fence: f})
		w.must(&proto.MigrationEnd{Migration: "m", Outcome: proto.OutcomeAborted})
		m := w.migration("m")
		if m.Outcome != proto.OutcomeReturned || !m.Loss {
			t.Fatalf("%s, loss %v", m.Outcome, m.Loss)
		}
		if i := w.instance("i"); i.Owner != "a" || i.Spec.Type != "small" || i.Migration != "" {
			t.Fatalf("%+v", i)
		}
		if during && w.migration("back").Outcome != proto.OutcomeFailed {
			t.Fatal("the way back is left")
		}
	}
}

func TestThereIsNoWayBackToASourceThatWasToldToPutItsDataAway(t *testing.T) {
	for _, by := range []string{"m", "back"} {
		w := newWorld(t)
		w.adopt("i", "a", 40)
		w.settled("m", "i", "b", 70)
		if by == "back" {
			w.must(returning(w))
		}
		f := w.fence("i")
		w.must(&proto.MigrationRecord{Migration: by, Operation: proto.OperationRecord{ID: "o", Kind: proto.OpRetire, Host: "a", Fence: f}})
		w.want(proto.ResultRefused, &proto.AcceptLoss{Migration: "m", Fence: f, Reason: "b burnt down"})
	}
}

func TestOperationsAreRecordedUnderTheFenceThatHolds(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.copying("m", "i", "b", 60)
	record := func(o proto.OperationRecord) *proto.MigrationRecord {
		return &proto.MigrationRecord{Migration: "m", Operation: o}
	}
	o := proto.OperationRecord{ID: "o1", Kind: proto.OpSyncRound, Host: "a", Fence: w.fence("i"), Round: 1}
	w.must(record(o))
	w.want(proto.ResultStale, record(proto.OperationRecord{ID: "o2", Kind: proto.OpFreeze, Host: "a", Fence: w.fence("i") + 6}))
	w.want(proto.ResultInvalid, record(proto.OperationRecord{ID: "o3", Kind: proto.OpFreeze, Host: "c", Fence: w.fence("i")}))
	w.now += 500
	o.Result = &proto.OperationResult{ID: "o1", Took: 400}
	w.must(record(o))
	w.must(record(o))
	if got, _ := w.migration("m").Operation("o1"); got.SentAt != start || got.EndedAt != start+500 {
		t.Fatalf("%+v", got)
	}
	o.Result = &proto.OperationResult{ID: "o1", Took: 401}
	w.want(proto.ResultConflict, record(o))
}

func TestAnEnvelopeHasOneAuthor(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	revise := func(a proto.Author, id string, n int64) *proto.ReservationChange {
		return &proto.ReservationChange{Author: a, Revise: []proto.Revision{{ID: id, Envelope: open(n)}}}
	}
	w.must(revise(proto.AuthorReplan, "i@a", 41))
	w.want(proto.ResultRefused, revise(proto.AuthorMigrate, "i@a", 42))
	w.want(proto.ResultRefused, revise(proto.AuthorReplan, "i@a", 51)) // the type has 50
	w.copying("m", "i", "b", 60)
	w.want(proto.ResultRefused, revise(proto.AuthorReplan, "i@a", 42))
	w.must(revise(proto.AuthorMigrate, "i@a", 42))
	w.must(revise(proto.AuthorMigrate, "m/target", 75))
	w.want(proto.ResultRefused, revise(proto.AuthorMigrate, "m/target", 81))
	extra := &proto.ReservationChange{Author: proto.AuthorMigrate, Hold: []proto.Reservation{{
		ID: "m/net", Host: "a", Migration: "m", Purpose: proto.PurposeMigration, Class: proto.Standard, Envelope: open(3), Until: w.now + 1000,
	}}}
	w.must(extra)
	f := w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")}).Fence
	f = w.must(&proto.MigrationCommit{Migration: "m", Fence: f}).Fence
	w.must(&proto.MigrationConfirm{Migration: "m", Fence: f, Until: w.now + 1000})
	w.must(&proto.MigrationAdvance{Migration: "m", From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.want(proto.ResultRefused, revise(proto.AuthorReplan, "m/target", 60))
	w.must(&proto.MigrationComplete{Migration: "m", Fence: f})
	w.want(proto.ResultRefused, revise(proto.AuthorMigrate, "m/target", 61))
	w.must(revise(proto.AuthorReplan, "m/target", 60))
	if _, left := w.s.View().Reservation("m/net"); left {
		t.Fatal("NothingLeaks: the transfer's reservation is left")
	}
	w.want(proto.ResultRefused, revise(proto.AuthorReplan, proto.SystemReservation("a"), 1))
	w.want(proto.ResultRefused, &proto.ReservationChange{Author: proto.AuthorOperator, Release: []string{"m/target"}})
}

func TestProbationEndsByAnOperatorsWordOnlyWhileItLasts(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.copying("m", "i", "b", 60)
	w.want(proto.ResultRefused, &proto.ProbationEnd{Migration: "m", Fence: w.fence("i")})
	f := w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")}).Fence
	f = w.must(&proto.MigrationCommit{Migration: "m", Fence: f}).Fence
	w.must(&proto.MigrationConfirm{Migration: "m", Fence: f, Until: w.now + 1000})
	w.want(proto.ResultStale, &proto.ProbationEnd{Migration: "m", Fence: f - 1})
	if w.migration("m").Satisfied() {
		t.Fatal("what was refused is on record")
	}
	end := &proto.ProbationEnd{Migration: "m", Fence: f, Reason: "all is well"}
	w.must(end)
	w.must(end) // again: it is on record once
	m := w.migration("m")
	if d := m.Decisions; !m.Satisfied() || len(d) != 4 || d[3].Kind != proto.DecideComplete || d[3].Reason != "all is well" || d[3].Fence != f {
		t.Fatalf("%+v", d)
	}
	w.must(&proto.MigrationAdvance{Migration: "m", From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.must(&proto.MigrationComplete{Migration: "m", Fence: f})
	w.want(proto.ResultStale, end)
}

func TestHoldsEndByThemselvesAndPromisesToInstancesDoNot(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.copying("m", "i", "b", 60)
	hold := proto.Reservation{ID: "h", Host: "c", Purpose: proto.PurposeHold, Class: proto.Standard, Envelope: open(50)}
	w.want(proto.ResultInvalid, &proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{hold}})
	hold.Until = w.now + 60_000
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{hold}})
	w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Revise: []proto.Revision{{ID: "h", Until: w.now + 90_000, From: 1}}})
	w.want(proto.ResultStale, &proto.ReservationChange{Author: proto.AuthorOperator, Revise: []proto.Revision{{ID: "h", Until: w.now + 91_000, From: 1}}})
	w.now += 60_000
	w.must(&proto.Tick{})
	if _, there := w.s.View().Reservation("h"); !there {
		t.Fatal("it lapsed although it was extended")
	}
	w.now += 24 * 3_600_000
	r, changes := w.send(w.command(&proto.Tick{}))
	if !r.OK() || len(changes) != 1 || changes[0] != (Change{proto.TableReservations, "h"}) {
		t.Fatalf("%v %v", r, changes)
	}
	if _, there := w.s.View().Reservation("m/target"); !there {
		t.Fatal("a migration lost its reservation by the clock")
	}
}

func TestAnInstanceThatDoesNotFitIsObservedOnly(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 50)
	s := spec("j", "a")
	w.want(proto.ResultRefused, &proto.InstanceApply{Spec: s, Envelope: open(46)})
	s.Mode = proto.Observe
	w.must(&proto.InstanceApply{Spec: s, Envelope: open(46)})
	w.want(proto.ResultRefused, &proto.InstanceMode{Instance: "j", Mode: proto.Enforce})
	w.must(&proto.ReservationChange{Author: proto.AuthorReplan, Revise: []proto.Revision{{ID: "i@a", Envelope: open(49)}}})
	w.must(&proto.InstanceMode{Instance: "j", Mode: proto.Enforce})
	if r, _ := w.s.View().Reservation("j@a"); r.Forced {
		t.Fatal("what is enforced is a promise")
	}
	w.must(&proto.InstanceMode{Instance: "j", Mode: proto.Observe})
	taken := spec("k", "a")
	taken.Service = &proto.ServiceSpec{Unit: "i.service"}
	taken.Mode = proto.Observe
	w.want(proto.ResultConflict, &proto.InstanceApply{Spec: taken, Envelope: open(1)})
}

func TestEveryAddressBelongsToOneInstance(t *testing.T) {
	w := newWorld(t)
	apply := func(name, address string, more ...string) *proto.InstanceApply {
		s := spec(name, "a")
		s.Service = &proto.ServiceSpec{Unit: name + ".service"}
		s.Address, s.Addresses = address, more
		return &proto.InstanceApply{Spec: s, Envelope: open(1)}
	}
	w.must(apply("one", "10.0.0.1/24", "10.0.0.2/24", "fd00::1/64"))
	w.want(proto.ResultConflict, apply("two", "10.0.0.2/24"))
	w.want(proto.ResultConflict, apply("two", "10.0.0.3/24", "10.0.0.1/16"))
	w.want(proto.ResultConflict, apply("two", "", "10.0.0.4/24", "fd00:0::1/48"))
	w.want(proto.ResultInvalid, apply("two", "", make([]string, proto.MaxAddresses+1)...))
	w.must(apply("two", "", "10.0.0.3/24", "10.0.0.4/24"))
	for _, v := range Check(w.s.View()) {
		t.Error(v)
	}
	// Whoever writes the same list another way changes nothing of it.
	w.must(apply("two", "10.0.0.3/24", "10.0.0.4/24"))
}

func TestAnInstanceChangesOnlyWhatCanChangeWhereItIs(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	s := spec("i", "a")
	s.Health.TCP = 6379
	w.must(&proto.InstanceApply{Spec: s})
	if _, changes := w.send(w.command(&proto.InstanceApply{Spec: s})); len(changes) != 0 {
		t.Fatalf("the same spec again changed %v", changes)
	}
	s.Hooks.OnAbort = []proto.Hook{{Exec: []string{"/etc/glidepath/hooks/dns"}}}
	w.must(&proto.InstanceApply{Spec: s})
	if got := w.instance("i").Spec.Hooks; len(got.OnAbort) != 1 {
		t.Fatalf("its hooks are %+v", got)
	}
	bad := s
	bad.Hooks.OnAbort = []proto.Hook{{Exec: []string{"/etc/glidepath/hooks/dns", "a\nb"}}}
	w.want(proto.ResultInvalid, &proto.InstanceApply{Spec: bad})
	for name, change := range map[string]func(*proto.InstanceSpec){
		"host":    func(s *proto.InstanceSpec) { s.Host = "b" },
		"type":    func(s *proto.InstanceSpec) { s.Type = "large" },
		"unit":    func(s *proto.InstanceSpec) { s.Service = &proto.ServiceSpec{Unit: "other.service"} },
		"address": func(s *proto.InstanceSpec) { s.Address = "10.0.0.9/24" },
		"another": func(s *proto.InstanceSpec) { s.Addresses = []string{"10.0.0.9/24"} },
	} {
		s := spec("i", "a")
		change(&s)
		if r := w.do(&proto.InstanceApply{Spec: s}); r.Code != proto.ResultRefused {
			t.Errorf("%s: %s %s", name, r.Code, r.Message)
		}
	}
	w.must(&proto.InstanceRelease{Instance: "i"})
	w.want(proto.ResultRefused, w.startOf("m", "i", "b", 10))
	w.must(&proto.InstanceRemove{Instance: "i", Fence: w.fence("i"), Fault: &proto.Fault{What: "unit is masked"}})
	if w.instance("i").Fault == nil {
		t.Fatal("why the release failed is lost")
	}
	w.must(&proto.InstanceRemove{Instance: "i", Fence: w.fence("i")})
	if got := w.s.View().ReservationsOn("a"); len(got) != 1 {
		t.Fatalf("left on a: %v", got)
	}
}

func TestEndedMigrationsComeTheLastOneFirst(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	for n, target := range []string{"b", "a", "b", "a"} {
		id := fmt.Sprintf("m%d", 9-n)
		w.settled(id, "i", target, 70)
		w.must(&proto.MigrationComplete{Migration: id, Fence: w.fence("i")})
		if n != 1 { // the second and the third end at once
			w.now += 1000
		}
	}
	w.settled("m5", "i", "b", 70)
	ids := func() []string {
		var out []string
		for m := range w.s.View().EndedMigrations() {
			out = append(out, m.ID)
		}
		return out
	}
	if got, want := ids(), []string{"m6", "m8", "m7", "m9"}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	w.adopt("j", "a", 20)
	w.settled("mj", "j", "b", 20)
	w.must(&proto.MigrationComplete{Migration: "mj", Fence: w.fence("j")})
	of := func(instance string) string {
		out := ""
		for m := range w.s.View().EndedMigrationsOf(instance) {
			out += m.ID + " "
		}
		return out
	}
	if got := of("i") + "/" + of("j"); got != "m6 m8 m7 m9 /mj " {
		t.Fatalf("by instance: %s", got)
	}
	w.now += 1000
	m, _ := w.s.View().Migration("m6")
	w.must(&proto.MigrationPrune{Before: m.EndedAt})
	if got, want := ids(), []string{"mj", "m6"}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}
