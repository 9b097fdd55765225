package proto

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Hooks are the commands of an operator's that a migration of an instance runs on its hosts, by when.
type Hooks struct {
	BeforeFreeze []Hook `msgpack:"bf" json:"before_freeze,omitempty" yaml:"before_freeze,omitempty"` // while clients are still served; on the source, unless they say otherwise
	AfterFreeze  []Hook `msgpack:"af" json:"after_freeze,omitempty" yaml:"after_freeze,omitempty"`   // beside the final round; on the source
	BeforeStart  []Hook `msgpack:"bs" json:"before_start,omitempty" yaml:"before_start,omitempty"`   // when the data are there; on the target
	AfterConfirm []Hook `msgpack:"ac" json:"after_confirm,omitempty" yaml:"after_confirm,omitempty"` // when clients are served again; on the target
	OnAbort      []Hook `msgpack:"oa" json:"on_abort,omitempty" yaml:"on_abort,omitempty"`           // where something had been begun; on both
}

// Hook is one command.
type Hook struct {
	Exec    []string `msgpack:"e" json:"exec" yaml:"exec"`                            // absolute path and arguments; no shell sees them
	User    string   `msgpack:"u" json:"user,omitzero" yaml:"user,omitempty"`         // who runs it; nobody by default
	Timeout Seconds  `msgpack:"t" json:"timeout_s,omitzero" yaml:"timeout,omitempty"` // after which it is killed; 0 is HookTimeout
	On      HookSide `msgpack:"o" json:"on,omitzero" yaml:"on,omitempty"`             // source, target or both; empty is what is usual at that point
	Failure string   `msgpack:"f" json:"failure,omitzero" yaml:"failure,omitempty"`   // before freeze and start: abort, the default, or ignore
}

// Limits on hooks.
const (
	MaxHooks       = 8        // at one point
	MaxHookArgs    = 32       // of one command, its path included
	MaxHookArg     = 1024     // bytes
	MaxHookBytes   = 16 << 10 // of the commands of all hooks of an instance
	HookTimeout    = 30 * time.Second
	HookTimeoutMax = 5 * time.Minute
)

// HookIgnore lets a migration go on although a hook failed before its freeze or start.
const HookIgnore = "ignore"

// HookPoint is when hooks run.
type HookPoint string

// The points, in the order in which a migration comes to them. A hook that fails before something gives the migration up;
// what failed afterwards is reported, and nothing more.
const (
	HookBeforeFreeze HookPoint = "before-freeze"
	HookAfterFreeze  HookPoint = "after-freeze"
	HookBeforeStart  HookPoint = "before-start"
	HookAfterConfirm HookPoint = "after-confirm"
	HookOnAbort      HookPoint = "on-abort"
)

// Before reports whether a hook that fails at the point keeps what comes after it from being done.
func (p HookPoint) Before() bool { return p == HookBeforeFreeze || p == HookBeforeStart }

// HookSide is a host's part in a migration.
type HookSide string

// The sides.
const (
	HookSource HookSide = "source"
	HookTarget HookSide = "target"
	HookBoth   HookSide = "both"
)

// usual returns where hooks of the point run that do not say it.
func (p HookPoint) usual() HookSide {
	switch p {
	case HookBeforeFreeze, HookAfterFreeze:
		return HookSource
	case HookBeforeStart, HookAfterConfirm:
		return HookTarget
	}
	return HookBoth
}

// HookCall asks an agent to run an instance's hooks of one point, and says what they are told.
type HookCall struct {
	Point    HookPoint `msgpack:"p" json:"point"`
	Side     HookSide  `msgpack:"sd" json:"side"` // the host's: source or target
	Source   string    `msgpack:"so" json:"source"`
	Target   string    `msgpack:"ta" json:"target"`
	FromType string    `msgpack:"ft" json:"from_type"`
	ToType   string    `msgpack:"tt" json:"to_type"`
	Returns  string    `msgpack:"rt" json:"returns,omitzero"` // the migration that this one undoes
	Reason   string    `msgpack:"re" json:"reason,omitzero"`  // on abort
	Attempt  int       `msgpack:"n" json:"attempt"`           // from 1
}

// LessRunning reports whether an agent that comes back and finds the call begun finishes it by itself: what follows the freeze on
// the source and the abort on the target leads away from being served there.
func (c HookCall) LessRunning() bool {
	return c.Point == HookAfterFreeze && c.Side == HookSource || c.Point == HookOnAbort && c.Side == HookTarget
}

// HookResult is what came of one hook.
type HookResult struct {
	Program string `msgpack:"p" json:"program"`
	Took    int64  `msgpack:"ms" json:"took_ms"`
	Failure string `msgpack:"f" json:"failure,omitzero"` // how it ended, and its last words; empty: it succeeded
}

