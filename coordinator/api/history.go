package api

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/history/historycsv"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Limits of one import: what it may take of the coordinator's memory.
const (
	maxRows      = 1 << 20 // ten years of 5 minutes, four months of 10 seconds
	shortestStep = time.Second
	longestStep  = 6 * time.Hour
	mostAhead    = time.Hour // of now, that rows may be: clocks differ
)

// importHistory stores demand that was measured elsewhere, and has the instance's model learn from it.
func importHistory(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	rows, err := readRows(c.r.Body)
	if err != nil {
		return nil, err
	}
	values, step, err := series(rows)
	if err != nil {
		return nil, err
	}
	if last := rows[len(rows)-1].Time; last > c.now.Add(mostAhead) {
		// What is kept is counted from the newest of all instances: it would make everybody's history too old.
		return nil, invalid("the history goes on until %s, which is yet to come: import what was measured", last)
	}
	stored, late, err := c.cfg.ImportHistory(c.ctx, i.Name(), values, values)
	if err != nil {
		return nil, err
	}
	c.cfg.Forget(i.Name())
	return v1.ImportReply{
		Rows: len(rows), Step: step.Milliseconds(), From: rows[0].Time, To: rows[len(rows)-1].Time.Add(step), Stored: stored, Late: late,
	}, nil
}

func readRows(body io.Reader) ([]historycsv.Row, error) {
	in, err := historycsv.NewReader(body)
	if err != nil {
		return nil, err
	}
	var rows []historycsv.Row
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(rows) == maxRows {
			return nil, &v1.Error{Code: v1.CodeTooLarge, Message: fmt.Sprintf("the history has more than %d rows", maxRows), Remedy: "import it in parts"}
		}
		rows = append(rows, row)
	}
	if len(rows) < 2 {
		return nil, invalid("the history has %d rows: it takes two at least, whose distance is the step", len(rows))
	}
	return rows, nil
}

// series puts rows on a regular step, the smallest distance of two of them. Steps without a row are missing.
func series(rows []historycsv.Row) (forecast.History, time.Duration, error) {
	var out forecast.History
	step := rows[1].Time.Sub(rows[0].Time)
	for i := range rows[1:] {
		step = min(step, rows[i+1].Time.Sub(rows[i].Time))
	}
	start, end := rows[0].Time, rows[len(rows)-1].Time
	if step < shortestStep || step > longestStep {
		return out, 0, invalid("the nearest rows of the history are %s apart: use steps from %s to %s", step, shortestStep, longestStep)
	}
	steps := int(end.Sub(start)/step) + 1
	if steps > maxRows {
		return out, 0, invalid("the history spans %s in steps of %s, the distance of its nearest rows: that is more than %d steps; import it in parts",
			end.Sub(start), step, maxRows)
	}
	for k := range out {
		values := make([]float64, steps)
		known := false
		for i := range values {
			values[i] = math.NaN()
		}
		for _, r := range rows {
			values[int(r.Time.Sub(start)/step)] = r.Values[k]
			known = known || !math.IsNaN(r.Values[k])
		}
		if known {
			out[k] = forecast.Series{Start: start, Step: step, Values: values}
		}
	}
	return out, step, nil
}

// exportSpan is how far back history is exported unless the query says otherwise: all that is kept.
const exportSpan = 36 * 24 * time.Hour

// exportHistory tells an instance's demand, means or the highest of each step: as the CSV that an import takes, or as JSON if that is asked for.
func exportHistory(c *call) (any, error) {
	i, err := c.instance()
	if err != nil {
		return nil, err
	}
	q := query{c: c}
	span := timeline.Span{Start: timeline.Time(q.number("from", 0, int64(timeline.Forever)-1)), End: timeline.Time(q.number("to", 0, int64(timeline.Forever)-1))}
	of := cmp.Or(q.text("of"), "mean")
	if of != "max" && of != "mean" {
		return nil, invalid("of=%.40q is neither mean nor max", of)
	}
	if q.err != nil {
		return nil, q.err
	}
	if span.End == 0 {
		span.End = c.now
	}
	if span.Start == 0 {
		span.Start = span.End.Add(-exportSpan)
	}
	if span.Empty() {
		return nil, invalid("from %s is not before to %s", span.Start, span.End)
	}
	values, maxima, err := c.cfg.ExportHistory(c.ctx, i.Name(), span)
	if err != nil {
		return nil, err
	}
	if of == "max" {
		values = maxima
	}
	step := longest(values)
	if strings.Contains(c.r.Header.Get("Accept"), "application/json") {
		out := v1.History{Instance: i.Name(), Of: of, Step: step.Milliseconds(), Items: []v1.HistoryStep{}}
		for row := range onStep(values, step) {
			out.Items = append(out.Items, v1.StepOf(row.Time, row.Values))
		}
		return out, nil
	}
	return stream(func(w http.ResponseWriter) error {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		out := historycsv.NewWriter(w)
		for row := range onStep(values, step) {
			if err := out.Write(row); err != nil {
				return err
			}
		}
		return out.Flush()
	}), nil
}

// longest returns the longest of a history's steps; 0 when nothing is known.
func longest(h forecast.History) time.Duration {
	step := time.Duration(0)
	for _, s := range h {
		if len(s.Values) > 0 {
			step = max(step, s.Step)
		}
	}
	return step
}

// onStep goes through a history on a step, leaving out rows in which nothing is known.
func onStep(h forecast.History, step time.Duration) iter.Seq[historycsv.Row] {
	return func(yield func(historycsv.Row) bool) {
		if step == 0 {
			return
		}
		start, end := timeline.Forever, timeline.Time(0)
		for k := range h {
			h[k] = h[k].Resample(step)
			if len(h[k].Values) > 0 {
				start, end = min(start, h[k].Start), max(end, h[k].End())
			}
		}
		for at := start; at < end; at = at.Add(step) {
			row, known := historycsv.Row{Time: at}, false
			for k := range resource.Kinds {
				row.Values[k] = math.NaN()
				s := h[k]
				if at >= s.Start && at < s.End() && len(s.Values) > 0 {
					row.Values[k] = s.Values[int(at.Sub(s.Start)/step)]
				}
				known = known || !math.IsNaN(row.Values[k])
			}
			if known && !yield(row) {
				return
			}
		}
	}
}
