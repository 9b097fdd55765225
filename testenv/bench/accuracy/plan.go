//go:build linux

package accuracy

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// ahead is how much further than its plan a forecast has to reach: memory is held at the most of the hour to come, and each step at that of the next.
const ahead = time.Hour + fineStep

// plan lets all policies allocate one machine's CPU and memory, in the order of allocationKinds. recommended is what the other said at each hour.
func plan(ctx context.Context, h forecast.History, recommended []resource.Vector, members []string) ([]planned, error) {
	span := plansOf(h)
	kinds := allocationKinds()
	out := make([]planned, len(kinds))
	for ki, k := range kinds {
		out[ki] = blank(h[k], span)
	}
	var m *forecast.Model
	for hour := 0; hour < len(recommended); hour++ {
		at := span.Start.Add(time.Duration(hour) * time.Hour)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var err error
		if m, err = forecast.Retrain(m, h.Before(at), nil, forecast.Options{Members: members, Maximum: resource.Uniform(1)}); err != nil {
			return nil, fmt.Errorf("at %s: %w", at, err)
		}
		if err := allocate(out, m, at, hour*perHour, time.Hour, P95Hourly, P99Hourly); err != nil {
			return nil, err
		}
		if hour%24 == 0 {
			if err := allocate(out, m, at, hour*perHour, day, P95Once, P99Once); err != nil {
				return nil, err
			}
		}
		for ki, k := range kinds {
			out[ki].known(h[k], at, hour, float64(recommended[hour][k]), float64(recommended[hour/24*24][k]))
		}
	}
	return out, nil
}

// blank returns what was used in a span, and nothing allocated.
func blank(s forecast.Series, span timeline.Span) planned {
	p := planned{used: make([]float64, span.Length()/fineStep)}
	for i := range p.used {
		p.used[i] = math.NaN()
		if at := int(span.Start.Add(time.Duration(i)*fineStep).Sub(s.Start) / s.Step); at < len(s.Values) {
			p.used[i] = s.Values[at]
		}
	}
	for i := range p.got {
		p.got[i] = make([]float64, len(p.used))
	}
	for _, v := range s.Values {
		if v > p.peak { // never where it is missing
			p.peak = v
		}
	}
	return p
}

// allocate writes what instances would get that have no type's maximum, from the i-th step on and for so long: at the model's 95th and 99th percentile.
func allocate(out []planned, m *forecast.Model, at timeline.Time, i int, length time.Duration, p95, p99 Policy) error {
	f, err := m.Forecast(at, length+ahead)
	if err != nil {
		return err
	}
	reply := proto.ForecastReply{Start: f.Start, Step: f.Step.Milliseconds()}
	for _, q := range f.Quantiles {
		reply.Quantiles = append(reply.Quantiles, int(math.Round(q*1000)))
		reply.Profiles = append(reply.Profiles, f.Profile(q))
	}
	for p, quantile := range map[Policy]int{p95: 950, p99: 990} {
		allocation, _ := planner.Sizing{Quantile: quantile, Type: resource.Uniform(resource.Unlimited)}.Allocation(reply)
		for n := range int(length / fineStep) {
			v, ok := allocation.At(at.Add(time.Duration(n) * fineStep))
			if !ok {
				return fmt.Errorf("nothing is allocated at step %d from %s on", n, at)
			}
			for ki, k := range allocationKinds() {
				out[ki].got[p][i+n] = float64(v[k])
			}
		}
	}
	return nil
}

// known writes what does not come from a forecast, for one hour: what the other said at its beginning and at the beginning of the day, the highest
// before the day, and the highest of the hour.
func (p *planned) known(s forecast.Series, at timeline.Time, hour int, hourly, once float64) {
	from := hour * perHour
	static := 0.0
	if hour%24 == 0 {
		for _, v := range s.Before(at).Values {
			if v > static {
				static = v
			}
		}
	} else {
		static = p.got[Static][from-1]
	}
	top := 0.0
	for _, v := range p.used[from : from+perHour] {
		if v > top {
			top = v
		}
	}
	for i := from; i < from+perHour; i++ {
		p.got[Static][i], p.got[VPAHourly][i], p.got[VPAOnce][i], p.got[Hindsight][i] = static, hourly, once, top
	}
}
