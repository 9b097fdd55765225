package allow

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/proto"
)

const example = `
units: [redis-server.service, app-*.service]
paths: [/var/lib/redis, /etc/redis]
addresses: [10.77.0.0/24, "fd00::60"]
users: [nobody]
hooks: [bird:/etc/glidepath/hooks/bgp, "nobody:/usr/lib/hooks/*"]
signals: ["http://127.0.0.1:9121/metrics", "http://10.77.0.*:8080/metrics", "http://[::1]:9121/"]
`

func must(t *testing.T, text string) *List {
	t.Helper()
	l, err := Parse(strings.NewReader(text), "/etc/glidepath/allow.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func notAllowed(t *testing.T, err error, line string) {
	t.Helper()
	var f *proto.Fault
	if !errors.As(err, &f) || f.Code != proto.FaultNotAllowed || !strings.Contains(f.Remedy, line) {
		t.Errorf("got %v, want a refusal that says %q", err, line)
	}
}

func TestWhatIsNotNamedIsDeniedWithTheLineThatAllowsIt(t *testing.T) {
	l := must(t, example)
	for _, err := range []error{
		l.Unit("redis-server.service"), l.Unit("app-7.service"), l.User("nobody"),
		l.Address(netip.MustParseAddr("10.77.0.60")), l.Address(netip.MustParseAddr("fd00::60")),
		l.Path("/var/lib/redis"), l.Path("/var/lib/redis/a/b"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	notAllowed(t, l.Unit("ssh.service"), "units: [ssh.service]")
	notAllowed(t, l.Unit("app-7.socket"), "units: [app-7.socket]")
	notAllowed(t, l.User("root"), "users: [root]")
	notAllowed(t, l.Address(netip.MustParseAddr("10.77.1.60")), "addresses: [10.77.1.60]")
	notAllowed(t, l.Address(netip.MustParseAddr("fd00::61")), "addresses: [fd00::61]")
	notAllowed(t, l.Path("/var/lib/redis-other"), "paths: [/var/lib/redis-other]")
	notAllowed(t, l.Path("/var/lib"), "paths: [/var/lib]")
	for _, p := range []string{"/var/lib/redis/../mysql", "var/lib/redis", "/var/lib/redis/", "//var/lib/redis"} {
		if l.Path(p) == nil {
			t.Errorf("%s was allowed", p)
		}
	}
}

func TestASignalIsAllowedByItsURL(t *testing.T) {
	l := must(t, example)
	for _, url := range []string{"http://127.0.0.1:9121/metrics", "http://10.77.0.60:8080/metrics", "http://[::1]:9121/"} {
		if err := l.Signal(proto.Signal{URL: url}); err != nil {
			t.Error(err)
		}
	}
	for _, url := range []string{"http://127.0.0.1:9121/", "http://127.0.0.1:9121/metrics?x", "http://10.77.0.60/a:8080/metrics", "http://10.77.1.60:8080/metrics", ""} {
		notAllowed(t, l.Signal(proto.Signal{URL: url}), "signals: [\""+url+"\"]")
	}
	notAllowed(t, (&List{}).Signal(proto.Signal{URL: "http://127.0.0.1:9121/metrics"}), `signals: ["http://127.0.0.1:9121/metrics"]`)
}

func TestAPatternOfSignalsAllowsWhatItLooksLike(t *testing.T) {
	l := must(t, `
addresses: [10.77.0.0/24]
signals: ["http://127.0.0.1:9121/app/*", "http://*:8080/metrics", "http://[::1]:9121/*", "http://127.0.0.1:9121/app/a%2Fb"]
`)
	for _, url := range []string{
		"http://127.0.0.1:9121/app/metrics", "http://127.0.0.1:9121/app/.metrics?name=a%2F..", "http://127.0.0.1:9121/app/m%20n", "http://127.0.0.1:9121/app/a%2Fb",
		"http://127.0.0.1:8080/metrics", "http://10.77.0.60:8080/metrics", "http://[::1]:9121/metrics", "http://[::1]:8080/metrics",
	} {
		if err := l.Signal(proto.Signal{URL: url}); err != nil {
			t.Error(err)
		}
	}
	for _, url := range []string{
		"http://127.0.0.1:9121/app/..", "http://127.0.0.1:9121/app/.", "http://127.0.0.1:9121/app/..;x", "http://127.0.0.1:9121/app/%2e%2E", "http://127.0.0.1:9121/app/..%2fadmin",
		"http://127.0.0.1:9121/app/..%5Cadmin", "http://127.0.0.1:9121/app/%252e%252e", "http://127.0.0.1:9121/app/%", "http://[::2]:9121/metrics", "http://localhost:8080/metrics",
	} {
		notAllowed(t, l.Signal(proto.Signal{URL: url}), "signals: [\""+url+"\"]")
	}
	notAllowed(t, l.Signal(proto.Signal{URL: "http://169.254.169.254:8080/metrics"}), "addresses: [169.254.169.254]")
}

func TestAHookIsAllowedToItsUserAlone(t *testing.T) {
	l := must(t, example)
	hook := func(user, program string) proto.Hook {
		return proto.Hook{User: user, Exec: []string{program, "down"}}
	}
	for _, h := range []proto.Hook{hook("bird", "/etc/glidepath/hooks/bgp"), hook("", "/usr/lib/hooks/dns"), hook("nobody", "/usr/lib/hooks/lb")} {
		if err := l.Hook(h); err != nil {
			t.Error(err)
		}
	}
	notAllowed(t, l.Hook(hook("root", "/etc/glidepath/hooks/bgp")), "add to /etc/glidepath/allow.yaml:  hooks: [root:/etc/glidepath/hooks/bgp]")
	notAllowed(t, l.Hook(hook("", "/etc/glidepath/hooks/bgp")), "hooks: [nobody:/etc/glidepath/hooks/bgp]")
	notAllowed(t, l.Hook(hook("bird", "/usr/lib/hooks/dns")), "hooks: [bird:/usr/lib/hooks/dns]")
	notAllowed(t, l.Hook(hook("nobody", "/usr/lib/hooks/more/dns")), "hooks: [nobody:/usr/lib/hooks/more/dns]")
	if err := l.Hook(proto.Hook{}); err == nil {
		t.Error("a hook without a program was allowed")
	}
	// What a refusal says to add is what allows it.
	if err := must(t, "hooks: [root:/etc/glidepath/hooks/bgp]").Hook(hook("root", "/etc/glidepath/hooks/bgp")); err != nil {
		t.Error(err)
	}
}

func TestWithoutAFileAllIsDenied(t *testing.T) {
	l, err := Load(filepath.Join(t.TempDir(), "allow.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	notAllowed(t, l.Unit("x.service"), "units: [x.service]")
	notAllowed(t, (&List{}).Path("/"), "paths: [/]")
}

func TestPathIsJudgedWhereItsLinksLead(t *testing.T) {
	dir := t.TempDir()
	root, outside := filepath.Join(dir, "root"), filepath.Join(dir, "outside")
	for _, d := range []string{root, outside, filepath.Join(root, "real")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) string {
		p := filepath.Join(dir, name)
		if err := os.Symlink(to, p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	out := link(outside, "root/out")
	in := link(filepath.Join(root, "real"), "root/in")
	nowhere := link(filepath.Join(outside, "gone"), "root/nowhere")
	loop := link(filepath.Join(root, "loop"), "root/loop")
	l := must(t, "paths: ["+root+"]")

	for _, p := range []string{in, in + "/new/deeper", root + "/new"} {
		if err := l.Path(p); err != nil {
			t.Error(err)
		}
	}
	notAllowed(t, l.Path(out), "paths: ["+outside+"]")
	notAllowed(t, l.Path(out+"/x/y"), "paths: ["+outside+"/x/y]")
	for _, p := range []string{nowhere, nowhere + "/x", loop} {
		if l.Path(p) == nil {
			t.Errorf("%s was allowed", p)
		}
	}
	viaLink := must(t, "paths: ["+link(root, "alias")+"]")
	if err := viaLink.Path(filepath.Join(dir, "alias", "new")); err != nil {
		t.Errorf("a root that is itself a link: %v", err)
	}
}

func TestMistakesAreNamedWithTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"units: []\npath: [/x]\n":      `line 2: unknown field "path": did you mean "paths"`,
		"paths: [relative]":            "relative",
		"paths: [/]":                   "can't be allowed",
		"paths: [/a/../b]":             "/a/../b",
		"units: ['*.service']":         "system's own",
		"units: [redis]":               "suffix",
		"addresses: [10.0.0.0/33]":     "10.0.0.0/33",
		"users: ['a b']":               "a b",
		"hooks: [/etc/hooks/bgp]":      "names no user",
		"hooks: ['bird:bgp']":          "names no program",
		"signals: ['127.0.0.1:9121']":  "is no URL or pattern of one",
		"hooks: ['bird:/etc/*/bgp']":   "only its last part",
		"hooks: ['bird:/etc/h/../x']":  "names no program",
		"hooks: ['bird:/etc/h/[']":     "names no program",
		"units: [x]\naddresses: [bad]": "bad",
	} {
		if _, err := Parse(strings.NewReader(text), "allow.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestFileThatOthersCanChangeIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root: the file must belong to it")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "allow.yaml")
	if err := os.WriteFile(path, []byte(example), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Fatal(err)
	}
	refused := func(why string, undo, do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil {
			t.Errorf("%s: was read", why)
		}
		if err := undo(); err != nil {
			t.Fatal(err)
		}
	}
	refused("group may write", func() error { return os.Chmod(path, 0o644) }, func() error { return os.Chmod(path, 0o664) })
	refused("belongs to another", func() error { return os.Chown(path, 0, 0) }, func() error { return os.Chown(path, 65534, 0) })
	refused("directory open to all", func() error { return os.Chmod(dir, 0o755) }, func() error { return os.Chmod(dir, 0o777) })
	linked := filepath.Join(dir, "link.yaml")
	if err := os.Symlink(path, linked); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(linked); err == nil {
		t.Error("a symbolic link was read")
	}
}

func TestUnitsWithBackslashesAreNamedAsTheyAre(t *testing.T) {
	l := must(t, `units: ['app@a\x2db.service', 'db@*.service']`)
	for _, name := range []string{`app@a\x2db.service`, `db@a\x2db.service`, "db@15-main.service"} {
		if err := l.Unit(name); err != nil {
			t.Error(err)
		}
	}
	notAllowed(t, l.Unit("app@b.service"), "units: [app@b.service]")
}

func TestInstanceNamesAllThatIsMissing(t *testing.T) {
	l := must(t, example)
	spec := proto.InstanceSpec{Name: "cache-1", Address: "10.77.0.60/24", Health: proto.HealthSpec{Exec: []string{"/bin/true"}},
		Service: &proto.ServiceSpec{Unit: "redis-server.service", Data: []string{"/var/lib/redis"}, Config: []string{"/etc/redis"}}}
	if err := l.Instance(spec); err != nil {
		t.Fatal(err)
	}
	spec.Service = &proto.ServiceSpec{Unit: "other.service", Data: []string{"/srv"}}
	spec.Health.User = "root"
	spec.Addresses = []string{"10.77.0.61/24", "10.88.0.1/24", "10.88.0.2/24"}
	spec.Hooks.BeforeFreeze = []proto.Hook{{Exec: []string{"/usr/lib/hooks/lb"}}, {Exec: []string{"/opt/lb"}}}
	spec.Hooks.OnAbort = []proto.Hook{{Exec: []string{"/opt/lb"}}}
	err := l.Instance(spec)
	if strings.Count(err.Error(), "nobody:/opt/lb") != 1 {
		t.Errorf("not named once: %v", err)
	}
	for _, line := range []string{"units: [other.service]", "paths: [/srv]", "users: [root]", "addresses: [10.88.0.1]", "addresses: [10.88.0.2]", "hooks: [nobody:/opt/lb]"} {
		notAllowed(t, err, line)
	}
	spec.Service.Data = []string{"/var/lib/redis"}
	spec.Address = "10.77.0.60"
	if err := l.Instance(spec); err == nil || !strings.Contains(err.Error(), "prefix length") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add("units: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(strings.NewReader(text), "allow.yaml")
		if err != nil {
			return
		}
		if l.Path("/") == nil || l.Path("/..") == nil {
			t.Error("the whole file system was allowed")
		}
	})
}
