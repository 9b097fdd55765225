// Package consensus replicates the state tables over the coordinators with Raft.
package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Timing of the cluster. Heartbeats below a second elect in vain on busy machines.
const (
	heartbeat       = time.Second
	lease           = 500 * time.Millisecond
	commitWait      = 25 * time.Millisecond // after which a follower that fell behind hears of a commit
	proposeWait     = 5 * time.Second       // for a place in the queue
	changeWait      = 10 * time.Second      // for a change of the configuration
	closeWait       = time.Second           // for what raft was asked for and nobody waits for any more
	snapshotsKept   = 2
	transportPool   = 3
	transportWait   = 5 * time.Second
	maxEntriesBatch = 256
)

// Config is what a coordinator's part in the cluster needs.
type Config struct {
	Name    string  // of this coordinator
	Addr    string  // where the others reach its RPC port
	Dir     string  // of log and snapshots; made if it is not there
	Machine Machine // what is replicated
	Link    *Link   // to the others
	Log     *slog.Logger

	transport raft.Transport // of tests
}

// NotLeaderError says that this coordinator can't commit anything, and who can.
type NotLeaderError struct {
	Leader string // name; "" while there is none
	Addr   string // RPC address
	Disk   error  // why this coordinator could not lead, as far as it knows
}

// Error says where to go instead.
func (e *NotLeaderError) Error() string {
	if e.Addr == "" && e.Disk != nil {
		return fmt.Sprintf("no leader is elected at the moment, and this coordinator can't be: %v", e.Disk)
	}
	if e.Addr == "" {
		return "no leader is elected at the moment: a majority of the coordinators must be up and reach each other"
	}
	return fmt.Sprintf("the leader is %s at %s", e.Leader, e.Addr)
}

// ErrInDoubt is wrapped by the error of a proposal that may or may not have been committed: the leadership was lost while
// it was on its way. Proposing the same command again is safe: its identifier is applied once.
var ErrInDoubt = errors.New("it is not known whether the command was committed")

// givenMost is for how many commands that nobody waits for any more a majority may still be waited for: each takes room in the leader's log.
const givenMost = 256

// ErrBehind means that a command was not taken, since a majority has not written what was sent to it long before.
var ErrBehind = errors.New("a majority of the coordinators has not written what it was sent before: look for disks that are full or slow")

// ErrNoVoter is wrapped when the leadership is to go to somebody who does not vote.
var ErrNoVoter = errors.New("no coordinator of that name votes")

// Consensus is a coordinator's part in the cluster. Its methods may be called concurrently.
type Consensus struct {
	raft  *raft.Raft
	fsm   *fsm
	store *Store
	log   *slog.Logger

	asking    sync.Mutex // guards closed, and that nothing is asked after it
	closed    bool
	waits     sync.WaitGroup            // for what raft has been asked
	given     atomic.Int64              // of these nobody waits for any more
	unwritten atomic.Uint64             // times that raft's log could not be written
	lastWrite atomic.Pointer[lastWrite] // that failed; nil before the first
}

// lastWrite is a write that failed.
type lastWrite struct {
	at, told time.Time
	err      *WriteError
}

// How often the log is told that it can't be written, and how long ago it may have been that it is said to whoever asks for a leader.
const (
	writeTold   = 10 * time.Second
	writeRecent = 30 * time.Second
)

// Open starts this coordinator's part. Without Bootstrap or AddVoter by a leader it waits to be taken in. Close it.
func Open(cfg Config) (*Consensus, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("raft's folder: %w", err)
	}
	logger := hclogger{log: cfg.Log.With("component", "raft")}
	s, err := OpenStore(filepath.Join(cfg.Dir, "raft.db"))
	if err != nil {
		return nil, err
	}
	files, err := openSnapshots(cfg.Dir, logger)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("raft's snapshots: %w", err), s.Close())
	}
	transport := cfg.transport
	if transport == nil {
		transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: cfg.Link, MaxPool: transportPool, Timeout: transportWait, Logger: logger,
		})
	}
	c := &Consensus{fsm: &fsm{machine: cfg.Machine, stopped: make(chan struct{})}, store: s, log: cfg.Log}
	s.failed = c.writeFailed
	if c.raft, err = raft.NewRaft(Settings(cfg.Name, logger), c.fsm, s, s, files, transport); err != nil {
		return nil, errors.Join(fmt.Errorf("start raft: %w", err), s.Close())
	}
	return c, nil
}

