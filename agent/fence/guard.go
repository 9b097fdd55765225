package fence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

// How a guard looks after a permit. The grace is the agent's, which ends an instance better than its guard can; both are over before the leader,
// who waits 5 s longer than a permit lasts, lets another host run it.
const (
	guardEvery = time.Second
	guardGrace = time.Second
)

// guarded reports whether an instance that is in this state here has a guard: it is there before the instance can start.
func guarded(s proto.FenceState) bool { return s == proto.FenceTarget || s == proto.FenceStarting }

// Guard waits while the record in dir says that this host is the target of an instance's move, prepared or starting it. It returns the units that must not run any longer when the
// permit has run out and the record, a grace later, still says starting: the agent, which should have seen to it, is dead or hangs. Otherwise it returns none. It writes
// nothing. While a record can't be read the one read last counts.
func Guard(ctx context.Context, fsys durable.FS, dir, instance string, clock func() (Moment, error)) ([]string, error) {
	if err := CheckName(instance); err != nil {
		return nil, err
	}
	var last Record
	for late := false; ; {
		switch r, err := read(fsys, filepath.Join(dir, instance+suffix)); {
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil
		case err == nil:
			last = r
		case last.State == proto.FenceNone:
			return nil, fmt.Errorf("guard %s: %w", instance, err)
		}
		if !guarded(last.State) {
			return nil, nil
		}
		now, err := clock()
		if err != nil {
			return nil, fmt.Errorf("guard %s: %w", instance, err)
		}
		left := last.Permit.Remaining(now)
		switch {
		case last.State == proto.FenceTarget:
			late, left = false, guardEvery
		case left > 0:
			late = false
		case late:
			return last.Units, nil
		default:
			late, left = true, guardGrace
		}
		timer := time.NewTimer(min(left, guardEvery))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// Owns reports whether the record in dir says that this host owns an instance.
func Owns(fsys durable.FS, dir, instance string) (bool, error) {
	r, err := read(fsys, filepath.Join(dir, instance+suffix))
	return err == nil && r.State == proto.FenceOwner, err
}
