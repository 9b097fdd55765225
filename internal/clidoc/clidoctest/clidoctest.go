// Package clidoctest holds the commands of a program to its reference, in the program's tests.
package clidoctest

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/internal/clidoc"
	"github.com/glidepath/glidepath/internal/docfile"
)

// Complete checks that every command of a program has an example and says what it does.
func Complete(t *testing.T, root *cobra.Command) {
	t.Helper()
	if problems := clidoc.Problems(root); len(problems) > 0 {
		t.Error(strings.Join(problems, "\n"))
	}
}

// MadeFrom checks that the program's section of the reference is made from its commands; with update it writes the section. It is
// for tests in a folder of a program, NAME/cmd/PROGRAM.
func MadeFrom(t *testing.T, root *cobra.Command, note clidoc.Note, update bool) {
	t.Helper()
	docfile.Section(t, filepath.Join("..", "..", "..", "docs", "reference", "cli.md"), root.Name(), clidoc.Reference(root, note), update)
}

// NoNote is the note of a program whose commands need none.
func NoNote(string) string { return "" }

// Completes checks that a program prints the completion of each shell, and completes a word to a command.
func Completes(t *testing.T, program, word, command string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) {
	t.Helper()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, stderr bytes.Buffer
		if code := run(t.Context(), []string{"completion", shell}, &out, &stderr); code != 0 || !strings.Contains(out.String(), program) {
			t.Errorf("%s: exit code %d, %s", shell, code, stderr.String())
		}
	}
	var out, stderr bytes.Buffer
	if code := run(t.Context(), []string{"__complete", word}, &out, &stderr); code != 0 || !strings.HasPrefix(out.String(), command) {
		t.Errorf("exit code %d, %q, %s", code, out.String(), stderr.String())
	}
}
