package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/transfer"
	"github.com/glidepath/glidepath/proto"
)

// courier is the source's side of a migration's data: it turns operations into rounds of the transfer, one for each path.
type courier struct {
	sender *transfer.Sender
	dial   func(ctx context.Context, to proto.Peer) (net.Conn, error) // the target's agent, proved to be it
	record func(instance string) fence.Record
	allow  func(path string) error
	log    *slog.Logger

	mu       sync.Mutex
	armed    map[string]*final   // by migration
	leaving  map[*final]struct{} // those that have run, whose processes may linger
	watching sync.WaitGroup      // what puts finals away that have run, or ended while they waited
}

// readyTime is how long an early round waits for the processes of its final one.
const readyTime = 5 * time.Second

// final is a final round. It may be run when it is connected; it is ready when its processes at both ends wait for the word.
type final struct {
	token     fence.Token
	cancel    context.CancelCauseFunc
	connected chan struct{} // closed when the following are set
	rounds    []*transfer.Armed
	err       error

	ready    chan struct{} // closed when nothing more is to be gained by waiting
	ended    chan struct{} // closed when it could not be made ready, when a round of it has ended, and when it has run or was dropped
	end      func()        // closes it
	watching sync.WaitGroup
}

// fits reports whether a final round that waits may serve an operation: it was made ready for the same move, before the freeze or after it.
func (f *final) fits(op proto.Operation) bool {
	return f.token.Incarnation == op.Incarnation && f.token.Fence <= op.Fence
}

// over reports whether a final round can't be used any more: it could not be made ready, or has ended while it waited.
func (f *final) over() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// Early carries out one early round: what the source changed since the one before, path by path. At its end the target reads what it
// has, and the final round is made ready in case this was the last early one: clients would wait for all of that.
func (c *courier) Early(ctx context.Context, op proto.Operation, progress func(proto.Progress)) (proto.RoundResult, error) {
	c.take(op.Migration).drop() // its index is about to be wrong
	paths, err := c.paths(op)
	if err != nil {
		return proto.RoundResult{}, err
	}
	rate := transfer.NewRate(op.Rate)
	var sum proto.RoundResult
	for _, p := range paths {
		round := p.round(op, rate)
		if p.kind == transfer.Blocks && p.dir {
			round.Kind = transfer.Rsync
		}
		before := sum.Bytes
		round.Progress = func(done, _ int64) {
			progress(proto.Progress{Stage: string(op.Kind) + " " + p.root, Bytes: before + done})
		}
		if err := c.send(ctx, op, round, &sum); err != nil {
			return sum, err
		}
	}
	var indexes proto.RoundResult // not of the data
	for _, p := range paths {
		round := p.round(op, nil)
		if round.Kind = transfer.Index; p.kind != transfer.Blocks {
			continue
		}
		if err := c.send(ctx, op, round, &indexes); err != nil {
			return sum, err
		}
	}
	select {
	case <-c.arm(op).ready: // what failed is made up for by the final round itself
	case <-ctx.Done():
	}
	return sum, nil
}

// Final carries out the last round, of a source that is frozen: by content, every path proved equal on both sides.
func (c *courier) Final(ctx context.Context, op proto.Operation) (proto.RoundResult, error) {
	f := c.take(op.Migration)
	if f != nil && !f.fits(op) {
		f.drop()
		f = nil
	}
	if f != nil {
		sum, err := c.run(ctx, f)
		if err == nil || ctx.Err() != nil {
			return sum, err
		}
		// What waited may have died while it did: a link that was cut, an agent that was started again.
		c.log.Info("the prepared final round could not be used; another is begun", "migration", op.Migration, "error", err)
	}
	return c.run(ctx, c.prepare(op, nil))
}

// Arm begins to prepare the final round, unless one is waiting, so that clients don't wait for what can be done before. It
// returns at once. It is a help and no promise: without it, or when it fails, the final round does all by itself.
func (c *courier) Arm(op proto.Operation) { c.arm(op) }

