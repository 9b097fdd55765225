package transfer

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/glidepath/glidepath/agent/transfer/tree"
)

// Environment is what a Receiver and a Sender need from the agent.
type Environment struct {
	Runner   Runner
	Program  func() string // an absolute path: with WorkerCommand it is a worker, with ShellCommand and a socket's path rsync's remote shell
	Rsync    string        // rsync's path
	StateDir string        // a directory for this package alone, mode 0700
	Stall    time.Duration
	Linger   time.Duration // how long a final round's worker stays when it has nothing left to do: the end of a process is work for the host, too
	Log      *slog.Logger
}

func (e Environment) linger(final bool) time.Duration {
	if final {
		return e.Linger
	}
	return 0
}

// Receiver serves what other agents send. It is safe for concurrent use.
type Receiver struct {
	env Environment

	mu    sync.Mutex
	open  map[string]*admitted
	index map[indexKey]string // IDs of the indexes that still describe what is on the disk
	busy  map[indexKey]*serving
}

type admitted struct {
	Admission
	serving sync.WaitGroup
}

type indexKey struct {
	migration string
	config    bool
	path      int
}

// serving is a round at work.
type serving struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// NewReceiver returns a receiver that admits nobody. It removes what an earlier life of the agent has left in its directory.
func NewReceiver(env Environment) (*Receiver, error) {
	env.StateDir = filepath.Join(env.StateDir, "receive")
	if err := emptyDir(env.StateDir); err != nil {
		return nil, err
	}
	return &Receiver{env: env, open: map[string]*admitted{}, index: map[indexKey]string{}, busy: map[indexKey]*serving{}}, nil
}

// emptyDir makes dir anew: indexes of an earlier life can't be trusted, since what was not synced may be gone.
func emptyDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}

// Open admits a migration's source. Opening again replaces what was admitted, but never lowers the fence.
func (r *Receiver) Open(a Admission) error {
	if err := a.validate(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.open[a.Migration]; old != nil {
		if old.Incarnation > a.Incarnation || old.Incarnation == a.Incarnation && old.Fence > a.Fence {
			return fmt.Errorf("%w: migration %s was opened under a higher fence", ErrStale, a.Migration)
		}
		old.Admission = a
		return nil
	}
	r.open[a.Migration] = &admitted{Admission: a}
	return nil
}

// Close ends a migration's admission: rounds at work are stopped, and all is gone that they left but the data. It returns when that is done.
// Closing what is not open is no error.
func (r *Receiver) Close(migration string) error {
	if !validID(migration) {
		return fmt.Errorf("close a transfer: %q is no migration", migration)
	}
	r.mu.Lock()
	a := r.open[migration]
	delete(r.open, migration)
	for k, s := range r.busy {
		if k.migration == migration {
			s.cancel(fmt.Errorf("%w: migration %s was closed on the target", ErrRefused, migration))
		}
	}
	r.mu.Unlock()
	if a != nil {
		a.serving.Wait()
	}
	r.mu.Lock()
	for k := range r.index {
		if k.migration == migration {
			delete(r.index, k)
		}
	}
	r.mu.Unlock()
	return os.RemoveAll(filepath.Join(r.env.StateDir, migration))
}

// Clean closes a migration and removes the given data paths with all that was received there. It works for a migration that is not open, too: after a
// restart of the agent nothing is. Config paths are the caller's to restore: what was there before lies aside.
func (r *Receiver) Clean(ctx context.Context, migration string, data []string) error {
	errs := []error{r.Close(migration)}
	for _, path := range data {
		w, err := r.workers().local(job{Work: workRemove, Root: path}, []string{filepath.Dir(path)}, nil, nil)
		if err == nil {
			_, err = w.run(ctx)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("clean up after migration %s: %s: %w", migration, path, err))
		}
	}
	return errors.Join(errs...)
}

// SetRate changes how fast an open migration may receive, in bits per second; 0 is unlimited.
func (r *Receiver) SetRate(migration string, bitsPerSecond int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.open[migration]; a != nil && a.Rate != nil {
		a.Rate.SetRate(bitsPerSecond)
	}
}

