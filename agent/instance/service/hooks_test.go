package service

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
)

// install puts programs where both hosts' lists allow them, and returns what runs the named one.
func (l *lab) install(program string) proto.Hook {
	l.t.Helper()
	for _, h := range l.hosts {
		l.must(os.MkdirAll(h.path("hooks"), 0o755))
		l.must(os.WriteFile(h.path("hooks/"+program), []byte("#!/bin/sh\n"), 0o755))
	}
	return proto.Hook{Exec: []string{l.hosts[0].path("hooks/" + program), "$HOME", "%n"}, User: "root"}
}

// call has a host run the hooks of a point.
func (l *lab) call(host int, fenceNumber uint64, hooks proto.Hooks, c proto.HookCall) proto.OperationResult {
	h := l.hosts[host]
	s := h.spec()
	s.Hooks = hooks
	return h.driver.Operate(context.Background(), proto.Operation{
		Kind: proto.OpHook, Instance: name, Migration: m1, Incarnation: 1, Fence: fenceNumber, Spec: s, Hook: &c,
	})
}

var anyCall = proto.HookCall{
	Point: proto.HookBeforeFreeze, Side: proto.HookSource, Source: "host-a", Target: "host-b", FromType: "m.small", ToType: "m.large", Attempt: 2,
}

func TestHooksAreToldTheFactsAndRunConfined(t *testing.T) {
	l := newLab(t)
	l.done(0, proto.OpAdopt, 1, "", nil)
	var ran []systemd.RunSpec
	l.hook = func(_ string, spec systemd.RunSpec) (systemd.RunResult, error) {
		ran = append(ran, spec)
		return systemd.RunResult{Why: "success", Output: "fine\n"}, nil
	}
	h := l.install("dns")
	h.Timeout = 7
	c := anyCall
	c.Point, c.Returns, c.Reason = proto.HookOnAbort, "m-0", "it said:\n\x1b[31mGLIDEPATH_HOST=evil\x00 \xff"+strings.Repeat("x", 5000)
	result := l.call(0, 1, proto.Hooks{OnAbort: []proto.Hook{h}}, c)
	if result.Error != nil || len(ran) != 1 {
		t.Fatalf("%v, ran %v", result.Error, ran)
	}
	got := ran[0]
	if d := cmp.Diff([]string{h.Exec[0], "$$HOME", "%n"}, got.Command); d != "" {
		t.Error(d)
	}
	if got.User != "root" || got.Timeout != 7*time.Second || got.MemoryMax == 0 || len(got.Caps) > 0 || len(got.Writable) > 0 || !strings.HasPrefix(got.Unit, "glidepath-") {
		t.Errorf("it is run as %+v", got)
	}
	reason := got.Env[len(got.Env)-1]
	if d := cmp.Diff([]string{
		"GLIDEPATH_HOOK=on-abort", "GLIDEPATH_ROLE=source", "GLIDEPATH_ATTEMPT=2", "GLIDEPATH_INSTANCE=cache-1", "GLIDEPATH_UNIT=" + unitName,
		"GLIDEPATH_ADDRESS=10.77.0.60", "GLIDEPATH_ADDRESS_PREFIX=10.77.0.60/24", "GLIDEPATH_ADDRESSES=10.77.0.60 10.77.0.61", "GLIDEPATH_MIGRATION=m-1", "GLIDEPATH_RETURNS=m-0",
		"GLIDEPATH_SOURCE=host-a", "GLIDEPATH_TARGET=host-b", "GLIDEPATH_HOST=host-a", "GLIDEPATH_PEER=host-b",
		"GLIDEPATH_FROM_TYPE=m.small", "GLIDEPATH_TO_TYPE=m.large", "GLIDEPATH_FENCE=1",
	}, got.Env[:len(got.Env)-1]); d != "" {
		t.Error(d)
	}
	if !strings.HasPrefix(reason, "GLIDEPATH_REASON=it said:  [31mGLIDEPATH_HOST=evil  ?xxx") || len(reason) > 1100 {
		t.Errorf("the reason is given as %q", reason)
	}
	if d := cmp.Diff([]proto.HookResult{{Program: h.Exec[0]}}, result.Hooks); d != "" {
		t.Error(d)
	}
}

