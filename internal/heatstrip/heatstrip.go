// Package heatstrip draws how full things are over time, as strips of shades: as text, and as an SVG that needs nothing else.
package heatstrip

import (
	"strings"
	"unicode/utf8"

	"github.com/glidepath/glidepath/internal/timeline"
)

// Strip is how full one thing is over time.
type Strip struct {
	Name  string
	Note  string // said beside it
	Cells []Cell // in order, none overlapping; one that ends never is what comes after all that is drawn by the time
}

// Cell is how full something is for a time.
type Cell struct {
	Span timeline.Span
	Heat Heat
	Says string // of the cell, where there is room for it
}

// Heat is how full something is: in eighths from 1 to Levels, or one of those below.
type Heat int

// Levels is how many shades there are.
const Levels = 8

// What is no shade.
const (
	Free      Heat = 0          // nothing of it is used
	Over      Heat = Levels + 1 // more is used than there is
	Gone      Heat = -1         // there is nothing of it
	Unlimited Heat = -2         // it has no limit
)

// Of returns how full something is of which an amount is used, of a limit that is not below 0.
func Of(used, limit int64) Heat {
	switch {
	case used > limit:
		return Over
	case limit <= 0:
		return Gone
	case used <= 0:
		return Free
	}
	return Heat(min(Levels, int(float64(used)/float64(limit)*Levels)+1))
}

// hotter orders heats by how much they matter to somebody who looks for room.
func hotter(a, b Heat) bool {
	rank := func(h Heat) Heat {
		switch h {
		case Gone:
			return Levels // as good as full, and not worse than that
		case Unlimited:
			return -1
		}
		return h
	}
	return rank(a) > rank(b)
}

// Span returns what is drawn of strips by the time: all but what has no end.
func Span(strips []Strip) timeline.Span {
	var out timeline.Span
	for _, s := range strips {
		for _, c := range s.Cells {
			if c.Span.End >= timeline.Forever {
				continue
			}
			if out.Empty() {
				out = c.Span
			}
			out.Start, out.End = min(out.Start, c.Span.Start), max(out.End, c.Span.End)
		}
	}
	return out
}

// shades are the characters of the heats from Free to Over.
var shades = []rune("·▁▂▃▄▅▆▇█!")

// Legend says what the characters mean.
const Legend = "· nothing is used, ▁ to █ how much in eighths, ! more than there is, × not there"

func shade(h Heat) rune {
	switch h {
	case Unlimited:
		return ' '
	case Gone:
		return '×'
	}
	return shades[h]
}

// colours are those of a terminal with 256, for the heats from Free to Over.
var colours = []string{"240", "71", "71", "71", "107", "143", "179", "173", "167", "196"}

func coloured(h Heat) string {
	if h < 0 {
		h = Free
	}
	return "\x1b[38;5;" + colours[h] + "m"
}

// Text draws strips, each as a line: the name, what is drawn by the time in width characters, each with the hottest of what it covers, then what has no end, and the note.
func Text(strips []Strip, width int, colour bool) []string {
	names := 0
	for _, s := range strips {
		names = max(names, utf8.RuneCountInString(s.Name))
	}
	span := Span(strips)
	out := make([]string, 0, len(strips))
	for _, s := range strips {
		var b strings.Builder
		b.WriteString(s.Name + strings.Repeat(" ", names-utf8.RuneCountInString(s.Name)+2))
		last := ""
		put := func(h Heat) {
			if c := coloured(h); colour && c != last {
				b.WriteString(c)
				last = c
			}
			b.WriteRune(shade(h))
		}
		column := Columns(span, width)
		for x := range width {
			put(s.hottest(column(x)))
		}
		if last != "" {
			b.WriteString("\x1b[0m")
			last = ""
		}
		if n := len(s.Cells); n > 0 && s.Cells[n-1].Span.End >= timeline.Forever {
			b.WriteString("│")
			put(s.Cells[n-1].Heat)
		}
		if last != "" {
			b.WriteString("\x1b[0m")
		}
		if s.Note != "" {
			b.WriteString("  " + s.Note)
		}
		out = append(out, strings.TrimRight(b.String(), " "))
	}
	return out
}

// Columns returns what each of so many columns covers of a span.
func Columns(span timeline.Span, width int) func(x int) timeline.Span {
	at := func(x int) timeline.Time {
		return span.Start + timeline.Time(int64(span.End-span.Start)*int64(x)/int64(max(1, width)))
	}
	return func(x int) timeline.Span { return timeline.Span{Start: at(x), End: max(at(x+1), at(x)+1)} }
}

// hottest returns the hottest of what is by the time within a span.
func (s Strip) hottest(span timeline.Span) Heat {
	out := Unlimited
	for _, c := range s.Cells {
		if c.Span.End < timeline.Forever && c.Span.Overlaps(span) && hotter(c.Heat, out) {
			out = c.Heat
		}
	}
	return out
}
