package consensus

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// hclogger gives raft's log lines to slog.
type hclogger struct {
	log  *slog.Logger
	name string
	args []any
}

var _ hclog.Logger = hclogger{}

func level(l hclog.Level) slog.Level {
	switch l {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// Log writes a line. Values that only know how to print themselves as a Go value are made text.
func (h hclogger) Log(l hclog.Level, msg string, args ...any) {
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			if format, ok := f[0].(string); ok {
				args[i] = fmt.Sprintf(format, f[1:]...)
			}
		}
	}
	h.log.Log(context.Background(), level(l), msg, args...)
}

func (h hclogger) Trace(msg string, args ...any) { h.Log(hclog.Trace, msg, args...) }
func (h hclogger) Debug(msg string, args ...any) { h.Log(hclog.Debug, msg, args...) }
func (h hclogger) Info(msg string, args ...any)  { h.Log(hclog.Info, msg, args...) }
func (h hclogger) Warn(msg string, args ...any)  { h.Log(hclog.Warn, msg, args...) }
func (h hclogger) Error(msg string, args ...any) { h.Log(hclog.Error, msg, args...) }

func (h hclogger) enabled(l slog.Level) bool { return h.log.Enabled(context.Background(), l) }

// IsTrace is always false: raft's traces are per message.
func (h hclogger) IsTrace() bool { return false }

func (h hclogger) IsDebug() bool         { return h.enabled(slog.LevelDebug) }
func (h hclogger) IsInfo() bool          { return h.enabled(slog.LevelInfo) }
func (h hclogger) IsWarn() bool          { return h.enabled(slog.LevelWarn) }
func (h hclogger) IsError() bool         { return h.enabled(slog.LevelError) }
func (h hclogger) ImpliedArgs() []any    { return h.args }
func (h hclogger) Name() string          { return h.name }
func (h hclogger) SetLevel(hclog.Level)  {}
func (h hclogger) GetLevel() hclog.Level { return hclog.Debug }
func (h hclogger) ResetNamed(n string) hclog.Logger {
	return hclogger{log: h.log, name: n, args: h.args}
}

// With returns a logger that adds args to every line.
func (h hclogger) With(args ...any) hclog.Logger {
	return hclogger{log: h.log.With(args...), name: h.name, args: append(h.args[:len(h.args):len(h.args)], args...)}
}

// Named returns a logger for a part.
func (h hclogger) Named(name string) hclog.Logger {
	return hclogger{log: h.log.With("part", name), name: name, args: h.args}
}

// StandardLogger returns a logger of the standard library's kind.
func (h hclogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(h.log.Handler(), slog.LevelInfo)
}

// StandardWriter returns a writer whose lines are logged.
func (h hclogger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return h.StandardLogger(o).Writer()
}
