//go:build linux

package accuracy

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
)

// write makes a file of a made-up data set, gzipped where its name says so.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var w io.WriteCloser = f
	if strings.HasSuffix(path, ".gz") {
		w = gzip.NewWriter(f)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestM4IsMeasuredByTheCompetitionsRules(t *testing.T) {
	past := make([]float64, 48) // each day 10 more than the one before: the scale is 10
	for i := range past {
		past[i] = float64(10 * (i / 24))
	}
	s := measureM4(past, []float64{100, 50, 90, 120}, []float64{90, 60, 80, 90}, []float64{100, 100, 80, 100}, []float64{110, 110, 100, 110})
	want := M4{
		MASE:  (0 + 50 + 10 + 20) / 4. / 10,
		SMAPE: 200. / 4 * (0 + 50./150 + 10./170 + 20./220),
		MSIS:  (20 + (50 + 40*10) + 20 + (20 + 40*10)) / 4. / 10,
		Below: .25, Above: .25,
	}
	for name, v := range map[string][2]float64{
		"MASE": {s.MASE, want.MASE}, "sMAPE": {s.SMAPE, want.SMAPE}, "MSIS": {s.MSIS, want.MSIS},
		"below": {s.Below, want.Below}, "above": {s.Above, want.Above},
	} {
		if math.Abs(v[0]-v[1]) > 1e-9 {
			t.Errorf("%s is %v, want %v", name, v[0], v[1])
		}
	}
}

// m4Folder makes two series: one goes on as it was, one jumps in the test part.
func m4Folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	train, test := "V1\n", "V1\n"
	hour := func(i int) int { return 100 + 10*(i%24) + i*i*i%11 }
	for s := range 2 {
		train, test = train+fmt.Sprintf("H%d", s+1), test+fmt.Sprintf("H%d", s+1)
		for i := range 336 {
			train += fmt.Sprintf(",%d", hour(i))
		}
		for i := range 48 {
			test += fmt.Sprintf(",%d", hour(336+i)+1000*s)
		}
		train, test = train+",\n", test+"\n"
	}
	write(t, filepath.Join(dir, "m4-hourly", "Hourly-train.csv.gz"), train)
	write(t, filepath.Join(dir, "m4-hourly", "Hourly-test.csv.gz"), test)
	write(t, filepath.Join(dir, "m4-hourly", "m4_hourly_published.tsv"), "OWA\tsMAPE\tMASE\tid\tteam\n0.41\t8.9\t0.8\t238\tA, B.\n")
	write(t, filepath.Join(dir, "m4-hourly", "m4_hourly_PI_published.tsv"), "MSIS\tACD\tid\tteam\n6.1\t0.002\t238\tA, B.\n")
	return dir
}

