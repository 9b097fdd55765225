package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/proto"
)

// command runs a command line.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

func TestExitCodesSayWhatKindOfFailureItWas(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(config, []byte("name: host-a\ndata_dir: "+dir+"/data\nrun_dir: "+dir+"/run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("nam: host-a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"version"}, exitFine, ""},
		{[]string{"fly"}, exitUsage, "glidepath-agent help"},
		{[]string{"run", "--fly"}, exitUsage, "glidepath-agent help run"},
		{[]string{"may-run"}, exitUsage, "accepts 1 arg"},
		{[]string{"run", "--config", broken}, exitError, `did you mean "name"?`},
		{[]string{"run", "--config", config}, exitError, "glidepath-agent join --token"},
		{[]string{"run", "--config", config, "--log-level", "loud"}, exitError, "log.level"},
		{[]string{"run", "--config", config, "--log-format", "xml"}, exitError, "log.format"},
		{[]string{"status", "--config", config}, exitError, "glidepath-agent join --token"},
		{[]string{"pause", "--config", config}, exitError, "glidepath-agent join --token"},
		{[]string{"resume", "--config", config}, exitError, "glidepath-agent join --token"},
		{[]string{"pause", "host-a"}, exitUsage, "glidepath-agent help pause"},
		{[]string{"join", "--config", config, "--token", "nonsense"}, exitError, "glidepath token create --role agent"},
		{[]string{"join", "--config", config}, exitUsage, "glidepath token create --role agent"},
	} {
		code, _, stderr := command(t, test.args...)
		if code != test.code || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d, want %d; %s", test.args, code, test.code, stderr)
		}
	}
}

