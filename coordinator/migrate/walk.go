package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// How a step that failed, or an operation that did, is tried again.
const (
	againFirst = time.Second
	againMost  = 5 * time.Second       // for a step: what keeps it, a lost majority above all, may keep clients waiting
	againSoon  = 50 * time.Millisecond // after another decision was first
	faultMost  = 30 * time.Second      // for an operation
	faultRare  = 5 * time.Minute       // for one that has failed for long
)

// walker walks one migration. It belongs to the goroutine of run.
type walker struct {
	*Executor
	id  string
	log *slog.Logger

	recording sync.WaitGroup // results on their way into the tables
	cancelled bool           // what ran before the migration was given up has been told to stop
	unready   time.Time      // since when the hosts have not been ready to switch; zero when they are
}

// scene is what a step acts on: the tables at one time.
type scene struct {
	changed <-chan struct{}
	view    *state.View
	m       proto.Migration
	i       proto.Instance
}

// run takes one step after the other until there is nothing left to do or ctx ends. Each follows from the tables alone.
func (w *walker) run(ctx context.Context) {
	defer w.forget(w.id)
	defer w.recording.Wait()
	wait := againFirst
	for ctx.Err() == nil {
		ended, err := w.step(ctx)
		switch {
		case ended:
			return
		case err == nil:
			wait = againFirst
		case errors.Is(err, errSuperseded):
			sleep(ctx, againSoon)
		case ctx.Err() == nil:
			w.trouble(err)
			sleep(ctx, wait)
			wait = min(2*wait, againMost)
		}
	}
}

// look returns the tables as they are now.
func (w *walker) look() (s scene, there bool) {
	s.changed = w.cfg.Changed()
	s.view = w.cfg.View()
	if s.m, there = s.view.Migration(w.id); there {
		s.i, _ = s.view.Instance(s.m.Instance)
	}
	return s, there
}

// step does the next thing. It reports whether there is none.
func (w *walker) step(ctx context.Context) (ended bool, err error) {
	w.recording.Wait() // the step follows from them
	s, there := w.look()
	switch {
	case !there:
		return true, nil
	case !s.m.Active():
		return w.finish(ctx, s)
	case s.m.Returning != "":
		return false, w.await(ctx, s, timeline.Forever) // the way back has the word
	case s.i.Migration != s.m.ID:
		return false, fmt.Errorf("instance %s is moved by migration %q, not by %s", s.m.Instance, s.i.Migration, s.m.ID)
	}
	switch s.m.Phase {
	case proto.PhasePrepare:
		err = w.prepare(ctx, s)
	case proto.PhaseCopy:
		err = w.copy(ctx, s)
	case proto.PhaseSwitch:
		if s.i.State == proto.InstanceFrozen {
			err = w.handOver(ctx, s)
		} else {
			err = w.start(ctx, s)
		}
	case proto.PhaseWarm:
		err = w.warm(ctx, s)
	case proto.PhaseSettle:
		err = w.settle(ctx, s)
	case proto.PhaseUndo:
		err = w.undo(ctx, s)
	default:
		err = fmt.Errorf("migration %s is in phase %q, which this program does not know: install the same version on every coordinator", s.m.ID, s.m.Phase)
	}
	return false, err
}

// await returns when the tables have changed or the time has come.
func (w *walker) await(ctx context.Context, s scene, until timeline.Time) error {
	w.trouble(nil)
	w.show(w.id, func(p *Progress) { p.Operation, p.Host, p.Stage = "", "", string(s.m.Phase) })
	left := until.Sub(timeline.Of(time.Now()))
	if left <= 0 {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	case <-s.changed:
		sleep(ctx, gather)
	}
	return nil
}

// decide commits a decision. It returns errSuperseded when the tables have moved on.
func (w *walker) decide(ctx context.Context, body proto.Body) error {
	r, err := w.cfg.Propose(ctx, newID(), actor, body)
	if err != nil {
		return err
	}
	if r.Code == proto.ResultStale || r.Code == proto.ResultConflict {
		w.log.Debug("a decision came too late", "command", body.Command(), "why", r.Message)
		return errSuperseded
	}
	return r.Err()
}

// abort gives the migration up.
func (w *walker) abort(ctx context.Context, s scene, why error) error {
	w.log.Warn("the migration is given up", "phase", s.m.Phase, "reason", why)
	return w.decide(ctx, &proto.MigrationAbort{Migration: s.m.ID, Fence: s.i.Fence, Reason: clip(why.Error())})
}

// failed decides what follows from an operation that did not succeed: nothing yet, another attempt, or the end of the
// migration. For what superseded it, the next step looks.
func (w *walker) failed(ctx context.Context, s scene, o order, err error) error {
	var fault *proto.Fault
	var unheard *unheardError
	switch {
	case errors.As(err, &fault):
		n, first := failures(s.m, o, s.i.Fence)
		if fault.Code == proto.FaultFailed && o.retry > 0 && (n == 0 || time.Since(first.Std()) < o.retry) {
			sleep(ctx, backoff(n))
			return nil
		}
		return w.abort(ctx, s, fmt.Errorf("%s on %s: %w", o.name(), o.host, fault))
	case errors.As(err, &unheard):
		return w.abort(ctx, s, err)
	}
	return err
}

// persist is failed for what has to succeed in the end: it is tried again however often it failed.
func (w *walker) persist(ctx context.Context, s scene, o order, err error) error {
	var fault *proto.Fault
	if !errors.As(err, &fault) {
		return err
	}
	n, _ := failures(s.m, o, s.i.Fence)
	w.trouble(fmt.Errorf("%s on %s: %w", o.kind, o.host, fault))
	w.log.Error("an operation that has to succeed failed, trying again", "operation", o.kind, "host", o.host, "attempt", n+1, "error", fault)
	sleep(ctx, backoff(n))
	return nil
}

// backoff returns how long to wait after the failure that follows n others. What fails for hours is tried each few
// minutes, so that its records do not fill the migration's.
func backoff(n int) time.Duration {
	if n >= 20 {
		return faultRare
	}
	return min(againFirst<<min(n, 10), faultMost)
}

// trouble shows what the migration waits for, and tells the log when it begins; nil: it goes on.
func (w *walker) trouble(why error) {
	if p, _ := w.Progress(w.id); why != nil && p.Since == 0 {
		w.log.Warn("the migration is held up", "error", why)
	}
	w.show(w.id, func(p *Progress) {
		if why == nil {
			p.Trouble, p.Since = "", 0
			return
		}
		if p.Since == 0 {
			p.Since = timeline.Of(time.Now())
		}
		p.Trouble = clip(why.Error())
	})
}
