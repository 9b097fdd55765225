package leader

import (
	"context"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// noticesEvery is how often it is looked for notices that nobody else clears.
const noticesEvery = 30 * time.Second

// Notices clears notices that are over and that nobody else clears: of hosts that are not of the fleet any more, and so have no home, and of
// reservations that were lost with one, once their time has passed or they are held again.
type Notices struct {
	View  func() *state.View
	Clear func(context.Context, *proto.NoticePut) error
}

// Run clears until ctx ends.
func (n *Notices) Run(ctx context.Context) error {
	return rounds(ctx, noticesEvery, func(ctx context.Context) error {
		view := n.View()
		ids := overNotices(view, timeline.Of(time.Now()))
		if len(ids) == 0 || !view.Knows(proto.CmdNotice, 1) {
			return nil
		}
		return n.Clear(ctx, &proto.NoticePut{Clear: ids})
	})
}

// overNotices returns the identifiers of notices that are over.
func overNotices(view *state.View, now timeline.Time) (ids []string) {
	for n := range view.Notices() {
		if n.ClearedAt != 0 || n.Host == "" {
			continue
		}
		_, there := view.Host(n.Host)
		_, held := view.Reservation(n.Reservation)
		over := !there
		if n.Kind == proto.NoticeLost {
			over = held || n.Span.End <= now
		}
		if over && len(ids) < proto.MaxList {
			ids = append(ids, n.ID)
		}
	}
	return ids
}
