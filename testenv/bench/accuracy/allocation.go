//go:build linux

package accuracy

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/testenv/traces"
)

// AllocationRisk is the share of steps that a policy may be short in.
const AllocationRisk = .01

const (
	// planFrom is how much history lies before the first plan, scoreFrom how many days of plans there are before the first that is scored:
	// the multipliers of the first scored day are chosen on them.
	planFrom  = 7 * day
	scoreFrom = 7
	// chosenOn is how many days of plans a multiplier is chosen on, at most.
	chosenOn = 14
	perDay   = int(day / fineStep)
	perHour  = int(time.Hour / fineStep)
)

// Policy is a way to allocate.
type Policy int

// The policies. Once is planned at the beginning of a day for all of it; Hourly is planned anew at each hour.
const (
	Static    Policy = iota // the highest that was ever seen before the day
	VPAOnce                 // the target of the other's recommender
	VPAHourly               // the same
	P95Once                 // the allocation that an instance of class standard would get
	P99Once                 // the allocation that a critical one would get
	P95Hourly
	P99Hourly
	Hindsight // the highest of the hour, which nobody knows
	policies
)

// Outcome is what a policy did over the scored steps of all machines.
type Outcome struct {
	// OfPeak is the mean allocation relative to the highest use of the whole trace, mean of the machines.
	OfPeak float64
	// OfUse is the sum of all that was allocated relative to the sum of all that was used.
	OfUse float64
	// Short is the share of steps in which more was used than allocated.
	Short float64
}

func (o Outcome) String() string {
	return fmt.Sprintf("%.2f times the use, %.2f %% of steps short", o.OfUse, 100*o.Short)
}

// Allocated is what all policies did with one resource: as they are, times what was chosen by the days before each day so that one step in a
// hundred would have been short, and times what turns out to make one step in a hundred short.
type Allocated struct {
	Kind                resource.Kind
	Machines            int
	AsIs, Chosen, Equal [policies]Outcome
	Multiplier, Exactly [policies]float64 // the mean of what was chosen by day, and what turns out
	Steps               int               // that were scored, of all machines
}

// Recorded is a series that a recommender is asked of, at times in order.
type Recorded struct {
	Name    string
	History forecast.History
	At      []timeline.Time
}

// Recommender answers what another autoscaler allocates by each of the times, from what was known then.
type Recommender func(ctx context.Context, all []Recorded) ([][]resource.Vector, error)

// allocationKinds are the resources that both sides allocate.
func allocationKinds() []resource.Kind { return []resource.Kind{resource.CPU, resource.Memory} }

// planned is what the policies allocated of one resource of one machine, step by step from the first plan on.
type planned struct {
	used []float64
	got  [policies][]float64
	peak float64
}

// ScoreAllocation lets all policies allocate CPU and memory of the machines in the folder set of o.Dir.
func ScoreAllocation(ctx context.Context, o Options, set string, other Recommender) ([]Allocated, error) {
	paths, err := filepath.Glob(filepath.Join(o.Dir, set, "vm*.csv.gz"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no vm*.csv.gz in %s", filepath.Join(o.Dir, set))
	}
	took := o.chosen(len(paths))
	asked, err := each(ctx, o.Workers, len(took), func(i int) (Recorded, error) {
		path := paths[took[i]]
		all, err := traces.LoadBitbrains(path)
		if err != nil {
			return Recorded{}, err
		}
		var h forecast.History
		for _, k := range allocationKinds() {
			h[k] = all[k]
		}
		r := Recorded{Name: filepath.Base(path), History: h}
		for at := plansOf(h).Start; at < plansOf(h).End; at = at.Add(time.Hour) {
			r.At = append(r.At, at)
		}
		return r, nil
	})
	if err != nil {
		return nil, err
	}
	recommended, err := other(ctx, asked)
	if err != nil {
		return nil, err
	}
	machines, err := each(ctx, o.Workers, len(asked), func(i int) ([]planned, error) {
		if len(recommended[i]) != len(asked[i].At) {
			return nil, fmt.Errorf("%s: %d recommendations for %d times", asked[i].Name, len(recommended[i]), len(asked[i].At))
		}
		p, err := plan(ctx, asked[i].History, recommended[i], o.Members)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", asked[i].Name, err)
		}
		return p, nil
	})
	if err != nil {
		return nil, err
	}
	var out []Allocated
	for ki, k := range allocationKinds() {
		of := make([]planned, len(machines))
		for i := range machines {
			of[i] = machines[i][ki]
		}
		out = append(out, allocated(k, of))
	}
	return out, nil
}

