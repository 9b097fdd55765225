package durable_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/durable"
)

// hidden returns the names in a folder that begin with a dot.
func hidden(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Name()[0] == '.' {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestWhatAKilledWriterLeftGoesAndWhatOthersWriteStays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	left, other, young, foreign := ".out.gptmp-0011223344556677", ".out2.gptmp-0011223344556677", ".out.gptmp-8811223344556677", ".out.swp"
	for _, name := range []string{left, other, young, foreign} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if old := time.Now().Add(-time.Hour); name != young {
			if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := durable.WriteWith(durable.OS{}, path, 0o600, func(f durable.File) error {
		var mine string
		for _, name := range hidden(t, dir) {
			if !slices.Contains([]string{left, other, young, foreign}, name) {
				mine = name
			}
		}
		old := time.Now().Add(-time.Hour) // it has waited for its content for long
		if err := os.Chtimes(filepath.Join(dir, mine), old, old); err != nil {
			return err
		}
		if n, err := durable.SweepOf(path); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if got := hidden(t, dir); !slices.Contains(got, mine) || slices.Contains(got, left) || len(got) != 4 {
			t.Errorf("%q is left, with %s at work", got, mine)
		}
		_, err := f.Write([]byte("all"))
		return err
	})
	if text, readErr := os.ReadFile(path); err != nil || readErr != nil || string(text) != "all" {
		t.Errorf("%v, %v, %q", err, readErr, text)
	}
	if n, err := durable.SweepOf(path); n != 0 || err != nil {
		t.Errorf("%d more, %v", n, err)
	}
}

func TestALinkThatLooksLikeWhatWasLeftIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "precious")
	old := time.Now().Add(-time.Hour)
	if err := os.WriteFile(target, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(target, old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(dir, ".out.gptmp-00")); err != nil {
		t.Fatal(err)
	}
	if n, err := durable.SweepOf(filepath.Join(dir, "out")); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := os.Stat(target); err != nil {
		t.Error(err)
	}
}
