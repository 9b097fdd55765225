package tree

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback is how much of a file is written before the kernel is asked to begin writing it to disk, so that the sync at the end is short.
const startWriteback = 32 << 20

// openFile is the file whose blocks are being received.
type openFile struct {
	Entry
	f     *os.File
	base  *Entry // the file as it was; nil if it is new
	next  int64  // first block that has not been accounted for
	dirty int64
	from  int64
}

func (f *openFile) close() {
	if f != nil && f.f != nil {
		_ = f.f.Close()
	}
}

// enter makes the entry e: new, or in place of what is there, or only its metadata.
func (a *applier) enter(e Entry) error {
	base, err := a.forward(e.Path)
	if err != nil {
		return err
	}
	if e.Kind == Socket {
		return protocolError("%.200q is a socket", e.Path)
	}
	if err := a.account(&e); err != nil {
		return err
	}
	same := base != nil && base.Kind == e.Kind && base.Target == e.Target && base.Rdev == e.Rdev && e.Kind != Hardlink
	switch {
	case base == nil:
		a.touch()
	case !same:
		if err := a.remove(e.Path); err != nil {
			return err
		}
	}
	switch e.Kind {
	case File:
		return a.openFile(e, base, same)
	case Dir:
		err = a.enterDir(e, same)
	default:
		err = a.enterOther(e, same)
	}
	if err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	return a.passBase(base, e.Kind)
}

// passBase moves the index past what e replaced.
func (a *applier) passBase(base *Entry, kind Kind) error {
	switch {
	case base == nil:
		return nil
	case base.Kind == Dir && kind != Dir:
		return a.index.skipBeneath(base.Path)
	}
	return a.index.next()
}

func (a *applier) enterDir(e Entry, same bool) error {
	if !same {
		dirfd, name, err := a.root.at(e.Path)
		if err != nil {
			return err
		}
		if err := unix.Mkdirat(dirfd, name, 0o700); err != nil {
			return err
		}
	}
	a.dirs = append(a.dirs, openDir{Entry: e, set: true})
	return nil
}

// enterOther makes what has no content: links, fifos, devices.
func (a *applier) enterOther(e Entry, same bool) error {
	dirfd, name, err := a.root.at(e.Path)
	if err != nil {
		return err
	}
	if !same {
		switch e.Kind {
		case Symlink:
			err = unix.Symlinkat(e.Target, dirfd, name)
		case Hardlink:
			return a.link(e.Target, dirfd, name)
		case Fifo:
			err = unix.Mknodat(dirfd, name, unix.S_IFIFO|0o600, 0)
		case Char:
			err = unix.Mknodat(dirfd, name, unix.S_IFCHR|0o600, int(e.Rdev))
		case Block:
			err = unix.Mknodat(dirfd, name, unix.S_IFBLK|0o600, int(e.Rdev))
		}
		if err != nil {
			return err
		}
	}
	return setMeta(handle{dir: dirfd, at: name}, &e, a.names)
}

// link gives the file at target, which has been passed already, a further name.
func (a *applier) link(target string, dirfd int, name string) error {
	f, err := a.root.open(target, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return protocolError("a further name for a directory")
	}
	// By descriptor, so that what is linked is what was looked at.
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), dirfd, name, unix.AT_SYMLINK_FOLLOW)
}

func (a *applier) openFile(e Entry, base *Entry, same bool) error {
	flags, mode := unix.O_RDWR|unix.O_NONBLOCK, uint32(0)
	if !same {
		flags, mode = flags|unix.O_CREAT|unix.O_EXCL, 0o600
	}
	f, err := a.root.open(e.Path, flags, mode)
	if err != nil {
		return err
	}
	a.file = &openFile{Entry: e, f: f}
	if same {
		a.file.base = base
	} else if err := a.passBase(base, File); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || same && st.Size != base.Size {
		return fmt.Errorf("%w: %q is not what the index says", ErrChanged, e.Path)
	}
	if st.Size != e.Size {
		if err := f.Truncate(e.Size); err != nil {
			return err
		}
	}
	return nil
}

// data writes one block.
func (a *applier) data(p []byte) error {
	var i int64
	p, err := counts(p, &i)
	if err != nil {
		return err
	}
	f := a.file
	if f == nil || i < f.next || i >= f.blocks() || len(p) != f.blockLen(i) {
		return protocolError("a block that does not fit its file")
	}
	if err := a.keep(i); err != nil {
		return err
	}
	off := i * BlockSize
	if _, err := f.f.WriteAt(p, off); err != nil {
		return err
	}
	a.res.Changed += int64(len(p))
	if f.dirty += int64(len(p)); f.dirty >= startWriteback {
		// A hint: its failure is the final sync's to report.
		_ = unix.SyncFileRange(int(f.f.Fd()), f.from, off+int64(len(p))-f.from, unix.SYNC_FILE_RANGE_WRITE)
		f.dirty, f.from = 0, off
	}
	return a.replaced(a.index.key.tag(p), len(p))
}

