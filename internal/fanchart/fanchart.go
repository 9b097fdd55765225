// Package fanchart draws quantiles over time as an SVG that needs nothing else.
package fanchart

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/axis"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Panel is one thing over time. Panels stand below each other.
type Panel struct {
	Title    string
	Span     timeline.Span // what is drawn, the past included
	Unit     float64       // of the values, in one of what Label writes; 0 means 1
	Label    func(float64) string
	Past     Steps // what was, a line; may be empty
	Forecast []Quantile
	Marks    []Mark
}

// Quantile is one quantile of a forecast. They ascend.
type Quantile struct {
	Name string // p95
	Steps
}

// Steps are values that hold for a step each; NaN where nothing is known.
type Steps struct {
	Start  timeline.Time
	Step   time.Duration
	Values []float64
}

// Mark is a time with a name: an event.
type Mark struct {
	Name string
	Span timeline.Span
}

// Measures of a picture, in its own units.
const (
	width, panelHeight        = 880, 300
	left, right, top, bottom  = 80, 16, 58, 30 // around the plot of a panel
	plotWidth, plotHeight     = width - left - right, panelHeight - top - bottom
	ticksAcross, ticksUp      = 6, 4
	columns                   = 800 // of which each shows the highest value in it
	letterWidth               = 6.6
	legendSwatch, legendSpace = 14, 22
)

// Write draws the panels.
func Write(w io.Writer, title string, panels []Panel) error {
	var b strings.Builder
	height := panelHeight * len(panels)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title id=\"t\">%s</title>\n%s\n<rect class=\"ground\" width=\"%d\" height=\"%d\"/>\n", clean(title), style, width, height)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(0 %d)">`+"\n", i*panelHeight)
		p.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

const style = `<style>
svg { --ground: #ffffff; --text: #1b1f24; --quiet: #4d5661; --grid: #e3e7ec; --past: #1b1f24; --fan: #6d28d9; --event: #8a5a00; --event-ground: #fdf0d0; }
@media (prefers-color-scheme: dark) { svg { --ground: #14171b; --text: #e9edf2; --quiet: #b3bcc8; --grid: #2a3038; --past: #e9edf2; --fan: #c4a7ff; --event: #f2cc60; --event-ground: #3a2f10; } }
.ground { fill: var(--ground); }
text { fill: var(--text); font: 12px system-ui, sans-serif; }
.title { font-weight: 600; font-size: 14px; }
.axis { fill: var(--quiet); }
.grid { stroke: var(--grid); }
.event { fill: var(--event-ground); stroke: var(--event); }
.event-name { fill: var(--event); }
.fan { fill: var(--fan); stroke: none; }
.middle { fill: none; stroke: var(--fan); stroke-width: 2; }
.past { fill: none; stroke: var(--past); stroke-width: 1; }
</style>`

// clean makes a text that may stand in XML.
func clean(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0xfffe || r == 0xffff {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?")))
}

// scale maps time and value to a panel.
type scale struct {
	span timeline.Span
	top  float64
}

func (s scale) x(t timeline.Time) float64 {
	t = min(max(t, s.span.Start), s.span.End)
	return left + plotWidth*float64(t.Sub(s.span.Start))/float64(max(1, s.span.Length()))
}

func (s scale) y(v float64) float64 { return top + plotHeight*(1-v/s.top) }

func (p Panel) draw(b *strings.Builder) {
	unit := p.Unit
	if unit == 0 {
		unit = 1
	}
	high := highest(p.Past)
	for _, q := range p.Forecast {
		high = max(high, highest(q.Steps))
	}
	step := axis.Step(high / unit / ticksUp)
	at := scale{p.Span, max(1, math.Ceil(high/unit/step-1e-9)) * step * unit}
	fmt.Fprintf(b, `<text class="title" x="%d" y="20">%s</text>`+"\n", left, clean(p.Title))
	for _, m := range p.Marks {
		x, end := at.x(m.Span.Start), at.x(m.Span.End)
		fmt.Fprintf(b, `<rect class="event" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s</title></rect>`+"\n", x, top, max(1, end-x), plotHeight, clean(m.Name))
		if end-x > letterWidth*float64(len(m.Name)) {
			fmt.Fprintf(b, `<text class="event-name" text-anchor="middle" x="%.1f" y="%d">%s</text>`+"\n", (x+end)/2, top-4, clean(m.Name))
		}
	}
	p.axes(b, at, step*unit)
	p.fan(b, at)
	if line := at.steps(p.Past); line != "" {
		fmt.Fprintf(b, `<path class="past" d="%s"/>`+"\n", line)
	}
}

func highest(s Steps) float64 {
	high := 0.0
	for _, v := range s.Values {
		if v > high {
			high = v
		}
	}
	return high
}

func (p Panel) axes(b *strings.Builder, at scale, step float64) {
	for i := 0; float64(i)*step <= at.top*1.0001; i++ {
		v := float64(i) * step
		fmt.Fprintf(b, `<path class="grid" d="M%d %.1fH%d"/><text class="axis" text-anchor="end" x="%d" y="%.1f">%s</text>`+"\n",
			left, at.y(v), width-right, left-6, at.y(v)+4, clean(p.Label(v)))
	}
	every := axis.Every(p.Span.Length() / ticksAcross)
	format := "01-02 15:04"
	if every >= 24*time.Hour {
		format = "2006-01-02"
	}
	for t := p.Span.Start.Ceil(every); t <= p.Span.End; t = t.Add(every) {
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %dv5"/><text class="axis" text-anchor="middle" x="%.1f" y="%d">%s</text>`+"\n",
			at.x(t), top+plotHeight, at.x(t), top+plotHeight+20, t.Std().Format(format))
	}
}

