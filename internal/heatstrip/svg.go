package heatstrip

import (
	"fmt"
	"html"
	"io"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/axis"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Measures of a picture, in its own units.
const (
	pictureWidth      = 880
	left, top, bottom = 110, 44, 34
	stripHeight       = 26
	stripSpace        = 34 // with the note below it
	plotWidth         = 700
	laterAt           = left + plotWidth + 10
	laterWidth        = 30
	ticks             = 6
)

const style = `<style>
svg { --ground: #ffffff; --text: #1b1f24; --quiet: #4d5661; --grid: #c7cdd5; --used: #6d28d9; --over: #b42318; --gone: #8d96a0; }
@media (prefers-color-scheme: dark) { svg { --ground: #14171b; --text: #e9edf2; --quiet: #b3bcc8; --grid: #3a424c; --used: #c4a7ff; --over: #ff8b80; --gone: #69737e; } }
.ground { fill: var(--ground); }
text { fill: var(--text); font: 12px system-ui, sans-serif; }
.title { font-weight: 600; font-size: 14px; }
.axis { fill: var(--quiet); }
.grid { stroke: var(--grid); fill: none; }
.used { fill: var(--used); }
.over { fill: var(--over); }
.gone { fill: var(--gone); }
</style>`

// Write draws strips below each other, with what comes after all of them at their right.
func Write(w io.Writer, title string, strips []Strip) error {
	var b strings.Builder
	span := Span(strips)
	height := top + len(strips)*(stripHeight+stripSpace) + bottom
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t">`+"\n", pictureWidth, height, pictureWidth, height)
	fmt.Fprintf(&b, "<title id=\"t\">%s</title>\n%s\n<rect class=\"ground\" width=\"%d\" height=\"%d\"/>\n", clean(title), style, pictureWidth, height)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="24">%s</text>`+"\n", left, clean(title))
	fmt.Fprintf(&b, `<text class="axis" x="%d" y="%d">later</text>`+"\n", laterAt, top-6)
	for i, s := range strips {
		s.draw(&b, span, top+i*(stripHeight+stripSpace))
	}
	axisBelow(&b, span, top+len(strips)*(stripHeight+stripSpace)-stripSpace/4)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (s Strip) draw(b *strings.Builder, span timeline.Span, y int) {
	fmt.Fprintf(b, `<text text-anchor="end" x="%d" y="%d">%s</text>`+"\n", left-8, y+stripHeight-8, clean(s.Name))
	for _, c := range s.Cells {
		from, to := float64(laterAt), float64(laterAt+laterWidth)
		if c.Span.End < timeline.Forever {
			from, to = across(span, c.Span.Start), across(span, c.Span.End)
		}
		c.draw(b, from, to, y)
	}
	fmt.Fprintf(b, `<rect class="grid" x="%d" y="%d" width="%d" height="%d"/>`+"\n", left, y, plotWidth, stripHeight)
	fmt.Fprintf(b, `<text class="axis" x="%d" y="%d">%s</text>`+"\n", left, y+stripHeight+14, clean(s.Note))
}

func (c Cell) draw(b *strings.Builder, from, to float64, y int) {
	class, opacity := "used", float64(c.Heat)/Levels
	switch c.Heat {
	case Free, Unlimited:
		return
	case Over:
		class, opacity = "over", 1
	case Gone:
		class, opacity = "gone", .5
	}
	fmt.Fprintf(b, `<rect class="%s" opacity="%.3g" x="%.1f" y="%d" width="%.1f" height="%d"><title>%s</title></rect>`+"\n", class, opacity, from, y, max(.5, to-from), stripHeight, clean(c.Says))
}

// across returns where a time is.
func across(span timeline.Span, t timeline.Time) float64 {
	return left + plotWidth*float64(t.Sub(span.Start))/float64(max(1, span.Length()))
}

func axisBelow(b *strings.Builder, span timeline.Span, y int) {
	if span.Empty() {
		return
	}
	every := axis.Every(span.Length() / ticks)
	format := "01-02 15:04"
	if every >= 24*time.Hour {
		format = "2006-01-02"
	}
	for t := span.Start.Ceil(every); t <= span.End; t = t.Add(every) {
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %dv5"/><text class="axis" text-anchor="middle" x="%.1f" y="%d">%s</text>`+"\n",
			across(span, t), y, across(span, t), y+20, t.Std().Format(format))
	}
}

// clean makes a text that may stand in XML.
func clean(s string) string {
	return html.EscapeString(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0xfffe || r == 0xffff {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?")))
}
