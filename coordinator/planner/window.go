package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// minutes of a day.
const minutes = 24 * 60

// maxDays bounds how far ahead daily windows are looked at.
const maxDays = 400

// ValidWindows returns an error that names the first window which is at no time, or has a time of day that there is not.
func ValidWindows(windows []proto.MoveWindow) error {
	if len(windows) > proto.MaxWindows {
		return fmt.Errorf("%d windows: use at most %d", len(windows), proto.MaxWindows)
	}
	for i, w := range windows {
		once := w.Span != (timeline.Span{})
		switch {
		case once && (w.From != 0 || w.To != 0):
			return fmt.Errorf("window %d is once, %s, and every day: make it two windows", i+1, w.Span)
		case once && (w.Span.Empty() || w.Span.Start < 0 || w.Span.End > timeline.Forever):
			return fmt.Errorf("window %d ends, at %s, no later than it begins, at %s", i+1, w.Span.End, w.Span.Start)
		case w.From < 0 || w.From >= minutes || w.To < 0 || w.To > minutes:
			return fmt.Errorf("window %d is from minute %d to minute %d of the day: use 0 to %d", i+1, w.From, w.To, minutes)
		}
	}
	return nil
}

// spans returns when a window is within the span, in order.
func spans(w proto.MoveWindow, within timeline.Span) []timeline.Span {
	if w.Span != (timeline.Span{}) {
		if s := w.Span.Intersect(within); !s.Empty() {
			return []timeline.Span{s}
		}
		return nil
	}
	long := w.To - w.From
	if long <= 0 {
		long += minutes
	}
	const day = 24 * time.Hour
	var out []timeline.Span
	at := within.Start.Floor(day).Add(-day) // the day before may reach into this one
	for range maxDays {
		if at >= within.End {
			break
		}
		start := at.Add(time.Duration(w.From) * time.Minute)
		if s := (timeline.Span{Start: start, End: start.Add(time.Duration(long) * time.Minute)}).Intersect(within); !s.Empty() {
			out = append(out, s)
		}
		at = at.Add(day)
	}
	return out
}

// Open returns when instances may be moved within the span, by all of the windows: where there are any in which they may, in one of those; in none in which they
// may not. The spans are in order, and don't touch.
func Open(windows []proto.MoveWindow, within timeline.Span) []timeline.Span {
	open := []timeline.Span{within}
	var allowed, closed []timeline.Span
	some := false
	for _, w := range windows {
		if w.Forbid {
			closed = append(closed, spans(w, within)...)
			continue
		}
		some = true
		allowed = append(allowed, spans(w, within)...)
	}
	if some {
		open = joined(allowed)
	}
	return without(open, joined(closed))
}

// OpenIn returns when instances may be moved within the span by each list of windows.
func OpenIn(within timeline.Span, lists ...[]proto.MoveWindow) []timeline.Span {
	open := []timeline.Span{within}
	for _, windows := range lists {
		open = both(open, Open(windows, within))
	}
	return open
}

// joined returns the union of spans, in order.
func joined(list []timeline.Span) []timeline.Span {
	slices.SortFunc(list, func(a, b timeline.Span) int { return cmp.Compare(a.Start, b.Start) })
	var out []timeline.Span
	for _, s := range list {
		if n := len(out); n > 0 && s.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, s.End)
			continue
		}
		out = append(out, s)
	}
	return out
}

// without returns what of the spans is in none of the others. Of each list none touches another, and both are in order.
func without(list, others []timeline.Span) []timeline.Span {
	var out []timeline.Span
	for _, s := range list {
		for len(others) > 0 && others[0].End <= s.Start {
			others = others[1:]
		}
		for _, o := range others {
			if o.Start >= s.End {
				break
			}
			if before := (timeline.Span{Start: s.Start, End: o.Start}); !before.Empty() {
				out = append(out, before)
			}
			s.Start = o.End
		}
		if !s.Empty() {
			out = append(out, s)
		}
	}
	return out
}

// both returns what is in a span of each list. Of each none touches another, and both are in order.
func both(a, b []timeline.Span) []timeline.Span {
	var out []timeline.Span
	for len(a) > 0 && len(b) > 0 {
		if s := a[0].Intersect(b[0]); !s.Empty() {
			out = append(out, s)
		}
		if a[0].End < b[0].End {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// inOne reports whether the span lies wholly within one of the others.
func inOne(list []timeline.Span, s timeline.Span) bool {
	return slices.ContainsFunc(list, func(o timeline.Span) bool { return o.Start <= s.Start && s.End <= o.End })
}
