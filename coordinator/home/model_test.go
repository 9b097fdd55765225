package home

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// young is the history of half an hour in windows of ten seconds: a tenth of the CPU and of the memory of a host, but for
// one window with nearly all of it.
type young struct{}

func (young) Demand(_ context.Context, _ string, span timeline.Span, highest bool) (h forecast.History, err error) {
	fold := forecast.Mean
	if highest {
		fold = forecast.Max
	}
	const step = 10 * time.Second
	for k := range h {
		h[k] = forecast.Series{Start: span.End.Add(-30 * time.Minute).Floor(step), Step: step, Fold: fold, Values: make([]float64, 180)}
		for i := range h[k].Values {
			h[k].Values[i] = 100
		}
		h[k].Values[20] = 1800
	}
	return h, nil
}

func TestOneBusyMomentIsNotKeptForAHostsFirstDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		now := timeline.Of(time.Now())
		m, _, err := train(t.Context(), young{}, w.view(), proto.SystemReservation("host-a"), 10*time.Second, true, now, nil, nil, func() kin { return kin{} },
			func(forecast.History, timeline.Span, int) (judged, []forecast.Event) { return judged{}, nil })
		if err != nil {
			t.Fatal(err)
		}
		reply, err := m.reply(proto.SystemInstance, now.Floor(10*time.Second), 100)
		if err != nil {
			t.Fatal(err)
		}
		for i, q := range reply.Quantiles {
			most := reply.Profiles[i].MaxOver(timeline.Span{Start: now, End: now.Add(15 * time.Minute)})
			if q == 950 && (most[resource.CPU] > 300 || most[resource.CPU] < 100) {
				t.Errorf("%d of CPU at the quantile %d", most[resource.CPU], q)
			}
			if q == 950 && most[resource.Memory] < 1800 {
				t.Errorf("%d of memory at the quantile %d", most[resource.Memory], q)
			}
		}
	})
}

// lately is the history of the last minute.
type lately struct{}

func (lately) Demand(ctx context.Context, instance string, span timeline.Span, highest bool) (forecast.History, error) {
	h, err := young{}.Demand(ctx, instance, span, highest)
	for k := range h {
		h[k].Start, h[k].Values = h[k].End().Add(-time.Minute), h[k].Values[:6]
	}
	return h, err
}

func TestWhatWasLearnedOfAMinuteIsLearnedAnewAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		now, own := timeline.Of(time.Now()), proto.SystemReservation("host-a")
		m, _, err := train(t.Context(), lately{}, w.view(), own, 10*time.Second, true, now, nil, nil, func() kin { return kin{} },
			func(forecast.History, timeline.Span, int) (judged, []forecast.Event) { return judged{}, nil })
		if err != nil {
			t.Fatal(err)
		}
		for after, want := range map[time.Duration]bool{10 * time.Second: false, time.Minute - 1e6: false, time.Minute: true} {
			if m.stale(w.view(), own, now.Add(after)) != want {
				t.Errorf("%s after it was learned of a minute, to be learned anew: %v", after, !want)
			}
		}
	})
}

// One busy window of ten seconds among the first of a host is no reason to hold as much for a day: what is forecast are means of five minutes.
func TestWhatStandsInForAHostsOwnUseIsAMeanOfFiveMinutes(t *testing.T) {
	w := newWorld(t, proto.Critical)
	windows := func(n int, busy ...int) forecast.History {
		var h forecast.History
		for k := range h {
			h[k] = forecast.Series{Step: 10 * time.Second, Values: slices.Repeat([]float64{100}, n)}
			for _, i := range busy {
				h[k].Values[i] = 1300
			}
		}
		return h
	}
	for name, c := range map[string]struct {
		h       forecast.History
		cpu, mb int64
	}{
		"two minutes":   {windows(12, 5), 201, 1301},
		"half an hour":  {windows(180, 50), 141, 1301},
		"a busy minute": {windows(180, 50, 51, 52, 53, 54, 55), 341, 1301},
	} {
		if _, prior := stands(w.view(), proto.SystemReservation("host-a"), c.h, true); prior[resource.CPU] != c.cpu || prior[resource.Memory] != (c.mb-1)*12/10+1 {
			t.Errorf("%s: %d of CPU, %d of memory, want %d and %d", name, prior[resource.CPU], prior[resource.Memory], c.cpu, (c.mb-1)*12/10+1)
		}
	}
}
