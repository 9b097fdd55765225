package coordinator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// How long a proposal looks for a leader, and how long it waits between tries.
const (
	proposeFor   = 15 * time.Second
	proposeAgain = 200 * time.Millisecond
)

// NewID returns an identifier that sorts by time.
func NewID() string { return ulid.Make().String() }

// Propose commits a command, by way of the leader if this coordinator is not it, and returns what came of it once it is
// applied here. The same id is applied once, so an error that leaves its fate open is followed by asking again.
func (c *Coordinator) Propose(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error) {
	cmd, err := proto.NewCommand(id, actor, body)
	if err != nil {
		return proto.Result{}, err
	}
	if err := c.knownToAll(cmd, body); err != nil {
		return proto.Result{}, err
	}
	began := time.Now()
	r, err := c.proposeUntil(ctx, cmd)
	c.metrics.Proposed(r, err, time.Since(began))
	return r, err
}

// knownToAll refuses a command that some coordinator could not apply as the others do.
func (c *Coordinator) knownToAll(cmd proto.Command, body proto.Body) error {
	if !c.tables.Knows(cmd.Type, cmd.Version) {
		return fmt.Errorf("%s is not known to every coordinator: install the same version on all of them", cmd.Type)
	}
	if asking, ok := body.(proto.Asking); ok {
		if with := asking.Asks(); with != 0 && !c.tables.Knows(with, 1) {
			return fmt.Errorf("%s with what came with %s is not known to every coordinator: install the same version on all of them", cmd.Type, with)
		}
	}
	return nil
}

// proposeUntil proposes until a leader takes the command, or it has looked for one for long enough.
func (c *Coordinator) proposeUntil(ctx context.Context, cmd proto.Command) (proto.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, proposeFor)
	defer cancel()
	doubt := false // an earlier try may have been committed, whatever became of the last one
	for {
		r, index, err := c.proposeOnce(ctx, cmd)
		if err == nil {
			return r, c.applied(ctx, cmd.Type, index)
		}
		goOn := again(err)
		if goOn {
			select {
			case <-time.After(proposeAgain):
			case <-ctx.Done():
				goOn = false
			}
		}
		if inDoubt := errors.Is(err, consensus.ErrInDoubt); !goOn && doubt && !inDoubt {
			return proto.Result{}, fmt.Errorf("propose %s: %w: %w", cmd.Type, consensus.ErrInDoubt, err)
		} else if !goOn {
			return proto.Result{}, fmt.Errorf("propose %s: %w", cmd.Type, err)
		} else if inDoubt {
			doubt = true
		}
	}
}

// applied returns when a command that was committed is applied here. A coordinator that can't write its log never gets so far.
func (c *Coordinator) applied(ctx context.Context, t proto.CommandType, index uint64) error {
	err := c.tables.wait(ctx, index)
	if full := c.consensus.WriteFailed(); errors.Is(err, context.DeadlineExceeded) && full != nil {
		return fmt.Errorf("%s was committed, and does not get into this coordinator's tables: %w", t, full)
	}
	return err
}

// again reports whether a proposal that ended in err may find a leader, or its own result, when it is tried again.
func again(err error) bool {
	var nl *consensus.NotLeaderError
	switch wire.CodeOf(err) {
	case wire.Unavailable, wire.NotLeader:
		return true
	}
	var full *consensus.WriteError // who led steps back, and the next one may have room
	return errors.As(err, &nl) || errors.As(err, &full) || errors.Is(err, consensus.ErrInDoubt)
}

func (c *Coordinator) proposeOnce(ctx context.Context, cmd proto.Command) (proto.Result, uint64, error) {
	r, index, err := c.consensus.Propose(ctx, cmd)
	var nl *consensus.NotLeaderError
	if !errors.As(err, &nl) || nl.Addr == "" || nl.Leader == c.cfg.Name {
		return r, index, err
	}
	s, err := c.peers.Get(ctx, nl.Leader, nl.Addr)
	if err != nil {
		return r, 0, err
	}
	reply, err := rpc.Call[proto.ProposalReply](ctx, s, proto.MethodPropose, proto.Proposal{Command: cmd})
	switch wire.CodeOf(err) {
	case wire.Unavailable, wire.Deadline, wire.Canceled: // the answer is what did not come
		return r, 0, fmt.Errorf("%w: %w", consensus.ErrInDoubt, err)
	}
	if err != nil {
		return r, 0, err
	}
	if reply.Leader != "" {
		return r, 0, &consensus.NotLeaderError{Addr: reply.Leader}
	}
	return reply.Result, reply.Index, nil
}

// servePropose commits a command for another coordinator.
func (c *Coordinator) servePropose(ctx context.Context, _ wire.Peer, p proto.Proposal) (proto.ProposalReply, error) {
	r, index, err := c.consensus.Propose(ctx, p.Command)
	var nl *consensus.NotLeaderError
	if errors.As(err, &nl) {
		return proto.ProposalReply{}, wire.NotLeaderError(nl.Addr)
	}
	var full *consensus.WriteError
	if errors.Is(err, consensus.ErrInDoubt) || errors.Is(err, consensus.ErrBehind) || errors.As(err, &full) {
		return proto.ProposalReply{}, wire.Errorf(wire.Unavailable, "%w", err)
	}
	return proto.ProposalReply{Result: r, Index: index}, err
}

// For how long having caught up is good enough: agents that ask for it without end cost a proposal each time, whatever comes of it. A coordinator that has just
// come back has never caught up.
const (
	caughtUpFor = 5 * time.Second
	foreverAgo  = time.Duration(math.MaxInt64)
)

// catching remembers how far this coordinator has caught up.
type catching struct {
	at atomic.Pointer[time.Time] // all that had been committed then is applied here; nil at first

	turn chan struct{} // whoever holds it may try, and use what follows
	last time.Time     // when it was tried last
	err  error         // what came of that
}

func (k *catching) within(recent time.Duration) bool {
	at := k.at.Load()
	return at != nil && time.Since(*at) < recent
}

// catchUp returns when all that had been committed as long ago as recent is applied here. What came of the last time counts for caughtUpFor.
func (c *Coordinator) catchUp(ctx context.Context, recent time.Duration) error {
	k := &c.catching
	if k.within(recent) { // whoever has enough does not wait for those who need more
		return nil
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	switch {
	case k.within(recent):
		return nil
	case k.err != nil && time.Since(k.last) < caughtUpFor:
		return k.err
	}
	began := time.Now()
	err := c.do(ctx, "coordinator "+c.cfg.Name, &proto.Tick{})
	if err == nil {
		k.at.Store(&began)
	} else if ctx.Err() != nil {
		return err // who asked has given up, which says nothing to the others
	}
	k.last, k.err = time.Now(), err
	return err
}

// do proposes and turns a refusal into an error.
func (c *Coordinator) do(ctx context.Context, actor string, body proto.Body) error {
	r, err := c.Propose(ctx, NewID(), actor, body)
	if err != nil {
		return err
	}
	return r.Err()
}
