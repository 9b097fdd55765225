package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// The direct link between the two agents of a migration. A source that was frozen and then hears nothing more of its
// instance asks the target whether it can still start it. Only the target's durable refusal gives the source its right
// to run back; silence, whatever its length, never does.
const (
	// aloneAfter is longer than any pause that a leader makes between two operations of a switch: it gives up itself
	// before that.
	aloneAfter = time.Minute
	// directEvery is how often a target is asked.
	directEvery = 10 * time.Second
	// directTime is how long a question may take, the target's stopping of what it started included.
	directTime = time.Minute
	// directMessage bounds what another agent may send in a call, in bytes.
	directMessage = 16 << 10
)

// contact remembers when a coordinator last had something to do with an instance. Its methods may be called concurrently.
type contact struct {
	mu      sync.Mutex
	began   time.Time // of this life of the agent: what was heard before is not known
	ended   map[string]time.Time
	running map[string]int
}

func newContact() *contact {
	return &contact{began: time.Now(), ended: map[string]time.Time{}, running: map[string]int{}}
}

// begin notes that an operation on the instance runs, until ended is called.
func (c *contact) begin(instance string) (ended func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[instance]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended[instance] = time.Now()
		if c.running[instance]--; c.running[instance] == 0 {
			delete(c.running, instance)
		}
	}
}

// silence returns for how long no operation on the instance has run.
func (c *contact) silence(instance string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[instance] > 0 {
		return 0
	}
	if at, ok := c.ended[instance]; ok {
		return time.Since(at)
	}
	return time.Since(c.began)
}

// direct is the source's side.
type direct struct {
	records func() []fence.Record
	silence func(instance string) time.Duration
	ask     func(ctx context.Context, target proto.Peer, q proto.RefusedRequest) (proto.RefusedReply, error)
	thaw    func(ctx context.Context, instance, migration string, refused fence.Token) error
	log     *slog.Logger

	gone map[string]fence.Token // instances whose target is their owner, and the freeze that they were handed over by
}

// run works until ctx ends.
func (d *direct) run(ctx context.Context) error {
	d.gone = map[string]fence.Token{}
	tick := time.NewTicker(directEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.look(ctx)
		}
	}
}

// look takes care of all instances that wait for their target's word, side by side: one target that is off must not
// keep the others waiting.
func (d *direct) look(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	var mu sync.Mutex
	for _, r := range d.records() {
		switch {
		case r.State == proto.FenceOwner && r.Unstarted:
			all.Go(func() { d.resume(ctx, r) })
		case r.State == proto.FenceFrozen && r.Peer.SyncAddr != "" && d.gone[r.Instance] != r.Token && d.silence(r.Instance) >= aloneAfter:
			all.Go(func() {
				if d.question(ctx, r) {
					mu.Lock()
					defer mu.Unlock()
					d.gone[r.Instance] = r.Token
				}
			})
		}
	}
}

// question asks the target of a frozen instance, and thaws it if that has refused. It reports whether the target owns it:
// it need not be asked again then.
func (d *direct) question(ctx context.Context, r fence.Record) (owned bool) {
	asking, cancel := context.WithTimeout(ctx, directTime)
	next := r.Token.Next()
	reply, err := d.ask(asking, r.Peer, proto.RefusedRequest{Instance: r.Instance, Migration: r.Migration, Incarnation: next.Incarnation, Fence: next.Fence})
	cancel()
	if err != nil {
		d.log.Warn("no coordinator asks for this frozen instance, and its target does not say whether it can start it: it stays frozen",
			"instance", r.Instance, "migration", r.Migration, "target", r.Peer.Host, "error", err)
		return false
	}
	refused := fence.Token{Incarnation: reply.Incarnation, Fence: reply.Fence}
	if refused.Compare(next) < 0 {
		d.log.Info("the target of this frozen instance has not refused it", "instance", r.Instance, "migration", r.Migration, "target", r.Peer.Host, "holds_it_as", reply.State)
		return reply.State == proto.FenceOwner
	}
	d.log.Warn("no coordinator asks for this frozen instance, and its target has refused it for good: it goes on here",
		"instance", r.Instance, "migration", r.Migration, "target", r.Peer.Host)
	d.thawed(r, d.thaw(ctx, r.Instance, r.Migration, refused))
	return false
}

// resume starts an instance whose agent ended, or whose start failed, after it had its right to run back.
func (d *direct) resume(ctx context.Context, r fence.Record) {
	d.thawed(r, d.thaw(ctx, r.Instance, r.Migration, r.Token))
}

func (d *direct) thawed(r fence.Record, err error) {
	if err != nil {
		d.log.Error("an instance that goes on here on its target's word is not as it should be", "instance", r.Instance, "migration", r.Migration, "error", err)
	}
}

// asking returns how a target is asked, over a connection that serves for nothing else.
func asking(creds *pki.Credentials) func(context.Context, proto.Peer, proto.RefusedRequest) (proto.RefusedReply, error) {
	return func(ctx context.Context, target proto.Peer, q proto.RefusedRequest) (reply proto.RefusedReply, err error) {
		conn, peer, err := wire.Dial(ctx, target.SyncAddr, wire.RPC, creds, pki.Want{Kind: pki.Agent, Name: target.Host})
		if err != nil {
			return reply, fmt.Errorf("reach the agent of host %s: %w", target.Host, err)
		}
		s := wire.NewSession(conn, true, wire.Options{Peer: peer, MaxMessage: directMessage, MaxStreams: 1})
		defer func() { err = errors.Join(err, s.Close()) }()
		return rpc.Call[proto.RefusedReply](ctx, s, proto.MethodRefused, q)
	}
}

// refuser is the target's side.
type refuser struct {
	refused func(ctx context.Context, q fence.Request, bySource bool) (fence.Token, proto.FenceState, error)
	source  func(migration string) string // the host whose data this one was prepared for
	close   func(migration string) error  // nothing more is received
	log     *slog.Logger
}

// answer implements proto.MethodRefused. Whoever asks is an agent of the fleet; what one that is not the source learns is
// only that this host does not run the instance.
func (f *refuser) answer(ctx context.Context, peer wire.Peer, q proto.RefusedRequest) (proto.RefusedReply, error) {
	req := fence.Request{Instance: q.Instance, Migration: q.Migration, Token: fence.Token{Incarnation: q.Incarnation, Fence: q.Fence}}
	if err := proto.ValidName("migration", q.Migration); err != nil {
		return proto.RefusedReply{}, wire.Errorf(wire.Invalid, "%w", err)
	}
	token, state, err := f.refused(ctx, req, f.source(q.Migration) == peer.Name)
	if err == nil && state == proto.FenceRefused {
		err = f.close(q.Migration)
	}
	if err != nil {
		return proto.RefusedReply{}, err
	}
	return proto.RefusedReply{Incarnation: token.Incarnation, Fence: token.Fence, State: state}, nil
}

// serve serves a connection of another agent.
func (f *refuser) serve(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
	if peer.Kind != pki.Agent {
		return fmt.Errorf("%s is no agent: coordinators call over the session that this agent keeps with them", peer.Identity)
	}
	mux := wire.NewMux()
	rpc.Handle(mux, proto.MethodRefused, f.answer)
	ctx, cancel := context.WithTimeout(ctx, directTime)
	defer cancel()
	s := wire.NewSession(conn, false, wire.Options{Peer: peer, Mux: mux, MaxMessage: directMessage, MaxStreams: 1, Log: f.log})
	select {
	case <-ctx.Done():
	case <-s.Done():
	}
	return s.Close()
}
