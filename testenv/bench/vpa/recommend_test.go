package main

import (
	"math"
	"strings"
	"testing"
)

func ask(t *testing.T, in string) string {
	t.Helper()
	var out strings.Builder
	if err := answer(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// of returns values for each of n steps.
func of(n int, value func(i int) float64) []*float64 {
	out := make([]*float64, n)
	for i := range out {
		v := value(i)
		out[i] = &v
	}
	return out
}

func TestNothingIsRecommendedBeforeTheFirstSampleHasEnded(t *testing.T) {
	got := ask(t, `{"name":"a","start":0,"step":300000,"cpu":[null,100],"memory":[null,null],"at":[0,300000,599999,600000]}`)
	if n := strings.Count(got, `"target":{"cpu":0,"memory":0}`); n != 3 || !strings.HasPrefix(got, `{"name":"a"`) {
		t.Errorf("%d of the times before the end of the first sample have no recommendation: %s", n, got)
	}
}

func TestTheTargetIsThe90thPercentileAndTheMargin(t *testing.T) {
	const n = 7 * 288
	got, err := recommend(series{
		Name: "a", Step: 300_000, At: []int64{n * 300_000},
		// One step in five is high: the 90th percentile is that of those.
		CPU: of(n, func(i int) float64 {
			if i%5 == 0 {
				return 1000
			}
			return 100
		}),
		// Each day has a peak in one step, which is what is aggregated of memory.
		Memory: of(n, func(i int) float64 {
			if i%288 == 100 {
				return 2e9
			}
			return 1e9
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	// Buckets are 5 % wide.
	if r := got[0].Target; math.Abs(float64(r.CPU)/1150-1) > .06 || math.Abs(float64(r.Memory)/2.3e9-1) > .06 {
		t.Errorf("target %+v, want about 1150 and 2300000000", r)
	}
	if r := got[0]; r.Lower.CPU >= r.Target.CPU || r.Upper.CPU <= r.Target.CPU {
		t.Errorf("bounds %+v and %+v do not lie around the target %+v", r.Lower, r.Upper, r.Target)
	}
}

func TestADayThatBeginsWithoutMemoryHasItsPeakAllTheSame(t *testing.T) {
	const n = 7 * 288
	got, err := recommend(series{Name: "a", Step: 300_000, At: []int64{n * 300_000}, Memory: of(n, func(i int) float64 {
		if i%288 < 3 {
			return 0
		}
		return 1e9
	})})
	if err != nil {
		t.Fatal(err)
	}
	if r := got[0].Target; math.Abs(float64(r.Memory)/1.15e9-1) > .06 {
		t.Errorf("target %+v, want about 1150000000", r)
	}
}

func TestWhatIsADayOlderCountsHalf(t *testing.T) {
	const n = 8 * 288
	at := []int64{4 * 288 * 300_000, n * 300_000}
	got, err := recommend(series{Name: "a", Step: 300_000, At: at, CPU: of(n, func(i int) float64 {
		if i < 4*288 {
			return 1000
		}
		return 100
	})})
	if err != nil {
		t.Fatal(err)
	}
	// After four days the high ones weigh a sixteenth: less than the tenth that the target leaves out.
	if got[0].Target.CPU < 1000 || got[1].Target.CPU > 150 {
		t.Errorf("before the fall %d, four days after it %d", got[0].Target.CPU, got[1].Target.CPU)
	}
}

func TestAMachineSeesNothingOfTheOneBefore(t *testing.T) {
	small := `{"name":"b","start":0,"step":300000,"cpu":[100],"memory":[20000000],"at":[300000]}` + "\n"
	large := `{"name":"a","start":0,"step":300000,"cpu":[9000],"memory":[9000000000],"at":[300000]}` + "\n"
	if alone, after := ask(t, small), ask(t, large+small); !strings.HasSuffix(after, alone) {
		t.Errorf("alone %s, after a large one %s", alone, after)
	}
}

func TestWhatIsNoSeriesIsRefused(t *testing.T) {
	for name, in := range map[string]string{
		"no step":          `{"name":"a","start":0,"cpu":[1],"memory":[1],"at":[1]}`,
		"times backwards":  `{"name":"a","step":1,"at":[2,1]}`,
		"negative":         `{"name":"a","step":1,"cpu":[-1],"at":[2]}`,
		"an unknown field": `{"name":"a","step":1,"gpu":[1],"at":[2]}`,
		"half a line":      `{"name":"a","step":1`,
	} {
		if err := answer(strings.NewReader(in), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "series 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