// zeroRun makes a run of blocks a hole.
func (a *applier) zeroRun(p []byte) error {
	var first, count int64
	p, err := counts(p, &first, &count)
	if err != nil {
		return err
	}
	f := a.file
	if f == nil || len(p) != 0 || count < 1 || first < f.next || first >= f.blocks() || count > f.blocks()-first {
		return protocolError("a run of zeros that does not fit its file")
	}
	if err := a.keep(first); err != nil {
		return err
	}
	start, end := first*BlockSize, min(f.Size, (first+count)*BlockSize)
	if f.base != nil && start < f.base.Size {
		if err := punch(f.f, start, end); err != nil {
			return err
		}
	}
	for i := first; i < first+count; i++ {
		size := f.blockLen(i)
		a.res.Changed += int64(size)
		if err := a.replaced(a.zeros.of(size), size); err != nil {
			return err
		}
	}
	return nil
}

// punch makes [start, end) read as zeros, as a hole where the file system can.
func punch(f *os.File, start, end int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, start, end-start)
	if !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	for buf := make([]byte, BlockSize); start < end; start += BlockSize {
		if _, err := f.WriteAt(buf[:min(BlockSize, end-start)], start); err != nil {
			return err
		}
	}
	return nil
}

// keep accounts for the blocks before i that were not mentioned: they stay as the index says, and only whole blocks can.
func (a *applier) keep(i int64) error {
	f := a.file
	for ; f.next < i; f.next++ {
		size := f.blockLen(f.next)
		if f.base == nil || a.index.left == 0 || f.base.blockLen(f.next) != size {
			return protocolError("block %d of %.200q is missing", f.next, f.Path)
		}
		t, err := a.index.tag()
		if err != nil {
			return fmt.Errorf("read the index: %w", err)
		}
		if err := a.accountBlock(t, size); err != nil {
			return err
		}
	}
	return nil
}

// replaced accounts for the next block, whose content is new.
func (a *applier) replaced(t Tag, size int) error {
	f := a.file
	if f.base != nil && a.index.left > 0 {
		if _, err := a.index.tag(); err != nil {
			return fmt.Errorf("read the index: %w", err)
		}
	}
	f.next++
	return a.accountBlock(t, size)
}

// finishFile ends the file whose blocks were received.
func (a *applier) finishFile() error {
	f := a.file
	if f == nil {
		return nil
	}
	if err := a.keep(f.blocks()); err != nil {
		return err
	}
	if err := setMeta(handle{fd: int(f.f.Fd())}, &f.Entry, a.names); err != nil {
		return fmt.Errorf("%q: %w", f.Path, err)
	}
	a.file = nil
	a.flush.add(f.f)
	if f.base != nil {
		return a.index.next()
	}
	return nil
}

// setMeta gives what h names the owner, attributes, mode and time of e. The order matters: a change of owner clears set-id
// bits and capabilities, and an ACL changes the mode.
func setMeta(h handle, e *Entry, n *names) error {
	uid, err := n.uid(e.Owner)
	if err != nil {
		return err
	}
	gid, err := n.gid(e.Group)
	if err != nil {
		return err
	}
	if err := h.chown(int(uid), int(gid)); err != nil {
		return fmt.Errorf("set the owner: %w", err)
	}
	if err := h.setXattrs(e.Xattrs, n); err != nil {
		return err
	}
	if e.Kind != Symlink { // a link has no mode of its own
		if err := h.chmod(e.Mode); err != nil {
			return fmt.Errorf("set the mode: %w", err)
		}
	}
	return setTime(h, e.MTime)
}

func (h handle) chown(uid, gid int) error {
	if h.at == "" {
		return unix.Fchown(h.fd, uid, gid)
	}
	return unix.Fchownat(h.dir, h.at, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
}

func (h handle) chmod(mode uint32) error {
	if h.at == "" {
		return unix.Fchmod(h.fd, mode)
	}
	// Of a fifo or device that was made a moment ago. fchmodat2, which would not follow a link, is in Linux 6.6 only; a
	// descriptor can't be opened on these for reading, but one that only names them can be changed by its path.
	fd, err := unix.Openat(h.dir, h.at, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode)
}

func setTime(h handle, ns int64) error {
	sec, nsec := ns/1e9, ns%1e9
	if nsec < 0 {
		sec, nsec = sec-1, nsec+1e9
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: sec, Nsec: nsec}}
	var err error
	if h.at == "" {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", h.fd), times, 0)
	} else {
		err = unix.UtimesNanoAt(h.dir, h.at, times, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return fmt.Errorf("set the time: %w", err)
	}
	return nil
}
