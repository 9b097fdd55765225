package migrate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// hooked gives the instance hooks at every point, of which those before the freeze run on both sides.
func (f *fleet) hooked() {
	s := spec()
	list := []proto.Hook{{Exec: []string{"/etc/glidepath/hooks/dns"}}}
	s.Hooks = proto.Hooks{
		BeforeFreeze: []proto.Hook{{Exec: []string{"/etc/glidepath/hooks/lb"}, On: proto.HookBoth}},
		AfterFreeze:  list, BeforeStart: list, AfterConfirm: list, OnAbort: list,
	}
	f.must(&proto.InstanceApply{Spec: s})
}

// told returns what was run in a migration: "point host" in order.
func (f *fleet) told(migration string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, r := range f.ran {
		if r.migration == migration {
			out = append(out, string(r.point)+" "+r.host)
		}
	}
	return out
}

func expectTold(t *testing.T, f *fleet, migration string, want ...string) {
	t.Helper()
	got := f.told(migration)
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("hooks of %s: %q, want %q", migration, got, want)
	}
}

// hookFailures counts the failed runs at a point on a host that are on record.
func hookFailures(m proto.Migration, p proto.HookPoint, host string) (n int) {
	for _, o := range m.Operations {
		if o.Hook == p && o.Host == host && o.Result != nil && o.Result.Error != nil {
			n++
		}
	}
	return n
}

func TestHooksRunAtTheirPointsWithTheMigrationsFacts(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.hooked()
		f.move("m", "b", "large")
		f.ended("m", time.Minute)
		f.outcome(t, "m", proto.OutcomeCompleted)
		f.settled()
		expectTold(t, f, "m", "before-freeze a", "before-freeze b", "after-freeze a", "before-start b", "after-confirm b")
		m := f.migration("m")
		ops := map[string]proto.OperationRecord{}
		for _, o := range m.Operations {
			ops[string(o.Kind)+string(o.Hook)] = o
			if o.Result == nil || o.Result.Error != nil {
				t.Errorf("%s: %+v", o.ID, o.Result)
			}
		}
		serving := map[proto.HookPoint]string{proto.HookBeforeFreeze: "a", proto.HookAfterFreeze: "", proto.HookBeforeStart: "", proto.HookAfterConfirm: "b"}
		for _, r := range f.ran {
			if r.serving != serving[r.point] {
				t.Errorf("%s ran while %q served", r.point, r.serving)
			}
			want := proto.HookCall{Point: r.point, Side: r.side, Source: "a", Target: "b", FromType: "small", ToType: "large", Attempt: 1}
			if r.call != want || (r.host == "a") != (r.side == proto.HookSource) {
				t.Errorf("on %s it is told %+v", r.host, r.call)
			}
		}
		if freeze, before := ops["freeze"], ops["hookbefore-freeze"]; before.EndedAt > freeze.SentAt {
			t.Error("it was frozen before its hooks had ended")
		}
		if final, after := ops["final-sync"], ops["hookafter-freeze"]; after.SentAt >= final.EndedAt {
			t.Error("what follows the freeze did not run beside the final round")
		}
		if final, before, start := ops["final-sync"], ops["hookbefore-start"], ops["start"]; before.SentAt < final.SentAt || before.EndedAt > start.SentAt {
			t.Error("what is before the start did not run between the final round and it")
		}
	})
}

func TestWithoutHooksNothingIsSentForThem(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["b"].fail(proto.OpStart, proto.FaultUnhealthy, 1)
		f.move("m", "b", "large")
		f.ended("m", time.Minute)
		f.outcome(t, "m", proto.OutcomeAborted)
		for _, o := range f.migration("m").Operations {
			if o.Kind == proto.OpHook {
				t.Errorf("%+v", o)
			}
		}
	})
}

func TestAHookThatFailsBeforeTheFreezeGivesTheMoveUpWhileClientsAreServed(t *testing.T) {
	for _, host := range []string{"a", "b"} {
		story(t, func(t *testing.T, f *fleet) {
			f.hooked()
			f.agents[host].fail(proto.OperationKind(proto.HookBeforeFreeze), proto.FaultFailed, 1)
			f.move("m", "b", "large")
			f.ended("m", time.Minute)
			f.outcome(t, "m", proto.OutcomeAborted)
			m := f.migration("m")
			if _, frozen := decided(m, proto.DecideFreeze); frozen || !strings.Contains(m.Reason, "before-freeze hook on "+host) || !strings.Contains(m.Reason, "by test") {
				t.Errorf("frozen: %v, reason %q", frozen, m.Reason)
			}
			expectTold(t, f, "m", "before-freeze a", "before-freeze b", "on-abort a", "on-abort b")
			for _, r := range f.ran {
				if (r.call.Reason == m.Reason) != (r.point == proto.HookOnAbort) {
					t.Errorf("%s is told the reason %q", r.point, r.call.Reason)
				}
			}
			f.settled()
		})
	}
}

