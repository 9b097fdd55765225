package proto

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAnInstanceWithoutHooksIsEncodedAsBefore holds that programs from before there were hooks see no change.
func TestAnInstanceWithoutHooksIsEncodedAsBefore(t *testing.T) {
	spec := InstanceSpec{Name: "cache-1", Driver: "service", Service: &ServiceSpec{Unit: "redis-server.service"}, Host: "host-a", Type: "m.small", Class: Critical, Mode: Observe}
	b, err := Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	const before = "87a16ea763616368652d31a164a773657276696365a2737681a175b472656469732d7365727665722e73657276696365a168a6686f73742d61a174a76d2e736d616c6ca163a8637269746963616ca16da76f627365727665"
	if got := hex.EncodeToString(b); got != before {
		t.Errorf("it is encoded as %s", got)
	}
	spec.Hooks.OnAbort = []Hook{{Exec: []string{"/bin/true"}}}
	with, err := Marshal(spec)
	if err != nil || !bytes.Contains(with, []byte("/bin/true")) {
		t.Fatalf("%x, %v", with, err)
	}
	var got InstanceSpec
	if err := Unmarshal(with, &got); err != nil || cmp.Diff(spec, got) != "" {
		t.Errorf("%v, %s", err, cmp.Diff(spec, got))
	}
}

func TestHooksRunWhereTheyBelongUnlessTheySayOtherwise(t *testing.T) {
	named := func(program string, on HookSide) Hook { return Hook{Exec: []string{program}, On: on} }
	h := Hooks{
		BeforeFreeze: []Hook{named("/1", ""), named("/2", HookTarget), named("/3", HookBoth)},
		AfterFreeze:  []Hook{named("/1", "")},
		BeforeStart:  []Hook{named("/1", ""), named("/2", HookSource)},
		AfterConfirm: []Hook{named("/1", "")},
		OnAbort:      []Hook{named("/1", ""), named("/2", HookSource)},
	}
	for _, c := range []struct {
		point          HookPoint
		source, target string
	}{
		{HookBeforeFreeze, "/1 /3", "/2 /3"},
		{HookAfterFreeze, "/1", ""},
		{HookBeforeStart, "/2", "/1"},
		{HookAfterConfirm, "", "/1"},
		{HookOnAbort, "/1 /2", "/1"},
	} {
		for side, want := range map[HookSide]string{HookSource: c.source, HookTarget: c.target} {
			var got []string
			for _, hook := range h.Run(c.point, side) {
				got = append(got, hook.Exec[0])
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s on the %s: %v, want %s", c.point, side, got, want)
			}
		}
	}
	if len(h.All()) != 9 {
		t.Errorf("all are %v", h.All())
	}
}

func TestWhatIsWrongWithHooksIsNamedWithItsField(t *testing.T) {
	ok := []string{"/etc/glidepath/hooks/dns"}
	big := Hook{Exec: ok}
	for range 8 {
		big.Exec = append(big.Exec[:len(big.Exec):len(big.Exec)], strings.Repeat("x", MaxHookArg))
	}
	for title, c := range map[string]struct {
		hooks Hooks
		want  string // "" for none
	}{
		"right":      {Hooks{BeforeFreeze: []Hook{{Exec: append(ok, "a b", "ü", "$X"), User: "bind", Timeout: 5, On: HookBoth, Failure: "ignore"}}, OnAbort: []Hook{{Exec: ok, Failure: "ignore"}}}, ""},
		"no program": {Hooks{BeforeFreeze: []Hook{{}}}, "hooks.before_freeze[0].exec: name a program"},
		"no path":    {Hooks{OnAbort: []Hook{{Exec: ok}, {Exec: []string{"dns"}}}}, `hooks.on_abort[1].exec: "dns" is not an absolute path`},
		"dots":       {Hooks{OnAbort: []Hook{{Exec: []string{"/etc/../bin/sh"}}}}, "hooks.on_abort[0].exec"},
		"colon":      {Hooks{OnAbort: []Hook{{Exec: []string{"/a:b"}}}}, "colon"},
		"newline":    {Hooks{AfterFreeze: []Hook{{Exec: append(ok, "a\nb")}}}, "control characters"},
		"nul":        {Hooks{AfterFreeze: []Hook{{Exec: append(ok, "a\x00b")}}}, "control characters"},
		"bytes":      {Hooks{AfterFreeze: []Hook{{Exec: append(ok, "\xff")}}}, "UTF-8"},
		"words":      {Hooks{AfterFreeze: []Hook{{Exec: append(ok, make([]string, MaxHookArgs)...)}}}, "use at most 32"},
		"long":       {Hooks{AfterFreeze: []Hook{{Exec: append(ok, strings.Repeat("x", MaxHookArg+1))}}}, "has 1025 bytes"},
		"user":       {Hooks{AfterFreeze: []Hook{{Exec: ok, User: "a:b"}}}, `hooks.after_freeze[0].user: "a:b"`},
		"time":       {Hooks{BeforeStart: []Hook{{Exec: ok, Timeout: 301}}}, "hooks.before_start[0].timeout: 5m1s is not between 1s and 5m0s"},
		"negative":   {Hooks{BeforeStart: []Hook{{Exec: ok, Timeout: -1}}}, "hooks.before_start[0].timeout"},
		"side":       {Hooks{BeforeStart: []Hook{{Exec: ok, On: "here"}}}, `hooks.before_start[0].on: "here" is none of source, target, both`},
		"failure":    {Hooks{BeforeStart: []Hook{{Exec: ok, Failure: "retry"}}}, `hooks.before_start[0].failure: "retry"`},
		"too late":   {Hooks{AfterConfirm: []Hook{{Exec: ok, Failure: "abort"}}}, "hooks.after_confirm[0].failure: what fails after confirm is reported"},
		"all":        {Hooks{AfterConfirm: []Hook{big, big}}, "hooks: their commands have 16432 bytes in all: use at most 16384"},
		"many":       {Hooks{AfterConfirm: make([]Hook, MaxHooks+1)}, "hooks.after_confirm: there are 9: use at most 8"},
	} {
		got := c.hooks.Problems()
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", title, got, c.want)
		}
	}
}
