package pool

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
)

// cpu is as many days of CPU as values make.
func cpu(values []float64) forecast.History {
	return forecast.History{resource.CPU: {Start: begin, Step: step, Values: values}}
}

// sometimes is demand at a level that is three times as much in a share of the steps, on some days.
func sometimes(seed uint64, level, share float64, days int) []float64 {
	r := rand.New(rand.NewPCG(seed, 0))
	out := make([]float64, days*288)
	for i := range out {
		if out[i] = level; r.Float64() < share {
			out[i] = 3 * level
		}
	}
	return out
}

// fleetOf is a fleet of instances at levels of their own, each granted a thousand, which ask for three times as much in so many steps.
func fleetOf(instances int, share float64) *Fleet {
	var all []*Growth
	for i := range instances {
		all = append(all, GrowthOf(cpu(sometimes(uint64(i), 10*float64(1+i), share, 14)), resource.Uniform(1000)))
	}
	return FleetOf(all)
}

// seen is so many hours of CPU at a level.
func seen(level float64, hours int) forecast.Series {
	return cpu(slices.Repeat([]float64{level}, 12*hours))[resource.CPU]
}

func TestAFleetExpectsOfANewInstanceWhatItsInstancesCameToAskFor(t *testing.T) {
	quantiles := forecast.DefaultQuantiles()
	// One step in two hundred is three times the level: seldom seen in half an hour, and mostly in half a day.
	f := fleetOf(20, .005)
	if got := f.Instances(resource.CPU); got != 20 {
		t.Errorf("%d instances", got)
	}
	for _, c := range []struct {
		name     string
		own      forecast.Series
		most     int64
		p50, p99 float64
	}{
		{"half a day", seen(40, 13), 1000, 40. / 3, 40}, // its peak has been seen, which is three times the median
		{"more than its type grants", seen(40, 13), 20, 40. / 3, 20},
		{"no type", seen(40, 13), 0, 40. / 3, 40},
		{"nothing seen", forecast.Series{}, 1000, 100, 220}, // of 10 to 200, and three times as much
		{"nothing asked for yet", seen(0, 20), 1000, 100, 220},
		{"hardly begun", seen(1, 1), 1000, 100, 220},
	} {
		got := f.StandsIn(resource.CPU, c.own, c.most, quantiles)
		if len(got) != 4 || !slices.IsSorted(got) || got[0] < .6*c.p50 || got[0] > 1.6*c.p50 || got[3] < .9*c.p99 || got[3] > 1.1*c.p99 {
			t.Errorf("%s: %v, want a median of about %.0f and a p99 of about %.0f", c.name, got, c.p50, c.p99)
		}
	}
	// What instances take at any time fades.
	last := math.Inf(1)
	for _, hours := range []int{6, 8, 10, 12} {
		got := f.StandsIn(resource.CPU, seen(1, hours), 1000, quantiles)[3]
		if got >= last {
			t.Errorf("after %d hours of next to nothing p99 is %.0f, before %.0f", hours, got, last)
		}
		last = got
	}
}

func TestAFleetSaysNothingOfWhatItDoesNotKnow(t *testing.T) {
	quantiles := forecast.DefaultQuantiles()
	for name, c := range map[string]struct {
		f    *Fleet
		k    resource.Kind
		own  forecast.Series
		most int64
	}{
		"too few instances":                       {fleetOf(FleetLeast-1, .005), resource.CPU, seen(40, 13), 1000},
		"another resource":                        {fleetOf(20, .005), resource.Memory, seen(40, 13), 1000},
		"nothing seen, and no type":               {fleetOf(20, .005), resource.CPU, forecast.Series{}, 0},
		"nothing seen, and a type without limits": {fleetOf(20, .005), resource.CPU, forecast.Series{}, resource.Unlimited},
		"no instance at all":                      {FleetOf(nil), resource.CPU, seen(40, 13), 1000},
	} {
		if got := c.f.StandsIn(c.k, c.own, c.most, quantiles); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhatCameAfterNothingIsNoMultiple(t *testing.T) {
	var all []*Growth
	for i := range uint64(20) { // demand every other day
		values := sometimes(i, 100, .1, 20)
		for j := range values {
			if j/288%2 == 0 {
				values[j] = 0
			}
		}
		all = append(all, GrowthOf(cpu(values), resource.Uniform(1000)))
	}
	f := FleetOf(all)
	if got := f.StandsIn(resource.CPU, seen(5, 8), 1000, []float64{.5, .99}); got == nil || got[1] != 1000 {
		t.Errorf("%v, want all that the type grants: an instance may have shown nothing of what comes", got)
	}
	if got := f.StandsIn(resource.CPU, seen(5, 8), 0, []float64{.5, .99}); got != nil {
		t.Errorf("%v without a type", got)
	}
}

func TestGrowthTakesDays(t *testing.T) {
	for _, days := range []int{0, 1, 2} {
		if g := GrowthOf(cpu(sometimes(1, 10, .1, days)), resource.Uniform(1000)); g.seen[resource.CPU][0] != nil || g.granted[resource.CPU] != nil {
			t.Errorf("something is known of %d days", days)
		}
	}
	missing := sometimes(1, 10, .1, 14)
	for i := range missing {
		if i%288 > 40 {
			missing[i] = math.NaN()
		}
	}
	if g := GrowthOf(cpu(missing), resource.Uniform(1000)); g.seen[resource.CPU][4] != nil {
		t.Error("a day of which most is missing counts as one")
	}
	if g := GrowthOf(cpu(sometimes(1, 10, .1, 5)), resource.Uniform(1000)); g.seen[resource.CPU][0] == nil || g.granted[resource.CPU] == nil {
		t.Error("nothing is known of five days")
	}
	if g := GrowthOf(cpu(sometimes(1, 10, .1, 5)), resource.Vector{}); g.granted[resource.CPU] != nil {
		t.Error("a share of what no type grants is known")
	}
}
