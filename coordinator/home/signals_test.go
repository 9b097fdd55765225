package home

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// visitors come and go as they like: a sum of waves that fit no day.
func visitors(at timeline.Time) float64 {
	hours := float64(at) / 3_600_000
	return 100 + 30*math.Sin(hours/1.3) + 25*math.Sin(hours/2.9+1) + 20*math.Sin(hours/.71+2)
}

// served is a demand that follows visitors, half a millicore each.
func served(at timeline.Time) float64 {
	return 20 + .5*visitors(at) + 2*math.Sin(float64(at/300_000)*1.7)
}

// counted is what is known of signals: of requests, and of one that was taken out of the spec.
func counted(_ context.Context, _ string, span timeline.Span) ([]forecast.Signal, error) {
	s := forecast.Series{Start: timeline.Of(time.Date(1999, 12, 28, 0, 0, 0, 0, time.UTC)), Step: grid}
	s.Values = make([]float64, int(span.End.Sub(s.Start)/grid))
	for i := range s.Values {
		s.Values[i] = visitors(s.Start.Add(time.Duration(i) * grid))
	}
	return []forecast.Signal{{Name: "former", Series: s}, {Name: "requests", Series: s}}, nil
}

func TestAForecastSaysWhatSignalsAreToBeAndWhatFollowsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Standard)
		i, _ := w.view().Instance("cache-1")
		spec := i.Spec
		spec.Signals = []proto.Signal{
			{Name: "requests", URL: "http://127.0.0.1:9121/", Metric: "requests_total", Kind: proto.SignalCounter},
			{Name: "unseen", URL: "http://127.0.0.1:9121/", Metric: "unseen", Kind: proto.SignalGauge},
		}
		w.must(&proto.InstanceApply{Spec: spec})
		h := w.homes(nil)
		h.cfg.Store, h.cfg.Signals = shape(served), counted
		whole, err := h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: "cache-1"})
		if err != nil {
			t.Fatal(err)
		}
		if len(whole.Signals) != 1 || whole.Signals[0].Name != "requests" || whole.Signals[0].Kind != proto.SignalCounter || whole.Signals[0].Until == 0 {
			t.Fatalf("%+v", whole.Signals)
		}
		s := whole.Signals[0]
		if len(s.Values) != len(whole.Quantiles) || s.Values[0][0] < 10 || s.Values[0][0] > 200 || s.Values[0][0] > s.Values[3][0] {
			t.Errorf("%d quantiles from %v", len(s.Values), s.Values[0][0])
		}
		if len(s.Effects) != 1 || s.Effects[0].Resource != resource.CPU || math.Abs(s.Effects[0].Each-.5) > .1 || s.Effects[0].NextHour == 0 {
			t.Errorf("%+v", s.Effects)
		}
		said := strings.Join(whole.Reasons, "\n")
		if !strings.Contains(said, "signal unseen: nothing is known of it yet") {
			t.Error(said)
		}
		if !strings.Contains(said, "signal requests: 0.") || !strings.Contains(said, " ms of cpu each (counts ") {
			t.Error(said)
		}
		part, err := h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: "cache-1", From: whole.Start.Add(2 * grid), Steps: 3})
		if err != nil || len(part.Signals) != 1 || len(part.Signals[0].Values[0]) != 3 || part.Signals[0].Values[0][0] != s.Values[0][2] {
			t.Errorf("a part of it has %+v, %v", part.Signals, err)
		}
		spec.Signals = nil
		w.must(&proto.InstanceApply{Spec: spec})
		if none, err := h.Forecast(t.Context(), wire.Peer{}, proto.ForecastRequest{Instance: "cache-1"}); err != nil || len(none.Signals) != 0 {
			t.Errorf("taken out of the spec, it is forecast still: %+v, %v", none.Signals, err)
		}
	})
}
