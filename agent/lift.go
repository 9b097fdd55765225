package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// Lift takes all limits off this host's instances: before the agent is removed, since nobody would raise them any more. Who
// may run what stays as it is recorded. It returns what it did, in words. The agent must be down.
//
// The drop-in of an instance that may run here goes, because the program that it asks goes. Elsewhere it stays: a question
// that nobody answers keeps the unit from starting, which is right where the instance runs on another host.
func Lift(ctx context.Context, cfg Config) (done []string, err error) {
	lock, err := durable.LockDir(cfg.DataDir)
	if errors.Is(err, durable.ErrLocked) {
		return nil, refuse("the agent is running and would limit them again: stop it first with systemctl stop glidepath-agent, or use glidepath-agent pause (%v)", err)
	}
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	records, err := fence.Read(durable.OS{}, cfg.FenceDir())
	if err != nil || len(records) == 0 {
		return nil, err
	}
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
	limits.MayRun = strings.Join(ownCommand(self, "may-run", cfg), " ")
	enforcer := enforce.Open(limits, bus)
	defer enforcer.Close()
	for _, r := range records {
		if r.Spec.Service == nil {
			continue
		}
		did, failed := liftOne(ctx, enforcer, bus, r)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("instance %s: %w", r.Instance, failed))
			continue
		}
		done = append(done, fmt.Sprintf("instance %s (%s): %s", r.Instance, r.State, did))
	}
	_ = os.Remove(limits.PinDir) // the folder, if nothing is left in it
	return done, err
}

func liftOne(ctx context.Context, enforcer *enforce.Enforcer, bus *systemd.Bus, r fence.Record) (did string, err error) {
	t := enforce.Target{Instance: r.Instance, Unit: r.Spec.Service.Unit, Data: r.Spec.Service.Data, Class: r.Spec.Class, Envelope: resource.Uniform(resource.Unlimited)}
	if r.State == proto.FenceStarting {
		// Nobody would renew its permit, and nobody has been served by it yet.
		if err := bus.Stop(ctx, t.Unit); err != nil && !errors.Is(err, systemd.ErrNoUnit) {
			return "", err
		}
	}
	if _, err := enforcer.Attach(ctx, t); err != nil {
		return "", err
	}
	if r.State == proto.FenceOwner {
		return "its limits are lifted, its drop-in is removed", enforcer.Release(ctx, t)
	}
	return "its limits are lifted; it does not start here", enforcer.Detach(ctx, r.Instance)
}