// fan fills what lies between each quantile and the next, and draws the one in the middle as a line.
func (p Panel) fan(b *strings.Builder, at scale) {
	x := float64(left)
	name := func(text string, opacity float64) {
		fmt.Fprintf(b, `<rect class="fan" opacity="%.2f" x="%.0f" y="30" width="%d" height="12"/><text x="%.0f" y="40">%s</text>`+"\n", opacity, x, legendSwatch, x+legendSwatch+4, clean(text))
		x += legendSwatch + legendSpace + letterWidth*float64(len(text))
	}
	for i := len(p.Forecast) - 1; i > 0; i-- {
		low, high := p.Forecast[i-1], p.Forecast[i]
		opacity := .75 - .55*float64(i)/float64(len(p.Forecast))
		if up, down := at.steps(high.Steps), at.back(low.Steps); up != "" {
			fmt.Fprintf(b, `<path class="fan" opacity="%.2f" d="%s%sZ"/>`+"\n", opacity, up, down)
			name(low.Name+" to "+high.Name, opacity)
		}
	}
	if len(p.Forecast) > 0 {
		fmt.Fprintf(b, `<path class="middle" d="%s"/>`+"\n", at.steps(p.Forecast[0].Steps))
		name(p.Forecast[0].Name, 1)
	}
}

// points returns the corners of steps within the picture: no more than there are columns, each the highest of what it covers.
func (s scale) points(in Steps) (xs [][2]float64, ys []float64) {
	per := max(1, (len(in.Values)+columns-1)/columns)
	for i := 0; i < len(in.Values); i += per {
		n := min(per, len(in.Values)-i)
		high := math.NaN()
		for _, v := range in.Values[i : i+n] {
			if !math.IsNaN(v) && !(high >= v) {
				high = v
			}
		}
		from := in.Start.Add(time.Duration(i) * in.Step)
		to := from.Add(time.Duration(n) * in.Step)
		if to <= s.span.Start || from >= s.span.End {
			continue
		}
		xs, ys = append(xs, [2]float64{s.x(from), s.x(to)}), append(ys, high)
	}
	return xs, ys
}

// steps draws values that hold until the next, broken where nothing is known.
func (s scale) steps(in Steps) string {
	var path strings.Builder
	xs, ys := s.points(in)
	pen := false
	for i, y := range ys {
		if math.IsNaN(y) {
			pen = false
			continue
		}
		if pen {
			fmt.Fprintf(&path, "V%.1fH%.1f", s.y(y), xs[i][1])
		} else {
			fmt.Fprintf(&path, "M%.1f %.1fH%.1f", xs[i][0], s.y(y), xs[i][1])
		}
		pen = true
	}
	return path.String()
}

// back draws the same from the end to the start, going on from where the pen is.
func (s scale) back(in Steps) string {
	var path strings.Builder
	xs, ys := s.points(in)
	for i := len(ys) - 1; i >= 0; i-- {
		if !math.IsNaN(ys[i]) {
			fmt.Fprintf(&path, "L%.1f %.1fH%.1f", xs[i][1], s.y(ys[i]), xs[i][0])
		}
	}
	return path.String()
}
