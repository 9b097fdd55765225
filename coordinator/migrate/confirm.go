package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/proto"
)

// confirm tells the target that it is the owner, for as long as it takes: nobody else may run the instance now.
func (w *walker) confirm(ctx context.Context, s scene) error {
	refusal := order{kind: proto.OpRefuse, host: s.m.Target}
	if r, tried := last(s.m, refusal, s.i.Fence); tried > 0 && (r.Result == nil || r.Result.Error == nil) {
		return w.withdraw(ctx, s, refusal)
	}
	o := order{kind: proto.OpConfirm, host: s.m.Target}
	_, err := w.perform(ctx, s, o)
	var fault *proto.Fault
	if !errors.As(err, &fault) {
		return err
	}
	h, err := w.holding(ctx, s.m.Target, s.m.Instance)
	if err != nil {
		return err
	}
	// Only a target that still has the record of this very commit, and is not the owner by it, has never announced the
	// address. One that has lost its record may have served clients before: that is for an operator to decide.
	unserved := h.Migration == s.m.ID && h.Incarnation == s.view.Fleet().Incarnation && h.Fence == s.i.Fence &&
		(h.State == proto.FenceStarting || h.State == proto.FenceRefused)
	n, first := failures(s.m, o, s.i.Fence)
	tooLong := n > 0 && time.Since(first.Std()) > confirmRetry
	switch {
	case unserved && (h.State == proto.FenceRefused || tooLong):
		w.log.Warn("the target can't be confirmed; it is made to refuse, and the source goes on", "host", s.m.Target, "error", fault)
		return w.withdraw(ctx, s, refusal)
	case !unserved && h.State != proto.FenceOwner:
		fault = &proto.Fault{
			Code: proto.FaultInDoubt, What: fmt.Sprintf("host %s was confirmed as the owner of instance %s and holds it as %q now: %s", s.m.Target, s.m.Instance, h.State, fault.What),
			Remedy: fmt.Sprintf("find out whether it has served clients; `glidepath migration show %s` says how old the source's data are, should you have to go back to them", s.m.ID),
		}
	}
	return w.persist(ctx, s, o, fault)
}

// withdraw takes back a confirmation that did not reach the target in time: its permit ran out before. Once the target
// has durably refused, the source can go on as if it had never been confirmed.
func (w *walker) withdraw(ctx context.Context, s scene, o order) error {
	if _, err := w.perform(ctx, s, o); err != nil {
		return w.persist(ctx, s, o, err)
	}
	w.recording.Wait() // the abort is allowed by the record
	return w.abort(ctx, s, fmt.Errorf("the permit of host %s ran out before it heard that it was confirmed", s.m.Target))
}
