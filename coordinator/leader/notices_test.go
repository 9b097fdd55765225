package leader

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestNoticesThatAreOverAreCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPlanned(t)
		notice := func(k proto.NoticeKind, host, reservation string, end timeline.Time) proto.Notice {
			return proto.Notice{ID: proto.NoticeID(k, host+reservation), Kind: k, Host: host, Reservation: reservation, Span: timeline.Span{Start: 1, End: end}, Says: "it is so"}
		}
		w.must(&proto.NoticePut{Put: []proto.Notice{
			notice(proto.NoticeShort, "host-a", "", timeline.Forever), notice(proto.NoticeShort, "host-z", "", timeline.Forever), notice(proto.NoticeBlocked, "host-z", "", timeline.Forever),
			notice(proto.NoticeLost, "host-z", "r", timeline.Forever), notice(proto.NoticeLost, "host-z", "s", after(time.Hour)),
		}})
		var mu sync.Mutex
		view := func() *state.View {
			mu.Lock()
			defer mu.Unlock()
			return w.s.View()
		}
		n := &Notices{View: view, Clear: func(_ context.Context, b *proto.NoticePut) error {
			mu.Lock()
			defer mu.Unlock()
			w.must(b)
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		told := func() (ids []string) {
			time.Sleep(2 * noticesEvery)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for n := range w.s.View().Notices() {
				if n.ClearedAt == 0 {
					ids = append(ids, n.ID)
				}
			}
			slices.Sort(ids)
			return ids
		}
		if got := told(); !slices.Equal(got, []string{"lost/host-zr", "lost/host-zs", "short/host-a"}) {
			t.Errorf("%q", got)
		}
		mu.Lock()
		w.must(&proto.ReservationChange{Author: proto.AuthorOperator, Hold: []proto.Reservation{{
			ID: "r", Host: "host-b", Class: proto.Standard, Purpose: proto.PurposeHold, Until: after(24 * time.Hour),
			Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Vector{resource.CPU: 1}}},
		}}})
		mu.Unlock()
		if got := told(); !slices.Equal(got, []string{"lost/host-zs", "short/host-a"}) {
			t.Errorf("%q", got)
		}
		time.Sleep(time.Hour)
		if got := told(); !slices.Equal(got, []string{"short/host-a"}) {
			t.Errorf("%q", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
