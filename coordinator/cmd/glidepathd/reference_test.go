package main

import (
	"bytes"
	"flag"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/clidoc"
	"github.com/glidepath/glidepath/internal/docfile"
)

var update = flag.Bool("update", false, "write what is generated from the code anew")

func TestEveryCommandHasAnExampleAndSaysWhatItDoes(t *testing.T) {
	if problems := clidoc.Problems(command(io.Discard, io.Discard)); len(problems) > 0 {
		t.Error(strings.Join(problems, "\n"))
	}
}

func TestTheReferenceOfTheCommandIsMadeFromIt(t *testing.T) {
	want := clidoc.Reference(command(io.Discard, io.Discard), func(string) string { return "" })
	docfile.Section(t, filepath.Join("..", "..", "..", "docs", "reference", "cli.md"), "glidepathd", want, *update)
}

func TestEachShellGetsItsCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, stderr bytes.Buffer
		if code := run(t.Context(), []string{"completion", shell}, &out, &stderr); code != 0 || !strings.Contains(out.String(), "glidepathd") {
			t.Errorf("%s: exit code %d, %s", shell, code, stderr.String())
		}
	}
	var out, stderr bytes.Buffer
	if code := run(t.Context(), []string{"__complete", "jo"}, &out, &stderr); code != 0 || !strings.HasPrefix(out.String(), "join") {
		t.Errorf("exit code %d, %q, %s", code, out.String(), stderr.String())
	}
}
