package seriescsv

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// ReadFile reads a CSV or an answer of Prometheus, which may be gzipped. What is wrong with it is an *Error.
func ReadFile(name string, opts Options) (*Table, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, name, opts)
}

// Read reads a CSV or an answer of Prometheus, which may be gzipped, under the name that errors give it.
func Read(in io.Reader, name string, opts Options) (*Table, error) {
	return read(in, name, opts, maxCells)
}

func read(in io.Reader, name string, opts Options, cells int) (*Table, error) {
	sum := sha256.New()
	plain := bufio.NewReaderSize(io.TeeReader(in, sum), 1<<16)
	text := plain
	if magic, _ := plain.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(plain)
		if err != nil {
			return nil, unpacking(name, 0, err)
		}
		text = bufio.NewReaderSize(z, 1<<16)
	}
	r := &reader{name: name, opts: opts, cells: cells}
	if r.opts.Location == nil {
		r.opts.Location = time.UTC
	}
	reads := r.read
	if first, _ := text.Peek(1); len(first) == 1 && first[0] == '{' {
		reads = r.readRange
	}
	if err := reads(text); err != nil {
		return nil, err
	}
	return r.table(sum, plain)
}

func (r *reader) table(sum hash.Hash, rest io.Reader) (*Table, error) {
	t, err := r.grid()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, rest); err != nil { // what follows the last line counts for the sum
		return nil, fmt.Errorf("read %s: %w", r.name, err)
	}
	sum.Sum(t.Sum[:0])
	return t, nil
}

// reader collects the rows.
type reader struct {
	name  string
	opts  Options
	cells int // times and values that are kept at most
	comma byte
	at    []int // where the time and the values stand in a line
	width int   // fields up to the last of them

	lines  []int32 // of each row
	times  []timeline.Time
	values [][]float64 // by column and row
}

func (r *reader) fault(line int, column, remedy, format string, args ...any) error {
	return &Error{File: r.name, Line: line, Column: column, Fault: fmt.Sprintf(format, args...), Remedy: remedy}
}

func unpacking(name string, line int, err error) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{File: name, Line: line, Fault: fmt.Sprintf("it cannot be unpacked (%v)", err), Remedy: "it is damaged or cut short, get it again"}
	}
	return fmt.Errorf("read %s: %w", name, err)
}

func (r *reader) read(in io.Reader) error {
	limited := &io.LimitedReader{R: in, N: maxBytes}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	n := 0
	var fields []string
	for lines.Scan() && lines.Err() == nil { // after an error comes half a line
		n++
		text := strings.TrimSuffix(lines.Text(), "\r")
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if strings.TrimSpace(text) == "" || text[0] == '#' {
			continue
		}
		var err error
		if r.at == nil {
			err = r.header(text, n)
		} else if fields, err = r.split(fields[:0], text, n); err == nil {
			err = r.row(fields, n)
		}
		if err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return r.fault(n+1, "", "is it a CSV?", "it is longer than %d bytes", maxLine)
	case err != nil:
		return unpacking(r.name, n+1, err)
	case limited.N <= 0:
		return r.fault(n, "", "part the file", "the file is larger than %d GiB", maxBytes>>30)
	case r.at == nil:
		return r.fault(0, "", "begin with a header that names the columns", "the file is empty")
	case len(r.times) == 0:
		return r.fault(0, "", "add rows", "there is no row below the header")
	}
	return nil
}

// header finds the columns, and by what they are parted.
func (r *reader) header(text string, line int) error {
	r.comma = ','
	names := fieldsOf(text, r.comma)
	wanted := append([]string{r.opts.TimeColumn}, r.opts.ValueColumns...)
	for _, comma := range []byte{';', '\t'} {
		if other := fieldsOf(text, comma); slices.Contains(other, wanted[0]) && !slices.Contains(names, wanted[0]) || wanted[0] == "" && len(other) > 1 && len(names) == 1 {
			r.comma, names = comma, other
		}
	}
	if wanted[0] == "" {
		wanted[0] = names[0]
	}
	if len(wanted) == 1 {
		others := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == wanted[0] })
		if len(others) == 0 {
			return r.fault(line, "", "give it a header that names a time and an amount", "it has no column beside %q", clip(names[0]))
		}
		if len(others) > 1 {
			return r.fault(line, "", "name one of them with --value-column", "there are %d columns beside the time: %s", len(others), clip(strings.Join(others, ", ")))
		}
		wanted = append(wanted, others[0])
	}
	if len(wanted)-1 > maxValues {
		return r.fault(line, "", "read them in turns", "%d columns of values are more than %d", len(wanted)-1, maxValues)
	}
	for i, name := range wanted {
		at := slices.Index(names, name)
		switch {
		case at < 0:
			return r.fault(line, "", "the columns are "+clip(strings.Join(names, ", ")), "there is no column %q", clip(name))
		case slices.Contains(names[at+1:], name):
			return r.fault(line, name, "give each column a name of its own", "it is there twice")
		case slices.Contains(r.at, at):
			return r.fault(line, name, "name each column once", "it is asked for twice")
		}
		r.at = append(r.at, at)
		r.width = max(r.width, at+1)
		if i > 0 {
			r.values = append(r.values, nil)
		}
	}
	r.opts.TimeColumn, r.opts.ValueColumns = wanted[0], wanted[1:]
	return nil
}