// Settings returns how Raft is set for the coordinator of that name: timing and batching.
func Settings(name string, logger hclog.Logger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(name)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout, c.CommitTimeout = heartbeat, heartbeat, lease, commitWait
	c.MaxAppendEntries, c.BatchApplyCh = maxEntriesBatch, true
	c.Logger, c.NoLegacyTelemetry = logger, true
	return c
}

// Bootstrap makes a cluster of this coordinator alone. It is refused when it belongs to one already.
func (c *Consensus) Bootstrap(name, addr string) error {
	servers := []raft.Server{{ID: raft.ServerID(name), Address: raft.ServerAddress(addr)}}
	if err := c.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		return fmt.Errorf("bootstrap the cluster: %w", err)
	}
	return nil
}

// writeFailed counts what could not be written, and tells the log now and then.
func (c *Consensus) writeFailed(err *WriteError) {
	c.unwritten.Add(1)
	now, last := time.Now(), c.lastWrite.Load()
	told := now
	if last != nil && now.Sub(last.told) < writeTold {
		told = last.told
	} else {
		c.log.Error("this coordinator takes no part in deciding as long as it can't write", "error", err)
	}
	c.lastWrite.Store(&lastWrite{at: now, told: told, err: err})
}

// WriteFailed returns why raft's log could not be written here, if that was a short while ago: a *WriteError, or nil.
func (c *Consensus) WriteFailed() error {
	if last := c.lastWrite.Load(); last != nil && time.Since(last.at) < writeRecent {
		return last.err
	}
	return nil
}

// await returns what came of something that raft was asked for, or when ctx has ended before that is known. Raft answers each once a majority
// has written it, or when it stops or is deposed: followers that hear of it and can't write keep it waiting.
func (c *Consensus) await(ctx context.Context, f raft.Future) error {
	answer := make(chan error, 1)
	var over atomic.Bool // for whoever comes second: the answer, or that nobody waits for it
	c.asking.Lock()
	closed := c.closed
	if !closed {
		c.waits.Go(func() {
			answer <- f.Error()
			if over.Swap(true) {
				c.given.Add(-1)
			}
		})
	}
	c.asking.Unlock()
	if closed {
		return c.explain(raft.ErrRaftShutdown)
	}
	select {
	case err := <-answer:
		return c.explain(err)
	case <-ctx.Done():
		if !over.Swap(true) {
			c.given.Add(1)
		}
		if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return fmt.Errorf("%w: %w", ErrInDoubt, context.Cause(ctx))
		}
		return fmt.Errorf("%w: a majority of the coordinators has not written it in time: look for disks that are full or slow: %w", ErrInDoubt, context.Cause(ctx))
	}
}

// Propose stamps the command with this coordinator's time, commits it, and returns what came of it and the index at
// which it stands. Only the leader can: others return a *NotLeaderError.
func (c *Consensus) Propose(ctx context.Context, cmd proto.Command) (proto.Result, uint64, error) {
	cmd.At = timeline.Of(time.Now())
	b, err := proto.Marshal(cmd)
	if err != nil {
		return proto.Result{}, 0, err
	}
	wait := proposeWait
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	if ctx.Err() != nil || wait <= 0 {
		return proto.Result{}, 0, context.Cause(ctx)
	}
	if c.given.Load() >= givenMost {
		return proto.Result{}, 0, ErrBehind
	}
	f := c.raft.Apply(b, wait)
	if err := c.await(ctx, f); err != nil {
		return proto.Result{}, 0, err
	}
	switch r := f.Response().(type) {
	case proto.Result:
		return r, f.Index(), nil
	case error:
		return proto.Result{}, 0, r
	default:
		return proto.Result{}, 0, fmt.Errorf("apply answered a %T", r)
	}
}

// Barrier returns when everything that was committed before it is applied here. Only the leader can. The leader's loops
// act after one, so that they never follow from tables that are behind.
func (c *Consensus) Barrier(ctx context.Context) error {
	wait := changeWait
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	return c.await(ctx, c.raft.Barrier(wait))
}

// VerifyLeader returns nil when a majority still takes this coordinator for its leader.
func (c *Consensus) VerifyLeader() error { return c.explain(c.raft.VerifyLeader().Error()) }

// explain turns raft's errors into those that callers decide on.
func (c *Consensus) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		name, addr := c.Leader()
		return &NotLeaderError{Leader: name, Addr: addr, Disk: c.WriteFailed()}
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return &NotLeaderError{}
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore), errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	return err
}

// Leader returns the leader's name and RPC address, empty while there is none.
func (c *Consensus) Leader() (name, addr string) {
	a, id := c.raft.LeaderWithID()
	return string(id), string(a)
}

