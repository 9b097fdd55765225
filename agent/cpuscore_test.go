package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

func TestTheCPUIsMeasuredOnceInABoot(t *testing.T) {
	path, measured := filepath.Join(t.TempDir(), scoreFile), 0
	find := func(f proto.HostFacts) int64 {
		t.Helper()
		c := cpuScore{path: path, files: durable.OS{}, measure: func(context.Context) (int64, error) {
			measured++
			return int64(1000 * measured), nil
		}}
		if err := c.find(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		return c.known.Load()
	}
	first := proto.HostFacts{BootID: "b1", CPUModel: "old"}
	for _, step := range []struct {
		name  string
		facts proto.HostFacts
		want  int64
	}{
		{"the first time", first, 1000},
		{"the agent restarted", first, 1000},
		{"the host restarted", proto.HostFacts{BootID: "b2", CPUModel: "old"}, 2000},
		{"another CPU", proto.HostFacts{BootID: "b2", CPUModel: "new"}, 3000},
	} {
		if got := find(step.facts); got != step.want {
			t.Fatalf("%s: score %d, want %d", step.name, got, step.want)
		}
	}
	if err := os.WriteFile(path, []byte(`{"boot_id":"b2","cpu_model":"new","score":-5}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := find(proto.HostFacts{BootID: "b2", CPUModel: "new"}); got != 4000 {
		t.Fatalf("after what can't be: score %d, want it measured anew", got)
	}
}

func TestACPUThatCannotBeMeasuredHasNoScore(t *testing.T) {
	no := errors.New("no")
	c := cpuScore{path: filepath.Join(t.TempDir(), scoreFile), files: durable.OS{}, measure: func(context.Context) (int64, error) { return 0, no }}
	if err := c.find(t.Context(), &proto.HostFacts{}); !errors.Is(err, no) || c.known.Load() != 0 {
		t.Fatalf("score %d, error %v", c.known.Load(), err)
	}
}

func TestOnlyAScoreIsTakenForOne(t *testing.T) {
	for said, want := range map[string]int64{"12345": 12345, "": 0, "fast": 0, "-1": 0, "0": 0, "99999999999999999999": 0} {
		program := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n[ \"$1\" = "+ScoreCommand+" ] && echo '"+said+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := measuring(program)(t.Context()); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %d, %v", said, got, err)
		}
	}
}
