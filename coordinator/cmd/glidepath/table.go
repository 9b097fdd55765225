package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// table aligns columns, and on a terminal makes them fit its width.
type table struct {
	out  io.Writer
	rows [][]string
}

func newTable(out io.Writer, header ...string) *table {
	t := &table{out: out}
	if len(header) > 0 {
		t.rows = append(t.rows, header)
	}
	return t
}

func (t *table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = oneLine(cmp.Or(fmt.Sprint(c), "-"))
	}
	t.rows = append(t.rows, row)
}

// columnGap is between two columns, in characters.
const columnGap = 2

// flush prints the table.
func (t *table) flush() error {
	width := terminalWidth(t.out)
	widths := t.widths(width)
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			if i+1 < len(row) {
				cell = cut(cell, widths[i])
				cell += strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+columnGap)
			} else if i < len(widths) && width > 0 {
				cell = cut(cell, widths[i])
			}
			line.WriteString(cell)
		}
		if _, err := fmt.Fprintln(t.out, cut(strings.TrimRight(line.String(), " "), width)); err != nil {
			return err
		}
	}
	return nil
}

// narrowest is how narrow a column may get on a terminal before the end of the line is given up.
const narrowest = 8

// widths returns how wide the columns are so that they fit into a width, 0 for any: the widest give way first, and the first, which has the
// names that commands take, last of all. Below what is left of a column there stands an ellipsis.
func (t *table) widths(width int) []int {
	var out []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(out) {
				out = append(out, 0)
			}
			if i+1 < len(row) || len(row) > 1 { // a line of one cell is a remark, and goes across
				out[i] = max(out[i], utf8.RuneCountInString(cell))
			}
		}
	}
	if width <= 0 {
		return out
	}
	over := columnGap*(len(out)-1) - width
	for _, w := range out {
		over += w
	}
	for over > 0 {
		widest := 0
		for i, w := range out {
			if i > 0 && w > narrowest && (widest == 0 || w > out[widest]) {
				widest = i
			}
		}
		if out[widest] <= narrowest {
			break
		}
		out[widest]--
		over--
	}
	return out
}

// oneLine keeps what others wrote from moving the cursor about.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// cut shortens s to a width in characters; 0 is any.
func cut(s string, width int) string {
	if width < 2 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// terminalWidth returns how wide a terminal is, 0 for what is none.
func terminalWidth(out io.Writer) int {
	if s, ok := out.(interface{ width() int }); ok {
		return s.width()
	}
	if f, ok := out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 0
}

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
