package migrate

import (
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// reports has hosts report to the incarnation that has begun; b with a conflict over i, if it is held.
func (f *fleet) reports(held bool, hosts ...string) {
	for _, name := range hosts {
		host, _ := f.view().Host(name)
		b := &proto.HostRegister{Facts: host.Facts, Incarnation: f.view().Fleet().Incarnation}
		if held && name == "b" {
			b.Conflicts = []proto.Conflict{{Instance: "i", What: "by the tables a is its owner, and b holds it", Holds: true, There: true}}
		}
		f.must(b)
	}
}

func TestNothingIsDoneWithAnInstanceThatIsHeld(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseCopy)
		time.Sleep(time.Second) // a round runs
		f.must(&proto.IncarnationRaise{From: 1, Reason: "restored"})
		f.reports(true, "a", "b", "c")
		before := len(f.migration("m").Operations)
		time.Sleep(2 * time.Minute)
		if m := f.migration("m"); len(m.Operations) > before || m.Phase != proto.PhaseCopy {
			t.Errorf("%d operations since, and it is in %s", len(m.Operations)-before, m.Phase)
		}
		f.mu.Lock()
		exec := f.leader.exec
		f.mu.Unlock()
		if p, _ := exec.Progress("m"); !strings.Contains(p.Trouble, "instance i is held: b reports otherwise") {
			t.Errorf("it waits for %q", p.Trouble)
		}
		_, err := exec.Permit(t.Context(), proto.HostPermit{Host: "b", Request: proto.PermitRequest{Instance: "i", Migration: "m", Incarnation: 2, Fence: 1}})
		if wire.CodeOf(err) != wire.Unavailable || !strings.Contains(err.Error(), "is held") {
			t.Errorf("a permit for what is held: %v", err)
		}
		f.reports(false, "b")
		f.ended("m", 2*time.Minute)
		f.outcome(t, "m", proto.OutcomeCompleted)
		f.settled()
	})
}

func TestAnInstanceThatIsHeldIsNotAdopted(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.must(&proto.InstanceRelease{Instance: "i"})
		f.await("released", time.Minute, func(v *state.View) bool { _, there := v.Instance("i"); return !there })
		f.must(&proto.InstanceApply{Spec: spec(), Envelope: open(40)})
		f.reports(true, "b")
		time.Sleep(time.Minute)
		if i, _ := f.view().Instance("i"); i.State != proto.InstanceAdopting {
			t.Errorf("it is %s", i.State)
		}
		f.reports(false, "b")
		f.await("adopted", time.Minute, func(v *state.View) bool {
			i, _ := v.Instance("i")
			return i.State == proto.InstanceRunning
		})
	})
}

// After a restore the source must not go on before the target has told that it does not run the instance: it may have been confirmed after the backup.
func TestASourceDoesNotGoOnBeforeItsTargetHasReported(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["a"].slow[proto.OpFinalSync] = time.Minute
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseSwitch)
		time.Sleep(5 * time.Second) // it is frozen
		f.must(&proto.IncarnationRaise{From: 1, Reason: "restored"})
		f.reports(false, "a", "c")
		f.abort()
		time.Sleep(2 * time.Minute)
		if i, _ := f.view().Instance("i"); i.State != proto.InstanceThawing || len(f.serving()) > 0 {
			t.Errorf("it is %s, and %v serve", i.State, f.serving())
		}
		f.reports(false, "b")
		f.ended("m", 2*time.Minute)
		f.outcome(t, "m", proto.OutcomeAborted)
		f.settled()
	})
}
