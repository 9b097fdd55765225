package enforce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/limit"
	"github.com/glidepath/glidepath/agent/enforce/netlimit"
	"github.com/glidepath/glidepath/internal/resource"
)

// Outcome is what came of a change.
type Outcome struct {
	limit.Change
	Held  int64  // what the kernel holds now
	Wrote bool   // false: it held it already
	Debt  int64  // of memory: bytes in use above the amount that could not be taken back
	Event string // what the kernel holds differs from what was to be set, in words; empty where it does not
	Err   error
}

// ErrNotLimited is told by errors.Is of a change for an instance that is only measured.
var ErrNotLimited = errors.New("the instance is not limited: it is in mode observe, or paused")

// Apply sets limits in the order of the changes, each read back, and returns an outcome for each. It never grants more than the target's
// envelope. Where the kernel holds an amount already nothing is written. Memory is taken back before its limit falls; that takes at most
// 200 ms for each change, and what could not be had is the outcome's debt.
func (e *Enforcer) Apply(ctx context.Context, changes []limit.Change) []Outcome {
	outcomes := make([]Outcome, 0, len(changes))
	for _, c := range changes {
		outcomes = append(outcomes, e.apply(ctx, c))
	}
	return outcomes
}

func (e *Enforcer) apply(ctx context.Context, c limit.Change) Outcome {
	t, err := e.target(c.Instance)
	if err != nil {
		return Outcome{Change: c, Err: err}
	}
	if int(c.Kind) >= resource.Kinds {
		return Outcome{Change: c, Err: fmt.Errorf("limit %s: there is no %s", c.Instance, c.Kind)}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.Limited {
		return Outcome{Change: c, Err: fmt.Errorf("limit %s of %s: %w", c.Kind, c.Instance, ErrNotLimited)}
	}
	t.wanted[c.Kind] = c.Amount
	if err := e.locate(ctx, t); err != nil {
		return Outcome{Change: c, Err: fmt.Errorf("limit %s of %s: %w", c.Kind, c.Instance, err)}
	}
	return e.set(ctx, t, c)
}

// Reconcile compares what the kernel holds with what was applied last, for each instance that is limited, and writes what differs: a
// daemon-reload has reset it, or somebody changed it. It returns an outcome for each limit that differed, failed or has debt.
func (e *Enforcer) Reconcile(ctx context.Context) []Outcome {
	e.mu.RLock()
	all := make([]*target, 0, len(e.targets))
	for _, t := range e.targets {
		all = append(all, t)
	}
	e.mu.RUnlock()
	slices.SortFunc(all, func(a, b *target) int {
		if a.Instance < b.Instance {
			return -1
		}
		return 1
	})
	var outcomes []Outcome
	for _, t := range all {
		outcomes = append(outcomes, e.reconcileOne(ctx, t)...)
	}
	return outcomes
}

func (e *Enforcer) reconcileOne(ctx context.Context, t *target) []Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.Limited {
		return nil
	}
	if err := e.locate(ctx, t); err != nil {
		if errors.Is(err, ErrNotRunning) {
			return nil
		}
		return []Outcome{{Change: limit.Change{Instance: t.Instance}, Err: err}}
	}
	if t.Cgroup != "" {
		if err := t.pacer.Link(string(t.cg)); err != nil {
			return []Outcome{{Change: limit.Change{Instance: t.Instance}, Err: err}}
		}
	}
	var outcomes []Outcome
	if _, err := e.rank(t); err != nil {
		outcomes = append(outcomes, Outcome{Change: limit.Change{Instance: t.Instance}, Err: err})
	}
	for _, o := range e.reconcile(ctx, t) {
		if o.Wrote && o.Event == "" && o.Debt == 0 {
			o.Event = fmt.Sprintf("%s of %s was not as it had been set: set again to %s", o.Kind, o.Instance, resource.Format(o.Kind, o.Held))
		}
		if o.Wrote || o.Event != "" || o.Err != nil || o.Debt > 0 {
			outcomes = append(outcomes, o)
		}
	}
	return outcomes
}

// reconcile sets again all that was applied to a target, and the envelope where nothing was and the kernel holds more. A controller that is
// missing is told by Apply.
func (e *Enforcer) reconcile(ctx context.Context, t *target) []Outcome {
	var outcomes []Outcome
	for _, k := range resource.All() {
		amount, applied := t.wanted[k]
		if !applied {
			if t.diskless(k) {
				continue
			}
			amount = t.Envelope[k]
			var missing *MissingError
			if held, err := e.held(t, k); errors.As(err, &missing) || err == nil && held <= limit.Settable(k, amount, amount) {
				continue
			}
		}
		outcomes = append(outcomes, e.set(ctx, t, limit.Change{Instance: t.Instance, Kind: k, Amount: amount}))
	}
	return outcomes
}

