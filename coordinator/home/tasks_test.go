package home

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// backup is a timer that goes every five hours, and beside it what does nothing.
func backup(now timeline.Time) proto.HostTasks {
	var runs []timeline.Time
	for at := now.Add(-learnFrom).Ceil(fiveHours); at <= now; at = at.Add(fiveHours) {
		runs = append(runs, at)
	}
	return proto.HostTasks{Zone: "UTC", Tasks: []proto.Task{
		{Name: "backup.timer", Source: proto.TaskTimer, Activates: "backup.service", Every: fiveHours.Milliseconds(), Runs: runs, Last: runs[len(runs)-1], Next: now.Add(1).Ceil(fiveHours)},
		{Name: "crontab/tidy", Source: proto.TaskCron, User: "root", Command: "tidy", Schedule: []string{"30 */7 */2 * *"}},
		{Name: "daily.timer", Source: proto.TaskTimer, Activates: "daily.service", Schedule: []string{"*-*-* 03:00:00"}},
	}}
}

const fiveHours = 5 * time.Hour

// running reports whether the backup runs.
func running(at timeline.Time) bool { return at.Sub(at.Floor(fiveHours)) < 20*time.Minute }

// teller is an agent that tells of its tasks.
type teller struct {
	*world
	tasks proto.HostTasks
	fails error
	asked []string // digests that the home had
}

func (a *teller) call(ctx context.Context, host, method string, body []byte) ([]byte, error) {
	if method != proto.MethodTasks {
		return a.world.call(ctx, host, method, body)
	}
	var r proto.TasksRequest
	if err := proto.Unmarshal(body, &r); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.Have)
	switch {
	case a.fails != nil:
		return nil, a.fails
	case r.Have == "d1":
		return proto.Marshal(proto.TasksReply{Digest: "d1"})
	}
	return proto.Marshal(proto.TasksReply{Digest: "d1", Tasks: a.tasks})
}

// Demand is four weeks of a day's season, and 400m more for twenty minutes every five hours.
func (a *teller) Demand(_ context.Context, _ string, span timeline.Span, _ bool) (h forecast.History, err error) {
	start := span.End.Add(-learnFrom).Floor(grid)
	for k := range h {
		h[k] = forecast.Series{Start: start, Step: grid, Fold: forecast.Max, Values: make([]float64, learnFrom/grid)}
	}
	for i := range h[0].Values {
		at := start.Add(time.Duration(i) * grid).Std()
		h[resource.CPU].Values[i] = 200 + 80*math.Sin(2*math.Pi*float64(at.Hour())/24) + 8*math.Sin(float64(i*i))
		h[resource.Memory].Values[i] = 64<<20 + 1e5*math.Cos(float64(i*i))
		if running(timeline.Of(at)) {
			h[resource.CPU].Values[i] += 400
		}
	}
	return h, nil
}

func (w *world) teller(fails error) (*teller, *Homes) {
	a := &teller{world: w, tasks: backup(timeline.Of(time.Now())), fails: fails}
	h := w.life(a)
	h.cfg.Call = a.call
	return a, h
}

func TestATaskThatMovesAnInstanceIsAnEventOfItsForecast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		a, h := w.teller(nil)
		without := w.forecast(h)
		h.Forget("cache-1")
		h.askAll(t.Context(), timeline.Of(time.Now()))
		with := w.forecast(h)
		want := "task backup.timer: +400m cpu for 20 min, from "
		said := 0
		for _, r := range with.Reasons {
			if strings.HasPrefix(r, "task ") {
				said++
				if !strings.HasPrefix(r, "task backup.timer: +3") && !strings.HasPrefix(r, "task backup.timer: +4") || !strings.Contains(r, "cpu for 20 min, from 13") {
					t.Errorf("%q, want like %q", r, want)
				}
			}
			if strings.Contains(r, taskKind) {
				t.Errorf("it is told of twice: %q", r)
			}
		}
		if said != 1 {
			t.Errorf("%q", with.Reasons)
		}
		// Runs of the next two days are where the rise is.
		for at := with.Start.Add(time.Hour).Ceil(grid); at < with.Start.Add(40*time.Hour); at = at.Add(grid) {
			median, _ := with.At(500).At(at)
			in := running(at)
			if high := median[resource.CPU] > 450; high != in {
				t.Errorf("%s: the median is %d, in a run: %v", at, median[resource.CPU], in)
			}
		}
		flat, _ := without.At(500).At(with.Start.Add(24 * time.Hour).Ceil(fiveHours))
		if flat[resource.CPU] > 450 {
			t.Error("without the task the forecast knows of its runs, too: this test shows nothing")
		}
		reply, err := h.HostTasks(t.Context(), wire.Peer{}, proto.HostTasksRequest{Host: "host-a"})
		if err != nil || reply.Heard == 0 || len(reply.Effects) != 1 {
			t.Fatalf("%+v %v", reply.Effects, err)
		}
		if e := reply.Effects[0]; e.Task != "backup.timer" || e.Instance != "cache-1" || e.Resource != resource.CPU || e.Rise < 370 || e.Rise > 430 || e.Length != 20*60_000 {
			t.Errorf("%+v", e)
		}
		if diff := cmp.Diff(a.tasks, reply.HostTasks); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTasksAreLookedForByTheClockOfTheirHost(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2000, 4, 7, 12, 0, 0, 0, time.UTC))) // summer began twelve days ago
		w := newWorld(t, proto.Critical)
		a, h := w.teller(nil)
		h.cfg.Store = dated(func(at time.Time) float64 {
			if at = at.In(berlin); at.Hour() >= 8 && at.Hour() < 18 && at.Weekday() != time.Sunday {
				return 300
			}
			return 20
		})
		a.tasks = proto.HostTasks{Zone: "Europe/Berlin", Tasks: []proto.Task{{Name: "crontab/mail", Source: proto.TaskCron, User: "root", Command: "mail", Schedule: []string{"0 8 * * 1-6"}}}}
		h.askAll(t.Context(), timeline.Of(time.Now()))
		for _, r := range w.forecast(h).Reasons {
			if strings.HasPrefix(r, "task ") {
				t.Errorf("%q, for what people do by the same clock", r)
			}
		}
	})
}

