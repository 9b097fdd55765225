package backtest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/timeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const midnight timeline.Time = 1_767_225_600_000 // 2026-01-01T00:00:00Z

// folder writes series that have a day, on half hours from midnight on, of so many days each.
func folder(t *testing.T, days map[string]int) string {
	t.Helper()
	dir := t.TempDir()
	for name, n := range days {
		var b strings.Builder
		b.WriteString("t,cpu,mem\n")
		for i := range n * 48 {
			noise := float64((i*7919)%101) / 50 // the same each time
			fmt.Fprintf(&b, "%d,%.3f,%.3f\n", int64(midnight)/1000+int64(i)*1800, 10+8*math.Sin(float64(i)*math.Pi/24)+noise, 100+noise)
		}
		write(t, filepath.Join(dir, name), b.String())
	}
	return dir
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func settings() Settings {
	return Settings{
		TimeColumn: "t", ValueColumns: []string{"cpu", "mem"}, Location: "UTC", Horizon: (12 * time.Hour).Milliseconds(), Every: day.Milliseconds(), Origins: 3,
		Quantiles: []float64{.5, .95}, Program: "test",
	}
}

func run(t *testing.T, dir, emit string, change func(*Run)) (*Result, error) {
	t.Helper()
	r := &Run{Settings: settings(), Dir: dir, Workers: 4, Emit: emit}
	if change != nil {
		change(r)
	}
	return r.Do(t.Context())
}

// emitted is a line of what is emitted.
type emitted struct {
	Series, Resource, Origin string
	Step                     int
	Quantile, Value          float64
}

func lines(t *testing.T, name string) []emitted {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []emitted
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	for {
		var e emitted
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
}

func TestOriginsLieOneHorizonBeforeTheEndAndEveryDayBeforeThat(t *testing.T) {
	dir := folder(t, map[string]int{"a.csv": 10})
	emit := filepath.Join(t.TempDir(), "f.ndjson")
	result, err := run(t, dir, emit, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := lines(t, emit)
	var origins []string
	for _, e := range all {
		if e.Resource == "cpu" && e.Step == 1 && e.Quantile == .5 {
			origins = append(origins, e.Origin)
		}
	}
	if diff := cmp.Diff([]string{"2026-01-08T12:00:00Z", "2026-01-09T12:00:00Z", "2026-01-10T12:00:00Z"}, origins); diff != "" {
		t.Error(diff)
	}
	if want := 2 * 3 * 24 * 2; len(all) != want { // columns, origins, steps, quantiles
		t.Errorf("%d lines, want %d", len(all), want)
	}
	if s := result.Series[0]; s.Origins != 3 || s.Steps != 3*24 {
		t.Errorf("%+v", s)
	}
}

func TestWhatComesFromTheOriginOnChangesNoForecast(t *testing.T) {
	dir := folder(t, map[string]int{"a.csv": 10})
	text, err := os.ReadFile(filepath.Join(dir, "a.csv"))
	if err != nil {
		t.Fatal(err)
	}
	emit := filepath.Join(t.TempDir(), "f.ndjson")
	one := func(r *Run) { r.Origins = 1 }
	if _, err := run(t, dir, emit, one); err != nil {
		t.Fatal(err)
	}
	want := lines(t, emit)
	rows := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i := len(rows) - 24; i < len(rows); i++ {
		at, _, _ := strings.Cut(rows[i], ",")
		rows[i] = at + ",9999,9999"
	}
	write(t, filepath.Join(dir, "a.csv"), strings.Join(rows, "\n"))
	if _, err := run(t, dir, emit, one); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, lines(t, emit)); diff != "" {
		t.Error(diff)
	}
	// The last value before the origin does.
	at, _, _ := strings.Cut(rows[len(rows)-25], ",")
	rows[len(rows)-25] = at + ",9999,9999"
	write(t, filepath.Join(dir, "a.csv"), strings.Join(rows, "\n"))
	if _, err := run(t, dir, emit, one); err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(want, lines(t, emit)) {
		t.Error("nothing depends on the last value of the history")
	}
}

// The figures are what anyone finds who scores what was emitted.
func TestTheFiguresAreThoseOfWhatWasEmitted(t *testing.T) {
	dir := folder(t, map[string]int{"a.csv": 10})
	emit := filepath.Join(t.TempDir(), "f.ndjson")
	result, err := run(t, dir, emit, func(r *Run) { r.ValueColumns = []string{"cpu"} })
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "a.csv"))
	if err != nil {
		t.Fatal(err)
	}
	came := map[int64]float64{}
	for row := range strings.Lines(string(text)) {
		var at int64
		var cpu float64
		if n, _ := fmt.Sscanf(row, "%d,%g", &at, &cpu); n == 2 {
			came[at] = cpu
		}
	}
	loss, covered, abs, naive := map[float64]float64{}, map[float64]int{}, 0.0, 0.0
	for _, e := range lines(t, emit) {
		origin, err := time.Parse(time.RFC3339, e.Origin)
		if err != nil {
			t.Fatal(err)
		}
		at := origin.Unix() + int64(e.Step-1)*1800
		y := came[at]
		loss[e.Quantile] += math.Max(e.Quantile*(y-e.Value), (1-e.Quantile)*(e.Value-y))
		if y <= e.Value {
			covered[e.Quantile]++
		}
		if e.Quantile == .5 {
			abs += math.Abs(y - e.Value)
			naive += math.Abs(y - came[at-86400])
		}
	}
	s := result.Series[0]
	for i, q := range result.Quantiles {
		if math.Abs(s.Loss[i]-loss[q]) > 1e-9*loss[q] || s.Covered[i] != covered[q] {
			t.Errorf("%v: loss %v, covered %d; of the file %v, %d", q, s.Loss[i], s.Covered[i], loss[q], covered[q])
		}
	}
	if got, want := *s.AbsRatio, abs/naive; math.Abs(got-want) > 1e-9 {
		t.Errorf("ratio of absolute errors %v, of the file %v", got, want)
	}
}

