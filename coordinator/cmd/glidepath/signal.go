package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/glidepath/glidepath/proto"
)

// signalSource says where a signal comes from.
func signalSource(s proto.Signal) string {
	var labels []string
	for _, l := range s.Labels {
		labels = append(labels, l.Key+"="+strconv.Quote(l.Value))
	}
	metric := s.Metric
	if len(labels) > 0 {
		metric += "{" + strings.Join(labels, ",") + "}"
	}
	return fmt.Sprintf("%s: %s %s at %s", s.Name, s.Kind, metric, s.URL)
}

// signalValue writes a value of a signal: a counter's is a rate.
func signalValue(kind proto.SignalKind, v float64) string {
	text := strconv.FormatFloat(v, 'g', 4, 64)
	if v >= 1000 {
		text = strconv.FormatFloat(v, 'f', 0, 64)
	}
	if kind == proto.SignalCounter {
		text += "/s"
	}
	return text
}

// printSignalForecasts prints what signals are expected to be at most, and what they say of demand.
func (a *app) printSignalForecasts(f proto.ForecastReply) error {
	if len(f.Signals) == 0 {
		return nil
	}
	a.say("")
	header := []string{"SIGNAL"}
	for _, q := range f.Quantiles {
		header = append(header, "MOST AT "+strings.ToUpper(quantile(q)))
	}
	t := newTable(a.stdout, append(header, "PATTERN", "DEMAND")...)
	for _, s := range f.Signals {
		row := []any{s.Name}
		for qi := range f.Quantiles {
			most := ""
			if qi < len(s.Values) && len(s.Values[qi]) > 0 {
				most = signalValue(s.Kind, slices.Max(s.Values[qi]))
			}
			row = append(row, most)
		}
		pattern := ""
		if s.Pattern != nil {
			pattern = likely(s.Pattern.Pattern, s.Pattern.Confidence)
		}
		var demand []string
		for _, e := range s.Effects {
			demand = append(demand, e.Words(s.Kind))
		}
		t.row(append(row, pattern, strings.Join(demand, ", "))...)
	}
	return t.flush()
}

// printSignalStates says how scraping an instance's signals goes.
func (a *app) printSignalStates(states []proto.SignalState) {
	var lines []string
	for _, s := range states {
		switch {
		case s.Fault != "":
			lines = append(lines, s.Name+": "+s.Fault)
		case s.At == 0:
			lines = append(lines, s.Name+": a counter's rate is known when it has been read twice")
		default:
			lines = append(lines, fmt.Sprintf("%s: %s at %s", s.Name, strconv.FormatFloat(s.Value, 'g', 6, 64), stamp(s.At)))
		}
	}
	a.list("Signals", lines)
}
