package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/timeline"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a report with everything in it, and with text that would break a page that does not escape.
func sample() Report {
	t0 := timeline.Of(time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC))
	at := func(s float64) timeline.Time { return t0.Add(time.Duration(s * float64(time.Second))) }
	band := func(name string, from, to float64) Band {
		return Band{name, timeline.Span{Start: at(from), End: at(to)}}
	}
	run := Run{
		Name: "With the schedule", Note: "Limits follow the forecast <and its quantile>.", Migration: "01M", Instance: "cache-1",
		Source: "host-a", Target: "host-b", FromType: "m.small", ToType: "m.large", Outcome: "completed",
		Duration: Compared{41000, 43250}, Downtime: Compared{2100, 1840},
		Clients:   Clients{Acknowledged: 12345, Retried: 17, SilenceCampaign: 96},
		Campaign:  Campaign{Served: 4100, Median: 5200, P99: 41000},
		Throttled: Throttled{Time: 310, Of: 60000},
		Phases: []Band{
			band("prepare", 0, 4), band("copy", 4, 30), band("switch", 30, 32), band("warm", 32, 60), band("settle", 60, 130),
		},
		Events: []Band{band("campaign", 70, 130)},
	}
	for s := 0.0; s <= 130; s += 5 {
		if s > 80 && s < 100 { // the measuring was interrupted
			continue
		}
		load := .1 + .02*math.Sin(s/5)
		if s >= 70 {
			load += .6
		}
		run.CPU.Actual = append(run.CPU.Actual, Point{at(s), load})
		run.Memory.Actual = append(run.Memory.Actual, Point{at(s), (60 + s/4) * (1 << 20)})
	}
	run.CPU.Predicted = []Point{{at(-100), .11}, {at(70), .7}, {at(130), .12}, {at(9000), 5}}
	run.CPU.Allocated = []Point{{at(0), .25}, {at(65), .95}}
	run.Memory.Predicted = []Point{{at(-100), 64 << 20}, {at(70), 96 << 20}}
	run.Memory.Allocated = []Point{{at(0), 128 << 20}, {at(65), 192 << 20}}
	copied := run
	copied.Name, copied.ToType = "Configuration copied unchanged", "m.small"
	copied.Throttled = Throttled{Time: 38200, Of: 60000}
	copied.Campaign = Campaign{Served: 1500, TurnedAway: 2600, Median: 410000, P99: 1200000}
	copied.CPU.Allocated = []Point{{at(0), .25}}
	return Report{
		Title: "A live Redis moves", Version: "0.1.0", Made: at(200), Took: 284000,
		Setting: []string{"Two guests.", "The history is made up."}, Runs: []Run{run, copied},
		Abort: &Abort{
			Migration: "01N", Broken: "host-b's health check says no", Outcome: "aborted", Reason: `health: "exit 1" & more`,
			Took: 21000, Silence: 3300, Acknowledged: 900,
		},
	}
}

// golden compares with a file below testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (go test -update writes it anew):\n%s", path, diff)
	}
}

func TestReportsAsTheyWere(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"sample.html": sample().WriteHTML, "sample.json": sample().WriteJSON, "sample.txt": sample().WriteText,
	} {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatal(err)
		}
		golden(t, name, out.Bytes())
	}
}

func TestJSONHasTheWholeReport(t *testing.T) {
	var out bytes.Buffer
	if err := sample().WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), back); diff != "" {
		t.Error(diff)
	}
}

func TestThePageNeedsNothingElseAndItsPicturesSayWhatTheyShow(t *testing.T) {
	var out bytes.Buffer
	if err := sample().WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, bad := range []string{"http://", "https://", "<script", "<img", "<link", "ZgotmplZ", "NaN", "Inf", `"exit 1" & more`, "<and its"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	pictures := 0
	for rest := page; ; {
		_, after, found := strings.Cut(rest, `<svg viewBox="0 0 880`)
		if !found {
			break
		}
		picture, left, _ := strings.Cut(after, "</svg>")
		rest = left
		pictures++
		for _, want := range []string{`role="img"`, "<title id=", "<desc id=", `class="predicted"`, `class="actual"`, `class="granted"`, ">copy<", ">campaign<"} {
			if !strings.Contains(picture, want) {
				t.Errorf("picture %d lacks %s", pictures, want)
			}
		}
		if err := wellFormed(`<svg viewBox="0 0 880` + picture + "</svg>"); err != nil {
			t.Errorf("picture %d: %v", pictures, err)
		}
	}
	if pictures != 4 {
		t.Errorf("%d pictures instead of CPU and memory of two runs", pictures)
	}
}

func wellFormed(text string) error {
	in := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := in.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestARunWithoutMeasurementsIsDrawnEmpty(t *testing.T) {
	var out bytes.Buffer
	if err := (Report{Runs: []Run{{Name: "nothing"}}}).WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"NaN", "Inf"} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
}

func TestStepsBeginWithThePictureAndLinesBreakWhereNothingWasMeasured(t *testing.T) {
	s := scale{timeline.Span{Start: 0, End: 100_000}, 10}
	if got, want := s.steps([]Point{{-5000, 1}, {-100, 5}, {50_000, 10}, {200_000, 3}}), "M70.0 152.0H469.0V44.0H868.0"; got != want {
		t.Errorf("steps %s, not %s", got, want)
	}
	if got, want := s.line([]Point{{0, 0}, {10_000, 10}, {50_000, 10}}), "M70.0 260.0L149.8 44.0M469.0 44.0"; got != want {
		t.Errorf("line %s, not %s", got, want)
	}
}

func TestTimesAndNumbersAreWrittenForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{65 * time.Second: "1:05", 0: "0:00", 3700 * time.Second: "1:01:40"} {
		if got := clock(d); got != want {
			t.Errorf("%v is written %s, not %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567", -1000: "-1\u202f000"} {
		if got := count(n); got != want {
			t.Errorf("%d is written %q, not %q", n, got, want)
		}
	}
}
