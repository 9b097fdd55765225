package forecast

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPinballWeighsShortfallByTheQuantile(t *testing.T) {
	loss, n := Pinball([]float64{10, 10, missing}, []float64{0, 20, 5}, .9)
	if want := (.9*10 + .1*10) / 2; n != 2 || math.Abs(loss-want) > 1e-12 {
		t.Errorf("loss %v over %d, want %v over 2", loss, n, want)
	}
}

func TestPinballIsLeastAtTheQuantile(t *testing.T) {
	y := noise(2001, 3)
	sorted := slices.Clone(y)
	slices.Sort(sorted)
	at := func(v float64) float64 {
		same := make([]float64, len(y))
		for i := range same {
			same[i] = v
		}
		loss, _ := Pinball(y, same, .9)
		return loss
	}
	best := at(sorted[1800])
	for _, i := range []int{1000, 1600, 1750, 1850, 1950} {
		if at(sorted[i]) < best {
			t.Errorf("rank %d loses less than rank 1800", i)
		}
	}
}

func TestCoverageCountsStepsAtOrBelow(t *testing.T) {
	if c, n := Coverage([]float64{1, 2, 3, missing}, []float64{1, 1, 5, 5}); n != 3 || math.Abs(c-2.0/3) > 1e-12 {
		t.Errorf("coverage %v over %d", c, n)
	}
	if c, n := Coverage(nil, nil); n != 0 || !math.IsNaN(c) {
		t.Errorf("of nothing: %v over %d", c, n)
	}
}

func TestMASEIsOneForTheSeasonalNaiveItself(t *testing.T) {
	history := []float64{1, 5, 2, 6, 3, 7}
	if m := MASE([]float64{4, 8}, []float64{3, 7}, history, 2); m != 1 {
		t.Errorf("MASE %v, want 1", m)
	}
	if m := MASE([]float64{4, 8}, []float64{4, 8}, history, 2); m != 0 {
		t.Errorf("of a perfect forecast: %v", m)
	}
	for name, m := range map[string]float64{
		"no history": MASE([]float64{1}, []float64{2}, nil, 2), "no period": MASE([]float64{1}, []float64{2}, history, 0),
		"nothing to compare": MASE(nil, nil, history, 2),
	} {
		if !math.IsNaN(m) {
			t.Errorf("%s: %v, want NaN", name, m)
		}
	}
}

func TestUpperQuantilesAreTheSortedRanks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(-10, 10), 1, 200).Draw(t, "values")
		qs := DefaultQuantiles()
		sorted := slices.Clone(v)
		slices.Sort(sorted)
		got := make([]float64, len(qs))
		upperQuantiles(slices.Clone(v), qs, got)
		for i, q := range qs {
			k := min(len(v)-1, int(math.Ceil(float64(len(v)+1)*q-1e-9))-1)
			if got[i] != sorted[k] {
				t.Fatalf("quantile %v of %v: %v, want %v", q, v, got[i], sorted[k])
			}
		}
	})
}

func TestWeightsPreferTheRecentlyBest(t *testing.T) {
	w := []float64{1, 1.1, 2}
	weigh(w, 8)
	if !(w[0] > w[1] && w[1] > 0 && w[2] == 0) || math.Abs(w[0]+w[1]+w[2]-1) > 1e-12 {
		t.Errorf("weights %v", w)
	}
	exact := []float64{0, 0, 5}
	weigh(exact, 8)
	if !slices.Equal(exact, []float64{.5, .5, 0}) {
		t.Errorf("of members without loss %v", exact)
	}
}
