package service

import (
	"context"
	"os"
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

func (s *askedSystemd) RunTransient(_ context.Context, spec systemd.RunSpec) (systemd.RunResult, error) {
	s.asked++
	if spec.Command[1] == "-S" {
		return systemd.RunResult{Why: "success", Output: "redis-server: " + spec.Command[2] + "\n"}, nil
	}
	return systemd.RunResult{Why: "success", Output: s.version}, nil
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
	ask("7.0", 2)
	ask("7.0", 4) // without a database nobody could tell that it changes
	write("var/lib/dpkg/status", "Version: 7.0")
	ask("7.0", 6)
	ask("7.0", 6)
	dpkg.version = "7.1"
	write("usr/bin/redis-server", "two")
	ask("7.1", 8)
	ask("7.1", 8)
	dpkg.version = "7.2"
	write("var/lib/dpkg/status", strings.Repeat("Version: 7.2", 2))
	ask("7.2", 10)
	ask("7.2", 10)
}
