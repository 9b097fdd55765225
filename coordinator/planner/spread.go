package planner

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// spread is what is expected of demand, and its deviation from that, by resource.
type spread struct{ mean, sigma [resource.Kinds]float64 }

// band is the upper half of a forecast: the median, and the quantiles above it.
type band struct {
	levels   []int // thousandths, ascending
	profiles []timeline.Profile
}

func bandOf(f proto.ForecastReply) band {
	from := len(f.Quantiles) - 1
	for from > 0 && f.Quantiles[from-1] >= 500 {
		from--
	}
	if from < 0 {
		return band{}
	}
	return band{f.Quantiles[from:], f.Profiles[from:]}
}

// over returns the spread in a span, of the most of each quantile in it. Forecasts have no quantiles below the median: demand is as far below it as above, but
// for what would be less than nothing. So what is mostly little and sometimes much is expected to be more than its median: of many instances together that is
// what comes, and the sum of their medians is not. Between two quantiles it is anything alike, above the highest that one.
func (b band) over(s timeline.Span) spread {
	var out spread
	if len(b.levels) == 0 {
		return out
	}
	var squares [resource.Kinds]float64 // of the distance from the median
	median := b.profiles[0].MaxOver(s)
	low := median
	for i := range b.levels {
		high, level := low, 1000
		if i+1 < len(b.levels) {
			high, level = b.profiles[i+1].MaxOver(s).Max(low), b.levels[i+1]
		}
		share := float64(level-max(500, b.levels[i])) / 1000
		for k := range out.mean {
			m, from, to := float64(median[k]), float64(low[k]-median[k]), float64(high[k]-median[k])
			out.mean[k] += share * (from + to) / 2
			squares[k] += share * (from*from + from*to + to*to) / 3
			// The same below, down to nothing.
			part := 1.
			if to > m {
				part = 0
				if from < m {
					part = (m - from) / (to - from)
				}
			}
			end := min(to, m)
			out.mean[k] -= share * (part*(min(from, m)+end)/2 + (1-part)*m)
			squares[k] += share * (part*(from*from+from*end+end*end)/3 + (1-part)*m*m)
		}
		low = high
	}
	for k, above := range out.mean {
		out.mean[k], out.sigma[k] = float64(median[k])+above, math.Sqrt(max(0, squares[k]-above*above))
	}
	return out
}

// above returns what is expected above a part that is held anyway.
func (s spread) above(firm resource.Vector) spread {
	for k := range s.mean {
		s.mean[k] = max(0, s.mean[k]-float64(firm[k]))
	}
	return s
}

// within returns what is expected above a firm part at a time of a span that nobody knows: the mean of its steps, and how far demand is from that, in the course
// of the span and by chance.
func (b band) within(s timeline.Span, step time.Duration, firm resource.Vector) spread {
	var out spread
	var squares [resource.Kinds]float64
	all := 0.0
	if len(b.profiles) > 0 {
		s = s.Intersect(b.profiles[0].Span()) // a forecast may be shorter
	}
	for at := s.Start; at < s.End; at = at.Add(step) {
		in := timeline.Span{Start: at, End: min(s.End, at.Add(step))}
		length, now := in.Length().Seconds(), b.over(in).above(firm)
		all += length
		for k, mean := range now.mean {
			out.mean[k] += length * mean
			squares[k] += length * (mean*mean + now.sigma[k]*now.sigma[k])
		}
	}
	for k := range out.mean {
		out.mean[k] /= max(1, all)
		out.sigma[k] = math.Sqrt(max(0, squares[k]/max(1, all)-out.mean[k]*out.mean[k]))
	}
	return out
}
