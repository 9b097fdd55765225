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
		p := &Prune{View: view, Forget: func(_ context.Context, body *proto.MigrationPrune) error {
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
