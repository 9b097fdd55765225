package home

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/proto"
)

// counts is a Meter.
type counts struct{ trained, pushed, acknowledged, windows, models, ups, downs atomic.Int64 }

func (c *counts) Trained(time.Duration) { c.trained.Add(1) }
func (c *counts) Pushed()               { c.pushed.Add(1) }
func (c *counts) Acknowledged()         { c.acknowledged.Add(1) }
func (c *counts) StoodIn(window bool) {
	if window {
		c.windows.Add(1)
	} else {
		c.models.Add(1)
	}
}

func TestWhatTheHomesDoIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Critical)
		w.run(5 * time.Second)
		trained, pushed, acknowledged := w.meter.trained.Load(), w.meter.pushed.Load(), w.meter.acknowledged.Load()
		if trained == 0 || pushed == 0 || acknowledged != int64(len(w.docs)) || acknowledged > pushed {
			t.Errorf("%d forecasts trained, %d documents pushed and %d acknowledged; the agent has %d", trained, pushed, acknowledged, len(w.docs))
		}
	})
}

func (c *counts) Drifted(up bool) {
	if up {
		c.ups.Add(1)
	} else {
		c.downs.Add(1)
	}
}
