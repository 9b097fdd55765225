package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
)

// Log says what a daemon logs, and how.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Validate returns every problem of l at once.
func (l Log) Validate() error {
	var problems []error
	if _, err := l.level(); err != nil {
		problems = append(problems, err)
	}
	if l.Format != "text" && l.Format != "json" {
		problems = append(problems, fmt.Errorf("log.format: %q is neither text nor json", l.Format))
	}
	return errors.Join(problems...)
}

// Over returns l with what is set of over instead.
func (l Log) Over(over Log) Log {
	return Log{Level: cmp.Or(over.Level, l.Level), Format: cmp.Or(over.Format, l.Format)}
}

func (l Log) level() (slog.Level, error) {
	switch l.Level {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log.level: %q is none of debug, info, warn, error", l.Level)
}

// Logger returns a logger that writes to w as l says.
func (l Log) Logger(w io.Writer) (*slog.Logger, error) {
	level, err := l.level()
	if err != nil {
		return nil, err
	}
	opts := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}

// IsListen reports whether addr is host:port or :port.
func IsListen(addr string) bool { return hostPort(addr, false) }

// IsDial reports whether addr is host:port, with a host that can be dialled.
func IsDial(addr string) bool { return hostPort(addr, true) }

func hostPort(addr string, dial bool) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return false
	}
	if ip := net.ParseIP(host); dial && (host == "" || ip != nil && ip.IsUnspecified()) {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && (n > 0 || !dial)
}
