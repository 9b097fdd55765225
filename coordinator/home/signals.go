package home

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// signals returns what is known of the signals that an instance has by its spec, in its order.
func (h *Homes) signals(ctx context.Context, view *state.View, instance string, now timeline.Time) ([]forecast.Signal, error) {
	i, ok := view.Instance(instance)
	if !ok || len(i.Spec.Signals) == 0 || h.cfg.Signals == nil {
		return nil, nil
	}
	stored, err := h.cfg.Signals(ctx, instance, asked(learnMost, now)) // more than is looked at costs little
	if err != nil {
		return nil, err
	}
	var out []forecast.Signal
	for _, s := range i.Spec.Signals {
		at := slices.IndexFunc(stored, func(f forecast.Signal) bool { return f.Name == s.Name })
		if at >= 0 {
			out = append(out, stored[at])
		}
	}
	return out, nil
}

// sameSignal reports whether two signals of an instance, of an earlier and a later spec, have the same history.
func sameSignal(a, b proto.Signal) bool { return a.Name == b.Name && a.Kind == b.Kind }

// signalForecasts returns what a forecast says of signals, and they of demand.
func signalForecasts(f *forecast.Forecast, specs []proto.Signal) []proto.SignalForecast {
	var out []proto.SignalForecast
	for _, s := range f.Signals {
		r := proto.SignalForecast{Name: s.Name, Values: s.Values, Until: s.Until}
		for _, spec := range specs {
			if spec.Name == s.Name {
				r.Kind = spec.Kind
			}
		}
		if s.Reason.Pattern != "" {
			r.Pattern = &proto.SignalPattern{Pattern: string(s.Reason.Pattern), Confidence: milli(s.Reason.Confidence)}
		}
		for k, why := range f.Reasons {
			for _, by := range why.Follows {
				if by.Signal == s.Name && by.NextHour+by.NextHours > 0 {
					r.Effects = append(r.Effects, proto.SignalEffect{
						Resource: resource.Kind(k), Each: by.Each, NextHour: milli(by.NextHour), NextHours: milli(by.NextHours),
					})
				}
			}
		}
		out = append(out, r)
	}
	return out
}

func milli(share float64) int { return int(math.Round(share * 1000)) }

// clipSignals cuts the signals of a forecast to the steps in the span.
func clipSignals(r *proto.ForecastReply, span timeline.Span) {
	from, to := (span.Start-r.Start)/timeline.Time(r.Step), (span.End-r.Start)/timeline.Time(r.Step)
	for i := range r.Signals {
		values := slices.Clone(r.Signals[i].Values)
		for qi, v := range values {
			n := timeline.Time(len(v))
			values[qi] = v[min(max(from, 0), n):min(max(to, 0), n)]
		}
		r.Signals[i].Values = values
	}
}

// signalWords says which signals matter, and by how much.
func signalWords(all []proto.SignalForecast, specs []proto.Signal) []string {
	var out []string
	for _, spec := range specs {
		if !slices.ContainsFunc(all, func(s proto.SignalForecast) bool { return s.Name == spec.Name }) {
			out = append(out, "signal "+spec.Name+": nothing is known of it yet")
		}
	}
	for _, s := range all {
		var parts []string
		for _, e := range s.Effects {
			parts = append(parts, fmt.Sprintf("%s (counts %d %% in the next hour, %d %% in the five after it)", e.Words(s.Kind), (e.NextHour+5)/10, (e.NextHours+5)/10))
		}
		if len(parts) == 0 {
			parts = []string{"no demand follows it, as far as is known"}
		}
		out = append(out, "signal "+s.Name+": "+strings.Join(parts, ", "))
	}
	return out
}
