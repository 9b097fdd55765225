package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrLocked is what LockDir's error wraps when another process holds the directory.
var ErrLocked = errors.New("in use by another process")

// lockName is the file in a state directory that the lock is taken on. It is never removed: removing a lock file
// opens a window in which two processes hold locks on two files of the same name.
const lockName = "LOCK"

// DirLock is held on a directory until Unlock, or until the process ends, however it ends.
type DirLock struct{ f *os.File }

// LockDir takes the exclusive lock of a state directory without waiting. The error wraps ErrLocked when
// another process has it, and names that process.
func LockDir(dir string) (*DirLock, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock directory %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("directory %s is %w (%s): stop it first, or choose another directory", dir, ErrLocked, holder(f))
		}
		return nil, fmt.Errorf("lock directory %s: %w", dir, err)
	}
	// The process ID is for people only, so a failure to write it (a full disk) takes nothing from the lock.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &DirLock{f: f}, nil
}

func holder(f *os.File) string {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return "its process ID is not known"
	}
	return "process " + strconv.Itoa(pid)
}

// Unlock gives the directory back.
func (l *DirLock) Unlock() error { return l.f.Close() }
