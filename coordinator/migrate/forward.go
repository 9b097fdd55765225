package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// How long the operations of each phase may take, be silent, and fail.
const (
	verifyLimit  = time.Minute
	prepareLimit = 2 * time.Minute
	prepareRetry = 10 * time.Second
	prepareQuiet = time.Minute
	handoverFor  = time.Minute

	maxRounds  = 5                // early ones
	smallRest  = 4 << 20          // bytes that the last round may as well take
	restKeeps  = 30 * time.Second // after which the rest has grown, and is not what the last early round left
	copyStall  = 30 * time.Second
	copyQuiet  = 45 * time.Second
	copyRetry  = 45 * time.Second
	readyFor   = 45 * time.Second // for the hosts to answer before the freeze
	readyAgain = time.Second

	switchQuiet = 15 * time.Second // between freeze and commit
	finalStall  = 15 * time.Second // beside the time to reread the content
	rereadRate  = 64 << 20         // bytes per second, at the least
	startLimit  = 90 * time.Second // until the unit is active, beside the time that its health check has
	startRetry  = 10 * time.Second

	confirmRetry = 30 * time.Second // before a target that can't be confirmed is made to refuse

	retireQuiet = 2 * time.Minute
	retireRetry = 10 * time.Minute
)

// prepare has both sides checked and the target made ready. Nothing is promised to clients yet, and nothing moved.
func (w *walker) prepare(ctx context.Context, s scene) error {
	o := order{kind: proto.OpVerifySource, host: s.m.Source, limit: verifyLimit, silence: prepareQuiet, retry: prepareRetry}
	var undone proto.Migration
	if s.m.Returns != "" {
		var ok bool
		if undone, ok = s.view.Migration(s.m.Returns); !ok {
			return w.abort(ctx, s, fmt.Errorf("migration %s, which it would undo, is not known", s.m.Returns))
		}
		// The host that the instance is on must have heard that it was confirmed there.
		c := order{kind: proto.OpConfirm, host: undone.Target, of: undone.ID, silence: prepareQuiet, retry: prepareRetry}
		if done, err := w.carry(ctx, s, undone, c); !done || err != nil {
			return err
		}
	}
	facts, err := w.perform(ctx, s, o)
	if err != nil {
		return w.failed(ctx, s, o, err)
	}
	if s.m.Returns != "" {
		// What the other kept of the migration that is undone goes where retired data go, if there is room for what comes beside it.
		r := order{kind: proto.OpRetire, host: undone.Source, of: undone.ID, facts: facts.Source, silence: prepareQuiet, retry: prepareRetry}
		if done, err := w.carry(ctx, s, undone, r); !done || err != nil {
			return err
		}
	}
	o = order{kind: proto.OpVerifyTarget, host: s.m.Target, facts: facts.Source, limit: verifyLimit, silence: prepareQuiet, retry: prepareRetry}
	if _, err := w.perform(ctx, s, o); err != nil {
		return w.failed(ctx, s, o, err)
	}
	o = order{kind: proto.OpPrepareTarget, host: s.m.Target, facts: facts.Source, limit: prepareLimit, silence: prepareQuiet, retry: prepareRetry}
	if _, err := w.perform(ctx, s, o); err != nil {
		return w.failed(ctx, s, o, err)
	}
	w.handHistory(ctx, s)
	return w.decide(ctx, &proto.MigrationAdvance{Migration: s.m.ID, From: proto.PhasePrepare, To: proto.PhaseCopy})
}

// carry has an operation of a migration that is undone carried out, unless it was.
func (w *walker) carry(ctx context.Context, s scene, undone proto.Migration, o order) (done bool, err error) {
	if carried(s, undone, o.kind, o.host) {
		return true, nil
	}
	if _, err := w.perform(ctx, s, o); err != nil {
		return false, w.failed(ctx, s, o, err)
	}
	return true, nil
}

