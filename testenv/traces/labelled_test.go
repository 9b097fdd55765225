package traces

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
)

func TestALabelledSeriesIsTheSameForASeedAndAnotherForTheNext(t *testing.T) {
	for _, p := range pattern.All() {
		a, b, c := Labelled(p, 3), Labelled(p, 3), Labelled(p, 4)
		if diff := cmp.Diff(a, b, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("%s: one seed made two series: %s", p, diff)
		}
		if cmp.Equal(a, c, cmpopts.EquateNaNs()) {
			t.Errorf("%s: two seeds made one series", p)
		}
	}
}

func TestLabelledSeriesDifferInAllThatIsNoPattern(t *testing.T) {
	for _, p := range pattern.All() {
		steps := map[float64]bool{}
		short, long, gaps := 0, 0, 0
		for seed := range uint64(60) {
			s := Labelled(p, seed)
			days := float64(len(s.Values)) * s.Step.Hours() / 24
			steps[s.Step.Minutes()] = true
			if days < 4 {
				short++
			}
			if days > 14 {
				long++
			}
			missing := false
			for i, v := range s.Values {
				missing = missing || math.IsNaN(v)
				if v < 0 || math.IsInf(v, 0) {
					t.Fatalf("%s seed %d: value %v at step %d", p, seed, v, i)
				}
			}
			if missing {
				gaps++
			}
			if _, ok := pattern.FeaturesOf(s.Values, int(24/s.Step.Hours())); !ok {
				t.Fatalf("%s seed %d: nothing can be told of %d values", p, seed, len(s.Values))
			}
		}
		if len(steps) < 3 || short < 5 || long < 5 || gaps < 5 {
			t.Errorf("%s: %d steps, %d short, %d long, %d with gaps", p, len(steps), short, long, gaps)
		}
	}
}
