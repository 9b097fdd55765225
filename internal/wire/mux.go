package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"
)

// HandlerFunc answers a call. Its context ends with the caller's. An *Error anywhere in
// the chain of its error reaches the caller with code and detail; any other error becomes Internal.
type HandlerFunc func(ctx context.Context, peer Peer, body []byte) ([]byte, error)

// StreamFunc serves a stream until it returns; its error reaches the caller like a HandlerFunc's, after all that was sent.
type StreamFunc func(ctx context.Context, peer Peer, body []byte, stream *Stream) error

// maxCallTime bounds what a caller may ask for; the longest operations take hours.
const maxCallTime = 24 * time.Hour

// bodyTime is how long the first message of a stream may take, whatever the deadline: who opens streams and does not go on shall not hold them.
const bodyTime = 30 * time.Second

// Mux is the methods that the other end of a session may call. Fill it first, use it after; then it may be shared by many sessions.
type Mux struct {
	calls   map[string]HandlerFunc
	streams map[string]StreamFunc
	expired map[string]bool
	check   func(Peer) error
}

// NewMux returns one without methods.
func NewMux() *Mux {
	return &Mux{calls: map[string]HandlerFunc{}, streams: map[string]StreamFunc{}, expired: map[string]bool{}, check: func(Peer) error { return nil }}
}

// Handle makes h answer a method. Setting a method twice is a mistake in the program and panics.
func (m *Mux) Handle(method string, h HandlerFunc) {
	m.mustBeNew(method)
	m.calls[method] = h
}

// HandleStream makes h serve a streaming method.
func (m *Mux) HandleStream(method string, h StreamFunc) {
	m.mustBeNew(method)
	m.streams[method] = h
}

// AllowExpired lets a peer whose certificate is in its grace call the method: the one that renews it. Such a peer is refused everything else.
func (m *Mux) AllowExpired(method string) { m.expired[method] = true }

// Require lets only those peers call anything for which check returns nil. It is asked for each call, before the body is read, and may be called concurrently.
func (m *Mux) Require(check func(Peer) error) { m.check = check }

func (m *Mux) mustBeNew(method string) {
	if m.calls[method] != nil || m.streams[method] != nil {
		panic("wire: method " + method + " has two handlers")
	}
	if method == "" || len(method) > maxMethod {
		panic(fmt.Sprintf("wire: the name of a method has 1 to %d bytes: %q", maxMethod, method))
	}
}

// serve runs the handler of a stream and sends what came of it.
func (s *Session) serve(st *Stream, streaming bool, left time.Duration) {
	defer st.cancel(context.Canceled)
	switch {
	case left > 0:
		left = min(left, maxCallTime)
	case !streaming:
		left = DefaultTimeout
	}
	if left > 0 {
		var cancel context.CancelFunc
		st.ctx, cancel = context.WithTimeout(st.ctx, left)
		defer cancel()
	}
	answer, err := s.handle(st, streaming)
	if err == nil {
		err = st.send(answer, lastFlags(streaming))
	}
	if errors.Is(err, context.Canceled) && st.ctx.Err() != nil {
		err = st.over() // says why, where the handler says only that
	}
	if err == nil || st.gone() { // who has given up wants to hear no more
		s.forget(st)
		return
	}
	st.reset(err)
}

func lastFlags(streaming bool) flags {
	if streaming {
		return flagEnd
	}
	return flagLast | flagEnd
}

// handle finds and runs the handler.
func (s *Session) handle(st *Stream, streaming bool) (answer []byte, err error) {
	mux, peer := s.opts.Mux, s.opts.Peer
	// First, so that a peer that is refused hears why, also when its certificate has expired.
	if err := mux.check(peer); err != nil {
		return nil, err
	}
	call, stream := mux.calls[st.method], mux.streams[st.method]
	switch {
	case peer.ExpiredGrace && !mux.expired[st.method]:
		return nil, Errorf(Unauthorized, "the certificate of %s has expired: it can be renewed, and nothing else", peer.Identity)
	case call == nil && stream == nil:
		return nil, Errorf(NotFound, "there is no method %q here", st.method)
	case streaming != (stream != nil):
		return nil, Errorf(Invalid, "it is a stream and was called, or the other way round")
	}
	slow := time.AfterFunc(bodyTime, func() {
		st.cancel(Errorf(Deadline, "the request did not come within %s", bodyTime))
	})
	body, err := st.Recv()
	if !slow.Stop() && err == nil {
		return nil, st.over()
	}
	if errors.Is(err, io.EOF) {
		err = Errorf(Invalid, "the request is missing")
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("handler panicked", "method", st.method, "panic", p, "stack", string(debug.Stack()))
			err = Errorf(Internal, "the handler panicked: %v", p)
		}
	}()
	if streaming {
		return nil, stream(st.ctx, peer, body, st)
	}
	return call(st.ctx, peer, body)
}
