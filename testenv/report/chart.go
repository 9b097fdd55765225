package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/axis"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Measures of a picture, in its own units.
const (
	totalWidth, totalHeight = 880, 300
	plotLeft, plotTop       = 70, 44 // above it are the names of phases and events
	plotWidth, plotHeight   = 798, 216
	plotBottom              = plotTop + plotHeight
	letterWidth             = 6.6 // of a band's label
	ticksAcross, ticksUp    = 8, 5
	breakAfter              = 15 * time.Second // without a measurement the line is broken
)

// chart is a picture, laid out.
type chart struct {
	ID, Title, Description     string
	TotalWidth, TotalHeight    int
	Left, Top, Right, Bottom   int // of the plot
	Width, Height              int // of the plot
	LabelY                     int // of the phases' names
	AxisX, TickEnd, TickText   int
	Phases, Events             []bandBox
	Across, Up                 []tick
	Predicted, Actual, Granted string // paths
}

type bandBox struct {
	Name, Says  string
	X, Width    float64
	Middle      float64
	Named       bool // whether the name fits in
	Alternating bool
}

type tick struct {
	At   float64
	Text string
}

// quantity is a resource as a picture shows it.
type quantity struct {
	name string
	unit string
	per  float64 // of the values, in one unit
}

// draw lays out the picture of one resource in one run.
func draw(id string, r Run, q quantity, l Lines) chart {
	span := r.span()
	top := q.per
	for _, points := range [][]Point{l.Actual, l.Allocated, within(l.Predicted, span)} {
		for _, p := range points {
			top = math.Max(top, p.Value)
		}
	}
	step := axis.Step(top / q.per / ticksUp)
	top = math.Ceil(top/q.per/step) * step * q.per
	c := chart{
		ID: id, Title: fmt.Sprintf("%s of %s over time: %s", q.name, r.Instance, r.Name),
		TotalWidth: totalWidth, TotalHeight: totalHeight,
		Left: plotLeft, Top: plotTop, Right: plotLeft + plotWidth, Bottom: plotBottom, Width: plotWidth, Height: plotHeight,
		LabelY: plotTop - 6, AxisX: plotLeft - 6, TickEnd: plotBottom + 6, TickText: plotBottom + 20,
	}
	at := scale{span, top}
	for i, b := range r.Phases {
		box := at.box(b)
		box.Alternating = i%2 == 1
		c.Phases = append(c.Phases, box)
	}
	for _, b := range r.Events {
		c.Events = append(c.Events, at.box(b))
	}
	every := axis.Every(span.Length() / ticksAcross)
	for d := time.Duration(0); d <= span.Length(); d += every {
		c.Across = append(c.Across, tick{at.x(span.Start.Add(d)), clock(d)})
	}
	for v := 0.0; v*q.per <= top*1.0001; v += step {
		c.Up = append(c.Up, tick{at.y(v * q.per), fmt.Sprintf("%.*f %s", axis.Decimals(step), v, q.unit)})
	}
	c.Predicted = at.steps(l.Predicted)
	c.Granted = at.steps(l.Allocated)
	c.Actual = at.line(l.Actual)
	c.Description = fmt.Sprintf("Highest predicted %s, highest measured %s, highest allocated %s, over %s. The figures are in the JSON file beside this page.",
		q.show(highest(within(l.Predicted, span))), q.show(highest(l.Actual)), q.show(highest(l.Allocated)), clock(span.Length()))
	return c
}

func (q quantity) show(v float64) string {
	if math.IsInf(v, -1) {
		return "unknown"
	}
	return fmt.Sprintf("%.2f %s", v/q.per, q.unit)
}

func highest(points []Point) float64 {
	m := math.Inf(-1)
	for _, p := range points {
		m = math.Max(m, p.Value)
	}
	return m
}

// within returns the steps that overlap the span; the first then begins with it.
func within(points []Point, s timeline.Span) []Point {
	var out []Point
	for i, p := range points {
		if p.At >= s.End {
			break
		}
		if i+1 < len(points) && points[i+1].At <= s.Start {
			continue
		}
		out = append(out, Point{max(p.At, s.Start), p.Value})
	}
	return out
}

// scale maps time and value to the picture.
type scale struct {
	span timeline.Span
	top  float64
}

func (s scale) x(t timeline.Time) float64 {
	return plotLeft + plotWidth*float64(t.Sub(s.span.Start))/float64(max(1, s.span.Length()))
}

func (s scale) y(v float64) float64 { return plotTop + plotHeight*(1-v/s.top) }

func (s scale) box(b Band) bandBox {
	in := b.Span.Intersect(s.span)
	x, end := s.x(in.Start), s.x(in.End)
	return bandBox{
		Name: b.Name, X: x, Width: end - x, Middle: (x + end) / 2, Named: end-x > letterWidth*float64(len(b.Name)),
		Says: fmt.Sprintf("%s: %s, from %s", b.Name, seconds(b.Length()), clock(b.Start.Sub(s.span.Start))),
	}
}

// steps draws values that hold until the next.
func (s scale) steps(points []Point) string {
	points = within(points, s.span)
	var path strings.Builder
	for i, p := range points {
		if i == 0 {
			fmt.Fprintf(&path, "M%.1f %.1f", s.x(p.At), s.y(p.Value))
		} else {
			fmt.Fprintf(&path, "H%.1fV%.1f", s.x(p.At), s.y(p.Value))
		}
	}
	if len(points) > 0 {
		fmt.Fprintf(&path, "H%.1f", s.x(s.span.End))
	}
	return path.String()
}

// line joins measurements, but not across a gap.
func (s scale) line(points []Point) string {
	var path strings.Builder
	for i, p := range points {
		how := byte('L')
		if i == 0 || p.At.Sub(points[i-1].At) > breakAfter {
			how = 'M'
		}
		fmt.Fprintf(&path, "%c%.1f %.1f", how, s.x(p.At), s.y(p.Value))
	}
	return path.String()
}

// clock writes a time since the start, as 1:05.
func clock(d time.Duration) string {
	d = d.Round(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%d:%02d:%02d", d/time.Hour, d%time.Hour/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d:%02d", d/time.Minute, d%time.Minute/time.Second)
}
