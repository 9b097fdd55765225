//go:build linux

package bench

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBenchmarksAreReadFromTheOutputOfGoTest(t *testing.T) {
	const text = "goos: linux\nBenchmarkThisAndThat-2 \t 1 \t 5 ns/op\nBenchmarkThis-2   \t       3\t6106585663 ns/op\t      3048 bare/s\t         0.5360 ×bare\nPASS\n"
	got, err := readBenchmark(text, "BenchmarkThis")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(metrics{"ns/op": 6106585663, "bare/s": 3048, "×bare": .536}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := readBenchmark(text, "BenchmarkOther"); err == nil {
		t.Error("a benchmark that is not there was read")
	}
}

func TestABarIsMetOnItsSideOnly(t *testing.T) {
	for name, c := range map[string]struct {
		row Row
		met bool
	}{
		"below at most":   {Row{Value: 3, Of: 10, Bar: atMost(.4)}, true},
		"above at most":   {Row{Value: 5, Of: 10, Bar: atMost(.4)}, false},
		"above at least":  {Row{Value: 8, Of: 10, Bar: atLeast(.7)}, true},
		"below at least":  {Row{Value: 6, Of: 10, Bar: atLeast(.7)}, false},
		"no bar":          {Row{Value: 6, Of: 10}, true},
		"no peer's value": {Row{Value: 6, Bar: atMost(1)}, false},
		"a value within":  {Row{Value: .95, Bar: within(.94, .96)}, true},
		"a value outside": {Row{Value: .97, Bar: within(.94, .96)}, false},
		"a value up to":   {Row{Value: .44, Of: .40, Bar: upTo(.43)}, false},
		"a value from":    {Row{Value: .93, Bar: from(.93)}, true},
	} {
		if got := c.row.Met(); got != c.met {
			t.Errorf("%s: met is %v", name, got)
		}
		r := Report{Results: []Result{{Rows: []Row{c.row}}}}
		if r.Met() != c.met {
			t.Errorf("%s: the report says %v", name, r.Met())
		}
	}
	if (Report{Results: []Result{{Failed: "why"}}}).Met() || !(Report{Results: []Result{{Skipped: "why"}}}).Met() {
		t.Error("what failed is missed, what was skipped is not")
	}
}

func TestTheReportNamesWhatWasMissedAndWhatWasSkipped(t *testing.T) {
	r := Report{Results: []Result{
		{Name: "ledger", Rows: []Row{{What: "reservations", Value: 50, Unit: "/s", Peer: "bare", Of: 100, Bar: atLeast(.7)}}},
		{Name: "agent", Skipped: "no root"},
		{Name: "accuracy", Rows: []Row{{What: "OWA", Value: .5, Bar: upTo(.43)}}},
	}}
	var text, data bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&data); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MISSED", "0.50", "≥ 0.70", "agent was skipped: no root", "≤ 0.43  MISSED"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, text.String())
		}
	}
	for _, want := range []string{`"met": false`, `"ratio": 0.5`, `"skipped": "no root"`, `"most": 0.43`} {
		if !strings.Contains(data.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, data.String())
		}
	}
}

func TestQuantilesAreValuesThatWereSeen(t *testing.T) {
	all := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{.5: 3, .99: 5, 1: 5, .2: 1} {
		if got := quantile(all, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}
