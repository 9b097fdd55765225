//go:build linux

package vm_test

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// lineWaiter gives a test the lines of an output as they come.
type lineWaiter struct{ lines chan string }

func (l *lineWaiter) start() *lineWriter {
	l.lines = make(chan string, 100)
	return &lineWriter{lines: l.lines}
}

func (l *lineWaiter) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-l.lines:
		return line
	case <-time.After(patience):
		t.Fatal("no line of output")
		return ""
	}
}

type lineWriter struct {
	lines chan<- string
	rest  []byte
}

func (w *lineWriter) Write(data []byte) (int, error) {
	w.rest = append(w.rest, data...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(data), nil
		}
		w.lines <- string(line)
		w.rest = rest
	}
}

func waitFor(ctx context.Context, t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("did not come true in time")
		}
	}
}
