package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// chunkBlocks is how many blocks a hashing worker takes at a time: 1 MiB.
const chunkBlocks = 32

// scanner walks a tree in the order of comparePaths and hashes its files on all cores, ahead of the visitor but not far.
type scanner struct {
	key    Key
	source bool   // strip what policy does not let through, leave sockets out
	final  bool   // nothing may change meanwhile
	policy Policy // of the target

	names   *names
	zeros   *zeros
	links   map[inode]string // first names of files that have several
	dropped int64
	nodes   chan *node
	chunks  chan *chunk
}

type inode struct{ dev, ino uint64 }

// node is an entry with its content's tags on the way.
type node struct {
	Entry
	file   *os.File // of a file
	stat   unix.Stat_t
	chunks chan *chunk // in order; closed after the last
}

// chunk is some blocks of one file.
type chunk struct {
	node  *node
	first int64 // block
	tags  []Tag
	err   error
	done  chan struct{}
}

// scan visits every entry of the tree at root, in order. A file's tags are to be taken by node.tags.
// A missing root is an empty tree.
func (s *scanner) scan(ctx context.Context, root string, visit func(*node) error) error {
	s.names, s.zeros, s.links = newNames(), newZeros(s.key), map[inode]string{}
	s.nodes, s.chunks = make(chan *node, 128), make(chan *chunk, 64)
	parent, err := os.Open(filepath.Dir(root))
	if errors.Is(err, fs.ErrNotExist) && !s.source {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(s.nodes)
		defer close(s.chunks)
		err := s.walk(ctx, parent, filepath.Base(root), "")
		if errors.Is(err, fs.ErrNotExist) && !s.source {
			return nil
		}
		return err
	})
	for range max(2, runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			buf := make([]byte, chunkBlocks*BlockSize)
			for c := range s.chunks {
				c.err = s.hash(c, buf)
				close(c.done)
			}
			return nil
		})
	}
	g.Go(func() error {
		for n := range s.nodes {
			err := visit(n)
			n.close()
			if err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	err = g.Wait()
	for n := range s.nodes { // what was ahead of a visitor that failed
		n.close()
	}
	return err
}

func (n *node) close() {
	if n.file != nil {
		_ = n.file.Close()
	}
}

// walk hands on the entry name in dir, whose path below the root is path, and all below it.
func (s *scanner) walk(ctx context.Context, dir *os.File, name, path string) error {
	var st unix.Stat_t
	dirfd := int(dir.Fd())
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return s.gone(path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR, unix.S_IFREG:
		f, err := openNoFollow(dirfd, name)
		if err != nil {
			return s.gone(path, err)
		}
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			_ = f.Close()
			return s.gone(path, err)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			return s.walkDir(ctx, f, &st, path)
		case unix.S_IFREG:
			return s.walkFile(ctx, f, &st, path)
		}
		_ = f.Close()
		return s.gone(path, fs.ErrNotExist) // it became something else
	}
	n := &node{stat: st}
	ok, err := s.describe(&n.Entry, path, &st, handle{dir: dirfd, at: name})
	if err != nil || !ok {
		return err
	}
	if n.Kind == Symlink {
		buf := make([]byte, maxPath+1)
		size, err := unix.Readlinkat(dirfd, name, buf)
		if err != nil {
			return s.gone(path, err)
		}
		n.Target = string(buf[:size])
	}
	return s.hand(ctx, n)
}

// gone leaves out what vanished from a live source. Otherwise nobody but us has any business there.
func (s *scanner) gone(path string, err error) error {
	vanished := errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR)
	switch {
	case path == "" || !vanished:
		return &fs.PathError{Op: "scan", Path: path, Err: err}
	case s.final || !s.source:
		return fmt.Errorf("%w: %q: %w", ErrChanged, path, err)
	}
	return nil
}