func TestASeasonThatGoesOnIsForecastAndTheHoldoutDoesNotSeeTheTestPart(t *testing.T) {
	dir := m4Folder(t)
	s, err := ScoreM4(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if s.Series != 2 || s.Above < .5 || s.Above > .55 || !(s.OWA > 5) {
		t.Errorf("a series that jumps in the test part: %+v", s)
	}
	if len(s.Published) != 2 || s.Published[0].OWA != .41 || s.Published[1].MSIS != 6.1 || s.Published[1].Team != "A, B." {
		t.Errorf("published: %+v", s.Published)
	}
	if s, err = ScoreM4(t.Context(), Options{Dir: dir, Holdout: true}); err != nil || !(s.OWA < .43) || s.ACD > .05 {
		t.Errorf("the end of the training part held out: %+v, %v", s, err)
	}
	if s, err = ScoreM4(t.Context(), Options{Dir: dir, Sample: 2, Rest: true}); err != nil || s.Series != 1 || s.Above < .99 {
		t.Errorf("the rest of every second: %+v, %v", s, err)
	}
	if _, err = ScoreM4(t.Context(), Options{Dir: t.TempDir()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without data: %v", err)
	}
}

func TestTheBaselineScoresAsItself(t *testing.T) {
	dir := t.TempDir()
	text := "t,cpu_usage_mhz,mem_usage_kb\n"
	for i := range 17 * 288 {
		text += fmt.Sprintf("%d,%d,%d\n", 1375315200+300*i, 500+i*i%97+i/288%3*40, 1000+i%288)
	}
	write(t, filepath.Join(dir, "set", "vm1.csv.gz"), text)
	s, err := ScoreMachines(t.Context(), Options{Dir: dir, Members: forecast.BaselineMembers()}, "set")
	if err != nil {
		t.Fatal(err)
	}
	if s.Series != 2 || s.Forecasts != 4 || len(s.Resources) != 2 || s.Resources[0].Kind != resource.CPU {
		t.Fatalf("%+v", s)
	}
	// Of the memory, which repeats exactly, the loss is 0 of 0.
	if r := s.Resources[0]; r.Pinball != 1 || r.Quantile[3] != 1 {
		t.Errorf("the baseline beside itself: %+v", r)
	}
	if _, err := ScoreMachines(t.Context(), Options{Dir: dir}, "none"); err == nil {
		t.Error("no traces were scored")
	}
}

func TestTheHighestOfABlockIsForecastWithTheBlockAsTheStep(t *testing.T) {
	dir, seed := t.TempDir(), uint64(1)
	text := "t,cpu_usage_mhz\n"
	for i := range 19 * 288 { // each step on its own: the highest of twelve seldom stays below what one in ten passes
		seed = seed*6364136223846793005 + 1442695040888963407
		text += fmt.Sprintf("%d,%d\n", 1375315200+300*i, 500+seed>>54)
	}
	write(t, filepath.Join(dir, "set", "vm1.csv.gz"), text)
	b, err := ScoreBlocks(t.Context(), Options{Dir: dir}, "set", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if b.Forecasts != 4 || !(b.AsStep[1] > .84) || !(b.OfSteps[1] < .6) || !(b.Pinball < .5) {
		t.Errorf("%+v", b)
	}
	if _, err := ScoreBlocks(t.Context(), Options{Dir: dir}, "none", time.Hour); err == nil {
		t.Error("no traces were scored")
	}
}

func TestASeriesRestsWhereItsLowestValueIsNearlyAllOfIt(t *testing.T) {
	v := make([]float64, 1000)
	for i := range v {
		v[i] = 5
	}
	v[0], v[1], v[2] = math.NaN(), 7, 9
	if !rests(v) {
		t.Error("997 of 999 are the lowest")
	}
	v[3] = 4 // what rests above its lowest value can be covered by less
	if rests(v) {
		t.Error("one of 999 is the lowest")
	}
	for i := 3; i < 13; i++ {
		v[i] = 6
	}
	if rests(v) {
		t.Error("987 of 999 are the lowest")
	}
}

func TestShortHistoriesAreLoadedWithTheirGaps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	write(t, path, "timestamp,value\n2014-02-14 14:27:00,1\n2014-02-14 14:28:00,2\n2014-02-14 14:42:00,3\n")
	s, err := loadNAB(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Values[1], s.Values[2] = s.Values[1]+1, s.Values[2]+1 // NaN stays NaN
	if len(s.Values) != 4 || s.Values[0] != 2 || !math.IsNaN(s.Values[1]) || !math.IsNaN(s.Values[2]) || s.Values[3] != 3 {
		t.Errorf("values %v", s.Values)
	}
	if s.Start.Std().Format(time.TimeOnly) != "14:25:00" {
		t.Errorf("start %s", s.Start)
	}
	write(t, path, "timestamp,value\n2014-02-14 14:27:00,1\n2014-02-14 14:20:00,2\n")
	if _, err := loadNAB(path); err == nil {
		t.Error("a time before the first was read")
	}
}

func TestShortHistoriesAreScored(t *testing.T) {
	dir := t.TempDir()
	text := "timestamp,value\n"
	start := time.Date(2014, 2, 1, 0, 0, 0, 0, time.UTC)
	for i := range 5 * 288 {
		text += fmt.Sprintf("%s,%d\n", start.Add(time.Duration(i)*5*time.Minute).Format(time.DateTime), 50+i*i%97)
	}
	write(t, filepath.Join(dir, "nab-aws", "a.csv"), text)
	s, err := ScoreShort(t.Context(), Options{Dir: dir})
	if err != nil || s.Series != 1 || !(s.Coverage[2] > .8 && s.Pinball > 0 && s.Pinball < 1) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSeriesComeInOrderAndTheFirstErrorStopsTheRest(t *testing.T) {
	got, err := each(t.Context(), 3, 20, func(i int) (int, error) { return i * i, nil })
	if err != nil || got[19] != 361 || got[3] != 9 {
		t.Errorf("%v, %v", got, err)
	}
	broken := errors.New("broken")
	var begun atomic.Int32
	if _, err := each(t.Context(), 1, 1000, func(int) (int, error) { begun.Add(1); return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if n := begun.Load(); n > 100 {
		t.Errorf("%d series were begun after the first failed", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := each(ctx, 1, 1000, func(int) (int, error) { return 0, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestASampleAndItsRestAreAll(t *testing.T) {
	o := Options{Sample: 3}
	if diff := cmp.Diff([]int{0, 3, 6}, o.chosen(7)); diff != "" {
		t.Error(diff)
	}
	o.Rest = true
	if diff := cmp.Diff([]int{1, 2, 4, 5}, o.chosen(7)); diff != "" {
		t.Error(diff)
	}
	if n := len((Options{}).chosen(7)); n != 7 {
		t.Errorf("%d of 7 by default", n)
	}
}
