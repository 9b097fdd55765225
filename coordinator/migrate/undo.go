package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	disarmLeast = time.Second       // for a target to refuse although its permits are over already
	thawLimit   = 150 * time.Second // until the unit is active, beside the time that its health check has
	thawTries   = 3                 // after which a source that runs but is not healthy is left as it is
	cleanTries  = 100               // after which a target that can't be cleaned is left to its operator
)

// undo puts the source back, then leaves nothing on the target.
func (w *walker) undo(ctx context.Context, s scene) error {
	if !w.cancelled {
		w.cancelled = true
		w.cancelAll(ctx, s)
	}
	if s.i.State == proto.InstanceThawing {
		return w.thaw(ctx, s)
	}
	return w.clean(ctx, s)
}

// cancelAll stops what was begun before the migration was given up, so that what undoes it need not queue behind. What leads towards
// less running is not stopped: half a stop is worse than a late one.
func (w *walker) cancelAll(ctx context.Context, s scene) {
	for _, o := range s.m.Operations {
		if o.Result != nil || o.Fence >= s.i.Fence {
			continue
		}
		switch o.Kind {
		case proto.OpFreeze, proto.OpRefuse, proto.OpCleanTarget, proto.OpRetire:
		default:
			w.recording.Go(func() { w.cancel(ctx, o.Host, o.ID) })
		}
	}
}

// thaw lets the source run the instance again once the target can't.
func (w *walker) thaw(ctx context.Context, s scene) error {
	if done, err := w.disarm(ctx, s); !done || err != nil {
		return err
	}
	// What was announced on the target is taken back while the source starts, which no hook holds up.
	told := w.beside(ctx, s, only(w.hooks(s, proto.HookOnAbort, 0), s.m.Target))
	defer told.leave()
	o := order{kind: proto.OpThaw, host: s.m.Source, limit: thawLimit + s.i.Spec.Health.Time()}
	if _, err := w.perform(ctx, s, o); err != nil {
		var fault *proto.Fault
		n, _ := failures(s.m, o, s.i.Fence)
		if !errors.As(err, &fault) || fault.Code != proto.FaultUnhealthy || n+1 < thawTries {
			return w.persist(ctx, s, o, err)
		}
		// It has the right to run back and was started: that it is not healthy there is not for a migration to mend.
		w.log.Error("the source runs the instance again, but it is not healthy", "host", o.host, "instance", s.m.Instance, "error", fault)
	}
	return w.decide(ctx, &proto.MigrationThaw{Migration: s.m.ID, Fence: s.i.Fence})
}

// disarm reports whether the target can't run the instance any more: it was never allowed to, it has durably refused, or
// nothing is heard of it and no permit can hold. A target that answers that it can't stop the instance is not passed over.
func (w *walker) disarm(ctx context.Context, s scene) (done bool, err error) {
	if s.m.Loss {
		return w.giveUp(ctx, s)
	}
	if committed(s.m) == 0 {
		return true, nil
	}
	over := w.permitsOver(s.m.ID)
	o := order{kind: proto.OpRefuse, host: s.m.Target, silence: max(time.Until(over), disarmLeast)}
	_, err = w.perform(ctx, s, o)
	var fault *proto.Fault
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &fault):
		return false, w.persist(ctx, s, o, err)
	case errors.Is(err, errSuperseded) || ctx.Err() != nil || time.Now().Before(over):
		return false, err
	}
	w.log.Warn("the target does not answer; no permit of it can hold any more, so the source goes on", "host", s.m.Target, "error", err)
	return true, nil
}

// clean leaves nothing of the migration on the target, however long it takes to reach it.
func (w *walker) clean(ctx context.Context, s scene) error {
	if done, err := w.takeBack(ctx, s); !done || err != nil {
		return err
	}
	if s.m.Loss {
		if state, err := w.standDown(ctx, s); err != nil {
			return w.standsStill(ctx, s, err)
		} else if state != proto.FenceRefused {
			return w.decide(ctx, &proto.MigrationEnd{Migration: s.m.ID, Outcome: proto.OutcomeAborted})
		}
	}
	o := order{kind: proto.OpCleanTarget, host: s.m.Target}
	if prepared(s.m) {
		if _, err := w.perform(ctx, s, o); err != nil {
			var fault *proto.Fault
			if n, _ := failures(s.m, o, s.i.Fence); errors.As(err, &fault) && n+1 >= cleanTries {
				why := fmt.Sprintf("%s; then %s could not be cleaned: %s", s.m.Reason, s.m.Target, fault)
				return w.decide(ctx, &proto.MigrationEnd{Migration: s.m.ID, Outcome: proto.OutcomeFailed, Reason: clip(why)})
			}
			return w.persist(ctx, s, o, err)
		}
	}
	return w.decide(ctx, &proto.MigrationEnd{Migration: s.m.ID, Outcome: proto.OutcomeAborted})
}