// set puts one limit into the kernel and reads it back. The caller holds t.mu and has located its cgroup.
func (e *Enforcer) set(ctx context.Context, t *target, c limit.Change) Outcome {
	o := Outcome{Change: c}
	want := limit.Settable(c.Kind, c.Amount, t.Envelope[c.Kind])
	if c.Amount > t.Envelope[c.Kind] && want < c.Amount {
		o.Event = fmt.Sprintf("%s of %s: %s was asked for, above the envelope: %s is granted", c.Kind, c.Instance,
			resource.Format(c.Kind, c.Amount), resource.Format(c.Kind, want))
	}
	if t.diskless(c.Kind) && want < resource.Unlimited {
		o.Held, o.Err = resource.Unlimited, fmt.Errorf("limit %s of %s: %w", c.Kind, c.Instance, ErrNoDisk)
		return o
	}
	o.Wrote, o.Debt, o.Err = e.write(ctx, t, c.Kind, want)
	if o.Err == nil {
		o.Held, o.Err = e.held(t, c.Kind)
	}
	if o.Err != nil {
		o.Err = fmt.Errorf("limit %s of %s: %w", c.Kind, c.Instance, o.Err)
		return o
	}
	if c.Kind == resource.Memory {
		t.debt = o.Debt
	}
	if o.Event == "" && o.Debt == 0 && !sameLimit(c.Kind, o.Held, want) {
		o.Event = fmt.Sprintf("%s of %s: %s was set, the kernel holds %s", c.Kind, c.Instance,
			resource.Format(c.Kind, want), resource.Format(c.Kind, o.Held))
	}
	return o
}

// diskless reports whether a resource is one of storage and the target's data are on no disk.
func (t *target) diskless(k resource.Kind) bool { return ioKeys[k] != "" && len(t.disks) == 0 }

// write brings the kernel to want. Nothing is written where it holds it already.
func (e *Enforcer) write(ctx context.Context, t *target, k resource.Kind, want int64) (wrote bool, debt int64, err error) {
	switch k {
	case resource.CPU:
		wrote, err = setCPU(t.cg, want)
	case resource.Memory:
		debt, wrote, err = setMemory(ctx, t.cg, want, &t.shrink, time.Now())
	case resource.NetTx, resource.NetRx:
		is, err := e.held(t, k)
		if err != nil || sameLimit(k, is, want) {
			return false, 0, err
		}
		return true, 0, t.pacer.SetRate(direction(k), rateOf(want))
	default:
		wrote, err = setIO(t.cg, t.disks, ioKeys[k], want)
	}
	return wrote, debt, err
}

// held returns what the kernel holds for a resource; Unlimited where it limits nothing. Of several disks the least counts.
func (e *Enforcer) held(t *target, k resource.Kind) (int64, error) {
	switch k {
	case resource.CPU:
		return readCPU(t.cg)
	case resource.Memory:
		return t.cg.readAmount("memory.high")
	case resource.NetTx, resource.NetRx:
		rate, err := t.pacer.Rate(direction(k))
		if rate == 0 {
			rate = resource.Unlimited
		}
		return rate, err
	}
	least := resource.Unlimited
	for _, d := range t.disks {
		n, err := readIO(t.cg, d.Number, ioKeys[k])
		if err != nil {
			return 0, err
		}
		least = min(least, n)
	}
	return least, nil
}

// sameLimit allows for what the kernel rounds: memory to pages.
func sameLimit(k resource.Kind, is, want int64) bool {
	return is == want || k == resource.Memory && is == pageDown(want)
}

// rank sets what follows from the class: cpu.weight and memory.low.
func (e *Enforcer) rank(t *target) (note string, err error) {
	if err := setWeight(t.cg, limit.CPUWeight(t.Class)); err != nil {
		return "", err
	}
	amount, ok := t.wanted[resource.Memory]
	if !ok {
		return "", nil
	}
	amount = limit.Settable(resource.Memory, amount, t.Envelope[resource.Memory])
	return protect(t.cg, t.cg.parent(), limit.ProtectedShare(t.Class), amount)
}

// liftNet takes the limits of a unit's traffic off, which systemd knows nothing of.
func (e *Enforcer) liftNet(ctx context.Context, t *target) error {
	var failed error
	for _, k := range []resource.Kind{resource.NetTx, resource.NetRx} {
		if _, _, err := e.write(ctx, t, k, resource.Unlimited); err != nil {
			failed = errors.Join(failed, fmt.Errorf("lift %s of %s: %w", k, t.Instance, err))
		}
	}
	clear(t.wanted)
	return failed
}

// lift takes all limits off the target, each as far as it can be, also where another fails.
func (e *Enforcer) lift(ctx context.Context, t *target) error {
	var failed error
	for _, k := range resource.All() {
		if _, _, err := e.write(ctx, t, k, resource.Unlimited); err != nil {
			var missing *MissingError
			if !errors.As(err, &missing) { // no controller, no limit
				failed = errors.Join(failed, fmt.Errorf("lift %s of %s: %w", k, t.Instance, err))
			}
		}
	}
	clear(t.wanted)
	t.debt = 0
	if t.cg.has("cpu.weight") {
		failed = errors.Join(failed, setWeight(t.cg, defaultWeight))
	}
	if t.cg.has("memory.low") {
		_, err := protect(t.cg, t.cg.parent(), 0, resource.Unlimited)
		failed = errors.Join(failed, err)
	}
	return failed
}

func direction(k resource.Kind) netlimit.Direction {
	if k == resource.NetTx {
		return netlimit.Transmit
	}
	return netlimit.Receive
}

// rateOf is the programs' word for an amount: they know no limit as 0.
func rateOf(amount int64) int64 {
	if amount >= resource.Unlimited {
		return 0
	}
	return amount
}
