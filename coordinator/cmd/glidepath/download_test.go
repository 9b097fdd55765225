package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/snapshot"
)

func TestATerminalShowsHowMuchWasSentOrBrought(t *testing.T) {
	reach(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("in.csv", []byte("time,cpu_cores\n2026-01-05T00:00:00Z,0.1\n2026-01-05T00:05:00Z,0.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, says string }{
		{"history import cache-1 -f in.csv", "in.csv: "},
		{"history export cache-1 -f out.csv", "out.csv: "},
		{"operator snapshot save fleet.snapshot", "fleet.snapshot: "},
		{"operator bundle support.tar.gz", "support.tar.gz: "},
	} {
		stderr := &screen{columns: 80}
		if code := run(t.Context(), strings.Fields(c.args), io.Discard, stderr); code != exitFine || !strings.HasPrefix(stderr.String(), "\r\x1b[K"+c.says) || !strings.HasSuffix(stderr.String(), "\r\x1b[K") {
			t.Errorf("%s: exit code %d, %q", c.args, code, stderr.String())
		}
		if code, _, stderr := glidepath(t, t.Context(), strings.Fields(c.args)...); code != exitFine || stderr != "" {
			t.Errorf("%s, where no terminal is: exit code %d, %q", c.args, code, stderr)
		}
	}
}

func TestADownloadThatIsCutLeavesTheFileThatWasThere(t *testing.T) {
	f := apitest.New(t)
	f.Config.Snapshot = func(context.Context, bool) (func(io.Writer) error, error) {
		var whole bytes.Buffer
		err := snapshot.Write(&whole, f.View(), snapshot.Header{})
		return func(w io.Writer) error {
			_, err := w.Write(whole.Bytes()[:whole.Len()-7])
			return err
		}, err
	}
	f.Config.Bundle = func(context.Context) (func(io.Writer) error, error) {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, "no gzip")
			return err
		}, nil
	}
	pointAt(t, f)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("old", []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, says := range map[string]string{
		"operator snapshot save old": "glidepath: what the coordinator sent is not a whole snapshot: ",
		"operator bundle old":        "glidepath: what the coordinator sent is not a bundle: ",
	} {
		code, _, stderr := glidepath(t, t.Context(), strings.Fields(args)...)
		if code != exitError || !strings.HasPrefix(stderr, says) || !strings.Contains(stderr, "nothing was written, try again") {
			t.Errorf("%s: exit code %d, %q", args, code, stderr)
		}
		text, err := os.ReadFile("old")
		if err != nil || string(text) != "as it was" {
			t.Errorf("%s: %q, %v", args, text, err)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 1 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}
