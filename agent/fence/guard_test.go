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
	}{
		"confirmed":              {5 * time.Second, func(r *fence.Record) { r.State = proto.FenceOwner }, false, 7 * time.Second},
		"refused by its agent":   {permitLen, func(r *fence.Record) { r.State = proto.FenceRefused }, false, permitLen + 2*time.Second},
		"not settled by anybody": {time.Hour, nil, true, permitLen + 2*time.Second},
		"renewed once, and then no more": {5 * time.Second, func(r *fence.Record) {
			r.Permit.ExpiresMilli += (5 * time.Second).Milliseconds()
		}, true, permitLen + 7*time.Second},
		"of an earlier boot": {time.Millisecond, func(r *fence.Record) { r.Permit.Boot = "another" }, true, 3 * time.Second},
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