func TestAgentsAreAskedEveryFewMinutesAndTellOnlyWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		a, h := w.teller(nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { h.askTasks(ctx); close(ended) }()
		time.Sleep(25 * time.Minute)
		cancel()
		<-ended
		if diff := cmp.Diff([]string{"", "d1", "d1"}, a.asked); diff != "" {
			t.Error(diff)
		}
		if reply, err := h.HostTasks(t.Context(), wire.Peer{}, proto.HostTasksRequest{Host: "host-a"}); err != nil || len(reply.Tasks) != 3 || timeline.Of(time.Now()).Sub(reply.Heard) > tasksEvery {
			t.Errorf("what was said before does not stand: %+v %v", reply, err)
		}
		// A host that is at home elsewhere is not asked, nor kept.
		w.must(&proto.HostHome{Host: "host-a", From: "c1", Home: "c2", Standby: "c1"})
		h.askAll(t.Context(), timeline.Of(time.Now().Add(time.Hour)))
		if _, err := h.HostTasks(t.Context(), wire.Peer{}, proto.HostTasksRequest{Host: "host-a"}); wire.CodeOf(err) != wire.Conflict || len(a.asked) != 3 || len(h.tasks) != 0 {
			t.Errorf("%v, asked %d times, %d kept", err, len(a.asked), len(h.tasks))
		}
	})
}

func TestAnAgentThatKnowsNothingOfTasksIsNoTrouble(t *testing.T) {
	for name, fails := range map[string]error{"of an earlier version": wire.Errorf(wire.NotFound, "there is no method"), "with a fault": errors.New("broken")} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, proto.Critical)
			a, h := w.teller(fails)
			for n := range 3 {
				h.askAll(t.Context(), timeline.Of(time.Now()).Add(time.Duration(n)*time.Minute))
			}
			reply, err := h.HostTasks(t.Context(), wire.Peer{}, proto.HostTasksRequest{Host: "host-a"})
			if err != nil || reply.Heard != 0 || len(reply.Tasks) != 0 || len(a.asked) != 1 {
				t.Errorf("%s: %+v %v, asked %d times", name, reply, err, len(a.asked))
			}
			w.forecast(h)
		})
	}
}

func TestWhatNoAgentOfOursReportsIsNotTaken(t *testing.T) {
	for name, spoil := range map[string]func(*proto.HostTasks){
		"too many":     func(h *proto.HostTasks) { h.Tasks = make([]proto.Task, proto.MaxTasks+1) },
		"out of order": func(h *proto.HostTasks) { h.Tasks[0], h.Tasks[1] = h.Tasks[1], h.Tasks[0] },
		"control":      func(h *proto.HostTasks) { h.Tasks[0].Command = "\x1b[2J" },
		"long":         func(h *proto.HostTasks) { h.Tasks[0].Schedule = []string{strings.Repeat("1,", 1000)} },
		"times":        func(h *proto.HostTasks) { h.Tasks[0].Every = -1 },
		"runs":         func(h *proto.HostTasks) { h.Tasks[0].Runs = []timeline.Time{2, 1} },
		"source":       func(h *proto.HostTasks) { h.Tasks[0].Source = "at" },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, proto.Critical)
			a, h := w.teller(nil)
			spoil(&a.tasks)
			h.askAll(t.Context(), timeline.Of(time.Now()))
			if reply, err := h.HostTasks(t.Context(), wire.Peer{}, proto.HostTasksRequest{Host: "host-a"}); err != nil || reply.Heard != 0 || len(reply.Tasks) != 0 {
				t.Errorf("%s: %+v %v", name, reply, err)
			}
		})
	}
}

func TestATaskOfTheInstanceItselfIsOne(t *testing.T) {
	s := &proto.ServiceSpec{Unit: "db.service", Companions: []string{"db-vacuum.service", "db-vacuum.timer"}}
	for unit, want := range map[string]bool{"db.service": true, "db-vacuum.service": true, "other.service": false} {
		if got := belongs(proto.Task{Source: proto.TaskTimer, Name: "x.timer", Activates: unit}, s); got != want {
			t.Errorf("%s: %v", unit, got)
		}
	}
	if !belongs(proto.Task{Source: proto.TaskTimer, Name: "db-vacuum.timer"}, s) || belongs(proto.Task{Source: proto.TaskTimer, Activates: "db.service"}, nil) {
		t.Error("a companion, or a host's own use")
	}
}
