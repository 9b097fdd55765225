package agent

import (
	"context"
	"errors"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
)

// Guard waits while this host is the target of an instance's move, and ends the instance when it outlives its permit: the running agent does so
// itself, unless it is dead or hangs. It returns the units that it has stopped.
func Guard(ctx context.Context, cfg Config, instance string) (stopped []string, err error) {
	units, err := fence.Guard(ctx, durable.OS{}, cfg.FenceDir(), instance, fence.Now)
	if err != nil || len(units) == 0 {
		return nil, err
	}
	bus, err := systemd.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bus.Close()) }()
	for _, unit := range units {
		// Nobody has been served by it: it may be killed, which is over sooner than a stop. Then systemd starts it no more.
		failed := errors.Join(bus.Kill(ctx, unit), bus.Stop(ctx, unit))
		if errors.Is(failed, systemd.ErrNoUnit) {
			continue
		}
		if err = errors.Join(err, failed); failed == nil {
			stopped = append(stopped, unit)
		}
	}
	// An agent that was only slow may have made it the owner in time, and its record may have come late: then it is to run.
	if owner, failed := fence.Owns(durable.OS{}, cfg.FenceDir(), instance); failed != nil || !owner {
		return stopped, errors.Join(err, failed)
	}
	for _, unit := range stopped {
		err = errors.Join(err, bus.Start(ctx, unit))
	}
	return nil, err
}
