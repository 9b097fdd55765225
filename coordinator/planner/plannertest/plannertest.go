// Package plannertest draws forecasts for tests of what is made from them.
package plannertest

import (
	"time"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Forecast draws the median and the 95th percentile of up to 60 steps from begin on, the same amount below 2 × most of every resource in a step.
func Forecast(t *rapid.T, begin timeline.Time, step time.Duration, most int64) proto.ForecastReply {
	var median, high timeline.Profile
	for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
		span := timeline.Span{Start: begin.Add(time.Duration(i) * step), End: begin.Add(time.Duration(i+1) * step)}
		m := resource.Uniform(rapid.Int64Range(0, most).Draw(t, "median"))
		median = append(median, timeline.Step{Span: span, Amount: m})
		high = append(high, timeline.Step{Span: span, Amount: m.Add(resource.Uniform(rapid.Int64Range(0, most).Draw(t, "more")))})
	}
	return proto.ForecastReply{Start: begin, Step: step.Milliseconds(), Quantiles: []int{500, 950}, Profiles: []timeline.Profile{median, high}}
}
