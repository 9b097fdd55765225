// Package columns prints tables whose columns are aligned, and that fit the terminal.
package columns

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Table aligns columns, and on a terminal makes them fit its width.
type Table struct {
	out  io.Writer
	rows [][]string
}

// New returns a table that Flush prints on out; without a header it has none.
func New(out io.Writer, header ...string) *Table {
	t := &Table{out: out}
	if len(header) > 0 {
		t.rows = append(t.rows, header)
	}
	return t
}

// Row adds a row. A cell that says nothing is shown as -, and a row without cells as an empty line.
func (t *Table) Row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = OneLine(cmp.Or(fmt.Sprint(c), "-"))
	}
	t.rows = append(t.rows, row)
}

// columnGap is between two columns, in characters.
const columnGap = 2

// Flush prints the table.
func (t *Table) Flush() error {
	width := Width(t.out)
	widths := t.widths(width)
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			if i+1 < len(row) {
				cell = Cut(cell, widths[i])
				cell += strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+columnGap)
			} else if len(row) > 1 && width > 0 { // a remark goes across
				cell = Cut(cell, widths[i])
			}
			line.WriteString(cell)
		}
		if _, err := fmt.Fprintln(t.out, Cut(strings.TrimRight(line.String(), " "), width)); err != nil {
			return err
		}
	}
	return nil
}

// narrowest is how narrow a column may get on a terminal before the end of the line is given up.
const narrowest = 8

// widths returns how wide the columns are so that they fit into a width, 0 for any: the widest give way first, and the first, which has the
// names that commands take, last of all. Below what is left of a column there stands an ellipsis.
func (t *Table) widths(width int) []int {
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

// OneLine keeps what others wrote from moving the cursor about.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// Cut shortens s to a width in characters; 0 is any.
func Cut(s string, width int) string {
	if width < 2 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// Width returns how wide a terminal is, 0 for what is none.
func Width(out io.Writer) int {
	if s, ok := out.(interface{ Width() int }); ok {
		return s.Width()
	}
	if f, ok := out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			return w
		}
	}
	return 0
}
