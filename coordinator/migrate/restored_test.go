package migrate

import (
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/proto"
)

// restore is a restore from a backup after which the agents of these hosts have reported what they run.
func (f *fleet) restore(reported ...string) {
	f.must(&proto.IncarnationRaise{From: 1, Reason: "restored"})
	f.reports(reported...)
}

func (f *fleet) reports(hosts ...string) {
	for _, name := range hosts {
		host, _ := f.view().Host(name)
		f.must(&proto.HostRegister{Facts: host.Facts, Incarnation: f.view().Fleet().Incarnation})
	}
}

// After a restore the source must not go on before the target has told that it does not run the instance: it may have been confirmed after the backup.
func TestASourceDoesNotGoOnBeforeItsTargetHasReported(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["a"].slow[proto.OpFinalSync] = time.Minute
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseSwitch)
		time.Sleep(5 * time.Second) // it is frozen
		f.restore("a", "c")
		f.abort()
		time.Sleep(2 * time.Minute)
		if i, _ := f.view().Instance("i"); i.State != proto.InstanceThawing || len(f.serving()) > 0 {
			t.Errorf("it is %s, and %v serve", i.State, f.serving())
		}
		f.mu.Lock()
		exec := f.leader.exec
		f.mu.Unlock()
		if p, _ := exec.Progress("m"); !strings.Contains(p.Trouble, "host b has not yet reported") {
			t.Errorf("it waits for %q", p.Trouble)
		}
		f.reports("b")
		f.ended("m", 2*time.Minute)
		f.outcome(t, "m", proto.OutcomeAborted)
		f.settled()
	})
}

// What lets a host run the instance waits for both hosts to report, all else for the host that is to do it.
func TestWhatOrdersWaitForAfterARestore(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.restore("b", "c")
		m := proto.Migration{ID: "m", Instance: "i", Source: "a", Target: "b"}
		for _, c := range []struct {
			kind  proto.OperationKind
			host  string
			loss  bool
			waits bool
		}{
			{proto.OpStart, "b", false, true}, {proto.OpConfirm, "b", false, true}, {proto.OpRefuse, "b", false, false}, {proto.OpCleanTarget, "b", false, false},
			{proto.OpThaw, "a", false, true}, {proto.OpThaw, "a", true, true}, {proto.OpFreeze, "a", false, true},
		} {
			m.Loss = c.loss
			if why := waits(scene{view: f.view(), m: m}, order{kind: c.kind, host: c.host}); strings.Contains(why, "host a has not yet reported") != c.waits {
				t.Errorf("%s on %s, loss accepted %v: it waits for %q", c.kind, c.host, c.loss, why)
			}
		}
		m.Source, m.Target, m.Loss = "b", "a", true
		if why := waits(scene{view: f.view(), m: m}, order{kind: proto.OpThaw, host: "b"}); why != "" {
			t.Errorf("a source waits for a target that was given up: %s", why)
		}
		f.reports("a")
	})
}

// A target that was given up is stopped first where it is there, although it has not reported all that it runs; no time passes it over.
func TestATargetThatWasGivenUpIsStoppedAlthoughItHasNotReported(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseWarm)
		time.Sleep(2 * time.Second)
		f.restore("a", "c")
		i, _ := f.view().Instance("i")
		f.must(&proto.AcceptLoss{Migration: "m", Fence: i.Fence, Reason: "taken for dead"})
		time.Sleep(time.Minute)
		if serving := f.serving(); len(serving) != 1 || serving[0] != "a" {
			t.Errorf("%v serve", serving)
		}
		f.reports("b")
		f.ended("m", 2*time.Minute)
	})
}
