package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// reach starts a small fleet with an instance and an event, and points the command at it.
func reach(t *testing.T) *apitest.Fleet {
	t.Helper()
	f := apitest.New(t)
	f.Config.Forecast, f.Config.CallAgent, f.Config.Scores, f.Config.AllScores, f.Config.HostTasks = demand, readBack(f), scores, allScores, hostTasks
	pointAt(t, f)
	spec := apitest.Spec("cache-1")
	spec.Mode = proto.Enforce
	f.Must(&proto.InstanceApply{Spec: spec, Envelope: proto.Envelope{{Span: timeline.Span{Start: 1, End: timeline.Forever}, Firm: resource.Vector{resource.CPU: 100}}}})
	f.Adopt("cache-1")
	start := timeline.Of(time.Now())
	f.Must(&proto.EventPut{Event: proto.Event{ID: "sale", Kind: "campaign", Span: timeline.Span{Start: start, End: start + 3_600_000}, Instances: []string{"cache-1"}}})
	f.Must(&proto.CalendarPut{Calendar: proto.Calendar{Name: "sales", URL: "https://cal.example/a.ics", Every: 900_000, Instances: []string{"cache-1"}}})
	return f
}

// pointAt starts a fleet and points the command at it.
func pointAt(t *testing.T, f *apitest.Fleet) {
	t.Helper()
	pin := f.CA.Pin()
	t.Setenv("GLIDEPATH_ADDR", f.Start())
	t.Setenv("GLIDEPATH_TOKEN", f.Tokens[proto.RoleAdmin])
	t.Setenv("GLIDEPATH_CA_PIN", hex.EncodeToString(pin[:]))
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
}

// move starts a migration of cache-1, and undoes it if it is to be aborted.
func move(t *testing.T, f *apitest.Fleet, abort bool) string {
	t.Helper()
	code, out, stderr := glidepath(t, t.Context(), "migrate", "cache-1", "--to", "host-c", "--json")
	var m proto.Migration
	if err := json.Unmarshal([]byte(out), &m); code != exitFine || err != nil {
		t.Fatalf("%d %v %s", code, err, stderr)
	}
	if abort {
		i, _ := f.View().Instance("cache-1")
		f.Must(&proto.MigrationAbort{Migration: m.ID, Fence: i.Fence, Reason: "enough"})
		f.Must(&proto.MigrationEnd{Migration: m.ID, Outcome: proto.OutcomeAborted})
	}
	return m.ID
}

func glidepath(t *testing.T, ctx context.Context, args ...string) (code int, stdout, stderr string) { //nolint:revive // t is first in tests
	t.Helper()
	var out, err bytes.Buffer
	code = run(ctx, args, &out, &err)
	return code, out.String(), err.String()
}

func TestExitCodesSayWhatCameOfIt(t *testing.T) {
	f := reach(t)
	aborted := move(t, f, true)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		args string
		code int
		says string // on standard error
	}{
		{"done", t.Context(), "status", exitFine, ""},
		{"an error", t.Context(), "status --config /nonexistent.yaml", exitError, "no such file"},
		{"nobody answers", t.Context(), "status --address 127.0.0.1:1", exitError, "is glidepathd running there?"},
		{"none of several answers", t.Context(), "instance list --address 127.0.0.1:1,127.0.0.1:2", exitError, "127.0.0.1:2"},
		{"no command", t.Context(), "fly", exitUsage, "no command"},
		{"no flag", t.Context(), "status --fly", exitUsage, "unknown flag"},
		{"no argument", t.Context(), "instance show", exitUsage, "name the instance"},
		{"no kind", t.Context(), "stream node", exitUsage, "no kind of change"},
		{"no capacity", t.Context(), "plan migrate cache-1 --to host-b --type m.large", exitRefused, "host-b is short of cpu"},
		{"in use", t.Context(), "migrate cache-1 --to host-a", exitRefused, "name another target"},
		{"a decision came first", t.Context(), "migration abort " + aborted, exitRefused, ""},
		{"not there", t.Context(), "instance show nothing", exitNotFound, "glidepath instance list"},
		{"aborted", t.Context(), "migration watch " + aborted, exitAborted, "was aborted: enough"},
		{"interrupted", over, "status", exitInterrupted, "interrupted"},
		{"interrupted while it watches", over, "stream", exitInterrupted, ""},
		{"interrupted while it looks again", over, "status --watch", exitInterrupted, ""},
		{"interrupted while it looks again at hosts", over, "host list --watch", exitInterrupted, ""},
		{"interrupted while it looks again at a host", over, "host show host-a --watch", exitInterrupted, ""},
		{"interrupted while it looks again at an instance", over, "instance show cache-1 --watch", exitInterrupted, ""},
		{"interrupted while it looks again at reservations", over, "reservation list --watch", exitInterrupted, ""},
		{"interrupted while it looks again at calendars", over, "calendar list --watch", exitInterrupted, ""},
		{"interrupted while it looks again at coordinators", over, "operator raft list --watch", exitInterrupted, ""},
	} {
		code, _, stderr := glidepath(t, c.ctx, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.says) || c.says == "" && c.code == exitInterrupted && stderr != "" {
			t.Errorf("%s: %s: exit code %d, want %d; %q", c.name, c.args, code, c.code, stderr)
		}
	}
	t.Setenv("GLIDEPATH_TOKEN", f.Tokens[proto.RoleViewer])
	if code, _, stderr := glidepath(t, t.Context(), "token", "list"); code != exitRefused || !strings.Contains(stderr, "takes the role admin") {
		t.Errorf("a role that may not: exit code %d; %q", code, stderr)
	}
}

