package leader

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// For how long a migration that has ended is kept, how many are at most that are not of the last day, and how often it is looked for others. A migration is kept
// with its plan, of up to a hundred kilobytes; what moved in the last day must not go back, which is told by its migration.
const (
	migrationsKept = 30 * 24 * time.Hour
	mostMigrations = 4096
	leastKept      = 25 * time.Hour
	pruneEvery     = time.Hour
)

// Prune forgets migrations that ended long ago, or before many others, so that the tables don't grow for good.
type Prune struct {
	View   func() *state.View
	Forget func(context.Context, *proto.MigrationPrune) error
}

// Run forgets until ctx ends.
func (p *Prune) Run(ctx context.Context) error {
	return rounds(ctx, pruneEvery, func(ctx context.Context) error {
		view := p.View()
		before := oldest(view.Migrations(), time.Now())
		if !anyBefore(view, before) {
			return nil
		}
		return p.Forget(ctx, &proto.MigrationPrune{Before: before})
	})
}

// oldest returns when the oldest migration that is kept may have ended.
func oldest(all iter.Seq[proto.Migration], now time.Time) timeline.Time {
	before := timeline.Of(now.Add(-migrationsKept))
	var ended []timeline.Time
	for m := range all {
		if !m.Active() && m.EndedAt >= before {
			ended = append(ended, m.EndedAt)
		}
	}
	if n := len(ended) - mostMigrations; n > 0 {
		slices.Sort(ended)
		before = max(before, min(ended[n], timeline.Of(now.Add(-leastKept))))
	}
	return before
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
