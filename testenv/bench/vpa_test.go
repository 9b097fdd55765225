//go:build linux

package bench

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/testenv/bench/accuracy"
)

func oneRecorded() accuracy.Recorded {
	r := accuracy.Recorded{Name: "vm1", At: []timeline.Time{600_000, 900_000}}
	r.History[resource.CPU] = forecast.Series{Step: 5 * time.Minute, Values: []float64{1, math.NaN(), 3.5}}
	r.History[resource.Memory] = forecast.Series{Step: 5 * time.Minute, Values: []float64{10, 20, 30}}
	return r
}

func TestSeriesForTheRecommenderHaveNullWhereTheyAreMissing(t *testing.T) {
	var out bytes.Buffer
	if err := writeVPA(&out, []accuracy.Recorded{oneRecorded(), oneRecorded()}); err != nil {
		t.Fatal(err)
	}
	const line = `{"name":"vm1","start":0,"step":300000,"cpu":[1,null,3.5],"memory":[10,20,30],"at":[600000,900000]}` + "\n"
	if diff := cmp.Diff(line+line, out.String()); diff != "" {
		t.Error(diff)
	}
	odd := oneRecorded()
	odd.History[resource.Memory].Start = 300_000
	if err := writeVPA(&out, []accuracy.Recorded{odd}); err == nil {
		t.Error("CPU and memory of different times were written as one")
	}
}

func TestAnswersOfTheRecommenderAreThoseThatWereAskedFor(t *testing.T) {
	all := []accuracy.Recorded{oneRecorded()}
	const good = `{"name":"vm1","recommendations":[{"at":600000,"target":{"cpu":5,"memory":7}},{"at":900000,"target":{"cpu":6,"memory":8},"upper":{"cpu":1}}]}`
	got, err := readVPA(strings.NewReader(good), all)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]resource.Vector{{{resource.CPU: 5, resource.Memory: 7}, {resource.CPU: 6, resource.Memory: 8}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, text := range map[string]string{
		"none":              "",
		"one of another":    strings.Replace(good, "vm1", "vm2", 1),
		"too few times":     `{"name":"vm1","recommendations":[{"at":600000,"target":{"cpu":5,"memory":7}}]}`,
		"another time":      strings.Replace(good, "900000", "900001", 1),
		"a negative amount": strings.Replace(good, `"cpu":6`, `"cpu":-6`, 1),
		"more than asked":   good + good,
		"half of it":        good[:40],
	} {
		if _, err := readVPA(strings.NewReader(text), all); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

func TestAnHourOfTheFleetIsTenTimesThatOfItsTenth(t *testing.T) {
	rows := fleetRows(metrics{"refresh-ms": 200, "steps-ms": 400, "wall-ms": 700, "B/series": 1 << 20, "trainings": 2})
	if r := rows[0]; r.Value != 6000 || r.Of != 7200 || !r.Met() {
		t.Errorf("CPU: %+v", r)
	}
	if r := rows[1]; r.Value != 2000 {
		t.Errorf("the trainings' round: %+v", r)
	}
	if r := rows[3]; r.Value != 7000 || r.Met() {
		t.Errorf("seven thousand seconds fit an hour: %+v", r)
	}
	if r := rows[len(rows)-1]; math.Abs(r.Value-8*10_000./1024) > 1e-9 {
		t.Errorf("memory: %+v", r)
	}
}

func TestAllocationIsHeldToItsBarsByTheDaysBeforeAlone(t *testing.T) {
	a := accuracy.Allocated{Kind: resource.CPU, Machines: 3}
	a.AsIs[accuracy.P99Once].OfPeak, a.Equal[accuracy.P99Once].OfPeak = .9, .3
	a.Chosen[accuracy.P99Once], a.Chosen[accuracy.VPAOnce] = accuracy.Outcome{OfPeak: .6, Short: .012}, accuracy.Outcome{OfPeak: .8}
	held := 0
	for _, r := range allocationRows("set", a, upTo(.5), nil) {
		if r.Bar != nil {
			held++
			if r.Value != .6 || r.Of != .8 || r.Met() || !strings.Contains(r.What, "1.20 %") {
				t.Errorf("held to a bar: %+v", r)
			}
		}
	}
	if held != 1 {
		t.Errorf("%d rows are held to the one bar", held)
	}
}
