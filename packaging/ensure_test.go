package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ensure runs internal/tools/ensure.sh on a Debian of its own, that has the programs. It returns what apt-get and systemctl were called for, and what was said.
func ensure(t *testing.T, programs []string, sets ...string) (root string, calls []string, said string) {
	t.Helper()
	root = t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"usr/sbin", "etc/apt/sources.list.d"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/os-release", "VERSION_CODENAME=bookworm\n")
	write("bin/id", "#!/bin/sh\necho 0\n")
	write("bin/systemctl", "#!/bin/sh\necho systemctl \"$*\" >>"+root+"/calls\n")
	write("bin/apt-get", `#!/bin/sh
case $1 in
indextargets) echo http://deb.example/debian ;;
install) `+root+`/usr/sbin/policy-rc.d; echo apt-get "$*", and what it may start: $? >>`+root+`/calls ;;
esac
`)
	for _, name := range programs {
		write(name, "")
	}
	for _, name := range []string{"sh", "chmod", "rm", "head", "ls"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "internal", "tools", "ensure.sh"))
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("/usr/sbin", root+"/usr/sbin", "/usr/lib", root+"/usr/lib", " /etc/", " "+root+"/etc/", "=/etc/", "="+root+"/etc/")
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-s", "--"}, sets...)...)
	cmd.Stdin, cmd.Env = strings.NewReader(here.Replace(string(text))), []string{"PATH=" + root + "/bin"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if log, err := os.ReadFile(filepath.Join(root, "calls")); err == nil {
		calls = strings.Split(strings.TrimSpace(string(log)), "\n")
	}
	return root, calls, strings.ReplaceAll(string(out), root, "")
}

func TestAServerThatATestNeedsIsInstalledAndStartsNeitherNowNorAtTheNextBoot(t *testing.T) {
	const install = "apt-get install -y -qq --no-install-recommends "
	const redis, postgres = "bin/redis-server", "usr/lib/postgresql/15/bin/initdb"
	for _, c := range []struct {
		has  []string
		want []string
	}{
		{nil, []string{install + "redis-server postgresql, and what it may start: 101", "systemctl disable --quiet redis-server.service postgresql.service"}},
		{[]string{redis}, []string{install + "postgresql, and what it may start: 101", "systemctl disable --quiet postgresql.service"}}, // that Redis is somebody's
		{[]string{redis, postgres}, nil},
	} {
		root, calls, said := ensure(t, c.has, "servers")
		if !slices.Equal(calls, c.want) {
			t.Errorf("with %q: %q, want %q: %s", c.has, calls, c.want, said)
		}
		if _, err := os.Stat(filepath.Join(root, "usr/sbin/policy-rc.d")); err == nil {
			t.Errorf("with %q: no server can be started on this machine any more", c.has)
		}
	}
	if _, calls, said := ensure(t, []string{"bin/rsync", "bin/setfacl", "bin/setfattr"}, "host"); len(calls) != 1 || !strings.Contains(calls[0], "recommends iproute2,") {
		t.Errorf("what brings no server: %q: %s", calls, said)
	}
}

func TestWhatStaysIsListedBackportsToo(t *testing.T) {
	const list = "/etc/apt/sources.list.d/glidepath-backports.list"
	root, _, said := ensure(t, []string{"bin/git", "bin/gcc"}, "go")
	if !strings.Contains(said, "golang-1.23-go") || !strings.Contains(said, list) {
		t.Errorf("said: %s", said)
	}
	if text, err := os.ReadFile(filepath.Join(root, list)); err != nil || !strings.Contains(string(text), " http://deb.example/debian bookworm-backports main") {
		t.Errorf("%s %v", text, err)
	}
	if _, _, said := ensure(t, []string{"bin/git", "bin/go"}, "go"); strings.Contains(said, list) || !strings.Contains(said, "gcc") {
		t.Errorf("with a Go: %s", said)
	}
}
