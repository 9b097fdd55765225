package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/pki"
)

func TestExitCodesSayWhatCameOfIt(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := file("coordinator.yaml", "name: c1\ndata_dir: "+dir+"/data\nrpc: {advertise: 127.0.0.1:7647}\ngossip: {advertise: 127.0.0.1:7646}\napi: {advertise: 127.0.0.1:7648}\n")
	ca, err := pki.NewFleet(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token, err := pki.MintJoin(pki.Coordinator, "", ca.Pin(), []string{"127.0.0.1:1"}, time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		says string // on standard error
	}{
		{"version", 0, ""},
		{"nonsense", exitUsage, `no command "nonsense"`},
		{"init --fly", exitUsage, "unknown flag"},
		{"init now", exitUsage, "takes no argument"},
		{"join --config " + config, exitUsage, "glidepath token create --role coordinator"},
		{"restore", exitUsage, "name the one file"},
		{"join --token nonsense --config " + config, exitError, "glidepath token create --role"},
		{"join --config " + config + " --token " + token.Encode(), exitError, "127.0.0.1:1"}, // nobody is there
		{"restore /nonexistent --config " + config, exitError, "no such file"},
		{"restore " + file("cut", "glidepath-snapshot 1 ") + " --config " + config, exitError, "not a whole snapshot"},
		{"init --config " + config, 0, ""},
		{"init --config " + config, exitRefused, "belongs to a fleet already"},
		{"join --config " + config + " --token " + token.Encode(), exitRefused, "belongs to a fleet already"},
	} {
		var out, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(c.args), &out, &stderr); code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d: %s", c.args, code, c.code, stderr.String())
		}
	}
}

func TestTheManualHasTheExitCodes(t *testing.T) {
	dir := t.TempDir()
	var out, stderr bytes.Buffer
	if code := run(t.Context(), []string{"man", dir}, &out, &stderr); code != 0 {
		t.Fatal(stderr.String())
	}
	page, err := os.ReadFile(filepath.Join(dir, "glidepathd.1"))
	if err != nil || !strings.Contains(string(page), ".SH EXIT STATUS\n0 fine, 1 error, 2 usage, 3 refused, 130 interrupted.\n") {
		t.Errorf("%v: %s", err, page)
	}
}
