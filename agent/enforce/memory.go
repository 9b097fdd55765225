package enforce

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/limit"
	"github.com/glidepath/glidepath/internal/resource"
)

// How hard memory is taken back. Taking back what is in use makes an instance read it again from disk, so what did not
// come at once is asked for ever more rarely.
const (
	reclaimChunk   = 16 << 20 // bytes per request
	reclaimTime    = 200 * time.Millisecond
	reclaimRetries = 3 // requests in a row that bring nothing
	reclaimPause   = time.Second
	reclaimPauseUp = 64 * time.Second
)

// shrink remembers when memory that could not be taken back is asked for again.
type shrink struct {
	pause time.Duration
	next  time.Time
}

// setMemory makes memory.high hold amount bytes and memory.max what the margin puts above it. Where more is in use, it takes
// back what it can first, and leaves both limits above what it could not: that is the debt, in bytes.
func setMemory(ctx context.Context, c cgroup, amount int64, s *shrink, now time.Time) (debt int64, wrote bool, err error) {
	high, err := c.readAmount("memory.high")
	if err != nil {
		return 0, false, err
	}
	top, err := c.readAmount("memory.max")
	if err != nil {
		return 0, false, err
	}
	want := pageDown(amount)
	if high == want && top == maxAbove(want) {
		*s = shrink{}
		return 0, false, nil
	}
	used, err := c.readAmount("memory.current")
	if err != nil {
		return 0, false, err
	}
	if want < high {
		if used, err = takeBack(ctx, c, want, high, used, s, now); err != nil {
			return 0, false, err
		}
		if used > want {
			debt = used - want
			want = min(high, pageUp(used))
		}
	}
	writes := memoryWrites(high, top, want, used)
	return debt, len(writes) > 0, c.writeAll(writes)
}

// memoryWrites returns what leads from the limits high and top to want and the margin above it, where used bytes are in use. No
// state on the way has memory.max below memory.high, or below what is in use.
func memoryWrites(high, top, want, used int64) (writes []fileWrite) {
	wantTop := maxAbove(max(want, pageUp(used)))
	if wantTop > top {
		writes = append(writes, fileWrite{"memory.max", printAmount(wantTop)})
	}
	if want != high {
		writes = append(writes, fileWrite{"memory.high", printAmount(want)})
	}
	if wantTop < top {
		writes = append(writes, fileWrite{"memory.max", printAmount(wantTop)})
	}
	return writes
}

// maxAbove is memory.max for a memory.high.
func maxAbove(high int64) int64 {
	if high >= resource.Unlimited {
		return resource.Unlimited
	}
	return pageDown(high + limit.MemoryMargin(high))
}

// takeBack reclaims until no more than want bytes are in use, within its time, and returns how many are.
func takeBack(ctx context.Context, c cgroup, want, high, used int64, s *shrink, now time.Time) (left int64, err error) {
	if used <= want {
		*s = shrink{}
		return used, nil
	}
	if now.Before(s.next) {
		return used, nil
	}
	if c.has("memory.reclaim") {
		used, err = reclaim(ctx, c, want, used, now.Add(reclaimTime))
	} else {
		used, err = reclaimByHigh(c, want, high)
	}
	if err == nil && used > want {
		s.pause = min(max(2*s.pause, reclaimPause), reclaimPauseUp)
		s.next = now.Add(s.pause)
	}
	return used, err
}

// reclaimByHigh is for kernels before 5.19: lowering memory.high takes back as a side effect.
func reclaimByHigh(c cgroup, want, high int64) (used int64, err error) {
	if err := c.write("memory.high", printAmount(want)); err != nil {
		return 0, err
	}
	used, err = c.readAmount("memory.current")
	return used, errors.Join(err, c.write("memory.high", printAmount(high)))
}

func reclaim(ctx context.Context, c cgroup, want, used int64, until time.Time) (int64, error) {
	for barren := 0; used > want && barren < reclaimRetries && ctx.Err() == nil && time.Now().Before(until); {
		err := c.write("memory.reclaim", printAmount(min(used-want, reclaimChunk)))
		// EAGAIN: not all of it could be had.
		if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			return 0, err
		}
		left, err := c.readAmount("memory.current")
		if err != nil {
			return 0, err
		}
		if left >= used {
			barren++
		} else {
			barren = 0
		}
		used = left
	}
	return used, nil
}

// protect sets memory.low to the share of amount that the class keeps. Where the parent protects nothing the kernel would not
// honour it: it is left at 0, and the note says what is missing.
func protect(c, parent cgroup, share, amount int64) (note string, err error) {
	want := int64(0)
	if share > 0 && amount < resource.Unlimited {
		want = pageDown(amount / 100 * share)
	}
	if want > 0 {
		above, err := parent.readAmount("memory.low")
		if err != nil {
			var missing *MissingError
			if !errors.As(err, &missing) { // the root has no memory.low, and limits nobody's
				return "", err
			}
			above = resource.Unlimited
		}
		if above == 0 {
			note = fmt.Sprintf("memory.low is left out: %s protects nothing; set MemoryLow= of that slice to have it", parent)
			want = 0
		}
	}
	is, err := c.readAmount("memory.low")
	if err != nil || is == want {
		return note, err
	}
	return note, c.write("memory.low", printAmount(want))
}

func pageDown(n int64) int64 {
	if n >= resource.Unlimited {
		return resource.Unlimited
	}
	return n - n%int64(os.Getpagesize())
}

func pageUp(n int64) int64 { return pageDown(n + int64(os.Getpagesize()) - 1) }
