//go:build linux

// Command guestd runs inside a guest of the test bed: it gives the guest its name and network
// and serves the control channel.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/testenv/vm/guestd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, logger); err != nil {
		logger.Error("guestd failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, logger *slog.Logger) error {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	boot, err := guestd.ParseBootConfig(string(text))
	if err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(boot.Name)); err != nil {
		return fmt.Errorf("set host name %s: %w", boot.Name, err)
	}
	listener, err := setUpNetwork(boot)
	if err != nil {
		return err
	}
	logger.Info("serving", "name", boot.Name, "address", listener.Addr())
	return guestd.NewServer(logger).Serve(ctx, listener)
}

// setUpNetwork configures both interfaces and returns the listener of the control channel.
func setUpNetwork(boot guestd.BootConfig) (net.Listener, error) {
	if err := configureData(boot.Data); err != nil {
		return nil, fmt.Errorf("set up the data network: %w", err)
	}
	// The goroutine's thread changes its namespace for good: it ends with its goroutine, and
	// the listening socket keeps the namespace alive.
	type answer struct {
		listener net.Listener
		err      error
	}
	answers := make(chan answer)
	go func() {
		listener, err := listenControl(boot.Control)
		answers <- answer{listener, err}
	}()
	got := <-answers
	if got.err != nil {
		return nil, fmt.Errorf("set up the control network: %w", got.err)
	}
	return got.listener, nil
}
