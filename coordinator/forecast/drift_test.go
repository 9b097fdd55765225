package forecast

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/resource"
)

// said is a forecast of an hour of CPU whose quantiles are 100, 200, 300 and 400; the other resources have no history.
func said() *Forecast {
	f := &Forecast{Start: monday, Step: step, Quantiles: DefaultQuantiles()}
	for k := range f.Values {
		f.Reasons[k].Cold = resource.Kind(k) != resource.CPU
		for qi := range f.Quantiles {
			f.Values[k] = append(f.Values[k], make([]float64, 12))
			for i := range 12 {
				f.Values[k][qi][i] = float64(100 * (qi + 1))
			}
		}
	}
	return f
}

// alarms returns in which step there were alarms when these values come one after the other, by direction.
func alarms(values ...float64) (up, down []int) {
	d := NewDrift(said(), monday)
	for n := range values {
		for _, a := range d.See(cpu(append(values[:n+1:n+1], 0))) { // something later is known, too
			if a.Up {
				up = append(up, n)
			} else {
				down = append(down, n)
			}
		}
	}
	return up, down
}

func TestDriftIsSeenInBothDirections(t *testing.T) {
	repeat := func(v float64, n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = v
		}
		return out
	}
	for name, c := range map[string]struct {
		values   []float64
		up, down []int
	}{
		"above p99, twice":             {repeat(500, 2), []int{1}, nil},
		"once":                         {[]float64{500, 50, 150, 50, 500, 50, 50, 150, 50}, nil, nil},
		"between p95 and p99":          {repeat(350, 4), []int{3}, nil},
		"below the median, nine times": {repeat(50, 9), nil, []int{8}},
		"eight times":                  {repeat(50, 8), nil, nil},
		"at the median":                {repeat(100, 12), nil, nil},
		"unknown":                      {repeat(math.NaN(), 12), nil, nil},
		"as forecast":                  {[]float64{50, 150, 50, 150, 250, 50, 150, 50, 50, 350, 50, 150}, nil, nil},
	} {
		up, down := alarms(c.values...)
		if diff := cmp.Diff(c.up, up); diff != "" {
			t.Errorf("%s, up: %s", name, diff)
		}
		if diff := cmp.Diff(c.down, down); diff != "" {
			t.Errorf("%s, down: %s", name, diff)
		}
	}
}

func TestAStepThatMayNotBeCompleteIsNotLookedAt(t *testing.T) {
	d := NewDrift(said(), monday.Add(time.Minute)) // the step that had begun is left out
	if got := d.See(cpu([]float64{500, 500, 500})); len(got) != 0 {
		t.Error("the last one may rise or fall yet")
	}
	if got := d.See(cpu([]float64{500, 500, 500, 0})); len(got) != 1 || got[0] != (Drifted{resource.CPU, true}) {
		t.Errorf("%+v", got)
	}
	if got := d.Wants(monday.Add(20 * time.Minute)); got.Start != monday.Add(15*time.Minute) || got.Length() != 5*time.Minute {
		t.Errorf("wants %s", got)
	}
	if got := d.Wants(monday.Add(2 * time.Hour)); got.End != monday.Add(time.Hour) {
		t.Errorf("wants %s", got)
	}
}

func TestOtherQuantilesAreNotWatched(t *testing.T) {
	f := said()
	f.Quantiles = []float64{.1, .2, .3, .4}
	if got := NewDrift(f, monday).See(cpu([]float64{500, 500, 500, 500})); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// As the comment of Drift says: .9 % of hours upwards, .5 % downwards.
func TestFalseAlarmsAreAsSeldomAsIsSaid(t *testing.T) {
	const hours = 50_000
	seed, ups, downs := uint64(1), 0, 0
	right, _, _ := driftShares()
	for range hours {
		values := make([]float64, 12)
		for i := range values {
			seed = seed*6364136223846793005 + 1442695040888963407
			u, share := float64(seed>>11)/(1<<53), right[0]
			values[i] = 50
			for at := 1; u > share && at < len(right); at++ {
				values[i] += 100
				share += right[at]
			}
		}
		d := NewDrift(said(), monday)
		up, down := false, false
		for _, a := range d.See(cpu(append(values, 0))) {
			up, down = up || a.Up, down || !a.Up
		}
		if up {
			ups++
		}
		if down {
			downs++
		}
	}
	for _, c := range []struct {
		direction string
		n         int
		share     float64
	}{{"up", ups, .0086}, {"down", downs, .0049}} {
		if got := float64(c.n) / hours; math.Abs(got-c.share) > 4*math.Sqrt(c.share/hours) {
			t.Errorf("%s: false alarms in %.4f of the hours, said to be %.4f", c.direction, got, c.share)
		}
	}
}
