package forecast

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
)

func TestFewDaysOfErrorsAreTakenFurtherOut(t *testing.T) {
	quantiles := []float64{.025, .5, .95, .99}
	last := []float64{1, .5, 0, 0} // of no days: the least and the largest error
	for days := 1.0; days <= longOrigins; days++ {
		got := (&evidence{days: days}).levels(quantiles)
		if !(got[0] > 0 && got[0] <= .025 && got[1] == .5 && got[2] >= .95 && got[3] >= .99 && got[3] < 1) {
			t.Fatalf("after %v days: %v", days, got)
		}
		if days > 1 && !(got[0] > last[0] && got[2] < last[2] && got[3] < last[3]) {
			t.Fatalf("after %v days %v, a day before %v", days, got, last)
		}
		last = got
	}
	if got := (&evidence{days: 3}).levels([]float64{.9, .95}); !(1-got[0] > 2.5*(1-got[1])) {
		t.Errorf("after three days %v of .9 and .95: what is not rare has shown already", got)
	}
	for _, days := range []float64{longOrigins, 100} {
		for i, v := range (&evidence{days: days}).levels(quantiles) {
			if math.Abs(v-quantiles[i]) > 1e-12 {
				t.Errorf("after %v days %v for %v", days, v, quantiles[i])
			}
		}
	}
	for days, want := range map[float64]float64{0: 3.94, 2: 2.44, 10: 1.055, longOrigins: 1, 100: 1} {
		if got := (&evidence{days: days}).caution(); math.Abs(got-want) > .01 {
			t.Errorf("distances after %v days are widened by %.3f, want %.3f", days, got, want)
		}
	}
}

// TestThreeDaysSayWhatOneStepInTenPasses: bursts in one step of forty.
func TestThreeDaysSayWhatOneStepInTenPasses(t *testing.T) {
	values, r := noise(3*perDay, 1), rand.New(rand.NewPCG(1, 0))
	for i := range values {
		if values[i] = 50 + 5*values[i]; r.IntN(40) == 0 {
			values[i] += 800
		}
	}
	f := mustForecast(t, cpu(values), nil, one(), after(3*day), 24*time.Hour)
	high, low := 0, 0
	for i, v := range f.Values[resource.CPU][1] {
		if v > 300 {
			high++
		}
		if f.Values[resource.CPU][3][i] < 600 {
			low++
		}
	}
	if low > f.Steps()/4 { // hours of which none had one in three days
		t.Errorf("p99 is without bursts in %d of %d steps", low, f.Steps())
	}
	if high > f.Steps()/10 {
		t.Errorf("p90 is that of a burst in %d of %d steps", high, f.Steps())
	}
}

func TestTheMiddleHoldsOnToWhatWasBestAndTheOuterQuantilesFollow(t *testing.T) {
	// One member was exact until a week ago and is off since; the other began to be right then.
	e := &evidence{}
	for age := 21.0; age > 0; age-- {
		e.y = append(e.y, 10)
		e.fresh = append(e.fresh, math.Exp2(-age/preferenceFor(.95, e.fine).halfLife))
		e.lasting = append(e.lasting, math.Exp2(-age/preferenceFor(.5, e.fine).halfLife))
	}
	before, since := make([]float64, 21), make([]float64, 21)
	for i := range before {
		before[i], since[i] = 10, 14
		if i >= 14 {
			before[i], since[i] = 14, 10
		}
	}
	if a, b := e.loss(before, 0, .5), e.loss(since, 0, .5); !(a < b) {
		t.Errorf("in the middle %.2f for the member that was right for two weeks, %.2f for the one of the last", a, b)
	}
	if a, b := e.loss(before, 0, .95), e.loss(since, 0, .95); !(a > b) {
		t.Errorf("further out %.2f for the member that was right for two weeks, %.2f for the one of the last", a, b)
	}
}

func TestOuterQuantilesFollowASpreadThatBecameNarrow(t *testing.T) {
	values := noise(21*perDay, 1)
	for i, v := range values {
		values[i] = 300 + 60*v
		if i >= 14*perDay {
			values[i] = 300 + 10*v
		}
	}
	opts := one()
	opts.Members = []string{"day-profile"}
	f := mustForecast(t, cpu(values), nil, opts, after(21*day), 48*time.Hour)
	// Half of the errors are of the time before, in which one in twenty was 99 and more: of all alike p95 would be at about 75.
	for _, h := range []int{100, 400} {
		if above := f.Values[resource.CPU][2][h] - f.Values[resource.CPU][0][h]; !(above > 16 && above < 60) {
			t.Errorf("p95 of step %d is %.0f above the median", h, above)
		}
	}
}

