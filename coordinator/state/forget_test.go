package state

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// dead is the word that a host died for good, by somebody who has looked.
func (w *world) dead(host string) *proto.HostForget {
	return &proto.HostForget{Host: host, Dead: true, Lost: w.s.View().Forgetting(host).Names(), Reason: "burnt down"}
}

func TestADeadHostIsForgottenWithWhatItOwned(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 10)
	before := w.fence("i")
	f := w.s.View().Forgetting("a")
	if len(f.Holds) != 1 || !strings.Contains(f.Holds[0], "instance i") || len(f.Undecided) > 0 {
		t.Errorf("%+v", f)
	}
	w.want(proto.ResultConflict, &proto.HostForget{Host: "a", Dead: true}) // whoever decides has not seen what it means
	w.must(w.dead("a"))
	if _, there := w.s.View().Instance("i"); there || len(w.s.View().ReservationsOn("a")) > 0 {
		t.Error("something is left of the host")
	}
	w.adopt("i", "b", 10) // from a backup, say
	if now := w.fence("i"); now <= before {
		t.Errorf("it is under fence %d, and the dead host has seen %d", now, before)
	}
}

func TestWhatCanBeDecidedBetterIsDecidedBeforeAHostIsForgottenAsDead(t *testing.T) {
	for name, c := range map[string]struct {
		begin func(w *world)
		dead  string
		says  string
	}{
		"its target, while it is copied": {func(w *world) { w.copying("m", "i", "b", 70) }, "b", "migration abort m"},
		"its source, while it is copied": {func(w *world) { w.copying("m", "i", "b", 70) }, "a", "migration abort m"},
		"its target, which serves":       {func(w *world) { w.settled("m", "i", "b", 70) }, "b", "migration abort m --accept-loss"},
		"its target, before the source is back": {func(w *world) {
			w.copying("m", "i", "b", 70)
			f := w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")}).Fence
			w.must(&proto.MigrationAbort{Migration: "m", Fence: f})
		}, "b", "has not taken instance i back yet"},
		"the source of a way back that can go back to what was kept": {func(w *world) {
			w.settled("m", "i", "b", 70)
			f := w.must(returning(w)).Fence
			w.must(&proto.MigrationAbort{Migration: "back", Fence: f})
		}, "b", "migration abort m --accept-loss"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.adopt("i", "a", 40)
			c.begin(w)
			if r := w.want(proto.ResultRefused, w.dead(c.dead)); !strings.Contains(r.Message, c.says) {
				t.Errorf("it says %q, want %q", r.Message, c.says)
			}
		})
	}
}

func TestMigrationsThatADeadHostKeepsFromEndingEndWithIt(t *testing.T) {
	for name, c := range map[string]struct {
		begin func(w *world)
		dead  string
		owner string // of the instance afterwards; "" when it is lost
		ends  map[string]proto.Outcome
		clean string // host that is still to be cleaned
	}{
		"its target can't be cleaned": {func(w *world) {
			w.copying("m", "i", "b", 70)
			w.must(&proto.MigrationAbort{Migration: "m", Fence: w.fence("i")})
		}, "b", "a", map[string]proto.Outcome{"m": proto.OutcomeFailed}, ""},
		"its source keeps a slot": {func(w *world) { w.settled("m", "i", "b", 70) }, "a", "b", map[string]proto.Outcome{"m": proto.OutcomeCompleted}, ""},
		"its source was frozen": {func(w *world) {
			w.copying("m", "i", "b", 70)
			w.must(&proto.MigrationRecord{Migration: "m", Operation: proto.OperationRecord{ID: "o", Kind: proto.OpPrepareTarget, Host: "b", Fence: w.fence("i")}})
			f := w.must(&proto.MigrationFreeze{Migration: "m", Fence: w.fence("i")}).Fence
			w.must(&proto.MigrationAbort{Migration: "m", Fence: f})
		}, "a", "", map[string]proto.Outcome{"m": proto.OutcomeFailed}, "b"},
		"a way back that was given up": {func(w *world) {
			w.settled("m", "i", "b", 70)
			f := w.must(returning(w)).Fence
			w.must(&proto.MigrationAbort{Migration: "back", Fence: f})
		}, "a", "b", map[string]proto.Outcome{"m": proto.OutcomeCompleted, "back": proto.OutcomeFailed}, ""},
		"a way back to where nothing is kept any more": {func(w *world) {
			w.settled("m", "i", "b", 70)
			f := w.must(returning(w)).Fence
			w.must(&proto.MigrationRecord{Migration: "back", Operation: proto.OperationRecord{ID: "o", Kind: proto.OpRetire, Host: "a", Fence: f, Result: &proto.OperationResult{ID: "o"}}})
			w.must(&proto.MigrationAbort{Migration: "back", Fence: f})
		}, "b", "", map[string]proto.Outcome{"m": proto.OutcomeFailed, "back": proto.OutcomeFailed}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.adopt("i", "a", 40)
			c.begin(w)
			var ends []string
			for id := range c.ends {
				ends = append(ends, id)
			}
			slices.Sort(ends)
			if d := cmp.Diff(ends, w.s.View().Forgetting(c.dead).Ends); d != "" {
				t.Error(d)
			}
			w.must(w.dead(c.dead))
			for id, outcome := range c.ends {
				if m := w.migration(id); m.Outcome != outcome {
					t.Errorf("migration %s is %s: %s, want %s", id, m.Outcome, m.Reason, outcome)
				}
			}
			i, there := w.s.View().Instance("i")
			if there != (c.owner != "") || i.Owner != c.owner || i.Migration != "" {
				t.Errorf("the instance is there: %v, on %q, moved by %q", there, i.Owner, i.Migration)
			}
			m := w.migration("m")
			last := proto.OperationRecord{}
			if n := len(m.Operations); n > 0 {
				last = m.Operations[n-1]
			}
			if left := last.Kind == proto.OpCleanTarget && last.Host == c.clean; left != (c.clean != "") {
				t.Errorf("the last operation is %s on %s", last.Kind, last.Host)
			}
			for r := range w.s.View().Reservations() {
				if r.Purpose != proto.PurposeSystem && r.ID != i.Reservation {
					t.Errorf("reservation %s is left", r.ID)
				}
			}
			if there { // and it can move on
				w.copying("n", "i", "c", 50)
			}
		})
	}
}

