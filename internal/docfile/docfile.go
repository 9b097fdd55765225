// Package docfile holds files of the documentation, or sections of them, to what the code says, in tests.
package docfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// File checks that a file is as it should be; with update it writes the file.
func File(t testing.TB, path, want string, update bool) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if string(b) == want {
		return
	}
	if !update {
		t.Fatalf("%s is not what the code says: run `make generate` (-code +file):\n%s", path, cmp.Diff(strings.Split(want, "\n"), strings.Split(string(b), "\n")))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Section checks that a section of a file is as it should be; with update it writes the section. Two comments enclose it:
// <!-- name --> and <!-- end of name -->, each in a line.
func Section(t testing.TB, path, name, want string, update bool) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := fmt.Sprintf("<!-- %s -->\n", name), fmt.Sprintf("<!-- end of %s -->\n", name)
	before, rest, found := strings.Cut(string(b), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no lines %q and %q, between which the section stands", path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	File(t, path, before+begin+want+end+after, update)
}
