package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/glidepath/glidepath/agent/transfer/frame"
	"github.com/glidepath/glidepath/agent/transfer/tree"
	"github.com/glidepath/glidepath/proto"
)

// lastWords is how long the end of a broken exchange may take to be said or heard.
const lastWords = time.Second

// link is one connection between two agents, in frames.
type link struct {
	conn     net.Conn
	peer     string // for errors: "target host-b"
	in       *frame.Reader
	rate     *Rate
	stall    time.Duration
	limit    int64 // bytes that may be received in all; 0 is none
	progress func(done int64)

	writing  sync.Mutex
	out      []byte // the frame that is sent: in one piece, since each write is a record of TLS and a packet
	broken   error  // a frame was not sent whole: nothing can follow it
	sent     atomic.Int64
	received atomic.Int64
	moved    atomic.Int64 // Unix nanoseconds, of the last data either way; 0 before the first
}

func newLink(conn net.Conn, peer string, r *Rate, stall time.Duration) *link {
	if stall <= 0 {
		stall = DefaultStall
	}
	return &link{conn: conn, peer: peer, in: frame.NewReader(conn, maxMessage), rate: r, stall: stall}
}

func (l *link) bytes() int64 { return l.sent.Load() + l.received.Load() }

// write sends one frame.
func (l *link) write(kind byte, p []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.broken == nil {
		l.out = frame.Append(l.out[:0], kind, p)
		if _, err := l.conn.Write(l.out); err != nil {
			l.broken = fmt.Errorf("send to the %s: %w", l.peer, err)
		}
	}
	return l.broken
}

func (l *link) writeMessage(kind byte, m any) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return l.write(kind, b)
}

// next receives one frame.
func (l *link) next() (byte, []byte, error) {
	kind, p, err := l.in.Next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // every exchange ends with a frame that says so
		}
		if errors.Is(err, frame.ErrMalformed) {
			err = fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		return 0, nil, fmt.Errorf("receive from the %s: %w", l.peer, err)
	}
	return kind, p, nil
}

// handshake runs f with a deadline on the connection, which the end of ctx cuts short, too.
func (l *link) handshake(ctx context.Context, f func() error) error {
	if err := l.conn.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetDeadline(time.Unix(1, 0)) })
	err := f()
	if !stop() {
		return context.Cause(ctx)
	}
	return errors.Join(err, l.conn.SetDeadline(time.Time{}))
}

// local is the process at this end of an exchange.
type local struct {
	in  io.WriteCloser // to it
	out io.ReadCloser  // from it; ends when it has ended. Closed when nobody listens any more
	run func(context.Context) (tree.Result, error)

	said <-chan tree.Result // its good result, as soon as it has said it; nil if it says none before it ends

	ready     <-chan struct{}             // closed when it waits for data, or never will; nil: the peer is not told
	peerReady func()                      // called when the peer's does; may be nil
	agreed    func(own, peer tree.Result) // called when both sides know that all went well, and only putting away is left; may be nil
}

// exchange carries data both ways between the local process and the one of the peer until both have told each other what came of them and the local one has ended.
// It returns what the peer's found. On return nothing of it is left: no goroutine, no process.
func (l *link) exchange(ctx context.Context, p local) (own, peer tree.Result, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.in.Limit(maxData)
	l.moved.Store(0)

	var parts sync.WaitGroup
	parts.Go(func() { l.watch(ctx, cancel) })
	parts.Go(func() {
		<-ctx.Done()
		_ = l.conn.SetDeadline(time.Unix(1, 0)) // whatever waits for the connection gives up
	})
	var peerEnd end
	heard := make(chan struct{})
	parts.Go(func() {
		defer close(heard)
		var err error
		if peerEnd, err = l.receive(ctx, p); err == nil {
			err = peerEnd.err(l.peer)
		}
		if err != nil {
			cancel(err) // what the local process does is in vain
		}
	})
	var runErr error
	ended := make(chan struct{})
	parts.Go(func() {
		defer close(ended)
		own, runErr = p.run(ctx)
	})
	sent := make(chan struct{})
	parts.Go(func() {
		defer close(sent)
		err := l.tellReady(ctx, p.ready)
		if err == nil {
			err = l.send(ctx, p.out)
		}
		if err == nil {
			return
		}
		// A peer that has given up says why before it hangs up, which says more than that it did.
		select {
		case <-heard:
		case <-ctx.Done():
		case <-time.After(lastWords):
		}
		cancel(err)
	})
	var word end
	select {
	case result := <-p.said: // the peer need not wait until the process is put away
		word = endOf(result, nil)
	case <-ended:
		word = endOf(own, runErr)
	}
	<-sent
	said := false
	if ctx.Err() == nil {
		said = true
		if err := l.writeMessage(frameEnd, word); err != nil {
			cancel(err)
		}
	}
	select {
	case <-heard:
		if said && word.Cause == "" && ctx.Err() == nil && p.agreed != nil {
			p.agreed(word.Result, peerEnd.Result)
		}
	case <-ctx.Done():
	}
	<-ended
	cause := context.Cause(ctx)
	err = worse(runErr, cause)
	cancel(nil)
	parts.Wait()
	if said && cause == nil {
		return own, peerEnd.Result, errors.Join(err, l.conn.SetDeadline(time.Time{}))
	}
	// The peer should hear why, rather than find a connection that broke. One that has already been told of a good end may be in
	// its next exchange, and hears it there.
	if l.conn.SetDeadline(time.Now().Add(lastWords)) == nil {
		_ = l.writeMessage(frameEnd, endOf(tree.Result{}, err))
	}
	return own, peerEnd.Result, err
}

