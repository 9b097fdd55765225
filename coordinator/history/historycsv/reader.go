package historycsv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

// Reader reads rows one at a time, in ascending time, in constant memory. It is strict: what it can't read exactly is
// an error that names the line.
type Reader struct {
	lines *bufio.Scanner
	line  int
	// kinds is the resource of each column; -1 for the time.
	kinds []int
	last  timeline.Time
	began bool
	err   error // returned from then on
}

// NewReader reads the header: "time" and any of the resources' columns in any order. Lines that are blank or begin with
// # are skipped. Its errors are *LineError or those of r.
func NewReader(r io.Reader) (*Reader, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, MaxLine), MaxLine)
	d := &Reader{lines: lines}
	header, err := d.next()
	if errors.Is(err, io.EOF) {
		return nil, &LineError{Line: 1, Reason: "the file is empty: begin with the header " + strings.Join(Header(), ",")}
	}
	if err != nil {
		return nil, err
	}
	header = strings.TrimPrefix(header, "\ufeff")
	for _, name := range strings.Split(header, ",") {
		kind, err := d.columnOf(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		d.kinds = append(d.kinds, kind)
	}
	switch {
	case !slices.Contains(d.kinds, -1):
		return nil, &LineError{Line: d.line, Reason: "the header has no column time"}
	case len(d.kinds) == 1:
		return nil, &LineError{Line: d.line, Reason: "the header names no resource: use any of " + strings.Join(Header()[1:], ", ")}
	}
	return d, nil
}

func (d *Reader) columnOf(name string) (int, error) {
	i := slices.Index(Header(), name) - 1
	if i < -1 {
		reason := fmt.Sprintf("unknown column %q: use %s", clip(name), strings.Join(Header(), ", "))
		if near, ok := nearest(clip(name)); ok {
			reason = fmt.Sprintf("unknown column %q: did you mean %s?", clip(name), near)
		}
		return 0, &LineError{Line: d.line, Reason: reason}
	}
	if slices.Contains(d.kinds, i) {
		return 0, &LineError{Line: d.line, Column: name, Reason: "it is there twice"}
	}
	return i, nil
}

// clip bounds what an error repeats of the input.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// next returns the next line that says something, or io.EOF.
func (d *Reader) next() (string, error) {
	for d.lines.Scan() {
		d.line++
		text := bytes.TrimSpace(d.lines.Bytes())
		if len(text) > 0 && text[0] != '#' {
			return string(text), nil
		}
	}
	switch err := d.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return "", &LineError{Line: d.line + 1, Reason: fmt.Sprintf("it is longer than %d bytes", MaxLine)}
	case err != nil:
		return "", fmt.Errorf("read history after line %d: %w", d.line, err)
	}
	return "", io.EOF
}

// Read returns the next row, io.EOF after the last, or a *LineError. After an error it returns the same again.
func (d *Reader) Read() (Row, error) {
	if d.err != nil {
		return Row{}, d.err
	}
	row, err := d.read()
	d.err = err
	return row, err
}

func (d *Reader) read() (Row, error) {
	text, err := d.next()
	if err != nil {
		return Row{}, err
	}
	fields := strings.Split(text, ",")
	if len(fields) != len(d.kinds) {
		return Row{}, &LineError{Line: d.line, Reason: fmt.Sprintf("it has %d fields, the header has %d", len(fields), len(d.kinds))}
	}
	var row Row
	for k := range row.Values {
		row.Values[k] = math.NaN()
	}
	for i, field := range fields {
		field = strings.TrimSpace(field)
		if d.kinds[i] < 0 {
			row.Time, err = parseTime(field)
		} else {
			row.Values[d.kinds[i]], err = parseValue(field, columns()[d.kinds[i]].factor)
		}
		if err != nil {
			name := Header()[d.kinds[i]+1]
			return Row{}, &LineError{Line: d.line, Column: name, Reason: err.Error()}
		}
	}
	if d.began && row.Time <= d.last {
		reason := fmt.Sprintf("%s is before the line above it (%s): sort the lines by time", row.Time, d.last)
		if row.Time == d.last {
			reason = fmt.Sprintf("%s is there twice", row.Time)
		}
		return Row{}, &LineError{Line: d.line, Column: timeColumn, Reason: reason}
	}
	d.last, d.began = row.Time, true
	return row, nil
}

// Years that a time may lie in: enough for any history, and no arithmetic on them overflows.
const firstYear, lastYear = 1970, 2199

// parseTime reads RFC 3339 or whole or fractional Unix seconds.
func parseTime(s string) (timeline.Time, error) {
	if s == "" {
		return 0, errors.New("empty: write a time such as 2026-01-31T13:05:00Z")
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		seconds, numErr := strconv.ParseFloat(s, 64)
		if numErr != nil || !(math.Abs(seconds) < 1e11) || strings.ContainsAny(s, "xXpP_") {
			return 0, fmt.Errorf("%q is not a time: write RFC 3339, such as 2026-01-31T13:05:00Z, or Unix seconds", clip(s))
		}
		t = timeline.Time(math.Round(seconds * 1000)).Std()
	}
	if y := t.UTC().Year(); y < firstYear || y > lastYear {
		return 0, fmt.Errorf("%q is not between the years %d and %d", clip(s), firstYear, lastYear)
	}
	return timeline.Of(t), nil
}

// parseValue reads a plain decimal number; blank is missing.
func parseValue(s string, factor float64) (float64, error) {
	if s == "" {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(s, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || math.IsInf(v, 0):
		return 0, fmt.Errorf("%q is not a finite amount", clip(s))
	case err != nil || strings.ContainsAny(s, "xXpP_"):
		return 0, fmt.Errorf("%q is not a number: write a plain one without a unit, or leave it blank for missing", clip(s))
	case math.IsNaN(v):
		return 0, fmt.Errorf("%q is not an amount: leave it blank for missing", clip(s))
	case v < 0:
		return 0, fmt.Errorf("%q is negative", clip(s))
	case v*factor > maxAmount:
		return 0, fmt.Errorf("%q is larger than any amount can be", clip(s))
	}
	return v * factor, nil
}
