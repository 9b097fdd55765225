package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// youngest is how old a temporary file is before it can be taken for one that was left behind: between its making and its lock, and between that and its renaming, no time passes.
const youngest = time.Minute

// SweepOf removes what writers of the file at path, on the real file system, left beside it when they were killed, and returns how many files that were. Those of
// writers at work are locked, and stay: unlike Sweep it needs no lock on the directory.
func SweepOf(path string) (int, error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	names, err := OS{}.List(dir)
	if err != nil {
		return 0, err
	}
	swept := 0
	for _, name := range names {
		if !strings.HasPrefix(name, "."+base+tempMark) {
			continue
		}
		gone, err := removeLeft(filepath.Join(dir, name))
		if err != nil {
			return swept, err
		}
		if gone {
			swept++
		}
	}
	return swept, nil
}

// removeLeft removes a temporary file that nobody writes any more.
func removeLeft(name string) (bool, error) {
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ELOOP) {
		return false, nil // somebody else's, or gone
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < youngest || syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false, err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, nil
}

// claim locks a temporary file for as long as it is open. Where a file system has no locks it is told by its age alone.
func claim(f File) {
	if file, ok := f.(osFile); ok {
		_ = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
}
