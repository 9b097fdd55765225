package agent

import (
	"context"
	"errors"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
)

// Guard waits while an instance is starting on this host, and ends it when it outlives its permit: the running agent does so itself, unless it
// is dead or hangs. It returns the units that it has stopped.
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
	return stopped, err
}
