package forecast

import (
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// StepErrors is how far what came in a step was off its forecast.
type StepErrors struct {
	At timeline.Time
	Of [resource.Kinds]float64 // above the median, in deviations of the forecast; NaN where it can't be told
}

// deviationsTo95 is how many of them the 95th percentile of a normal distribution lies above its median.
const deviationsTo95 = 1.645

// Errors returns how far the steps that See would look at were off their forecasts. Ask before See does. Where a forecast is within one unit there is
// nothing to be off by.
func (d *Drift) Errors(h History) []StepErrors {
	const median, high = 0, 2 // of DefaultQuantiles
	var known timeline.Time
	for k := range h {
		h[k] = h[k].Resample(d.f.Step)
		known = max(known, h[k].End())
	}
	var out []StepErrors
	for at := d.next; at < d.f.Span().End && at.Add(d.f.Step) < known; at = at.Add(d.f.Step) {
		e := StepErrors{At: at}
		step := int(at.Sub(d.f.Start) / d.f.Step)
		for k, s := range h {
			e.Of[k] = math.NaN()
			values := d.f.Values[k]
			i := at.Sub(s.Start) / d.f.Step
			if at < s.Start || i >= time.Duration(len(s.Values)) || d.f.Reasons[k].Cold || values[high][step]-values[median][step] < 1 {
				continue
			}
			if came := s.Values[i]; !math.IsNaN(came) {
				e.Of[k] = (came - values[median][step]) * deviationsTo95 / (values[high][step] - values[median][step])
			}
		}
		out = append(out, e)
	}
	return out
}