func TestAHostThatWasTakenOutIsRefusedUntilItJoinsAgain(t *testing.T) {
	w := newWorld(t)
	register := func(key string) *proto.HostRegister {
		return &proto.HostRegister{Facts: facts("c", 100), Incarnation: 1, Identity: key}
	}
	w.must(register("first"))
	w.must(&proto.HostForget{Host: "c"})
	if r := w.want(proto.ResultRefused, register("first")); !strings.Contains(r.Message, "join again with a token") {
		t.Errorf("it says %q", r.Message)
	}
	w.must(register("second"))
	w.must(w.dead("c"))
	w.want(proto.ResultRefused, register("first"))
	w.want(proto.ResultRefused, register("second"))

	// One whose key was never known is refused by its name, until somebody joins under it.
	w.must(w.dead("b"))
	b := &proto.HostRegister{Facts: facts("b", 100), Incarnation: 1, Identity: "any"}
	w.want(proto.ResultRefused, b)
	w.must(&proto.TokenCreate{Token: proto.Token{ID: "t", Kind: proto.TokenJoin, Role: proto.RoleAgent, Hash: make([]byte, 32), ExpiresAt: w.now + 1000}})
	w.must(&proto.TokenUse{ID: "t", Role: proto.RoleAgent, Name: "b"})
	w.must(b)
	if gone := w.s.View().Fleet().RemovedHosts; len(gone) != 2 || gone[0].Identity != "first" || gone[0].Dead || !gone[1].Dead {
		t.Errorf("%+v", gone)
	}
	reimport(t, w.s)
}

func TestADecisionOnAHostThatWasMadeOnAnOlderOneIsStale(t *testing.T) {
	w := newWorld(t)
	h, _ := w.s.View().Host("a")
	w.must(&proto.HostSet{Host: "a", Cordoned: true, Revision: h.Revision})
	w.want(proto.ResultStale, &proto.HostSet{Host: "a", Override: resource.Uniform(50), Revision: h.Revision})
	now, _ := w.s.View().Host("a")
	if !now.Cordoned || now.Revision != h.Revision+1 {
		t.Errorf("%+v", now)
	}
	w.must(&proto.HostSet{Host: "a", Cordoned: true, Override: resource.Uniform(50), Revision: now.Revision})
}

func TestASourceThatCouldNotPutItsDataAwayCanBeGoneBackTo(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	w.settled("m", "i", "b", 70)
	f := w.fence("i")
	failed := &proto.OperationResult{ID: "o", Error: &proto.Fault{Code: proto.FaultFailed, What: "rename: input/output error"}}
	w.must(&proto.MigrationRecord{Migration: "m", Operation: proto.OperationRecord{ID: "o", Kind: proto.OpRetire, Host: "a", Fence: f, Result: failed}})
	w.must(&proto.AcceptLoss{Migration: "m", Fence: f, Reason: "b burnt down"})
}
