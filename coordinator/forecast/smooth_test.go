package forecast

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestQuantilesOfFadingValuesAreThoseOfTheirWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := make([]counted, rapid.IntRange(1, 400).Draw(t, "values"))
		total := 0.0
		for i := range v {
			v[i] = counted{float64(rapid.IntRange(0, 50).Draw(t, "value")), float64(rapid.IntRange(1, 8).Draw(t, "weight"))}
			total += v[i].weight
		}
		sorted := slices.Clone(v)
		slices.SortFunc(sorted, func(a, b counted) int { return int(a.v - b.v) })
		levels := rapid.SampledFrom([][]float64{{.025, .5, .9, .99}, {.9, .99}, {.95}, {.6}}).Draw(t, "levels")
		got := make([]float64, len(levels))
		fadingQuantiles(v, levels, got)
		for i, l := range levels {
			want, sum := sorted[len(sorted)-1].v, 0.0
			for _, c := range sorted {
				if sum += c.weight; sum >= l*total*(1+1/float64(len(v)))-1e-6 {
					want = c.v
					break
				}
			}
			if got[i] != want {
				t.Fatalf("at %v: %v, want %v of %v", l, got[i], want, sorted)
			}
		}
	})
}

func TestQuantilesOfValuesThatCountAlikeAreTheConformalOnes(t *testing.T) {
	values := noise(999, 1)
	v := make([]counted, len(values))
	for i, x := range values {
		v[i] = counted{x, .5}
	}
	levels, got, want := []float64{.025, .5, .95, .999}, make([]float64, 4), make([]float64, 4)
	fadingQuantiles(v, levels, got)
	upperQuantiles(values, levels, want)
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
