package migrate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/glidepath/glidepath/proto"
)

const (
	hookQuiet = 30 * time.Second // without a word of hooks while clients are served
	hookTries = 3                // of hooks that nothing waits for but the migration's next phase
)

// sideOf returns a host's part in a migration.
func sideOf(m proto.Migration, host string) proto.HookSide {
	if host == m.Source {
		return proto.HookSource
	}
	return proto.HookTarget
}

// hooks returns the orders for an instance's hooks of a point that have not come to their end yet: one for each side that has any. Without hooks there is none, and nothing is sent.
func (w *walker) hooks(s scene, p proto.HookPoint, silence time.Duration) []order {
	var orders []order
	for _, host := range []string{s.m.Source, s.m.Target} {
		if len(s.i.Spec.Hooks.Run(p, sideOf(s.m, host))) == 0 || p == proto.HookOnAbort && !touched(s.m, host) {
			continue
		}
		if o := (order{kind: proto.OpHook, host: host, hook: p, silence: silence}); !over(s.m, o) {
			orders = append(orders, o)
		}
	}
	return orders
}

// only returns the orders for one host.
func only(orders []order, host string) []order {
	for n := range orders {
		if orders[n].host == host {
			return orders[n : n+1]
		}
	}
	return nil
}

// touched reports whether there is anything to take back on a host when a migration is given up: hooks were begun there, or clients were kept waiting.
func touched(m proto.Migration, host string) bool {
	for _, d := range m.Decisions {
		if d.Kind == proto.DecideFreeze {
			return true
		}
	}
	for _, o := range m.Operations {
		if o.Kind == proto.OpHook && o.Hook != proto.HookOnAbort && o.Host == host {
			return true
		}
	}
	return false
}

// over reports whether nothing is left to do of an order for hooks, under whatever fence: they were run, or failed as often as is put up with.
func over(m proto.Migration, o order) bool {
	failed := 0
	for _, e := range m.Operations {
		if e.Kind != o.kind || e.Hook != o.hook || e.Host != o.host || e.Result == nil {
			continue
		}
		if e.Result.Error == nil {
			return true
		}
		failed++
	}
	switch o.hook {
	case proto.HookAfterConfirm, proto.HookOnAbort:
		return failed >= hookTries
	case proto.HookAfterFreeze:
		return failed > 0 // clients wait
	}
	return false
}

// FailedForGood reports whether hooks failed with an operation of m that has ended, and are not tried again while nothing else tells of it: they are
// the operator's to mend.
func FailedForGood(m proto.Migration, o proto.OperationRecord) bool {
	switch {
	case o.Kind != proto.OpHook || o.Result == nil:
		return false
	case o.Result.Error == nil: // those are done with, but the migration went on without some of them
		return slices.ContainsFunc(o.Result.Hooks, func(h proto.HookResult) bool { return h.Failure != "" })
	}
	return over(m, order{kind: o.Kind, host: o.Host, hook: o.Hook})
}

// callOf returns what hooks are told.
func callOf(m proto.Migration, o order, id string) *proto.HookCall {
	c := &proto.HookCall{
		Point: o.hook, Side: sideOf(m, o.host), Source: m.Source, Target: m.Target, FromType: m.FromType, ToType: m.ToType,
		Returns: m.Returns, Attempt: 1,
	}
	if o.hook == proto.HookOnAbort {
		c.Reason = m.Reason
	}
	for _, e := range m.Operations {
		if e.Kind == o.kind && e.Hook == o.hook && e.Host == o.host && e.ID != id {
			c.Attempt++
		}
	}
	return c
}

// each performs orders side by side, and returns what came of each.
func (w *walker) each(ctx context.Context, s scene, orders []order) []error {
	failed := make([]error, len(orders))
	var all sync.WaitGroup
	for n, o := range orders {
		all.Go(func() { _, failed[n] = w.perform(ctx, s, o) })
	}
	all.Wait()
	return failed
}

// before has hooks run without which the migration does not go on: where they fail, or have failed, it is given up, at no loss.
func (w *walker) before(ctx context.Context, s scene, orders []order) (done bool, err error) {
	for _, o := range orders {
		if r, _ := last(s.m, o, s.i.Fence); r.Result != nil && r.Result.Error != nil { // whoever led then did not get to it
			return false, w.failed(ctx, s, o, r.Result.Error)
		}
	}
	for n, err := range w.each(ctx, s, orders) {
		if err != nil {
			return false, w.failed(ctx, s, orders[n], err)
		}
	}
	return true, nil
}

// after has hooks run that can't hold the migration up for ever. Those that failed are tried again some times, then what they
// came to stands on record. A host that is not heard of has failed, unless it is owed: then its hooks are run when it is back.
func (w *walker) after(ctx context.Context, s scene, orders []order) (done bool, err error) {
	done = true
	wait := time.Duration(0)
	for n, err := range w.each(ctx, s, orders) {
		o := orders[n]
		if err == nil || o.owed && isUnheard(err) {
			continue
		}
		if err := w.miss(ctx, s, o, err); err != nil {
			return false, err
		}
		tried, _ := failures(s.m, o, s.i.Fence)
		wait = max(wait, backoff(tried))
		done = false
	}
	if wait > 0 {
		sleep(ctx, wait)
	}
	return done, nil
}

// miss notes that hooks failed. What is no failure of theirs is returned.
func (w *walker) miss(ctx context.Context, s scene, o order, err error) error {
	var fault *proto.Fault
	switch {
	case errors.As(err, &fault):
	case isUnheard(err):
		m, _ := w.cfg.View().Migration(s.m.ID)
		if r, tried := last(m, o, s.i.Fence); tried > 0 && r.Result == nil {
			w.record(ctx, m.ID, r, proto.OperationResult{ID: r.ID, Error: &proto.Fault{Code: proto.FaultFailed, What: clip(err.Error())}})
		}
	default:
		return err
	}
	w.log.Error("hooks failed; the migration goes on", "hook", o.hook, "host", o.host, "error", err)
	return nil
}

func isUnheard(err error) bool {
	var unheard *unheardError
	return errors.As(err, &unheard)
}

// company is hooks that run beside something else.
type company struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	mu     sync.Mutex
	err    error
}

// beside has hooks run while something else is done. Either wait or leave must be called.
func (w *walker) beside(ctx context.Context, s scene, orders []order) *company {
	c := &company{}
	ctx, c.cancel = context.WithCancel(ctx)
	for _, o := range orders {
		o.aside = true
		c.all.Go(func() {
			_, err := w.perform(ctx, s, o)
			if err == nil {
				return
			}
			if err = w.miss(ctx, s, o, err); err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.err = err
			}
		})
	}
	return c
}

// wait returns when the hooks have ended, however they did. The error is not theirs.
func (c *company) wait() error {
	defer c.cancel()
	c.all.Wait()
	return c.err
}

// leave follows the hooks no further. They go on on their hosts, and are asked after again if anything still wants them.
func (c *company) leave() {
	c.cancel()
	c.all.Wait()
}
