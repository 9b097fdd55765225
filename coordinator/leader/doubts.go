package leader

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
)

// How often it is looked for instances in doubt, and how often one that stays so is told of again.
const (
	doubtEvery = 10 * time.Second
	doubtAgain = 5 * time.Minute
)

// Doubts tells the log of instances of which only an operator can decide who runs them, for as long as they are in doubt.
type Doubts struct {
	View func() *state.View
	Log  *slog.Logger
}

// Run tells until ctx ends.
func (d *Doubts) Run(ctx context.Context) error {
	told := map[string]time.Time{}
	tick := time.NewTicker(doubtEvery)
	defer tick.Stop()
	for {
		now := time.Now()
		still := map[string]time.Time{}
		for _, doubt := range d.View().InDoubt(timeline.Of(now)) {
			last, known := told[doubt.Instance]
			if !known || now.Sub(last) >= doubtAgain {
				d.Log.Error("it is in doubt who runs an instance: an operator has to decide", "instance", doubt.Instance, "migration", doubt.Migration,
					"since", doubt.Since, "known", doubt.Known, "decide", strings.Join(doubt.Decide, "; "))
				last = now
			}
			still[doubt.Instance] = last
		}
		told = still
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