func TestHooksThatFailSayHowAndOnlyThoseBeforeKeepWhatFollows(t *testing.T) {
	fails := map[string]systemd.RunResult{
		"bad":  {Why: "exit-code", ExitStatus: 3, Output: "trying\nNOTAUTH: " + strings.Repeat("y", 1000) + " the key\x07 is wrong\n"},
		"slow": {Why: "timeout"},
	}
	for _, c := range []struct {
		title   string
		point   proto.HookPoint
		hooks   []string // "!": its failure is ignored
		ran     []string
		says    []string // in the failure; none: it succeeds
		results int
	}{
		{"before", proto.HookBeforeStart, []string{"good", "bad", "good"}, []string{"good", "bad"}, []string{"before-start hook of instance cache-1 on host host-a: ", "ended with exit-code 3: ", "the key  is wrong", "journalctl"}, 2},
		{"before, ignored", proto.HookBeforeStart, []string{"bad!", "good"}, []string{"bad", "good"}, nil, 2},
		{"before, too slow", proto.HookBeforeFreeze, []string{"slow", "good"}, []string{"slow"}, []string{"did not end within 30s, and was killed"}, 1},
		{"after", proto.HookAfterFreeze, []string{"bad", "good", "slow"}, []string{"bad", "good", "slow"}, []string{"exit-code 3", "did not end"}, 3},
		{"on abort", proto.HookOnAbort, []string{"bad", "good"}, []string{"bad", "good"}, []string{"exit-code 3"}, 2},
		{"gone", proto.HookAfterConfirm, []string{"gone"}, []string{"gone"}, []string{"could not be run to its end", "no bus"}, 1},
	} {
		t.Run(c.title, func(t *testing.T) {
			l := newLab(t)
			l.done(0, proto.OpAdopt, 1, "", nil)
			var ran []string
			l.hook = func(_ string, spec systemd.RunSpec) (systemd.RunResult, error) {
				n := spec.Command[0][strings.LastIndex(spec.Command[0], "/")+1:]
				ran = append(ran, n)
				if n == "gone" {
					return systemd.RunResult{}, errors.New("no bus")
				}
				if r, ok := fails[n]; ok {
					return r, nil
				}
				return systemd.RunResult{Why: "success"}, nil
			}
			var list []proto.Hook
			for _, n := range c.hooks {
				h := l.install(strings.TrimSuffix(n, "!"))
				h.On = proto.HookBoth
				if strings.HasSuffix(n, "!") {
					h.Failure = proto.HookIgnore
				}
				list = append(list, h)
			}
			call := anyCall
			call.Point = c.point
			hooks := map[proto.HookPoint]proto.Hooks{
				proto.HookBeforeFreeze: {BeforeFreeze: list}, proto.HookAfterFreeze: {AfterFreeze: list}, proto.HookBeforeStart: {BeforeStart: list},
				proto.HookAfterConfirm: {AfterConfirm: list}, proto.HookOnAbort: {OnAbort: list},
			}[c.point]
			result := l.call(0, 1, hooks, call)
			if !slices.Equal(ran, c.ran) || len(result.Hooks) != c.results {
				t.Errorf("ran %q, results %+v", ran, result.Hooks)
			}
			if (result.Error == nil) != (len(c.says) == 0) {
				t.Fatalf("it ends with %v", result.Error)
			}
			for _, words := range c.says {
				if !strings.Contains(result.Error.Error(), words) || len(result.Error.Error()) > 1000 {
					t.Errorf("%q does not say %q", result.Error, words)
				}
			}
			for _, r := range result.Hooks {
				if (r.Failure == "") != strings.HasSuffix(r.Program, "/good") || len(r.Failure) > 400 {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

func TestHooksAreRefusedThatAreOldOrNotAllowed(t *testing.T) {
	l := newLab(t)
	h := l.install("dns")
	hooks := proto.Hooks{BeforeFreeze: []proto.Hook{h}}
	l.hook = func(string, systemd.RunSpec) (systemd.RunResult, error) {
		t.Error("something was run")
		return systemd.RunResult{}, nil
	}
	refusedFor(t, l.call(0, 1, hooks, anyCall), proto.FaultRefused, "not known here")
	l.done(0, proto.OpAdopt, 2, "", nil)
	refusedFor(t, l.call(0, 1, hooks, anyCall), proto.FaultStale, "newer decision")
	other := h
	other.User = "nobody"
	refusedFor(t, l.call(0, 2, proto.Hooks{BeforeFreeze: []proto.Hook{other}}, anyCall), proto.FaultNotAllowed, "hooks: [nobody:"+h.Exec[0]+"]")
	other = proto.Hook{Exec: []string{h.Exec[0], "a\nb"}, User: "root"}
	refusedFor(t, l.call(0, 2, proto.Hooks{BeforeFreeze: []proto.Hook{other}}, anyCall), proto.FaultRefused, "control characters")
	result := l.hosts[0].driver.Operate(context.Background(), proto.Operation{Kind: proto.OpHook, Instance: name, Incarnation: 1, Fence: 2, Spec: l.hosts[0].spec()})
	refusedFor(t, result, proto.FaultRefused, "upgrade the coordinators")
}

// TestHooksRunWhileAnotherOperationIsAtTheInstance holds that what a hook takes keeps neither operations nor the other host's question waiting.
func TestHooksRunWhileAnotherOperationIsAtTheInstance(t *testing.T) {
	l := newLab(t)
	h := l.install("dns")
	l.done(0, proto.OpAdopt, 1, "", nil)
	l.hook = func(string, systemd.RunSpec) (systemd.RunResult, error) {
		l.done(0, proto.OpFreeze, 2, m1, nil)
		return systemd.RunResult{Why: "success"}, nil
	}
	if result := l.call(0, 1, proto.Hooks{BeforeFreeze: []proto.Hook{h}}, anyCall); result.Error != nil {
		t.Error(result.Error)
	}
	l.expectFrozen(l.hosts[0])
}

// TestATargetDoesNotRefuseWhileItsHooksKeepTheSourceWaiting holds that hooks before the start may take longer than a source waits before it asks.
func TestATargetDoesNotRefuseWhileItsHooksKeepTheSourceWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		prepared(l)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		ask := func(migration string) (fence.Token, error) {
			token, _, err := l.hosts[1].driver.Refused(context.Background(), fence.Request{Instance: name, Migration: migration, Token: fence.Token{Incarnation: 1, Fence: 3}}, true)
			return token, err
		}
		expectBusy := func() {
			t.Helper()
			if token, err := ask(m1); wire.CodeOf(err) != wire.Unavailable || token != (fence.Token{}) {
				t.Errorf("it answers %v, %v", token, err)
			}
		}
		l.hook = func(string, systemd.RunSpec) (systemd.RunResult, error) {
			expectBusy()
			return systemd.RunResult{Why: "success"}, nil
		}
		h := l.install("dns")
		c := anyCall
		c.Point, c.Side = proto.HookBeforeStart, proto.HookTarget
		h.Exec[0] = l.hosts[1].path("hooks/dns")
		if result := l.call(1, 2, proto.Hooks{BeforeStart: []proto.Hook{h}}, c); result.Error != nil || len(result.Hooks) != 1 {
			t.Fatalf("%+v", result)
		}
		time.Sleep(hookGrace - time.Second)
		expectBusy()
		time.Sleep(time.Second)
		if token, err := ask(m1); err != nil || token != (fence.Token{Incarnation: 1, Fence: 3}) {
			t.Errorf("nobody carries the migration on, but it answers %v, %v", token, err)
		}
	})
}

// TestHooksThatCannotBeRunAreFoundBeforeAnythingIsPromised holds it for adoption, and for both hosts of a migration.
func TestHooksThatCannotBeRunAreFoundBeforeAnythingIsPromised(t *testing.T) {
	for title, c := range map[string]struct {
		spoil func(l *lab, h *proto.Hook)
		code  string
		word  string
	}{
		"missing":        {func(_ *lab, h *proto.Hook) { h.Exec[0] += "-new" }, proto.FaultRefused, "install it on every host"},
		"not executable": {func(l *lab, h *proto.Hook) { l.must(os.Chmod(h.Exec[0], 0o644)) }, proto.FaultRefused, "chmod 0755"},
		"a folder":       {func(l *lab, h *proto.Hook) { l.must(os.Remove(h.Exec[0])); l.must(os.Mkdir(h.Exec[0], 0o755)) }, proto.FaultRefused, "no program"},
		"not allowed":    {func(_ *lab, h *proto.Hook) { h.Exec[0] = "/bin/sh" }, proto.FaultNotAllowed, "hooks: [root:/bin/sh]"},
		"another user":   {func(_ *lab, h *proto.Hook) { h.User = "" }, proto.FaultNotAllowed, "hooks: [nobody:/"},
	} {
		for _, kind := range []proto.OperationKind{proto.OpAdopt, proto.OpVerifySource, proto.OpVerifyTarget} {
			t.Run(title+", "+string(kind), func(t *testing.T) {
				l := newLab(t)
				hook := l.install("dns")
				host, facts := l.hosts[0], (*proto.SourceFacts)(nil)
				if kind != proto.OpAdopt {
					l.done(0, proto.OpAdopt, 1, "", nil)
					facts = l.done(0, proto.OpVerifySource, 1, m1, nil).Source
				}
				if kind == proto.OpVerifyTarget {
					host = l.hosts[1]
					hook.Exec[0] = host.path("hooks/dns")
				}
				op := proto.Operation{Kind: kind, Instance: name, Migration: m1, Incarnation: 1, Fence: 1, Spec: host.spec(), Facts: facts}
				if kind == proto.OpAdopt {
					op.Migration = ""
				}
				c.spoil(l, &hook)
				op.Spec.Hooks.OnAbort = []proto.Hook{hook}
				refusedFor(t, host.driver.Operate(context.Background(), op), c.code, c.word)
				if n := len(host.driver.Fence.List()); n > 0 && kind != proto.OpVerifySource {
					t.Errorf("%d records were made", n)
				}
			})
		}
	}
}