func TestWhereNothingWasBegunNoHookTakesItBack(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.hooked()
		f.agents["b"].fail(proto.OpPrepareTarget, proto.FaultRefused, 1)
		f.move("m", "b", "large")
		f.ended("m", time.Minute)
		f.outcome(t, "m", proto.OutcomeAborted)
		expectTold(t, f, "m")
	})
}

func TestAHookThatFailsBeforeTheStartGivesTheMoveUpAtNoLoss(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.hooked()
		f.agents["b"].fail(proto.OperationKind(proto.HookBeforeStart), proto.FaultFailed, 1)
		f.move("m", "b", "large")
		f.ended("m", time.Minute)
		f.outcome(t, "m", proto.OutcomeAborted)
		if _, committed := decided(f.migration("m"), proto.DecideCommit); committed {
			t.Error("the target was committed to")
		}
		expectTold(t, f, "m", "before-freeze a", "before-freeze b", "after-freeze a", "before-start b", "on-abort a", "on-abort b")
		for _, r := range f.ran {
			if r.point == proto.HookOnAbort && r.host == "a" && r.serving != "a" {
				t.Errorf("the source's hook ran while %q served", r.serving)
			}
			if r.point == proto.HookOnAbort && r.host == "b" && r.target != proto.FenceTarget {
				t.Errorf("the target's hook ran while it held the instance as %s", r.target)
			}
		}
		f.settled()
	})
}

func TestHooksThatFailAfterwardsAreRecordedAndHoldNothingUp(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.hooked()
		f.agents["a"].fail(proto.OperationKind(proto.HookAfterFreeze), proto.FaultFailed, 100)
		f.agents["b"].fail(proto.OperationKind(proto.HookAfterConfirm), proto.FaultFailed, 100)
		f.move("m", "b", "large")
		f.ended("m", time.Minute)
		f.outcome(t, "m", proto.OutcomeCompleted)
		m := f.migration("m")
		if a, b := hookFailures(m, proto.HookAfterFreeze, "a"), hookFailures(m, proto.HookAfterConfirm, "b"); a != 1 || b != hookTries {
			t.Errorf("on record are %d failures after the freeze, %d after the confirmation", a, b)
		}
		attempt := 0
		for _, r := range f.ran {
			if r.point == proto.HookAfterConfirm {
				if attempt++; r.call.Attempt != attempt {
					t.Errorf("attempt %d is told that it is %d", attempt, r.call.Attempt)
				}
			}
		}
		f.settled()
	})
}

func TestHooksThatCannotTakeItBackAreRecordedAndHoldNothingUp(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.hooked()
		f.agents["b"].fail(proto.OpStart, proto.FaultUnhealthy, 1)
		for _, host := range []string{"a", "b"} {
			f.agents[host].fail(proto.OperationKind(proto.HookOnAbort), proto.FaultFailed, 100)
		}
		f.move("m", "b", "large")
		f.ended("m", 2*time.Minute)
		f.outcome(t, "m", proto.OutcomeAborted)
		m := f.migration("m")
		if a, b := hookFailures(m, proto.HookOnAbort, "a"), hookFailures(m, proto.HookOnAbort, "b"); a != hookTries || b != hookTries {
			t.Errorf("on record are %d failures on the source, %d on the target", a, b)
		}
		f.settled()
	})
}

func TestTheStartWaitsForWhatFollowsTheFreeze(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.hooked()
		f.agents["a"].slow[proto.OperationKind(proto.HookAfterFreeze)] = 20 * time.Second
		f.move("m", "b", "large")
		f.ended("m", 2*time.Minute)
		f.outcome(t, "m", proto.OutcomeCompleted)
		m := f.migration("m")
		freeze, _ := decided(m, proto.DecideFreeze)
		commit, _ := decided(m, proto.DecideCommit)
		if took := commit.At.Sub(freeze.At); took < 20*time.Second || took > 25*time.Second {
			t.Errorf("from freeze to commit it took %s", took)
		}
	})
}

