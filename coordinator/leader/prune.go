package leader

import (
	"context"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// For how long a migration that has ended is kept, and how often it is looked for older ones.
const (
	migrationsKept = 30 * 24 * time.Hour
	pruneEvery     = time.Hour
)

// Prune forgets migrations that ended long ago, so that the tables don't grow for good.
type Prune struct {
	View   func() *state.View
	Forget func(context.Context, *proto.MigrationPrune) error
}

// Run forgets until ctx ends.
func (p *Prune) Run(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		before := timeline.Of(time.Now().Add(-migrationsKept))
		if anyBefore(p.View(), before) {
			if err := p.Forget(ctx, &proto.MigrationPrune{Before: before}); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// anyBefore reports whether a migration ended before a time.
func anyBefore(view *state.View, before timeline.Time) bool {
	for m := range view.Migrations() {
		if !m.Active() && m.EndedAt < before {
			return true
		}
	}
	return false
}