func (c *courier) arm(op proto.Operation) *final {
	c.mu.Lock()
	before := c.armed[op.Migration]
	if before != nil && before.fits(op) && !before.over() {
		c.mu.Unlock()
		return before
	}
	f := c.prepare(op, before)
	c.armed[op.Migration] = f
	c.watching.Go(func() { c.expire(op.Migration, f) })
	c.mu.Unlock()
	return f
}

// expire puts a final round away that ends while it waits: its migration was given up in its copy phase, of which the source is not told, or the link was cut.
func (c *courier) expire(migration string, f *final) {
	<-f.ended
	c.mu.Lock()
	if c.armed[migration] != f {
		c.mu.Unlock()
		return // taken, or replaced
	}
	delete(c.armed, migration)
	err := c.sender.Forget(migration) // nothing of the migration is at work, as long as this one waits in its place
	c.mu.Unlock()
	if err != nil {
		c.log.Warn("an index is left behind", "migration", migration, "error", err)
	}
	f.drop()
}

// Forget ends what is prepared for a migration, and removes what was kept for it.
func (c *courier) Forget(migration string) error {
	c.take(migration).drop()
	return c.sender.Forget(migration)
}

// Close ends all that is prepared.
func (c *courier) Close() error {
	c.mu.Lock()
	armed := c.armed
	c.armed = map[string]*final{}
	c.mu.Unlock()
	for _, f := range armed {
		f.drop()
	}
	c.mu.Lock()
	for f := range c.leaving {
		f.cancel(transfer.ErrGivenUp)
	}
	c.mu.Unlock()
	c.watching.Wait()
	return nil
}

func (c *courier) take(migration string) *final {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.armed[migration]
	delete(c.armed, migration)
	return f
}

// prepare begins to connect every path's final round, once the one before is put away. What it returns must be run or dropped: both wait for it.
func (c *courier) prepare(op proto.Operation, before *final) *final {
	ctx, cancel := context.WithCancelCause(context.Background()) // it is for another operation than the one that begins it
	f := &final{token: tokenOf(op), cancel: cancel, connected: make(chan struct{}), ready: make(chan struct{}), ended: make(chan struct{})}
	f.end = sync.OnceFunc(func() { close(f.ended) })
	f.watching.Go(func() {
		defer close(f.ready)
		before.drop()
		f.err = c.connect(ctx, op, f)
		close(f.connected)
		if f.err != nil {
			f.end()
			return
		}
		for _, r := range f.rounds {
			f.watching.Go(func() { <-r.Done(); f.end() })
		}
		waiting, cancel := context.WithTimeout(ctx, readyTime)
		defer cancel()
		for _, r := range f.rounds {
			r.Ready(waiting)
		}
	})
	return f
}

func (c *courier) connect(ctx context.Context, op proto.Operation, f *final) error {
	paths, err := c.paths(op)
	if err != nil {
		return err
	}
	f.rounds = make([]*transfer.Armed, len(paths))
	rate := transfer.NewRate(op.Rate)
	group, dialing := errgroup.WithContext(ctx)
	for i, p := range paths {
		group.Go(func() error {
			conn, err := c.dial(dialing, op.Peer)
			if err != nil {
				return fmt.Errorf("reach the agent of host %s: %w", op.Peer.Host, err)
			}
			round := p.round(op, rate)
			round.Final = true
			f.rounds[i], err = c.sender.Arm(ctx, conn, round) // which lasts longer than the group
			return err
		})
	}
	return group.Wait()
}

// run carries a final round out. What went well is put away while others go on.
func (c *courier) run(ctx context.Context, f *final) (proto.RoundResult, error) {
	sum, err := f.run(ctx)
	if err != nil {
		f.cancel(transfer.ErrGivenUp) // also those of its paths that went well
		f.put()
		return sum, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving[f] = struct{}{}
	c.watching.Go(func() {
		f.put()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.leaving, f)
	})
	return sum, nil
}