// fieldsOf splits a header.
func fieldsOf(text string, comma byte) []string {
	c := csv.NewReader(strings.NewReader(text))
	c.Comma, c.LazyQuotes = rune(comma), true
	names, err := c.Read()
	if err != nil {
		names = strings.Split(text, string(comma))
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// split appends the fields of a line up to the last one that is read.
func (r *reader) split(to []string, text string, line int) ([]string, error) {
	if strings.IndexByte(text, '"') >= 0 {
		c := csv.NewReader(strings.NewReader(text))
		c.Comma = rune(r.comma)
		fields, err := c.Read()
		if err != nil {
			return nil, r.fault(line, "", "a field in quotes has to end in its line", "its quotes make no sense")
		}
		to = append(to, fields...)
	} else {
		for len(to) < r.width {
			i := strings.IndexByte(text, r.comma)
			if i < 0 {
				to = append(to, text)
				break
			}
			to = append(to, text[:i])
			text = text[i+1:]
		}
	}
	if len(to) < r.width {
		return nil, r.fault(line, "", "part them with "+strconv.Quote(string(r.comma))+" as the header does", "it has %d fields, and %d are needed", len(to), r.width)
	}
	return to, nil
}

// row reads the time and the values of a line.
func (r *reader) row(fields []string, line int) error {
	if (len(r.times)+1)*len(r.at) > r.cells {
		return r.fault(line, "", "thin it out, or part it", "the file has more than %d times and values", r.cells)
	}
	at, err := r.time(strings.TrimSpace(fields[r.at[0]]))
	if err != nil {
		return r.fault(line, r.opts.TimeColumn, "write one like 2026-11-22T18:00:00Z, 2026-11-22 18:00:00 or Unix seconds", "%v", err)
	}
	for i := range r.values {
		v, err := value(strings.TrimSpace(fields[r.at[i+1]]))
		if err != nil {
			return r.fault(line, r.opts.ValueColumns[i], "write an amount from 0 on, or nothing where it is missing", "%v", err)
		}
		r.values[i] = append(r.values[i], v)
	}
	r.times = append(r.times, at)
	r.lines = append(r.lines, int32(min(line, math.MaxInt32)))
	return nil
}

// layouts of times as files have them; those without a zone are read in the options' location.
var layouts = []string{
	time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02T15:04Z07:00",
	"2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05 -0700", "2006/01/02 15:04:05", "2006/01/02 15:04", "2006-01-02",
}

// The years that a time may lie in, and the numbers from which on a time is in smaller units than seconds.
const (
	firstYear, lastYear = 1900, 2200
	firstSecond         = -2208988800.0
	lastSecond          = 7258118400.0

	millis, micros, nanos = 1e11, 1e14, 1e17
)

// time reads a time as files have it.
func (r *reader) time(text string) (timeline.Time, error) {
	if text == "" {
		return 0, errors.New("the time is missing")
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		switch size := math.Abs(n); {
		case size >= nanos:
			n /= 1e9
		case size >= micros:
			n /= 1e6
		case size >= millis:
			n /= 1e3
		}
		if !(n >= firstSecond && n <= lastSecond) {
			return 0, fmt.Errorf("%q is not between the years %d and %d", clip(text), firstYear, lastYear)
		}
		return timeline.Time(math.Round(n * 1000)), nil
	}
	for _, layout := range layouts {
		loc := r.opts.Location
		if strings.HasSuffix(layout, "UTC") {
			loc = time.UTC
		}
		if t, err := time.ParseInLocation(layout, text, loc); err == nil {
			if t.Year() < firstYear || t.Year() >= lastYear {
				return 0, fmt.Errorf("%q is not between the years %d and %d", clip(text), firstYear, lastYear)
			}
			return timeline.Of(t), nil
		}
	}
	return 0, fmt.Errorf("%q is not a time", clip(text))
}

// value reads an amount; NaN where it is missing.
func value(text string) (float64, error) {
	switch strings.ToLower(text) {
	case "", "nan", "na", "n/a", "null", "none":
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(v, 0):
		return 0, fmt.Errorf("%q is not finite", clip(text))
	case err != nil:
		return 0, fmt.Errorf("%q is not a number", clip(text))
	case v < 0:
		return 0, fmt.Errorf("%q is negative, and demand never is", clip(text))
	case v > float64(resource.Unlimited):
		return 0, fmt.Errorf("%q is larger than any amount (%d)", clip(text), resource.Unlimited)
	}
	return v, nil
}

// clip bounds what an error repeats of the input.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
