// Package common estimates what part of their deviations the forecasts of several instances have in common: one factor that moves all of them at once.
package common

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Assumed is the part of the deviation, in hundredths, that instances have in common as long as too few errors are there to tell.
const Assumed = 30

const (
	// Steps is how many steps a ring keeps: a day of five minutes.
	Steps = 288
	// leastMembers and leastSteps are below how many instances at once, and in how many such steps, nothing is estimated.
	leastMembers, leastSteps = 3, 24
	// weight is how many steps count as much as what is assumed.
	weight = 48
)

// Errors are kept in parts of a deviation, at most farthest of them: one step that is far off does not say how others go together.
const (
	parts    = 25
	farthest = 5
	unknown  = math.MinInt8
)

// Ring keeps the errors of an instance's forecasts in the last Steps steps.
type Ring struct {
	step time.Duration
	end  int64 // number of the step after the newest
	kept [Steps][resource.Kinds]int8
}

// NewRing returns a ring of steps that long in which nothing is known.
func NewRing(step time.Duration) *Ring {
	r := &Ring{step: step}
	for i := range r.kept {
		r.kept[i] = nothing()
	}
	return r
}

// Step returns how long the ring's steps are.
func (r *Ring) Step() time.Duration { return r.step }

func nothing() (v [resource.Kinds]int8) {
	for k := range v {
		v[k] = unknown
	}
	return v
}

// Put keeps by how many of its deviations the forecast of the step at a time was exceeded; below 0 less came, NaN is unknown.
func (r *Ring) Put(at timeline.Time, errors [resource.Kinds]float64) {
	n := int64(at) / r.step.Milliseconds()
	if n < 0 || n <= r.end-1-Steps {
		return
	}
	for i := max(r.end, n+1-Steps); i <= n; i++ {
		r.kept[i%Steps] = nothing()
	}
	r.end = max(r.end, n+1)
	for k, z := range errors {
		if !math.IsNaN(z) {
			r.kept[n%Steps][k] = int8(math.Round(max(-farthest, min(farthest, z)) * parts))
		}
	}
}

// at returns the errors of a step.
func (r *Ring) at(n int64) [resource.Kinds]int8 {
	if n >= r.end || n < 0 || n < r.end-Steps {
		return nothing()
	}
	return r.kept[n%Steps]
}

// Estimate is what part of their deviations instances have in common.
type Estimate struct {
	Share   [resource.Kinds]int // in hundredths; Assumed where Steps are too few
	Steps   [resource.Kinds]int // in which the errors of several were known
	Members int                 // instances
}

// Nothing is the estimate from no errors at all.
func Nothing() Estimate {
	var e Estimate
	for k := range e.Share {
		e.Share[k] = Assumed
	}
	return e
}

// Of estimates it from the errors of instances with the same steps: the mean covariance of two of them over the mean variance, which is the square of the
// part in common if one factor moves all of them. It is drawn towards what is assumed, the more so the fewer steps are there.
func Of(rings []*Ring) Estimate {
	out := Nothing()
	out.Members = len(rings)
	end := int64(0)
	for _, r := range rings {
		end = max(end, r.end)
	}
	var all [resource.Kinds]sums
	for n := end - Steps; n < end; n++ {
		var step [resource.Kinds]struct{ count, sum, squares int64 }
		for _, r := range rings {
			for k, z := range r.at(n) {
				if z != unknown {
					step[k].count++
					step[k].sum += int64(z)
					step[k].squares += int64(z) * int64(z)
				}
			}
		}
		for k, s := range step {
			if s.count >= leastMembers {
				all[k].add(s.count, s.sum, s.squares)
			}
		}
	}
	for k, s := range all {
		out.Steps[k] = s.steps
		if s.steps >= leastSteps && s.squares > 0 {
			out.Share[k] = int(math.Round(100 * math.Sqrt(drawn(s.correlation(), s.steps))))
		}
	}
	return out
}

// sums are what correlation follows from.
type sums struct {
	steps, values, pairs    int
	squares, productsOfPair int64
}

func (s *sums) add(count, sum, squares int64) {
	s.steps++
	s.values += int(count)
	s.pairs += int(count * (count - 1))
	s.squares += squares
	s.productsOfPair += sum*sum - squares
}

// correlation returns the mean covariance of two errors over their mean variance, between 0 and 1.
func (s *sums) correlation() float64 {
	covariance, variance := float64(s.productsOfPair)/float64(s.pairs), float64(s.squares)/float64(s.values)
	return max(0, min(1, covariance/variance))
}

// drawn draws a correlation that was measured in so many steps towards the one that is assumed.
func drawn(correlation float64, steps int) float64 {
	const assumed = Assumed * Assumed / 1e4
	w := float64(steps) / float64(steps+weight)
	return w*correlation + (1-w)*assumed
}

// Assumes reports whether the share of a resource is assumed, not estimated.
func (e Estimate) Assumes(k resource.Kind) bool { return e.Steps[k] < leastSteps }

// Says returns in words what the instances on a host are taken to have in common.
func (e Estimate) Says(host string) string {
	var estimated []string
	most, assumed := 0, false
	for _, k := range resource.All() {
		switch {
		case !k.Poolable():
		case e.Assumes(k):
			assumed = true
			most = max(most, e.Steps[k])
		default:
			estimated = append(estimated, fmt.Sprintf("%s %d %%", k, e.Share[k]))
		}
	}
	text := "of the deviation, what instances on " + host + " have in common: "
	if len(estimated) > 0 {
		text += fmt.Sprintf("%s, from errors of %d instances in up to %d steps", strings.Join(estimated, ", "), e.Members, slices.Max(e.Steps[:]))
	}
	switch {
	case !assumed:
		return text
	case len(estimated) > 0:
		text += "; of the rest "
	}
	return text + fmt.Sprintf("%d %% are assumed: errors are too few (instances: %d, steps: %d; it takes %d and %d)", Assumed, e.Members, most, leastMembers, leastSteps)
}