// plansOf returns the whole days that plans are made for.
func plansOf(h forecast.History) timeline.Span {
	start := h[resource.CPU].Start.Add(planFrom).Ceil(time.Hour)
	return timeline.Span{Start: start, End: start.Add(max(0, h[resource.CPU].End().Sub(start)) / day * day)}
}

// allocated scores all policies on one resource.
func allocated(kind resource.Kind, all []planned) Allocated {
	a := Allocated{Kind: kind}
	days := 0
	for _, m := range all {
		days = max(days, len(m.used)/perDay)
	}
	ones := slices.Repeat([]float64{1}, days)
	for p := range policies {
		chosen, sum := slices.Clone(ones), 0.0
		for d := scoreFrom; d < days; d++ {
			chosen[d] = multiplier(all, p, max(0, d-chosenOn), d)
			sum += chosen[d]
		}
		a.Multiplier[p] = sum / float64(max(1, days-scoreFrom))
		a.Exactly[p] = multiplier(all, p, scoreFrom, days)
		a.AsIs[p], a.Machines, a.Steps = outcome(all, p, ones)
		a.Chosen[p], _, _ = outcome(all, p, chosen)
		a.Equal[p], _, _ = outcome(all, p, slices.Repeat([]float64{a.Exactly[p]}, days))
	}
	return a
}

// multiplier returns the least by which a policy's allocations on the days from and up to another have to be multiplied so that the risk is not
// passed; 1 where nothing is known. What nothing was allocated of can't be mended so, and counts as short.
func multiplier(all []planned, p Policy, from, to int) float64 {
	var ratios []float64
	for _, m := range all {
		for i := from * perDay; i < min(to*perDay, len(m.used)); i++ {
			switch {
			case math.IsNaN(m.used[i]) || math.IsNaN(m.got[p][i]):
			case m.used[i] == 0:
				ratios = append(ratios, 0)
			default:
				ratios = append(ratios, m.used[i]/m.got[p][i])
			}
		}
	}
	if len(ratios) == 0 {
		return 1
	}
	slices.Sort(ratios)
	i := int(math.Ceil((1-AllocationRisk)*float64(len(ratios))-1e-9)) - 1
	for i > 0 && math.IsInf(ratios[i], 1) {
		i--
	}
	if math.IsInf(ratios[i], 1) {
		return 1 // nothing was allocated at any time: no multiple of it is more
	}
	return ratios[i]
}

// outcome scores a policy whose allocations are multiplied, by day, over the scored days. None allocates more than the highest use of the whole trace, which stands
// for the size of the machine. It returns how many machines and steps were scored.
func outcome(all []planned, p Policy, times []float64) (o Outcome, machines, steps int) {
	got, used, short := 0.0, 0.0, 0
	for _, m := range all {
		mine, n := 0.0, 0
		for i := scoreFrom * perDay; i < len(m.used); i++ {
			if math.IsNaN(m.used[i]) || math.IsNaN(m.got[p][i]) {
				continue
			}
			v := min(m.got[p][i]*times[i/perDay], m.peak)
			mine += v
			used += m.used[i]
			n++
			if m.used[i] > v*(1+1e-12) { // a multiplier is a quotient of such amounts
				short++
			}
		}
		got += mine
		steps += n
		if n > 0 && m.peak > 0 {
			o.OfPeak += mine / float64(n) / m.peak
			machines++
		}
	}
	o.OfPeak /= float64(max(1, machines))
	o.OfUse, o.Short = got/used, float64(short)/float64(max(1, steps))
	return o, machines, steps
}
