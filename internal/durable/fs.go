package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// FS is the part of a file system that this package writes through. OS is the real one; crashfs.FS loses power on demand.
// Errors satisfy errors.Is with the fs and syscall errors that the real one returns.
type FS interface {
	// Create makes a new file for reading and writing; it fails when name exists.
	Create(name string, perm fs.FileMode) (File, error)
	// Open opens an existing file for reading and writing where permitted, else for reading.
	Open(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// Stat does not follow a symbolic link.
	Stat(name string) (fs.FileInfo, error)
	// List returns the names in a directory, sorted.
	List(dir string) ([]string, error)
	// SyncDir makes the creations, renames and removals in a directory durable.
	SyncDir(dir string) error
}

// File is an open file of an FS. Write appends at the position that Create (0), Truncate (its size) and writes left.
type File interface {
	io.ReaderAt
	io.Writer
	io.Closer
	// Sync makes the content durable; the name only is after SyncDir.
	Sync() error
	// Truncate cuts the file and puts the write position at its new end.
	Truncate(size int64) error
	Chmod(perm fs.FileMode) error
	Chown(uid, gid int) error
	Stat() (fs.FileInfo, error)
}

// OS is the file system of the operating system.
type OS struct{}

// Create implements FS.
func (OS) Create(name string, perm fs.FileMode) (File, error) {
	return wrap(os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm))
}

// Open implements FS.
func (OS) Open(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if os.IsPermission(err) || errors.Is(err, syscall.EROFS) {
		f, err = os.Open(name)
	}
	return wrap(f, err)
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// Stat implements FS.
func (OS) Stat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type osFile struct{ *os.File }

// wrap keeps a nil *os.File from becoming a File that is not nil.
func wrap(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) Truncate(size int64) error {
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	_, err := f.Seek(size, io.SeekStart)
	return err
}