func TestATargetsHooksDoNotHoldUpTheSource(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.hooked()
		f.agents["b"].fail(proto.OpStart, proto.FaultUnhealthy, 1)
		f.agents["b"].slow[proto.OperationKind(proto.HookOnAbort)] = 4 * time.Minute
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseUndo)
		f.await("the source serves", 10*time.Second, func(v *state.View) bool {
			i, _ := v.Instance("i")
			return len(f.serving()) == 1 && i.State == proto.InstanceRunning
		})
		f.ended("m", 5*time.Minute)
		if n := slices.Index(f.told("m"), "on-abort b"); n < 0 || slices.Contains(f.told("m")[n+1:], "on-abort b") {
			t.Errorf("the target's hooks did not run once: %q", f.told("m"))
		}
		f.settled()
	})
}

func TestAHookThatIsOwedIsRunWhenItsTargetIsBack(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.hooked()
		f.agents["b"].slow[proto.OpStart] = 20 * time.Second
		f.starting(2 * time.Second)
		f.agents["b"].kill(true, 3*time.Minute)
		f.abort()
		f.await("the source serves", permitOver+15*time.Second, func(*state.View) bool { return len(f.serving()) == 1 })
		f.await("the source was told", 15*time.Second, func(*state.View) bool { return slices.Contains(f.told("m"), "on-abort a") })
		f.ended("m", 5*time.Minute)
		if !slices.Contains(f.told("m"), "on-abort b") {
			t.Errorf("the target's hooks were not run: %q", f.told("m"))
		}
		f.settled()
	})
}

func TestAcceptedLossIsAnAbortOnTheSourceAndOnATargetThatComesBack(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.hooked()
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseSettle)
		f.mu.Lock()
		f.agents["b"].cut = true
		f.mu.Unlock()
		f.agents["b"].kill(true, 10*time.Minute)
		i, _ := f.view().Instance("i")
		f.must(&proto.AcceptLoss{Migration: "m", Fence: i.Fence, Reason: "b burnt down"})
		f.ended("m", 5*time.Minute)
		f.outcome(t, "m", proto.OutcomeReturned)
		if got := f.told("m"); !slices.Contains(got, "on-abort a") || slices.Contains(got, "on-abort b") {
			t.Errorf("hooks: %q", got)
		}
		f.mu.Lock()
		f.agents["b"].cut = false
		f.mu.Unlock()
		f.await("the target was told", 10*time.Minute, func(*state.View) bool { return slices.Contains(f.told("m"), "on-abort b") })
		f.mu.Lock()
		defer f.mu.Unlock()
		f.problems = nil // it ran the instance until it heard of its loss: that is what the operator was warned of
		for _, r := range f.ran {
			if r.point == proto.HookOnAbort && r.call.Reason != "b burnt down" {
				t.Errorf("on %s it is told the reason %q", r.host, r.call.Reason)
			}
			if r.point == proto.HookOnAbort && r.host == "b" && r.target != proto.FenceRetired {
				t.Errorf("the target's hooks ran while it held the instance as %s", r.target)
			}
		}
	})
}

func TestAWayBackHasItsOwnHooks(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.hooked()
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseSettle)
		f.goBack("r", "m")
		f.ended("r", 2*time.Minute)
		f.outcome(t, "r", proto.OutcomeCompleted)
		expectTold(t, f, "m", "before-freeze a", "before-freeze b", "after-freeze a", "before-start b", "after-confirm b")
		expectTold(t, f, "r", "before-freeze a", "before-freeze b", "after-freeze b", "before-start a", "after-confirm a")
		for _, r := range f.ran {
			if r.migration == "r" && (r.call.Returns != "m" || r.call.Source != "b") {
				t.Errorf("%s is told %+v", r.point, r.call)
			}
		}
		f.settled()
	})
}

