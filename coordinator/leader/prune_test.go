package leader

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestMigrationsAreForgottenAMonthAfterTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := fleet(t), 0
		var mu sync.Mutex
		view := func() *state.View {
			mu.Lock()
			defer mu.Unlock()
			return s.View()
		}
		apply := func(body proto.Body) proto.Result {
			mu.Lock()
			defer mu.Unlock()
			n++
			cmd, err := proto.NewCommand(fmt.Sprint("p", n), "test", body)
			if err != nil {
				t.Fatal(err)
			}
			cmd.At = timeline.Of(time.Now())
			r, _ := s.Apply(cmd)
			if !r.OK() {
				t.Fatal(r.Message)
			}
			return r
		}
		for name, machine := range map[string]string{"host-a": "m1", "host-b": "m2"} {
			apply(&proto.HostRegister{Incarnation: 1, Facts: proto.HostFacts{Name: name, MachineID: machine, Allocatable: resource.Uniform(1000)}})
		}
		apply(&proto.TypePut{Type: proto.InstanceType{Name: "small", Max: resource.Uniform(50)}})
		open := proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Uniform(40)}}
		fence := apply(&proto.InstanceApply{Envelope: open, Spec: proto.InstanceSpec{
			Name: "i", Driver: "service", Service: &proto.ServiceSpec{Unit: "i.service"}, Host: "host-a", Type: "small", Class: proto.Critical, Mode: proto.Enforce,
		}}).Fence
		apply(&proto.InstanceAdopted{Instance: "i", Fence: fence})
		start := func(id string) {
			apply(&proto.MigrationStart{
				ID: id, Plan: proto.Plan{Instance: "i", Source: "host-a", Target: "host-b", FromType: "small", ToType: "small", Fence: fence},
				Reservation: proto.Reservation{ID: id + "/target", Envelope: open, Until: timeline.Of(time.Now().Add(time.Hour))},
			})
		}
		end := func(id string) {
			fence = apply(&proto.MigrationAbort{Migration: id, Fence: fence, Reason: "no"}).Fence
			apply(&proto.MigrationEnd{Migration: id, Outcome: proto.OutcomeAborted})
		}
		start("old")
		end("old")
		time.Sleep(48 * time.Hour)
		start("young")
		end("young")
		start("going")

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		var asked atomic.Int64
		p := &Prune{View: view, Propose: func(_ context.Context, body proto.Body) error {
			asked.Add(1)
			apply(body)
			return nil
		}}
		go func() { ended <- p.Run(ctx) }()
		kept := func() (ids []string) {
			synctest.Wait()
			for m := range view().Migrations() {
				ids = append(ids, m.ID)
			}
			return ids
		}
		time.Sleep(27 * 24 * time.Hour)
		if got := fmt.Sprint(kept()); got != "[going old young]" || asked.Load() != 0 {
			t.Errorf("after 29 days there are %s, and it was asked for %d times", got, asked.Load())
		}
		time.Sleep(25 * time.Hour)
		if got := fmt.Sprint(kept()); got != "[going young]" || asked.Load() != 1 {
			t.Errorf("after 30 days there are %s, and it was asked for %d times", got, asked.Load())
		}
		time.Sleep(3 * 24 * time.Hour)
		if got := fmt.Sprint(kept()); got != "[going]" || asked.Load() != 2 {
			t.Errorf("after 33 days there are %s, and it was asked for %d times", got, asked.Load())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestEventsOfACalendarThatIsGoneGoWhenTheyTeachNothingAnyMore(t *testing.T) {
	const day = 24 * time.Hour
	s, n := fleet(t), 0
	now := time.UnixMilli(1_800_000_000_000)
	must := func(body proto.Body) {
		t.Helper()
		n++
		cmd, err := proto.NewCommand(fmt.Sprint("e", n), "test", body)
		if err != nil {
			t.Fatal(err)
		}
		cmd.At = timeline.Of(now)
		if r, _ := s.Apply(cmd); !r.OK() {
			t.Fatalf("%s: %s", body.Command(), r.Message)
		}
	}
	must(&proto.EventPut{Event: proto.Event{ID: "byhand", Kind: "sale", Instances: []string{"i"}, Span: timeline.Span{Start: timeline.Of(now), End: timeline.Of(now.Add(time.Hour))}}})
	for _, name := range []string{"gone", "stays"} {
		must(&proto.CalendarPut{Calendar: proto.Calendar{Name: name, URL: "https://calendar.example/a", Every: time.Hour.Milliseconds(), Instances: []string{"i"}}})
		c, _ := s.View().Calendar(name)
		var put []proto.Event
		for i := range 2 {
			start := timeline.Of(now.Add(time.Duration(i)*day - time.Hour))
			put = append(put, proto.Event{ID: fmt.Sprint(name, ":", i), Kind: "sale", Span: timeline.Span{Start: start, End: start.Add(2 * time.Hour)}})
		}
		must(&proto.CalendarPoll{Calendar: name, Revision: c.Revision, Put: put, Events: len(put)})
	}
	now = now.Add(2 * day) // both have begun
	must(&proto.CalendarRemove{Name: "gone"})
	left := func() (ids []string) {
		for e := range s.View().Events() {
			ids = append(ids, e.ID)
		}
		return ids
	}
	if got := fmt.Sprint(left()); got != "[byhand gone:0 gone:1 stays:0 stays:1]" {
		t.Fatal(got)
	}
	for later, want := range map[time.Duration]string{57 * day: "[]", 58*day + 2*time.Hour: "[gone:0]", 60 * day: "[gone:0 gone:1]"} {
		if got := fmt.Sprint(orphans(s.View(), timeline.Of(now.Add(later)))); got != want {
			t.Errorf("after %s: %s, want %s", later, got, want)
		}
	}
	p := &Prune{View: s.View, Propose: func(_ context.Context, body proto.Body) error {
		must(body)
		return nil
	}}
	for _, id := range orphans(s.View(), timeline.Of(now.Add(60*day))) {
		if err := p.Propose(t.Context(), &proto.EventRemove{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(left()); got != "[byhand stays:0 stays:1]" {
		t.Error(got)
	}
}

func TestNoMoreMigrationsAreKeptThanFitButThoseOfTheLastDay(t *testing.T) {
	now := time.UnixMilli(1e12)
	ended := func(n int, apart time.Duration) iter.Seq[proto.Migration] { // the last one now
		return func(yield func(proto.Migration) bool) {
			if !yield(proto.Migration{Phase: proto.PhaseCopy}) {
				return
			}
			for i := range n {
				if !yield(proto.Migration{Phase: proto.PhaseEnded, EndedAt: timeline.Of(now.Add(-time.Duration(i) * apart))}) {
					return
				}
			}
		}
	}
	month := timeline.Of(now.Add(-migrationsKept))
	for _, c := range []struct {
		name  string
		n     int
		apart time.Duration
		want  timeline.Time
	}{
		{"few", mostMigrations, time.Minute, month},
		{"too many", mostMigrations + 100, time.Minute, timeline.Of(now.Add(-(mostMigrations - 1) * time.Minute))},
		{"more than a month of them", 2 * mostMigrations, 20 * time.Minute, month},
		{"too many in a day", mostMigrations + 100, time.Second, timeline.Of(now.Add(-leastKept))},
	} {
		if got := oldest(ended(c.n, c.apart), now); got != c.want {
			t.Errorf("%s: those before %s go, want %s", c.name, got, c.want)
		}
	}
}
