package pool

import (
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
)

// Growth is how much an instance came to ask for within a day: relative to the highest that it had shown by then, in each of some lengths of time, and relative to what
// its type grants. It does not change.
type Growth struct {
	seen    [resource.Kinds][ages]sample
	granted [resource.Kinds]sample
}

// Fleet is what the growth of many instances, of whatever applications, says of one that has little history and none that is like it: quantiles of what came, each
// instance counting alike. Their levels and shapes have nothing in common; by how many times instances pass what they have shown has. It does not change.
type Fleet struct {
	seen    [resource.Kinds][ages]sample
	granted [resource.Kinds]sample
}

// sample is values in order that stand for shares of a distribution that are alike; nil: too little is known.
type sample []float64

// FleetLeast is how many instances must be known for a fleet to say anything of a resource.
const FleetLeast = 10

const (
	ages        = 5
	samplePlace = 50 // values of one instance's sample
	growthEvery = 7 * time.Hour
	growthStep  = 30 * time.Minute // between the times that are looked at in the day after
	growthLeast = 8                // beginnings that it takes, growthEvery apart so that all times of day come up

	// An instance that has just begun may have none of its load yet. Until early it is expected to take what instances take at any time, and less and less of that until grown.
	early, grown = 6 * time.Hour, 12 * time.Hour
)

// ageOf returns how long what was seen is in the i-th sample of a growth.
func ageOf(i int) time.Duration {
	return [ages]time.Duration{30 * time.Minute, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour}[i]
}

// GrowthOf returns that of an instance by its history, and by what its type grants, 0 or resource.Unlimited where that is not known. It takes four days.
func GrowthOf(h forecast.History, most resource.Vector) *Growth {
	g := &Growth{}
	for k, s := range h {
		if s.Step <= 0 {
			continue
		}
		for i := range g.seen[k] {
			g.seen[k][i] = passed(s, ageOf(i))
		}
		if g.seen[k][0] == nil || most[k] <= 0 || most[k] >= resource.Unlimited {
			continue
		}
		var shares []float64
		for i := 0; i < len(s.Values); i += stepsOf(growthStep, s) {
			if v := s.Values[i]; !math.IsNaN(v) {
				shares = append(shares, v/float64(most[k]))
			}
		}
		g.granted[k] = sampleOf(shares)
	}
	return g
}

// stepsOf returns how many steps of a series a time is, at least one.
func stepsOf(d time.Duration, s forecast.Series) int { return max(1, int(d/s.Step)) }

// passed is the demand in the day after times of that length, relative to the highest in them; what came after nothing is infinite.
func passed(s forecast.Series, age time.Duration) sample {
	before, ahead := stepsOf(age, s), stepsOf(day, s)
	var ratios []float64
	begun := 0
	for o := len(s.Values) - ahead; o >= before; o -= stepsOf(growthEvery, s) {
		top, known := highest(s.Values[o-before : o])
		if 2*known < before {
			continue
		}
		begun++
		for i := o; i < o+ahead; i += stepsOf(growthStep, s) {
			switch v := s.Values[i]; {
			case v == 0:
				ratios = append(ratios, 0)
			case v > 0: // it is known
				ratios = append(ratios, v/top)
			}
		}
	}
	if begun < growthLeast {
		return nil
	}
	return sampleOf(ratios)
}

// highest returns the highest value, 0 if there is none, and how many are known.
func highest(values []float64) (top float64, known int) {
	for _, v := range values {
		if !math.IsNaN(v) {
			top = max(top, v)
			known++
		}
	}
	return top, known
}

// sampleOf sorts the values and returns the middles of equal shares of them.
func sampleOf(values []float64) sample {
	if len(values) < samplePlace {
		return nil
	}
	slices.Sort(values)
	out := make(sample, samplePlace)
	for i := range out {
		out[i] = values[(2*i+1)*len(values)/(2*samplePlace)]
	}
	return out
}

// FleetOf puts together what instances showed.
func FleetOf(all []*Growth) *Fleet {
	f := &Fleet{}
	for k := range f.seen {
		for i := range f.seen[k] {
			f.seen[k][i] = together(all, func(g *Growth) sample { return g.seen[k][i] })
		}
		f.granted[k] = together(all, func(g *Growth) sample { return g.granted[k] })
	}
	return f
}

func together(all []*Growth, of func(*Growth) sample) (out sample) {
	for _, g := range all {
		out = append(out, of(g)...)
	}
	if len(out) < FleetLeast*samplePlace {
		return nil
	}
	slices.Sort(out)
	return out
}

// Instances returns how many instances it is made of, for a resource.
func (f *Fleet) Instances(k resource.Kind) int { return len(f.seen[k][0]) / samplePlace }

// StandsIn returns per quantile (ascending) what an instance is to be expected to ask for in a day by what it has shown, and by what its type grants, 0 where that is not known; nil where the
// fleet says too little.
func (f *Fleet) StandsIn(k resource.Kind, own forecast.Series, most int64, quantiles []float64) []float64 {
	top, known := highest(own.Values)
	observed := time.Duration(known) * own.Step
	limit := float64(most)
	if most <= 0 || most >= resource.Unlimited {
		limit = math.Inf(1)
	}
	usual := f.granted[k]
	if math.IsInf(limit, 1) {
		usual = nil
	}
	weight := min(1, max(0, float64(grown-observed)/float64(grown-early))) // of what instances take at any time
	if top == 0 {
		weight = 1
	}
	if (weight == 1 && usual == nil) || (top > 0 && f.seen[k][0] == nil) {
		return nil
	}
	out := make([]float64, len(quantiles))
	for qi, q := range quantiles {
		if top > 0 {
			out[qi] = f.times(k, observed, q) * top
		}
		if weight > 0 && usual != nil {
			out[qi] += weight * max(0, usual.quantile(q)*limit-out[qi])
		}
		if out[qi] = min(out[qi], limit); math.IsInf(out[qi], 1) || math.IsNaN(out[qi]) {
			return nil
		}
		if qi > 0 {
			out[qi] = max(out[qi], out[qi-1])
		}
	}
	return out
}

// times returns how many times the highest seen in so much time the quantile q of the next day is.
func (f *Fleet) times(k resource.Kind, observed time.Duration, q float64) float64 {
	last := 0
	for last < ages-1 && ageOf(last+1) <= observed {
		last++
	}
	v := f.seen[k][last].quantile(q)
	if last == ages-1 || observed <= ageOf(0) || f.seen[k][last+1] == nil || math.IsInf(v, 1) {
		return v
	}
	from, to := ageOf(last).Hours(), ageOf(last+1).Hours()
	return v + math.Log(observed.Hours()/from)/math.Log(to/from)*(f.seen[k][last+1].quantile(q)-v)
}

// quantile returns the conformal quantile q.
func (s sample) quantile(q float64) float64 {
	return s[min(max(int(math.Ceil(float64(len(s)+1)*q-1e-9))-1, 0), len(s)-1)]
}