// openNoFollow opens a file or directory for reading; a fifo that took its place can't block it.
func openNoFollow(dirfd int, name string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY
	fd, err := unix.Openat(dirfd, name, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) { // not the owner
		fd, err = unix.Openat(dirfd, name, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (s *scanner) walkDir(ctx context.Context, f *os.File, st *unix.Stat_t, path string) error {
	defer f.Close()
	n := &node{stat: *st}
	if _, err := s.describe(&n.Entry, path, st, handle{fd: int(f.Fd())}); err != nil {
		return err
	}
	if err := s.hand(ctx, n); err != nil {
		return err
	}
	list, err := f.Readdirnames(-1)
	if err != nil {
		return s.gone(path, err)
	}
	slices.Sort(list)
	for _, name := range list {
		child := name
		if path != "" {
			child = path + "/" + name
		}
		if len(child) > maxPath {
			return fmt.Errorf("%.100q…: its path below the root has %d bytes, the most is %d", child, len(child), maxPath)
		}
		if err := s.walk(ctx, f, name, child); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) walkFile(ctx context.Context, f *os.File, st *unix.Stat_t, path string) error {
	n := &node{file: f, stat: *st}
	if _, err := s.describe(&n.Entry, path, st, handle{fd: int(f.Fd())}); err != nil {
		_ = f.Close()
		return err
	}
	if n.Kind == Hardlink || n.Size == 0 {
		_ = f.Close()
		n.file = nil
		return s.hand(ctx, n)
	}
	n.chunks = make(chan *chunk, 64)
	defer close(n.chunks)
	if err := s.hand(ctx, n); err != nil {
		_ = f.Close()
		return err
	}
	for first := int64(0); first < n.blocks(); first += chunkBlocks {
		c := &chunk{node: n, first: first, done: make(chan struct{})}
		select {
		case n.chunks <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case s.chunks <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *scanner) hand(ctx context.Context, n *node) error {
	select {
	case s.nodes <- n:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// describe fills in e. It answers false for what is left out.
func (s *scanner) describe(e *Entry, path string, st *unix.Stat_t, h handle) (bool, error) {
	e.Path = path
	e.Kind = kindOf(st.Mode)
	device := e.Kind == Char || e.Kind == Block
	if s.source && (e.Kind == Socket || device && !s.policy.Devices) {
		if device {
			s.dropped++
		}
		return false, nil
	}
	if e.Kind != Dir && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, known := s.links[id]; known {
			e.Kind, e.Target = Hardlink, first
			return true, nil
		}
		if len(s.links) == maxLinks {
			return false, fmt.Errorf("%q: the tree has more than %d files with several names", path, maxLinks)
		}
		s.links[id] = path
	}
	var err error
	if e.Owner, err = s.names.user(st.Uid); err != nil {
		return false, err
	}
	if e.Group, err = s.names.group(st.Gid); err != nil {
		return false, err
	}
	e.Mode = st.Mode & 0o7777
	e.MTime = st.Mtim.Nano()
	if e.Kind == File {
		e.Size = st.Size
	}
	if device {
		e.Rdev = st.Rdev
	}
	if e.Xattrs, err = h.xattrs(s.names); err != nil {
		return false, fmt.Errorf("%q: %w", path, err)
	}
	if s.source && !s.policy.SetID {
		s.strip(e)
	}
	return true, nil
}

// strip takes away what would let a file run with another's rights.
func (s *scanner) strip(e *Entry) {
	if !setID(e) {
		return
	}
	e.Mode &^= 0o6000
	e.Xattrs = slices.DeleteFunc(e.Xattrs, func(x Xattr) bool { return x.Name == capability })
	s.dropped++
}

// setID reports whether e would run with another's rights. On a directory the set-group-ID bit only says who owns new files.
func setID(e *Entry) bool {
	if e.Kind != File {
		return e.Kind == Dir && e.Mode&0o4000 != 0
	}
	return e.Mode&0o6000 != 0 || slices.ContainsFunc(e.Xattrs, func(x Xattr) bool { return x.Name == capability })
}

func kindOf(mode uint32) Kind {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return Dir
	case unix.S_IFREG:
		return File
	case unix.S_IFLNK:
		return Symlink
	case unix.S_IFIFO:
		return Fifo
	case unix.S_IFCHR:
		return Char
	case unix.S_IFBLK:
		return Block
	default:
		return Socket
	}
}
