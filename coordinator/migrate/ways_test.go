package migrate

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// story runs a test against a fleet with an adopted instance.
func story(t *testing.T, tell func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.elect()
		f.adopt()
		tell(t, f)
		f.report(t, t.Name())
	})
}

// inPhase waits until a migration is in a phase.
func (f *fleet) inPhase(id string, p proto.Phase) {
	f.await(id+" is in "+string(p), time.Minute, func(v *state.View) bool {
		m, _ := v.Migration(id)
		return m.Phase == p
	})
}

// goBack begins the way back of a migration.
func (f *fleet) goBack(id, of string) {
	m := f.migration(of)
	i, _ := f.view().Instance("i")
	f.must(&proto.MigrationReturn{ID: id, Returns: of, Fence: i.Fence, Plan: f.plan(m.Source, m.FromType), Reason: "slow"})
}

func (f *fleet) outcome(t *testing.T, id string, want proto.Outcome) {
	t.Helper()
	if m := f.migration(id); m.Outcome != want {
		t.Errorf("migration %s ended %q: %s, want %q", id, m.Outcome, m.Reason, want)
	}
}

func TestThereAndBackAndOn(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		for n, to := range []struct{ host, size string }{{"b", "large"}, {"a", "small"}, {"b", "small"}, {"c", "large"}, {"a", "large"}} {
			id := "m" + string(rune('0'+n))
			f.move(id, to.host, to.size)
			f.ended(id, time.Minute)
			f.outcome(t, id, proto.OutcomeCompleted)
			f.settled()
		}
	})
}

func TestAReturnBringsAlongWhatWasWritten(t *testing.T) {
	for _, phase := range []proto.Phase{proto.PhaseWarm, proto.PhaseSettle} {
		story(t, func(t *testing.T, f *fleet) {
			f.move("m", "b", "large")
			f.inPhase("m", phase)
			f.goBack("back", "m")
			f.ended("back", time.Minute)
			f.settled()
			f.outcome(t, "back", proto.OutcomeCompleted)
			f.outcome(t, "m", proto.OutcomeReturned)
			if i, _ := f.view().Instance("i"); i.Owner != "a" || i.Spec.Type != "small" {
				t.Errorf("%s on %s", i.Spec.Type, i.Owner)
			}
		})
	}
}

func TestProbationEndsByAnOperatorsWord(t *testing.T) {
	for _, phase := range []proto.Phase{proto.PhaseWarm, proto.PhaseSettle} {
		story(t, func(t *testing.T, f *fleet) {
			p := f.view().Fleet().Policy
			p.Probation = time.Hour.Milliseconds()
			f.must(&proto.PolicyPut{Policy: p})
			f.move("m", "b", "large")
			f.inPhase("m", phase)
			i, _ := f.view().Instance("i")
			f.must(&proto.ProbationEnd{Migration: "m", Fence: i.Fence, Reason: "all is well"})
			f.ended("m", time.Minute)
			f.settled()
			f.outcome(t, "m", proto.OutcomeCompleted)
		})
	}
}

func TestProbationIsAsLongAsThePlanSays(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		p := f.view().Fleet().Policy
		p.Probation = time.Hour.Milliseconds()
		f.must(&proto.PolicyPut{Policy: p})
		plan := f.plan("b", "large")
		plan.Probation = 1
		f.must(&proto.MigrationStart{ID: "m", Plan: plan, Reservation: proto.Reservation{ID: "m/target", Envelope: open(45), Until: timeline.Of(time.Now()).Add(time.Hour)}})
		f.ended("m", time.Minute)
		f.settled()
		f.outcome(t, "m", proto.OutcomeCompleted)
	})
}

func TestAReturnThatIsAskedForBeforeTheTargetHeardOfItsConfirmation(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["b"].slow[proto.OpConfirm] = 3 * time.Second
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseWarm)
		f.goBack("back", "m")
		f.ended("back", time.Minute)
		f.settled()
		f.outcome(t, "m", proto.OutcomeReturned)
	})
}

