package tree

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/agent/transfer/frame"
)

// ApplyJob is a tree to be changed.
type ApplyJob struct {
	Root   string
	Index  io.Reader // of the tree as it is now; nobody has changed it since
	Policy Policy
	Moved  func() // called, also concurrently, while the end waits for the disk: it still moves. May be nil
}

// Apply reads changes from r and makes the tree at job.Root what the sender's is. When it returns nil the tree is durable, and its digest
// (from the index, which was read from this tree, and from the bytes as they were received) is the one that the
// sender computed over its own. Otherwise the tree may be anything in between, and the index is void.
func Apply(ctx context.Context, job ApplyJob, r io.Reader) (res Result, err error) {
	index, err := readIndex(job.Index)
	if err != nil {
		return Result{}, fmt.Errorf("read the index: %w", err)
	}
	root, err := openConfined(job.Root)
	if err != nil {
		return Result{}, err
	}
	defer root.close()
	flush, err := newFlusher(job.Root, job.Moved)
	if err != nil {
		return Result{}, err
	}
	defer flush.close()
	a := &applier{
		index: index, root: root, policy: job.Policy, names: newNames(), flush: flush,
		sum: newDigest(index.key), zeros: newZeros(index.key),
	}
	defer func() { a.file.close() }()
	if err := a.run(ctx, frame.NewReader(r, frame.Max)); err != nil {
		return Result{}, noSpace(err)
	}
	return a.res, nil
}

// applier follows the sender through the tree. Both merge the same index with the same changes, and so meet every entry
// of the new tree once, in order.
type applier struct {
	index  *indexReader
	root   *confined
	policy Policy
	names  *names
	flush  *flusher
	sum    *digest
	zeros  *zeros
	res    Result
	bytes  int64 // of content that are not zero blocks

	changed bool   // there was a change, at path last
	last    string // path of the last change: they only go forward
	dirs    []openDir
	file    *openFile // whose blocks are being received
}

// openDir is a directory that the merge is in.
type openDir struct {
	Entry
	set     bool // its metadata are new
	touched bool // something in it came or went
}

func (a *applier) run(ctx context.Context, in *frame.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		kind, p, err := in.Next()
		if err != nil {
			return unexpected(err)
		}
		if kind != frameData && kind != frameZeros && kind != frameTick {
			if err := a.finishFile(); err != nil {
				return err
			}
		}
		switch kind {
		case frameTick:
		case frameDelete:
			err = a.delete(string(p))
		case frameEntry:
			var e Entry
			if e, err = parseEntry(p); err == nil {
				err = a.enter(e)
			}
		case frameData:
			err = a.data(p)
		case frameZeros:
			err = a.zeroRun(p)
		case frameDone:
			return a.done(p)
		default:
			err = protocolError("frame %q among changes", kind)
		}
		if err != nil {
			return err
		}
	}
}

// forward checks that the next change is at path, passes what lies before it, and returns the index's entry there, if any.
func (a *applier) forward(path string) (*Entry, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if a.changed && comparePaths(path, a.last) <= 0 {
		return nil, protocolError("changes out of order at %.200q", path)
	}
	a.changed, a.last = true, path
	if err := a.passUntil(path, false); err != nil {
		return nil, err
	}
	if err := a.leaveUntil(path); err != nil {
		return nil, err
	}
	if path != "" {
		if dir, _ := parentOf(path); len(a.dirs) == 0 || a.dirs[len(a.dirs)-1].Path != dir {
			return nil, protocolError("%.200q is in no directory of the tree", path)
		}
	}
	if a.index.cur != nil && a.index.cur.Path == path {
		return a.index.cur, nil
	}
	return nil, nil
}

