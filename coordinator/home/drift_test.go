package home

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestAModelIsTrainedAnewWhenDemandDriftsAndElseByItsAge(t *testing.T) {
	for name, c := range map[string]struct {
		then      float64
		within    time.Duration // of a jump, or of the training when there is none
		ups, down int64
	}{
		"as before": {0, time.Hour, 0, 0}, "up": {900, 20 * time.Minute, 1, 0}, "down": {5, 55 * time.Minute, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, proto.Critical)
				begin := timeline.Of(time.Now())
				h := w.life(shape(func(at timeline.Time) float64 {
					if at > begin && c.then > 0 {
						return c.then
					}
					return steady(at)
				}))
				w.forecast(h)
				for w.meter.trained.Load() == 1 {
					time.Sleep(time.Minute)
					w.forecast(h)
				}
				took := timeline.Of(time.Now()).Sub(begin)
				if took > c.within || c.then == 0 && took < time.Hour {
					t.Errorf("trained anew after %s", took)
				}
				if ups, downs := w.meter.ups.Load(), w.meter.downs.Load(); ups != c.ups || downs != c.down {
					t.Errorf("%d drifts up and %d down were counted", ups, downs)
				}
			})
		})
	}
}
