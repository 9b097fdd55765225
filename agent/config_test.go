package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestValidateNamesEveryProblemAtOnce(t *testing.T) {
	c := Default()
	c.Name, c.RunDir, c.Coordinators, c.Buffer, c.Listen, c.Log.Format = "", "run", []string{":7647"}, "64Mbit", "", "xml"
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"name:", "run_dir:", "coordinators:", "buffer:", "listen:", "log.format:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestTheDefaultIsValidOnceNamed(t *testing.T) {
	c := Default()
	c.Name = "host-a"
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestADropInAsksTheSmallProgramWhereThePackageHasIt(t *testing.T) {
	dir := t.TempDir()
	self, cfg := filepath.Join(dir, "bin/glidepath-agent"), Config{DataDir: filepath.Join(dir, "data")}
	if got, want := mayRun(self, cfg), []string{self, "may-run", "--data-dir", cfg.DataDir}; !slices.Equal(got, want) {
		t.Errorf("without it: %q, want %q", got, want)
	}
	small := filepath.Join(dir, "libexec/glidepath/may-run")
	if err := errors.Join(os.MkdirAll(filepath.Dir(small), 0o755), os.WriteFile(small, nil, 0o755)); err != nil {
		t.Fatal(err)
	}
	if got, want := mayRun(self, cfg), []string{small, filepath.Join(cfg.DataDir, "fence")}; !slices.Equal(got, want) {
		t.Errorf("with it: %q, want %q", got, want)
	}
}

func TestWhatSystemdAsksIsAskedBeforeItDoes(t *testing.T) {
	for code, want := range map[string]struct {
		runs bool
		say  string
	}{"0": {runs: true}, "3": {}, "1": {say: "exit status 1: because"}} {
		runs, err := asks([]string{"/bin/sh", "-c", "echo because; exit " + code})(t.Context(), "redis.service")
		if runs != want.runs || (err == nil) != (want.say == "") || err != nil && !strings.Contains(err.Error(), want.say) {
			t.Errorf("exit code %s: %v, %v", code, runs, err)
		}
	}
	if _, err := asks([]string{"/nowhere/may-run"})(t.Context(), "redis.service"); err == nil {
		t.Error("a command that is not there answers")
	}
}
