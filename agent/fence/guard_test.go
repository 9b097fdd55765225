package fence_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable/crashfs"
	"github.com/glidepath/glidepath/proto"
)

func TestTheGuardEndsOnlyWhatOutlivesItsPermit(t *testing.T) {
	for name, c := range map[string]struct {
		after  time.Duration       // until the agent writes the next record
		then   func(*fence.Record) // may be nil
		stops  bool
		within time.Duration

		prepared bool // it begins before the start
	}{
		"prepared long before": {after: time.Hour, then: func(r *fence.Record) {
			r.State, r.Permit = proto.FenceStarting, fence.Permit{Boot: "b", ExpiresMilli: (time.Hour + permitLen).Milliseconds()}
		}, stops: true, within: time.Hour + permitLen + 2*time.Second, prepared: true},
		"given up while it was prepared": {after: time.Hour, then: func(r *fence.Record) { r.State = proto.FenceRefused }, within: time.Hour + time.Second, prepared: true},
		"confirmed":                      {after: 5 * time.Second, then: func(r *fence.Record) { r.State = proto.FenceOwner }, within: 7 * time.Second},
		"refused by its agent":           {after: permitLen, then: func(r *fence.Record) { r.State = proto.FenceRefused }, within: permitLen + 2*time.Second},
		"not settled by anybody":         {after: time.Hour, stops: true, within: permitLen + 2*time.Second},
		"renewed once, and then no more": {after: 5 * time.Second, then: func(r *fence.Record) {
			r.Permit.ExpiresMilli += (5 * time.Second).Milliseconds()
		}, stops: true, within: permitLen + 7*time.Second},
		"of an earlier boot": {after: time.Millisecond, then: func(r *fence.Record) { r.Permit.Boot = "another" }, stops: true, within: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				clock := func() (fence.Moment, error) { return fence.Moment{Boot: "b", Since: time.Since(began)}, nil }
				disk := crashfs.New()
				store, err := fence.Open(disk, dir)
				if err != nil {
					t.Fatal(err)
				}
				change := func(f func(*fence.Record)) {
					if _, err := store.Change(instance, func(r fence.Record) (fence.Record, error) {
						f(&r)
						return r, nil
					}); err != nil {
						panic(err) // a test that is over can't be told
					}
				}
				now, _ := clock()
				change(func(r *fence.Record) {
					r.Version, r.Instance = 1, instance
					r.State, r.Units, r.Token = proto.FenceStarting, []string{unit}, fence.Token{Incarnation: 1, Fence: 3}
					r.Permit = fence.NewPermit(now, permitLen)
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.prepared {
					change(func(r *fence.Record) { r.State, r.Permit = proto.FenceTarget, fence.Permit{} })
				}
				if c.then != nil {
					time.AfterFunc(c.after, func() { change(c.then) })
				}
				units, err := fence.Guard(ctx, disk, dir, instance, clock)
				if err != nil || slices.Equal(units, []string{unit}) != c.stops || len(units) > 0 != c.stops {
					t.Errorf("stops %q, %v", units, err)
				}
				if took := time.Since(began); took > c.within || c.stops && c.then == nil && took < permitLen {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

func TestTheGuardOfNothingEnds(t *testing.T) {
	clock := func() (fence.Moment, error) { return fence.Moment{Boot: "b"}, nil }
	if units, err := fence.Guard(t.Context(), crashfs.New(), dir, instance, clock); err != nil || len(units) > 0 {
		t.Error(units, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fence.Guard(ctx, crashfs.New(), dir, "../x", clock); err == nil || errors.Is(err, context.Canceled) {
		panic(err)
	}
}

func TestOwnsGoesByTheRecord(t *testing.T) {
	disk := crashfs.New()
	store, err := fence.Open(disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []proto.FenceState{proto.FenceStarting, proto.FenceOwner, proto.FenceRefused} {
		if _, err := store.Change(instance, func(r fence.Record) (fence.Record, error) {
			r.Version, r.Instance, r.State = 1, instance, state
			return r, nil
		}); err != nil {
			t.Fatal(err)
		}
		if owns, err := fence.Owns(disk, dir, instance); err != nil || owns != (state == proto.FenceOwner) {
			t.Errorf("%s: %v, %v", state, owns, err)
		}
	}
	if _, err := fence.Owns(disk, dir, "unknown"); err == nil {
		t.Error("a record that is not there was read")
	}
}
