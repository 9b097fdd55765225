package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheCommandLineSaysHowTheCoordinatorLogs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "coordinator.yaml")
	text := "name: c1\ndata_dir: " + dir + "/data\nrpc: {advertise: 127.0.0.1:7647}\ngossip: {advertise: 127.0.0.1:7646}\napi: {advertise: 127.0.0.1:7648}\nlog: {level: loud, format: papyrus}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flags      []string
		says, not  string
		wantedCode int
	}{
		{nil, "log.level", "glidepathd init", exitError},
		{[]string{"--log-level", "warn"}, "log.format", "log.level", exitError},
		{[]string{"--log-level", "warn", "--log-format", "json"}, "belongs to no fleet yet", "log.", exitError}, // it gets to its data
		{[]string{"--log-colour", "blue"}, "log-colour", "glidepathd init", exitUsage},
	} {
		var out, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"run", "--config", file}, c.flags...), &out, &stderr)
		if code != c.wantedCode || !strings.Contains(stderr.String(), c.says) || strings.Contains(stderr.String(), c.not) {
			t.Errorf("%q: exit code %d: %s", c.flags, code, stderr.String())
		}
	}
}
