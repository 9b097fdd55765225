package main

import (
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/columns"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// table is one that this command prints.
type table struct{ to *columns.Table }

func newTable(out io.Writer, header ...string) *table { return &table{columns.New(out, header...)} }

func (t *table) row(cells ...any) { t.to.Row(cells...) }
func (t *table) flush() error     { return t.to.Flush() }

// oneLine keeps what others wrote from moving the cursor about.
func oneLine(s string) string { return columns.OneLine(s) }

// cut shortens s to a width in characters; 0 is any.
func cut(s string, width int) string { return columns.Cut(s, width) }

// terminalWidth returns how wide a terminal is, 0 for what is none.
func terminalWidth(out io.Writer) int { return columns.Width(out) }

// stamp prints a time in UTC.
func stamp(t timeline.Time) string {
	switch {
	case t == 0:
		return "-"
	case t >= timeline.Forever:
		return "never"
	}
	return t.Std().Format("2006-01-02 15:04:05Z")
}

// took prints a duration in milliseconds, without digits that nobody needs.
func took(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d < time.Second:
		return d.String()
	case d < 10*time.Second:
		d = d.Round(10 * time.Millisecond)
	case d < 10*time.Minute:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Second)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// amount prints an amount of a resource.
func amount(v resource.Vector, k resource.Kind) string { return short(k, v[k]) }

// short prints an amount as people read it: at most three significant digits after the unit is chosen.
func short(k resource.Kind, n int64) string {
	if n >= resource.Unlimited {
		return "unlimited"
	}
	if k == resource.CPU && n >= 10_000 {
		return strconv.FormatFloat(math.Round(float64(n)/100)/10, 'f', -1, 64)
	}
	text := resource.Format(k, n)
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if f, err := strconv.ParseFloat(digits, 64); err == nil && strings.Contains(digits, ".") {
		prec := 1
		if f >= 100 {
			prec = 0
		}
		return strconv.FormatFloat(f, 'f', prec, 64) + text[len(digits):]
	}
	return text
}

// size prints an amount of data.
func size(n int64) string { return short(resource.Memory, n) }

// quantile prints a quantile in thousandths as p99.
func quantile(q int) string {
	return "p" + strconv.FormatFloat(float64(q)/10, 'f', -1, 64)
}

// limits prints what a vector limits.
func limits(v resource.Vector) string {
	var parts []string
	for _, k := range resource.All() {
		if v[k] < resource.Unlimited {
			parts = append(parts, k.String()+" "+short(k, v[k]))
		}
	}
	if len(parts) == 0 {
		return "no limits"
	}
	return strings.Join(parts, ", ")
}