// Serve runs one round on conn, which the host peer has opened (as its certificate says), and closes it.
func (r *Receiver) Serve(ctx context.Context, conn net.Conn, peer string) error {
	defer conn.Close()
	l := newLink(conn, "source "+peer, nil, r.env.Stall)
	var h hello
	err := l.handshake(ctx, func() error {
		kind, p, err := l.next()
		if err != nil {
			return err
		}
		if kind != frameHello {
			return fmt.Errorf("%w: frame %q where a hello was expected", ErrProtocol, kind)
		}
		h, err = parseHello(p)
		return err
	})
	if err != nil {
		return r.refuse(ctx, l, err)
	}
	a, err := r.admit(h, peer)
	if err != nil {
		return r.refuse(ctx, l, err)
	}
	served := sync.OnceFunc(a.serving.Done)
	defer served()
	k := indexKey{h.Migration, h.Kind == Config, h.Path}
	ctx, s, err := r.takeOver(ctx, k)
	if err != nil {
		return r.refuse(ctx, l, err)
	}
	defer s.cancel(nil)
	over := sync.OnceFunc(func() { r.over(k, s); served() })
	defer over()
	adm := r.current(a)
	root := adm.root(h)
	l.rate = adm.Rate
	if adm.Policy.MaxBytes > 0 {
		l.limit = 2*adm.Policy.MaxBytes + 64<<20 // retransmitted parts and the protocols' own; what lands is counted by content
	}
	if err := r.round(ctx, l, h, k, root, adm.Policy, over); err != nil {
		return fmt.Errorf("round %d (%s) of migration %s from host %s to %s: %w", h.Round, h.Kind, h.Migration, peer, root, err)
	}
	return nil
}

// refuse tells the source why, if it is still there.
func (r *Receiver) refuse(ctx context.Context, l *link, err error) error {
	_ = l.handshake(ctx, func() error { return l.writeMessage(frameEnd, endOf(tree.Result{}, err)) })
	return err
}

// admit finds what was opened for h and counts a round in it.
func (r *Receiver) admit(h hello, peer string) (*admitted, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.open[h.Migration]
	switch {
	case a == nil || a.Source != peer || a.Instance != h.Instance || subtle.ConstantTimeCompare([]byte(a.Ticket), []byte(h.Ticket)) != 1:
		// One answer for all: a host that is not the source learns nothing of what is open.
		return nil, fmt.Errorf("%w: nothing is open here for migration %s of instance %.64q from host %s", ErrRefused, h.Migration, h.Instance, peer)
	case h.Incarnation != a.Incarnation || h.Fence < a.Fence:
		return nil, fmt.Errorf("%w: (%d, %d) was sent, (%d, %d) is known", ErrStale, h.Incarnation, h.Fence, a.Incarnation, a.Fence)
	case a.root(h) == "":
		return nil, fmt.Errorf("%w: %s path %d of migration %s", ErrRefused, h.Kind, h.Path, h.Migration)
	}
	a.Fence = h.Fence
	a.serving.Add(1)
	return a, nil
}

func (r *Receiver) current(a *admitted) Admission {
	r.mu.Lock()
	defer r.mu.Unlock()
	return a.Admission
}

// root returns the path that h is about, "" if there is none.
func (a *Admission) root(h hello) string {
	paths := a.Data
	if h.Kind == Config {
		paths = a.Config
	}
	if h.Path >= len(paths) {
		return ""
	}
	return paths[h.Path]
}

// takeOver makes this round the only one at k, until over is called: the source's newest connection wins, since an older one may hang on a link that is gone.
func (r *Receiver) takeOver(ctx context.Context, k indexKey) (context.Context, *serving, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &serving{cancel, make(chan struct{})}
	for {
		r.mu.Lock()
		old := r.busy[k]
		if old == nil {
			r.busy[k] = s
			closed := r.open[k.migration] == nil
			r.mu.Unlock()
			if closed {
				r.over(k, s)
				cancel(nil)
				return ctx, nil, fmt.Errorf("%w: migration %s was closed on the target", ErrRefused, k.migration)
			}
			return ctx, s, nil
		}
		r.mu.Unlock()
		old.cancel(ErrReplaced)
		select {
		case <-old.done:
		case <-ctx.Done():
			cancel(nil)
			return ctx, nil, context.Cause(ctx)
		}
	}
}

