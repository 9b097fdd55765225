//go:build linux

package accuracy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRequestsAreScoredOnStepsOfTheirOwn(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(1, 0))
	amount := func(i, perDay int) int { // by chance around a season of the day
		mean := 40 + 30*math.Sin(2*math.Pi*float64(i)/float64(perDay))
		return int(max(0, mean+math.Sqrt(mean)*r.NormFloat64()))
	}
	var alone, timed strings.Builder
	alone.WriteString("requests_per_10s\n")
	for i := range 17 * 8640 {
		fmt.Fprintln(&alone, amount(i, 8640))
	}
	timed.WriteString("period,count\n")
	start := time.Date(1998, 5, 1, 0, 0, 0, 0, time.UTC)
	for i := range 17 * 1440 {
		fmt.Fprintf(&timed, "%s,%d\n", start.Add(time.Duration(i)*time.Minute).Format(time.DateTime), amount(i, 1440))
	}
	write(t, filepath.Join(dir, "web-requests", "a.csv.gz"), alone.String())
	write(t, filepath.Join(dir, "web-requests", "b.csv.gz"), timed.String())
	all, err := ScoreRequests(t.Context(), Options{Dir: dir, Workers: 2})
	if err != nil || len(all) != 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, s := range all {
		if s.Coverage[0] < .4 || s.Coverage[0] > .6 || s.Coverage[2] < .92 || !(s.Pinball < .95) || !(s.Median < .85) {
			t.Errorf("%+v", s)
		}
	}
}

func TestRequestsAreLoadedWithTheirGaps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv.gz")
	write(t, path, "period,count\n1998-05-01 00:00:00,1\n1998-05-01 00:02:00,3\n")
	s, err := loadRequests(path)
	if err != nil || len(s.Values) != 3 || s.Values[0] != 1 || !math.IsNaN(s.Values[1]) || s.Values[2] != 3 {
		t.Errorf("%v, %v", s, err)
	}
	for name, text := range map[string]string{
		"a time before the first": "period,count\n1998-05-01 00:05:00,1\n1998-05-01 00:02:00,3\n",
		"two days without a line": "period,count\n1998-05-01 00:05:00,1\n1998-05-03 00:06:00,3\n",
		"no number":               "requests\none\n",
		"nothing":                 "requests\n",
	} {
		write(t, path, text)
		if _, err := loadRequests(path); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}
