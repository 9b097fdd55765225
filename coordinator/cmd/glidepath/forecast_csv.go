package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/seriescsv"
	"github.com/glidepath/glidepath/internal/timeline"
)

// recordedForecast is what forecast --csv was asked for.
type recordedForecast struct {
	recordedFlags
	file, at, svg string
	step, horizon time.Duration
	means         bool
}

// fileForecast is what forecast --csv --json prints.
type fileForecast struct {
	File      string          `json:"file"`
	Column    string          `json:"column"`
	Start     timeline.Time   `json:"start"`
	Step      int64           `json:"step_ms"`
	Quantiles []float64       `json:"quantiles"`
	Values    [][]float64     `json:"values"` // by quantile and step
	Cold      bool            `json:"cold"`   // too little history
	Note      string          `json:"note"`
	Observed  int64           `json:"observed_s"` // time with samples
	Pattern   string          `json:"pattern,omitzero"`
	Sure      int             `json:"confidence_milli,omitzero"` // probability that it is this pattern, in thousandths
	Members   []memberShare   `json:"members"`
	Effects   []eventEffect   `json:"effects,omitempty"`
	Events    []expectedEvent `json:"events,omitempty"` // to come in the time that is forecast
	Notes     []string        `json:"notes,omitempty"`
}

// memberShare is what a member of the portfolio counts over the horizon.
type memberShare struct {
	Member string    `json:"member"`
	Shares []float64 `json:"shares"` // by quantile
}

// eventEffect is what events of a kind add to demand.
type eventEffect struct {
	Kind        string  `json:"kind"`
	Mean        float64 `json:"mean"` // added over the span
	Peak        float64 `json:"peak"` // in the highest part of it
	Spread      float64 `json:"spread"`
	Occurrences int     `json:"occurrences"`
}

// expectedEvent is an event in the time that is forecast.
type expectedEvent struct {
	Kind string        `json:"kind"`
	Span timeline.Span `json:"span"`
}

// eventsBefore is how long before a forecast events are learned from.
const eventsBefore = 60 * 24 * time.Hour

// forecastFile forecasts a column of a CSV.
func (a *app) forecastFile(ctx context.Context, r recordedForecast) error {
	loc, err := r.check()
	if err != nil {
		return err
	}
	if len(r.values) > 1 {
		return usagef("--value-column names %d columns: one is forecast at a time", len(r.values))
	}
	if err := checkSteps(r.step, r.horizon); err != nil {
		return err
	}
	fold := forecast.Max
	if r.means {
		fold = forecast.Mean
	}
	table, err := seriescsv.ReadFile(r.file, seriescsv.Options{TimeColumn: r.time, ValueColumns: r.values, Location: loc, Fold: fold})
	if err != nil {
		return err
	}
	if len(table.Columns) > 1 {
		return usagef("%s has %d series: name one with --value-column: %s", r.file, len(table.Columns), strings.Join(table.Columns, ", "))
	}
	s, column := table.Series[0], table.Columns[0]
	from := s.End()
	if r.at != "" {
		t, err := parseTime(r.at, s.End().Std())
		if err != nil {
			return usagef("--at: %w", err)
		}
		from = timeline.Of(t)
	}
	step := r.step
	if step == 0 {
		step = max(forecast.DefaultStep, s.Step)
	}
	source, _, err := readEventFile(r.events, loc)
	if err != nil {
		return err
	}
	events, notes, err := source(ctx, timeline.Span{Start: from.Add(-eventsBefore), End: from.Add(r.horizon)})
	if err != nil {
		return err
	}
	one, err := forecast.OfSeries(s, events, from, r.horizon, forecast.Options{Step: step, Quantiles: r.quantiles, Location: loc})
	if errors.Is(err, forecast.ErrColdStart) {
		return fmt.Errorf("%s, column %s: there is no value in the four weeks before %s: begin earlier with --at, or give it a history", r.file, column, stamp(from))
	}
	if err != nil {
		return fmt.Errorf("%s, column %s: %w", r.file, column, err)
	}
	out := r.told(column, one, events)
	out.Notes = slices.Concat(table.Notes, notes)
	if r.svg != "" {
		if err := writePicture(r.svg, filePicture(out, s)); err != nil {
			return err
		}
	}
	if a.json {
		return a.printValue(out)
	}
	return a.printFileForecast(out)
}

// told returns what there is to tell of a forecast.
func (r recordedForecast) told(column string, f *forecast.One, events []forecast.Event) fileForecast {
	out := fileForecast{
		File: r.file, Column: column, Start: f.Start, Step: f.Step.Milliseconds(), Quantiles: f.Quantiles, Values: f.Values,
		Cold: f.Reason.Cold, Note: f.Reason.Note, Observed: int64(f.Reason.Observed.Seconds()), Members: []memberShare{},
		Pattern: string(f.Reason.Pattern), Sure: int(math.Round(f.Reason.Confidence * 1000)),
	}
	at := map[string]int{}
	for qi, q := range f.Quantiles {
		for name, share := range f.Reason.Shares(q, r.horizon) {
			i, ok := at[name]
			if !ok {
				i = len(out.Members)
				at[name] = i
				out.Members = append(out.Members, memberShare{name, make([]float64, len(f.Quantiles))})
			}
			out.Members[i].Shares[qi] = share
		}
	}
	slices.SortFunc(out.Members, func(x, y memberShare) int {
		return cmp.Or(cmp.Compare(total(y.Shares), total(x.Shares)), strings.Compare(x.Member, y.Member))
	})
	for _, e := range f.Reason.Effects {
		out.Effects = append(out.Effects, eventEffect{e.Kind, e.Mean, e.Peak, e.Spread, e.Occurrences})
	}
	covered := timeline.Span{Start: f.Start, End: f.Start.Add(time.Duration(len(f.Values[0])) * f.Step)}
	for _, e := range events {
		if e.Span.Overlaps(covered) {
			out.Events = append(out.Events, expectedEvent{e.Kind, e.Span})
		}
	}
	return out
}

