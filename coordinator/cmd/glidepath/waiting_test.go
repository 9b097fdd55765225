package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// slow starts a fleet whose agents neither adopt nor release, nor lift limits of stubborn-1. Each request is told of by its route.
func slow(t *testing.T, asked func(route string)) {
	t.Helper()
	f := apitest.New(t)
	f.Config.CallAgent = readBack(f)
	f.Config.Requested = func(route string, _ int, _ time.Duration) { asked(route) }
	f.Executor = false
	pointAt(t, f)
	for _, name := range []string{"cache-1", "stubborn-1"} {
		s := apitest.Spec(name)
		s.Mode, s.Service.Unit, s.Address = proto.Enforce, name+".service", ""
		f.Must(&proto.InstanceApply{Spec: s, Envelope: proto.Envelope{{Span: timeline.Span{Start: 1, End: timeline.Forever}, Firm: resource.Vector{resource.CPU: 100}}}})
		f.Adopt(name)
	}
}

// webFile is an instance that is not there yet.
func webFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "web-1.yaml")
	if err := os.WriteFile(name, []byte(spec()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCommandsWaitForTheAgentAlsoWithJSON(t *testing.T) {
	slow(t, func(string) {})
	for _, c := range []struct{ args, says string }{
		{"instance apply -f " + webFile(t), "the agent on host-a did not take over instance web-1 within 1ms: it goes on; see glidepath instance show web-1"},
		{"pause --instance stubborn-1", "1 instance has not been seen without limits within 1ms"},
		{"instance release cache-1", "the agent on host-a did not release instance cache-1 within 1ms: it goes on; see glidepath instance show cache-1"},
	} {
		for _, more := range []string{"", " --json"} {
			code, out, stderr := glidepath(t, t.Context(), strings.Fields(c.args+" --timeout 1ms"+more)...)
			if code != exitError || !strings.Contains(stderr, c.says) {
				t.Errorf("%s%s: exit code %d, %q, %q", c.args, more, code, out, stderr)
			}
			var paused v1.PauseReply
			if more != "" && strings.HasPrefix(c.args, "pause") && (json.Unmarshal([]byte(out), &paused) != nil || !paused.Paused) {
				t.Errorf("that it is paused is not told: %q", out)
			}
			if code, _, stderr := glidepath(t, t.Context(), strings.Fields(c.args+" --no-wait"+more)...); code != exitFine {
				t.Errorf("%s%s: exit code %d, %q", c.args, more, code, stderr)
			}
		}
	}
}

func TestInterruptingAWaitLeavesAloneWhatWasBegunAndSaysHowToLook(t *testing.T) {
	for _, c := range []struct{ args, route, says string }{
		{"instance apply -f FILE", "GET /v1/instances/{name}", "It goes on: the agent on host-a is still to take over instance web-1. See:  glidepath instance show web-1\n"},
		{"instance release cache-1", "GET /v1/instances/{name}", "It goes on: the agent on host-a is still to release instance cache-1. See:  glidepath instance show cache-1\n"},
		{"pause --instance stubborn-1", "GET /v1/instances/{name}/schedule", "Instance stubborn-1 stays paused, and agents lift its limits as they hear of it. See:  glidepath schedule show stubborn-1\n"},
		{"instance apply -f FILE --json", "GET /v1/instances/{name}", "See:  glidepath instance show web-1\n"},
		{"instance release cache-1 --json", "GET /v1/instances/{name}", "See:  glidepath instance show cache-1\n"},
		{"pause --instance stubborn-1 --json", "GET /v1/instances/{name}/schedule", "See:  glidepath schedule show stubborn-1\n"},
	} {
		t.Run(c.args, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			slow(t, func(route string) {
				if route == c.route {
					interrupt()
				}
			})
			code, _, stderr := glidepath(t, ctx, strings.Fields(strings.ReplaceAll(c.args, "FILE", webFile(t)))...)
			if code != exitInterrupted || !strings.HasSuffix(stderr, c.says) {
				t.Errorf("exit code %d, %q", code, stderr)
			}
		})
	}
}

func TestATerminalShowsWhatIsWaitedFor(t *testing.T) {
	slow(t, func(string) {})
	for args, says := range map[string]string{
		"instance apply -f " + webFile(t): "waiting for the agent on host-a to take over instance web-1, for 0s of at most 1ms",
		"instance release cache-1":        "waiting for the agent on host-a to release instance cache-1",
		"pause --instance stubborn-1":     "waiting for the agent on host-a: limits of 0 of 1 instance are lifted",
	} {
		stderr := &screen{columns: 120}
		run(t.Context(), strings.Fields(args+" --timeout 1ms"), io.Discard, stderr)
		if got := stderr.String(); !strings.Contains(got, "\r\x1b[K"+says) || !strings.Contains(got, "\r\x1b[Kglidepath: ") {
			t.Errorf("%s: %q", args, got)
		}
		var plain bytes.Buffer
		run(t.Context(), strings.Fields(args+" --timeout 1ms"), io.Discard, &plain)
		if strings.Contains(plain.String(), "waiting") {
			t.Errorf("%s, where no terminal is: %q", args, plain.String())
		}
	}
}

func TestWhoInterruptsAChangeIsToldWhatShowsWhetherItWasDone(t *testing.T) {
	hold := filepath.Join(t.TempDir(), "r.yaml")
	if err := os.WriteFile(hold, []byte("id: night\nhost: host-b\nsteps:\n- {to: +4h, firm: {cpu: 100m}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, see := range map[string]string{
		"host drain host-b":                         "glidepath host drain show host-b",
		"reservation create -f " + hold:             "glidepath reservation list --host host-b",
		"host window add host-b --whole --from +1h": "glidepath host window list host-b",
		"policy set --z 2":                          "glidepath policy show",
	} {
		f := reach(t)
		ctx, interrupt := context.WithCancel(t.Context())
		propose := f.Config.Propose
		f.Config.Propose = func(asked context.Context, id, actor string, body proto.Body) (proto.Result, error) {
			r, err := propose(asked, id, actor, body)
			interrupt()
			<-asked.Done() // the answer gets nowhere
			return r, err
		}
		pointAt(t, f)
		code, _, stderr := glidepath(t, ctx, strings.Fields(args)...)
		interrupt()
		if code != exitInterrupted || !strings.Contains(stderr, "It is not known whether ") || !strings.Contains(stderr, "See:  "+see+"\n") {
			t.Errorf("%s: %d, %q", args, code, stderr)
		}
	}
}

func TestWhoChangesThePolicyWhileOthersDoLeavesTheirsAsItIs(t *testing.T) {
	f := reach(t)
	propose, first := f.Config.Propose, true
	f.Config.Propose = func(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error) {
		if _, puts := body.(*proto.PolicyPut); puts && first {
			first = false
			other := f.View().Fleet().Policy
			other.MovesFleet = 5
			f.Must(&proto.PolicyPut{Policy: other})
		}
		return propose(ctx, id, actor, body)
	}
	pointAt(t, f)
	code, _, stderr := glidepath(t, t.Context(), "policy", "set", "--z", "1.5")
	if p := f.View().Fleet().Policy; code != exitFine || p.Z != 1500 || p.MovesFleet != 5 {
		t.Errorf("%d, %q: z %d, %d moves in the fleet", code, stderr, p.Z, p.MovesFleet)
	}
}
