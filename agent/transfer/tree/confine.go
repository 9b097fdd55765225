package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// confined reaches the files of one tree and nothing else, whatever links anybody plants in it: every path is resolved by
// the kernel beneath the root's parent, without following a link of any kind. (openat2, Linux 5.6.)
type confined struct {
	parent *os.File // directory that the root is in; trusted
	base   string   // the root's name there

	// The directory of the last change: changes come in the order of the tree.
	dirPath string
	dir     *os.File // nil: none
}

func openConfined(root string) (*confined, error) {
	parent, err := os.OpenFile(filepath.Dir(root), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &confined{parent: parent, base: filepath.Base(root)}, nil
}

func (c *confined) close() {
	c.forget()
	_ = c.parent.Close()
}

// forget drops the directory that is kept open, which may be about to go.
func (c *confined) forget() {
	if c.dir != nil {
		_ = c.dir.Close()
	}
	c.dir = nil
}

// open opens the file at path below the root.
func (c *confined) open(path string, flags int, mode uint32) (*os.File, error) {
	name := c.base
	if path != "" {
		name += "/" + path
	}
	how := unix.OpenHow{
		Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW), Mode: uint64(mode),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(int(c.parent.Fd()), name, &how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue // something was renamed meanwhile: the kernel could not be sure
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

// at returns the directory of path and the name in it, for the calls that take both. They do not follow that name.
func (c *confined) at(path string) (dirfd int, name string, err error) {
	if path == "" {
		return int(c.parent.Fd()), c.base, nil
	}
	dir, name := parentOf(path)
	if c.dir != nil && c.dirPath == dir {
		return int(c.dir.Fd()), name, nil
	}
	c.forget()
	f, err := c.open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return 0, "", err
	}
	c.dir, c.dirPath = f, dir
	return int(f.Fd()), name, nil
}

// remove removes path and all that is in it. That it is not there is no error.
func (c *confined) remove(path string) error {
	dirfd, name, err := c.at(path)
	if err != nil {
		return err
	}
	if err := removeAll(dirfd, name); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}

func removeAll(dirfd int, name string) error {
	err := unix.Unlinkat(dirfd, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	fd, openErr := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if openErr != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	list, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, child := range list {
		if err := removeAll(fd, child); err != nil {
			return err
		}
	}
	return unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR)
}
