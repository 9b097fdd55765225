// Package report tells how migrations went, as JSON and as a page of HTML with pictures that needs nothing else.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

// Report is what a demonstration has measured.
type Report struct {
	Title   string        `json:"title"`
	Version string        `json:"version"` // of the programs
	Made    timeline.Time `json:"made_at"`
	Took    int64         `json:"took_ms"` // the whole demonstration
	Setting []string      `json:"setting"` // sentences on what it ran on, and what in it is made up
	Runs    []Run         `json:"runs"`    // one column each
	Abort   *Abort        `json:"abort,omitempty"`
}

// Run is one migration under load.
type Run struct {
	Name      string `json:"name"`
	Note      string `json:"note"` // a sentence on what sets it apart
	Migration string `json:"migration"`
	Instance  string `json:"instance"`
	Source    string `json:"source"`
	Target    string `json:"target"`
	FromType  string `json:"from_type"`
	ToType    string `json:"to_type"`
	Outcome   string `json:"outcome"`

	Duration Compared `json:"duration_ms"` // from the start until it served on the target, all warm
	Downtime Compared `json:"downtime_ms"` // longest silence towards clients in the move

	Clients   Clients   `json:"clients"`
	Campaign  Campaign  `json:"campaign"`
	Throttled Throttled `json:"throttled"` // on the target, during the campaign

	Phases []Band `json:"phases"`
	Events []Band `json:"events"`
	CPU    Lines  `json:"cpu_cores"`
	Memory Lines  `json:"memory_bytes"`
}

// Compared is what was predicted and what came, in milliseconds.
type Compared struct {
	Predicted int64 `json:"predicted"`
	Actual    int64 `json:"actual"`
}

// Clients are what the clients saw from before the migration until after the campaign.
type Clients struct {
	Acknowledged    int64 `json:"acknowledged"`        // writes
	Lost            int64 `json:"lost"`                // of these
	Retried         int64 `json:"retried"`             // attempts that failed and were made again
	SilenceCampaign int64 `json:"silence_campaign_ms"` // longest during the campaign, on the target
}

// Campaign is what became of the campaign's requests.
type Campaign struct {
	Served     int64 `json:"served"`
	TurnedAway int64 `json:"turned_away"` // not even sent, as too many waited
	Failed     int64 `json:"failed"`
	Median     int64 `json:"median_us"`
	P99        int64 `json:"p99_us"`
}

// Throttled is how long the instance had work to do and was held back by its CPU limit, by the kernel's count (of all its threads together).
type Throttled struct {
	Time int64 `json:"time_ms"`
	Of   int64 `json:"of_ms"` // length of the time that was watched
}

// Abort is a migration that was broken on purpose.
type Abort struct {
	Migration    string `json:"migration"`
	Broken       string `json:"broken"` // what was done to it
	Outcome      string `json:"outcome"`
	Reason       string `json:"reason"`
	Took         int64  `json:"took_ms"`
	Silence      int64  `json:"silence_ms"` // longest, of a client
	Acknowledged int64  `json:"acknowledged"`
	Lost         int64  `json:"lost"`
}

// Band is a named span of time.
type Band struct {
	Name string `json:"name"`
	timeline.Span
}

// Lines are what one picture shows of a resource.
type Lines struct {
	Predicted []Point `json:"predicted"` // median of the forecast, in steps
	Actual    []Point `json:"actual"`    // measured, joined by straight lines
	Allocated []Point `json:"allocated"` // limit in the kernel, in steps
}

// Point is a value that holds from a time, or at it.
type Point struct {
	At    timeline.Time `json:"at"`
	Value float64       `json:"value"`
}

// WriteJSON writes the report for programs.
func (r Report) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	if err := out.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// span returns the time that the run's pictures show.
func (r Run) span() timeline.Span {
	var s timeline.Span
	add := func(from, to timeline.Time) {
		if s.Empty() {
			s = timeline.Span{Start: from, End: max(to, from+1)}
			return
		}
		s.Start, s.End = min(s.Start, from), max(s.End, to)
	}
	for _, b := range append(append([]Band(nil), r.Phases...), r.Events...) {
		add(b.Start, b.End)
	}
	// The forecast reaches far beyond what was lived through: it does not stretch the picture.
	for _, l := range []Lines{r.CPU, r.Memory} {
		for _, points := range [][]Point{l.Actual, l.Allocated} {
			for _, p := range points {
				add(p.At, p.At)
			}
		}
	}
	return s
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