func TestAReturnThatIsAbortedCanBeTriedAgainOrLetBe(t *testing.T) {
	for _, again := range []bool{false, true} {
		for _, kind := range begun {
			story(t, func(t *testing.T, f *fleet) {
				f.move("m", "b", "large")
				f.inPhase("m", proto.PhaseSettle)
				f.agents["a"].fail(kind, proto.FaultRefused, 1)
				f.agents["b"].fail(kind, proto.FaultRefused, 1)
				f.goBack("back", "m")
				f.ended("back", 2*time.Minute)
				f.outcome(t, "back", proto.OutcomeAborted)
				clear(f.agents["a"].faults)
				clear(f.agents["b"].faults)
				if again {
					f.goBack("again", "m")
					f.ended("again", time.Minute)
					f.outcome(t, "m", proto.OutcomeReturned)
				} else {
					f.ended("m", time.Minute)
					f.outcome(t, "m", proto.OutcomeCompleted)
				}
				f.settled()
			})
		}
	}
}

func TestASourceWithoutRoomForTheWayBackKeepsWhatItHas(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseSettle)
		f.agents["a"].full = true
		f.goBack("back", "m")
		f.ended("back", 2*time.Minute)
		f.outcome(t, "back", proto.OutcomeAborted)
		i, _ := f.view().Instance("i")
		f.must(&proto.AcceptLoss{Migration: "m", Fence: i.Fence, Reason: "b burnt down after all"}) // which is still possible
		f.ended("m", 2*time.Minute)
		f.outcome(t, "m", proto.OutcomeReturned)
		f.await("a alone serves", time.Minute, func(*state.View) bool { return slices.Equal(f.serving(), []string{"a"}) })
	})
}

func TestALossThatIsAcceptedNeedsNoTarget(t *testing.T) {
	for name, strike := range map[string]func(*fleet){
		"dead":                    func(f *fleet) { f.agents["b"].kill(true, 24*time.Hour) },
		"comes back":              func(f *fleet) { f.agents["b"].kill(true, 5*time.Minute) },
		"is there":                func(*fleet) {},
		"can't put its data away": func(f *fleet) { f.agents["b"].fail(proto.OpRetire, proto.FaultFailed, 5) },
		"wiped": func(f *fleet) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.agents["b"].wipe()
		},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, f *fleet) {
				f.move("m", "b", "large")
				f.inPhase("m", proto.PhaseSettle)
				strike(f)
				i, _ := f.view().Instance("i")
				f.must(&proto.AcceptLoss{Migration: "m", Fence: i.Fence, Reason: "b burnt down"})
				f.await("the source serves", time.Minute, func(v *state.View) bool {
					i, _ := v.Instance("i")
					on := f.serving()
					return i.State == proto.InstanceRunning && len(on) == 1 && on[0] == "a"
				})
				if name == "dead" { // nothing waits for it: the instance is free to move
					f.ended("m", time.Minute)
					f.outcome(t, "m", proto.OutcomeReturned)
					return
				}
				// A host that comes back runs the instance until it hears of its loss: that is what the operator was warned of.
				f.ended("m", 10*time.Minute)
				if name == "comes back" {
					f.await("the lost host has given the instance away", 10*time.Minute, func(v *state.View) bool {
						m, _ := v.Migration("m")
						_, ok := succeeded(m, proto.OpRetire, "b")
						return ok
					})
					f.mu.Lock()
					f.problems = nil
					f.mu.Unlock()
				}
				f.outcome(t, "m", proto.OutcomeReturned)
				time.Sleep(10 * time.Second)
				if on := f.serving(); len(on) != 1 || on[0] != "a" {
					t.Errorf("%v serve", on)
				}
				// Nothing of it is left there that would keep the host from becoming a target again.
				f.move("n", "b", "large")
				f.ended("n", time.Minute)
				f.outcome(t, "n", proto.OutcomeCompleted)
			})
		})
	}
}