func TestTheMiddleStaysWithTheMajorityAndOuterQuantilesAreAveraged(t *testing.T) {
	b := blend{
		weight: [][]float64{{.25, .3, 0, .25, .2}, {.25, .3, 0, .25, .2}},
		offset: [][]float64{{0, 0, 0, 1, 0}, {0, 0, 0, 1, 0}},
	}
	for _, far := range []float64{100, 1e6} {
		said, got := [][]float64{{10}, {far}, nil, {10}, {-5}}, make([]float64, 1)
		b.combine(got, .5, 0, said) // 0, 10, 11 and what is far off
		if !(got[0] > 10 && got[0] < 11) {
			t.Errorf("median %v where one member says %v", got[0], far)
		}
		b.combine(got, .95, 1, said)
		if want := .25*10 + .3*far + .25*11; math.Abs(got[0]-want) > 1e-9 {
			t.Errorf("p95 %v, want %v", got[0], want)
		}
	}
}

func TestTheMajorityOfAlikeWeightsIsTheMedian(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "members")
		b, got := evenBlend(make([]chosen, n), 1), make([]float64, 1)
		var said [][]float64
		values := rapid.SliceOfN(rapid.Float64Range(0, 1e6), n, n).Draw(t, "said")
		for i := range values {
			said = append(said, values[i:i+1:i+1])
		}
		b.combine(got, .5, 0, said)
		sorted := slices.Sorted(slices.Values(values))
		if want := (sorted[(n-1)/2] + sorted[n/2]) / 2; math.Abs(got[0]-want) > 1e-6 {
			t.Fatalf("%v of %v, want %v", got[0], sorted, want)
		}
	})
}

func TestDistancesFromTheMedianAreWidenedNotWhatAMemberIsOffBy(t *testing.T) {
	// The first member is 100 too high throughout, the second as much too low.
	b := blend{offset: [][]float64{{-110, 90}, {-100, 100}, {-96, 104}, {-95, 105}}, middle: []float64{-100, 100}}
	b.widen(3, []float64{.04, .5, 1 - 2*rareBeyond, .96})
	if diff := cmp.Diff([][]float64{{-130, 70}, {-100, 100}, {-95, 105}, {-85, 115}}, b.offset, cmpopts.EquateApprox(0, 1e-9)); diff != "" { // what is not rare an eighth as much
		t.Error(diff)
	}
}

func TestWhatIsWidenedLeadsNoFurtherThanTheHighestSeen(t *testing.T) {
	quantiles := []float64{.5, .99}
	b := blend{offset: [][]float64{{0}, {50}}, middle: []float64{0}, weight: [][]float64{{1}, {1}}, last: []float64{0, 1}}
	b.widen(3, quantiles)
	for top, want := range map[float64]float64{1000: 100 + 150 + 1, 180: 180, 120: 100 + 50 + 1} {
		got := make([]float64, 1)
		if b.quantile(got, .99, 1, [][]float64{{100}}, top); got[0] != want {
			t.Errorf("%v were seen: %v, want %v", top, got[0], want)
		}
	}
}

func TestABaselineTakesItsErrorsAsTheyCome(t *testing.T) {
	values := seasonalDays(3, 1)
	g := gridOf(values, step)
	errs := []float64{}
	for i := 2 * perDay; i < 3*perDay; i++ {
		errs = append(errs, values[i]-values[i-perDay])
	}
	opts := one()
	opts.Members = BaselineMembers()
	f := mustForecast(t, cpu(values), nil, opts, after(3*day), 24*time.Hour)
	out := make([]float64, 1)
	upperQuantiles(errs, []float64{.95}, out)
	over := 0.0
	for h, v := range f.Values[resource.CPU][2] {
		over += (v - g.x[len(g.x)-perDay+h]) / perDay
	}
	if !(over > .7*out[0] && over < 1.3*out[0]) {
		t.Errorf("p95 lies %.1f over the day before, its errors' is %.1f", over, out[0])
	}
}

func TestDaysWithoutSamplesAreNoEvidence(t *testing.T) {
	s := Series{Step: 5 * time.Minute, Values: seasonalDays(15, 1)}
	for i := 12; i < len(s.Values)-26*12; i++ {
		s.Values[i] = math.NaN()
	}
	g := newGrid(s, 5*time.Minute, 28*day, time.UTC, 0)
	g.fill()
	for b, ev := range g.evaluate(portfolio(g, []float64{.5, .95}, []string{"same-time-yesterday"}, policy{}), 2) {
		if len(ev.y) > 0 && ev.days > 3 {
			t.Errorf("bucket %d: points of two days are taken for %v", b, ev.days)
		}
	}
}
