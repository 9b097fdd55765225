package tree

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/glidepath/glidepath/agent/transfer/frame"
)

// Frames of an index: one header, then entries in order, a file's followed by its tags, then the end.
const (
	frameHeader = 'I' // version, key
	frameEntry  = 'E'
	frameTags   = 'H' // up to tagsPerFrame tags
	frameTick   = 'T' // bytes looked at so far; says that something moves
	frameDone   = 'D' // the tree's digest
)

const (
	indexVersion = 1
	tagsPerFrame = 4096
	tickBytes    = 16 << 20 // looked at between two ticks
	tickEntries  = 2048
)

// Index writes an index of the tree at root to w: every entry, and tags of all content under a new key.
// A missing root gives the index of an empty tree. The tree must not change meanwhile.
func Index(ctx context.Context, root string, w io.Writer) (Result, error) {
	key := newKey()
	out := bufio.NewWriterSize(w, 128<<10)
	if err := frame.Write(out, frameHeader, []byte{indexVersion}, key[:]); err != nil {
		return Result{}, err
	}
	s := scanner{key: key}
	sum, res, tick := newDigest(key), Result{}, ticker{out: out}
	var buf []byte
	err := s.scan(ctx, root, func(n *node) error {
		sum.entry(&n.Entry)
		res.Files++
		res.Total += n.Size
		buf = n.append(buf[:0])
		if err := frame.Write(out, frameEntry, buf); err != nil {
			return err
		}
		if err := tick.add(0); err != nil {
			return err
		}
		tags := buf[:0]
		flush := func() error {
			if len(tags) == 0 {
				return nil
			}
			err := frame.Write(out, frameTags, tags)
			tags = tags[:0]
			return err
		}
		err := n.tags(ctx, func(i int64, t Tag) error {
			sum.tag(t)
			if tags = append(tags, t[:]...); len(tags) == tagsPerFrame*len(t) {
				if err := flush(); err != nil {
					return err
				}
			}
			return tick.add(n.blockLen(i))
		})
		if err != nil {
			return err
		}
		return errors.Join(flush(), n.unchanged())
	})
	if err != nil {
		return Result{}, err
	}
	res.Digest = sum.sum()
	if err := frame.Write(out, frameDone, res.Digest); err != nil {
		return Result{}, err
	}
	return res, out.Flush()
}

// ticker says from time to time how far a pass is, and flushes: whoever waits sees it move.
type ticker struct {
	out     *bufio.Writer
	bytes   int64
	lastAt  int64
	entries int
}

// add counts n bytes that were looked at, 0 for an entry.
func (t *ticker) add(n int) error {
	t.bytes += int64(n)
	if n == 0 {
		t.entries++
	}
	if t.bytes-t.lastAt < tickBytes && t.entries < tickEntries {
		return nil
	}
	t.lastAt, t.entries = t.bytes, 0
	return t.now()
}

func (t *ticker) now() error {
	if err := frame.Write(t.out, frameTick, appendCount(nil, t.bytes)); err != nil {
		return err
	}
	return t.out.Flush()
}

// indexReader reads an index in order. It holds one entry and one frame of tags.
type indexReader struct {
	in    *frame.Reader
	key   Key
	begun bool
	cur   *Entry // nil at the end
	last  string // path of the last entry
	left  int64  // tags of it that were not taken yet
	tags  []byte // of those, the ones that were read
}

// readIndex reads the header and the first entry.
func readIndex(r io.Reader) (*indexReader, error) {
	x := &indexReader{in: frame.NewReader(r, frame.Max)}
	kind, p, err := x.in.Next()
	if err != nil {
		return nil, unexpected(err)
	}
	if kind != frameHeader || len(p) != 1+len(x.key) || p[0] != indexVersion {
		return nil, protocolError("not an index of version %d", indexVersion)
	}
	copy(x.key[:], p[1:])
	return x, x.next()
}

// next moves to the next entry, past the tags that were not taken.
func (x *indexReader) next() error {
	for x.left > 0 {
		if _, err := x.tag(); err != nil {
			return err
		}
	}
	kind, p, err := x.frame()
	if err != nil {
		return err
	}
	switch kind {
	case frameDone:
		x.cur = nil
		return nil
	case frameEntry:
	default:
		return protocolError("frame %q where an entry of the index was expected", kind)
	}
	e, err := parseEntry(p)
	if err != nil {
		return err
	}
	if x.begun && comparePaths(e.Path, x.last) <= 0 || !x.begun && e.Path != "" {
		return protocolError("the index is out of order at %.200q", e.Path)
	}
	x.begun, x.cur, x.last, x.left, x.tags = true, &e, e.Path, e.blocks(), nil
	return nil
}

// tag takes the next tag of the current file; left says whether there is one.
func (x *indexReader) tag() (Tag, error) {
	if len(x.tags) == 0 {
		kind, p, err := x.frame()
		if err != nil {
			return Tag{}, err
		}
		if kind != frameTags || len(p) == 0 || len(p)%len(Tag{}) != 0 || int64(len(p)/len(Tag{})) > x.left {
			return Tag{}, protocolError("the tags of %.200q do not fit its size", x.last)
		}
		x.tags = p
	}
	t := Tag(x.tags[:len(Tag{})])
	x.tags = x.tags[len(t):]
	x.left--
	return t, nil
}

// frame returns the next frame that is not a tick.
func (x *indexReader) frame() (byte, []byte, error) {
	for {
		kind, p, err := x.in.Next()
		if err != nil {
			return 0, nil, unexpected(err)
		}
		if kind != frameTick {
			return kind, p, nil
		}
	}
}

// skipBeneath moves past every entry in the directory dir, and dir itself.
func (x *indexReader) skipBeneath(dir string) error {
	for x.cur != nil && beneath(x.cur.Path, dir) {
		if err := x.next(); err != nil {
			return err
		}
	}
	return nil
}

// unexpected makes an end where there should be none an error that is not io.EOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
