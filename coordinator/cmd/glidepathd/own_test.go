package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestWhatRootMakesBelongsToTheFoldersOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	for _, path := range []string{filepath.Join(dir, "LOCK"), outside} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	const user = 65534
	if err := os.Chown(dir, user, user); err != nil {
		t.Fatal(err)
	}
	if err := own(dir); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]uint32{filepath.Join(dir, "LOCK"): user, outside: 0} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want { //nolint:forcetypeassert // Linux
			t.Errorf("%s belongs to %d, want %d", path, got, want)
		}
	}
	if err := own(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
}
