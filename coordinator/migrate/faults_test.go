package migrate

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/proto"
)

// cutFor is how long hosts are cut off, servedWithin how long after its end exactly one of them must serve.
const (
	cutFor       = 30 * time.Second
	servedWithin = 90 * time.Second
)

// cut cuts hosts off for a while. When that is all that happens exactly one serves in time after it.
func (f *fleet) cut(hosts ...string) {
	set := func(cut bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.note("cut %v: %v", hosts, cut)
		for _, h := range hosts {
			f.agents[h].cut = cut
		}
	}
	set(true)
	f.all.Go(func() {
		if !sleep(f.ctx, cutFor) {
			return
		}
		set(false)
		if !sleep(f.ctx, servedWithin) {
			return
		}
		if on := f.serving(); f.calm && len(on) != 1 {
			f.mu.Lock()
			f.problem("%s after the cut of %v was over %v serve", servedWithin, hosts, on)
			f.mu.Unlock()
		}
	})
}

// trouble is a fault of the world that may strike at any boundary of a walk.
var troubles = map[string]func(*fleet){
	"leader killed":    func(f *fleet) { f.depose(false) },
	"leader deposed":   func(f *fleet) { f.depose(true) },
	"target cut off":   func(f *fleet) { f.cut("b") },
	"source cut off":   func(f *fleet) { f.cut("a") },
	"both cut off":     func(f *fleet) { f.cut("a", "b") },
	"target's agent":   func(f *fleet) { f.agents["b"].kill(false, 2*time.Second) },
	"source's agent":   func(f *fleet) { f.agents["a"].kill(false, 2*time.Second) },
	"target rebooted":  func(f *fleet) { f.agents["b"].kill(true, 12*time.Second) },
	"source rebooted":  func(f *fleet) { f.agents["a"].kill(true, 12*time.Second) },
	"quorum lost":      func(f *fleet) { f.loseQuorum(25 * time.Second) },
	"aborted":          func(f *fleet) { f.abort() },
	"target, leader":   func(f *fleet) { f.cut("b"); f.depose(false) },
	"aborted, leader":  func(f *fleet) { f.abort(); f.depose(true) },
	"aborted, cut off": func(f *fleet) { f.abort(); f.cut("b") },
}

func (f *fleet) loseQuorum(d time.Duration) {
	f.mu.Lock()
	f.note("the quorum is lost")
	f.quorum = false
	f.mu.Unlock()
	f.all.Go(func() {
		sleep(f.ctx, d)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.note("the quorum is back")
		f.quorum = true
	})
}

// abort is an operator's, by what the tables say now; it may come too late.
func (f *fleet) abort() {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, _ := f.tables.View().Instance("i")
	f.apply(newID(), "operator", &proto.MigrationAbort{Migration: "m", Fence: i.Fence, Reason: "asked for"})
}

// walked is how a migration with trouble went.
type walked struct {
	outcome  proto.Outcome
	reason   string
	passed   int // boundaries
	problems []string
	story    []string
}

// walk moves the instance with what setup prepares, and holds what must hold whatever happens. Boundaries are counted from its start.
func walk(t *testing.T, setup func(*fleet)) (w walked) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		f := newFleet()
		f.elect()
		f.adopt()
		f.mu.Lock()
		f.count = 0
		f.mu.Unlock()
		setup(f)
		f.move("m", "b", "large")
		if f.ended("m", 10*time.Minute) {
			f.settled()
		}
		m := f.migration("m")
		if m.Confirmed() && m.Outcome == proto.OutcomeAborted {
			if _, ok := succeeded(m, proto.OpRefuse, "b"); !ok {
				f.problem("AlwaysAWayBack: it was aborted after it was confirmed, without its target's refusal")
			}
		}
		w = walked{m.Outcome, m.Reason, f.count, f.close(), f.story}
	})
	return w
}

// check fails the test with the whole story if anything was wrong.
func (w walked) check(t interface{ Errorf(string, ...any) }, what string) {
	if len(w.problems) > 0 {
		t.Errorf("%s:\n%s\n%s", what, strings.Join(w.problems, "\n"), strings.Join(w.story, "\n"))
	}
}

func TestTroubleAtEachBoundary(t *testing.T) {
	calm := walk(t, func(*fleet) {})
	calm.check(t, "calm")
	if calm.outcome != proto.OutcomeCompleted {
		t.Fatalf("without trouble it ends %s: %s", calm.outcome, calm.reason)
	}
	for name, strike := range troubles {
		t.Run(name, func(t *testing.T) {
			outcomes, reasons := map[proto.Outcome]int{}, map[string]int{}
			for at := 1; at <= calm.passed && !t.Failed(); at++ {
				w := walk(t, func(f *fleet) { f.calm, f.hooks[at] = true, func() { strike(f) } })
				w.check(t, fmt.Sprintf("%s at boundary %d", name, at))
				outcomes[w.outcome]++
				if w.outcome != proto.OutcomeCompleted {
					reasons[fmt.Sprintf("%d: %s", at, w.reason)]++
				}
				if strings.HasPrefix(name, "leader") && w.outcome != proto.OutcomeCompleted {
					t.Errorf("at %d: a new leader did not finish it, it ended %s: %s", at, w.outcome, w.reason)
				}
			}
			t.Log(outcomes, reasons)
		})
	}
}

