package transfer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/agent/transfer/tree"
	"github.com/glidepath/glidepath/proto"
)

// Sender sends an instance's data to another agent. It is safe for concurrent use, but for one round at a time per path.
type Sender struct {
	env Environment

	mu    sync.Mutex
	index map[indexKey]string // IDs of the targets' indexes that are in the state directory
}

// NewSender returns a sender. It removes what an earlier life of the agent has left in its directory.
func NewSender(env Environment) (*Sender, error) {
	env.StateDir = filepath.Join(env.StateDir, "send")
	if err := emptyDir(env.StateDir); err != nil {
		return nil, err
	}
	return &Sender{env: env, index: map[indexKey]string{}}, nil
}

// Forget removes what was kept for a migration.
func (s *Sender) Forget(migration string) error {
	if !validID(migration) {
		return fmt.Errorf("forget a transfer: %q is no migration", migration)
	}
	s.mu.Lock()
	for k := range s.index {
		if k.migration == migration {
			delete(s.index, k)
		}
	}
	s.mu.Unlock()
	return os.RemoveAll(filepath.Join(s.env.StateDir, migration))
}

// Round sends one round on conn, a new connection to the target's agent, and closes it. When it returns nil the target has all that the round was to
// carry, and after a round by content (Blocks, Config) has it on the disk, proven equal if it was final.
// When it returns an error the source is as it was. Nothing is left of the round but the target's data.
func (s *Sender) Round(ctx context.Context, conn net.Conn, r Round) (proto.RoundResult, error) {
	a, err := s.Arm(ctx, conn, r)
	if err != nil {
		return proto.RoundResult{}, err
	}
	defer func() { <-a.done }()
	return a.Run()
}

// Armed is a round that is connected, with its processes at both ends about to wait for the word.
type Armed struct {
	round  Round
	link   *link
	begin  chan struct{}
	cancel context.CancelCauseFunc
	since  time.Time

	ready, peerReady <-chan struct{} // closed when the process here waits, and the one there
	known            chan struct{}   // closed when the following are set
	own, peer        tree.Result
	err              error
	done             chan struct{} // closed when nothing of it is left, after known
}

