// Package timeline has time as every coordinator computes it: instants, half-open spans, and profiles of resources over them.
package timeline

import (
	"fmt"
	"time"
)

// Time is an instant in milliseconds since the Unix epoch, UTC. It is an integer so that it encodes to the same
// bytes everywhere.
type Time int64

// Forever is later than every instant that is computed with; a span that ends there is open.
const Forever Time = 1 << 52

// Of returns the instant of t, truncated to the millisecond.
func Of(t time.Time) Time { return Time(t.UnixMilli()) }

// Std returns t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Add returns t moved by d; Forever stays Forever.
func (t Time) Add(d time.Duration) Time {
	if t >= Forever {
		return Forever
	}
	return min(Forever, t+Time(d.Milliseconds()))
}

// Sub returns the time from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// Floor returns the last multiple of d, counted from the epoch, that is not after t. d is at least a millisecond.
func (t Time) Floor(d time.Duration) Time {
	ms := Time(d.Milliseconds())
	r := t % ms
	if r < 0 {
		r += ms
	}
	return t - r
}

// Ceil returns the first multiple of d, counted from the epoch, that is not before t.
func (t Time) Ceil(d time.Duration) Time {
	f := t.Floor(d)
	if f == t || t >= Forever {
		return t
	}
	return f + Time(d.Milliseconds())
}

// String prints t as RFC 3339 with milliseconds, or "open" for Forever.
func (t Time) String() string {
	if t >= Forever {
		return "open"
	}
	return t.Std().Format("2006-01-02T15:04:05.000Z")
}

// Span is the half-open interval [Start, End).
type Span struct {
	Start Time `msgpack:"s" json:"start"`
	End   Time `msgpack:"e" json:"end"`
}

// Contains reports whether t lies in s.
func (s Span) Contains(t Time) bool { return s.Start <= t && t < s.End }

// Overlaps reports whether s and u have an instant in common.
func (s Span) Overlaps(u Span) bool { return max(s.Start, u.Start) < min(s.End, u.End) }

// Intersect returns what s and u have in common; it is empty when they do not overlap.
func (s Span) Intersect(u Span) Span {
	r := Span{max(s.Start, u.Start), min(s.End, u.End)}
	if r.End < r.Start {
		r.End = r.Start
	}
	return r
}

// Empty reports whether s has no instant.
func (s Span) Empty() bool { return s.End <= s.Start }

// Length returns how long s is.
func (s Span) Length() time.Duration { return s.End.Sub(s.Start) }

// String prints s as [start, end).
func (s Span) String() string { return fmt.Sprintf("[%s, %s)", s.Start, s.End) }
