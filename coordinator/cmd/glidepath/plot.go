package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/guptarohit/asciigraph"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// curve is one line of a plot.
type curve struct {
	name    string
	profile timeline.Profile
}

// Sizes of plots, in characters.
const (
	plotHeight  = 8
	plotWidth   = 72 // where there is no terminal
	plotMargin  = 14 // for the axis
	narrowPlot  = 20
	widestPlot  = 160
	plotIndents = 2
)

// plot draws curves of one resource over a time, each character with the highest amount in it.
func (a *app) plot(k resource.Kind, span timeline.Span, curves ...curve) {
	lines := make([]line, len(curves))
	for i, c := range curves {
		lines[i] = line{c.name, func(s timeline.Span) float64 {
			if n := c.profile.MaxOver(s)[k]; n < resource.Unlimited {
				return float64(n)
			}
			return 0
		}}
	}
	a.plotLines(k.String(), span, func(v float64) string { return short(k, int64(v+.5)) }, lines...)
}

// line is one line of a plot: what is highest in a time.
type line struct {
	name    string
	highest func(timeline.Span) float64
}

// plotLines draws lines of one thing over a time; label writes an amount of it.
func (a *app) plotLines(title string, span timeline.Span, label func(float64) string, lines ...line) {
	if span.Empty() {
		return
	}
	width := plotWidth
	if w := terminalWidth(a.stdout); w > 0 {
		width = min(max(w-plotMargin, narrowPlot), widestPlot)
	}
	data := make([][]float64, len(lines))
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i] = l.name
		data[i] = make([]float64, width)
		for x := range width {
			at := func(n int) timeline.Time {
				return span.Start + timeline.Time(int64(span.End-span.Start)*int64(n)/int64(width))
			}
			data[i][x] = l.highest(timeline.Span{Start: at(x), End: max(at(x+1), at(x)+1)})
		}
	}
	options := []asciigraph.Option{
		asciigraph.Height(plotHeight), asciigraph.LowerBound(0), asciigraph.Offset(plotIndents),
		asciigraph.YAxisValueFormatter(func(v float64) string { return fmt.Sprintf("%9s", label(v)) }),
	}
	// Without colours the curves are told apart by how they are drawn.
	sets := []asciigraph.CharSet{asciigraph.DefaultCharSet, asciigraph.CreateCharSet("·"), asciigraph.CreateCharSet("×")}
	if a.coloured() {
		options = append(options, asciigraph.SeriesColors(asciigraph.Blue, asciigraph.Gray, asciigraph.Red))
	} else {
		options = append(options, asciigraph.SeriesChars(sets...))
	}
	a.say("%s: %s", title, legend(names, a.coloured()))
	a.say("%s", strings.TrimRight(asciigraph.PlotMany(data, options...), "\n"))
	// The axis is as wide as the plot.
	from, to := clock(span.Start), clock(span.End)
	a.say("%s%s%s%s", strings.Repeat(" ", plotMargin-plotIndents), from, strings.Repeat(" ", max(1, width-len(from)-len(to))), to)
	a.say("")
}

func legend(names []string, coloured bool) string {
	marks := []string{"─ ", "· ", "× "}
	if coloured {
		marks = []string{asciigraph.Blue.String() + "─ ", asciigraph.Gray.String() + "─ ", asciigraph.Red.String() + "─ "}
	}
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = marks[i%len(marks)] + n
		if coloured {
			parts[i] += asciigraph.Default.String()
		}
	}
	return strings.Join(parts, "  ")
}

// coloured reports whether what is printed may have colours: on a terminal, unless NO_COLOR is set (no-color.org) or the terminal is a dumb one.
func (a *app) coloured() bool {
	return terminalWidth(a.stdout) > 0 && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"
}

func clock(t timeline.Time) string { return t.Std().Format("01-02 15:04") }

// hours prints a length of time: days, when it is some.
func hours(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 3*day {
		return count(int((d+day/2)/day), "day")
	}
	return took(d.Milliseconds())
}
