package home

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// exactly is a store that knows the span that it is asked for and no more: demand that follows visitors, and a backup every five hours.
type exactly struct{}

func (exactly) series(span timeline.Span, of func(at timeline.Time) float64) forecast.Series {
	s := forecast.Series{Start: span.Start.Ceil(grid), Step: grid, Fold: forecast.Max}
	for at := s.Start; at < span.End; at = at.Add(grid) {
		s.Values = append(s.Values, of(at))
	}
	return s
}

func (e exactly) Demand(_ context.Context, _ string, span timeline.Span, _ bool) (h forecast.History, err error) {
	h[resource.CPU] = e.series(span, func(at timeline.Time) float64 {
		if running(at) {
			return served(at) + 400
		}
		return served(at)
	})
	return h, nil
}

func (e exactly) signals(_ context.Context, _ string, span timeline.Span) ([]forecast.Signal, error) {
	return []forecast.Signal{{Name: "requests", Series: e.series(span, visitors)}}, nil
}

// everyFiveHours is that backup, as long back as anything is asked for.
func everyFiveHours(now timeline.Time) proto.HostTasks {
	t := proto.Task{Name: "backup.timer", Source: proto.TaskTimer, Activates: "backup.service", Every: fiveHours.Milliseconds(), Next: now.Add(1).Ceil(fiveHours)}
	for at := asked(learnMost, now).Start.Ceil(fiveHours); at <= now; at = at.Add(fiveHours) {
		t.Runs, t.Last = append(t.Runs, at), at
	}
	return proto.HostTasks{Zone: "UTC", Tasks: []proto.Task{t}}
}

// TestAHomeTakesOverWhatItLearnedAnHourBefore: what it asks for begins an hour later each time, and what is learned of must not.
func TestAHomeTakesOverWhatItLearnedAnHourBefore(t *testing.T) {
	for name, monthly := range map[string]bool{"of four weeks": false, "with what comes once a month": true} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Date(2000, 3, 30, 12, 20, 0, 0, time.UTC)) + looksAt("cache-1")) // twenty minutes after it is looked at anew
			w := newWorld(t, proto.Standard)
			now := timeline.Of(time.Now())
			i, _ := w.view().Instance("cache-1")
			spec := i.Spec
			spec.Signals = []proto.Signal{{Name: "requests", URL: "http://127.0.0.1:9121/", Metric: "requests_total", Kind: proto.SignalCounter}}
			w.must(&proto.InstanceApply{Spec: spec})
			for id, at := range map[string]time.Duration{"last": -30 * 24 * time.Hour, "next": 24 * time.Hour} {
				if monthly {
					w.must(&proto.EventPut{Event: proto.Event{
						ID: id, Kind: "month-end", Span: timeline.Span{Start: now.Add(at), End: now.Add(at + 2*time.Hour)}, Instances: []string{"cache-1"},
					}})
				}
			}
			h := w.life(exactly{})
			h.cfg.Signals = exactly{}.signals
			h.tasks["host-a"] = hostTasks{heard: now, tasks: everyFiveHours(now)}
			for hour := range 6 {
				w.forecast(h)
				m := h.models["cache-1"]
				if len(m.judged.findings) != 1 || len(m.signals) != 1 || monthly != (len(m.known) == 2) {
					t.Fatalf("%s: %d tasks, %d signals and %d events are in it", name, len(m.judged.findings), len(m.signals), len(m.known))
				}
				taken, all := m.forecast.TakenOver()
				if all != 2 || taken != min(hour, 1)*all { // CPU, and the signal itself
					t.Errorf("%s: after %d hours %d of %d series were taken over", name, hour, taken, all)
				}
				if taken, all := m.naive.TakenOver(); all != 1 || taken != min(hour, 1) {
					t.Errorf("%s: after %d hours %d of %d series of the seasonal naive forecast were taken over", name, hour, taken, all)
				}
				time.Sleep(time.Hour)
			}
		})
	}
}