func TestNamesAreCompletedFromTheFleet(t *testing.T) {
	f := reach(t)
	id := move(t, f, false)
	token := ""
	for x := range f.View().Tokens() {
		token = x.ID
	}
	for line, want := range map[string]string{
		"instance show ": "cache-1", "instance release ": "cache-1", "instance observe ": "cache-1", "schedule show ": "cache-1", "forecast ": "cache-1", "forecast scorecard ": "cache-1",
		"history export ": "cache-1", "history import ": "cache-1", "migrate ": "cache-1", "plan migrate ": "cache-1",
		"migrate cache-1 --to ": "host-c", "migrate cache-1 --type ": "m.large", "type remove ": "m.large", "app remove ": "redis", "host show ": "host-b",
		"migration show ": id, "migration watch ": id, "migration abort ": id, "migration return ": id,
		"token revoke ": token, "token create --role ": "operator", "event remove ": "sale", "calendar show ": "sales", "calendar remove ": "sales", "calendar add x y --instance ": "cache-1",
		"reservation list --host ": "host-a", "reservation list --instance ": "cache-1", "migration list --instance ": "cache-1",
		"event add campaign --instance ": "cache-1", "forecast cache-1 --resource ": "net_tx", "forecast scorecard --resource ": "net_tx", "migrate cache-1 --at ": "best", "forecast s": "scorecard\tShow how forecasts fared against what came, beside simpler ones", "stream ": "migration",
	} {
		args := append([]string{"__complete"}, strings.Split(line, " ")...)
		code, out, stderr := glidepath(t, t.Context(), args...)
		if code != exitFine || !slices.Contains(strings.Split(out, "\n"), want) {
			t.Errorf("%q: %d, %q without %s; %s", line, code, out, want, stderr)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, _ := glidepath(t, t.Context(), "completion", shell); code != exitFine || !strings.Contains(out, "glidepath") {
			t.Errorf("%s: %d", shell, code)
		}
	}
	for _, line := range []string{"migrate cache-1 --before ", "host drain host-a --reason ", "host window add host-a --amount ", "policy set --ratio ", "plan list --address "} {
		args := append([]string{"__complete"}, strings.Split(line, " ")...)
		if _, out, _ := glidepath(t, t.Context(), args...); !strings.HasPrefix(out, ":4\n") { // no names, and no files
			t.Errorf("%q: %q", line, out)
		}
	}
	for _, line := range []string{"reservation create --file ", "host calendar host-a --svg ", "status --config "} {
		args := append([]string{"__complete"}, strings.Split(line, " ")...)
		if _, out, _ := glidepath(t, t.Context(), args...); !strings.HasPrefix(out, ":0\n") { // files
			t.Errorf("%q: %q", line, out)
		}
	}
	if _, out, _ := glidepath(t, t.Context(), "__complete", "instance", "show", "cache-1", ""); strings.Contains(out, "cache-1") {
		t.Errorf("a second argument is completed: %q", out)
	}
}

// follower takes what a stream prints, and does something once it has begun.
type follower struct {
	bytes.Buffer
	once  sync.Once
	begun func()
}

func (f *follower) Write(b []byte) (int, error) {
	defer f.once.Do(f.begun)
	return f.Buffer.Write(b)
}

func TestTheStreamIsPrintedUntilItIsInterrupted(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		f := reach(t)
		ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
		defer interrupt()
		out := &follower{begun: func() {
			f.Must(&proto.HostSet{Host: "host-b", Cordoned: true})
			f.Must(&proto.TypePut{Type: proto.InstanceType{Name: "m.tiny", Max: resource.Vector{resource.CPU: 50}}})
		}}
		var stderr bytes.Buffer
		args := []string{"stream", "host", "type"}
		if asJSON {
			args = append(args, "--json")
		}
		code := run(ctx, args, writer(func(b []byte) (int, error) {
			defer func() {
				if strings.Contains(out.String(), "m.tiny") {
					interrupt()
				}
			}()
			return out.Write(b)
		}), &stderr)
		text := out.String()
		if code != exitInterrupted || stderr.Len() > 0 || strings.Count(text, "\n") != 3 {
			t.Errorf("exit code %d, %q, %q", code, text, stderr.String())
		}
		if !asJSON && (!strings.Contains(text, "host         host-b  changed  cordoned, home c1\n") || !strings.Contains(text, "type         m.tiny  added  cpu 50m")) {
			t.Errorf("%s", text)
		}
		if asJSON {
			last := v1.Change{}
			lines := strings.Split(strings.TrimSpace(text), "\n")
			if err := json.Unmarshal([]byte(lines[2]), &last); err != nil || last.Type == nil || last.Type.Name != "m.tiny" || last.Index != f.View().Applied() {
				t.Errorf("%v: %s", err, text)
			}
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