// carried reports whether an operation of a migration was done on a host, in its own name or by a way back that was tried.
func carried(s scene, m proto.Migration, k proto.OperationKind, host string) bool {
	if _, done := succeeded(m, k, host); done {
		return true
	}
	for back := range s.view.Migrations() {
		if back.Returns != m.ID {
			continue
		}
		if _, done := succeeded(back, k, host); done {
			return true
		}
	}
	return false
}

// handHistory brings the history to the target's home. Without it forecasts are worse, and that is all.
func (w *walker) handHistory(ctx context.Context, s scene) {
	if w.cfg.Handover == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handoverFor)
	defer cancel()
	w.show(w.id, func(p *Progress) { p.Stage = "history to the target's home" })
	if err := w.cfg.Handover(ctx, s.m.Instance, s.m.Source, s.m.Target); err != nil {
		w.log.Warn("the instance's history did not reach its new home; forecasts there begin anew", "instance", s.m.Instance, "error", err)
	}
}

// copy sends the data in rounds until what is left is small, and freezes the source when both hosts are ready for it.
func (w *walker) copy(ctx context.Context, s scene) error {
	rounds := early(s.m)
	if enough(rounds, timeline.Of(time.Now())) {
		return w.freeze(ctx, s)
	}
	o := order{
		kind: proto.OpSyncRound, host: s.m.Source, round: len(rounds) + 1,
		silence: copyQuiet, stall: copyStall, retry: copyRetry,
	}
	if _, err := w.perform(ctx, s, o); err != nil {
		return w.failed(ctx, s, o, err)
	}
	w.unready = time.Time{}
	return nil
}

// round is an early round that was done.
type round struct {
	proto.RoundResult
	ended timeline.Time
}

func early(m proto.Migration) []round {
	var out []round
	for _, o := range m.Operations {
		if o.Kind == proto.OpSyncRound && o.Result != nil && o.Result.Error == nil {
			r := round{ended: o.EndedAt}
			if o.Result.Round != nil {
				r.RoundResult = *o.Result.Round
			}
			out = append(out, r)
		}
	}
	return out
}

// enough reports whether another early round is not worth its time: little had changed, or not less than the time before.
func enough(rounds []round, now timeline.Time) bool {
	n := len(rounds)
	if n == 0 {
		return false
	}
	newest := rounds[n-1]
	switch {
	case n >= maxRounds:
		return true
	case now.Sub(newest.ended) > restKeeps:
		return false
	}
	return newest.Changed <= smallRest || n > 1 && newest.Changed >= rounds[n-2].Changed
}

// freeze decides that nobody may run the instance, if a majority of the coordinators and both agents are there to go on.
func (w *walker) freeze(ctx context.Context, s scene) error {
	if err := w.ready(ctx, s); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if w.unready.IsZero() {
			w.unready = time.Now()
		}
		if time.Since(w.unready) > readyFor {
			return w.abort(ctx, s, err)
		}
		w.trouble(err)
		sleep(ctx, readyAgain)
		return nil
	}
	w.unready = time.Time{}
	if orders := w.hooks(s, proto.HookBeforeFreeze, copyQuiet); len(orders) > 0 {
		_, err := w.before(ctx, s, orders)
		return err // another look at the rest, and at both hosts, follows
	}
	return w.decide(ctx, &proto.MigrationFreeze{Migration: s.m.ID, Fence: s.i.Fence})
}

// ready returns why the instance must not be frozen now.
func (w *walker) ready(ctx context.Context, s scene) error {
	if err := w.cfg.VerifyLeader(); err != nil {
		return fmt.Errorf("a majority of the coordinators must reach the leader before an instance is frozen: %w", err)
	}
	source, err := w.holding(ctx, s.m.Source, s.m.Instance)
	if err != nil {
		return err
	}
	target, err := w.holding(ctx, s.m.Target, s.m.Instance)
	if err != nil {
		return err
	}
	switch {
	case source.State != proto.FenceOwner:
		return fmt.Errorf("host %s does not hold instance %s as its owner, but as %q", s.m.Source, s.m.Instance, source.State)
	case target.State != proto.FenceTarget || target.Migration != s.m.ID:
		return fmt.Errorf("host %s does not hold instance %s as the target of this migration, but as %q of %q", s.m.Target, s.m.Instance, target.State, target.Migration)
	}
	return nil
}

