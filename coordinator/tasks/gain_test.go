package tasks

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// losses returns the pinball loss of the forecasts of the last days, each of one day from what lies before it, without tasks and with those that are found there.
func losses(t *testing.T, values []float64, run func(timeline.Span) []timeline.Time, days int) (without, with float64, found int) {
	t.Helper()
	opts := forecast.Options{Maximum: resource.Uniform(100_000)}
	end := len(values)
	for at := end - days*perDay; at < end; at += perDay {
		now := monday.Add(time.Duration(at) * step)
		var past forecast.History
		past[resource.CPU] = forecast.Series{Start: now.Add(-28 * day), Step: step, Values: values[at-28*perDay : at], Fold: forecast.Max}
		// Its runs go on from those before.
		runs := run(timeline.Span{Start: monday, End: now.Add(2 * day)})
		others := candidates(rand.New(rand.NewPCG(1, 1)), at/perDay)[len(distances)+len(schedules):]
		tasks := slices.Concat(others, []Candidate{{Name: "task", Runs: runs}})
		var events []forecast.Event
		for _, f := range Correlate(past, tasks, time.UTC) {
			found++
			for _, e := range f.Events(find(tasks, f.Name).Runs) {
				e.Kind = "task/" + f.Name
				events = append(events, e)
			}
		}
		for _, of := range []struct {
			events []forecast.Event
			to     *float64
		}{{nil, &without}, {events, &with}} {
			m, err := forecast.Train(past, of.events, opts)
			if err != nil {
				t.Fatal(err)
			}
			f, err := m.Forecast(now, day)
			if err != nil {
				t.Fatal(err)
			}
			for qi, q := range f.Quantiles {
				loss, n := forecast.Pinball(values[at:at+perDay], f.Values[resource.CPU][qi], q)
				*of.to += loss * float64(n)
			}
		}
	}
	return without, with, found
}

func TestForecastsGainByTasksOffTheSeasonAndLoseByNone(t *testing.T) {
	cron := func(schedule string) func(timeline.Span) []timeline.Time {
		return func(span timeline.Span) []timeline.Time { return entry(schedule, span) }
	}
	timer := func(distance time.Duration) func(timeline.Span) []timeline.Time {
		return func(span timeline.Span) []timeline.Time { return every(distance, span) }
	}
	// late is a timer that comes up to a third of its distance late by chance: no cycle tells when.
	late := func(distance time.Duration) func(timeline.Span) []timeline.Time {
		return func(span timeline.Span) []timeline.Time {
			r := rand.New(rand.NewPCG(5, 3))
			runs := every(distance, timeline.Span{Start: monday, End: span.End})
			for i := range runs {
				runs[i] = runs[i].Add(time.Duration(r.Int64N(int64(distance / 3)))).Floor(time.Minute)
			}
			return slices.DeleteFunc(runs, func(t timeline.Time) bool { return t < span.Start || t >= span.End })
		}
	}
	for _, c := range []struct {
		name, shape string
		run         func(timeline.Span) []timeline.Time
		amount      float64
		length      time.Duration
		most        float64 // loss with over loss without
		finds       bool
	}{
		{"every five hours", "season and noise", timer(5 * time.Hour), 300, 20 * time.Minute, .4, true},
		{"every five hours on a drifting level", "drift", timer(5 * time.Hour), 300, 30 * time.Minute, 1, true}, // a cycle, which forecasts know
		{"every thirteen hours among bursts", "bursts", timer(13 * time.Hour), 300, time.Hour, 1, true},         // one more
		{"every five hours, late by chance", "season and noise", late(5 * time.Hour), 300, 20 * time.Minute, .4, true},
		{"every five hours, late by chance, on a drifting level", "drift", late(5 * time.Hour), 300, 30 * time.Minute, .6, true},
		{"every thirteen hours, late by chance, among bursts", "bursts", late(13 * time.Hour), 300, time.Hour, .5, true},
		{"every other day", "season and noise", cron("0 4 */2 * *"), 400, time.Hour, .8, true},
		{"on some days of the month", "season and noise", cron("0 10 1,4,9,12,17,20,25,28 * *"), 400, time.Hour, .85, true},
		{"every day", "season and noise", cron("20 3 * * *"), 400, time.Hour, 1, false},
		{"every day at five times", "season and noise", cron("0 */5 * * *"), 400, time.Hour, 1, false},
		{"on working days", "season and noise", cron("20 3 * * 1-5"), 400, time.Hour, 1, false},
		{"every week", "season and noise", cron("20 3 * * 0"), 400, time.Hour, 1, false},
		{"a task that does nothing", "bursts", timer(5 * time.Hour), 0, time.Hour, 1, false},
	} {
		r := rand.New(rand.NewPCG(11, 4))
		values := shapes[c.shape](r, 35)
		raise(values, c.run(timeline.Span{Start: monday, End: after(35 * day)}), c.amount, c.length, r)
		without, with, found := losses(t, values, c.run, 6)
		ratio := with / without
		t.Logf("%s: loss %.3f of what it is without, %d found", c.name, ratio, found)
		if ratio > c.most || found > 0 != c.finds {
			t.Errorf("%s: loss %.3f of what it is without, want at most %v; %d found", c.name, ratio, c.most, found)
		}
	}
}
