package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

func TestAReadBackSaysWhatAnInstanceAsksForAndThatItIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.states["cache-1"] = proto.FenceOwner
		b.doc = stepping(500, 900, time.Hour)
		defer b.start()()
		s := services{board: b.board, readBack: func(ctx context.Context, instance string) (enforce.Held, error) { return b.k.ReadBack(ctx, instance) }, signals: func(string) []proto.SignalState { return []proto.SignalState{{Name: "requests", Value: 12}} }}
		ask := func() proto.ReadBack {
			t.Helper()
			synctest.Wait()
			r, err := s.readBackOf(t.Context(), wire.Peer{}, proto.InstanceRef{Instance: "cache-1"})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		time.Sleep(2*time.Second + time.Millisecond)
		if r := ask(); !r.Measured || r.Demand[resource.CPU] != 100 || r.Granted[resource.CPU] != 500 || r.Throttled != 0 || len(r.Signals) != 1 {
			t.Errorf("%+v", r)
		}
		b.edit(func() { b.m.throttled = 300 * time.Millisecond })
		time.Sleep(4 * time.Second)
		if r := ask(); r.Throttled != 1200 {
			t.Errorf("throttled for 4 s: %+v", r)
		}
		b.edit(func() { b.m.throttled = 5 * time.Second }) // of many CPUs at once
		time.Sleep(20 * time.Second)
		if r := ask(); r.Throttled != proto.WindowLength {
			t.Errorf("throttled all the time: %+v", r)
		}
		b.edit(func() { b.m.throttled = 0 })
		time.Sleep(11 * time.Second)
		if r := ask(); r.Throttled != 0 {
			t.Errorf("throttled %d ms in the last 10 s, long after it", r.Throttled)
		}
		b.edit(func() { b.m.silent = true })
		time.Sleep(2 * time.Second)
		if r := ask(); r.Measured {
			t.Errorf("without a sample: %+v", r)
		}
		b.edit(func() { b.k.stopped["cache-1"] = true })
		if _, err := s.readBackOf(t.Context(), wire.Peer{}, proto.InstanceRef{Instance: "cache-1"}); wire.CodeOf(err) != wire.Refused {
			t.Errorf("of what does not run: %v", err)
		}
	})
}

func TestWhatIsSummedUpOverInstancesDoesNotFallWhenOneGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.states["cache-1"] = proto.FenceOwner
		b.doc = stepping(500, 900, time.Hour)
		b.m.throttled, b.m.waits = 300*time.Millisecond, .5
		stop := b.start()
		time.Sleep(4*time.Second + time.Millisecond)
		synctest.Wait()
		stop()
		throttled, stalled := b.board.heldBack()
		b.board.drop("cache-1")
		if after, _ := b.board.heldBack(); throttled < time.Second || stalled < time.Second || after != throttled {
			t.Errorf("throttled %s and waited %s for memory; %s when it had gone", throttled, stalled, after)
		}
	})
}