// passUntil takes the index's entries before path over into the new tree, or all of them.
func (a *applier) passUntil(path string, all bool) error {
	for a.index.cur != nil && (all || comparePaths(a.index.cur.Path, path) < 0) {
		e := a.index.cur
		if err := a.leaveUntil(e.Path); err != nil {
			return err
		}
		if err := a.account(e); err != nil {
			return err
		}
		if e.Kind == Dir {
			a.dirs = append(a.dirs, openDir{Entry: *e})
		}
		for i := int64(0); a.index.left > 0; i++ {
			t, err := a.index.tag()
			if err != nil {
				return fmt.Errorf("read the index: %w", err)
			}
			if err := a.accountBlock(t, e.blockLen(i)); err != nil {
				return err
			}
		}
		if err := a.index.next(); err != nil {
			return fmt.Errorf("read the index: %w", err)
		}
	}
	return nil
}

// account adds an entry to the new tree, if the policy lets it in.
func (a *applier) account(e *Entry) error {
	a.res.Files++
	a.res.Total += e.Size
	device := e.Kind == Char || e.Kind == Block
	switch {
	case a.policy.MaxFiles > 0 && a.res.Files > a.policy.MaxFiles:
		return fmt.Errorf("%w: more than %d files", ErrQuota, a.policy.MaxFiles)
	case device && !a.policy.Devices:
		return fmt.Errorf("%w: %q is a device", ErrPolicy, e.Path)
	case setID(e) && !a.policy.SetID:
		return fmt.Errorf("%w: %q would run with another's rights", ErrPolicy, e.Path)
	}
	a.sum.entry(e)
	return nil
}

func (a *applier) accountBlock(t Tag, size int) error {
	if t != a.zeros.of(size) {
		a.bytes += int64(size)
		if a.policy.MaxBytes > 0 && a.bytes > a.policy.MaxBytes {
			return fmt.Errorf("%w: more than %d bytes", ErrQuota, a.policy.MaxBytes)
		}
	}
	a.sum.tag(t)
	return nil
}

func (a *applier) delete(path string) error {
	base, err := a.forward(path)
	if err != nil {
		return err
	}
	if base == nil || path == "" {
		return protocolError("the deletion of %.200q, which is not in the index", path)
	}
	if err := a.remove(path); err != nil {
		return err
	}
	return a.index.skipBeneath(path)
}

func (a *applier) remove(path string) error {
	a.touch()
	a.root.forget()
	return a.root.remove(path)
}

// touch notes that something comes to or goes from the innermost directory.
func (a *applier) touch() {
	if n := len(a.dirs); n > 0 {
		a.dirs[n-1].touched = true
	}
}

// leaveUntil finishes the directories that path is not in.
func (a *applier) leaveUntil(path string) error {
	for n := len(a.dirs); n > 0 && !beneath(path, a.dirs[n-1].Path); n-- {
		if err := a.leave(); err != nil {
			return err
		}
	}
	return nil
}

// leave finishes the innermost directory: its own metadata come last, since what happens in it changes its time.
func (a *applier) leave() error {
	n := len(a.dirs) - 1
	d := a.dirs[n]
	a.dirs = a.dirs[:n]
	if !d.set && !d.touched {
		return nil
	}
	f, err := a.root.open(d.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	if d.set {
		err = setMeta(handle{fd: int(f.Fd())}, &d.Entry, a.names)
	} else {
		err = setTime(handle{fd: int(f.Fd())}, d.MTime)
	}
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("%q: %w", d.Path, err)
	}
	a.flush.add(f)
	return nil
}

// done ends the tree and compares the digests.
func (a *applier) done(want []byte) error {
	if err := a.passUntil("", true); err != nil {
		return err
	}
	for len(a.dirs) > 0 {
		if err := a.leave(); err != nil {
			return err
		}
	}
	a.res.Digest = a.sum.sum()
	if !bytes.Equal(a.res.Digest, want) {
		return fmt.Errorf("%w: %x here, %x at the source; index again and repeat the round", ErrDigest, a.res.Digest, want)
	}
	return a.flush.wait()
}

// counts decodes n unsigned numbers at the start of p and returns what follows.
func counts(p []byte, into ...*int64) ([]byte, error) {
	for _, v := range into {
		u, n := binary.Uvarint(p)
		if n <= 0 || u > maxFileSize {
			return nil, protocolError("a block number does not decode")
		}
		*v, p = int64(u), p[n:]
	}
	return p, nil
}
