//go:build linux

package bench

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/testenv/bench/accuracy"
	"github.com/glidepath/glidepath/testenv/bench/packing"
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

func TestBenchmarksWithinOneAreReadByTheirNames(t *testing.T) {
	const text = "BenchmarkScan/one-2   \t 3 \t 5 ns/op\t 7 cpu-ns/op\nBenchmarkScan/hosts=10/each=5 \t 3 \t 6 ns/op\nBenchmarkScan-2 \t 1 \t 8 ns/op\nBenchmarkScanner/one \t 1 \t 9 ns/op\nPASS\n"
	got, err := readBenchmarks(text, "BenchmarkScan")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]metrics{"one": {"ns/op": 5, "cpu-ns/op": 7}, "hosts=10/each=5": {"ns/op": 6}, "": {"ns/op": 8}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := readBenchmarks(text, "BenchmarkOther"); err == nil {
		t.Error("a benchmark that is not there was read")
	}
}

func TestTheBenchmarksOfCapacityAreThere(t *testing.T) {
	for pkg, names := range map[string][]string{
		ledgerPackage: {scanBenchmark, twinBenchmark, growthBenchmark}, plannerPackage: {planBenchmark, startBenchmark, drainBenchmark}, replanPackage: {replayBenchmark},
	} {
		files, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		source := ""
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			source += string(b)
		}
		for _, name := range names {
			if !strings.Contains(source, "func "+name+"(b *testing.B)") {
				t.Errorf("there is no %s in %s", name, pkg)
			}
		}
	}
}

func TestWhatCapacityReportsHasItsBars(t *testing.T) {
	m := map[string]metrics{
		"one": {cpuTime: 12e6}, "six": {cpuTime: 9e6, "fit": 40}, "weigh": {cpuTime: 20e6},
		"hosts=10000/each=50": {"B/host": 33e3, "B/reservation": 1000}, "hosts=1000/each=50": {"B/host": 20e3, "B/reservation": 1000}, "hosts=10000/each=5": {"scan-ns/host": 500},
	}
	scan := scanRows(m)
	if scan[0].Met() || !scan[1].Met() || !scan[2].Met() || scan[0].Value != 12 {
		t.Errorf("%+v", scan)
	}
	drains := drainRows(map[string]metrics{"all": {cpuTime: 1.5e9}, "five": {cpuTime: 1e9}, "all_stay": {cpuTime: 2.1e9}, "wires": {cpuTime: 2e9}})
	if !drains[0].Met() || drains[2].Met() || !drains[3].Met() || drains[2].Value != 2.1 {
		t.Errorf("%+v", drains)
	}
	// Without the memory for it the largest fleet is left out, which is said.
	if rows := growthRows(m); rows[0].Met() || !rows[1].Met() || !strings.Contains(rows[2].What, "left out") {
		t.Errorf("%+v", rows)
	}
	m["hosts=100000/each=5"] = metrics{"scan-ns/host": 600}
	if rows := growthRows(m); len(rows) != 4 || rows[3].Met() {
		t.Errorf("%+v", rows)
	}
}

func TestASetThatIsNotThereIsLeftOutWithTheReason(t *testing.T) {
	dir := t.TempDir()
	names, all, err := machinesOf(t.Context(), &bench{Options{Data: accuracy.Options{Dir: dir}}}, 0)
	var left *leftOutError
	if len(names) != 0 || len(all) != 0 || !errors.As(err, &left) || !strings.Contains(err.Error(), filepath.Join(dir, "bitbrains-faststorage")) {
		t.Errorf("%v, %v", names, err)
	}
	names, all, err = machinesOf(t.Context(), &bench{}, time.Hour)
	if err != nil || len(all) != 1 || len(all[0]) != generated || !strings.Contains(names[0], "generated") {
		t.Errorf("%v, %v", names, err)
	}
}

func TestPlacementIsHeldToStaticPeaksAndHindsight(t *testing.T) {
	r := packing.Result{Machines: 3, Bound: 4}
	r.By[packing.FirstPeak] = packing.Outcome{Hosts: 10, AtRisk: 10}
	r.By[packing.Open] = packing.Outcome{Hosts: 4, AtRisk: 5, Over: .03, Memory: .01, Margin: 1.25}
	rows := packingRows("set", r)
	if !rows[0].Met() || rows[0].Ratio() != .5 || rows[1].Met() || rows[1].Ratio() != 1.25 || !strings.Contains(rows[0].What, "with 1.25 times what is asked for; as it is 4.0, 3.00 % of steps over, 1.00 % by memory") {
		t.Errorf("%+v", rows[:2])
	}
}
