package service

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/glidepath/glidepath/proto"
)

// examples is where the hooks lie that the package brings.
const examples = "../../../packaging/agent/hooks"

// fakes stand for what the examples call: they note what they are asked and answer what is wanted.
var fakes = map[string]string{
	"nsupdate": `echo "nsupdate $*" >>"$ASKED"; cat >>"$ASKED"; exit "${FAIL:-0}"`,
	"socat":    `echo "socat $*" >>"$ASKED"; cat >>"$ASKED"; echo "${SAYS-}"`,
	"birdc":    `echo "birdc $*" >>"$ASKED"; printf 'BIRD 2.0.12 ready.\n%s\n' "${SAYS-$4: ${3}d}"; exit "${FAIL:-0}"`,
	"curl":     `echo "curl" >>"$ASKED"; printf '%s\n' "$@" >>"$ASKED"; printf '%s' "${SAYS-204}"; exit "${FAIL:-0}"`,
}

// example runs one of them as a hook of a migration from host-a to host-b, with fakes in its PATH. It returns what was asked of those, and how it ended.
func example(t *testing.T, args []string, p proto.HookPoint, side proto.HookSide, env ...string) (asked, says string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range fakes {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	j := &job{op: proto.Operation{Instance: name, Migration: m1, Fence: 7, Spec: proto.InstanceSpec{Address: "10.77.0.60/24"}}}
	cmd := exec.Command("/bin/sh", append([]string{filepath.Join(examples, args[0])}, args[1:]...)...)
	cmd.Env = append(j.hookFacts(proto.HookCall{Point: p, Side: side, Source: "host-a", Target: "host-b", Attempt: 1}), "PATH="+dir+":/usr/bin:/bin", "ASKED="+dir+"/asked")
	cmd.Env = append(cmd.Env, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	text, readErr := os.ReadFile(dir + "/asked")
	if readErr != nil && !os.IsNotExist(readErr) {
		t.Fatal(readErr)
	}
	return string(text), out.String(), err
}

func TestExamplesTellTheWorldWhereAnInstanceIsServed(t *testing.T) {
	key := filepath.Join(t.TempDir(), "dns.key")
	if err := os.WriteFile(key, []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	dns := []string{"dns", "cache-1.example.org", "hosts.example.org.", "30", key}
	lb := []string{"haproxy", "lb-1", "web", "9999"}
	bgp := []string{"bird", "cache_1"}
	web := []string{"http", "https://firewall.example.org/moves", key}
	name := func(host string) string {
		return "nsupdate -k " + key + " -t 10\nupdate delete cache-1.example.org. CNAME\nupdate add cache-1.example.org. 30 CNAME " + host + ".hosts.example.org.\nsend\n"
	}
	server := func(host, state string) string {
		return "socat -t 5 -T 5 - TCP:lb-1:9999\nset server web/" + host + " state " + state + "\n"
	}
	route := func(verb string) string { return "birdc -s /run/bird/bird.ctl " + verb + " cache_1\n" }
	posted := func(hook, role string) string {
		var b strings.Builder
		b.WriteString("curl\n--disable\n--silent\n--show-error\n--connect-timeout\n5\n--output\n/dev/null\n--write-out\n%{http_code}\n")
		for _, field := range []string{
			"hook=" + hook, "role=" + role, "source=host-a", "target=host-b", "instance=cache-1", "unit=", "addresses=10.77.0.60", "migration=" + m1, "returns=",
			"fence=7", "attempt=1", "reason=",
		} {
			b.WriteString("--data-urlencode\n" + field + "\n")
		}
		return b.String() + "--globoff\n--url\nhttps://firewall.example.org/moves\n--header\n@" + key + "\n"
	}
	for _, c := range []struct {
		args  []string
		point proto.HookPoint
		side  proto.HookSide
		want  string
	}{
		{dns, proto.HookAfterConfirm, proto.HookTarget, name("host-b")},
		{dns, proto.HookOnAbort, proto.HookSource, name("host-a")},
		{append(dns, "ns1.example.org"), proto.HookOnAbort, proto.HookSource, strings.Replace(name("host-a"), "update delete", "server ns1.example.org\nupdate delete", 1)},
		{lb, proto.HookBeforeFreeze, proto.HookSource, server("host-a", "drain")},
		{lb, proto.HookAfterConfirm, proto.HookTarget, server("host-b", "ready") + server("host-a", "maint")},
		{lb, proto.HookOnAbort, proto.HookSource, server("host-a", "ready") + server("host-b", "maint")},
		{[]string{"haproxy", "/run/haproxy/admin.sock", "web"}, proto.HookBeforeFreeze, proto.HookSource, strings.Replace(server("host-a", "drain"), "TCP:lb-1:9999", "UNIX-CONNECT:/run/haproxy/admin.sock", 1)},
		{bgp, proto.HookAfterFreeze, proto.HookSource, route("disable")},
		{bgp, proto.HookAfterConfirm, proto.HookTarget, route("enable")},
		{bgp, proto.HookOnAbort, proto.HookTarget, route("disable")},
		{bgp, proto.HookOnAbort, proto.HookSource, route("enable")},
		{web, proto.HookBeforeStart, proto.HookTarget, posted("before-start", "target")},
		{web, proto.HookOnAbort, proto.HookSource, posted("on-abort", "source")},
	} {
		asked, says, err := example(t, c.args, c.point, c.side)
		if d := cmp.Diff(c.want, asked); d != "" || err != nil {
			t.Errorf("%v %s on the %s: %v %s\n%s", c.args, c.point, c.side, err, says, d)
		}
	}
}

// The page's first block is pasted: it has every point, with hooks that have something to do there.
func TestTheHooksOfTheDocumentationRun(t *testing.T) {
	page, err := os.ReadFile("../../../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```yaml\n")
	text, _, _ = strings.Cut(text, "```\n")
	var file struct {
		Hooks proto.Hooks `yaml:"hooks"`
	}
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	for _, p := range proto.HookPoints() {
		run := 0
		for _, side := range []proto.HookSide{proto.HookSource, proto.HookTarget} {
			for _, h := range file.Hooks.Run(p, side) {
				args := append([]string{filepath.Base(h.Exec[0])}, h.Exec[1:]...)
				if asked, says, err := example(t, args, p, side); err != nil || asked == "" {
					t.Errorf("%s on the %s: %v: %v, %s", p, side, args, err, says)
				}
				run++
			}
		}
		if run == 0 {
			t.Errorf("it has no hook for %s", p)
		}
	}
}

func TestExamplesFailWhereTheyChangedNothing(t *testing.T) {
	key := filepath.Join(t.TempDir(), "dns.key")
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for title, c := range map[string]struct {
		args []string
		p    proto.HookPoint
		env  []string
		says string
	}{
		"dns refused":        {[]string{"dns", "x.example.org", "example.org", "30", key}, proto.HookAfterConfirm, []string{"FAIL=2"}, ""},
		"dns without a key":  {[]string{"dns", "x.example.org", "example.org", "30", key + "-other"}, proto.HookAfterConfirm, nil, "can't be read"},
		"dns injected":       {[]string{"dns", "x.example.org\nupdate delete example.org", "example.org", "30", key}, proto.HookAfterConfirm, nil, "is no name"},
		"dns time":           {[]string{"dns", "x.example.org", "example.org", "soon", key}, proto.HookAfterConfirm, nil, "time to live"},
		"dns too early":      {[]string{"dns", "x.example.org", "example.org", "30", key}, proto.HookBeforeFreeze, nil, "nothing to do before-freeze"},
		"dns bare":           {[]string{"dns"}, proto.HookAfterConfirm, nil, "usage"},
		"haproxy refused":    {[]string{"haproxy", "lb", "web", "9999"}, proto.HookBeforeFreeze, []string{"SAYS=No such server."}, "web/host-a drain: No such server."},
		"haproxy injected":   {[]string{"haproxy", "lb", "web; shutdown sessions", "9999"}, proto.HookBeforeFreeze, nil, "is no name"},
		"haproxy at another": {[]string{"haproxy", "lb", "web", "9999"}, proto.HookBeforeStart, nil, "nothing to do before-start"},
		"bird refused":       {[]string{"bird", "cache_1"}, proto.HookAfterFreeze, []string{"SAYS=syntax error"}, "disable cache_1: "},
		"bird is off":        {[]string{"bird", "cache_1"}, proto.HookAfterFreeze, []string{"SAYS=Unable to connect to server control socket", "FAIL=1"}, "Unable to connect"},
		"bird other name":    {[]string{"bird", "cache_1"}, proto.HookAfterFreeze, []string{"SAYS=cache_2: disabled"}, "cache_2"},
		"bird injected":      {[]string{"bird", "all"}, proto.HookBeforeFreeze, nil, "nothing to do before-freeze"},
		"http refused":       {[]string{"http", "https://a.example.org"}, proto.HookBeforeStart, []string{"SAYS=503"}, "https://a.example.org answered 503"},
		"http elsewhere":     {[]string{"http", "https://a.example.org"}, proto.HookBeforeStart, []string{"SAYS=301"}, "answered 301"},
		"http is off":        {[]string{"http", "https://a.example.org"}, proto.HookBeforeStart, []string{"SAYS=000", "FAIL=7"}, ""},
		"http injected":      {[]string{"http", "--config=/etc/shadow"}, proto.HookBeforeStart, nil, "is no URL"},
		"http without file":  {[]string{"http", "https://a.example.org", key + "-other"}, proto.HookBeforeStart, nil, "can't be read"},
		"http bare":          {[]string{"http"}, proto.HookBeforeStart, nil, "usage"},
		"bird pattern":       {[]string{"bird", `"*"`}, proto.HookAfterFreeze, nil, "no protocol's name"},
	} {
		if _, says, err := example(t, c.args, c.p, proto.HookSource, c.env...); err == nil || !strings.Contains(says, c.says) {
			t.Errorf("%s: %v, %q", title, err, says)
		}
	}
	// A second run finds it done.
	if _, says, err := example(t, []string{"bird", "cache_1"}, proto.HookAfterFreeze, proto.HookSource, "SAYS=cache_1: already disabled"); err != nil {
		t.Errorf("again: %v, %q", err, says)
	}
}

func TestExamplesAreCleanShell(t *testing.T) {
	all, err := filepath.Glob(examples + "/*")
	if err != nil || len(all) != 4 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, script := range all {
		if out, err := exec.Command("/bin/sh", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
		if checker, err := exec.LookPath("shellcheck"); err == nil {
			if out, err := exec.Command(checker, "--shell=sh", script).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", script, err, out)
			}
		}
	}
}