// IsLeader reports whether this coordinator takes itself for the leader. Only Barrier or VerifyLeader make sure.
func (c *Consensus) IsLeader() bool { return c.raft.State() == raft.Leader }

// Leadership is sent to when this coordinator becomes the leader (true) or stops being it (false). It has one reader.
func (c *Consensus) Leadership() <-chan bool { return c.raft.LeaderCh() }

// Stopped is closed when the tables can't go on: Err says why. The coordinator must stop.
func (c *Consensus) Stopped() <-chan struct{} { return c.fsm.stopped }

// Err returns why the tables can't go on, nil as long as they can.
func (c *Consensus) Err() error { return c.fsm.failure() }

// Stats is a coordinator's part in the cluster in numbers.
type Stats struct {
	Leader    bool
	Term      uint64
	Committed uint64    // index of the last entry that is known to be committed
	Applied   uint64    // index of the last entry that is in the tables here
	Contact   time.Time // when a follower last heard of the leader; zero before the first time
	Unwritten uint64    // times that Raft's log could not be written here
}

// Stats returns how things are now.
func (c *Consensus) Stats() Stats {
	return Stats{
		Leader: c.IsLeader(), Term: c.raft.CurrentTerm(), Committed: c.raft.CommitIndex(), Applied: c.raft.AppliedIndex(), Contact: c.raft.LastContact(),
		Unwritten: c.unwritten.Load(),
	}
}

// Server is a coordinator of the Raft configuration.
type Server struct {
	Name  string `json:"name"`
	Addr  string `json:"rpc_address"`
	Voter bool   `json:"voter"`
}

// Servers returns the Raft configuration as this coordinator knows it.
func (c *Consensus) Servers() ([]Server, error) {
	f := c.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, fmt.Errorf("raft's configuration: %w", err)
	}
	var out []Server
	for _, s := range f.Configuration().Servers {
		out = append(out, Server{Name: string(s.ID), Addr: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	return out, nil
}

// AddVoter takes a coordinator into the configuration, or changes its address. Only the leader can.
func (c *Consensus) AddVoter(name, addr string) error {
	if err := c.change(c.raft.AddVoter(raft.ServerID(name), raft.ServerAddress(addr), 0, changeWait)); err != nil {
		return fmt.Errorf("take %s into the cluster: %w", name, err)
	}
	return nil
}

// Remove takes a coordinator out of the configuration. Only the leader can.
func (c *Consensus) Remove(name string) error {
	if err := c.change(c.raft.RemoveServer(raft.ServerID(name), 0, changeWait)); err != nil {
		return fmt.Errorf("take %s out of the cluster: %w", name, err)
	}
	return nil
}

// change awaits a change of the configuration.
func (c *Consensus) change(f raft.Future) error {
	ctx, cancel := context.WithTimeout(context.Background(), changeWait)
	defer cancel()
	return c.await(ctx, f)
}

// Transfer hands the leadership to the coordinator that is most up to date, if this one has it. A coordinator that stops does so first.
func (c *Consensus) Transfer() error {
	if !c.IsLeader() {
		return nil
	}
	return c.raft.LeadershipTransfer().Error()
}

// TransferTo hands the leadership to the coordinator of that name, which has to vote. Only the leader can; to itself it does nothing.
func (c *Consensus) TransferTo(name string) error {
	servers, err := c.Servers()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(servers, func(s Server) bool { return s.Name == name && s.Voter })
	if i < 0 {
		return fmt.Errorf("%w: %s", ErrNoVoter, name)
	}
	if leader, _ := c.Leader(); leader == name {
		return nil
	}
	if err := c.raft.LeadershipTransferToServer(raft.ServerID(name), raft.ServerAddress(servers[i].Addr)).Error(); err != nil {
		return fmt.Errorf("hand the leadership to %s: %w", name, c.explain(err))
	}
	return nil
}

// Snapshot writes a snapshot now. Nothing new since the last one is no error.
func (c *Consensus) Snapshot() error {
	if err := c.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// AppliedIndex returns the index of the last entry that is in the tables here.
func (c *Consensus) AppliedIndex() uint64 { return c.raft.AppliedIndex() }

// Close stops this coordinator's part. What was committed is on disk.
func (c *Consensus) Close() error {
	c.asking.Lock()
	c.closed = true
	c.asking.Unlock()
	err := c.raft.Shutdown().Error()
	answered := make(chan struct{})
	go func() { c.waits.Wait(); close(answered) }()
	select {
	case <-answered:
	case <-time.After(closeWait): // raft leaves what was still in its queue without an answer
	}
	return errors.Join(err, c.store.Close())
}
