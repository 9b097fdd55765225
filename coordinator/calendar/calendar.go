// Package calendar reads files of events, iCalendar (RFC 5545) or CSV, and says what is in them when.
package calendar

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

// Occurrence is one time of an entry.
type Occurrence struct {
	Kind  string // what it has in common with others, in lower case letters, digits and hyphens: the first of CATEGORIES, else the SUMMARY
	Title string // the SUMMARY
	UID   string // of the entry, as its program named it; "" where it did not
	Rule  string // of the entry, as it is written; "" where it does not recur
	Line  int    // where the entry begins
	Span  timeline.Span
}

// Calendar is what a file has.
type Calendar struct {
	name      string
	entries   []entry
	zones     map[string]*zone          // those that the file defines
	locations map[string]*time.Location // those that the entries name, nil where the name is not known
}

// entry is a VEVENT, its times as the clock of its zone shows them.
type entry struct {
	line       int
	uid        string
	title      string
	kind       string
	cancelled  bool
	start, end stamp // end is zero where the entry has a length, or nothing
	length     length
	hasLength  bool
	rule       string // RRULE; "" for none
	ruleLine   int
	also, not  []stamp // RDATE, EXDATE
	instead    stamp   // RECURRENCE-ID: of which occurrence this one takes the place
}

// series names what an entry is one of: its UID or, where its program gave it none, its summary.
func (e entry) series() string {
	if e.uid == "" {
		return "summary " + e.title
	}
	return "uid " + e.uid
}

// stamp is a time as it is written.
type stamp struct {
	wall time.Time // what the clock shows, as if it were UTC; zero when nothing was said
	date bool      // a day
	utc  bool
	zone string // TZID
	line int
}

// length of an entry: days by the clock, and time.
type length struct {
	days int
	time time.Duration
}

// What a file may have.
const (
	maxBytes       = 16 << 20
	maxEntries     = 10_000
	maxRecurring   = 1000
	maxOccurrences = 10_000    // within the span that is asked for
	maxExpanded    = 1_000_000 // of one entry, before and within it
	maxZones       = 200       // that its entries name
	maxRule        = 2000      // bytes of an RRULE
	maxPositions   = 31        // of its BYSETPOS: the library looks for each of them, in every period until the year 9999, and can't be interrupted
	maxKind        = 40        // characters
	lastYear       = 2200      // that times lie before
)

// Error says what is wrong with a file, where, and what to do.
type Error struct {
	File   string
	Line   int // 0 where it is the file as a whole
	Fault  string
	Remedy string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s: %s", e.File, e.Fault, e.Remedy)
	}
	return fmt.Sprintf("%s line %d: %s: %s", e.File, e.Line, e.Fault, e.Remedy)
}

// quoted is what an error repeats of the file.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// Bare returns the error without what it repeats of the file, for those who may not see that.
func (e *Error) Bare() string { return quoted.ReplaceAllString(e.Error(), "…") }

func (c *Calendar) fault(line int, remedy, format string, args ...any) error {
	return &Error{File: c.name, Line: line, Fault: fmt.Sprintf(format, args...), Remedy: remedy}
}

