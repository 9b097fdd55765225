// Package systemd drives the host's service manager over its bus, for all of the agent.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/dbus"
)

// ErrRefused is told by errors.Is of a Start after which the unit does not run, because its own condition did not let it, or it ended at once
// and well. systemd itself calls both a success.
var ErrRefused = errors.New("it does not run: its ExecCondition= does not let it on this host, or it ended at once")

// ErrNoUnit is told by errors.Is when systemd knows no unit of that name.
var ErrNoUnit = errors.New("no such unit")

// JobError is a start or stop that ended otherwise than done.
type JobError struct {
	Job    string // start, stop, restart
	Unit   string
	Result string // systemd's word: failed, timeout, dependency, canceled, skipped
	Why    string // the unit's own result, where it has one: exit-code, signal, oom-kill, …
}

// Error names the unit, what happened and where to look.
func (e *JobError) Error() string {
	why := ""
	if e.Why != "" && e.Why != "success" {
		why = " (" + e.Why + ")"
	}
	return fmt.Sprintf("%s of %s: %s%s: see journalctl -u %s", e.Job, e.Unit, e.Result, why, e.Unit)
}

// Bus is a connection to systemd. Its methods may be called concurrently. A connection that broke is made again by the next call.
type Bus struct {
	mu   sync.Mutex
	conn *dbus.Conn
}

// Dial connects to the system's service manager.
func Dial(ctx context.Context) (*Bus, error) {
	b := &Bus{}
	if _, err := b.connected(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// Close ends the connection.
func (b *Bus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		b.conn.Close()
		b.conn = nil
	}
	return nil
}

// connected returns the connection, made again where it was lost.
func (b *Bus) connected(ctx context.Context) (*dbus.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && b.conn.Connected() {
		return b.conn, nil
	}
	if b.conn != nil {
		b.conn.Close()
	}
	// The connection outlives the call that makes it.
	conn, err := dbus.NewWithContext(context.WithoutCancel(ctx))
	if err != nil {
		b.conn = nil
		return nil, fmt.Errorf("connect to systemd: %w (the agent needs systemd as the host's init, and root)", err)
	}
	b.conn = conn
	return conn, nil
}

// Start starts a unit and returns when systemd calls it started. A unit that its ExecCondition= refuses is ErrRefused.
func (b *Bus) Start(ctx context.Context, unit string) error {
	if err := b.job(ctx, "start", unit, (*dbus.Conn).StartUnitContext); err != nil {
		return err
	}
	return b.refused(ctx, unit)
}

// Stop stops a unit and returns when its processes are gone. A unit that is not running is stopped already.
func (b *Bus) Stop(ctx context.Context, unit string) error {
	return b.job(ctx, "stop", unit, (*dbus.Conn).StopUnitContext)
}

// Restart stops and starts a unit.
func (b *Bus) Restart(ctx context.Context, unit string) error {
	if err := b.job(ctx, "restart", unit, (*dbus.Conn).RestartUnitContext); err != nil {
		return err
	}
	return b.refused(ctx, unit)
}

// refused tells whether a start that systemd calls done was none. systemd may have forgotten by now why a unit does not run.
func (b *Bus) refused(ctx context.Context, unit string) error {
	running, err := b.Running(ctx, []string{unit}) // is had quickly
	if err != nil || running[unit] {
		return err
	}
	u, err := b.Unit(ctx, unit)
	if err != nil {
		return err
	}
	if u.ActiveState == "inactive" && (u.Result == "exec-condition" || isService(unit) && u.Type != "oneshot") {
		return fmt.Errorf("start %s: %w", unit, ErrRefused)
	}
	return nil
}

func isService(unit string) bool { return strings.HasSuffix(unit, ".service") }

// Reload makes systemd read all unit files again. Limits that were written to cgroup files directly fall back to the units'.
func (b *Bus) Reload(ctx context.Context) error {
	conn, err := b.connected(ctx)
	if err != nil {
		return err
	}
	if err := conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("daemon-reload: %w", err)
	}
	return nil
}

type starter func(conn *dbus.Conn, ctx context.Context, unit, mode string, done chan<- string) (int, error)

// job runs a job of a unit to its end. When ctx ends first the job goes on in systemd.
func (b *Bus) job(ctx context.Context, name, unit string, start starter) error {
	conn, err := b.connected(ctx)
	if err != nil {
		return err
	}
	done := make(chan string, 1)
	if _, err := start(conn, ctx, unit, "replace", done); err != nil {
		return fmt.Errorf("%s %s: %w", name, unit, named(err))
	}
	select {
	case result := <-done:
		if result == "done" {
			return nil
		}
		e := &JobError{Job: name, Unit: unit, Result: result}
		if u, err := b.Unit(ctx, unit); err == nil {
			e.Why = u.Result
		}
		return e
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", name, unit, ctx.Err())
	}
}
