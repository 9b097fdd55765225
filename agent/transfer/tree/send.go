package tree

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/glidepath/glidepath/agent/transfer/frame"
)

// Frames of changes, in the order of the tree. What is not mentioned stays as the index says.
const (
	frameDelete = 'X' // path; a directory goes with all that is in it
	frameData   = 'B' // block number, content; of the file entered last
	frameZeros  = 'Z' // first block number, number of blocks of zeros
	// frameEntry: a new entry, or new metadata, or a file whose blocks follow
	// frameTick and frameDone as in an index
)

// SendJob is a tree to be sent.
type SendJob struct {
	Root   string
	Index  io.Reader // what the target holds
	Policy Policy    // of the target
	Final  bool      // nothing may change meanwhile; what does is ErrChanged
}

// Send writes to w what makes the indexed tree equal to the one at job.Root. Every file is read to its end: content decides, never the clock.
func Send(ctx context.Context, job SendJob, w io.Writer) (Result, error) {
	index, err := readIndex(job.Index)
	if err != nil {
		return Result{}, fmt.Errorf("read the target's index: %w", err)
	}
	out := bufio.NewWriterSize(w, 128<<10)
	s := &sender{
		scanner: scanner{key: index.key, source: true, final: job.Final, policy: job.Policy},
		index:   index, out: out, sum: newDigest(index.key), tick: ticker{out: out}, block: make([]byte, BlockSize),
	}
	if err := s.scan(ctx, job.Root, func(n *node) error { return s.entry(ctx, n) }); err != nil {
		return Result{}, err
	}
	if err := s.deleteUntil(nil); err != nil {
		return Result{}, err
	}
	s.res.Digest, s.res.Dropped = s.sum.sum(), s.dropped
	if err := frame.Write(out, frameDone, s.res.Digest); err != nil {
		return Result{}, err
	}
	return s.res, out.Flush()
}

type sender struct {
	scanner
	index *indexReader
	out   *bufio.Writer
	sum   *digest
	tick  ticker
	res   Result
	block []byte
	buf   []byte
}

func (s *sender) entry(ctx context.Context, n *node) error {
	if err := s.deleteUntil(&n.Entry); err != nil {
		return err
	}
	s.res.Files++
	s.res.Total += n.Size
	s.sum.entry(&n.Entry)
	base := s.index.cur
	if base != nil && base.Path != n.Path {
		base = nil
	}
	c := content{sender: s, node: n, said: base == nil || !base.equal(&n.Entry)}
	if base != nil && base.Kind == File && n.Kind == File {
		c.base = base
	}
	if c.said {
		if err := s.enter(&n.Entry); err != nil {
			return err
		}
	}
	if err := n.tags(ctx, c.compare); err != nil {
		return err
	}
	if err := c.flushZeros(); err != nil {
		return err
	}
	if s.final {
		if err := n.unchanged(); err != nil {
			return err
		}
	}
	if base != nil {
		// Where a directory became something else, all that was in it goes with it.
		if base.Kind == Dir && n.Kind != Dir {
			if err := s.index.skipBeneath(base.Path); err != nil {
				return err
			}
		} else if err := s.index.next(); err != nil {
			return err
		}
	}
	return s.tick.add(0)
}

// deleteUntil deletes what the index has before e and the source has not; all that is left if e is nil.
func (s *sender) deleteUntil(e *Entry) error {
	for s.index.cur != nil && (e == nil || comparePaths(s.index.cur.Path, e.Path) < 0) {
		path := s.index.cur.Path
		if err := frame.Write(s.out, frameDelete, []byte(path)); err != nil {
			return err
		}
		if err := s.index.skipBeneath(path); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) enter(e *Entry) error {
	s.buf = e.append(s.buf[:0])
	return frame.Write(s.out, frameEntry, s.buf)
}

// content compares one file with its base, the file of that path on the target, if there is one.
type content struct {
	*sender
	node      *node
	base      *Entry
	said      bool // the entry has been sent
	zeroFirst int64
	zeroCount int64
}

func (c *content) compare(i int64, t Tag) error {
	n := c.node
	size := n.blockLen(i)
	same := false
	if c.base != nil && c.index.left > 0 {
		old, err := c.index.tag()
		if err != nil {
			return fmt.Errorf("read the target's index: %w", err)
		}
		same = old == t && c.base.blockLen(i) == size
	}
	if err := c.tick.add(size); err != nil {
		return err
	}
	if same {
		c.sum.tag(t)
		return nil
	}
	if !c.said {
		c.said = true
		if err := c.enter(&n.Entry); err != nil {
			return err
		}
	}
	c.res.Changed += int64(size)
	if t == c.zeros.of(size) {
		c.sum.tag(t)
		if c.zeroCount > 0 && c.zeroFirst+c.zeroCount == i {
			c.zeroCount++
			return nil
		}
		if err := c.flushZeros(); err != nil {
			return err
		}
		c.zeroFirst, c.zeroCount = i, 1
		return nil
	}
	if err := c.flushZeros(); err != nil {
		return err
	}
	// The block is read once more instead of being kept since it was hashed; what counts is what is sent.
	if err := c.read(n, c.block[:size], i*BlockSize); err != nil {
		return err
	}
	c.sum.tag(c.key.tag(c.block[:size]))
	c.buf = binary.AppendUvarint(c.buf[:0], uint64(i))
	return frame.Write(c.out, frameData, c.buf, c.block[:size])
}

func (c *content) flushZeros() error {
	if c.zeroCount == 0 {
		return nil
	}
	c.buf = binary.AppendUvarint(binary.AppendUvarint(c.buf[:0], uint64(c.zeroFirst)), uint64(c.zeroCount))
	c.zeroCount = 0
	return frame.Write(c.out, frameZeros, c.buf)
}

func appendCount(b []byte, n int64) []byte { return binary.AppendUvarint(b, uint64(n)) }