// Between returns the occurrences that touch a span, in the order of their starts. Times that name no zone, and days, are those of loc. Entries that last
// no time are left out, and told of in notes.
func (c *Calendar) Between(ctx context.Context, span timeline.Span, loc *time.Location) (out []Occurrence, notes []string, err error) {
	// What takes the place of a single occurrence takes it out of its series.
	replaced := map[string][]timeline.Time{}
	for _, e := range c.entries {
		if !e.instead.wall.IsZero() {
			at, err := c.instant(ctx, e.instead, loc)
			if err != nil {
				return nil, nil, err
			}
			replaced[e.series()] = append(replaced[e.series()], at)
		}
	}
	for _, e := range c.entries {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if e.cancelled {
			continue
		}
		var without []timeline.Time
		if e.instead.wall.IsZero() {
			without = replaced[e.series()]
		}
		spans, err := c.spans(ctx, e, span, loc, without)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range spans {
			if s.Empty() && span.Contains(s.Start) {
				notes = append(notes, fmt.Sprintf("%s line %d: %s lasts no time, and is left out: give it a DTEND or DURATION", c.name, e.line, e.kind))
				break
			}
			if s.Overlaps(span) {
				out = append(out, Occurrence{Kind: e.kind, Title: e.title, UID: e.uid, Rule: e.rule, Line: e.line, Span: s})
			}
		}
		if len(out) > maxOccurrences {
			return nil, nil, c.fault(0, "part the file", "it has more than %d occurrences in the time that counts", maxOccurrences)
		}
	}
	slices.SortStableFunc(out, func(x, y Occurrence) int {
		return cmp.Or(cmp.Compare(x.Span.Start, y.Span.Start), strings.Compare(x.Kind, y.Kind))
	})
	return out, notes, nil
}

// spans returns when an entry is, as far as it may touch the span.
func (c *Calendar) spans(ctx context.Context, e entry, span timeline.Span, loc *time.Location, without []timeline.Time) ([]timeline.Span, error) {
	starts := []stamp{e.start}
	if e.rule != "" {
		walls, err := c.expand(ctx, e, span, loc)
		if err != nil {
			return nil, err
		}
		starts = starts[:0]
		for _, w := range walls {
			s := e.start
			s.wall = w
			starts = append(starts, s)
		}
	}
	starts = append(starts, e.also...)
	without = slices.Clone(without)
	for _, not := range e.not {
		at, err := c.instant(ctx, not, loc)
		if err != nil {
			return nil, err
		}
		without = append(without, at)
	}
	slices.Sort(without)
	lasts, err := c.lasts(ctx, e, loc)
	if err != nil {
		return nil, err
	}
	var out []timeline.Span
	for _, s := range starts {
		at, err := c.instant(ctx, s, loc)
		if err != nil {
			return nil, err
		}
		if _, gone := slices.BinarySearch(without, at); gone {
			continue
		}
		s.wall = s.wall.AddDate(0, 0, lasts.days)
		end, err := c.instant(ctx, s, loc)
		if err != nil {
			return nil, err
		}
		out = append(out, timeline.Span{Start: at, End: end.Add(lasts.time)})
	}
	// One that is given twice, by a rule and by itself, is one.
	slices.SortFunc(out, func(x, y timeline.Span) int { return cmp.Compare(x.Start, y.Start) })
	return slices.CompactFunc(out, func(x, y timeline.Span) bool { return x.Start == y.Start }), nil
}

const day = 24 * time.Hour

// lasts returns how long an entry is.
func (c *Calendar) lasts(ctx context.Context, e entry, loc *time.Location) (length, error) {
	switch {
	case e.hasLength:
		return e.length, nil
	case !e.end.wall.IsZero() && e.start.date:
		return length{days: int(e.end.wall.Sub(e.start.wall) / day)}, nil
	case !e.end.wall.IsZero():
		from, err := c.instant(ctx, e.start, loc)
		if err != nil {
			return length{}, err
		}
		to, err := c.instant(ctx, e.end, loc)
		if err == nil && to < from {
			err = c.fault(e.end.line, "let DTEND come after DTSTART", "the entry ends before it starts")
		}
		return length{time: to.Sub(from)}, err
	case e.start.date:
		return length{days: 1}, nil
	}
	return length{}, nil
}

// kindOf makes a name of a text: letters, digits and hyphens.
func kindOf(text string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(text) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if gap && b.Len() > 0 {
				b.WriteByte('-')
			}
			b.WriteRune(r)
			gap = false
		} else {
			gap = true
		}
		if b.Len() >= maxKind {
			break
		}
	}
	if b.Len() == 0 {
		return "event"
	}
	return b.String()
}
