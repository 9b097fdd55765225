package seriescsv

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/glidepath/glidepath/internal/timeline"
)

// maxRange is how many bytes of a range query's answer are read, unpacked.
const maxRange = 1 << 30

// readRange reads what Prometheus answers to a range query (its HTTP API, /api/v1/query_range): a matrix, each of whose series becomes a column under its
// name and labels. Times are those of the samples, whatever the query's step was.
func (r *reader) readRange(in io.Reader) error {
	limited := &io.LimitedReader{R: in, N: maxRange}
	a := answer{reader: r, in: json.NewDecoder(limited)}
	err := a.object(a.top)
	var told *Error
	switch {
	case errors.As(err, &told):
		return err
	case limited.N <= 0:
		return r.fault(0, "", "ask for a shorter range", "the file is larger than %d GiB", maxRange>>30)
	case errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader):
		return unpacking(r.name, 0, err)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return r.fault(0, "", "get it again", "it is cut short")
	case err != nil:
		return r.fault(0, "", "save what /api/v1/query_range answers, as it is", "it is not what Prometheus answers to a range query (%s)", clip(err.Error()))
	case !a.matrix:
		return r.fault(0, "", "save what /api/v1/query_range answers, as it is", "it holds no result of a query")
	}
	return r.columns(a.series)
}

// answer is what was read of Prometheus's.
type answer struct {
	*reader
	in     *json.Decoder
	matrix bool
	series []samples
	count  int // samples
}

// samples are one series of the answer.
type samples struct {
	name   string // "" until it is known
	times  []timeline.Time
	values []float64
}

func (a *answer) top(key string) error {
	switch key {
	case "status", "error":
		var text string
		if err := a.in.Decode(&text); err != nil {
			return err
		}
		if key == "error" {
			return a.fault(0, "", "correct the query", "Prometheus answered with an error: %s", clip(text))
		}
		return nil
	case "data":
		return a.object(a.data)
	}
	return a.skip()
}

func (a *answer) data(key string) error {
	switch key {
	case "resultType":
		var kind string
		if err := a.in.Decode(&kind); err != nil {
			return err
		}
		if kind != "matrix" {
			return a.fault(0, "", "ask /api/v1/query_range", "its result is a %s, which has no series over time", clip(kind))
		}
		return nil
	case "result":
		a.matrix = true
		return a.array(func() error {
			if len(a.series) >= maxValues && len(a.opts.ValueColumns) == 0 {
				return a.fault(0, "", "name some with --value-column, or ask for fewer", "it has more than %d series", maxValues)
			}
			var s samples
			err := a.object(func(key string) error { return a.one(&s, key) })
			if err == nil && a.wanted(s.name) {
				a.series = append(a.series, s)
			}
			return err
		})
	}
	return a.skip()
}

// wanted reports whether a series is to be read.
func (a *answer) wanted(name string) bool {
	return len(a.opts.ValueColumns) == 0 || slices.Contains(a.opts.ValueColumns, name)
}

func (a *answer) one(s *samples, key string) error {
	if s.name != "" && !a.wanted(s.name) {
		return a.skip()
	}
	switch key {
	case "metric":
		var labels map[string]string
		if err := a.in.Decode(&labels); err != nil {
			return err
		}
		s.name = nameOf(labels)
		return nil
	case "values":
		return a.array(func() error { return a.sample(s) })
	case "histograms":
		return a.fault(0, clip(s.name), "ask for a quantile or a rate of it", "it is a native histogram")
	}
	return a.skip()
}

// sample reads [seconds, "value"].
func (a *answer) sample(s *samples) error {
	if a.count++; a.count > a.cells {
		return a.fault(0, clip(s.name), "ask for a longer step, or a shorter range", "the file has more than %d samples", a.cells)
	}
	var pair [2]json.RawMessage
	if err := a.in.Decode(&pair); err != nil {
		return err
	}
	at, err := a.time(string(pair[0]))
	if err != nil {
		return a.fault(0, clip(s.name), "save what /api/v1/query_range answers, as it is", "sample %d: %v", len(s.times)+1, err)
	}
	var text string
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return err
	}
	v, err := value(text)
	if err != nil {
		return a.fault(0, clip(s.name), "let the query give an amount from 0 on", "at %s: %v", at, err)
	}
	s.times, s.values = append(s.times, at), append(s.values, v)
	return nil
}

// nameOf writes a series as Prometheus does: name{label="value", …}, sorted.
func nameOf(labels map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if key != "__name__" {
			parts = append(parts, key+"="+strconv.Quote(labels[key]))
		}
	}
	name := labels["__name__"]
	if len(parts) > 0 || name == "" {
		name += "{" + strings.Join(parts, ",") + "}"
	}
	return name
}

// columns puts the series on the times that any of them has.
func (r *reader) columns(all []samples) error {
	var names []string
	total := 0
	for _, s := range all {
		if slices.Contains(names, s.name) {
			return r.fault(0, clip(s.name), "let the query give each series labels of its own", "it is there twice")
		}
		names = append(names, s.name)
		total += len(s.times)
	}
	for _, name := range r.opts.ValueColumns {
		if !slices.Contains(names, name) {
			return r.fault(0, "", "name one as Prometheus writes it, like up{job=\"web\"}", "there is no series %s", clip(name))
		}
	}
	if total == 0 {
		return r.fault(0, "", "ask for a time in which there are some", "it has no samples")
	}
	for _, s := range all {
		r.times = append(r.times, s.times...)
	}
	slices.Sort(r.times)
	r.times = slices.Compact(r.times)
	if len(r.times)*(len(all)+1) > r.cells {
		return r.fault(0, "", "ask for fewer series in one file", "the file has more than %d times and values", r.cells)
	}
	for _, s := range all {
		values := make([]float64, len(r.times))
		for i := range values {
			values[i] = math.NaN()
		}
		for i, at := range s.times {
			row, _ := slices.BinarySearch(r.times, at)
			values[row] = s.values[i]
		}
		r.values = append(r.values, values)
	}
	r.lines = make([]int32, len(r.times)) // there are none to name
	r.opts.TimeColumn, r.opts.ValueColumns = "", names
	return nil
}

// object calls visit for each key of an object, which reads its value.
func (a *answer) object(visit func(key string) error) error {
	if err := a.expect('{'); err != nil {
		return err
	}
	for a.in.More() {
		t, err := a.in.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return fmt.Errorf("%v where a name was expected", t)
		}
		if err := visit(key); err != nil {
			return err
		}
	}
	return a.expect('}')
}

// array calls visit for each element of an array, which reads it.
func (a *answer) array(visit func() error) error {
	if err := a.expect('['); err != nil {
		return err
	}
	for a.in.More() {
		if err := visit(); err != nil {
			return err
		}
	}
	return a.expect(']')
}

func (a *answer) expect(delim json.Delim) error {
	t, err := a.in.Token()
	if err != nil {
		return err
	}
	if t != delim {
		return fmt.Errorf("%v where %v was expected", t, delim)
	}
	return nil
}

// skip passes a value over.
func (a *answer) skip() error {
	var passed json.RawMessage
	return a.in.Decode(&passed)
}
