package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// hash reads the blocks of c and tags them. Holes are not read.
func (s *scanner) hash(c *chunk, buf []byte) error {
	e := &c.node.Entry
	start := c.first * BlockSize
	end := min(e.Size, start+chunkBlocks*BlockSize)
	buf = buf[:end-start]
	if sparse(&c.node.stat) && isHole(c.node.file, start, end) {
		for i := c.first; i*BlockSize < end; i++ {
			c.tags = append(c.tags, s.zeros.of(e.blockLen(i)))
		}
		return nil
	}
	if err := s.read(c.node, buf, start); err != nil {
		return err
	}
	for len(buf) > 0 {
		n := min(len(buf), BlockSize)
		c.tags = append(c.tags, s.key.tag(buf[:n]))
		buf = buf[n:]
	}
	return nil
}

// read fills buf from the file's offset. What a live source has cut off since reads as zeros: the next round finds it.
func (s *scanner) read(n *node, buf []byte, off int64) error {
	got, err := n.file.ReadAt(buf, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %q: %w", n.Path, err)
	}
	if got < len(buf) {
		if s.final || !s.source {
			return fmt.Errorf("%w: %q became shorter", ErrChanged, n.Path)
		}
		clear(buf[got:])
	}
	return nil
}

func sparse(st *unix.Stat_t) bool { return st.Blocks*512 < st.Size }

// isHole reports whether [start, end) certainly has no data.
func isHole(f *os.File, start, end int64) bool {
	data, err := unix.Seek(int(f.Fd()), start, unix.SEEK_DATA)
	return errors.Is(err, unix.ENXIO) || err == nil && data >= end
}

// tags calls visit for every block of n in order.
func (n *node) tags(ctx context.Context, visit func(block int64, t Tag) error) error {
	if n.chunks == nil {
		return nil
	}
	for c := range n.chunks {
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if c.err != nil {
			return c.err
		}
		for i, t := range c.tags {
			if err := visit(c.first+int64(i), t); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// unchanged reports that nobody has touched the file since it was opened for the scan. That is a warning bell for a source
// that should be frozen, not what the round relies on.
func (n *node) unchanged() error {
	if n.file == nil {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(n.file.Fd()), &st); err != nil {
		return fmt.Errorf("look at %q again: %w", n.Path, err)
	}
	if st.Size != n.stat.Size || st.Mtim != n.stat.Mtim || st.Ctim != n.stat.Ctim {
		return fmt.Errorf("%w: %q", ErrChanged, n.Path)
	}
	return nil
}
