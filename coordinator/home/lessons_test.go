package home

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/lesson"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// carried is the history of an instance that came to a CPU which takes so many times as long: a day of CPU by the hour, and packets that follow it. For two minutes
// after it came it takes 400 more.
type carried struct {
	at   timeline.Time
	by   float64
	back timeline.Time // when it came back; 0: it did not
}

func (c carried) cpu(t timeline.Time) (cpu, net float64) {
	day := 1 + .3*math.Sin(2*math.Pi*float64(int64(t)%86_400_000)/86_400_000)
	cpu, net = 200*day, 1e6*day
	if t >= c.at && (c.back == 0 || t < c.back) {
		cpu *= c.by
	}
	return cpu, net
}

func (c carried) series(span timeline.Span, step time.Duration) (h forecast.History) {
	from := span.Start.Floor(step)
	for k := range h {
		h[k] = forecast.Series{Start: from, Step: step, Fold: forecast.Max}
	}
	for t := from; t < span.End.Floor(step); t = t.Add(step) {
		cpu, net := c.cpu(t)
		h[resource.CPU].Values = append(h[resource.CPU].Values, cpu)
		h[resource.NetTx].Values = append(h[resource.NetTx].Values, net)
	}
	return h
}

func (c carried) Demand(_ context.Context, _ string, span timeline.Span, _ bool) (forecast.History, error) {
	return c.series(span, grid), nil
}

func (c carried) Windows(_ context.Context, _ string, span timeline.Span, _ bool) (forecast.History, error) {
	h := c.series(span, 10*time.Second)
	for i := range h[resource.CPU].Values {
		if t := h[resource.CPU].Start.Add(time.Duration(i) * 10 * time.Second); t >= c.at && t < c.at.Add(2*time.Minute) {
			h[resource.CPU].Values[i] += 400
		}
	}
	return h, nil
}

// cpus gives host-b a CPU that takes twice as long as that of host-a.
func (w *world) cpus() {
	w.t.Helper()
	for host, cpu := range map[string]proto.CPU{"host-a": {Model: "xeon", Score: 100}, "host-b": {Model: "atom", Score: 50}} {
		h, _ := w.view().Host(host)
		f := h.Facts
		f.CPUModel, f.CPUScore = cpu.Model, cpu.Score
		w.must(&proto.HostRegister{Facts: f, Incarnation: w.view().Fleet().Incarnation})
	}
}

// carry moves cache-1 to host-b, whose CPU is another one.
func (w *world) carry() timeline.Time {
	w.t.Helper()
	w.cpus()
	return w.move("m1", "host-b")
}

// move moves cache-1 to a host, and returns since when it runs there.
func (w *world) move(id, to string) timeline.Time {
	w.t.Helper()
	i, _ := w.view().Instance("cache-1")
	open := proto.FirmEnvelope(timeline.Flat(timeline.Span{End: timeline.Forever}, resource.Uniform(900)))
	at := timeline.Of(time.Now())
	w.must(&proto.MigrationStart{ID: id, Plan: proto.Plan{Instance: "cache-1", Source: i.Owner, Target: to, FromType: "m.large", ToType: "m.large", Fence: i.Fence},
		Reservation: proto.Reservation{ID: id, Envelope: open, Until: at.Add(time.Hour)}})
	w.confirm(id)
	w.complete(id)
	return at
}

func (w *world) fence() uint64 {
	i, _ := w.view().Instance("cache-1")
	return i.Fence
}

// confirm takes a migration that was started to where its target serves clients.
func (w *world) confirm(id string) {
	w.t.Helper()
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhasePrepare, To: proto.PhaseCopy})
	w.must(&proto.MigrationFreeze{Migration: id, Fence: w.fence()})
	w.must(&proto.MigrationCommit{Migration: id, Fence: w.fence()})
	w.must(&proto.MigrationConfirm{Migration: id, Fence: w.fence(), Until: timeline.Of(time.Now()).Add(time.Hour)})
}

func (w *world) complete(id string) {
	w.t.Helper()
	w.must(&proto.MigrationAdvance{Migration: id, From: proto.PhaseWarm, To: proto.PhaseSettle})
	w.must(&proto.MigrationComplete{Migration: id, Fence: w.fence()})
}

func (w *world) learner(c carried) *Homes {
	return New(Config{
		Name: "c1", View: w.view, Store: c, Windows: c.Windows, Propose: w.propose, Cards: w.cards, Meter: &w.meter, Log: slog.New(slog.DiscardHandler),
	})
}

func TestAHomeLearnsFromAMoveHowItStartedAndWhatTheCPUTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Standard)
		at := w.carry()
		h := w.learner(carried{at: at, by: 1.6})
		learned := func() *proto.Lesson {
			h.learn(t.Context(), w.view(), timeline.Of(time.Now()))
			m, _ := w.view().Migration("m1")
			return m.Lesson
		}
		time.Sleep(30 * time.Minute)
		if l := learned(); l != nil {
			t.Fatalf("after half an hour: %+v", l)
		}
		time.Sleep(lesson.StartAfter - 30*time.Minute)
		l := learned()
		if l == nil || l.Start == nil || l.Ratio != 0 || l.From != (proto.CPU{Model: "xeon", Score: 100}) || l.To.Model != "atom" {
			t.Fatalf("after an hour: %+v", l)
		}
		if x := l.Start.Extra[resource.CPU]; x < 350 || x > 430 || l.Start.Decay < 110_000 || l.Start.Decay > 130_000 {
			t.Errorf("the start took %d for %d ms", x, l.Start.Decay)
		}
		time.Sleep(lesson.RatioAfter)
		if l = learned(); l.Start == nil || l.Ratio < 1590 || l.Ratio > 1610 {
			t.Errorf("after a day: %+v", l)
		}
	})
}