func TestAnInterruptedRunGoesOnAndGivesTheSameBytes(t *testing.T) {
	dir := folder(t, map[string]int{"a.csv": 6, "b.csv": 7, "c.csv": 8, "d.csv": 9})
	for _, suffix := range []string{".ndjson", ".ndjson.gz"} {
		out := t.TempDir()
		whole, broken := filepath.Join(out, "whole"+suffix), filepath.Join(out, "broken"+suffix)
		want, err := run(t, dir, whole, func(r *Run) { r.Workers = 1 })
		if err != nil {
			t.Fatal(err)
		}
		for stop := 1; stop < 24; stop += 5 {
			ctx, cancel := context.WithCancel(t.Context())
			r := &Run{Settings: settings(), Dir: dir, Workers: 1, Emit: broken, Progress: func(done, _ int) {
				if done >= stop {
					cancel()
				}
			}}
			if _, err := r.Do(ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted after %d: %v", stop, err)
			}
			cancel()
			if _, err := os.Stat(broken); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("there is a file that is not whole: %v", err)
			}
		}
		killed := filepath.Join(broken+partsSuffix, ".a"+tempSuffix+"123") // a run that was killed leaves it
		write(t, killed, "half a line")
		if _, err := openEmission(broken, Settings{}); err == nil {
			t.Error("it went on with other settings")
		}
		if _, err := os.Stat(killed); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what a run that was killed left is still there: %v", err)
		}
		kept, err := filepath.Glob(filepath.Join(broken+partsSuffix, "*"+scoresSuffix))
		if err != nil || len(kept) == 0 {
			t.Errorf("nothing was kept of it: %v", err)
		}
		got, err := run(t, dir, broken, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		a, _ := os.ReadFile(whole)
		b, _ := os.ReadFile(broken)
		if len(a) == 0 || !bytes.Equal(a, b) {
			t.Errorf("%s: %d and %d bytes, which differ", suffix, len(a), len(b))
		}
		left, err := os.ReadDir(out)
		if err != nil || len(left) != 2 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func TestAGzippedEmissionIsReadAsOne(t *testing.T) {
	dir := folder(t, map[string]int{"a.csv": 6, "b.csv": 6})
	out := t.TempDir()
	for _, name := range []string{"f.ndjson", "f.ndjson.gz"} {
		if _, err := run(t, dir, filepath.Join(out, name), nil); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(filepath.Join(out, "f.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(filepath.Join(out, "f.ndjson"))
	if !bytes.Equal(got, want) {
		t.Error("it unpacks to something else")
	}
}

func TestARunGoesOnOnlyWithTheSameSettingsAndFiles(t *testing.T) {
	dir := folder(t, map[string]int{"a.csv": 6, "b.csv": 7})
	emit := filepath.Join(t.TempDir(), "f.ndjson")
	stop := func(emit string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := &Run{Settings: settings(), Dir: dir, Workers: 1, Emit: emit, Progress: func(done, _ int) {
			if done > 6 { // in the second file
				cancel()
			}
		}}
		if _, err := r.Do(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	stop(emit)
	if _, err := run(t, dir, emit, func(r *Run) { r.Quantiles = []float64{.5, .99} }); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("%v", err)
	}
	// A file that has changed meanwhile is forecast again.
	other := folder(t, map[string]int{"a.csv": 9})
	if err := os.Rename(filepath.Join(other, "a.csv"), filepath.Join(dir, "a.csv")); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, dir, emit, nil); err != nil {
		t.Fatal(err)
	}
	if first := lines(t, emit)[0]; first.Origin != "2026-01-07T12:00:00Z" {
		t.Errorf("the first line is of the old file: %+v", first)
	}
}

func TestPartsOfARunThatWasFinishedAreNotGoneOnWith(t *testing.T) {
	dir, emit := folder(t, map[string]int{"a.csv": 12}), filepath.Join(t.TempDir(), "out.ndjson")
	if _, err := run(t, dir, emit, nil); err != nil {
		t.Fatal(err)
	}
	want := lines(t, emit)
	// What a removal of the parts leaves that is cut short: no settings, and scores of something else.
	if err := os.Mkdir(emit+partsSuffix, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(emit+partsSuffix, "a"+scoresSuffix), `{"sum":"x","scores":[]}`)
	write(t, filepath.Join(emit+partsSuffix, "gone"+linesSuffix), "of another run")
	if _, err := run(t, dir, emit, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, lines(t, emit)); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(emit + partsSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the parts are still there: %v", err)
	}
	if _, err := run(t, dir, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "is a folder: name a file in it") {
		t.Errorf("emitting to a folder: %v", err)
	}
}

func TestFilesThatCannotBeScoredAreToldOfAndTheOthersGoOn(t *testing.T) {
	dir := folder(t, map[string]int{"good.csv": 6})
	write(t, filepath.Join(dir, "broken.csv"), "t,cpu,mem\n0,x,1\n")
	write(t, filepath.Join(dir, "short.csv"), "t,cpu,mem\n0,1,1\n1800,2,2\n")
	write(t, filepath.Join(dir, "gaps.csv"), "t,cpu,mem\n0,,1\n1800,,2\n"+"3600,,\n86400,,5\n")
	write(t, filepath.Join(dir, "README.md"), "not a series")
	emit := filepath.Join(t.TempDir(), "f.ndjson")
	result, err := run(t, dir, emit, nil)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, l := range result.LeftOut {
		left = append(left, fmt.Sprintf("%s %v", l.Series, l.Broken))
	}
	if diff := cmp.Diff([]string{"broken true", "short false"}, left); diff != "" {
		t.Error(diff, result.LeftOut)
	}
	if n := len(result.Series); n != 3 {
		t.Errorf("%d series are scored, want 2 of good and 1 of gaps", n)
	}
	if result.Overall.Ratio == nil || result.Overall.Forecasts == 0 || len(result.Overall.Coverage) != 2 {
		t.Errorf("%+v", result.Overall)
	}
}

func TestOneSeriesIsNotReadFromTwoFiles(t *testing.T) {
	dir := folder(t, map[string]int{"a.csv": 1})
	write(t, filepath.Join(dir, "a.csv.gz"), "")
	if _, err := run(t, dir, "", nil); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
	if _, err := run(t, t.TempDir(), "", nil); err == nil || !strings.Contains(err.Error(), "has no file that ends with .csv") {
		t.Error(err)
	}
}

func TestTheAnswerOfPrometheusIsForecastAsTheSameCSV(t *testing.T) {
	dir := folder(t, map[string]int{"a.csv": 6})
	text, err := os.ReadFile(filepath.Join(dir, "a.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var values [2][]string
	for _, row := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		f := strings.Split(row, ",")
		for i := range values {
			values[i] = append(values[i], fmt.Sprintf("[%s,%q]", f[0], f[i+1]))
		}
	}
	answers := t.TempDir()
	write(t, filepath.Join(answers, "b.json"), fmt.Sprintf(`{"data":{"resultType":"matrix","result":[{"metric":{"__name__":"cpu"},"values":[%s]},{"metric":{"__name__":"mem"},"values":[%s]}]}}`,
		strings.Join(values[0], ","), strings.Join(values[1], ",")))
	var done, total int
	emit := filepath.Join(t.TempDir(), "f.ndjson")
	got, err := run(t, answers, emit, func(r *Run) {
		r.ValueColumns = nil // all that there are
		r.Progress = func(d, n int) { done, total = d, n }
	})
	if err != nil {
		t.Fatal(err)
	}
	if done != 6 || total != 6 {
		t.Errorf("%d of %d forecasts were told of", done, total)
	}
	other := filepath.Join(t.TempDir(), "f.ndjson")
	want, err := run(t, dir, other, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Overall, got.Overall); diff != "" {
		t.Error(diff)
	}
	theirs := lines(t, other)
	for i := range theirs {
		theirs[i].Series = "b"
	}
	if diff := cmp.Diff(theirs, lines(t, emit)); diff != "" || len(theirs) == 0 {
		t.Error(diff)
	}
}

func TestEventsAreAskedForWhereASeriesIsForecast(t *testing.T) {
	dir := folder(t, map[string]int{"a.csv": 10})
	var asked timeline.Span
	_, err := run(t, dir, "", func(r *Run) {
		r.ValueColumns, r.Workers = []string{"cpu"}, 1
		r.Events = func(_ context.Context, span timeline.Span) ([]forecast.Event, []string, error) {
			asked = span
			return []forecast.Event{{Kind: "sale", Span: timeline.Span{Start: midnight, End: midnight + 3_600_000}}}, nil, nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if first := midnight.Add(7*day + 12*time.Hour); asked.Start > first || asked.End != midnight.Add(10*day) {
		t.Errorf("asked for %s", asked)
	}
}

func TestARatioOfNothingToNothingIsOne(t *testing.T) {
	if r := forecast.LossRatio(0, 0); r == nil || *r != 1 {
		t.Error(r)
	}
	if r := forecast.LossRatio(1, 0); r != nil {
		t.Error(*r)
	}
}