// handOver stops the source, sends the rest, and commits the instance to the target. From here on clients wait.
func (w *walker) handOver(ctx context.Context, s scene) error {
	o := order{kind: proto.OpFreeze, host: s.m.Source, silence: switchQuiet}
	if _, err := w.perform(ctx, s, o); err != nil {
		return w.failed(ctx, s, o, err)
	}
	reread := time.Duration(0)
	if rounds := early(s.m); len(rounds) > 0 {
		reread = time.Duration(rounds[len(rounds)-1].Total/rereadRate) * time.Second
	}
	told := w.beside(ctx, s, w.hooks(s, proto.HookAfterFreeze, switchQuiet))
	o = order{kind: proto.OpFinalSync, host: s.m.Source, silence: switchQuiet, stall: finalStall + reread}
	if _, err := w.perform(ctx, s, o); err != nil {
		told.leave()
		return w.failed(ctx, s, o, err)
	}
	if err := told.wait(); err != nil {
		return err
	}
	if orders := w.hooks(s, proto.HookBeforeStart, switchQuiet); len(orders) > 0 {
		if done, err := w.before(ctx, s, orders); !done || err != nil {
			return err
		}
	}
	return w.decide(ctx, &proto.MigrationCommit{Migration: s.m.ID, Fence: s.i.Fence})
}

// start runs the instance on the target under a permit, and confirms it when it is healthy.
func (w *walker) start(ctx context.Context, s scene) error {
	// A target that renews its permit is there, however its operation's own call fares.
	o := order{
		kind: proto.OpStart, host: s.m.Target, limit: startLimit + s.i.Spec.Health.Time(), silence: permitOver,
		heard: func() time.Time { return w.lastPermit(s.m.ID) },
	}
	if _, err := w.perform(ctx, s, o); err != nil {
		if w.lastPermit(s.m.ID).IsZero() {
			o.retry = startRetry // not begun at all: its question for a permit met no leader
		}
		return w.failed(ctx, s, o, err)
	}
	if err := w.permitted(ctx, s); err != nil {
		return err
	}
	until := timeline.Of(time.Now()).Add(max(warmFor(s.m)+probation(s), time.Second))
	return w.decide(ctx, &proto.MigrationConfirm{Migration: s.m.ID, Fence: s.i.Fence, Until: until})
}

// permitted waits until the target has a fresh permit. A target that is confirmed when its permit has nearly run out would
// stop the instance before the word arrives.
func (w *walker) permitted(ctx context.Context, s scene) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for began := time.Now(); time.Since(w.lastPermit(s.m.ID)) > permitFresh; {
		if time.Since(began) > permitOver {
			return w.abort(ctx, s, fmt.Errorf("the agent of %s does not ask for permits any more: look for a broken link between it and the coordinators", s.m.Target))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !w.stands(s) {
			return errSuperseded
		}
	}
	return nil
}

// warm has the target announce the address, and looks after it while the instance's start-up demand decays.
func (w *walker) warm(ctx context.Context, s scene) error {
	if !carried(s, s.m, proto.OpConfirm, s.m.Target) {
		return w.confirm(ctx, s)
	}
	if orders := w.hooks(s, proto.HookAfterConfirm, hookQuiet); len(orders) > 0 {
		_, err := w.after(ctx, s, orders)
		return err
	}
	end := entered(s.m, proto.PhaseWarm).Add(warmFor(s.m))
	if end > timeline.Of(time.Now()) {
		return w.await(ctx, s, end)
	}
	return w.decide(ctx, &proto.MigrationAdvance{Migration: s.m.ID, From: proto.PhaseWarm, To: proto.PhaseSettle})
}

