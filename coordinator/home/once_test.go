package home

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// broken is a store that can't be read, and counts how often that was tried.
type broken struct{ asked map[string]int }

func (n broken) Demand(_ context.Context, instance string, _ timeline.Span, _ bool) (h forecast.History, err error) {
	n.asked[instance]++
	return h, errors.New("broken")
}

func TestARoundMakesEachForecastOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		store := broken{map[string]int{}}
		h := w.life(store)
		for round := 1; round <= 2; round++ {
			h.round(t.Context(), w.view(), timeline.Of(time.Now()))
			for _, name := range []string{"cache-1", proto.SystemReservation("host-a")} {
				if got := store.asked[name]; got != round {
					t.Errorf("after round %d the forecast of %s was asked for %d times: document and reservation follow from the same", round, name, got)
				}
			}
		}
	})
}
