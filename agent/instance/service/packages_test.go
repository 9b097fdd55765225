package service

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
)

// askedSystemd answers for dpkg, and counts.
type askedSystemd struct {
	Systemd
	version string
	asked   int
}

func (s *askedSystemd) RunTransient(_ context.Context, _ systemd.RunSpec) (systemd.RunResult, error) {
	s.asked++
	return systemd.RunResult{Why: "success", Output: "redis-server " + s.version}, nil
}

func TestThePackageOfAFileIsAskedAgainWhenTheFileOrTheDatabaseChanges(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) string {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		// As package managers do: a new file in the place of the old one.
		if err := os.WriteFile(path+".new", []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("usr/bin/dpkg-query", "")
	program := write("usr/bin/redis-server", "one")
	dpkg := &askedSystemd{version: "7.0"}
	d := New(Config{Root: root, Systemd: dpkg})
	ask := func(version string, asked int) {
		t.Helper()
		name, got, err := d.packageOf(t.Context(), program)
		if err != nil || name != "redis-server" || got != version || dpkg.asked != asked {
			t.Errorf("%s %s %v after %d questions, where %s and %d were expected", name, got, err, dpkg.asked, version, asked)
		}
	}
	ask("7.0", 1)
	ask("7.0", 2) // without a database nobody could tell that it changes
	write("var/lib/dpkg/status", "Version: 7.0")
	ask("7.0", 3)
	ask("7.0", 3)
	dpkg.version = "7.1"
	write("usr/bin/redis-server", "two")
	ask("7.1", 4)
	ask("7.1", 4)
	dpkg.version = "7.2"
	write("var/lib/dpkg/status", strings.Repeat("Version: 7.2", 2))
	ask("7.2", 5)
	ask("7.2", 5)
}

// runSystemd runs commands as they are, with what systemd puts into their arguments.
type runSystemd struct{ Systemd }

func (runSystemd) RunTransient(ctx context.Context, spec systemd.RunSpec) (systemd.RunResult, error) {
	args := make([]string, len(spec.Command))
	for i, arg := range spec.Command {
		args[i] = strings.ReplaceAll(arg, "$$", "$")
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return systemd.RunResult{Why: "exit-code", ExitStatus: exit.ExitCode(), Output: string(out)}, nil
	}
	return systemd.RunResult{Why: "success", Output: string(out)}, err
}

func TestDpkgIsAskedForAllSpellingsOfAPath(t *testing.T) {
	if !exists("/usr/bin/dpkg-query") {
		t.Skip("there is no dpkg-query here")
	}
	d := New(Config{Root: "/", Systemd: runSystemd{}})
	ours := filepath.Join(t.TempDir(), "no-package's $HOME")
	if err := os.WriteFile(ours, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/usr/bin/dpkg-query": "dpkg", "/bin/dpkg-query": "dpkg", // listed with /usr
		"/bin/ls": "coreutils", "/usr/bin/ls": "coreutils", // listed without it, until some day
		ours: "",
	} {
		name, version, err := d.packageOf(t.Context(), path)
		if err != nil || name != want || (version == "") != (want == "") {
			t.Errorf("%s is of %q %q: %v", path, name, version, err)
		}
	}
}

func TestWhatAProcessRunsIsAskedAgainWhenItIsAnother(t *testing.T) {
	d := New(Config{Root: "/", Systemd: runSystemd{}})
	start := func(program string, args ...string) systemd.Unit {
		cmd := exec.Command(program, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return systemd.Unit{Name: "one.service", MainPID: cmd.Process.Pid}
	}
	ask := func(u systemd.Unit, program string) {
		t.Helper()
		want, err := filepath.EvalSymlinks(program)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.executableOf(t.Context(), u); err != nil || got != want {
			t.Errorf("it runs %s, not %s: %v", want, got, err)
		}
	}
	first := start("/bin/sleep", "1000")
	ask(first, "/bin/sleep")
	remembered := d.executables.known[first.Name]
	d.executables.known[first.Name] = executed{remembered.stamp, "/as/remembered", remembered.at}
	if got, err := d.executableOf(t.Context(), first); err != nil || got != "/as/remembered" {
		t.Errorf("the same process was asked again: %s, %v", got, err)
	}
	ask(start("/usr/bin/tail", "-f", "/dev/null"), "/usr/bin/tail")
}