// run waits until the round is connected, gives all paths the word, and waits for what comes of them. When ctx ends all is ended.
func (f *final) run(ctx context.Context) (proto.RoundResult, error) {
	defer context.AfterFunc(ctx, func() { f.cancel(context.Cause(ctx)) })()
	<-f.connected
	if f.err != nil {
		f.drop()
		return proto.RoundResult{}, f.err
	}
	results := make([]proto.RoundResult, len(f.rounds))
	errs := make([]error, len(f.rounds))
	var all sync.WaitGroup
	for i, r := range f.rounds {
		all.Go(func() { results[i], errs[i] = r.Run() })
	}
	all.Wait()
	var sum proto.RoundResult
	digest := sha256.New()
	for _, r := range results {
		add(&sum, r)
		_, _ = io.WriteString(digest, r.Digest+"\n") // a hash takes everything
	}
	sum.Digest = hex.EncodeToString(digest.Sum(nil))
	return sum, errors.Join(errs...)
}

// drop ends a final round that will not run. Dropping it again does nothing.
func (f *final) drop() {
	if f == nil {
		return
	}
	f.cancel(transfer.ErrGivenUp)
	<-f.connected
	for _, r := range f.rounds {
		if r != nil {
			r.Cancel()
		}
	}
	f.put()
}

// put waits until nothing is left of one whose rounds are over.
func (f *final) put() {
	f.watching.Wait()
	f.cancel(nil)
	f.end()
}

// dataPath is a path that moves.
type dataPath struct {
	kind   transfer.Kind // Blocks or Config
	number int           // among those of its kind
	root   string
	dir    bool
}

// paths returns what moves: as the record has it, which was checked when the instance was adopted, and as the allow-list permits now.
func (c *courier) paths(op proto.Operation) ([]dataPath, error) {
	spec := c.record(op.Instance).Spec.Service
	if spec == nil {
		return nil, &proto.Fault{Code: proto.FaultRefused, What: fmt.Sprintf("instance %s has no data that this agent can send", op.Instance), Remedy: "it must be a service"}
	}
	var out []dataPath
	for _, of := range []struct {
		kind  transfer.Kind
		roots []string
	}{{transfer.Blocks, spec.Data}, {transfer.Config, spec.Config}} {
		for i, root := range of.roots {
			if err := c.allow(root); err != nil {
				return nil, err
			}
			info, err := os.Lstat(root)
			if err != nil {
				return nil, err
			}
			out = append(out, dataPath{of.kind, i, root, info.IsDir()})
		}
	}
	return out, nil
}

func (p dataPath) round(op proto.Operation, rate *transfer.Rate) transfer.Round {
	return transfer.Round{
		Migration: op.Migration, Instance: op.Instance, Incarnation: op.Incarnation, Fence: op.Fence,
		Number: op.Round, Kind: p.kind, Path: p.number, Root: p.root, Rate: rate,
	}
}

// send carries out one round on a connection of its own, and adds what it did to sum.
func (c *courier) send(ctx context.Context, op proto.Operation, round transfer.Round, sum *proto.RoundResult) error {
	conn, err := c.dial(ctx, op.Peer)
	if err != nil {
		return fmt.Errorf("reach the agent of host %s: %w", op.Peer.Host, err)
	}
	done, err := c.sender.Round(ctx, conn, round)
	add(sum, done)
	return err
}

func add(sum *proto.RoundResult, r proto.RoundResult) {
	sum.Bytes += r.Bytes
	sum.Changed += r.Changed
	sum.Total += r.Total
	sum.Files += r.Files
}

func tokenOf(op proto.Operation) fence.Token {
	return fence.Token{Incarnation: op.Incarnation, Fence: op.Fence}
}
