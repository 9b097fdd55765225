package migrate

import (
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// decided returns the decision of a kind on a migration.
func decided(m proto.Migration, k proto.DecisionKind) (proto.Decision, bool) {
	for _, d := range m.Decisions {
		if d.Kind == k {
			return d, true
		}
	}
	return proto.Decision{}, false
}

// starting takes m to where the target has run the instance for a while.
func (f *fleet) starting(d time.Duration) {
	f.move("m", "b", "large")
	f.await("it starts", time.Minute, func(v *state.View) bool {
		i, _ := v.Instance("i")
		return i.State == proto.InstanceStarting
	})
	time.Sleep(d)
}

func TestANewLeaderWaitsForPermitsThatItDoesNotKnow(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["b"].slow[proto.OpStart] = 20 * time.Second
		f.starting(6 * time.Second)
		f.mu.Lock()
		f.agents["b"].cut = true // its permit was renewed a second ago
		f.mu.Unlock()
		f.depose(false)
		f.abort()
		f.await("the source serves", permitOver+10*time.Second, func(*state.View) bool { return len(f.serving()) == 1 })
		f.mu.Lock()
		f.agents["b"].cut = false
		f.mu.Unlock()
		f.ended("m", time.Minute)
		f.outcome(t, "m", proto.OutcomeAborted)
		f.settled()
	})
}

func TestATargetThatNoLongerAsksForPermitsIsNotConfirmed(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["b"].slow[proto.OpStart] = 12 * time.Second
		f.starting(2 * time.Second)
		f.mu.Lock()
		f.agents["b"].mute = true
		f.mu.Unlock()
		f.ended("m", time.Minute)
		f.outcome(t, "m", proto.OutcomeAborted)
		if _, ok := decided(f.migration("m"), proto.DecideConfirm); ok {
			t.Error("it was confirmed")
		}
		f.settled()
	})
}

func TestANewLeaderStopsWhatWasBegunBeforeItUndoes(t *testing.T) {
	story(t, func(_ *testing.T, f *fleet) {
		f.agents["a"].slow[proto.OpFinalSync] = 2 * time.Minute
		f.move("m", "b", "large")
		f.await("the last round runs", time.Minute, func(v *state.View) bool {
			m, _ := v.Migration("m")
			return m.Operations != nil && m.Operations[len(m.Operations)-1].Kind == proto.OpFinalSync
		})
		time.Sleep(time.Second)
		f.depose(false)
		f.abort()
		f.await("the source serves", 10*time.Second, func(*state.View) bool { return len(f.serving()) == 1 })
		f.ended("m", time.Minute)
		f.settled()
	})
}

func TestNothingIsFrozenBeforeBothHostsAnswer(t *testing.T) {
	for _, host := range []string{"a", "b"} {
		for _, d := range []time.Duration{20 * time.Second, 10 * time.Minute} {
			story(t, func(t *testing.T, f *fleet) {
				began := time.Now()
				f.agents[host].deaf = true
				f.move("m", "b", "large")
				time.Sleep(d)
				f.mu.Lock()
				f.agents[host].deaf = false
				f.mu.Unlock()
				f.ended("m", time.Minute)
				m := f.migration("m")
				frozen, ok := decided(m, proto.DecideFreeze)
				if want := d < readyFor; ok != want || ok && frozen.At.Std().Before(began.Add(d)) || want != (m.Outcome == proto.OutcomeCompleted) {
					t.Errorf("%s, away for %s: frozen %v at %s, outcome %s", host, d, ok, frozen.At, m.Outcome)
				}
				f.settled()
			})
		}
	}
}

// wipe takes everything from a host's disk. f.mu is held.
func (a *agent) wipe() {
	a.record, a.running, a.announced, a.present, a.written = record{}, false, false, false, 0
}

func TestAConfirmationThatCameTooLateIsTakenBack(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.after[proto.CmdMigrationConfirm] = func() { f.agents["b"].cut = true }
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseWarm)
		time.Sleep(cutFor)
		f.mu.Lock()
		f.agents["b"].cut = false
		f.mu.Unlock()
		f.ended("m", time.Minute)
		f.outcome(t, "m", proto.OutcomeAborted)
		if r := f.migration("m").Reason; !strings.Contains(r, "permit of host b ran out") {
			t.Error(r)
		}
		f.settled()
	})
}

func TestATargetThatLostItsRecordIsLeftToTheOperator(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.after[proto.CmdMigrationConfirm] = func() { f.agents["b"].wipe() }
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseWarm)
		time.Sleep(5 * time.Minute)
		m := f.migration("m")
		if _, ok := decided(m, proto.DecideAbort); ok || m.Phase != proto.PhaseWarm {
			t.Errorf("it was aborted, though the target may have served: %s", m.Phase)
		}
		if p, _ := f.leader.exec.Progress("m"); !strings.Contains(p.Trouble, "find out whether it has served") {
			t.Errorf("the operator is told %q", p.Trouble)
		}
		i, _ := f.view().Instance("i")
		f.must(&proto.AcceptLoss{Migration: "m", Fence: i.Fence, Reason: "b was wiped"})
		f.ended("m", time.Minute)
		f.outcome(t, "m", proto.OutcomeReturned)
		f.settled()
	})
}
