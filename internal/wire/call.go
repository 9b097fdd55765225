package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// DefaultTimeout is what a call gets whose context has no deadline. A stream may have none.
const DefaultTimeout = 30 * time.Second

// Call calls a method of the other end and waits for the answer. The time that ctx has left goes along, so the handler's
// context ends when the caller's does; so it does when ctx is cancelled. Errors have a code (CodeOf): that of the handler's error, or
// Unavailable, Deadline or Canceled, after which the call may or may not have been carried out.
func (s *Session) Call(ctx context.Context, method string, body []byte) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
	}
	st, err := s.open(ctx, method, 0, body, flagLast|flagEnd)
	if err != nil {
		return nil, s.name(method, err)
	}
	// Should the answer be here already when this runs, it does nothing.
	defer st.Close()
	answer, err := st.Recv()
	if errors.Is(err, io.EOF) {
		err = Errorf(Internal, "the answer is missing")
	}
	if err != nil {
		return nil, s.name(method, err)
	}
	return answer, nil
}

// Stream calls a streaming method of the other end, body being its request. The stream lasts until the handler
// returns, ctx ends or it is closed. It must be closed.
func (s *Session) Stream(ctx context.Context, method string, body []byte) (*Stream, error) {
	st, err := s.open(ctx, method, flagStreaming, body, flagLast)
	if err != nil {
		return nil, s.name(method, err)
	}
	// A context that ends must reach the handler also while nobody sends or receives.
	context.AfterFunc(st.ctx, st.Close)
	return st, nil
}

func (s *Session) name(method string, err error) error {
	return fmt.Errorf("call %s of %s: %w", method, s.opts.Peer.Identity, err)
}

// open opens a stream and sends its first message.
func (s *Session) open(ctx context.Context, method string, mode flags, body []byte, last flags) (*Stream, error) {
	if method == "" || len(method) > maxMethod {
		return nil, Errorf(Invalid, "the name of a method has 1 to %d bytes", maxMethod)
	}
	if s.opts.Peer.ExpiredGrace {
		return nil, Errorf(Unavailable, "its certificate has expired; it must renew it first")
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctxError(ctx)
	case <-s.done:
		return nil, s.ended()
	}
	st := newStream(s, 0, method)
	st.ctx, st.cancel = context.WithCancelCause(ctx)
	if err := s.register(st, mode); err != nil {
		st.cancel(err)
		<-s.slots
		return nil, err
	}
	if err := st.send(body, last); err != nil && !errors.Is(err, io.EOF) { // io.EOF: the handler has answered without waiting for all of the body
		st.Close()
		return nil, err
	}
	return st, nil
}

// register gives the stream its number and sends the frame that opens it. Both under one lock: numbers must leave in order.
func (s *Session) register(st *Stream, mode flags) error {
	for {
		left := time.Duration(0)
		if deadline, ok := st.ctx.Deadline(); ok {
			if left = time.Until(deadline); left <= 0 {
				return ctxError(st.ctx)
			}
		}
		s.mu.Lock()
		if s.closing || s.err != nil {
			s.mu.Unlock()
			return s.ended()
		}
		wait := s.out.tryPut(frame{kind: kindOpen, flags: mode, stream: s.nextID, payload: openPayload(st.method, left)})
		if wait == nil {
			st.id = s.nextID
			s.streams[st.id] = st
			s.nextID += 2
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		select {
		case <-wait:
		case <-st.ctx.Done():
			return ctxError(st.ctx)
		case <-s.done:
			return s.ended()
		}
	}
}

// Close gives the stream up; the handler's context ends, unless it has returned already. Closing again does nothing, as does
// closing on the serving side, where the handler's return does it.
func (st *Stream) Close() {
	if !st.s.mine(st.id) {
		return
	}
	st.once.Do(func() {
		st.mu.Lock()
		answered := st.ended || st.err != nil
		st.mu.Unlock()
		if answered || st.s.Err() != nil {
			st.s.forget(st)
		} else {
			st.reset(&Error{Code: Canceled, Message: "the caller gave up"})
		}
		st.cancel(context.Canceled)
		<-st.s.slots
	})
}
