// Package durable writes files and journals that are whole after a crash at any moment, or as they were before.
package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// tempMark stands in the name of every temporary file that this package makes, so that Sweep knows its own.
const tempMark = ".gptmp-"

// WriteFile replaces the file at path by data, all or nothing: whatever happens, a reader finds the old content or the new.
// When it returns nil the new content survives a power cut.
//
// The file gets the permissions perm whatever the umask; a file that was there keeps its owner and group. A symbolic link
// at path is replaced, not followed. After an error the old file is as it was, with one exception that the error names: when only the
// last step failed (making the rename itself durable), the new content is in place but may be gone after a power cut.
// A full disk is told by errors.Is(err, syscall.ENOSPC).
func WriteFile(fsys FS, path string, data []byte, perm fs.FileMode) error {
	return WriteWith(fsys, path, perm, content(data))
}

// content returns what writes data.
func content(data []byte) func(File) error {
	return func(f File) error {
		_, err := f.Write(data)
		return err
	}
}

// ErrNotRegular means that something other than a file is where one is to be replaced.
var ErrNotRegular = errors.New("it is not a regular file: choose another name")

// WriteWith replaces the file at path by what write writes, all or nothing, as WriteFile does: for content that is too large to be held. write may
// read back what it wrote; where it returns an error, nothing is changed.
func WriteWith(fsys FS, path string, perm fs.FileMode, write func(File) error) error {
	tmp, err := writeTemp(fsys, path, perm, write)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, explain(path, err))
	}
	if err := fsys.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, fsys.Remove(tmp)))
	}
	if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: the new content is in place but not yet safe from a power cut: %w", path, err)
	}
	return nil
}

// writeTemp has a new, synced file written beside path and returns its name. It leaves nothing behind when it fails.
func writeTemp(fsys FS, path string, perm fs.FileMode, write func(File) error) (_ string, err error) {
	var nonce [8]byte
	rand.Read(nonce[:])
	dir, base := filepath.Split(path)
	tmp := filepath.Join(dir, "."+base+tempMark+hex.EncodeToString(nonce[:]))

	old, statErr := fsys.Stat(path)
	switch {
	case errors.Is(statErr, fs.ErrNotExist):
	case statErr != nil:
		return "", statErr
	case !old.Mode().IsRegular(): // a device would be one no more
		return "", ErrNotRegular
	}
	// Created for the owner alone: a secret must not be readable while it is being written.
	f, err := fsys.Create(tmp, 0o600)
	if err != nil {
		return "", err
	}
	claim(f)
	defer func() {
		if err != nil {
			err = errors.Join(err, fsys.Remove(tmp))
		}
	}()
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()

	if err := write(f); err != nil {
		return "", err
	}
	// The owner before the mode: chown clears set-id bits, and a file must not be open to a group it will not keep.
	if statErr == nil {
		if err := keepOwner(f, old); err != nil {
			return "", err
		}
	}
	if err := f.Chmod(perm); err != nil {
		return "", err
	}
	return tmp, f.Sync()
}

func keepOwner(f File, old fs.FileInfo) error {
	was, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	is, ok := info.Sys().(*syscall.Stat_t)
	if !ok || (is.Uid == was.Uid && is.Gid == was.Gid) {
		return nil
	}
	return f.Chown(int(was.Uid), int(was.Gid))
}

// ReadFile returns the content of the file at path, refusing one of more than limit bytes before reading it.
// A missing file is told by errors.Is(err, fs.ErrNotExist).
func ReadFile(fsys FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err // *fs.PathError already says what and where
	}
	defer f.Close()
	return readAll(f, path, limit)
}

func readAll(f File, path string, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("read %s: it has %d bytes, more than the %d it may have", path, info.Size(), limit)
	}
	// The extra byte finds a file that grew since.
	data := make([]byte, info.Size()+1)
	n, err := f.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(n) > info.Size() {
		return nil, fmt.Errorf("read %s: it grew while it was read", path)
	}
	return data[:n], nil
}

// Remove deletes the file at path so that it stays deleted after a power cut. A missing file is no error.
func Remove(fsys FS, path string) error {
	if err := fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Also when it was missing: the removal by an earlier run may not have been durable.
	return fsys.SyncDir(filepath.Dir(path))
}

// Sweep removes the temporary files that a crash left in dir, and returns how many there were.
// Call it at start, while holding the directory's lock: the temporary files of a writer at work look the same.
func Sweep(fsys FS, dir string) (int, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return 0, fmt.Errorf("sweep %s: %w", dir, err)
	}
	swept := 0
	for _, name := range names {
		if !strings.HasPrefix(name, ".") || !strings.Contains(name, tempMark) {
			continue
		}
		if err := fsys.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return swept, fmt.Errorf("sweep %s: %w", dir, err)
		}
		swept++
	}
	return swept, nil
}

// explain adds the remedy to the errors that an operator can do something about.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: nothing was changed; free space (or inodes) on the file system of %s", err, filepath.Dir(path))
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: nothing was changed; remount the file system of %s read-write", err, filepath.Dir(path))
	}
	return err
}