// over notes that nothing more is written at k by the round that took it over.
func (r *Receiver) over(k indexKey, s *serving) {
	r.mu.Lock()
	delete(r.busy, k)
	r.mu.Unlock()
	close(s.done)
}

// round does what h asks for at root. It calls over when nothing more will be written, if that is before it returns.
func (r *Receiver) round(ctx context.Context, l *link, h hello, k indexKey, root string, policy tree.Policy, over func()) error {
	if h.Kind == Rsync {
		return r.rsync(ctx, l, k, root, policy)
	}
	have := r.takeIndex(k)
	fresh := have != "" && have == h.Index && h.Kind != Index
	id := have
	if !fresh {
		id = newIndexID()
	}
	if err := l.handshake(ctx, func() error { return l.writeMessage(frameAccept, accept{Index: id, Fresh: fresh, Policy: policy}) }); err != nil {
		return err
	}
	if !fresh {
		if err := r.makeIndex(ctx, l, k, root); err != nil {
			return err
		}
	}
	if h.Kind == Index {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.index[k] = id
		return nil
	}
	w, err := r.workers().local(job{Work: workApply, Root: root, Index: r.indexPath(k), Policy: policy, Linger: r.env.linger(h.Final)}, writable(root), nil, nil)
	if err != nil {
		return err
	}
	agreed := false
	w.agreed = func(tree.Result, tree.Result) { agreed = true; over() }
	if _, _, err = l.exchange(ctx, w); agreed {
		return nil // it is the source's, whatever becomes of a worker that has nothing left to do
	}
	return err
}

// takeIndex returns the ID of the index at k and forgets it: after the next change it is no longer true.
func (r *Receiver) takeIndex(k indexKey) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.index[k]
	delete(r.index, k)
	return id
}

func newIndexID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (r *Receiver) indexPath(k indexKey) string {
	kind := "data"
	if k.config {
		kind = "config"
	}
	return filepath.Join(r.env.StateDir, k.migration, fmt.Sprintf("%s-%d.index", kind, k.path))
}

func (r *Receiver) workers() workers {
	return workers{r.env.Runner, r.env.Program()}
}

// makeIndex makes what is at root durable, reads it and tells the source.
func (r *Receiver) makeIndex(ctx context.Context, l *link, k indexKey, root string) (err error) {
	path := r.indexPath(k)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// Confined to what the round writes, though it writes nothing: so it runs where that does.
	w, err := r.workers().local(job{Work: workIndex, Root: root}, writable(root), f, nil)
	if err != nil {
		return err
	}
	_, _, err = l.exchange(ctx, w)
	return err
}

// rsync receives an early round.
func (r *Receiver) rsync(ctx context.Context, l *link, k indexKey, root string, policy tree.Policy) error {
	r.takeIndex(k)
	// Made here, so that rsync can be confined to it. The owner and mode come with the data.
	if err := os.Mkdir(root, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return r.refuse(ctx, l, err)
	}
	if st, err := os.Lstat(root); err != nil || !st.IsDir() {
		return r.refuse(ctx, l, fmt.Errorf("%w: %s is no directory on the target", ErrRefused, root))
	}
	if err := l.handshake(ctx, func() error { return l.writeMessage(frameAccept, accept{Policy: policy}) }); err != nil {
		return err
	}
	p, err := rsyncServer(r.env.Runner, Command{
		Name: "sync-rsync", Path: r.env.Rsync, Args: rsyncTarget(root, policy), Env: rsyncEnv(), Write: []string{root}, FileSize: policy.MaxBytes,
	}, r.env.Log)
	if err != nil {
		return err
	}
	_, _, err = l.exchange(ctx, p)
	return err
}

// writable returns where a worker must be able to write for the tree at root: in it, or beside it if it is a file or has yet to be made.
func writable(root string) []string {
	if st, err := os.Lstat(root); err == nil && st.IsDir() {
		return []string{root}
	}
	return []string{filepath.Dir(root)}
}
