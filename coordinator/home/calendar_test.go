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

// dated is a store whose CPU runs as the function says at a time.
type dated func(at time.Time) float64

func (d dated) Demand(_ context.Context, _ string, span timeline.Span, _ bool) (h forecast.History, err error) {
	from := span.Start.Floor(grid)
	for k := range h {
		h[k] = forecast.Series{Start: from, Step: grid, Fold: forecast.Max, Values: make([]float64, span.End.Sub(from)/grid)}
		for i := range h[k].Values {
			h[k].Values[i] = 64 << 20
			if resource.Kind(k) == resource.CPU {
				h[k].Values[i] = d(from.Add(time.Duration(i)*grid).Std()) + 5*math.Sin(float64(i))
			}
		}
	}
	return h, nil
}

// asked returns the median of CPU that is forecast for cache-1 at a time.
func (w *world) asked(store Store, at timeline.Time) (int64, proto.ForecastReply) {
	w.t.Helper()
	h := w.homes(nil)
	h.cfg.Store = store
	r, err := h.Forecast(context.Background(), wire.Peer{}, proto.ForecastRequest{Instance: "cache-1"})
	if err != nil {
		w.t.Fatal(err)
	}
	v, _ := r.At(500).At(at)
	return v[resource.CPU], r
}

func TestWhatComesOnceAMonthIsLearnedWhereItIsRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		monthEnd := func(at time.Time) bool { return at.AddDate(0, 0, 1).Day() == 1 }
		store := dated(func(at time.Time) float64 {
			if monthEnd(at) {
				return 500
			}
			return 100
		})
		time.Sleep(time.Until(time.Date(2000, 7, 30, 12, 0, 0, 0, time.UTC)))
		w := newWorld(t, proto.Critical)
		for _, m := range []time.Month{6, 7} { // the last of June is thirty days ago, that of July tomorrow
			start := timeline.Of(time.Date(2000, m+1, 0, 0, 0, 0, 0, time.UTC))
			w.must(&proto.EventPut{Event: proto.Event{
				ID: m.String(), Kind: "month-end", Span: timeline.Span{Start: start, End: start.Add(24 * time.Hour)}, Instances: []string{"cache-1"},
			}})
		}
		tomorrow := timeline.Of(time.Date(2000, 7, 31, 15, 0, 0, 0, time.UTC))
		if got, r := w.asked(store, tomorrow); got < 400 {
			t.Errorf("%d of CPU are forecast for the end of the month: %q", got, r.Reasons)
		}
	})
}

func TestAnInstancesDaysAreThoseOfTheTimeZoneThatItsLabelNames(t *testing.T) {
	const name = "America/New_York"
	there, err := time.LoadLocation(name)
	if err != nil {
		t.Skip(err)
	}
	for label, want := range map[string]bool{name: true, "": false, "Nowhere/City": false} {
		synctest.Test(t, func(t *testing.T) {
			// Two hours before the clocks go forward there: in UTC its mornings come an hour earlier from then on.
			time.Sleep(time.Until(time.Date(2000, 4, 2, 5, 0, 0, 0, time.UTC)))
			w := newWorld(t, proto.Critical)
			if label != "" {
				i, _ := w.view().Instance("cache-1")
				spec := i.Spec
				spec.Labels = []proto.Label{{Key: zoneLabel, Value: label}}
				r, _ := w.view().Reservation(i.Reservation)
				w.must(&proto.InstanceApply{Spec: spec, Envelope: r.Envelope, Floor: r.Floor})
			}
			store := dated(func(at time.Time) float64 {
				if at.In(there).Hour() >= 9 && at.In(there).Hour() < 17 {
					return 600
				}
				return 100
			})
			opens := timeline.Of(time.Date(2000, 4, 2, 9, 15, 0, 0, there))
			got, r := w.asked(store, opens)
			if (got > 450) != want {
				t.Errorf("label %q: %d of CPU are forecast for when it opens", label, got)
			}
			if said := strings.Contains(strings.Join(r.Reasons, " "), "names no time zone"); said != (label == "Nowhere/City") {
				t.Errorf("label %q: reasons %q", label, r.Reasons)
			}
		})
	}
}
