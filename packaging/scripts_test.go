// Package packaging_test checks the scripts that the packages run when they are installed, upgraded and removed, and the one that installs what make needs.
package packaging_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// script runs a maintainer script on a system of its own: with folders below root, and with programs that write down how they were called.
type script struct {
	root string
	env  []string
}

func newScript(t *testing.T, env ...string) script {
	t.Helper()
	s := script{root: t.TempDir(), env: env}
	for _, dir := range []string{"bin", "run/systemd/system", "etc/systemd/system/redis.service.d", "var/lib/glidepath/agent"} {
		if err := os.MkdirAll(filepath.Join(s.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.write(t, "etc/systemd/system/redis.service.d/50-glidepath.conf", "")
	for name, does := range map[string]string{
		"systemctl":       `case "$*" in is-enabled*) exit ${DISABLED:-0} ;; esac`,
		"glidepath-agent": `if [ "$1" = may-purge ] && [ -n "$BECAUSE" ]; then echo "$BECAUSE" >&2; exit 3; fi`,
		"dpkg-query":      `echo "$WANT"; exit`,
		"install":         "", "adduser": "", "groupadd": "", "useradd": "",
		"getent": `exit ${UNKNOWN:-0}`,
	} {
		text := "#!/bin/sh\n[ " + name + " = dpkg-query ] || echo " + name + ` "$*" >>` + s.root + "/calls\n" + does + "\n"
		if err := os.WriteFile(filepath.Join(s.root, "bin", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s script) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.root, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s script) has(name string) bool {
	_, err := os.Lstat(filepath.Join(s.root, name))
	return err == nil
}

// run runs a script and returns what it called since the last one and what it said.
func (s script) run(t *testing.T, path string, args ...string) (calls []string, said string, err error) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("/run/systemd", s.root+"/run/systemd", "/etc/systemd", s.root+"/etc/systemd", "/var/lib/glidepath", s.root+"/var/lib/glidepath")
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-s", "--"}, args...)...)
	cmd.Stdin = strings.NewReader(here.Replace(string(text)))
	cmd.Env = append(slices.Clone(s.env), "PATH="+s.root+"/bin:"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	log, readErr := os.ReadFile(filepath.Join(s.root, "calls"))
	if readErr == nil {
		calls = strings.Split(strings.TrimSpace(strings.ReplaceAll(string(log), s.root, "")), "\n")
		err = errors.Join(err, os.Remove(filepath.Join(s.root, "calls")))
	}
	return calls, string(out), err
}

func TestScriptsDoWhatTheirPackageManagerMeans(t *testing.T) {
	const enabled, restart, reload = "systemctl is-enabled --quiet glidepath-agent.service", "systemctl restart glidepath-agent.service", "systemctl daemon-reload"
	const enabledD, restartD = "systemctl is-enabled --quiet glidepathd.service", "systemctl restart glidepathd.service"
	folders := []string{"install -d -m 0755 /var/lib/glidepath", "install -d -o glidepath -g glidepath -m 0700 /var/lib/glidepath/coordinator"}
	user := "adduser --system --group --home /var/lib/glidepath --no-create-home --quiet glidepath"
	for _, c := range []struct {
		path string
		args []string
		env  []string
		want []string
	}{
		{path: "agent/postinst", args: []string{"configure", ""}, want: []string{"systemctl enable glidepath-agent.service", enabled, restart}},
		{path: "agent/postinst", args: []string{"configure", "0.1.0-1"}, want: []string{reload, enabled, restart}},
		{path: "agent/postinst", args: []string{"configure", "0.1.0-1"}, env: []string{"DISABLED=1"}, want: []string{reload, enabled}},
		{path: "agent/postinst", args: []string{"abort-remove"}},
		{path: "agent/prerm", args: []string{"upgrade", "0.2.0-1"}},
		{path: "agent/prerm", args: []string{"remove"}, want: []string{"glidepath-agent may-purge", "systemctl stop glidepath-agent.service", "glidepath-agent lift"}},
		{path: "agent/postrm", args: []string{"upgrade", "0.2.0-1"}},
		{path: "agent/postrm", args: []string{"remove"}, want: []string{reload}},
		{path: "agent/rpm/post", args: []string{"1"}, want: []string{"systemctl --no-reload preset glidepath-agent.service", reload, enabled, restart}},
		{path: "agent/rpm/post", args: []string{"2"}, want: []string{reload, enabled, restart}},
		{path: "agent/rpm/post", args: []string{"2"}, env: []string{"DISABLED=1"}, want: []string{reload, enabled}},
		{path: "agent/rpm/preun", args: []string{"1"}},
		{path: "agent/rpm/preun", args: []string{"0"}, want: []string{"systemctl --no-reload disable --now glidepath-agent.service", "glidepath-agent lift"}},
		{path: "agent/rpm/postun", args: []string{"1"}},
		{path: "agent/rpm/postun", args: []string{"0"}, want: []string{reload}},

		{path: "coordinator/postinst", args: []string{"configure", ""}, want: append([]string{user}, append(folders, "systemctl enable glidepathd.service", enabledD, restartD)...)},
		{path: "coordinator/postinst", args: []string{"configure", "0.1.0-1"}, want: append([]string{user}, append(folders, reload, enabledD, restartD)...)},
		{path: "coordinator/prerm", args: []string{"upgrade", "0.2.0-1"}},
		{path: "coordinator/prerm", args: []string{"remove"}, want: []string{"systemctl stop glidepathd.service"}},
		{path: "coordinator/rpm/pre", args: []string{"1"}, env: []string{"UNKNOWN=2"}, want: []string{
			"getent group glidepath", "groupadd --system glidepath", "getent passwd glidepath",
			"useradd --system --gid glidepath --home-dir /var/lib/glidepath --no-create-home --shell /sbin/nologin --comment Glidepath coordinator glidepath",
		}},
		{path: "coordinator/rpm/pre", args: []string{"2"}, want: []string{"getent group glidepath", "getent passwd glidepath"}},
		{path: "coordinator/rpm/post", args: []string{"1"}, want: append(slices.Clone(folders), "systemctl --no-reload preset glidepathd.service", reload, enabledD, restartD)},
		{path: "coordinator/rpm/post", args: []string{"2"}, want: append(slices.Clone(folders), reload, enabledD, restartD)},
		{path: "coordinator/rpm/preun", args: []string{"1"}},
		{path: "coordinator/rpm/preun", args: []string{"0"}, want: []string{"systemctl --no-reload disable --now glidepathd.service"}},
		{path: "coordinator/rpm/postun", args: []string{"0"}, want: []string{reload}},
	} {
		s := newScript(t, c.env...)
		calls, said, err := s.run(t, c.path, c.args...)
		if err != nil || said != "" || !slices.Equal(calls, c.want) {
			t.Errorf("%s %q %q: called %q, want %q; %v %s", c.path, c.args, c.env, calls, c.want, err, said)
		}
		if !s.has("var/lib/glidepath/agent") || !s.has("etc/systemd/system/redis.service.d/50-glidepath.conf") {
			t.Errorf("%s %q took the state of a host", c.path, c.args)
		}
	}
}

const frozen = "instance cache-1 is frozen here"

func TestAPurgeDeletesTheRecordsAndAsksNothingMore(t *testing.T) {
	s := newScript(t, "WANT=purge")
	for _, step := range [][]string{{"agent/prerm", "remove"}, {"agent/postrm", "remove"}, {"agent/postrm", "purge"}} {
		if _, said, err := s.run(t, step[0], step[1:]...); err != nil {
			t.Fatalf("%q: %v: %s", step, err, said)
		}
	}
	if s.has("var/lib/glidepath/agent") || s.has("etc/systemd/system/redis.service.d") {
		t.Error("something is left")
	}
}

func TestAPurgeOfAFleetsLastCoordinatorIsRefused(t *testing.T) {
	const data, hold = "var/lib/glidepath/coordinator", "var/lib/glidepath/coordinator/no-purge"
	last := func(t *testing.T, want string) script {
		s := newScript(t, "WANT="+want)
		if err := os.MkdirAll(filepath.Join(s.root, data, "pki"), 0o755); err != nil {
			t.Fatal(err)
		}
		s.write(t, data+"/pki/ca.key", "")
		s.write(t, hold, "it is the last coordinator")
		if err := os.WriteFile(filepath.Join(s.root, "bin", "sleep"), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := last(t, "purge")
	calls, said, err := s.run(t, "coordinator/prerm", "remove")
	if err == nil || len(calls) > 0 || !strings.Contains(said, "stays as it is: it is the last coordinator.") || !strings.Contains(said, "host forget") {
		t.Errorf("called %q: %v: %s", calls, err, said)
	}
	// Removed it is, with all that it knows; purged after that it is not.
	s = last(t, "deinstall")
	if calls, said, err := s.run(t, "coordinator/prerm", "remove"); err != nil || !slices.Equal(calls, []string{"systemctl stop glidepathd.service"}) {
		t.Errorf("called %q: %v: %s", calls, err, said)
	}
	if _, said, err := s.run(t, "coordinator/postrm", "purge"); err == nil || !strings.Contains(said, "it is the last coordinator") || !s.has(data+"/pki/ca.key") {
		t.Errorf("%v: %s", err, said)
	}
	if err := os.Remove(filepath.Join(s.root, hold)); err != nil {
		t.Fatal(err)
	}
	if _, said, err := s.run(t, "coordinator/postrm", "purge"); err != nil || !strings.Contains(said, "raft remove") || s.has(data) {
		t.Errorf("%v: %s", err, said)
	}
	// One that never had a fleet says nothing.
	s = newScript(t, "WANT=purge")
	for _, step := range [][]string{{"coordinator/prerm", "remove"}, {"coordinator/postrm", "purge"}} {
		if _, said, err := s.run(t, step[0], step[1:]...); err != nil || said != "" {
			t.Errorf("%q: %v: %s", step, err, said)
		}
	}
}

func TestAPurgeInAMigrationIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	s := newScript(t, "WANT=purge", "BECAUSE="+frozen)
	calls, said, err := s.run(t, "agent/prerm", "remove")
	if err == nil || !strings.Contains(said, "stays as it is: "+frozen) || !slices.Equal(calls, []string{"glidepath-agent may-purge"}) {
		t.Errorf("called %q: %v: %s", calls, err, said)
	}
}

func TestAPurgeAfterARemovalInAMigrationIsRefusedUntilItWasInstalledAgain(t *testing.T) {
	s := newScript(t, "WANT=deinstall", "BECAUSE="+frozen)
	if calls, said, err := s.run(t, "agent/prerm", "remove"); err != nil || !slices.Contains(calls, "glidepath-agent lift") {
		t.Fatalf("it is not removed: called %q: %v: %s", calls, err, said)
	}
	if _, said, err := s.run(t, "agent/postrm", "purge"); err == nil || !strings.Contains(said, frozen) || !strings.Contains(said, "Install it again") {
		t.Errorf("%v: %s", err, said)
	}
	if !s.has("var/lib/glidepath/agent") || !s.has("etc/systemd/system/redis.service.d/50-glidepath.conf") {
		t.Error("the records are gone")
	}
	s.env = []string{"WANT=deinstall"} // installed again, and the migration has ended
	for _, step := range [][]string{{"agent/prerm", "remove"}, {"agent/postrm", "purge"}} {
		if _, said, err := s.run(t, step[0], step[1:]...); err != nil {
			t.Errorf("%q: %v: %s", step, err, said)
		}
	}
	if s.has("var/lib/glidepath/agent") {
		t.Error("the records are still there")
	}
}

// A unit that was tried in vain some times in a row would stay down when what it waits for is there again.
func TestUnitsAreTriedAgainForAsLongAsItTakes(t *testing.T) {
	for _, path := range []string{"agent/glidepath-agent.service", "coordinator/glidepathd.service"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"StartLimitIntervalSec=0", "Restart=always"} {
			if !slices.Contains(strings.Split(string(text), "\n"), line) {
				t.Errorf("%s has no %s", path, line)
			}
		}
	}
}