// TestNoTroubleLosesAHook strikes at each boundary of a move with hooks.
func TestNoTroubleLosesAHook(t *testing.T) {
	calm := walk(t, func(f *fleet) { f.hooked() })
	calm.check(t, "calm")
	if calm.outcome != proto.OutcomeCompleted {
		t.Fatalf("without trouble it ends %s: %s", calm.outcome, calm.reason)
	}
	for _, name := range []string{"leader killed", "source's agent", "target rebooted", "aborted"} {
		t.Run(name, func(t *testing.T) {
			for at := 1; at <= calm.passed && !t.Failed(); at++ {
				var fl *fleet
				w := walk(t, func(f *fleet) {
					fl = f
					f.hooked()
					f.hooks[at] = func() { troubles[name](f) }
				})
				w.check(t, fmt.Sprintf("%s at boundary %d", name, at))
				got := fl.told("m")
				want := []string{"before-freeze a", "before-freeze b", "after-freeze a", "before-start b", "after-confirm b"}
				if w.outcome != proto.OutcomeCompleted {
					want = nil
					if slices.Contains(got, "before-freeze a") {
						want = append(want, "on-abort a")
					}
					if slices.Contains(got, "before-freeze b") {
						want = append(want, "on-abort b")
					}
				}
				for _, hook := range want {
					if !slices.Contains(got, hook) {
						t.Errorf("%s at boundary %d, %s: %q was not run, but %q\n%s", name, at, w.outcome, hook, got, strings.Join(w.story, "\n"))
					}
				}
				if at := slices.Index(got, "on-abort a"); at >= 0 && slices.ContainsFunc(got[at:], func(h string) bool { return strings.HasSuffix(h, " a") && h != "on-abort a" }) {
					t.Errorf("something was run on the source after it had been taken back: %q", got)
				}
			}
		})
	}
}

// TestNoTroubleLetsAMigrationPassAHookThatFailed has the leader die at each boundary of a move that a hook keeps from going on.
func TestNoTroubleLetsAMigrationPassAHookThatFailed(t *testing.T) {
	for point, next := range map[proto.HookPoint]proto.DecisionKind{proto.HookBeforeFreeze: proto.DecideFreeze, proto.HookBeforeStart: proto.DecideCommit} {
		fails := func(f *fleet) {
			f.hooked()
			for _, host := range []string{"a", "b"} {
				f.agents[host].fail(proto.OperationKind(point), proto.FaultFailed, 1)
			}
		}
		calm := walk(t, fails)
		for at := calm.passed / 3; at <= calm.passed && !t.Failed(); at++ {
			var fl *fleet
			w := walk(t, func(f *fleet) {
				fl = f
				fails(f)
				f.hooks[at] = func() { f.depose(false) }
			})
			w.check(t, fmt.Sprintf("%s at boundary %d", point, at))
			m, _ := fl.tables.View().Migration("m")
			if _, passed := decided(m, next); passed || w.outcome != proto.OutcomeAborted {
				t.Errorf("%s at boundary %d: it ended %s, %s decided: %v\n%s", point, at, w.outcome, next, passed, strings.Join(w.story, "\n"))
			}
		}
	}
}

func TestHooksFailedForGoodOnceTheyAreNotTriedAgain(t *testing.T) {
	fault := &proto.Fault{Code: proto.FaultFailed, What: "it failed"}
	for name, c := range map[string]struct {
		hook   proto.HookPoint
		before int // attempts that failed
		result *proto.OperationResult
		want   bool
	}{
		"still running":                        {proto.HookAfterFreeze, 0, nil, false},
		"done":                                 {proto.HookAfterConfirm, 2, &proto.OperationResult{Hooks: []proto.HookResult{{Program: "/dns"}}}, false},
		"ignored before the freeze":            {proto.HookBeforeFreeze, 0, &proto.OperationResult{Hooks: []proto.HookResult{{Program: "/dns", Failure: "ended"}}}, true},
		"gives the move up, which tells of it": {proto.HookBeforeStart, 0, &proto.OperationResult{Error: fault}, false},
		"while clients wait":                   {proto.HookAfterFreeze, 0, &proto.OperationResult{Error: fault}, true},
		"tried again":                          {proto.HookAfterConfirm, hookTries - 2, &proto.OperationResult{Error: fault}, false},
		"tried often enough":                   {proto.HookOnAbort, hookTries - 1, &proto.OperationResult{Error: fault}, true},
	} {
		m := proto.Migration{Source: "a", Target: "b"}
		for range c.before {
			m.Operations = append(m.Operations, proto.OperationRecord{Kind: proto.OpHook, Hook: c.hook, Host: "a", Result: &proto.OperationResult{Error: fault}})
		}
		o := proto.OperationRecord{Kind: proto.OpHook, Hook: c.hook, Host: "a", Result: c.result}
		m.Operations = append(m.Operations, o)
		if got := FailedForGood(m, o); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if o := (proto.OperationRecord{Kind: proto.OpFreeze, Host: "a", Result: &proto.OperationResult{Error: fault}}); FailedForGood(proto.Migration{Operations: []proto.OperationRecord{o}}, o) {
		t.Error("a freeze is no hook")
	}
}
