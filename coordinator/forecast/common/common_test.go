package common

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

const grid = 5 * time.Minute

// factor returns the rings of instances whose errors of CPU time have the correlation by one factor; the same seed draws the same numbers.
func factor(seed uint64, members, steps int, correlation float64) []*Ring {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]*Ring, members)
	for i := range out {
		out[i] = NewRing(grid)
	}
	for n := range steps {
		shared := r.NormFloat64()
		for _, ring := range out {
			var z [resource.Kinds]float64
			for k := range z {
				z[k] = math.NaN()
			}
			z[resource.CPU] = math.Sqrt(correlation)*shared + math.Sqrt(1-correlation)*r.NormFloat64()
			ring.Put(timeline.Time(0).Add(time.Duration(n)*grid), z)
		}
	}
	return out
}

// undrawn returns the correlation before it was drawn towards what is assumed.
func undrawn(e Estimate) float64 {
	n := float64(e.Steps[resource.CPU])
	share := float64(e.Share[resource.CPU]) / 100
	return (share*share*(n+weight) - weight*Assumed*Assumed/1e4) / n
}

func TestAFactorIsFoundWithinATenth(t *testing.T) {
	for _, want := range []float64{0, .1, .3, .5, .8, 1} {
		for seed := range uint64(5) {
			e := Of(factor(seed, 10, Steps, want))
			if got := undrawn(e); math.Abs(got-want) > .1 || e.Steps[resource.CPU] != Steps || e.Assumes(resource.CPU) {
				t.Errorf("correlation %v, seed %d: %.3f of %+v", want, seed, got, e)
			}
		}
	}
}

func TestTheEstimateRisesWithTheCorrelationAndStaysWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed, members, steps := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(leastMembers, 12).Draw(t, "members"), rapid.IntRange(leastSteps, Steps).Draw(t, "steps")
		least := Of(factor(seed, members, steps, 0)).Share[resource.CPU]
		middle := Of(factor(seed, members, steps, .5)).Share[resource.CPU]
		most := Of(factor(seed, members, steps, 1)).Share[resource.CPU]
		if least < 0 || least > middle || middle > most || most > 100 {
			t.Fatalf("%d, %d, %d", least, middle, most)
		}
		if more := Of(factor(seed, members, Steps, 1)).Share[resource.CPU]; more < most {
			t.Fatalf("%d from %d steps, %d from %d", most, steps, more, Steps)
		}
	})
}

// dumb is the estimate as it is defined, by way of every pair.
func dumb(series [][]float64) (float64, int) {
	var covariance, variance float64
	var pairs, values, steps int
	for n := range series[0] {
		var known []float64
		for _, s := range series {
			if !math.IsNaN(s[n]) {
				known = append(known, s[n])
			}
		}
		if len(known) < leastMembers {
			continue
		}
		steps++
		for i, a := range known {
			variance += a * a
			values++
			for j, b := range known {
				if i != j {
					covariance += a * b
					pairs++
				}
			}
		}
	}
	if steps == 0 || variance == 0 {
		return 0, steps
	}
	return max(0, min(1, covariance/float64(pairs)/(variance/float64(values)))), steps
}

func TestTheEstimateIsThatOfEveryPair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, steps := rapid.IntRange(1, 6).Draw(t, "members"), rapid.IntRange(1, 60).Draw(t, "steps")
		start := rapid.Int64Range(0, 1000).Draw(t, "start") // so that the ring turns
		value := rapid.OneOf(rapid.Just(math.NaN()), rapid.Map(rapid.IntRange(-farthest*parts, farthest*parts), func(n int) float64 { return float64(n) / parts }))
		rings, series := make([]*Ring, members), make([][]float64, members)
		for i := range rings {
			rings[i], series[i] = NewRing(grid), rapid.SliceOfN(value, steps, steps).Draw(t, "errors")
			if rapid.Bool().Draw(t, "old") { // of a day that is over
				rings[i].Put(timeline.Time((start-Steps-1)*grid.Milliseconds()), [resource.Kinds]float64{5, 5, 5, 5, 5, 5, 5, 5})
			}
			for n, z := range series[i] {
				rings[i].Put(timeline.Time((start+int64(n))*grid.Milliseconds()), [resource.Kinds]float64{z, math.NaN(), z})
			}
			for n := range Steps - steps { // time goes on without errors
				var none [resource.Kinds]float64
				for k := range none {
					none[k] = math.NaN()
				}
				rings[i].Put(timeline.Time((start+int64(steps+n))*grid.Milliseconds()), none)
			}
		}
		e := Of(rings)
		correlation, n := dumb(series)
		want := Assumed
		if n >= leastSteps && correlation > 0 {
			want = int(math.Round(100 * math.Sqrt(drawn(correlation, n))))
		} else if n >= leastSteps && hasSquares(series) {
			want = int(math.Round(100 * math.Sqrt(drawn(0, n))))
		}
		if e.Share[resource.CPU] != want || e.Share[2] != want || e.Steps[resource.CPU] != n || e.Share[resource.Memory] != Assumed {
			t.Fatalf("%+v, want %d from %d steps", e, want, n)
		}
	})
}

func hasSquares(series [][]float64) bool {
	for n := range series[0] {
		count, squares := 0, 0.
		for _, s := range series {
			if !math.IsNaN(s[n]) {
				count++
				squares += s[n] * s[n]
			}
		}
		if count >= leastMembers && squares > 0 {
			return true
		}
	}
	return false
}

func TestWhatIsAssumedIsSaid(t *testing.T) {
	few := Of(factor(1, 2, Steps, .5))
	if few.Share != Nothing().Share || !few.Assumes(resource.CPU) {
		t.Errorf("%+v from two instances", few)
	}
	if text := few.Says("host-a"); !strings.Contains(text, "30 % are assumed: errors are too few (instances: 2, steps: 0; it takes 3 and 24)") {
		t.Error(text)
	}
	if text := Of(factor(1, 4, leastSteps-1, .5)).Says("host-a"); !strings.Contains(text, "errors are too few (instances: 4, steps: 23;") {
		t.Error(text)
	}
	text := Of(factor(1, 4, 100, .5)).Says("host-a")
	if !strings.Contains(text, "host-a have in common: cpu ") || !strings.Contains(text, "from errors of 4 instances in up to 100 steps; of the rest 30 % are assumed") {
		t.Error(text)
	}
}
