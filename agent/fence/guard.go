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

// Guard waits while the record in dir says that an instance is starting. It returns the units that must not run any longer when the permit has run out and the record, a grace later, still says so:
// the agent, which should have seen to it, is dead or hangs. Otherwise it returns none. It writes nothing. While a record can't be read the one read last counts.
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
		if last.State != proto.FenceStarting {
			return nil, nil
		}
		now, err := clock()
		if err != nil {
			return nil, fmt.Errorf("guard %s: %w", instance, err)
		}
		left := last.Permit.Remaining(now)
		switch {
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
