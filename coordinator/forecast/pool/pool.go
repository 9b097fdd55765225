// Package pool forecasts an instance that has little history of its own by what is forecast of others like it: their shape and level, which fade as its own data earn
// weight.
package pool

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Until is how much data an instance has from which on it speaks alone.
const Until = 48 * time.Hour

const (
	day      = 24 * time.Hour
	fadeFrom = 12 * time.Hour // of data, until which the others speak alone
	mostOff  = 20.0           // times the others' level that its own may be, either way
	differ   = .2             // deviation that is assumed of the logarithms of instances' levels
	assumed  = 2.0            // instances that what is assumed counts as
	leastOff = .1             // deviation of an hour's own level from that of the day, relative to it, at least
)

// Others is what is forecast of instances like a new one, all for the same steps.
type Others struct {
	Forecasts []*forecast.Forecast // at least one
	Of        [resource.Kinds]bool // resources that they speak for
}

// Speak returns how much the others count for an instance with so much data, from 1 to 0.
func Speak(observed time.Duration) float64 {
	return min(1, max(0, float64(Until-observed)/float64(Until-fadeFrom)))
}

// Common is what others have in common, for the resources that they speak for. It is a fraction of their forecasts, which need not be kept.
type Common struct {
	shapes [resource.Kinds]*shape // nil: they say nothing
	levels int                    // quantiles
}

// Common returns what the others have in common.
func (o Others) Common() *Common {
	quantiles := o.Forecasts[0].Quantiles
	c := &Common{levels: len(quantiles)}
	for k, speak := range o.Of {
		if !speak {
			continue
		}
		if s, ok := o.shape(k, quantiles); ok {
			c.shapes[k] = &s
		}
	}
	return c
}

// Of reports whether they say anything of a resource.
func (c *Common) Of(k resource.Kind) bool { return c.shapes[k] != nil }

// Blend puts what the others are forecast to take into an instance's own forecast, by how much they count. own is what the instance has shown, and most what its type
// grants, 0 where that is not known. Both forecasts have the same quantiles and the same step. Where the others' forecasts don't reach, the day before counts.
func (c *Common) Blend(f *forecast.Forecast, own forecast.History, most resource.Vector) {
	for k := range f.Values {
		weight, s := Speak(f.Reasons[k].Observed), c.shapes[k]
		if s == nil || weight == 0 || len(f.Quantiles) != c.levels {
			continue
		}
		level, unsure := s.level(own[k])
		recent := lastHour(own[k], f.Start)
		for i := range f.Steps() {
			at := f.Start.Add(time.Duration(i) * f.Step)
			j, ok := s.index(at)
			if !ok {
				continue
			}
			for qi, q := range f.Quantiles {
				v := s.quantile(j, qi, q, level, unsure)
				if q > .5 && at.Sub(f.Start) < time.Hour {
					v = max(v, recent) // a level that has just shown itself
				}
				if most[k] > 0 {
					v = min(v, float64(most[k]))
				}
				f.Values[k][qi][i] = weight*v + (1-weight)*f.Values[k][qi][i]
			}
		}
	}
}

// shape is the demand for one resource that the others have in common, in shares of each one's level, which is its mean over the first day.
type shape struct {
	start  timeline.Time
	step   time.Duration
	middle []float64   // the median at each step
	band   [][]float64 // per quantile and step: how far it is from the median
	usual  float64     // the geometric mean of the levels
	apart  float64     // deviation of the logarithms of the levels
	noise  float64     // deviation of a step from the median
}