// begun are the operations of a move up to its confirmation, with whether a failure of each may be passed over.
var begun = []proto.OperationKind{
	proto.OpVerifySource, proto.OpVerifyTarget, proto.OpPrepareTarget, proto.OpSyncRound, proto.OpFreeze, proto.OpFinalSync, proto.OpStart,
}

func TestAnOperationThatIsRefusedGivesTheMoveUp(t *testing.T) {
	for _, kind := range begun {
		for _, code := range []string{proto.FaultRefused, proto.FaultNotAllowed, proto.FaultStalled, proto.FaultUnhealthy, proto.FaultInDoubt} {
			w := walk(t, func(f *fleet) { f.agents["a"].fail(kind, code, 1); f.agents["b"].fail(kind, code, 1) })
			w.check(t, fmt.Sprintf("%s %s", kind, code))
			if w.outcome != proto.OutcomeAborted || !strings.Contains(w.reason, string(kind)) || !strings.Contains(w.reason, "by test") {
				t.Errorf("%s %s: %s: %s", kind, code, w.outcome, w.reason)
			}
		}
	}
}

func TestAnOperationThatFailsIsTriedAgainWhileNobodyWaits(t *testing.T) {
	for _, kind := range begun {
		for _, times := range []int{1, 100} {
			w := walk(t, func(f *fleet) {
				f.agents["a"].fail(kind, proto.FaultFailed, times)
				f.agents["b"].fail(kind, proto.FaultFailed, times)
			})
			w.check(t, fmt.Sprintf("%s fails %d times", kind, times))
			waits := kind == proto.OpFreeze || kind == proto.OpFinalSync || kind == proto.OpStart
			if want := times == 1 && !waits; want != (w.outcome == proto.OutcomeCompleted) {
				t.Errorf("%s fails %d times: %s: %s", kind, times, w.outcome, w.reason)
			}
		}
	}
}

func TestWhatMustSucceedIsTriedUntilItDoes(t *testing.T) {
	for _, kind := range []proto.OperationKind{proto.OpConfirm, proto.OpRetire} {
		w := walk(t, func(f *fleet) {
			f.agents["a"].fail(kind, proto.FaultFailed, 4)
			f.agents["b"].fail(kind, proto.FaultFailed, 4)
		})
		w.check(t, string(kind))
		if w.outcome != proto.OutcomeCompleted {
			t.Errorf("%s: %s: %s", kind, w.outcome, w.reason)
		}
	}
	for _, kind := range []proto.OperationKind{proto.OpThaw, proto.OpRefuse, proto.OpCleanTarget} {
		for _, code := range []string{proto.FaultFailed, proto.FaultInDoubt} {
			w := walk(t, func(f *fleet) {
				f.agents["b"].fail(proto.OpStart, proto.FaultUnhealthy, 1)
				f.agents["a"].fail(kind, code, 4)
				f.agents["b"].fail(kind, code, 4)
			})
			w.check(t, string(kind))
			if w.outcome != proto.OutcomeAborted {
				t.Errorf("%s: %s: %s", kind, w.outcome, w.reason)
			}
		}
	}
}

func TestATransferThatDoesNotMoveIsStopped(t *testing.T) {
	for _, kind := range []proto.OperationKind{proto.OpSyncRound, proto.OpFinalSync} {
		w := walk(t, func(f *fleet) { f.agents["a"].stuck = kind })
		w.check(t, string(kind))
		if w.outcome != proto.OutcomeAborted || !strings.Contains(w.reason, "has not moved") {
			t.Errorf("%s: %s: %s", kind, w.outcome, w.reason)
		}
	}
}

func TestALongOperationIsWaitedFor(t *testing.T) {
	for _, kind := range []proto.OperationKind{proto.OpVerifySource, proto.OpPrepareTarget, proto.OpSyncRound, proto.OpFreeze, proto.OpFinalSync, proto.OpStart, proto.OpConfirm, proto.OpRetire} {
		w := walk(t, func(f *fleet) {
			f.agents["a"].slow[kind] = 25 * time.Second
			f.agents["b"].slow[kind] = 25 * time.Second
		})
		w.check(t, string(kind))
		if w.outcome != proto.OutcomeCompleted {
			t.Errorf("%s: %s: %s", kind, w.outcome, w.reason)
		}
	}
}