// takeBack has the hooks run that take back what others did: the source's first, until they succeeded or failed for good. The target's are waited for
// as its cleaning is; those of one that was given up as lost are run when it is back.
func (w *walker) takeBack(ctx context.Context, s scene) (done bool, err error) {
	for _, o := range w.hooks(s, proto.HookOnAbort, hookQuiet) {
		if o.host == s.m.Target {
			if o.owed = s.m.Loss; !s.m.Loss {
				o.silence = 0
			}
		}
		if done, err := w.after(ctx, s, []order{o}); !done || err != nil {
			return false, err
		}
	}
	return true, nil
}

// prepared reports whether anything of a migration can be on its target. Nothing is sent that is not recorded before.
func prepared(m proto.Migration) bool {
	for _, o := range m.Operations {
		if o.Kind == proto.OpPrepareTarget {
			return true
		}
	}
	return false
}

// giveUp is disarm for a target that was the owner and that an operator gave up as lost. Should it be there after all, it
// is stopped first; if it can't be reached for the time of a permit, the operator's word holds.
func (w *walker) giveUp(ctx context.Context, s scene) (done bool, err error) {
	_, err = w.standDown(ctx, s)
	if err == nil {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	var fault *proto.Fault
	if errors.As(err, &fault) {
		// What it could not put away does not keep clients waiting, once it is stopped for good.
		if h, err := w.holding(ctx, s.m.Target, s.m.Instance); err == nil && h.State == proto.FenceRetired && !h.Running {
			w.log.Warn("the target that was given up is stopped, but could not put its data away yet; the source goes on", "host", s.m.Target, "error", fault)
			return true, nil
		}
		return false, w.persist(ctx, s, retirement(s, ""), err)
	}
	_, silent := w.holding(ctx, s.m.Target, s.m.Instance)
	if silent == nil || timeline.Of(time.Now()).Sub(entered(s.m, proto.PhaseUndo)) < permitOver {
		w.trouble(err)
		sleep(ctx, againFirst)
		return false, nil
	}
	w.log.Warn("the target that was given up does not answer; the source goes on with the data it kept", "host", s.m.Target)
	return true, nil
}

// retirement is how a target that was confirmed gives the instance away, in the name of the migration that it holds it by.
func retirement(s scene, by string) order {
	return order{kind: proto.OpRetire, host: s.m.Target, of: by, silence: permitOver}
}

// standDown takes the right to run from a target that was confirmed, and returns as what it holds the instance then. What
// was written there is put away on it as a source's data are, so that the host can become a target again.
func (w *walker) standDown(ctx context.Context, s scene) (proto.FenceState, error) {
	h, err := w.holding(ctx, s.m.Target, s.m.Instance)
	if err != nil {
		return "", err
	}
	o := retirement(s, h.Migration)
	o.older = h.Fence < s.i.Fence
	_, begun := last(s.m, o, s.i.Fence)
	switch {
	case h.State == proto.FenceOwner, h.State == proto.FenceFrozen, h.State == proto.FenceRetired && begun > 0:
		_, err = w.perform(ctx, s, o)
		return proto.FenceRetired, err
	case h.State == proto.FenceStarting, h.State == proto.FenceRefused:
		_, err = w.perform(ctx, s, order{kind: proto.OpRefuse, host: s.m.Target, silence: permitOver, older: o.older})
		return proto.FenceRefused, err
	}
	return h.State, nil
}

// standsStill ends what was given up with a target that does not stand down. One that is not there hears of it when it is back: that is on record, and
// nothing else waits for it. One that has been stopped and can't put its data away is left to its operator in the end.
func (w *walker) standsStill(ctx context.Context, s scene, err error) error {
	var fault *proto.Fault
	if !errors.As(err, &fault) {
		var unheard *unheardError
		if _, err = w.perform(ctx, s, retirement(s, "")); !errors.As(err, &unheard) {
			return err
		}
		w.log.Warn("the target that was given up does not answer; it gives the instance away when it is back", "host", s.m.Target, "error", err)
		return w.decide(ctx, &proto.MigrationEnd{Migration: s.m.ID, Outcome: proto.OutcomeAborted})
	}
	if n, _ := failures(s.m, retirement(s, ""), s.i.Fence); n+1 < cleanTries {
		return w.persist(ctx, s, retirement(s, ""), err)
	}
	why := fmt.Sprintf("%s; then %s could not put the data away: %s", s.m.Reason, s.m.Target, fault)
	return w.decide(ctx, &proto.MigrationEnd{Migration: s.m.ID, Outcome: proto.OutcomeFailed, Reason: clip(why)})
}