// shape finds what the others have in common; false where one of them takes nothing, or their forecasts are not alike.
func (o Others) shape(k int, quantiles []float64) (shape, bool) {
	first := o.Forecasts[0]
	perDay, n := int(day/first.Step), len(first.Values[k][0])
	if perDay == 0 || n < perDay {
		return shape{}, false
	}
	s := shape{start: first.Start, step: first.Step, middle: make([]float64, n), band: make([][]float64, len(quantiles))}
	for qi := range s.band {
		s.band[qi] = make([]float64, n)
	}
	count, sum, square := float64(len(o.Forecasts)), 0.0, 0.0
	for _, f := range o.Forecasts {
		if f.Start != s.start || f.Step != s.step || len(f.Quantiles) != len(quantiles) || len(f.Values[k][0]) != n {
			return shape{}, false
		}
		middle := f.Values[k][middleOf(f.Quantiles)]
		level := mean(middle[:perDay])
		if level <= 0 {
			return shape{}, false
		}
		sum, square = sum+math.Log(level), square+math.Log(level)*math.Log(level)
		for i, m := range middle {
			s.middle[i] += m / level / count
			for qi := range quantiles {
				s.band[qi][i] += (f.Values[k][qi][i] - m) / level / count
			}
		}
	}
	s.usual = math.Exp(sum / count)
	s.apart = math.Sqrt((max(0, square-sum*sum/count) + assumed*differ*differ) / (count - 1 + assumed))
	for qi, q := range quantiles {
		if z := normal(q); z > 1 {
			s.noise = max(s.noise, mean(s.band[qi])/z)
		}
	}
	return s, true
}

// index returns the step of the shape at a time, or at the same time on another day.
func (s shape) index(at timeline.Time) (int, bool) {
	perDay := int(day / s.step)
	i := int(at.Sub(s.start) / s.step)
	if at < s.start {
		i = -int((s.start.Sub(at) + s.step - 1) / s.step)
		i += (-i + perDay - 1) / perDay * perDay
	}
	if n := len(s.middle); i >= n {
		i -= (i - n + perDay) / perDay * perDay
	}
	return i, i >= 0 && i < len(s.middle)
}

// level returns the level of an instance by what it has shown, set beside the shape at those times of day and drawn towards the usual level of the others, and the
// deviation of its logarithm. The more the others' levels differ, the less of its own data it takes.
func (s shape) level(own forecast.Series) (level, unsure float64) {
	own = own.Resample(max(s.step, own.Step))
	took, would, hours := 0.0, 0.0, 0.0
	for i, v := range own.Values {
		j, ok := s.index(own.Start.Add(time.Duration(i) * own.Step))
		if ok && !math.IsNaN(v) {
			took, would, hours = took+v, would+s.usual*s.middle[j], hours+own.Step.Hours()
		}
	}
	unsure = s.apart * math.Sqrt(1+1/assumed)
	if hours == 0 || would <= 0 {
		return s.usual, unsure
	}
	ratio := min(max(took/would, 1/mostOff), mostOff)
	off := max(leastOff, s.noise)
	known := hours / (hours + off*off/(s.apart*s.apart))
	return s.usual * math.Exp(known*math.Log(ratio)), unsure * math.Sqrt(1-known)
}

// quantile returns a quantile at a step for an instance at a level. How far it is from its own median, and how far it is off that level, are independent of each other.
func (s shape) quantile(i, qi int, q, level, unsure float64) float64 {
	middle := level * s.middle[i]
	off := middle * (math.Exp(normal(q)*unsure) - 1)
	far := math.Hypot(level*s.band[qi][i], off)
	if off < 0 {
		far = -far
	}
	return max(0, middle+far)
}

// normal returns the quantile q of the standard normal distribution.
func normal(q float64) float64 { return math.Sqrt2 * math.Erfinv(2*q-1) }

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// middleOf returns the quantile nearest to the median.
func middleOf(quantiles []float64) int {
	best := 0
	for i, q := range quantiles {
		if math.Abs(q-.5) < math.Abs(quantiles[best]-.5) {
			best = i
		}
	}
	return best
}

// lastHour returns the most that a series had in the hour before a time.
func lastHour(s forecast.Series, now timeline.Time) float64 {
	most := 0.0
	for i, v := range s.Values {
		if s.Start.Add(time.Duration(i)*s.Step) >= now.Add(-time.Hour) && !math.IsNaN(v) {
			most = max(most, v)
		}
	}
	return most
}
