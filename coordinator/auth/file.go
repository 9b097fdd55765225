package auth

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// File is the file that the audit is written to. Lines are only appended, and each with one write, so that it can be copied, moved or cut at any time. Its
// methods may be called concurrently.
type File struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	file *os.File
	bad  bool // the last write failed, which was logged
}

// OpenFile opens the file at path, which is made for its owner and group to read if it is not there. Close it.
func OpenFile(path string, log *slog.Logger) (*File, error) {
	f := &File{path: path, log: log}
	return f, f.Reopen()
}

// Reopen goes on in a new file when the old one was moved away.
func (f *File) Reopen() error {
	next, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open the audit's file: %w", err)
	}
	f.mu.Lock()
	old := f.file
	f.file = next
	f.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// Write appends a line. That it could not is logged, once until it can again: nobody who changes something waits for the disk of the audit.
func (f *File) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.file.Write(b)
	if err != nil && !f.bad {
		f.log.Error("the audit can't be written: what is changed now is not on record", "file", f.path, "error", err)
	}
	f.bad = err != nil
	return n, err
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