func total(all []float64) float64 {
	sum := 0.0
	for _, v := range all {
		sum += v
	}
	return sum
}

func (f fileForecast) span() timeline.Span {
	return timeline.Span{Start: f.Start, End: f.Start + timeline.Time(int64(len(f.Values[0]))*f.Step)}
}

// highest returns the highest value of a quantile within a span.
func (f fileForecast) highest(qi int, s timeline.Span) float64 {
	from := max(0, int64(s.Start-f.Start)/f.Step)
	to := min(int64(len(f.Values[qi])), (int64(s.End-f.Start)+f.Step-1)/f.Step)
	high := 0.0
	for i := from; i < to; i++ {
		high = max(high, f.Values[qi][i])
	}
	return high
}

// What is printed of a forecast at most.
const (
	mostRows    = 12
	mostMembers = 8
	leastShare  = .005
)

func (a *app) printFileForecast(f fileForecast) error {
	span := f.span()
	a.say("Forecast of %s in %s from %s for %s, in steps of %s", oneLine(f.Column), oneLine(f.File), stamp(f.Start), hours(span.Length()), took(f.Step))
	for _, n := range f.Notes {
		a.say("%s", oneLine(n))
	}
	a.say("")
	var lines []line
	for _, qi := range drawn(len(f.Quantiles)) {
		lines = append(lines, line{fraction(f.Quantiles[qi]), func(s timeline.Span) float64 { return f.highest(qi, s) }})
	}
	a.plotLines(oneLine(f.Column), span, number, lines...)

	every := span.Length() / mostRows
	if rows := span.Length() / (time.Duration(f.Step) * time.Millisecond); rows <= mostRows {
		every = time.Duration(f.Step) * time.Millisecond
	}
	header := []string{"HIGHEST FROM"}
	for _, q := range f.Quantiles {
		header = append(header, strings.ToUpper(fraction(q)))
	}
	t := newTable(a.stdout, header...)
	for at := span.Start; at < span.End; at = at.Add(every) {
		row := []any{stamp(at)}
		for qi := range f.Quantiles {
			row = append(row, number(f.highest(qi, timeline.Span{Start: at, End: min(at.Add(every), span.End)})))
		}
		t.row(row...)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := a.printShares(f); err != nil {
		return err
	}
	var effects []string
	for _, e := range f.Effects {
		effects = append(effects, e.String())
	}
	a.list("Events", effects)
	var coming []string
	for _, e := range f.Events[:min(len(f.Events), mostRows)] {
		coming = append(coming, fmt.Sprintf("%s from %s to %s", e.Kind, stamp(e.Span.Start), stamp(e.Span.End)))
	}
	a.list("To come", coming)
	a.say("\nLearned from %s of samples: %s", hours(time.Duration(f.Observed)*time.Second), f.Note)
	if f.Pattern != "" {
		a.say("Pattern: %s", likely(f.Pattern, f.Sure))
	}
	return nil
}

// drawn returns which of n quantiles are drawn: the highest, one below, and the lowest.
func drawn(n int) []int {
	switch {
	case n == 1:
		return []int{0}
	case n == 2:
		return []int{1, 0}
	}
	return []int{n - 1, (n - 1) / 2, 0}
}

// printShares says which members of the portfolio count.
func (a *app) printShares(f fileForecast) error {
	a.say("")
	header := []string{"MEMBER"}
	for _, q := range f.Quantiles {
		header = append(header, "IN "+strings.ToUpper(fraction(q)))
	}
	t := newTable(a.stdout, header...)
	for _, m := range f.Members[:min(len(f.Members), mostMembers)] {
		if slices.Max(m.Shares) < leastShare {
			break
		}
		row := []any{m.Member}
		for _, share := range m.Shares {
			row = append(row, portion(share))
		}
		t.row(row...)
	}
	return t.flush()
}

func (e eventEffect) String() string {
	if e.Occurrences == 0 {
		return e.Kind + ": none in the history yet, so that it is not known what it adds"
	}
	if math.Abs(e.Peak) < 1e-9 {
		return fmt.Sprintf("%s: nothing to be seen of %s", e.Kind, count(e.Occurrences, "occurrence"))
	}
	return fmt.Sprintf("%s: %+.4g while it lasts, %+.4g at its height, from %s", e.Kind, e.Mean, e.Peak, count(e.Occurrences, "occurrence"))
}
