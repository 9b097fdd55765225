package leader

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// to returns the move of an instance to host-b as it is planned now.
func (w *drained) to(instance string) proto.Move {
	w.t.Helper()
	r, err := planner.Make(planner.Input{
		Request: planner.Request{Instance: instance, Target: "host-b"}, View: w.view(), Now: timeline.Of(time.Now()), Data: dataOfEach, Costs: planner.DefaultCosts(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Move(false)
}

func TestAMoveIsNotPlannedByWhatWasAskedOfTheInstanceThatWasInItsPlaceBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDrained(t, "i", "j")
		w.must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanMigrate, Status: proto.PlanQueued, Moves: []proto.Move{w.to("i")}}})
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var asked []string
		p := w.plans()
		p.Ask = func(_ context.Context, instance string) (planner.Input, error) {
			mu.Lock()
			asked = append(asked, instance)
			mu.Unlock()
			time.Sleep(5 * time.Second)
			return planner.Input{Now: timeline.Of(time.Now()), Data: dataOfEach, Costs: planner.DefaultCosts()}, nil
		}
		var loop sync.WaitGroup
		loop.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(2500 * time.Millisecond) // while i is asked about
		w.must(&proto.PlanPut{Plan: proto.StoredPlan{ID: "p", Kind: proto.PlanMigrate, Status: proto.PlanQueued, Moves: []proto.Move{w.to("j")}}, From: 1})
		time.Sleep(20 * time.Second)
		cancel()
		loop.Wait()
		if got := w.moves(); !slices.Equal(got, []string{"j host-b"}) || !slices.Contains(asked, "j") {
			t.Errorf("%q began, asked about %q", got, asked)
		}
	})
}