func TestMayRunSaysNoWithItsReasonAndNothingWhenItMay(t *testing.T) {
	dir := t.TempDir()
	records := filepath.Join(dir, "fence")
	if err := os.Mkdir(records, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := fence.Open(durable.OS{}, records)
	if err != nil {
		t.Fatal(err)
	}
	enter := func(at uint64, f func(fence.Record, fence.Request) (fence.Record, error)) {
		t.Helper()
		q := fence.Request{Instance: "cache-1", Migration: "m-1", Token: fence.Token{Incarnation: 1, Fence: at}, Units: []string{"redis.service"}, Spec: proto.InstanceSpec{Name: "cache-1"}}
		if _, err := store.Change("cache-1", func(r fence.Record) (fence.Record, error) { return f(r, q) }); err != nil {
			t.Fatal(err)
		}
	}
	enter(1, fence.Record.Adopt)
	if code, out, stderr := command(t, "may-run", "--data-dir", dir, "redis.service"); code != exitFine || out+stderr != "" {
		t.Errorf("owner: exit code %d, %q", code, out+stderr)
	}
	enter(2, fence.Record.Freeze)
	code, _, stderr := command(t, "may-run", "--data-dir", dir, "redis.service")
	if code != exitRefused || !strings.HasPrefix(stderr, "instance cache-1 is frozen here") {
		t.Errorf("frozen: exit code %d, %q", code, stderr)
	}
	if code, _, _ := command(t, "may-run", "--data-dir", dir, "other.service"); code != exitFine {
		t.Errorf("a unit that is nobody's: exit code %d", code)
	}
	if code, _, _ := command(t, "may-run", "--data-dir", filepath.Join(dir, "missing"), "redis.service"); code != exitRefused {
		t.Errorf("without records: exit code %d", code)
	}
}

func TestRetentionListsWhatInstancesLeftHere(t *testing.T) {
	dir := t.TempDir()
	config, data := filepath.Join(dir, "agent.yaml"), filepath.Join(dir, "retained", "data")
	note := `{"instance": "cache-1", "migration": "m-1", "at": 1700000000000, "moves": [{"from": "/gone", "to": "` + data + `"}], "bytes": 3145728, "files": 7, "measured": true}`
	if err := errors.Join(os.MkdirAll(data, 0o700), os.WriteFile(filepath.Join(dir, "retained", "cache-1-m-1.json"), []byte(note), 0o600),
		os.WriteFile(config, []byte("name: host-a\ndata_dir: "+dir+"/agent\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := command(t, "retention", "--config", config)
	if code != exitFine || !strings.Contains(out, "cache-1") || !strings.Contains(out, "3 MiB in 7 files") || !strings.Contains(out, data) || !strings.Contains(out, "2023-11-14") {
		t.Errorf("exit code %d, %q, %q", code, out, stderr)
	}
	if code, out, _ := command(t, "retention", "--config", config, "--older-than", "40000d"); code != exitFine || strings.Contains(out, "cache-1") {
		t.Errorf("exit code %d, %q", code, out)
	}
	if code, _, stderr := command(t, "retention", "--config", config, "--older-than", "week"); code != exitUsage || !strings.Contains(stderr, "36h or 7d") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	if code, out, _ := command(t, "retention", "--config", config, "--older-than", "7d"); code != exitFine || !strings.Contains(out, "cache-1") {
		t.Errorf("exit code %d, %q", code, out)
	}
	if code, out, _ := command(t, "retention", "--config", config, "--json"); code != exitFine || !strings.Contains(out, `"bytes": 3145728`) {
		t.Errorf("exit code %d, %q", code, out)
	}
}

// narrow is a terminal.
type narrow struct{ bytes.Buffer }

func (*narrow) Width() int { return 60 }

func TestTablesFitTheTerminalAndWhatToDoIsNotCut(t *testing.T) {
	long := strings.Repeat("/var/lib/redis ", 9)
	var out narrow
	why := "instance cache-1 is frozen here by migration m-1: wait until it has ended, or see glidepath migration show m-1"
	err := errors.Join(
		printRetention(&out, proto.Retention{Items: []proto.Retained{{Instance: "cache-1", Migration: "m-1", Paths: []string{long}}}}),
		printStatus(&out, agent.Status{Host: "host-a", Coordinators: []string{long}, Instances: []agent.InstanceStatus{
			{Instance: "cache-1", Unit: "redis.service", State: proto.FenceFrozen, Active: "inactive", Why: why, Limits: []proto.LimitFile{{Name: "io.max", Value: long + "\n" + long}}},
		}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "  may not run: "+why+"\n") || !strings.Contains(out.String(), "\n\nInstance  cache-1: frozen") {
		t.Errorf("%s", out.String())
	}
	for line := range strings.Lines(out.String()) {
		if len([]rune(line)) > 61 && !strings.Contains(line, why) {
			t.Errorf("a line of %d characters: %q", len([]rune(line)), line)
		}
	}
}

// What is asked before the package is purged: an instance that is nowhere but in this host's record must not be lost with it.
func TestRecordsOfAMigrationMayNotBePurged(t *testing.T) {
	q := fence.Request{Instance: "cache-1", Migration: "m-1", Units: []string{"redis.service"}, Spec: proto.InstanceSpec{Name: "cache-1"}}
	at := func(n uint64) fence.Request { q.Token = fence.Token{Incarnation: 1, Fence: n}; return q }
	now, err := fence.Now()
	if err != nil {
		t.Fatal(err)
	}
	adopt := func(r fence.Record) (fence.Record, error) { return r.Adopt(at(1)) }
	freeze := func(r fence.Record) (fence.Record, error) { return r.Freeze(at(2)) }
	retire := func(r fence.Record) (fence.Record, error) { return r.Retire(at(3)) }
	prepare := func(r fence.Record) (fence.Record, error) { return r.Prepare(at(1)) }
	start := func(r fence.Record) (fence.Record, error) {
		return r.Start(at(2), fence.NewPermit(now, time.Hour), now)
	}
	confirm := func(r fence.Record) (fence.Record, error) { return r.Confirm(at(2), now) }
	for _, test := range []struct {
		name    string
		steps   []func(fence.Record) (fence.Record, error)
		sending bool
		says    string
	}{
		{name: "a host that never joined"},
		{"an owner", []func(fence.Record) (fence.Record, error){adopt}, false, ""},
		{"a source whose data are being copied", []func(fence.Record) (fence.Record, error){adopt}, true, "being copied from here: wait until migration m-1 has ended"},
		{"a frozen source", []func(fence.Record) (fence.Record, error){adopt, freeze}, true, "instance cache-1 is frozen here"},
		{"a source that gave the instance away", []func(fence.Record) (fence.Record, error){adopt, freeze, retire}, false, ""},
		{"a target", []func(fence.Record) (fence.Record, error){prepare}, false, "prepared as the target of instance cache-1"},
		{"a target that starts", []func(fence.Record) (fence.Record, error){prepare, start}, false, "is starting here"},
		{"a target that was confirmed", []func(fence.Record) (fence.Record, error){prepare, start, confirm}, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if len(test.steps) > 0 {
				if err := os.Mkdir(filepath.Join(dir, "fence"), 0o700); err != nil {
					t.Fatal(err)
				}
				store, err := fence.Open(durable.OS{}, filepath.Join(dir, "fence"))
				if err != nil {
					t.Fatal(err)
				}
				for _, step := range test.steps {
					if _, err := store.Change("cache-1", step); err != nil {
						t.Fatal(err)
					}
				}
			}
			if test.sending {
				if err := os.MkdirAll(filepath.Join(dir, "transfer", "send", "m-1"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			code, _, stderr := command(t, "may-purge", "--data-dir", dir)
			if want := map[bool]int{true: exitFine, false: exitRefused}[test.says == ""]; code != want || !strings.Contains(stderr, test.says) {
				t.Errorf("exit code %d, want %d: %s", code, want, stderr)
			}
			if n := strings.Count(stderr, "glidepath migration abort m-1"); test.says != "" && n != 1 {
				t.Errorf("%d times said what to do: %s", n, stderr)
			}
		})
	}
	damaged := t.TempDir()
	if err := os.MkdirAll(filepath.Join(damaged, "fence"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged, "fence", "cache-1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, "may-purge", "--data-dir", damaged); code != exitRefused || !strings.Contains(stderr, "cache-1.json") {
		t.Errorf("a record that can't be read: exit code %d: %s", code, stderr)
	}
}

func TestAnInterruptEndsACommandWithItsOwnCode(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, stderr bytes.Buffer
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(config, []byte("name: host-a\ndata_dir: "+dir+"/data\nrun_dir: "+dir+"/run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A well-formed token of nobody's fleet, at an address where nobody is.
	token := mint(t, "127.0.0.1:9")
	if code := run(ctx, []string{"join", "--config", config, "--token", token}, &out, &stderr); code != exitInterrupted {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

func TestAnInterruptEndsWhatReadsTheToken(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.yaml")
	in, never, err := os.Pipe()
	if err = errors.Join(err, os.WriteFile(config, []byte("name: host-a\ndata_dir: "+dir+"/data\nrun_dir: "+dir+"/run\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	was := os.Stdin
	os.Stdin = in
	t.Cleanup(func() {
		os.Stdin = was
		never.Close() // what reads ends
	})
	ctx, interrupt := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, interrupt)
	var out, stderr bytes.Buffer
	if code := run(ctx, []string{"join", "--config", config, "--token", "-"}, &out, &stderr); code != exitInterrupted {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

func TestHelpAndManualNameEveryCommandThatPeopleUse(t *testing.T) {
	_, help, _ := command(t, "help")
	dir := t.TempDir()
	if code, _, stderr := command(t, "man", dir); code != exitFine {
		t.Fatal(stderr)
	}
	page, err := os.ReadFile(filepath.Join(dir, "glidepath-agent.1"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), ".SH EXIT STATUS\n0 fine, 1 error, 2 usage, 3 refused, 130 interrupted.\n") {
		t.Error("the exit codes are not in the manual")
	}
	for _, name := range []string{"run", "join", "status", "pause", "resume", "retention", "version"} {
		if !strings.Contains(help, "  "+name) || !strings.Contains(string(page), `glidepath\-agent `+name) {
			t.Errorf("%s is missing in the help or the manual", name)
		}
	}
	for _, name := range []string{"sync-shell", "sync-spawn", "sync-worker", "lift", "may-purge"} {
		if strings.Contains(help, "  "+name) {
			t.Errorf("%s, which is for programs, is in the help", name)
		}
	}
}

// mint makes a join token of a fleet that is nowhere.
func mint(t *testing.T, addr string) string {
	t.Helper()
	ca, err := pki.NewFleet(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token, err := pki.MintJoin(pki.Agent, "", ca.Pin(), []string{addr}, time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return token.Encode()
}
