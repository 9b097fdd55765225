// Package leader runs the loops that only the leader runs, from its election until it is deposed.
package leader

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Loop is work that only the leader does. Run returns when ctx ends; a loop that returns before is begun again.
type Loop struct {
	Name string
	Run  func(ctx context.Context) error
}

// How long a loop that failed waits before it is begun again.
const (
	againFirst = time.Second
	againMost  = 30 * time.Second
)

// Run starts the loops whenever leadership says true and stops and joins them when it says false, until ctx ends. Before
// they start, barrier has returned: what they read is all that was committed before.
func Run(ctx context.Context, leadership <-chan bool, barrier func(context.Context) error, loops []Loop, log *slog.Logger) error {
	var stop func()
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case leads := <-leadership:
			if stop != nil {
				stop()
				stop = nil
			}
			if leads {
				stop = start(ctx, barrier, loops, log)
			}
		}
	}
}

// start begins to lead and returns what ends it and waits for the end.
func start(ctx context.Context, barrier func(context.Context) error, loops []Loop, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		for barrier(ctx) != nil {
			// Deposed again, or the majority is slow: raft tells which.
			if !sleep(ctx, againFirst) {
				return
			}
		}
		log.Info("leading")
		for _, l := range loops {
			all.Go(func() { keep(ctx, l, log.With("loop", l.Name)) })
		}
	})
	return func() {
		cancel()
		all.Wait()
		log.Info("not leading any more")
	}
}

// keep runs a loop until ctx ends.
func keep(ctx context.Context, l Loop, log *slog.Logger) {
	wait := againFirst
	for {
		began := time.Now()
		err := l.Run(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			wait = againFirst
		}
		log.Error("a loop of the leader ended, beginning it again", "error", err, "in", wait)
		if !sleep(ctx, wait) {
			return
		}
		wait = min(2*wait, againMost)
	}
}

// sleep waits, and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// rounds calls round at once, and again each time that so long has passed, until ctx ends or it fails.
func rounds(ctx context.Context, every time.Duration, round func(context.Context) error) error {
	var nothing asking[struct{}, struct{}]
	return nothing.rounds(ctx, every, 0, round)
}
