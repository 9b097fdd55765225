package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/glidepath/glidepath/coordinator"
	"github.com/glidepath/glidepath/coordinator/auth"
)

// openAudit opens what the audit is written to, and goes on in a new file at each SIGHUP until it is closed.
func openAudit(ctx context.Context, cfg coordinator.Config, log *slog.Logger, stderr io.Writer) (io.Writer, func() error, error) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // also without a file: whoever rotates files must not end the daemon
	path := cfg.AuditPath()
	if path == "" {
		return stderr, func() error { signal.Stop(hangups); return nil }, nil
	}
	file, err := auth.OpenFile(path, log)
	if err != nil {
		signal.Stop(hangups)
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	var reopening sync.WaitGroup
	reopening.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				if err := file.Reopen(); err != nil {
					log.Error("the audit goes on in its former file", "error", err)
				}
			}
		}
	})
	return file, func() error {
		signal.Stop(hangups)
		stop()
		reopening.Wait()
		return file.Close()
	}, nil
}

// tailKept is how much of what was logged last is kept for a support bundle, in bytes.
const tailKept = 512 << 10

// tail keeps the end of what is written to it. Its methods may be called concurrently.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - tailKept; over > tailKept { // seldom, so that a line costs no copy
		t.text = append([]byte(nil), t.text[over:]...)
	}
	return len(b), nil
}

// Bytes returns a copy of the end.
func (t *tail) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), t.text[max(0, len(t.text)-tailKept):]...)
}