func TestNothingIsLearnedOfACPUFromDaysThatWereSpentOnSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Standard)
		at := w.carry()
		time.Sleep(2 * time.Hour)
		back := w.move("m2", "host-a")
		h := w.learner(carried{at, 1.6, back})
		time.Sleep(lesson.RatioAfter)
		h.learn(t.Context(), w.view(), timeline.Of(time.Now()))
		// Of the day before it came back there are two hours on the other CPU.
		if m, _ := w.view().Migration("m2"); m.Lesson == nil || m.Lesson.Start == nil || m.Lesson.Ratio != 0 {
			t.Errorf("it has taught %+v", m.Lesson)
		}
	})
}

func TestTheStartAfterAWayBackTeaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Standard)
		i, _ := w.view().Instance("cache-1")
		open := proto.FirmEnvelope(timeline.Flat(timeline.Span{End: timeline.Forever}, resource.Uniform(900)))
		plan := proto.Plan{Instance: "cache-1", Source: "host-a", Target: "host-b", FromType: "m.large", ToType: "m.large", Fence: i.Fence}
		w.must(&proto.MigrationStart{ID: "m1", Plan: plan, Reservation: proto.Reservation{ID: "m1", Envelope: open, Until: timeline.Of(time.Now()).Add(time.Hour)}})
		w.confirm("m1")
		time.Sleep(10 * time.Minute)
		plan.Source, plan.Target, plan.Fence = "host-b", "host-a", w.fence()
		w.must(&proto.MigrationReturn{ID: "m0", Returns: "m1", Fence: w.fence(), Plan: plan})
		back := timeline.Of(time.Now())
		w.confirm("m0")
		w.complete("m0") // and m1 ends with it
		h := w.learner(carried{at: back, by: 1})
		time.Sleep(lesson.StartAfter)
		h.learn(t.Context(), w.view(), timeline.Of(time.Now()))
		if m, _ := w.view().Migration("m0"); m.Lesson == nil || m.Lesson.Start == nil || m.Lesson.Start.Extra[resource.CPU] < 350 {
			t.Errorf("it has taught %+v", m.Lesson)
		}
		if m, _ := w.view().Migration("m1"); m.Outcome != proto.OutcomeReturned || m.Lesson != nil {
			t.Errorf("the move that was taken back, %s, has taught %+v", m.Outcome, m.Lesson)
		}
	})
}

func TestAMoveToAnotherCPUIsNoShift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(40 * 24 * time.Hour)
		w := newWorld(t, proto.Standard)
		at := w.carry()
		c := carried{at: at, by: 2}
		h := w.learner(c)
		time.Sleep(20 * time.Minute)
		now := timeline.Of(time.Now())
		r, err := h.forecast(t.Context(), w.view(), "cache-1", now)
		if err != nil {
			t.Fatal(err)
		}
		// Twelve hours on, at the other side of the day.
		then := now.Add(12 * time.Hour)
		want, _ := c.cpu(then)
		if got, _ := r.At(500).At(then); math.Abs(float64(got[resource.CPU])-want) > .1*want {
			t.Errorf("%d of CPU are forecast, it will be %.0f", got[resource.CPU], want)
		}
		if all := strings.Join(r.Reasons, "\n"); !strings.Contains(all, "before it came to host-b") || !strings.Contains(all, "counts 2 times for CPU") {
			t.Errorf("reasons %q", r.Reasons)
		}
	})
}

func TestAMoveBeforeAllThatIsKnownIsNotTalkedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(40 * 24 * time.Hour)
		w := newWorld(t, proto.Standard)
		at := w.carry()
		time.Sleep(learnFrom + forecast.LearnEvery + time.Hour) // as far back as is looked at
		h := w.learner(carried{at: at, by: 2})
		r, err := h.forecast(t.Context(), w.view(), "cache-1", timeline.Of(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(r.Reasons, "\n"); strings.Contains(all, "before it came to") {
			t.Errorf("nothing was measured before: %q", r.Reasons)
		}
	})
}

func TestAModelOfAnotherCPUIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(40 * 24 * time.Hour)
		w := newWorld(t, proto.Standard)
		h := w.learner(carried{at: timeline.Forever, by: 1})
		now := timeline.Of(time.Now())
		if _, err := h.forecast(t.Context(), w.view(), "cache-1", now); err != nil {
			t.Fatal(err)
		}
		m := h.models["cache-1"]
		if m.stale(w.view(), "cache-1", now) {
			t.Fatal("it is stale at once")
		}
		w.carry()
		if !m.stale(w.view(), "cache-1", now) {
			t.Fatal("it is followed on another CPU")
		}
	})
}
