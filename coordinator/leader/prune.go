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
	mostOrphans    = 500 // events of calendars that are gone which are removed at a time
)

// Prune forgets migrations that ended long ago, or before many others, and events that nobody polls any more, so that the tables don't grow for good.
type Prune struct {
	View    func() *state.View
	Propose func(context.Context, proto.Body) error
}

// Run forgets until ctx ends.
func (p *Prune) Run(ctx context.Context) error {
	return rounds(ctx, pruneEvery, func(ctx context.Context) error {
		view, now := p.View(), time.Now()
		if before := oldest(view.Migrations(), now); anyBefore(view, before) {
			if err := p.Propose(ctx, &proto.MigrationPrune{Before: before}); err != nil {
				return err
			}
		}
		for _, id := range orphans(view, timeline.Of(now)) {
			if err := p.Propose(ctx, &proto.EventRemove{ID: id}); err != nil {
				return err
			}
		}
		return nil
	})
}

// orphans returns events of calendars that are gone, which are over for so long that nothing is learned from them any more.
func orphans(view *state.View, now timeline.Time) (ids []string) {
	for e := range view.Events() {
		if e.Calendar == "" || e.Span.End > now-proto.EventsKept || len(ids) == mostOrphans {
			continue
		}
		if _, polled := view.Calendar(e.Calendar); !polled {
			ids = append(ids, e.ID)
		}
	}
	return ids
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