// at returns a point's hooks.
func (h Hooks) at(p HookPoint) []Hook {
	switch p {
	case HookBeforeFreeze:
		return h.BeforeFreeze
	case HookAfterFreeze:
		return h.AfterFreeze
	case HookBeforeStart:
		return h.BeforeStart
	case HookAfterConfirm:
		return h.AfterConfirm
	case HookOnAbort:
		return h.OnAbort
	}
	return nil
}

// Run returns the hooks that run at a point on one side, in their order.
func (h Hooks) Run(p HookPoint, side HookSide) []Hook {
	var out []Hook
	for _, hook := range h.at(p) {
		if on := hook.Side(p); on == side || on == HookBoth {
			out = append(out, hook)
		}
	}
	return out
}

// HookPoints returns all points, in their order.
func HookPoints() []HookPoint {
	return []HookPoint{HookBeforeFreeze, HookAfterFreeze, HookBeforeStart, HookAfterConfirm, HookOnAbort}
}

// All returns the hooks of all points.
func (h Hooks) All() []Hook {
	return slices.Concat(h.BeforeFreeze, h.AfterFreeze, h.BeforeStart, h.AfterConfirm, h.OnAbort)
}

// ExecUser returns who runs the hook.
func (h Hook) ExecUser() string {
	if h.User == "" {
		return "nobody"
	}
	return h.User
}

// Time returns how long the hook may take.
func (h Hook) Time() time.Duration {
	if h.Timeout == 0 {
		return HookTimeout
	}
	return time.Duration(h.Timeout) * time.Second
}

// Side returns where the hook runs at a point.
func (h Hook) Side(p HookPoint) HookSide {
	if h.On == "" {
		return p.usual()
	}
	return h.On
}

// Problems names everything that is wrong with the hooks, each with its field and what to write instead.
func (h Hooks) Problems() (problems []string) {
	size := 0
	for _, p := range HookPoints() {
		field := "hooks." + strings.ReplaceAll(string(p), "-", "_")
		list := h.at(p)
		if len(list) > MaxHooks {
			problems = append(problems, fmt.Sprintf("%s: there are %d: use at most %d, or one that does it all", field, len(list), MaxHooks))
			continue
		}
		for n, hook := range list {
			for _, arg := range hook.Exec {
				size += len(arg)
			}
			for _, what := range hook.problems(p) {
				problems = append(problems, fmt.Sprintf("%s[%d].%s", field, n, what))
			}
		}
	}
	if size > MaxHookBytes {
		problems = append(problems, fmt.Sprintf("hooks: their commands have %d bytes in all: use at most %d, and keep the rest in a file on the hosts", size, MaxHookBytes))
	}
	return problems
}

func (h Hook) problems(p HookPoint) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	switch {
	case len(h.Exec) == 0:
		bad("exec: name a program by its absolute path, like [/etc/glidepath/hooks/dns]")
	case len(h.Exec) > MaxHookArgs:
		bad("exec: it has %d words: use at most %d", len(h.Exec), MaxHookArgs)
	case !path.IsAbs(h.Exec[0]) || path.Clean(h.Exec[0]) != h.Exec[0] || h.Exec[0] == "/" || strings.Contains(h.Exec[0], ":"):
		bad("exec: %q is not an absolute path in its shortest form, without a colon", clipped(h.Exec[0]))
	}
	for _, arg := range h.Exec {
		if len(arg) > MaxHookArg {
			bad("exec: a word of it has %d bytes: use at most %d", len(arg), MaxHookArg)
		} else if strings.ContainsFunc(arg, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
			bad("exec: %q has control characters or is no UTF-8: write a script that has them", arg)
		}
	}
	if h.User != "" && !userName(h.User) {
		bad("user: %q is no user's name: use letters, digits, '-', '_' and '.'", clipped(h.User))
	}
	if h.Timeout < 0 || h.Time() > HookTimeoutMax {
		bad("timeout: %s is not between 1s and %s", h.Time(), HookTimeoutMax)
	}
	if !slices.Contains([]HookSide{"", HookSource, HookTarget, HookBoth}, h.On) {
		bad("on: %q is none of source, target, both", clipped(string(h.On)))
	}
	switch {
	case !slices.Contains([]string{"", "abort", HookIgnore}, h.Failure):
		bad("failure: %q is neither abort nor ignore", clipped(h.Failure))
	case h.Failure == "abort" && !p.Before():
		bad("failure: what fails %s is reported, and gives nothing up: leave it out", strings.ReplaceAll(string(p), "-", " "))
	}
	return problems
}

// userName reports whether s can name a user, and nothing else.
func userName(s string) bool {
	return len(s) <= 32 && !strings.HasPrefix(s, "-") && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("-_.", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// clipped bounds what is repeated of a wrong value.
func clipped(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
