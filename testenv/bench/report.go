//go:build linux

package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what was measured.
type Report struct {
	At      time.Time `json:"at"`
	Machine string    `json:"machine"`
	Results []Result  `json:"results"`
}

// Result is what came of one figure.
type Result struct {
	Name    string `json:"name"`
	Rows    []Row  `json:"rows,omitempty"`
	Skipped string `json:"skipped,omitempty"` // why it can't be measured here
	Failed  string `json:"failed,omitempty"`  // why it was not measured
	Took    int64  `json:"took_ms"`
}

// Row is one line of the table: a figure beside the same of its peer.
type Row struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Peer  string  `json:"peer,omitempty"` // what it is compared with
	Of    float64 `json:"peer_value,omitempty"`
	Bar   *Bar    `json:"bar,omitempty"` // nil: it is not held to anything
}

// Bar bounds a ratio, or the figure itself.
type Bar struct {
	Least bool    `json:"least,omitempty"` // the ratio has to be at least Ratio, otherwise at most
	Ratio float64 `json:"ratio,omitempty"`
	// From and Most bound the figure itself instead, if either is there.
	From *float64 `json:"from,omitempty"`
	Most *float64 `json:"most,omitempty"`
}

func atMost(ratio float64) *Bar  { return &Bar{Ratio: ratio} }
func atLeast(ratio float64) *Bar { return &Bar{Least: true, Ratio: ratio} }

// upTo, from and within bound the figure itself.
func upTo(v float64) *Bar           { return &Bar{Most: &v} }
func from(v float64) *Bar           { return &Bar{From: &v} }
func within(low, high float64) *Bar { return &Bar{From: &low, Most: &high} }

func (b Bar) String() string {
	switch {
	case b.From != nil && b.Most != nil:
		return fmt.Sprintf("%.2f to %.2f", *b.From, *b.Most)
	case b.From != nil:
		return fmt.Sprintf("≥ %.2f", *b.From)
	case b.Most != nil:
		return fmt.Sprintf("≤ %.2f", *b.Most)
	case b.Least:
		return fmt.Sprintf("≥ %.2f", b.Ratio)
	}
	return fmt.Sprintf("≤ %.2f", b.Ratio)
}

// Ratio returns the figure as a multiple of its peer's; 0 where there is none.
func (r Row) Ratio() float64 {
	if r.Of == 0 {
		return 0
	}
	return r.Value / r.Of
}

// Met reports whether the row is not short of its bar.
func (r Row) Met() bool {
	switch {
	case r.Bar == nil:
		return true
	case r.Bar.From != nil || r.Bar.Most != nil:
		return (r.Bar.From == nil || r.Value >= *r.Bar.From) && (r.Bar.Most == nil || r.Value <= *r.Bar.Most)
	case r.Of == 0:
		return false
	case r.Bar.Least:
		return r.Ratio() >= r.Bar.Ratio
	default:
		return r.Ratio() <= r.Bar.Ratio
	}
}

// MarshalJSON adds what follows from the figures. What could not be measured is null: JSON has no word for it.
func (r Row) MarshalJSON() ([]byte, error) {
	type plain Row
	known := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	some := func(v float64) *float64 {
		if v == 0 {
			return nil
		}
		return known(v)
	}
	out := struct {
		plain
		Value *float64 `json:"value"`
		Of    *float64 `json:"peer_value,omitempty"`
		Ratio *float64 `json:"ratio,omitempty"`
		Met   *bool    `json:"met,omitempty"`
	}{plain: plain(r), Value: known(r.Value), Of: some(r.Of), Ratio: some(r.Ratio())}
	if r.Bar != nil {
		met := r.Met()
		out.Met = &met
	}
	return json.Marshal(out)
}

// Met reports whether no bar was missed and nothing failed. What was skipped was not missed.
func (r Report) Met() bool {
	for _, result := range r.Results {
		if result.Failed != "" {
			return false
		}
		for _, row := range result.Rows {
			if !row.Met() {
				return false
			}
		}
	}
	return true
}

// WriteJSON writes the report for programs.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteText writes the report as a table.
func (r Report) WriteText(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "\nGlidepath beside its peers, %s, on %s\n\n", r.At.Format(time.RFC3339), r.Machine)
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\twhat\tmeasured\tpeer\tof the peer\tratio\tbar\t")
	for _, result := range r.Results {
		for _, row := range result.Rows {
			fmt.Fprintf(t, "%s\t%s\t%s\n", result.Name, row.What, row.cells())
		}
		if result.Skipped != "" {
			fmt.Fprintf(t, "%s\tskipped, see below\t\t\t\t\t\n", result.Name)
		}
		if result.Failed != "" {
			fmt.Fprintf(t, "%s\tFAILED, see below\t\t\t\t\t\n", result.Name)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, result := range r.Results {
		if result.Skipped != "" {
			fmt.Fprintf(&text, "\n%s was skipped: %s\n", result.Name, result.Skipped)
		}
		if result.Failed != "" {
			fmt.Fprintf(&text, "\n%s failed: %s\n", result.Name, result.Failed)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func (r Row) cells() string {
	peer, ratio, bar := "\t", "", ""
	if r.Of != 0 {
		peer, ratio = r.Peer+"\t"+amount(r.Of, r.Unit), fmt.Sprintf("%.2f", r.Ratio())
	}
	if r.Bar != nil {
		bar = r.Bar.String() + "  met"
		if !r.Met() {
			bar = r.Bar.String() + "  MISSED"
		}
	}
	return strings.Join([]string{amount(r.Value, r.Unit), peer, ratio, bar}, "\t") + "\t"
}

// amount shows three digits, as more would be noise.
func amount(v float64, unit string) string {
	text := fmt.Sprintf("%.2f", v)
	switch {
	case v < 1:
		text = fmt.Sprintf("%.4f", v)
	case v >= 100:
		text = fmt.Sprintf("%.0f", v)
	case v >= 10:
		text = fmt.Sprintf("%.1f", v)
	}
	return text + " " + unit
}

// machine describes where this runs, as far as it matters to the figures.
func machine() string {
	where := fmt.Sprintf("%d CPUs", runtime.NumCPU())
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		minute, _, _ := strings.Cut(string(load), " ")
		where += ", load " + minute + " at the beginning"
	}
	if _, err := os.Stat("/dev/kvm"); err != nil {
		where += ", guests emulated"
	}
	return where
}
