package seriescsv

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/timeline"
)

const midnight timeline.Time = 1_767_225_600_000 // 2026-01-01T00:00:00Z

var missing = math.NaN()

func parse(text string, opts Options) (*Table, error) {
	return Read(strings.NewReader(text), "load.csv", opts)
}

func TestColumnsAreReadFromFilesAsTheyAre(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	for name, c := range map[string]struct {
		text string
		opts Options
		at   timeline.Time
		want []float64
	}{
		"Unix seconds":              {"t,v\n1767225600,1\n1767225900,2\n", Options{TimeColumn: "t", ValueColumns: []string{"v"}}, midnight, []float64{1, 2}},
		"milliseconds":              {"t,v\n1767225600000,1\n1767225900000,2\n", Options{}, midnight, []float64{1, 2}},
		"nanoseconds":               {"t,v\n1767225600000000000,1\n1767225900000000000,2\n", Options{}, midnight, []float64{1, 2}},
		"seconds from nought":       {"timestamp,cpu,mem\n0,5,1\n300,6,2\n", Options{TimeColumn: "timestamp", ValueColumns: []string{"cpu"}}, 0, []float64{5, 6}},
		"RFC 3339":                  {"time,v\n2026-01-01T01:00:00+01:00,1\n2026-01-01T00:05:00Z,2\n", Options{}, midnight, []float64{1, 2}},
		"without a zone":            {"time,v\n2026-01-01 00:00:00,1\n2026-01-01 00:05:00,2\n", Options{}, midnight, []float64{1, 2}},
		"in the zone given":         {"time,v\n2026-01-01 01:00:00,1\n2026-01-01 01:05:00,2\n", Options{Location: berlin}, midnight, []float64{1, 2}},
		"its own zone, not that":    {"time,v\n2026-01-01 00:00:00 UTC,1\n2026-01-01 00:05:00 UTC,2\n", Options{Location: berlin}, midnight, []float64{1, 2}},
		"blanks and what means it":  {"t,v\n1767225600,1\n1767225900,\n1767226200,NaN\n1767226500,null\n1767226800,2\n", Options{}, midnight, []float64{1, missing, missing, missing, 2}},
		"gaps":                      {"t,v\n0,1\n60,2\n120,3\n300,4\n", Options{}, 0, []float64{1, 2, 3, missing, missing, 4}},
		"quotes, semicolons, CRLF":  {"\ufeff\"t\";\"v\"\r\n\"0\";\"1\"\r\n\"60\";\"2\"\r\n", Options{TimeColumn: "t", ValueColumns: []string{"v"}}, 0, []float64{1, 2}},
		"remarks and blank lines":   {"# of a machine\n\nt,v\n0,1\n\n60,2\n", Options{}, 0, []float64{1, 2}},
		"out of order":              {"t,v\n120,3\n0,1\n60,2\n", Options{}, 0, []float64{1, 2, 3}},
		"times twice":               {"t,v\n0,1\n60,2\n60,4\n120,5\n", Options{}, 0, []float64{1, 3, 5}},
		"one sample":                {"t,v\n1767225600,7\n", Options{}, midnight, []float64{7}},
		"times that are a bit off":  {"t,v\n0,1\n301,2\n600,3\n899,4\n1200,5\n", Options{}, 0, []float64{1, 2, 3, 4, 5}},
		"columns in between, ended": {"a,t,b,v,c\nx,0,y,1,z\nx,60,y,2,z\n", Options{TimeColumn: "t", ValueColumns: []string{"v"}}, 0, []float64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(c.text, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			s := got.Series[0]
			if s.Start != c.at {
				t.Errorf("starts %s, want %s", s.Start, c.at)
			}
			if diff := cmp.Diff(c.want, s.Values, cmpopts.EquateNaNs()); diff != "" {
				t.Error(diff)
			}
			if got.Sum != sha256.Sum256([]byte(c.text)) {
				t.Error("the sum is not that of the file")
			}
		})
	}
}

func TestTheLastTimeIsTheStartOfTheLastStep(t *testing.T) {
	// The recording began again one minute off.
	got, err := parse("t,v\n0,1\n300,2\n600,3\n1260,4\n1560,5\n", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if end := got.Series[0].End(); end != 1_860_000 {
		t.Errorf("ends %s", end)
	}
}

func TestSeveralColumnsShareTheirSteps(t *testing.T) {
	got, err := parse("t,cpu,mem\n0,1,\n60,,20\n120,3,30\n", Options{TimeColumn: "t", ValueColumns: []string{"mem", "cpu"}})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]float64{{missing, 20, 30}, {1, missing, 3}}
	for i, s := range got.Series {
		if diff := cmp.Diff(want[i], s.Values, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("%s: %s", got.Columns[i], diff)
		}
	}
}

func TestValuesOfOneStepAreFoldedAsAsked(t *testing.T) {
	const text = "t,v\n0,1\n60,2\n60,6\n120,3\n"
	for fold, want := range map[forecast.Fold]float64{forecast.Mean: 4, forecast.Max: 6} {
		got, err := parse(text, Options{Fold: fold})
		if err != nil {
			t.Fatal(err)
		}
		if v := got.Series[0].Values[1]; v != want || len(got.Notes) != 1 {
			t.Errorf("fold %d: %v, want %v; %q", fold, v, want, got.Notes)
		}
	}
}

func columnsOf(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("v%d", i))
	}
	return out
}

