package signals

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/glidepath/glidepath/proto"
)

// Bounds of what is read of a page of metrics. Only the lines of the metrics that are asked for are parsed, one at a time.
const (
	maxPage   = 16 << 20 // bytes of the page
	maxLine   = 64 << 10 // bytes of a line
	maxMetric = 1 << 20  // bytes of one metric's lines
	maxLabels = 64       // of a series: the time that the parser takes grows with their square
	maxSeries = 10_000   // that match a signal
)

// found is what of a page matches a signal.
type found struct {
	total  float64            // of all series
	series map[uint64]float64 // each of them, by a hash of its labels
}

// metric is one that is asked for.
type metric struct {
	name   string
	bytes  int
	series int
	fault  error
}

// read reads a page of metrics and returns what of it matches each of the signals. What is wrong with one signal is no fault of the
// others; what is wrong with the page is an error of all. Series are told apart by hashes with the seed.
func read(page io.Reader, of []proto.Signal, seed maphash.Seed) (out []found, faults []error, err error) {
	metrics := map[string]*metric{}
	out, faults = make([]found, len(of)), make([]error, len(of))
	for i, s := range of {
		metrics[s.Metric], out[i].series = &metric{name: s.Metric}, map[uint64]float64{}
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	in := bufio.NewScanner(io.LimitReader(page, maxPage+1))
	in.Buffer(make([]byte, 0, 4<<10), maxLine)
	total := 0
	for in.Scan() {
		line := in.Bytes()
		if total += len(line) + 1; total > maxPage {
			return nil, nil, fmt.Errorf("the page has more than %d MiB", maxPage>>20)
		}
		m := metrics[string(nameOf(line))]
		if m == nil || m.fault != nil {
			continue
		}
		one := m.parse(&parser, line)
		for i, s := range of {
			if one != nil && s.Metric == m.name && faults[i] == nil && matches(one.GetLabel(), s.Labels) {
				faults[i] = out[i].add(one, seed)
			}
		}
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return nil, nil, fmt.Errorf("the page has a line of more than %d KiB", maxLine>>10)
	}
	if in.Err() != nil {
		return nil, nil, in.Err()
	}
	for i, s := range of {
		m := metrics[s.Metric]
		faults[i] = cmp.Or(m.fault, faults[i], out[i].fault(s, m.series))
	}
	return out, faults, nil
}

// nameOf returns the name of the metric that a line has a sample of; nothing for comments.
func nameOf(line []byte) []byte {
	line = bytes.TrimLeft(line, " \t")
	if i := bytes.IndexAny(line, "{ \t"); i > 0 && line[0] != '#' {
		return line[:i]
	}
	return nil
}

// parse reads the sample of a line; nil where there is a fault.
func (m *metric) parse(parser *expfmt.TextParser, line []byte) *dto.Metric {
	if m.bytes += len(line) + 1; m.bytes > maxMetric {
		m.fault = fmt.Errorf("metric %s has more than %d MiB of series: expose fewer", m.name, maxMetric>>20)
		return nil
	}
	if labelsOf(line) > maxLabels {
		m.fault = fmt.Errorf("metric %s has a series of more than %d labels: expose fewer", m.name, maxLabels)
		return nil
	}
	families, err := parser.TextToMetricFamilies(io.MultiReader(bytes.NewReader(line), strings.NewReader("\n")))
	samples := families[m.name].GetMetric()
	if err == nil && len(samples) == 1 {
		m.series++
		return samples[0]
	}
	var wrong expfmt.ParseError
	if errors.As(err, &wrong) {
		m.fault = fmt.Errorf("metric %s can't be read: %s", m.name, wrong.Msg) // its line is always the first
	} else {
		m.fault = fmt.Errorf("metric %s can't be read: %w", m.name, err)
	}
	return nil
}

// labelsOf counts the labels of a line, without reading them.
func labelsOf(line []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(line); i++ {
		switch {
		case quoted && line[i] == '\\':
			i++
		case line[i] == '"':
			quoted = !quoted
		case line[i] == '=' && !quoted:
			n++
		}
	}
	return n
}

// add takes in a series that matches. Of two with the same labels the first counts, as in Prometheus.
func (f *found) add(one *dto.Metric, seed maphash.Seed) error {
	labels := slices.Clone(one.GetLabel())
	slices.SortFunc(labels, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	var h maphash.Hash
	h.SetSeed(seed)
	for _, l := range labels {
		if l.GetValue() == "" { // which is no label
			continue
		}
		for _, text := range []string{l.GetName(), l.GetValue()} {
			_, _ = h.WriteString(text) // which never fails
			_ = h.WriteByte(0xff)      // which is in no UTF-8
		}
	}
	key := h.Sum64()
	if _, twice := f.series[key]; twice {
		return nil
	}
	if len(f.series) == maxSeries {
		return fmt.Errorf("more than %d series match: name labels that fewer have", maxSeries)
	}
	f.series[key] = one.GetUntyped().GetValue()
	f.total += f.series[key]
	return nil
}

// fault returns why what was found is no value of the signal; series is how many its metric has.
func (f *found) fault(s proto.Signal, series int) error {
	switch {
	case series == 0:
		return fmt.Errorf("there is no metric %s", s.Metric)
	case len(f.series) == 0:
		return fmt.Errorf("none of the %d series of metric %s has the labels", series, s.Metric)
	case !(f.total >= 0 && f.total <= proto.MostSignal): // NaN is neither
		return fmt.Errorf("metric %s is %v: it has to be from 0 to 2^53", s.Metric, math.Round(f.total))
	}
	return nil
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
