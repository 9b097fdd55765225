package systemd

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Timer is what systemd says of a timer.
type Timer struct {
	Name      string
	Activates string        // the unit that it starts
	Calendar  []string      // normalized calendar expressions
	Every     time.Duration // from one run, or the end of one, to the next; 0: it does not count from there
	Delay     time.Duration // by chance it comes up to so much later
	Next      time.Time     // zero: systemd plans none
	Last      time.Time     // zero: it has not run
}

// Timers returns the timers that are loaded and at work, in the order of systemd; at most most of them, and how many there are beyond.
func (b *Bus) Timers(ctx context.Context, most int) (out []Timer, more int, err error) {
	conn, err := b.connected(ctx)
	if err != nil {
		return nil, 0, err
	}
	units, err := conn.ListUnitsByPatternsContext(ctx, []string{"active"}, []string{"*.timer"})
	if err != nil {
		return nil, 0, fmt.Errorf("list timers: %w", named(err))
	}
	if len(units) > most {
		units, more = units[:most], len(units)-most
	}
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock); err != nil {
		return nil, 0, fmt.Errorf("read the clock that timers go by: %w", err)
	}
	now := time.Now()
	for _, u := range units {
		p, err := conn.GetUnitTypePropertiesContext(ctx, u.Name, "Timer")
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if err != nil {
			continue // it is gone since
		}
		out = append(out, timerOf(u.Name, p, now, time.Duration(clock.Nano())))
	}
	return out, more, nil
}

// timerOf reads a timer's properties. Times that count from the boot are made times of day by what both clocks show now.
func timerOf(name string, p map[string]any, now time.Time, sinceBoot time.Duration) Timer {
	t := Timer{
		Name: name, Activates: get[string](p, "Unit"), Delay: micros(get[uint64](p, "RandomizedDelayUSec")),
		Next: instant(get[uint64](p, "NextElapseUSecRealtime")), Last: instant(get[uint64](p, "LastTriggerUSec")),
	}
	for _, c := range get[[][]any](p, "TimersCalendar") { // (kind, expression, next)
		if len(c) >= 2 {
			if text, ok := c[1].(string); ok {
				t.Calendar = append(t.Calendar, text)
			}
		}
	}
	for _, m := range get[[][]any](p, "TimersMonotonic") { // (kind, offset, next)
		if len(m) < 2 {
			continue
		}
		kind, _ := m[0].(string)
		offset, _ := m[1].(uint64)
		if kind == "OnUnitActiveUSec" || kind == "OnUnitInactiveUSec" {
			t.Every = micros(offset)
		}
	}
	if next := micros(get[uint64](p, "NextElapseUSecMonotonic")); next > 0 {
		if at := now.Add(next - sinceBoot); t.Next.IsZero() || at.Before(t.Next) {
			t.Next = at
		}
	}
	return t
}

// infinity is what systemd says for never.
const infinity = 1<<64 - 1

// micros makes a length of time of microseconds; 0 of what is none.
func micros(n uint64) time.Duration {
	if n == infinity || n > uint64(1<<63-1)/uint64(time.Microsecond) {
		return 0
	}
	return time.Duration(n) * time.Microsecond
}

// instant makes a time of microseconds since 1970; zero of none.
func instant(n uint64) time.Time {
	if n == 0 || n == infinity || n > 1<<62 {
		return time.Time{}
	}
	return time.UnixMicro(int64(n))
}
