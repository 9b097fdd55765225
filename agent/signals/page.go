package signals

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/glidepath/glidepath/proto"
)

// Bounds of what is read of a page of metrics. Only the lines of the metrics that are asked for are kept and parsed.
const (
	maxPage = 16 << 20 // bytes of the page
	maxLine = 64 << 10 // bytes of a line
	maxKept = 1 << 20  // bytes of one metric's lines
)

// read reads a page of metrics and returns what each of the signals is on it: the sum of all series that match. What is wrong
// with one signal is no fault of the others; what is wrong with the page is an error of all.
func read(page io.Reader, of []proto.Signal) (values []float64, faults []error, err error) {
	lines := map[string]*bytes.Buffer{} // by metric
	for _, s := range of {
		lines[s.Metric] = &bytes.Buffer{}
	}
	in := bufio.NewScanner(io.LimitReader(page, maxPage+1))
	in.Buffer(make([]byte, 0, 4<<10), maxLine)
	total := 0
	for in.Scan() {
		line := in.Bytes()
		if total += len(line) + 1; total > maxPage {
			return nil, nil, fmt.Errorf("the page has more than %d MiB", maxPage>>20)
		}
		if kept := lines[string(nameOf(line))]; kept != nil && kept.Len() <= maxKept {
			kept.Write(line)
			kept.WriteByte('\n')
		}
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return nil, nil, fmt.Errorf("the page has a line of more than %d KiB", maxLine>>10)
	}
	if in.Err() != nil {
		return nil, nil, in.Err()
	}
	parsed := map[string]*dto.MetricFamily{}
	broken := map[string]error{}
	for metric, kept := range lines {
		if kept.Len() > maxKept {
			broken[metric] = fmt.Errorf("metric %s has more than %d MiB of series: expose fewer", metric, maxKept>>20)
			continue
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(kept)
		if err != nil {
			broken[metric] = fmt.Errorf("metric %s can't be read: %w", metric, err)
			continue
		}
		parsed[metric] = families[metric]
	}
	values, faults = make([]float64, len(of)), make([]error, len(of))
	for i, s := range of {
		if faults[i] = broken[s.Metric]; faults[i] == nil {
			values[i], faults[i] = sum(parsed[s.Metric], s)
		}
	}
	return values, faults, nil
}

// nameOf returns the name of the metric that a line has a sample of; nothing for comments.
func nameOf(line []byte) []byte {
	line = bytes.TrimLeft(line, " \t")
	if i := bytes.IndexAny(line, "{ \t"); i > 0 && line[0] != '#' {
		return line[:i]
	}
	return nil
}

// sum adds up the series that have the signal's labels.
func sum(f *dto.MetricFamily, s proto.Signal) (float64, error) {
	total, found := 0.0, false
	for _, m := range f.GetMetric() {
		if !matches(m.GetLabel(), s.Labels) {
			continue
		}
		found = true
		total += m.GetUntyped().GetValue()
	}
	switch {
	case !found && len(f.GetMetric()) == 0:
		return 0, fmt.Errorf("there is no metric %s", s.Metric)
	case !found:
		return 0, fmt.Errorf("none of the %d series of metric %s has the labels", len(f.GetMetric()), s.Metric)
	case !(total >= 0 && total <= proto.MostSignal): // NaN is neither
		return 0, fmt.Errorf("metric %s is %v: it has to be from 0 to 2^53", s.Metric, math.Round(total))
	}
	return total, nil
}

func matches(have []*dto.LabelPair, want []proto.Label) bool {
	for _, w := range want {
		value := "" // as in Prometheus, a label that is missing is an empty one
		for _, l := range have {
			if l.GetName() == w.Key {
				value = l.GetValue()
			}
		}
		if value != w.Value {
			return false
		}
	}
	return true
}