// Arm does everything of a round that can be done before the source is frozen: the target's index is fetched if what is here is not of use, and the
// processes are started. Rounds of other kinds than Blocks and Config begin at once. Exactly one of Run and Cancel must follow. The end of ctx ends the round.
func (s *Sender) Arm(ctx context.Context, conn net.Conn, r Round) (_ *Armed, err error) {
	defer func() {
		if err != nil {
			_ = conn.Close()
			err = s.explain(r, err)
		}
	}()
	l := newLink(conn, "target", r.Rate, s.env.Stall)
	if r.Progress != nil {
		l.progress = func(done int64) { r.Progress(done, r.Total) }
	}
	begun := time.Now()
	k := indexKey{r.Migration, r.Kind == Config, r.Path}
	ok, err := s.hello(ctx, l, r, k)
	if err != nil {
		return nil, err
	}
	var p local
	begin := make(chan struct{})
	switch r.Kind {
	case Rsync:
		p, err = s.rsync(r)
	case Index:
		p, err = s.receiveIndex(r, k)
	default:
		p, err = s.blocks(ctx, l, r, k, ok, begin)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	peerReady := make(chan struct{})
	p.peerReady = func() { close(peerReady) } // an exchange hears it once
	a := &Armed{
		round: r, link: l, begin: begin, cancel: cancel, since: begun,
		ready: p.ready, peerReady: peerReady, known: make(chan struct{}), done: make(chan struct{}),
	}
	var once sync.Once
	know := func(own, peer tree.Result, err error) {
		once.Do(func() {
			a.own, a.peer, a.err = own, peer, s.explain(r, err)
			if own.Dropped > 0 {
				s.env.Log.Warn("the target takes no devices or set-id files", "migration", r.Migration, "path", r.Root, "entries", own.Dropped)
			}
			if r.Kind == Index && err == nil {
				s.keep(k, ok.Index)
			}
			close(a.known)
		})
	}
	p.agreed = func(own, peer tree.Result) { know(own, peer, nil) }
	go func() {
		defer close(a.done)
		defer cancel(nil)
		defer conn.Close()
		know(l.exchange(ctx, p))
	}()
	return a, nil
}

// Ready returns when the processes at both ends wait for the word, when they never will, or when ctx ends. Only rounds by content are waited for.
func (a *Armed) Ready(ctx context.Context) {
	if a.ready == nil {
		return
	}
	for _, is := range []<-chan struct{}{a.ready, a.peerReady} {
		select {
		case <-is:
		case <-a.done:
		case <-ctx.Done():
		}
	}
}

// Run gives the word and returns when it is known at both ends what came of the round. When that is good, their processes may still be
// ending, which have nothing left to do: until then, Done is not closed.
func (a *Armed) Run() (proto.RoundResult, error) {
	select {
	case <-a.known: // it failed while it waited
	default:
		if a.round.Kind == Blocks || a.round.Kind == Config {
			a.since = time.Now()
		}
		close(a.begin)
	}
	<-a.known
	if a.err != nil {
		<-a.done
		return proto.RoundResult{}, a.err
	}
	res := proto.RoundResult{
		Bytes: a.link.bytes(), Changed: a.own.Changed, Total: a.own.Total, Files: a.own.Files, Took: time.Since(a.since).Milliseconds(),
	}
	if a.round.Final {
		if string(a.own.Digest) != string(a.peer.Digest) || len(a.own.Digest) == 0 {
			return res, fmt.Errorf("final round of migration %s: %w", a.round.Migration, ErrDigest)
		}
		res.Digest = hex.EncodeToString(a.own.Digest)
	}
	return res, nil
}

// Done is closed when nothing is left of the round, by its own failing as long as neither Run nor Cancel was called.
func (a *Armed) Done() <-chan struct{} { return a.done }

// Cancel ends an armed round that will not run.
func (a *Armed) Cancel() {
	a.cancel(ErrGivenUp)
	<-a.done
}

func (s *Sender) explain(r Round, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("round %d (%s) of migration %s, %s: %w", r.Number, r.Kind, r.Migration, r.Root, err)
}

// hello introduces the round and returns the target's answer.
func (s *Sender) hello(ctx context.Context, l *link, r Round, k indexKey) (accept, error) {
	if !validID(r.Migration) || !filepath.IsAbs(r.Root) {
		return accept{}, fmt.Errorf("%w: migration %q, path %q", ErrRefused, r.Migration, r.Root)
	}
	s.mu.Lock()
	have := s.index[k]
	delete(s.index, k) // once it was used it is no longer true
	s.mu.Unlock()
	var ok accept
	err := l.handshake(ctx, func() error {
		h := hello{
			Version: protocolVersion, Migration: r.Migration, Instance: r.Instance, Incarnation: r.Incarnation, Fence: r.Fence,
			Round: r.Number, Kind: r.Kind, Final: r.Final, Path: r.Path, Ticket: r.Ticket, Index: have,
		}
		if err := l.writeMessage(frameHello, h); err != nil {
			return err
		}
		kind, p, err := l.next()
		if err != nil {
			return err
		}
		switch kind {
		case frameAccept:
			return proto.Unmarshal(p, &ok)
		case frameEnd:
			var e end
			if err := proto.Unmarshal(p, &e); err != nil {
				return err
			}
			if err := e.err("target"); err != nil {
				return err
			}
			return fmt.Errorf("%w: the target ended the round before it began", ErrProtocol)
		}
		return fmt.Errorf("%w: frame %q where an answer was expected", ErrProtocol, kind)
	})
	if err == nil && ok.Fresh && ok.Index != have {
		err = fmt.Errorf("%w: the target goes by an index that is not here", ErrProtocol)
	}
	return ok, err
}

func (s *Sender) keep(k indexKey, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index[k] = id
}

func (s *Sender) indexPath(k indexKey) string {
	kind := "data"
	if k.config {
		kind = "config"
	}
	return filepath.Join(s.env.StateDir, k.migration, fmt.Sprintf("%s-%d.index", kind, k.path))
}

// rsync returns the sending rsync of an early round. From here on the migration is among the Outgoing.
func (s *Sender) rsync(r Round) (local, error) {
	st, err := os.Lstat(r.Root)
	if err != nil {
		return local{}, err
	}
	if !st.IsDir() {
		return local{}, fmt.Errorf("%w: %s is no directory; a round of blocks carries it", ErrRefused, r.Root)
	}
	if err := os.MkdirAll(filepath.Join(s.env.StateDir, r.Migration), 0o700); err != nil {
		return local{}, err
	}
	socket, err := listenShell(s.env.StateDir, fmt.Sprintf("%s-%d", r.Migration, r.Path))
	if err != nil {
		return local{}, err
	}
	shell := []string{s.env.Program(), ShellCommand, socket.path}
	return rsyncClient(s.env.Runner, Command{
		Name: "sync-rsync", Path: s.env.Rsync, Args: rsyncSource(r.Root, strings.Join(shell, " ")), Env: rsyncEnv(),
	}, socket, s.env.Log), nil
}

// receiveIndex returns what writes the target's index to a file.
func (s *Sender) receiveIndex(r Round, k indexKey) (local, error) {
	path := s.indexPath(k)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return local{}, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return local{}, err
	}
	in := &indexFile{f: f, left: indexLimit(r.Total), done: make(chan struct{})}
	run := func(ctx context.Context) (tree.Result, error) {
		select {
		case <-in.done:
			return tree.Result{}, in.err
		case <-ctx.Done():
			_ = in.Close()
			return tree.Result{}, context.Cause(ctx)
		}
	}
	return local{in: in, out: io.NopCloser(strings.NewReader("")), run: run}, nil
}

// indexLimit is how long an index of data of a given size may be: tags take 1/2048, entries some hundred bytes each.
func indexLimit(total int64) int64 { return 1<<30 + total/256 }

// indexFile is where an index arrives.
type indexFile struct {
	f    *os.File
	left int64
	once sync.Once
	done chan struct{}
	err  error
}

func (x *indexFile) Write(p []byte) (int, error) {
	if x.left -= int64(len(p)); x.left < 0 {
		x.err = fmt.Errorf("%w: the target's index is longer than any for these data", ErrProtocol)
		return 0, x.err
	}
	n, err := x.f.Write(p)
	if err != nil {
		x.err = err
	}
	return n, err
}

func (x *indexFile) Close() error {
	x.once.Do(func() {
		x.err = errors.Join(x.err, x.f.Close())
		close(x.done)
	})
	return nil
}

// blocks returns the worker that sends what differs, after the target's index has come if there was no fresh one here.
func (s *Sender) blocks(ctx context.Context, l *link, r Round, k indexKey, ok accept, begin chan struct{}) (local, error) {
	if !ok.Fresh {
		in, err := s.receiveIndex(r, k)
		if err != nil {
			return local{}, err
		}
		if _, _, err := l.exchange(ctx, in); err != nil {
			return local{}, err
		}
	}
	w := workers{s.env.Runner, s.env.Program()}
	return w.local(job{Work: workSend, Root: r.Root, Index: s.indexPath(k), Final: r.Final, Policy: ok.Policy, Linger: s.env.linger(r.Final)}, nil, nil, begin)
}
