package historycsv

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/glidepath/glidepath/internal/timeline"
)

// Writer writes rows that Reader reads back. Amounts are rounded to a millionth of their column's unit.
type Writer struct {
	out   *bufio.Writer
	buf   []byte
	last  timeline.Time
	began bool
}

// NewWriter writes to w. Flush when done.
func NewWriter(w io.Writer) *Writer { return &Writer{out: bufio.NewWriter(w)} }

// Write writes one row, and the header before the first. A row that Reader would refuse is an error and not written.
func (e *Writer) Write(row Row) error {
	if err := e.check(row); err != nil {
		return fmt.Errorf("write history row at %s: %w", row.Time, err)
	}
	if err := e.header(); err != nil {
		return err
	}
	e.last, e.began = row.Time, true
	e.buf = row.Time.Std().AppendFormat(e.buf[:0], "2006-01-02T15:04:05.999Z07:00")
	for k, c := range columns() {
		e.buf = append(e.buf, ',')
		if v := row.Values[k]; !math.IsNaN(v) {
			e.buf = strconv.AppendFloat(e.buf, math.Round(v/c.factor*1e6)/1e6, 'f', -1, 64)
		}
	}
	e.buf = append(e.buf, '\n')
	if _, err := e.out.Write(e.buf); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

func (e *Writer) check(row Row) error {
	if e.began && row.Time <= e.last {
		return fmt.Errorf("not after the row before it (%s)", e.last)
	}
	if y := row.Time.Std().Year(); y < firstYear || y > lastYear {
		return fmt.Errorf("not between the years %d and %d", firstYear, lastYear)
	}
	for k, c := range columns() {
		if v := row.Values[k]; v < 0 || v > maxAmount {
			return fmt.Errorf("%s is %v", c.name, v)
		}
	}
	return nil
}

func (e *Writer) header() error {
	if e.began {
		return nil
	}
	if _, err := e.out.WriteString(strings.Join(Header(), ",") + "\n"); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// Flush writes out what is buffered; of a history without rows, the header.
func (e *Writer) Flush() error {
	if err := e.header(); err != nil {
		return err
	}
	e.began = true
	if err := e.out.Flush(); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}
