package calendar

import (
	"encoding/csv"
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

// Row is an event of a CSV.
type Row struct {
	Line      int
	Kind      string
	Span      timeline.Span
	Size      int64    // against the usual of its kind, in thousandths; 0: nothing was said
	Instances []string // nil: nothing was said
}

// columns of a CSV; the first three it has to have.
var columns = []string{"kind", "start", "end", "size", "instances"}

// Rows reads a CSV with the columns kind, start, end and, if wanted, size and instances, under the name that errors give it. Times that name no zone are in loc; with nil they
// have to name one. What is wrong with it is an *Error.
func Rows(in io.Reader, name string, loc *time.Location) ([]Row, error) {
	fault := func(line int, remedy, format string, args ...any) error {
		return &Error{File: name, Line: line, Fault: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	r := csv.NewReader(in)
	r.Comment, r.TrimLeadingSpace = '#', true
	header, err := r.Read()
	if err != nil {
		return nil, fault(0, "begin with the header kind,start,end,size,instances", "its first line can't be read: %v", err)
	}
	for i, h := range header {
		if !slices.Contains(columns, h) || slices.Contains(header[:i], h) {
			return nil, fault(1, "use each of "+strings.Join(columns, ", ")+" once", "unknown column %q, or one that is there twice", clip(h))
		}
	}
	for _, needed := range columns[:3] {
		if !slices.Contains(header, needed) {
			return nil, fault(1, "give it one", "the header has no column %s", needed)
		}
	}
	var out []Row
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fault(0, "correct that line", "%v", err)
		}
		line, _ := r.FieldPos(0)
		row := Row{Line: line}
		for i, field := range fields {
			if what, remedy := row.read(header[i], field, loc); what != "" {
				return nil, fault(line, remedy, "%s", what)
			}
		}
		if out = append(out, row); len(out) > maxOccurrences {
			return nil, fault(0, "part it", "it has more than %d events", maxOccurrences)
		}
	}
}

// read reads a field, and says what is wrong with it, and what to do.
func (r *Row) read(column, field string, loc *time.Location) (fault, remedy string) {
	var ok bool
	switch column {
	case "kind":
		r.Kind = field
		return "", ""
	case "start":
		r.Span.Start, ok = timeOf(field, loc)
	case "end":
		r.Span.End, ok = timeOf(field, loc)
	case "size":
		if field == "" {
			return "", ""
		}
		size, err := strconv.ParseFloat(field, 64)
		if err != nil || !(size >= 0 && size <= 1000) {
			return fmt.Sprintf("size %q is not between 0 and 1000", clip(field)), "write one like 1.2"
		}
		r.Size = int64(math.Round(size * 1000))
		return "", ""
	case "instances":
		if names := strings.Fields(field); len(names) > 0 {
			r.Instances = names
		}
		return "", ""
	}
	if !ok {
		return fmt.Sprintf("%s: %q is no time", column, clip(field)), "write one like 2026-11-22T18:00Z"
	}
	return "", ""
}

// timeOf reads a time as people write it: RFC 3339, with or without seconds, and without its zone where loc says that.
func timeOf(text string, loc *time.Location) (timeline.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return timeline.Of(t), true
		}
	}
	if loc == nil {
		return 0, false
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if wall, err := time.Parse(layout, text); err == nil {
			return in(loc, wall), true
		}
	}
	return 0, false
}
