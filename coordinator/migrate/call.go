package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// How agents are called. An operation that takes longer than a call is joined by the next one.
const (
	callFor    = 10 * time.Second
	askFor     = 3 * time.Second // a question that is answered at once
	askEvery   = time.Second     // how far an operation is
	lookEvery  = 200 * time.Millisecond
	callFirst  = 200 * time.Millisecond // wait between calls that fail
	callMost   = 2 * time.Second
	clipReason = 1000 // bytes of an agent's words that go into a reason
)

// errSuperseded says that the tables have moved on: what is to be done now has to be read anew.
var errSuperseded = errors.New("another decision was first")

// unheardError says that nothing was heard of an operation for too long.
type unheardError struct {
	host   string
	kind   proto.OperationKind
	lasted time.Duration
	err    error // of the last call
}

func (e *unheardError) Error() string {
	s := fmt.Sprintf("nothing was heard of %s on %s for %s: is its agent running, and does it reach the coordinators?", e.kind, e.host, e.lasted.Round(time.Second))
	if e.err != nil {
		s += " (" + e.err.Error() + ")"
	}
	return s
}

// terms are how long an operation may keep its caller waiting.
type terms struct {
	silence time.Duration    // without a word of it, before it counts as lost; 0: for ever
	stall   time.Duration    // without progress, before it is stopped; 0: for ever
	heard   func() time.Time // another way in which the agent is heard; may be nil
	wanted  func() bool      // whether it is still to be done
	seen    func(p proto.Progress)
	trouble func(why error) // nil: it is over
}

// contact is what was heard of an operation. Its methods may be called concurrently.
type contact struct {
	mu    sync.Mutex
	at    time.Time // the last word
	moved time.Time // the last progress
	last  proto.Progress
	err   error // of the last call that failed
}

func (c *contact) word(p proto.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = time.Now()
	if p != c.last {
		c.last, c.moved = p, c.at
	}
}

func (c *contact) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *contact) read() (at, moved time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.moved, c.err
}

// send has an agent carry out an operation and returns its result. It sends it again as long as it is not answered. The
// error is errSuperseded, an *unheardError, or that of ctx.
func (e *Executor) send(ctx context.Context, host string, op proto.Operation, t terms) (proto.OperationResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	now := time.Now()
	c := &contact{at: now, moved: now}
	result := make(chan proto.OperationResult, 1)
	all.Go(func() {
		if r, ok := e.call(ctx, host, op, c); ok {
			result <- r
		}
	})
	all.Go(func() { e.follow(ctx, host, op.ID, c, t) })
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case r := <-result:
			t.trouble(nil)
			return r, nil
		case <-ctx.Done():
			return proto.OperationResult{}, context.Cause(ctx)
		case <-tick.C:
		}
		at, moved, err := c.read()
		if t.heard != nil {
			if other := t.heard(); other.After(at) {
				at = other
			}
		}
		quiet := time.Since(at)
		switch {
		case !t.wanted():
			e.cancel(ctx, host, op.ID)
			return proto.OperationResult{}, errSuperseded
		case t.silence > 0 && quiet > t.silence:
			return proto.OperationResult{}, &unheardError{host, op.Kind, quiet, err}
		case t.stall > 0 && time.Since(moved) > t.stall && quiet < t.stall:
			e.cancel(ctx, host, op.ID)
			return proto.OperationResult{ID: op.ID, Error: &proto.Fault{
				Code: proto.FaultStalled, What: fmt.Sprintf("%s on %s has not moved for %s", op.Kind, host, t.stall),
				Remedy: "look for a broken link between the two hosts, or a disk that does not answer",
			}}, nil
		case quiet > 2*askFor:
			t.trouble(&unheardError{host, op.Kind, quiet, err})
		}
	}
}

// call sends the operation until an agent answers it, or ctx ends.
func (e *Executor) call(ctx context.Context, host string, op proto.Operation, c *contact) (proto.OperationResult, bool) {
	for wait := callFirst; ; wait = min(2*wait, callMost) {
		limited, cancel := context.WithTimeout(ctx, callFor)
		r, err := rpc.Call[proto.OperationResult](limited, e.agent(host), proto.MethodOperate, op)
		cancel()
		if err == nil && r.ID == op.ID {
			return r, true
		}
		if err == nil {
			err = fmt.Errorf("host %s answered operation %s with the result of %q", host, op.ID, r.ID)
		}
		if says := refusalOf(err); says != "" {
			return proto.OperationResult{ID: op.ID, Error: &proto.Fault{Code: proto.FaultFailed, What: fmt.Sprintf("host %s does not take %s: %s", host, op.Kind, says)}}, true
		}
		c.failed(err)
		if wire.CodeOf(err) == wire.Deadline {
			wait = callFirst // it runs, and is joined
		}
		if !sleep(ctx, wait) {
			return proto.OperationResult{}, false
		}
	}
}

// refusalOf returns what an agent said that will not be otherwise if it is asked again; "" when it may be.
func refusalOf(err error) string {
	switch wire.CodeOf(err) {
	case wire.Invalid, wire.Refused, wire.NotFound, wire.Conflict, wire.Unauthorized:
		return clip(err.Error())
	}
	return ""
}

// follow asks how far the operation is until ctx ends. An answer is a word of it.
func (e *Executor) follow(ctx context.Context, host, id string, c *contact, t terms) {
	for sleep(ctx, askEvery) {
		limited, cancel := context.WithTimeout(ctx, askFor)
		p, err := rpc.Call[proto.Progress](limited, e.agent(host), proto.MethodProgress, proto.OperationRef{ID: id})
		cancel()
		if err != nil {
			continue // not running, or not reached: what the operation's own call says counts
		}
		c.word(p)
		t.seen(p)
		t.trouble(nil)
	}
}

// cancel has an agent stop an operation if it runs. What came of it is not waited for.
func (e *Executor) cancel(ctx context.Context, host, id string) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if _, err := rpc.Call[rpc.Empty](ctx, e.agent(host), proto.MethodCancel, proto.OperationRef{ID: id}); err != nil {
		e.cfg.Log.Debug("an operation was not cancelled", "host", host, "operation", id, "error", err)
	}
}

// holding returns what a host holds of an instance; the zero Holding if nothing.
func (e *Executor) holding(ctx context.Context, host, instance string) (proto.Holding, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	all, err := rpc.Call[proto.Holdings](ctx, e.agent(host), proto.MethodHoldings, rpc.Empty{})
	if err != nil {
		return proto.Holding{}, fmt.Errorf("what %s holds: %w", host, err)
	}
	for _, h := range all.Holdings {
		if h.Instance == instance {
			return h, nil
		}
	}
	return proto.Holding{}, nil
}

// agent returns what calls a host's agent.
func (e *Executor) agent(host string) rpc.Caller { return route{e.cfg.CallAgent, host} }

type route struct {
	call func(ctx context.Context, host, method string, body []byte) ([]byte, error)
	host string
}

func (r route) Call(ctx context.Context, method string, body []byte) ([]byte, error) {
	return r.call(ctx, r.host, method, body)
}

// clip bounds what goes into the tables for good.
func clip(s string) string {
	if len(s) > clipReason {
		return strings.ToValidUTF8(s[:clipReason], "") + "…"
	}
	return s
}
