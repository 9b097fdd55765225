package agent

import (
	"context"
	"errors"
	"fmt"
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
	begun    map[string]*begun   // by migration: no longer armed
	leaving  map[*final]struct{} // those that have run, whose processes may linger
	watching sync.WaitGroup      // what puts finals away that have run, or ended while they waited
}

// Early carries out one early round: what the source changed since the one before, path by path, the configuration in the first alone. At its end the target reads what it
// has, and the final round is made ready in case this was the last early one: clients would wait for all of that.
//
// Of a round that fails nothing is kept: the source is not told of a migration that is given up in its copy phase.
func (c *courier) Early(ctx context.Context, op proto.Operation, progress func(proto.Progress)) (_ proto.RoundResult, err error) {
	c.end(op.Migration) // its index is about to be wrong
	defer func() {
		if err != nil {
			err = errors.Join(err, c.sender.Forget(op.Migration))
		}
	}()
	paths, err := c.paths(op)
	if err != nil {
		return proto.RoundResult{}, err
	}
	rate := transfer.NewRate(op.Rate)
	var sum proto.RoundResult
	for _, p := range paths {
		if p.kind == transfer.Config && op.Round > 1 {
			continue // which hardly changes: processes at both ends for what the last round takes along
		}
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

// Final carries out the last round, of a source that is frozen: by content, every path proved equal on both sides. One that has begun is waited for.
func (c *courier) Final(ctx context.Context, op proto.Operation) (proto.RoundResult, error) {
	c.mu.Lock()
	b, f := c.begun[op.Migration], c.armed[op.Migration]
	delete(c.begun, op.Migration)
	delete(c.armed, op.Migration)
	c.mu.Unlock()
	if b != nil && b.token != tokenOf(op) {
		b.drop()
		b = nil
	}
	if b == nil && f != nil && f.fits(op) {
		b, f = c.begin(op, f), nil
	}
	f.drop()
	if b != nil {
		sum, err := b.wait(ctx)
		if err == nil || ctx.Err() != nil {
			return sum, err
		}
		// It may have died while it waited: a link that was cut, an agent that was started again.
		c.log.Info("the prepared final round could not be used; another is begun", "migration", op.Migration, "error", err)
	}
	return c.begin(op, c.prepare(op, nil)).wait(ctx)
}

// Begin has the final round that waits run, of a source that has just been frozen, so that clients don't wait until a coordinator asks for it: Final
// hears what comes of it. It returns at once, and is a help and no promise, like Arm.
func (c *courier) Begin(op proto.Operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.armed[op.Migration]; f != nil && f.fits(op) && c.begun[op.Migration] == nil {
		delete(c.armed, op.Migration)
		c.begun[op.Migration] = c.begin(op, f)
	}
}

// begin has a final round run that is no longer armed.
func (c *courier) begin(op proto.Operation, f *final) *begun {
	b := &begun{token: tokenOf(op), ended: make(chan struct{})}
	var ctx context.Context
	ctx, b.cancel = context.WithCancelCause(context.Background())
	c.watching.Go(func() {
		defer close(b.ended)
		b.sum, b.err = c.run(ctx, f)
	})
	return b
}

// Arm begins to prepare the final round, unless one waits or has begun, so that clients don't wait for what can be done before. It
// returns at once. It is a help and no promise: without it, or when it fails, the final round does all by itself.
func (c *courier) Arm(op proto.Operation) {
	c.mu.Lock()
	b := c.begun[op.Migration]
	c.mu.Unlock()
	if b == nil {
		c.arm(op)
	}
}

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
	c.end(migration)
	return c.sender.Forget(migration)
}

// end ends the final round of a migration, whether it waits or has begun.
func (c *courier) end(migration string) {
	c.mu.Lock()
	b := c.begun[migration]
	delete(c.begun, migration)
	c.mu.Unlock()
	b.drop()
	c.take(migration).drop()
}

// Close ends all that is prepared.
func (c *courier) Close() error {
	c.mu.Lock()
	armed, running := c.armed, c.begun
	c.armed, c.begun = map[string]*final{}, map[string]*begun{}
	c.mu.Unlock()
	for _, b := range running {
		b.drop()
	}
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
	if err != nil {
		return err
	}
	c.log.Info("sent", "migration", op.Migration, "round", round.Number, "kind", round.Kind, "path", round.Root, "bytes", done.Bytes, "changed", done.Changed, "took", time.Duration(done.Took)*time.Millisecond)
	return nil
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