// settle keeps the source's data and slot for the time of probation, or until an operator ends it, then has the source give the instance away.
func (w *walker) settle(ctx context.Context, s scene) error {
	end := entered(s.m, proto.PhaseSettle).Add(probation(s))
	if !s.m.Satisfied() && end > timeline.Of(time.Now()) {
		return w.await(ctx, s, end)
	}
	if !carried(s, s.m, proto.OpRetire, s.m.Source) {
		o := order{kind: proto.OpRetire, host: s.m.Source, silence: retireQuiet, retry: retireRetry}
		if done, err := w.retire(ctx, s, o); !done || err != nil {
			return err
		}
	}
	return w.decide(ctx, &proto.MigrationComplete{Migration: s.m.ID, Fence: s.i.Fence})
}

// retire has the source give the instance away. A source that is off does not hold up the end: it can't run the
// instance, and what it has to do is recorded, and done when it is back. One that can't is left to its operator.
func (w *walker) retire(ctx context.Context, s scene, o order) (done bool, err error) {
	_, err = w.perform(ctx, s, o)
	var fault *proto.Fault
	var unheard *unheardError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &unheard):
		w.log.Warn("the source does not answer; its data are put away when it is back", "host", o.host, "error", err)
		return true, nil
	case !errors.As(err, &fault):
		return false, err
	}
	if n, first := failures(s.m, o, s.i.Fence); n > 0 && time.Since(first.Std()) > o.retry {
		w.log.Error("the source could not put its data away; they stay where they are, and it never starts the instance", "host", o.host, "error", fault)
		return true, nil
	}
	return false, w.persist(ctx, s, o, err)
}

// finish does what is left of a migration that has ended: the part of the one that was not there when it was asked.
func (w *walker) finish(ctx context.Context, s scene) (ended bool, err error) {
	r, open := leftover(s.m)
	if _, known := s.view.Host(r.Host); !open || !known {
		return true, nil
	}
	op, err := w.operation(s, order{kind: r.Kind, host: r.Host, hook: r.Hook}, r)
	if err != nil {
		return false, err
	}
	result, err := w.send(ctx, r.Host, op, terms{wanted: func() bool { return true }, seen: func(proto.Progress) {}, trouble: func(error) {}})
	if err != nil {
		return false, err
	}
	if result.Error != nil {
		w.log.Error("what was left of an ended migration failed", "operation", r.Kind, "host", r.Host, "error", result.Error)
	}
	r.Result = &result
	return false, w.decide(ctx, &proto.MigrationRecord{Migration: s.m.ID, Operation: r})
}

// leftover returns the operation of an ended migration that its host has still to hear of: that it gives the instance away or, where the other side
// was forgotten as dead, leaves nothing of it; and after it the hooks that take back what others did.
func leftover(m proto.Migration) (proto.OperationRecord, bool) {
	owed := []order{{kind: proto.OpRetire}, {kind: proto.OpHook, hook: proto.HookOnAbort}}
	switch {
	case m.Outcome == proto.OutcomeCompleted, m.Outcome == proto.OutcomeReturned && m.Loss:
	case m.Outcome == proto.OutcomeFailed:
		owed[0].kind = proto.OpCleanTarget
	default:
		return proto.OperationRecord{}, false
	}
	for _, owed := range owed {
		for _, o := range m.Operations {
			if o.Kind == owed.kind && o.Hook == owed.hook && o.Result == nil {
				return o, true
			}
		}
	}
	return proto.OperationRecord{}, false
}

// warmFor returns how long the plan gives the warm phase.
func warmFor(m proto.Migration) time.Duration {
	return planned(m.Plan, proto.PhaseWarm).Length()
}

// probation returns how long the source's data and slot are kept: as the plan says, or else the policy.
func probation(s scene) time.Duration {
	return time.Duration(cmp.Or(s.m.Plan.Probation, s.view.Fleet().Policy.Probation)) * time.Millisecond
}

// entered returns when a migration entered a phase, the last time.
func entered(m proto.Migration, phase proto.Phase) timeline.Time {
	var at timeline.Time
	for _, p := range m.Phases {
		if p.Phase == phase {
			at = p.At
		}
	}
	return at
}
