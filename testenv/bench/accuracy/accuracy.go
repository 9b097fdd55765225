//go:build linux

// Package accuracy scores the forecast on published series: the M4 competition's hourly ones, traces of virtual machines,
// and short histories with anomalies. It reads them from a folder; none of them is part of the project.
package accuracy

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what is scored and how.
type Options struct {
	// Dir has the folders that the data sets are in: m4-hourly, bitbrains-rnd, bitbrains-faststorage, nab-aws.
	Dir string
	// Sample takes every so many-th series only; 0 and 1 mean all.
	Sample int
	// Rest takes those that Sample leaves out instead: what was not tuned on.
	Rest bool
	// Holdout scores M4 on the last 48 hours of the training part instead of the test part, so that settings can be
	// chosen without the test part.
	Holdout bool
	// Members restricts the portfolio; nil means all.
	Members []string
	// Workers is how many series are worked on at a time; 0 means one for each core.
	Workers int
}

// takes reports whether the i-th series is scored.
func (o Options) takes(i int) bool {
	if o.Sample <= 1 {
		return !o.Rest
	}
	return (i%o.Sample == 0) != o.Rest
}

// chosen returns the indices, of n series, that are scored.
func (o Options) chosen(n int) []int {
	var out []int
	for i := range n {
		if o.takes(i) {
			out = append(out, i)
		}
	}
	return out
}

// each calls score for 0 to n-1, several at a time, and returns the results in order, so that sums of them do not depend
// on who was first. It stops at the first error and when ctx ends.
func each[T any](ctx context.Context, workers, n int, score func(i int) (T, error)) ([]T, error) {
	if n == 0 {
		return nil, errors.New("SAMPLE and REST leave no series to score")
	}
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	out, errs := make([]T, n), make([]error, n)
	next := make(chan int)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range next {
				if out[i], errs[i] = score(i); errs[i] != nil {
					stop(errs[i])
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return out, context.Cause(ctx)
}

// CPUTime returns the CPU time of this process, its collection of garbage included.
func CPUTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // the arguments are constants
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
