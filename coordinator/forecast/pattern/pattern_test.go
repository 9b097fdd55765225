package pattern

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const perDay = 288

// days returns values for two weeks, f being asked for each with the time in days and noise between -1 and 1.
func days(f func(at, noise float64) float64) []float64 {
	out, seed := make([]float64, 14*perDay), uint64(9)
	for i := range out {
		seed = seed*6364136223846793005 + 1442695040888963407
		out[i] = f(float64(i)/perDay, float64(seed>>11)/(1<<52)-1)
	}
	return out
}

func wave(at, noise float64) float64 { return 10 + 4*math.Sin(2*math.Pi*at) + noise }

func TestPlainExamplesAreTold(t *testing.T) {
	burst := 0.0
	for want, f := range map[Pattern]func(at, noise float64) float64{
		Idle:     func(float64, float64) float64 { return 0 },
		Steady:   func(_, noise float64) float64 { return 10 + noise },
		Periodic: wave,
		Trending: func(at, noise float64) float64 { return 10 + at + noise },
		Bursty: func(_, noise float64) float64 {
			burst *= .8
			if noise > .98 {
				burst += 40 * (1 + 50*(noise-.98))
			}
			return 10 + noise + burst
		},
		Intermittent: func(_, noise float64) float64 { return max(0, noise-.9) },
		Batch: func(at, noise float64) float64 {
			if at = math.Mod(at, 1); at > .1 && at < .15 {
				return 50 + noise
			}
			return 2
		},
	} {
		got, sure := Of(days(f), perDay)
		if got != want || sure < Sure {
			t.Errorf("%s is taken for %s with confidence %.3f", want, got, sure)
		}
	}
}

func TestAPatternDependsOnNoUnit(t *testing.T) {
	v := days(wave)
	want, ok := FeaturesOf(v, perDay)
	if !ok {
		t.Fatal("two weeks are too little")
	}
	for i := range v {
		v[i] *= 1 << 30
	}
	got, _ := FeaturesOf(v, perDay)
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
}

func TestGapsLeaveThePattern(t *testing.T) {
	v := days(wave)
	for i := range v {
		if i/36%4 == 1 {
			v[i] = math.NaN()
		}
	}
	if got, sure := Of(v, perDay); got != Periodic || sure < Sure {
		t.Errorf("a wave with a quarter missing is taken for %s with confidence %.3f", got, sure)
	}
}

func TestFeaturesAreNumbersFromZeroToOneWhateverTheSeries(t *testing.T) {
	huge := days(func(_, noise float64) float64 { return math.Exp(20 * noise) })
	for name, v := range map[string][]float64{
		"wave": days(wave), "huge": huge, "zero": make([]float64, 100), "few": huge[:minObserved],
		"one":     append(make([]float64, 500), 7),
		"least":   append(make([]float64, 300), 3e-321),
		"missing": append(append([]float64{}, huge[:100]...), nothings(3000)...),
	} {
		for _, day := range []int{1, 4, 24, 96, 288} {
			f, ok := FeaturesOf(v, day)
			if !ok {
				t.Errorf("%s: of %d values nothing is told", name, len(v))
			}
			for i, x := range f {
				if !(x >= 0 && x <= 1) {
					t.Errorf("%s with %d values a day: feature %d is %v", name, day, i, x)
				}
			}
		}
	}
	if p, sure := Of(huge[:minObserved-1], perDay); p != "" || sure != 0 {
		t.Errorf("of %d values it is told to be %s with confidence %v", minObserved-1, p, sure)
	}
}

func nothings(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

// BenchmarkOfTwoWeeks tells the pattern of two weeks at 5 minutes.
func BenchmarkOfTwoWeeks(b *testing.B) {
	v := days(wave)
	b.ReportAllocs()
	for b.Loop() {
		if p, _ := Of(v, perDay); p != Periodic {
			b.Fatal(p)
		}
	}
}