func TestASourceThatIsOffDoesNotHoldUpTheEnd(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseWarm)
		f.await("confirmed", time.Minute, func(v *state.View) bool {
			m, _ := v.Migration("m")
			_, ok := succeeded(m, proto.OpConfirm, "b")
			return ok
		})
		f.agents["a"].kill(true, 20*time.Minute)
		f.ended("m", 5*time.Minute)
		f.outcome(t, "m", proto.OutcomeCompleted)
		f.depose(false) // another leader knows of it, too
		f.await("the source has put its data away", 30*time.Minute, func(v *state.View) bool {
			m, _ := v.Migration("m")
			_, ok := succeeded(m, proto.OpRetire, "a")
			return ok
		})
		f.settled()
	})
}

func TestATargetThatIsGoneDoesNotKeepTheSourceFromServing(t *testing.T) {
	for _, phase := range []proto.Phase{proto.PhaseCopy, proto.PhaseSwitch} {
		story(t, func(t *testing.T, f *fleet) {
			f.move("m", "b", "large")
			f.inPhase("m", phase)
			if phase == proto.PhaseSwitch {
				f.await("it starts", time.Minute, func(v *state.View) bool {
					i, _ := v.Instance("i")
					return i.State == proto.InstanceStarting
				})
			}
			f.agents["b"].kill(true, time.Hour)
			f.await("the source serves", 2*time.Minute, func(v *state.View) bool {
				m, _ := v.Migration("m")
				on := f.serving()
				return m.Phase == proto.PhaseUndo && len(on) == 1 && on[0] == "a"
			})
			time.Sleep(10 * time.Minute)
			if p, ok := f.leader.exec.Progress("m"); f.migration("m").Phase != proto.PhaseUndo || !ok || p.Trouble == "" || p.Since == 0 {
				t.Errorf("%s, %+v", f.migration("m").Phase, p)
			}
			f.ended("m", time.Hour)
			f.settled()
		})
	}
}

func TestATargetIsCleanedAfterItsSourceWasForgottenAsDead(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["a"].slow[proto.OpFinalSync] = time.Minute
		f.move("m", "b", "large")
		f.await("it is frozen", time.Minute, func(v *state.View) bool {
			i, _ := v.Instance("i")
			return i.State == proto.InstanceFrozen
		})
		f.agents["a"].kill(true, 24*time.Hour)
		f.await("it is given up", 2*time.Minute, func(v *state.View) bool {
			m, _ := v.Migration("m")
			return m.Phase == proto.PhaseUndo
		})
		f.depose(false) // another leader knows of it, too
		f.must(&proto.HostForget{Host: "a", Dead: true, Lost: f.view().Forgetting("a").Names()})
		f.outcome(t, "m", proto.OutcomeFailed)
		f.await("the target is clean", time.Minute, func(v *state.View) bool {
			m, _ := v.Migration("m")
			_, ok := succeeded(m, proto.OpCleanTarget, "b")
			return ok
		})
		f.mu.Lock()
		defer f.mu.Unlock()
		if b := f.agents["b"]; b.present || b.running || b.record.state != proto.FenceNone {
			t.Errorf("host b is left %q, present %v, running %v", b.record.state, b.present, b.running)
		}
	})
}

func TestAnOperatorMayAbortUntilItIsConfirmed(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["a"].slow[proto.OpSyncRound] = time.Minute
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseCopy)
		time.Sleep(time.Second)
		asked := time.Now()
		f.abort()
		f.ended("m", time.Minute)
		if took := time.Since(asked); took > 2*time.Second {
			t.Errorf("undoing a copy took %s", took)
		}
		f.outcome(t, "m", proto.OutcomeAborted)
		f.settled()
	})
}

func TestNothingIsOperatedBeforeHostsHaveReported(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseCopy)
		time.Sleep(time.Second) // a round runs
		f.must(&proto.IncarnationRaise{From: 1, Reason: "restored"})
		before := len(f.migration("m").Operations)
		time.Sleep(2 * time.Minute)
		if now := len(f.migration("m").Operations); now > before {
			t.Errorf("%d operations since", now-before)
		}
		for _, h := range []string{"a", "b", "c"} {
			host, _ := f.view().Host(h)
			f.must(&proto.HostRegister{Facts: host.Facts, Incarnation: 2})
		}
		f.ended("m", 2*time.Minute)
		f.outcome(t, "m", proto.OutcomeCompleted)
		f.settled()
	})
}
