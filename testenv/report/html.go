package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"
)

//go:embed page.html
var page string

// row is one line of the table: what it tells, and a cell for each run.
type row struct {
	Measure string
	Cells   []string
}

// view is what the page shows.
type view struct {
	Report
	When   string
	Length string
	Rows   []row
	Runs   []runView
	Abort  []row
}

type runView struct {
	Run
	ID     string
	Charts []chart
	Spent  []row
}

// WriteHTML writes the report for people, as one file that needs nothing else.
func (r Report) WriteHTML(w io.Writer) error {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return fmt.Errorf("template of the report: %w", err)
	}
	v := view{Report: r, When: r.Made.Std().Format("2 January 2006, 15:04 UTC"), Length: seconds(milliseconds(r.Took)), Rows: r.rows()}
	for i, run := range r.Runs {
		id := "run" + strconv.Itoa(i+1)
		rv := runView{Run: run, ID: id, Charts: []chart{
			draw(id+"-cpu", run, quantity{"CPU", "cores", 1}, run.CPU),
			draw(id+"-memory", run, quantity{"Memory", "MiB", 1 << 20}, run.Memory),
		}}
		span := run.span()
		for _, p := range append(append([]Band(nil), run.Phases...), run.Events...) {
			rv.Spent = append(rv.Spent, row{p.Name, []string{clock(p.Start.Sub(span.Start)), seconds(p.Length())}})
		}
		v.Runs = append(v.Runs, rv)
	}
	if a := r.Abort; a != nil {
		v.Abort = []row{
			{"Broken on purpose", []string{a.Broken}},
			{"Outcome", []string{a.Outcome + ": " + a.Reason}},
			{"From start to end", []string{seconds(milliseconds(a.Took))}},
			{"Longest client silence", []string{seconds(milliseconds(a.Silence))}},
			{"Writes acknowledged", []string{count(a.Acknowledged)}},
			{"Acknowledged writes lost", []string{count(a.Lost)}},
		}
	}
	if err := t.Execute(w, v); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// rows returns the table, one column a run.
func (r Report) rows() []row {
	lines := []struct {
		measure string
		cell    func(Run) string
	}{
		{"Move", func(r Run) string { return fmt.Sprintf("%s from %s to %s", r.Instance, r.Source, r.Target) }},
		{"Instance type", func(r Run) string { return r.FromType + " → " + r.ToType }},
		{"Outcome", func(r Run) string { return r.Outcome }},
		{"Duration, predicted", func(r Run) string { return seconds(milliseconds(r.Duration.Predicted)) }},
		{"Duration, actual", func(r Run) string { return seconds(milliseconds(r.Duration.Actual)) }},
		{"Downtime, predicted", func(r Run) string { return seconds(milliseconds(r.Downtime.Predicted)) }},
		{"Downtime, actual (longest client silence)", func(r Run) string { return seconds(milliseconds(r.Downtime.Actual)) }},
		{"Longest client silence during the campaign", func(r Run) string { return seconds(milliseconds(r.Clients.SilenceCampaign)) }},
		{"Writes acknowledged", func(r Run) string { return count(r.Clients.Acknowledged) }},
		{"Acknowledged writes lost", func(r Run) string { return count(r.Clients.Lost) }},
		{"Throttled on the target during the campaign", func(r Run) string { return r.Throttled.String() }},
		{"Campaign requests served", func(r Run) string { return count(r.Campaign.Served) }},
		{"Campaign requests turned away or failed", func(r Run) string { return count(r.Campaign.TurnedAway + r.Campaign.Failed) }},
		{"Campaign response time, median", func(r Run) string { return seconds(time.Duration(r.Campaign.Median) * time.Microsecond) }},
		{"Campaign response time, p99", func(r Run) string { return seconds(time.Duration(r.Campaign.P99) * time.Microsecond) }},
	}
	var rows []row
	for _, l := range lines {
		row := row{Measure: l.measure}
		for _, run := range r.Runs {
			row.Cells = append(row.Cells, l.cell(run))
		}
		rows = append(rows, row)
	}
	return rows
}

// String returns the time, and what share of the time watched it is.
func (t Throttled) String() string {
	if t.Of == 0 {
		return "not measured"
	}
	return fmt.Sprintf("%s in %s (%.1f %%)", seconds(milliseconds(t.Time)), seconds(milliseconds(t.Of)), 100*float64(t.Time)/float64(t.Of))
}

// WriteText writes the table for a terminal.
func (r Report) WriteText(w io.Writer) error {
	rows := r.rows()
	head := row{Measure: ""}
	for _, run := range r.Runs {
		head.Cells = append(head.Cells, run.Name)
	}
	rows = append([]row{head}, rows...)
	widths := make([]int, len(r.Runs)+1)
	for _, row := range rows {
		for i, cell := range append([]string{row.Measure}, row.Cells...) {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range append([]string{row.Measure}, row.Cells...) {
			fmt.Fprintf(&line, "  %s%s", cell, strings.Repeat(" ", widths[i]-len([]rune(cell))))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// seconds writes a duration with as many digits as say something.
func seconds(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond || d == 0:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	}
}

// count writes a number with its thousands apart.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}
