package migrate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// faultAgain is how long after a refused adoption or release it is tried again: what was in the way may have been put right on the host.
const faultAgain = 30 * time.Second

// keeper adopts or releases one instance. It belongs to the goroutine of run.
type keeper struct {
	*Executor
	name string
	log  *slog.Logger

	tried string // identifier of the first attempt for the instance as it was; "" before
}

// run works until the instance is neither being adopted nor released, or ctx ends.
func (k *keeper) run(ctx context.Context) {
	for wait := againFirst; ctx.Err() == nil; {
		done, err := k.step(ctx)
		switch {
		case done:
			return
		case err == nil:
			wait = againFirst
		case errors.Is(err, errSuperseded):
			sleep(ctx, againSoon)
		case ctx.Err() == nil:
			k.log.Warn("adoption or release does not go on, trying again", "error", err, "in", wait)
			sleep(ctx, wait)
			wait = min(2*wait, againMost)
		}
	}
}

// step makes one attempt. It reports whether there is nothing to do.
func (k *keeper) step(ctx context.Context) (done bool, err error) {
	view := k.cfg.View()
	i, ok := view.Instance(k.name)
	if !ok || i.State != proto.InstanceAdopting && i.State != proto.InstanceReleasing {
		return true, nil
	}
	kind := proto.OpAdopt
	if i.State == proto.InstanceReleasing {
		kind = proto.OpRelease
	}
	fleet := view.Fleet()
	if why := view.Unreported(i.Owner); why != "" {
		return false, errors.New(why)
	}
	op := proto.Operation{ID: k.attempt(kind, i), Kind: kind, Instance: k.name, Incarnation: fleet.Incarnation, Fence: i.Fence, Spec: i.Spec}
	result, err := k.send(ctx, i.Owner, op, terms{
		wanted: func() bool { return !k.changed(i) }, seen: func(proto.Progress) {}, trouble: k.trouble,
	})
	if err != nil {
		return false, err
	}
	if err := k.tell(ctx, view, i, result); err != nil {
		return false, err
	}
	if result.Error == nil {
		return true, nil
	}
	k.log.Warn("an instance could not be adopted or released", "operation", kind, "host", i.Owner, "error", result.Error)
	return false, k.rest(ctx, i)
}

// attempt returns the identifier of the next attempt. The first for the instance as it is follows from the tables, so
// that another leader's joins it; later ones are new, so that the agent looks again instead of repeating its answer.
func (k *keeper) attempt(kind proto.OperationKind, i proto.Instance) string {
	first := fmt.Sprintf("%s/%s/%d/%d/%s", kind, k.name, i.CreatedAt, i.Fence, digest(i.Spec))
	if k.tried == first {
		return newID()
	}
	k.tried = first
	return first
}

// digest returns a short fingerprint of a spec.
func digest(s proto.InstanceSpec) string {
	b, err := proto.Marshal(s)
	if err != nil {
		return "" // a spec that came out of the tables can be encoded
	}
	return fmt.Sprintf("%.8x", sha256.Sum256(b))
}

// tell commits what came of an attempt, unless the tables say so already.
func (k *keeper) tell(ctx context.Context, view *state.View, i proto.Instance, result proto.OperationResult) error {
	if result.Error != nil && i.Fault != nil && *result.Error == *i.Fault {
		return nil
	}
	var body proto.Body
	if i.State == proto.InstanceAdopting {
		b := &proto.InstanceAdopted{Instance: k.name, Fence: i.Fence, Fault: result.Error}
		if result.Adopt != nil {
			b.Companions = result.Adopt.Companions
		}
		body = b
	} else {
		if result.Error == nil {
			k.releaseElsewhere(ctx, view, i)
		}
		body = &proto.InstanceRemove{Instance: k.name, Fence: i.Fence, Fault: result.Error}
	}
	r, err := k.cfg.Propose(ctx, newID(), actor, body)
	if err != nil {
		return err
	}
	if r.Code == proto.ResultStale {
		return errSuperseded
	}
	return r.Err()
}

// releaseElsewhere gives the unit free on the hosts that the instance has moved away from, too: those that answer. A host that
// does not keeps the unit from starting until its operator releases it there.
func (k *keeper) releaseElsewhere(ctx context.Context, view *state.View, i proto.Instance) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	asked := map[string]bool{i.Owner: true}
	for m := range view.Migrations() {
		host, known := view.Host(m.Source)
		if m.Instance != k.name || asked[m.Source] || !known {
			continue
		}
		asked[m.Source] = true
		op := proto.Operation{ID: newID(), Kind: proto.OpRelease, Instance: k.name, Incarnation: host.Incarnation, Fence: i.Fence, Spec: i.Spec}
		result, err := k.send(ctx, m.Source, op, terms{
			silence: askFor, wanted: func() bool { return true }, seen: func(proto.Progress) {}, trouble: func(error) {},
		})
		if err == nil && result.Error != nil {
			err = result.Error
		}
		if err != nil {
			k.log.Warn("a host that the instance has left still keeps its unit from starting", "host", m.Source, "error", err)
		}
	}
}

// rest waits before the next attempt, or until the instance is another.
func (k *keeper) rest(ctx context.Context, i proto.Instance) error {
	end := timeline.Of(time.Now()).Add(faultAgain)
	for timeline.Of(time.Now()) < end && !k.changed(i) {
		if !sleep(ctx, lookEvery) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// changed reports whether the instance is another than it was, as far as an attempt depends on it.
func (k *keeper) changed(was proto.Instance) bool {
	i, ok := k.cfg.View().Instance(k.name)
	return !ok || i.State != was.State || i.Fence != was.Fence || i.CreatedAt != was.CreatedAt || digest(i.Spec) != digest(was.Spec)
}

func (k *keeper) trouble(why error) {
	if why != nil {
		k.log.Debug("waiting for an agent", "error", why)
	}
}
