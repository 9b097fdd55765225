package session

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	batchWindows = 512              // windows that are sent or spilled together
	spillAfter   = 30 * time.Second // age at which windows that nobody took go to disk
	batchSuffix  = ".windows"
	maxBatch     = 1 << 20 // bytes of a spilled batch
)

// Buffer holds windows until a coordinator has stored them: the newest in memory, older ones in files, the oldest
// dropped when they are too many or too old. Windows leave in the order in which they came. Its methods may be called
// concurrently.
type Buffer struct {
	fsys     durable.FS
	dir      string
	maxBytes int64
	maxAge   time.Duration

	mu      sync.Mutex
	pending []proto.Window
	spilled []batch // oldest first
	next    uint64  // number of the next batch
	dropped int64   // windows, since the start
}

// batch is a file of windows, named by its number and the start of its newest window.
type batch struct {
	number uint64
	newest timeline.Time
	size   int64
}

func (b batch) name() string { return fmt.Sprintf("%020d-%d%s", b.number, b.newest, batchSuffix) }

// OpenBuffer finds the batches that an earlier life left in dir, which must exist.
func OpenBuffer(fsys durable.FS, dir string, maxBytes int64, maxAge time.Duration) (*Buffer, error) {
	b := &Buffer{fsys: fsys, dir: dir, maxBytes: maxBytes, maxAge: maxAge, next: 1}
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("buffered samples: %w", err)
	}
	for _, name := range names {
		number, newest, ok := strings.Cut(strings.TrimSuffix(name, batchSuffix), "-")
		n, errN := strconv.ParseUint(number, 10, 64)
		t, errT := strconv.ParseInt(newest, 10, 64)
		if !ok || errN != nil || errT != nil || !strings.HasSuffix(name, batchSuffix) {
			continue
		}
		info, err := fsys.Stat(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("buffered samples: %w", err)
		}
		b.spilled = append(b.spilled, batch{n, timeline.Time(t), info.Size()})
		b.next = max(b.next, n+1)
	}
	slices.SortFunc(b.spilled, func(x, y batch) int { return int(int64(x.number) - int64(y.number)) })
	return b, nil
}

// Put takes windows in. What has waited for too long, or is too much for memory, goes to disk.
func (b *Buffer) Put(now timeline.Time, windows []proto.Window) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = append(b.pending, windows...)
	if len(b.pending) == 0 || (len(b.pending) < batchWindows && now.Sub(b.pending[0].Start) < spillAfter) {
		return nil
	}
	return b.spill(now)
}

// Flush puts all that is in memory on disk: before the agent stops.
func (b *Buffer) Flush(now timeline.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spill(now)
}

// spill writes what is pending to files and drops what is too old or too much. b.mu is held.
func (b *Buffer) spill(now timeline.Time) error {
	for len(b.pending) > 0 {
		part := b.pending[:min(len(b.pending), batchWindows)]
		data, err := proto.Marshal(proto.Samples{Windows: part})
		if err != nil {
			return err
		}
		f := batch{b.next, part[len(part)-1].Start, int64(len(data))}
		if err := durable.WriteFile(b.fsys, filepath.Join(b.dir, f.name()), data, 0o600); err != nil {
			b.bound()
			return fmt.Errorf("buffer samples: %w", err)
		}
		b.next++
		b.spilled = append(b.spilled, f)
		b.pending = b.pending[len(part):]
	}
	b.pending = nil
	return b.expire(now)
}

// bound keeps memory bounded when the disk takes nothing: the oldest windows go.
func (b *Buffer) bound() {
	if over := len(b.pending) - 8*batchWindows; over > 0 {
		b.dropped += int64(over)
		b.pending = slices.Clone(b.pending[over:])
	}
}

// expire drops the oldest batches while they are too old or all together too large. b.mu is held.
func (b *Buffer) expire(now timeline.Time) error {
	var total int64
	for _, f := range b.spilled {
		total += f.size
	}
	for len(b.spilled) > 0 && (total > b.maxBytes || now.Sub(b.spilled[0].newest) > b.maxAge) {
		if err := b.remove(b.spilled[0]); err != nil {
			return err
		}
		total -= b.spilled[0].size
		b.dropped += batchWindows
		b.spilled = b.spilled[1:]
	}
	return nil
}

func (b *Buffer) remove(f batch) error {
	if err := durable.Remove(b.fsys, filepath.Join(b.dir, f.name())); err != nil {
		return fmt.Errorf("buffered samples: %w", err)
	}
	return nil
}

// Next returns the oldest windows, and a function to be called when a coordinator has stored them. It returns none when
// the buffer is empty. Only one sender may use it at a time.
func (b *Buffer) Next() (windows []proto.Window, stored func() error, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.spilled) > 0 {
		f := b.spilled[0]
		data, err := durable.ReadFile(b.fsys, filepath.Join(b.dir, f.name()), maxBatch)
		var s proto.Samples
		if err == nil {
			err = proto.Unmarshal(data, &s)
		}
		switch {
		case err == nil:
			return s.Windows, func() error { return b.taken(f) }, nil
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, proto.ErrMalformed):
			// Somebody deleted or damaged it: the others are still good.
			if err := b.remove(f); err != nil {
				return nil, nil, err
			}
			b.dropped += batchWindows
			b.spilled = b.spilled[1:]
		default:
			return nil, nil, fmt.Errorf("buffered samples: %w", err)
		}
	}
	n := min(len(b.pending), batchWindows)
	return slices.Clone(b.pending[:n]), func() error { return b.takenPending(n) }, nil
}

// taken removes a batch that was stored.
func (b *Buffer) taken(f batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.spilled) == 0 || b.spilled[0].number != f.number {
		return nil // dropped in the meantime
	}
	if err := b.remove(f); err != nil {
		return err
	}
	b.spilled = b.spilled[1:]
	return nil
}

// takenPending removes the n oldest pending windows. If they were spilled in the meantime they are sent once more, which
// stores them once.
func (b *Buffer) takenPending(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.spilled) == 0 {
		b.pending = slices.Clone(b.pending[min(n, len(b.pending)):])
	}
	return nil
}

// Waiting returns how many windows no coordinator has taken yet; those in files are counted as full ones.
func (b *Buffer) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pending) + len(b.spilled)*batchWindows
}

// Dropped returns about how many windows were lost because they were too old or too many.
func (b *Buffer) Dropped() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}