// wide is a file of so many columns, with one time far from the others.
func wide(columns int) string {
	var text strings.Builder
	for _, at := range []string{"t", "0", "1", "2", "8000000"} {
		text.WriteString(at + strings.Repeat(","+at, columns) + "\n")
	}
	_, rest, _ := strings.Cut(text.String(), "\n")
	return "t," + strings.Join(columnsOf(columns), ",") + "\n" + rest
}

func TestWhatIsWrongIsSaidWithLineFaultAndRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		opts       Options
	}{
		"empty":             {"", "load.csv: the file is empty: begin with a header", Options{}},
		"no rows":           {"t,v\n", "load.csv: there is no row below the header: add rows", Options{}},
		"no such column":    {"t,v\n0,1\n", `load.csv line 1: there is no column "cpu": the columns are t, v`, Options{TimeColumn: "t", ValueColumns: []string{"cpu"}}},
		"which column":      {"t,v,w\n0,1,2\n", "2 columns beside the time: v, w: name one of them with --value-column", Options{TimeColumn: "t"}},
		"only one column":   {"v\n1\n", `load.csv line 1: it has no column beside "v": give it a header`, Options{}},
		"column twice":      {"t,v,v\n0,1,2\n", "line 1, column v: it is there twice", Options{TimeColumn: "t", ValueColumns: []string{"v"}}},
		"asked twice":       {"t,v\n0,1\n", "line 1, column v: it is asked for twice", Options{TimeColumn: "t", ValueColumns: []string{"v", "v"}}},
		"infinite":          {"t,v\n0,1\n60,inf\n", `load.csv line 3, column v: "inf" is not finite: write an amount from 0 on`, Options{}},
		"overflow":          {"t,v\n0,1e999\n", "is not finite", Options{}},
		"negative":          {"t,v\n0,-1\n", `line 2, column v: "-1" is negative`, Options{}},
		"too large":         {"t,v\n0,1e300\n", "is larger than any amount", Options{}},
		"no number":         {"t,v\n0,3 apples\n", `"3 apples" is not a number`, Options{}},
		"no time":           {"t,v\nyesterday,1\n", `line 2, column t: "yesterday" is not a time: write one like`, Options{}},
		"time missing":      {"t,v\n,1\n", "the time is missing", Options{}},
		"NaN as a time":     {"t,v\nNaN,1\n", "is not between the years", Options{}},
		"far year":          {"t,v\n9999-01-01,1\n", "is not between the years 1900 and 2200", Options{}},
		"short line":        {"t,v\n0\n", `line 2: it has 1 fields, and 2 are needed: part them with ","`, Options{}},
		"open quotes":       {"t,v\n0,\"1\n60,2\n", "line 2: its quotes make no sense", Options{}},
		"days apart":        {"t,v\n2026-01-01,1\n2026-01-02,2\n2026-01-03,3\n", "most of its times lie 24h0m0s apart", Options{}},
		"one far-off time":  {"t,v\n0,1\n1,1\n2,1\n2000000000,1\n", "load.csv line 5, column t: it lies 555555 h after the time before it", Options{}},
		"centuries apart":   {"t,v\n1900-01-01,1\n2199-12-31,1\n", "most of its times lie 876000h0m0s apart", Options{}},
		"then centuries":    {"t,v\n1900-01-01T00:00:00Z,1\n1900-01-01T00:00:01Z,1\n1900-01-01T00:00:02Z,1\n2199-12-31T00:00:00Z,1\n", "load.csv line 5, column t: it lies 2629", Options{}},
		"many wide columns": {wide(64), "the whole is more than 262144 steps", Options{TimeColumn: "t", ValueColumns: columnsOf(64)}},
		"an endless line":   {"t,v\n0," + strings.Repeat("1", maxLine), "line 2: it is longer than", Options{}},
		"half a gzip":       {zipped("t,v\n0,1\n")[:12], "cannot be unpacked", Options{}},
		"no gzip after all": {"\x1f\x8bt,v\n0,1\n", "cannot be unpacked", Options{}},
	} {
		_, err := parse(c.text, c.opts)
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

func TestAGzippedFileIsReadByWhatItIsNotByItsName(t *testing.T) {
	got, err := parse(zipped("t,v\n0,1\n60,2\n"), Options{})
	if err != nil || got.Rows != 2 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestAHostileFileEndsWithAnError(t *testing.T) {
	// One byte of it makes many: what it unpacks to is counted, not kept.
	var cells int
	endless := io.MultiReader(strings.NewReader("t,v\n"), readerFunc(func(p []byte) (int, error) {
		cells++
		return copy(p, fmt.Sprintf("%d,1\n", cells)), nil
	}))
	_, err := read(endless, "load.csv", Options{}, 1000)
	var wrong *Error
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "times and values") {
		t.Errorf("%v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func FuzzReadNeverPanicsAndWhatItReadsCanBeForecast(f *testing.F) {
	for _, seed := range []string{"t,v\n0,1\n60,2\n", "t;v\n\"0\";\"1\"\n", "t\tv\n2026-01-01,1\n", zipped("t,v\n0,1\n"), "t,v\n0,1\n1e9,2\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse(text, Options{})
		if err != nil {
			return
		}
		s := got.Series[0]
		if len(s.Values) > 10_000 { // is tried elsewhere, and takes its time
			return
		}
		var cold *forecast.InputError
		_, err = forecast.OfSeries(s, nil, s.End(), time.Hour, forecast.Options{})
		if errors.As(err, &cold) {
			t.Errorf("%q was read, but: %v", text, err)
		}
	})
}
