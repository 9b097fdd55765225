package timeline

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

// Step is one interval of a profile and the amounts that hold in it.
type Step struct {
	Span   `msgpack:",inline"`
	Amount resource.Vector `msgpack:"a" json:"amount"`
}

// Profile is a resource vector as a function of time: steps in order that do not overlap. Where no step is, the amount is 0.
type Profile []Step

// Flat returns a profile with one step.
func Flat(s Span, v resource.Vector) Profile { return Profile{{s, v}} }

// Valid returns a *StepError that names the first step which is empty, out of order, overlapping or has an invalid amount.
func (p Profile) Valid() error {
	before := Span{Start: math.MinInt64, End: math.MinInt64}
	for i, s := range p {
		if fault := Follow(before, s.Span); fault != "" {
			return &StepError{What: "step", Step: i, Span: s.Span, Fault: fault}
		}
		if err := s.Amount.Valid(); err != nil {
			return &StepError{What: "step", Step: i, Span: s.Span, Fault: FaultAmount, Err: err}
		}
		before = s.Span
	}
	return nil
}

// Span returns the interval from the first step's start to the last step's end; empty for an empty profile.
func (p Profile) Span() Span {
	if len(p) == 0 {
		return Span{}
	}
	return Span{p[0].Start, p[len(p)-1].End}
}

// At returns the amounts at t, and false where no step is.
func (p Profile) At(t Time) (resource.Vector, bool) {
	i := sort.Search(len(p), func(i int) bool { return p[i].End > t })
	if i == len(p) || !p[i].Contains(t) {
		return resource.Vector{}, false
	}
	return p[i].Amount, true
}

// MaxOver returns the largest amount of each resource in the span.
func (p Profile) MaxOver(s Span) resource.Vector {
	var v resource.Vector
	i := sort.Search(len(p), func(i int) bool { return p[i].End > s.Start })
	for ; i < len(p) && p[i].Start < s.End; i++ {
		v = v.Max(p[i].Amount)
	}
	return v
}

// Clip returns the part of p inside s.
func (p Profile) Clip(s Span) Profile {
	var out Profile
	for _, st := range p {
		if in := st.Intersect(s); !in.Empty() {
			out = append(out, Step{in, st.Amount})
		}
	}
	return out
}

// Combine returns the profile of f(p, q) at every instant where either has a step, neighbours with equal amounts joined.
func Combine(p, q Profile, f func(a, b resource.Vector) resource.Vector) Profile {
	cuts := make([]Time, 0, 2*(len(p)+len(q)))
	for _, s := range p {
		cuts = append(cuts, s.Start, s.End)
	}
	for _, s := range q {
		cuts = append(cuts, s.Start, s.End)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var out Profile
	i, j := 0, 0
	for k := 0; k+1 < len(cuts); k++ {
		span := Span{cuts[k], cuts[k+1]}
		for i < len(p) && p[i].End <= span.Start {
			i++
		}
		for j < len(q) && q[j].End <= span.Start {
			j++
		}
		var a, b resource.Vector
		in := false
		if i < len(p) && p[i].Contains(span.Start) {
			a, in = p[i].Amount, true
		}
		if j < len(q) && q[j].Contains(span.Start) {
			b, in = q[j].Amount, true
		}
		if in {
			out = append(out, Step{span, f(a, b)})
		}
	}
	return out.Join()
}

// Add returns p + q at every instant.
func (p Profile) Add(q Profile) Profile { return Combine(p, q, resource.Vector.Add) }

// Max returns the larger of p and q at every instant.
func (p Profile) Max(q Profile) Profile { return Combine(p, q, resource.Vector.Max) }

// Map returns p with f applied to every amount.
func (p Profile) Map(f func(resource.Vector) resource.Vector) Profile {
	out := make(Profile, len(p))
	for i, s := range p {
		out[i] = Step{s.Span, f(s.Amount)}
	}
	return out
}

// Join returns p with touching steps of equal amounts made one.
func (p Profile) Join() Profile {
	var out Profile
	for _, s := range p {
		if n := len(out); n > 0 && out[n-1].End == s.Start && out[n-1].Amount == s.Amount {
			out[n-1].End = s.End
			continue
		}
		out = append(out, s)
	}
	return out
}

// Integrate returns the sum over the span of amount × seconds, as floats in the resource's unit times seconds.
func (p Profile) Integrate(s Span) [resource.Kinds]float64 {
	var sum [resource.Kinds]float64
	for _, st := range p.Clip(s) {
		seconds := st.Length().Seconds()
		for k, n := range st.Amount {
			sum[k] += float64(n) * seconds
		}
	}
	return sum
}

// Resample returns p on steps of length d aligned to the epoch, each with the largest amount that p has in it.
// Only steps that p touches are returned. p must end before Forever.
func (p Profile) Resample(d time.Duration) Profile {
	var out Profile
	for _, s := range p {
		for t := s.Start.Floor(d); t < s.End; t = t.Add(d) {
			if n := len(out); n > 0 && out[n-1].Start == t {
				out[n-1].Amount = out[n-1].Amount.Max(s.Amount)
				continue
			}
			out = append(out, Step{Span{t, t.Add(d)}, s.Amount})
		}
	}
	return out
}

// Cover returns a profile of at most n steps that is nowhere below p and reaches from p's start to p's end: the coarse
// envelope of a fine schedule. Neighbours are merged in order of what the merge wastes, every resource measured
// against its own peak. n is at least 1.
func (p Profile) Cover(n int) Profile {
	if n < 1 {
		panic("timeline: Cover needs at least one step")
	}
	out := fillGaps(p).Join()
	peak := p.MaxOver(p.Span())
	if len(out) <= n {
		return out
	}
	// What a merge wastes changes only where a neighbour was merged.
	waste := make([]float64, len(out)-1)
	for i := range waste {
		waste[i] = mergeWaste(out[i], out[i+1], peak)
	}
	for len(out) > n {
		best := 0
		for i, c := range waste {
			if c < waste[best] {
				best = i
			}
		}
		out[best] = Step{Span{out[best].Start, out[best+1].End}, out[best].Amount.Max(out[best+1].Amount)}
		out = slices.Delete(out, best+1, best+2)
		waste = slices.Delete(waste, best, best+1)
		for i := max(0, best-1); i <= best && i < len(waste); i++ {
			waste[i] = mergeWaste(out[i], out[i+1], peak)
		}
	}
	return out
}

// mergeWaste is what merging a and b would hold beyond what they hold now, in peaks × seconds over all resources.
func mergeWaste(a, b Step, peak resource.Vector) float64 {
	m := a.Amount.Max(b.Amount)
	sum := 0.0
	for k := range m {
		if peak[k] == 0 {
			continue
		}
		more := float64(m[k]-a.Amount[k])*a.Length().Seconds() + float64(m[k]-b.Amount[k])*b.Length().Seconds()
		sum += more / float64(peak[k])
	}
	return sum
}

// fillGaps returns a copy of p in which the gaps between steps are steps of nothing.
func fillGaps(p Profile) Profile {
	var out Profile
	for i, s := range p {
		if i > 0 && p[i-1].End < s.Start {
			out = append(out, Step{Span: Span{p[i-1].End, s.Start}})
		}
		out = append(out, s)
	}
	return out
}
