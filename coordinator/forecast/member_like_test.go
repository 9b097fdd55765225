package forecast

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// twoLevels stays at 100 or 500 for twelve to thirty-six hours at a time, with noise.
func twoLevels(days int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 0))
	values := make([]float64, days*perDay)
	level, left := 100., 0
	for i := range values {
		if left == 0 {
			level, left = 600-level, 144+r.IntN(288)
		}
		left--
		values[i] = level + 20*r.Float64()
	}
	return values
}

func TestWhatFollowedHoursLikeTheLastOneIsExpected(t *testing.T) {
	values := twoLevels(28, 1)
	g := gridOf(values, step)
	m := newLikeNow(g, []float64{.1, .5, .9})
	path, wide, all := make([]float64, perDay), 0, 0
	for o := 20 * perDay; o < len(values); o += 97 {
		level := values[o-1]
		if lately := values[o-2*12 : o]; slices.Max(lately)-slices.Min(lately) > 100 {
			continue // it has just changed
		}
		m.path(path, o, 1)
		for h := range 3 * 12 { // by then a level has rarely changed
			if (path[h] > 300) != (level > 300) {
				t.Fatalf("from %d, at %.0f, %.0f is expected in %d steps", o, level, path[h], h)
			}
		}
		// Within a day it does: mostly both may be.
		m.path(path, o, 0)
		low := path[perDay-1]
		m.path(path, o, 2)
		all++
		if path[perDay-1]-low > 300 {
			wide++
		}
	}
	if wide < all/2 {
		t.Errorf("a day later both levels are expected from %d of %d origins", wide, all)
	}
}

func TestWhatFollowedIsTheSameFromWhateverOriginItIsAsked(t *testing.T) {
	g := gridOf(twoLevels(14, 2), step)
	quantiles := DefaultQuantiles()
	m := newLikeNow(g, quantiles).(*likeNow)
	for _, o := range append(g.origins(), origin{at: len(g.x)}) {
		for qi := range quantiles {
			want := make([]float64, 3*perDay) // further than is worked out beforehand
			(&likeNow{g: g, quantiles: quantiles, hour: m.hour, day: m.day}).path(want, o.at, qi)
			for _, steps := range []int{1, 72, 2 * perDay, 3 * perDay} {
				got := make([]float64, steps)
				if m.path(got, o.at, qi); !slices.Equal(got, want[:steps]) {
					t.Fatalf("from %d for %d steps it differs", o.at, steps)
				}
			}
		}
	}
}
