package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/resource"
)

// How long Pause waits for the agent to lift limits, and how often it looks.
const (
	liftedWithin = 15 * time.Second
	lookEach     = 200 * time.Millisecond
)

const pausedText = "Every limit on this host is lifted by glidepath-agent pause, until glidepath-agent resume.\n"

// Pause lifts every limit on this host until Resume, whatever the coordinators say and whether they answer. It is kept over restarts and
// reboots. The agent does it where it runs; where it is down Pause does it itself. It returns what is seen of each instance.
func Pause(ctx context.Context, cfg Config) (done []string, err error) {
	if err := joined(cfg); err != nil {
		return nil, err
	}
	records, err := fence.Read(durable.OS{}, cfg.FenceDir())
	if err != nil {
		return nil, asRoot(err)
	}
	held, err := limitedNow(enforce.Default(), records) // before the agent hears of it
	if err != nil {
		return nil, err
	}
	// The time of the first word is kept.
	if since, err := cfg.pausedSince(); err != nil {
		return nil, asRoot(err)
	} else if since == 0 {
		if err := durable.WriteFile(durable.OS{}, cfg.path(pausedFile), []byte(pausedText), 0o600); err != nil {
			return nil, asRoot(fmt.Errorf("pause: %w", err))
		}
	}
	lock, err := durable.LockDir(cfg.DataDir)
	switch {
	case errors.Is(err, durable.ErrLocked):
		ctx, cancel := context.WithTimeoutCause(ctx, liftedWithin, errNotLifted)
		defer cancel()
		return awaitLifted(ctx, records, held, enforce.Default().DropInLimits)
	case err != nil:
		return nil, err
	}
	defer lock.Unlock()
	return liftAll(ctx, cfg, records)
}

// errNotLifted is why Pause gives up waiting.
var errNotLifted = fmt.Errorf("the agent has not lifted every limit within %s; it does as soon as it can. If it hangs: systemctl stop glidepath-agent, and pause again", liftedWithin)

// Resume takes Pause back. It reports whether anything was paused, and whether the agent runs, which then sets limits within seconds.
func Resume(cfg Config) (was, running bool, err error) {
	if err := joined(cfg); err != nil {
		return false, false, err
	}
	since, err := cfg.pausedSince()
	if err != nil {
		return false, false, asRoot(err)
	}
	if err := durable.Remove(durable.OS{}, cfg.path(pausedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, false, asRoot(fmt.Errorf("resume: %w", err))
	}
	lock, err := durable.LockDir(cfg.DataDir)
	if errors.Is(err, durable.ErrLocked) {
		return since != 0, true, nil
	}
	if err != nil {
		return since != 0, false, err
	}
	return since != 0, false, lock.Unlock()
}

// joined refuses a host that belongs to no fleet: nothing of it is limited.
func joined(cfg Config) error {
	_, err := credentials(pki.NewDir(durable.OS{}, cfg.path(pkiDir)))
	return asRoot(err)
}

// asRoot says what is missing where somebody else's file can't be touched.
func asRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return refuse("%v: run it as root", err)
	}
	return err
}

// limitedNow returns the instances that may run here and are limited. What a unit's own configuration limits is not ours to lift.
func limitedNow(limits enforce.Config, records []fence.Record) (map[string]bool, error) {
	held := map[string]bool{}
	for _, r := range records {
		if !seated(r.State) || len(r.Units) == 0 {
			continue
		}
		is, err := limits.DropInLimits(r.Units[0])
		if err != nil {
			return nil, fmt.Errorf("instance %s: %w", r.Instance, err)
		}
		held[r.Instance] = is
	}
	return held, nil
}

// awaitLifted returns when no instance is limited any more that was. A drop-in lets go after the kernel has.
func awaitLifted(ctx context.Context, records []fence.Record, held map[string]bool, limits func(unit string) (bool, error)) ([]string, error) {
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for {
		var seen []string
		left := 0
		for _, r := range records {
			was, here := held[r.Instance]
			if !here {
				continue
			}
			still, err := limits(r.Units[0])
			if err != nil {
				return nil, fmt.Errorf("instance %s: %w", r.Instance, err)
			}
			word := "its limits are lifted"
			switch {
			case still:
				word, left = "NOT YET LIFTED", left+1
			case !was:
				word = "it was not limited"
			}
			seen = append(seen, fmt.Sprintf("instance %s (%s): %s", r.Instance, r.State, word))
		}
		if left == 0 {
			return seen, nil
		}
		select {
		case <-ctx.Done():
			return seen, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// liftAll lifts the limits of all instances that may run here, while the agent is down. Their drop-ins stay, without limits, so that a
// start by hand is not limited either and still asks whether it may.
func liftAll(ctx context.Context, cfg Config, records []fence.Record) (done []string, err error) {
	bus, err := systemd.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer bus.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	limits := enforce.Default()
	limits.MayRun = strings.Join(mayRun(self, cfg), " ")
	enforcer := enforce.Open(limits, bus)
	defer enforcer.Close()
	for _, r := range records {
		if !seated(r.State) || r.Spec.Service == nil {
			continue
		}
		t := enforce.Target{Instance: r.Instance, Unit: r.Spec.Service.Unit, Data: r.Spec.Service.Data, Class: r.Spec.Class, Envelope: resource.Uniform(resource.Unlimited)}
		if _, failed := enforcer.Attach(ctx, t); failed != nil {
			err = errors.Join(err, fmt.Errorf("instance %s: %w", r.Instance, failed))
			continue
		}
		done = append(done, fmt.Sprintf("instance %s (%s): its limits are lifted; the agent is down", r.Instance, r.State))
	}
	return done, err
}
