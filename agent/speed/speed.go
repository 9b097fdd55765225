// Package speed measures how much work a core of this host does, by a short benchmark that gives way to everything else.
package speed

import (
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	slice  = 20 * time.Millisecond // of CPU time, after which the clock is read
	parts  = 10                    // of which the best one counts: others shared the core, or caught it at a low frequency
	hashed = 32 << 10              // bytes that a round hashes
	sorted = 2048                  // numbers that a round sorts
)

// Score returns how many rounds the core that this runs on does in a thousand seconds of CPU time. It takes about 200 ms of CPU time on a thread of the lowest
// priority, so that on a busy host it takes longer and comes to the same.
func Score() (int64, error) {
	runtime.LockOSThread() // with the priority; a thread that is not unlocked ends with its goroutine
	giveWay()
	w := newWork()
	best := 0.0
	for range parts {
		rate, err := w.rate(slice)
		if err != nil {
			return 0, err
		}
		best = max(best, rate)
	}
	return max(1, int64(best*1000)), nil
}

// giveWay lets everybody else run first. Where the kernel allows neither, the benchmark is short all the same.
func giveWay() {
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0); err != nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 19)
	}
}

// work is what a round is done on.
type work struct {
	bytes   []byte
	numbers []uint64
	seed    uint64
}

func newWork() *work {
	w := &work{bytes: make([]byte, hashed), numbers: make([]uint64, sorted), seed: 1}
	for i := range w.bytes {
		w.bytes[i] = byte(i * 7)
	}
	return w
}

// round hashes bytes (FNV-1a) and sorts numbers that follow from the hash (xorshift): arithmetic that waits for itself, branches that can't be foretold, and memory
// of the nearest caches. No instruction that only some models have does it in one.
func (w *work) round() {
	h := w.seed ^ 14695981039346656037
	for _, b := range w.bytes {
		h = (h ^ uint64(b)) * 1099511628211
	}
	for i := range w.numbers {
		h ^= h << 13
		h ^= h >> 7
		h ^= h << 17
		w.numbers[i] = h
	}
	slices.Sort(w.numbers)
	w.seed = w.numbers[sorted/2]
}

// rate returns how many rounds are done in a second of CPU time, over at least so much of it.
func (w *work) rate(least time.Duration) (float64, error) {
	begin, err := used()
	if err != nil {
		return 0, err
	}
	for n := 1; ; n++ {
		w.round()
		now, err := used()
		if err != nil {
			return 0, err
		}
		if now-begin >= least {
			return float64(n) / (now - begin).Seconds(), nil
		}
	}
}

// used returns the CPU time of this thread.
func used() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}
