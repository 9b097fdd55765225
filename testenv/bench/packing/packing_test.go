package packing

import (
	"compress/gzip"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// monday is the begin of all histories that are made by hand.
var monday = timeline.Of(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC))

// made returns a machine that uses as much CPU as of says of each hour of the day, with an unevenness of a hundredth, and memory that stays.
func made(name string, days int, of func(hour int) float64) Machine {
	m := Machine{Name: name}
	for _, k := range kinds() {
		s := forecast.Series{Start: monday, Step: grid}
		for i := range days * int(day/grid) {
			v := 100. * (1 << 20)
			if k == resource.CPU {
				v = of(i*5/60%24) * (1 + .01*math.Sin(float64(i*i)))
			}
			s.Values = append(s.Values, v)
		}
		m.History[k] = s
	}
	return m
}

// opposite are two machines of which one is busy by day and one by night, with two hours between: what is held rises before demand does.
func opposite(days int) []Machine {
	busy := func(from int) func(int) float64 {
		return func(h int) float64 {
			if (h+24-from)%24 < 10 {
				return 1000
			}
			return 100
		}
	}
	return []Machine{made("day", days, busy(9)), made("night", days, busy(21))}
}

func trialOf(t *testing.T, machines []Machine, host int64) *trial {
	t.Helper()
	v := resource.Uniform(resource.Unlimited)
	v[resource.CPU], v[resource.Memory] = host, 4<<30
	out, err := newTrial(t.Context(), machines, v, monday.Add(warm), 2*day, proto.DefaultPolicy())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOppositePeaksNeedOneHostInsteadOfTwo(t *testing.T) {
	trial, order := trialOf(t, opposite(17), 1400), []int{0, 1}
	for name, c := range map[string]struct {
		place placing
		hosts int
	}{
		"first fit": {trial.firstFit, 2}, "best fit": {trial.bestFit, 2}, "best fit of p95": {trial.bestFit95, 2},
		"while there is a forecast": {trial.ledger(2330, whileForecast, proto.FillPack), 1},
	} {
		on, hosts := c.place(order, 100)
		if over, _ := trial.over(on, hosts, trial.length); hosts != c.hosts || over != 0 {
			t.Errorf("%s: %d hosts, %v of the steps over", name, hosts, over)
		}
	}
	if b := trial.bound(trial.length); b > 1 || b < 1100./1400 {
		t.Errorf("in hindsight it takes %v hosts", b)
	}
	// Alike they fit on one host by no policy.
	same := trialOf(t, append(opposite(17)[:1], opposite(17)[:1]...), 1400)
	same.instances[1].name = "day-2"
	if _, hosts := same.ledger(2330, whileForecast, proto.FillPack)(order, 100); hosts != 2 {
		t.Errorf("two that are busy at the same time are on %d host", hosts)
	}
}

func TestOverloadedStepsAreCountedByTheHost(t *testing.T) {
	two := trialOf(t, opposite(17), 1050) // together they use 1100, more or less
	if over, memory := two.over([]int{0, 0}, 1, two.length); over < .8 || memory != 0 {
		t.Errorf("%v of the steps over on one host", over)
	}
	if over, _ := two.over([]int{0, 1}, 2, two.length); over != 0 {
		t.Errorf("%v of the steps over on two", over)
	}
	// A policy that is over is given less and less of each host until it is not.
	out := outcome([]placed{{two, []int{0, 1}}}, func(*trial) placing {
		return func(_ []int, percent int64) ([]int, int) {
			if percent > 90 {
				return []int{0, 0}, 1
			}
			return []int{0, 1}, 2
		}
	})
	if out.Hosts != 1 || out.AtRisk != 2 || out.Over < .8 || math.Abs(out.Margin-100./90) > 1e-9 {
		t.Errorf("%+v", out)
	}
}

func TestDeviationsAreLearnedFromTheTimesBefore(t *testing.T) {
	// Of three times the first is quiet, and the second needs 2.33 deviations, as both do in the mean.
	over := func(z int64) [3]float64 {
		switch {
		case z < 1280:
			return [3]float64{.02, .05, .05}
		case z < 2330:
			return [3]float64{.005, .03, .03}
		default:
			return [3]float64{0, .01, .02}
		}
	}
	var byZ [][]Outcome
	for _, z := range Zs() {
		var of []Outcome
		for _, o := range over(z) {
			of = append(of, Outcome{Hosts: float64(z), Over: o}, Outcome{Hosts: float64(z), Over: o})
		}
		byZ = append(byZ, of)
	}
	if got := learned(byZ, 2, 3000); math.Abs(got.Hosts-(3000+1280+2330)/3.) > 1e-9 || math.Abs(got.Over-.05/3) > 1e-9 {
		t.Errorf("%+v", got)
	}
}

// quick are options of a replay that takes no time.
func quick() Options {
	o := DefaultOptions()
	o.Orders, o.Origins, o.Apart, o.Length, o.Stay, o.Each, o.Revised = 2, 1, day, day, 2*day, 3, 2*time.Hour
	return o
}

func TestHindsightOursAndStaticPeaksAreInThisOrderAndTheSameSeedIsTheSameResult(t *testing.T) {
	machines, err := Generated(12, 3*day, 7)
	if err != nil {
		t.Fatal(err)
	}
	first, err := Run(t.Context(), machines, quick())
	if err != nil {
		t.Fatal(err)
	}
	if ours, static := first.By[Open].Hosts, first.By[FirstPeak].Hosts; !(first.Bound <= ours && ours <= static) {
		t.Errorf("%v hosts in hindsight, %v by the ledger, %v of static peaks", first.Bound, ours, static)
	}
	for i := 1; i < len(first.ByZ); i++ {
		if first.ByZ[i].Open.Hosts < first.ByZ[i-1].Open.Hosts || first.Pools.ByZ[i].Over > first.Pools.ByZ[i-1].Over || first.Pools.ByZ[i].Held < first.Pools.ByZ[i-1].Held {
			t.Errorf("with more deviations less is held: %+v, %+v", first.ByZ[i-1:i+1], first.Pools.ByZ[i-1:i+1])
		}
	}
	if p := first.Pools; p.Steps != 24*p.Hosts || p.ByZ[0].Over == 0 || p.ByZ[0].Over > .6 || p.Revisions <= 0 {
		t.Errorf("%+v", p)
	}
	again, err := Run(t.Context(), machines, quick())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
}

func TestPeaksAtOtherTimesAreSavedByForecastsAndNotByStaticPeaks(t *testing.T) {
	var machines []Machine
	for i := range 5 {
		for _, m := range opposite(17) {
			m.Name += fmt.Sprint("-", i)
			memory := m.History[resource.CPU] // as much of it, in MiB, at the same times: hosts are made to hold so many peaks of each
			memory.Values = slices.Clone(memory.Values)
			for n := range memory.Values {
				memory.Values[n] *= 1 << 20
			}
			m.History[resource.Memory] = memory
			machines = append(machines, m)
		}
	}
	o := quick()
	o.Revised = 0
	r, err := Run(t.Context(), machines, o)
	if err != nil {
		t.Fatal(err)
	}
	if ours, static := r.By[Ahead], r.By[FirstPeak].Hosts; r.Bound > ours.Hosts || ours.Hosts > .8*static || ours.Over > Risk {
		t.Errorf("%v hosts in hindsight, %v by the ledger with %v of the steps over, %v of static peaks: a fifth at least is to be saved", r.Bound, ours.Hosts, ours.Over, static)
	}
}

func TestAMoveWaitsForWhenLessIsWritten(t *testing.T) {
	var machines []Machine
	for i := range 2 {
		m := made(fmt.Sprint("m", i), 17, func(int) float64 { return 100 })
		s := forecast.Series{Start: monday, Step: grid}
		for n := range 17 * int(day/grid) {
			v := 16. * mbyte
			if h := n * 5 / 60 % 24; h >= 3 && h < 6 {
				v = .1 * mbyte
			}
			s.Values = append(s.Values, v)
		}
		m.History[resource.WriteBytes] = s
		machines = append(machines, m)
	}
	o := DefaultStartOptions()
	o.Times = 1
	s, err := RunStarts(t.Context(), machines, o)
	if err != nil {
		t.Fatal(err)
	}
	// At once more than half as much again is sent, as the rounds get no smaller fast; in the quiet hours next to nothing.
	if s.Moves != 2 || s.Later != 2 || s.Worse != 0 || s.Refused != 0 || s.Rewritten.Median < .5 || s.Bytes.Median < .3 || s.Duration.Median < .3 || s.Bytes != s.LaterBytes {
		t.Errorf("%+v", s)
	}
}

func TestAFolderThatIsNotThereHasAReason(t *testing.T) {
	dir := t.TempDir()
	var none *NoDataError
	if _, err := Load(t.Context(), dir, "bitbrains-rnd", 1); !errors.As(err, &none) || !strings.Contains(err.Error(), filepath.Join(dir, "bitbrains-rnd")) {
		t.Errorf("%v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "set"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		f, err := os.Create(filepath.Join(dir, "set", fmt.Sprintf("vm%d.csv.gz", i)))
		if err != nil {
			t.Fatal(err)
		}
		z := gzip.NewWriter(f)
		fmt.Fprintf(z, "t,cpu_usage_mhz,mem_usage_kb\n0,%d,1\n300,,2\n", i)
		if err := errors.Join(z.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	all, err := Load(t.Context(), dir, "set", 2)
	if err != nil || len(all) != 2 || all[1].Name != "vm2.csv.gz" {
		t.Fatalf("%v, %v", all, err)
	}
	// What is missing is as the step before it.
	used := usedIn(all[1].History, 0, 3)
	if used[1][resource.CPU] != 2 || used[2][resource.CPU] != 2 || used[1][resource.Memory] != 2048 {
		t.Errorf("%v", used)
	}
}

func TestANormalDistributionIsPassedAsOftenAsTablesSay(t *testing.T) {
	for z, want := range map[int64]float64{0: .5, 1280: .1003, 2330: .0099} {
		if got := Nominal(z); math.Abs(got-want) > 1e-4 {
			t.Errorf("%d: %v, want %v", z, got, want)
		}
	}
}
