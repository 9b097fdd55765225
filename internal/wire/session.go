package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Options.
const (
	DefaultMaxMessage = 4 << 20
	DefaultMaxStreams = 256
	DefaultKeepAlive  = 2 * time.Second
	DefaultDeadAfter  = 8 * time.Second
)

const (
	// readBuffer is one TLS record.
	readBuffer = 16 << 10
	// flushTime is how long Close tries to send the last answers.
	flushTime = time.Second
)

// ErrClosed is wrapped by the errors of a session that was closed, on this side or the other.
var ErrClosed = errors.New("session closed")

// ErrPeerGone is wrapped by the errors of a session whose peer was silent for DeadAfter.
var ErrPeerGone = errors.New("peer is not answering")

// Options of a session. Zero values mean the defaults.
type Options struct {
	Peer       Peer          // whom the other end is, as Serve, Dial or Client verified
	Mux        *Mux          // what the other end may call; nil: nothing
	MaxMessage int           // bytes of the largest message sent or accepted
	MaxStreams int           // calls and streams at a time, counted apart for each side's
	KeepAlive  time.Duration // between pings
	DeadAfter  time.Duration // of silence ends the session; it is noticed at most one KeepAlive later
	Log        *slog.Logger  // nil: nothing is logged
}

func (o *Options) setDefaults() {
	if o.Mux == nil {
		o.Mux = NewMux()
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = DefaultMaxStreams
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = DefaultKeepAlive
	}
	if o.DeadAfter == 0 {
		o.DeadAfter = DefaultDeadAfter
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Session carries calls and streams, opened by either side, over one connection. Its methods may be called from several goroutines.
type Session struct {
	conn  net.Conn
	opts  Options
	log   *slog.Logger
	start time.Time
	odd   uint64 // 1 if this side's streams have odd numbers: it is the client

	ctx    context.Context // of the handlers
	cancel context.CancelCauseFunc
	out    *outbox
	slots  chan struct{} // one token for each stream that this side has open
	done   chan struct{} // closed when the session has ended; err is set before

	handlers sync.WaitGroup
	loops    sync.WaitGroup
	flush    chan struct{} // closed when the writer is to send what is left and end

	heard atomic.Int64 // when the last frame came, since start
	rtt   atomic.Int64

	mu         sync.Mutex
	streams    map[uint64]*Stream
	nextID     uint64 // of the next stream that this side opens
	lastRemote uint64 // the latest stream that the other side opened
	serving    int    // handlers at work
	closing    bool
	err        error
}

// NewSession starts a session on conn, which it owns from now on. One end says that it is the client, the other that it is not.
// Whoever made the session must Close it; it may end before, which Done tells.
func NewSession(conn net.Conn, client bool, opts Options) *Session {
	opts.setDefaults()
	s := &Session{
		conn: conn, opts: opts, start: time.Now(),
		log:     opts.Log.With("peer", opts.Peer.Identity.String(), "addr", addrOf(conn)),
		out:     newOutbox(),
		slots:   make(chan struct{}, opts.MaxStreams),
		done:    make(chan struct{}),
		flush:   make(chan struct{}),
		streams: map[uint64]*Stream{},
		nextID:  2,
	}
	if client {
		s.odd, s.nextID = 1, 1
	}
	// The handlers' context belongs to the session, not to whoever opened it: it ends when the session does.
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.loops.Go(s.read)
	s.loops.Go(s.write)
	s.loops.Go(s.keepAlive)
	return s
}

func addrOf(conn net.Conn) string {
	if a := conn.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}

// Peer returns whom the other end is.
func (s *Session) Peer() Peer { return s.opts.Peer }

// Done is closed when the session has ended; Err then says why.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns why the session ended, nil before it has.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// RTT returns the last measured round trip, 0 before the first.
func (s *Session) RTT() time.Duration { return time.Duration(s.rtt.Load()) }

// Close cancels the handlers, waits for them and for their last answers to leave, and closes the connection. Nothing of
// the session runs when it returns. A handler must not call it.
func (s *Session) Close() error {
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	s.mu.Unlock()

	s.cancel(Errorf(Unavailable, "%w", ErrClosed))
	s.handlers.Wait()
	if first {
		close(s.flush)
		_ = s.conn.SetWriteDeadline(time.Now().Add(flushTime)) // for a write that is under way and would wait longer
	}
	s.loops.Wait()
	return nil
}

// fail ends the session. The first cause counts.
func (s *Session) fail(cause error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = cause
	close(s.done)
	s.mu.Unlock()

	s.cancel(cause)
	_ = s.conn.Close()
	if errors.Is(cause, ErrClosed) {
		s.log.Debug("session ended", "error", cause)
	} else {
		s.log.Warn("session lost", "error", cause)
	}
}

// ended returns the error of everything that needs the session and can't have it.
func (s *Session) ended() error {
	err := s.Err()
	if err == nil {
		err = ErrClosed
	}
	return Errorf(Unavailable, "the session with %s has ended: %w", s.opts.Peer.Identity, err)
}

// read takes frames until the connection ends. It never waits for anything but the connection, so one slow handler holds up nobody.
func (s *Session) read() {
	r := bufio.NewReaderSize(s.conn, readBuffer)
	for {
		f, err := readFrame(r)
		if err == nil {
			s.heard.Store(int64(time.Since(s.start)))
			err = s.dispatch(f)
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			err = fmt.Errorf("%w by the peer", ErrClosed)
		case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
			err = ErrClosed
		}
		s.fail(err)
		return
	}
}

func (s *Session) dispatch(f frame) error {
	switch f.kind {
	case kindPing:
		return s.out.put(frame{kind: kindPong, payload: f.payload})
	case kindPong:
		sent := time.Duration(binary.BigEndian.Uint64(f.payload))
		if took := time.Since(s.start) - sent; sent >= 0 && took > 0 {
			s.rtt.Store(int64(took))
		}
		return nil
	case kindOpen:
		return s.accept(f)
	}
	s.mu.Lock()
	st := s.streams[f.stream]
	opened := f.stream <= s.lastRemote
	if s.mine(f.stream) {
		opened = f.stream < s.nextID
	}
	s.mu.Unlock()
	if st == nil {
		if opened {
			return nil // it ended here while this was on its way
		}
		return fmt.Errorf("%w: frame %d for stream %d that was never opened", errProtocol, f.kind, f.stream)
	}
	switch f.kind {
	case kindData:
		return st.deliver(f)
	case kindCredit:
		return st.grant(binary.BigEndian.Uint32(f.payload))
	default: // kindReset, as check knows no other
		e, err := decodeError(f.payload)
		if err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		s.forget(st)
		st.end(e)
		return nil
	}
}

// mine reports whether a stream is one that this side opens.
func (s *Session) mine(stream uint64) bool { return stream%2 == s.odd }

// accept starts the handler of a stream that the other side opens.
func (s *Session) accept(f frame) error {
	method, left := parseOpen(f.payload)
	s.mu.Lock()
	if s.mine(f.stream) || f.stream <= s.lastRemote {
		s.mu.Unlock()
		return fmt.Errorf("%w: stream %d opened out of order", errProtocol, f.stream)
	}
	s.lastRemote = f.stream
	if s.closing || s.err != nil {
		s.mu.Unlock()
		return nil // the connection is about to end, which answers it
	}
	// Counted until the handler returns, not until the caller lets go: else opening and cancelling in turn would start handlers without limit.
	if s.serving >= s.opts.MaxStreams {
		s.mu.Unlock()
		return s.out.put(frame{kind: kindReset, stream: f.stream, payload: encodeError(
			Errorf(Unavailable, "%s: more than %d calls at a time", method, s.opts.MaxStreams))})
	}
	s.serving++
	st := newStream(s, f.stream, method)
	st.ctx, st.cancel = context.WithCancelCause(s.ctx)
	s.streams[f.stream] = st
	s.handlers.Add(1)
	s.mu.Unlock()

	go func() {
		defer s.handlers.Done()
		s.serve(st, f.flags&flagStreaming != 0, left)
		st.release()
	}()
	return nil
}

func (s *Session) forget(st *Stream) {
	s.mu.Lock()
	delete(s.streams, st.id)
	s.mu.Unlock()
}

// write sends what gathers in the outbox.
func (s *Session) write() {
	for {
		select {
		case <-s.out.ready:
			if err := s.send(); err != nil {
				s.fail(fmt.Errorf("%w: %w", ErrPeerGone, err))
				return
			}
		case <-s.flush:
			_ = s.send()
			s.fail(ErrClosed)
			return
		case <-s.done:
			return
		}
	}
}

func (s *Session) send() error {
	data := s.out.take()
	if len(data) == 0 {
		return nil
	}
	within := s.opts.DeadAfter
	select {
	case <-s.flush:
		within = flushTime
	default:
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := s.conn.Write(data)
	return err
}

// keepAlive pings, and ends the session when nothing at all has come from the peer for too long. Any frame counts as a sign of
// life: behind much data on a slow link a pong alone may be late.
func (s *Session) keepAlive() {
	tick := time.NewTicker(s.opts.KeepAlive)
	defer tick.Stop()
	for {
		now := time.Since(s.start)
		if silent := now - time.Duration(s.heard.Load()); silent >= s.opts.DeadAfter {
			s.fail(fmt.Errorf("%w: silent for %s", ErrPeerGone, silent.Round(time.Millisecond)))
			return
		}
		payload := binary.BigEndian.AppendUint64(nil, uint64(now))
		if err := s.out.put(frame{kind: kindPing, payload: payload}); err != nil {
			s.fail(err)
			return
		}
		select {
		case <-tick.C:
		case <-s.flush:
			return
		case <-s.done:
			return
		}
	}
}
