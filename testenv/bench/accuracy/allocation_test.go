//go:build linux

package accuracy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
)

// days returns values of so many days, each made of its step.
func days(n int, value func(i int) float64) []float64 {
	out := make([]float64, n*perDay)
	for i := range out {
		out[i] = value(i)
	}
	return out
}

func TestAMultiplierLeavesOneStepInAHundredShort(t *testing.T) {
	all := []planned{{used: days(1, func(i int) float64 { return float64(i%100 + 1) })}, {used: days(1, func(int) float64 { return math.NaN() })}}
	for i := range all {
		all[i].got[Static] = days(1, func(int) float64 { return 50 })
	}
	if got := multiplier(all, Static, 0, 1); got != 99./50 {
		t.Errorf("multiplier %v, want 1.98", got)
	}
	if got := multiplier(all, Static, 1, 2); got != 1 {
		t.Errorf("multiplier of days that nothing is known of: %v", got)
	}
	// What nothing was allocated of is not mended by an endless multiplier.
	all[0].got[Static] = days(1, func(i int) float64 { return float64(i % 2 * 50) })
	if got := multiplier(all, Static, 0, 1); math.IsInf(got, 1) || got < 1.9 {
		t.Errorf("multiplier of what is 0 every other step: %v", got)
	}
}

func TestWhatIsChosenKnowsNothingOfTheDayItIsFor(t *testing.T) {
	const n = scoreFrom + 4
	m := planned{peak: 10, used: days(n, func(i int) float64 {
		if i >= (n-1)*perDay {
			return 10
		}
		return 1
	})}
	for p := range m.got {
		m.got[p] = days(n, func(int) float64 { return 2 })
	}
	a := allocated(resource.CPU, []planned{m})
	// Nothing is allocated beyond what the machine ever used.
	huge := planned{peak: 1, used: m.used[:len(m.used)-perDay], got: m.got}
	if o := allocated(resource.CPU, []planned{huge}).AsIs[P99Once]; o.OfPeak != 1 || o.OfUse != 1 {
		t.Errorf("twice the size of the machine was allocated: %+v", o)
	}
	// Of four scored days the last has ten times the use, for which 2 is too little.
	if o := a.AsIs[P99Once]; o.OfPeak != .2 || o.Short != .25 || math.Abs(o.OfUse-8./13) > 1e-9 {
		t.Errorf("as it is: %+v", o)
	}
	if o := a.Chosen[P99Once]; o.OfPeak != .1 || o.Short != .25 || a.Multiplier[P99Once] != .5 {
		t.Errorf("times %v, which the days before say: %+v", a.Multiplier[P99Once], o)
	}
	if o := a.Equal[P99Once]; o.OfPeak != 1 || o.Short != 0 || a.Exactly[P99Once] != 5 {
		t.Errorf("times %v, which turns out: %+v", a.Exactly[P99Once], o)
	}
	if a.Machines != 1 || a.Steps != 4*perDay {
		t.Errorf("%d machines and %d steps", a.Machines, a.Steps)
	}
}

// dailyTrace writes a machine that works two hours a day.
func dailyTrace(t *testing.T, dir string, n int) {
	t.Helper()
	text := "t,cpu_usage_mhz,mem_usage_kb\n"
	for i := range n * perDay {
		cpu := 100 + i*i%7
		if i%perDay < 2*perHour {
			cpu += 900
		}
		text += fmt.Sprintf("%d,%d,%d\n", 1375315200+300*i, cpu, 100_000+i*i%97)
	}
	write(t, filepath.Join(dir, "set", "vm1.csv.gz"), text)
}

// constant is a recommender that says the same at all times.
func constant(v resource.Vector) Recommender {
	return func(_ context.Context, all []Recorded) ([][]resource.Vector, error) {
		out := make([][]resource.Vector, len(all))
		for i, r := range all {
			out[i] = slices.Repeat([]resource.Vector{v}, len(r.At))
		}
		return out, nil
	}
}

func TestATimeOfDayThatIsForeseenIsAllocatedLess(t *testing.T) {
	dir := t.TempDir()
	dailyTrace(t, dir, 16)
	all, err := ScoreAllocation(t.Context(), Options{Dir: dir}, "set", constant(resource.Vector{resource.CPU: 1006, resource.Memory: 150_000 << 10}))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Kind != resource.CPU || all[1].Kind != resource.Memory || all[0].Steps != 2*perDay {
		t.Fatalf("%+v", all)
	}
	cpu := all[0]
	if o := cpu.AsIs[VPAOnce]; math.Abs(o.OfPeak-1) > .01 || o.Short != 0 {
		t.Errorf("what holds the peak all day: %+v", o)
	}
	for _, p := range []Policy{P95Once, P99Once, P95Hourly, P99Hourly} {
		if o := cpu.Chosen[p]; !(o.OfPeak < .4) || !(o.Short < .06) {
			t.Errorf("policy %d: %+v", p, o)
		}
	}
	if limit := cpu.AsIs[Hindsight]; limit.Short != 0 || !(limit.OfPeak < cpu.Chosen[P95Hourly].OfPeak) {
		t.Errorf("hindsight: %+v", limit)
	}
	if o := cpu.AsIs[Static]; math.Abs(o.OfPeak-1) > .01 {
		t.Errorf("the highest so far: %+v", o)
	}
}

func TestAnAllocationIsNotComparedWithHalfAnAnswer(t *testing.T) {
	dir := t.TempDir()
	dailyTrace(t, dir, 10)
	few := func(_ context.Context, all []Recorded) ([][]resource.Vector, error) {
		return make([][]resource.Vector, len(all)), nil
	}
	if _, err := ScoreAllocation(t.Context(), Options{Dir: dir}, "set", few); err == nil {
		t.Error("no recommendations were scored")
	}
	broken := errors.New("broken")
	if _, err := ScoreAllocation(t.Context(), Options{Dir: dir}, "set", func(context.Context, []Recorded) ([][]resource.Vector, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if _, err := ScoreAllocation(t.Context(), Options{Dir: dir}, "none", constant(resource.Vector{})); err == nil {
		t.Error("no traces were scored")
	}
}