// worse picks the error that says more of the two that an exchange ended with: when one side fails, the other's process often fails in turn.
func worse(run, other error) error {
	for _, c := range causes() {
		switch {
		case errors.Is(run, c.err):
			return run
		case errors.Is(other, c.err):
			return other
		}
	}
	if run != nil && (other == nil || errors.Is(other, ErrPeer)) {
		return run
	}
	return other
}

// watch cancels an exchange that does not move. Before the first data it is waiting for the source to be frozen.
func (l *link) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(max(l.stall/8, time.Millisecond))
	defer tick.Stop()
	begin := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			last, allowed := begin, max(armedTime, l.stall)
			if at := l.moved.Load(); at != 0 {
				last, allowed = time.Unix(0, at), l.stall
			}
			if now.Sub(last) > allowed {
				cancel(fmt.Errorf("%w: nothing from or to the %s for %v", ErrStalled, l.peer, allowed))
				return
			}
		}
	}
}

func (l *link) move() {
	l.moved.Store(time.Now().UnixNano())
	if l.progress != nil {
		l.progress(l.bytes())
	}
}

// tellReady tells the peer when the local process is ready.
func (l *link) tellReady(ctx context.Context, ready <-chan struct{}) error {
	if ready == nil {
		return nil
	}
	select {
	case <-ready:
		if ctx.Err() != nil {
			return nil // what was to be said last must still be heard
		}
		return l.write(frameReady, nil)
	case <-ctx.Done():
		return nil
	}
}

// send carries what the local process says.
func (l *link) send(ctx context.Context, out io.ReadCloser) error {
	defer out.Close()
	buf := make([]byte, maxData)
	for {
		n, err := out.Read(buf)
		if n > 0 {
			if err := l.rate.wait(ctx, n); err != nil {
				return err
			}
			if err := l.write(frameData, buf[:n]); err != nil {
				return err
			}
			l.sent.Add(int64(n))
			l.move()
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return l.write(frameFin, nil)
		}
	}
}

// receive carries what the peer says until it says that it has ended.
func (l *link) receive(ctx context.Context, p local) (end, error) {
	in := p.in
	defer in.Close()
	var broken bool // the local process hears no more: it has ended, and says why itself
	var ready bool
	before := l.received.Load()
	for {
		kind, data, err := l.next()
		if err != nil {
			return end{}, err
		}
		switch kind {
		case frameReady:
			if ready || len(data) > 0 || l.received.Load() > before {
				return end{}, fmt.Errorf("%w: the %s is ready again, or after it has sent data", ErrProtocol, l.peer)
			}
			ready = true
			if p.peerReady != nil {
				p.peerReady()
			}
		case frameData:
			if l.limit > 0 && l.received.Load()+int64(len(data)) > l.limit {
				return end{}, fmt.Errorf("%w: more than %d bytes from the %s", ErrQuota, l.limit, l.peer)
			}
			l.received.Add(int64(len(data)))
			l.move()
			if err := l.rate.wait(ctx, len(data)); err != nil {
				return end{}, err
			}
			if !broken {
				_, err := in.Write(data)
				broken = err != nil
			}
		case frameFin:
			_ = in.Close()
			broken = true
		case frameEnd:
			var e end
			if len(data) > maxMessage {
				return end{}, fmt.Errorf("%w: an end of %d bytes", ErrProtocol, len(data))
			}
			if err := proto.Unmarshal(data, &e); err != nil {
				return end{}, fmt.Errorf("%w: %w", ErrProtocol, err)
			}
			return e, nil
		default:
			return end{}, fmt.Errorf("%w: frame %q from the %s", ErrProtocol, kind, l.peer)
		}
	}
}
