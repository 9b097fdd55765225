package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

// jobs is a base of 50 with noise and, every so many steps, a job that takes 400 more for a fifth of that.
func jobs(days int, every float64, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 0))
	values := make([]float64, days*perDay)
	for i := range values {
		values[i] = 50 + 5*r.Float64()
		if _, into := math.Modf(float64(i) / every); into < .2 {
			values[i] += 400
		}
	}
	return values
}

// aimless is up and down by chance.
func aimless(days int) []float64 {
	r := rand.New(rand.NewPCG(1, 0))
	values := make([]float64, days*perDay)
	for i := range values {
		values[i] = 100 * r.Float64()
	}
	return values
}

func TestACycleIsFoundThatIsNoPartOfADay(t *testing.T) {
	for _, every := range []float64{5, 7, 10.3, 12, 12.03, 14, 21, 25, 33.4, 35, 61.7, 168} {
		got := gridOf(jobs(14, every, 1), step).cycle()
		if times := math.Round(got / every); times < 1 || math.Abs(got-times*every) > 3e-4*got {
			t.Errorf("the job comes every %v steps, found are %v", every, got)
		}
		if every == math.Round(every) && math.Abs(got-every) > .01 {
			t.Errorf("the job comes every %v steps, found are several of them: %v", every, got)
		}
	}
}

func TestACycleOfWhichOneStepSaysAllIsFound(t *testing.T) {
	for _, every := range []int{3, 7, 14, 21, 35, 50} {
		values := noise(14*perDay, 1)
		for i := range values {
			if values[i] += 50; i%every == 3%every {
				values[i] += 400
			}
		}
		if got := gridOf(values, step).cycle(); math.Abs(got-float64(every)) > .01 {
			t.Errorf("a step in %d is higher, found are %v", every, got)
		}
	}
}

func TestTheDayIsFoundThroughNoise(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
		for _, amount := range []float64{15, 40, 80, 150} {
			values := noise(14*perDay, seed)
			for i := range values {
				values[i] = max(0, 300+150*math.Sin(2*math.Pi*float64(i)/perDay)+amount*values[i])
			}
			if got := gridOf(values, step).cycle(); got != perDay {
				t.Errorf("seed %d, noise of %v on a day's 150: found are %v steps", seed, amount, got)
			}
		}
	}
}

func TestACycleIsTheSameInWhateverUnit(t *testing.T) {
	values := jobs(14, 10.3, 1)
	want := gridOf(values, step).cycle()
	for _, unit := range []float64{1e-9, 1e9} {
		scaled := make([]float64, len(values))
		for i, v := range values {
			scaled[i] = v * unit
		}
		if got := gridOf(scaled, step).cycle(); math.Abs(got-want) > 1e-6 {
			t.Errorf("times %v: %v, want %v", unit, got, want)
		}
	}
}

func TestWhereNothingRepeatsItselfThereIsNoCycle(t *testing.T) {
	constant := make([]float64, 14*perDay)
	for i := range constant {
		constant[i] = 7
	}
	for name, values := range map[string][]float64{
		"noise": aimless(14), "constant": constant, "nothing": make([]float64, 14*perDay), "a young series": jobs(1, 12, 1),
	} {
		if got := gridOf(values, step).cycle(); got != 0 {
			t.Errorf("%s: a cycle of %v steps", name, got)
		}
	}
}

func TestACycleIsCarriedOnForTwoDays(t *testing.T) {
	values := jobs(16, 10.3, 1)
	g := gridOf(values[:14*perDay], step)
	path := make([]float64, 2*perDay)
	newCycleMedian(g, nil).path(path, len(g.x), 0)
	wrong := 0
	for h, v := range path {
		if math.Abs(v-values[14*perDay+h]) > 100 {
			wrong++
		}
	}
	if wrong > len(path)/20 { // where a job begins within a step of another
		t.Errorf("%d of %d steps are wrong", wrong, len(path))
	}
	// By the day alone a job is nowhere.
	newYesterday(g, nil).path(path, len(g.x), 0)
	missed := 0
	for h, v := range path {
		if math.Abs(v-values[14*perDay+h]) > 100 {
			missed++
		}
	}
	if missed < 4*wrong {
		t.Errorf("by the day %d of %d steps are wrong, by the cycle %d", missed, len(path), wrong)
	}
}

func TestACycleThatIsNotThereCountsNothing(t *testing.T) {
	counted := func(values []float64) bool {
		for _, w := range reasonOf(t, values, one()).Weights {
			if w.Member == "cycle-median" {
				return true
			}
		}
		return false
	}
	if counted(aimless(14)) {
		t.Error("of noise it counts")
	}
	if !counted(jobs(14, 10.3, 1)) {
		t.Error("of a job every 51.5 minutes it does not count")
	}
	// Who asks for nobody else gets the seasonal naive forecast.
	opts, values := one(), aimless(14)
	opts.Members = []string{"cycle-median", "cycle-quantile"}
	f := mustForecast(t, cpu(values), nil, opts, after(14*day), time.Hour)
	for qi := range f.Values[resource.CPU] {
		for i, v := range f.Values[resource.CPU][qi] {
			if math.IsNaN(v) || v > 250 {
				t.Fatalf("quantile %d of step %d: %v", qi, i, v)
			}
		}
	}
}
