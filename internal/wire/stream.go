package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Stream is one call in progress, or a conversation of messages in order both ways. One goroutine at a time may Send, and one Recv.
type Stream struct {
	s      *Session
	id     uint64
	method string
	ctx    context.Context
	cancel context.CancelCauseFunc
	once   sync.Once // for Close on the side that opened it, for release on the other

	mu     sync.Mutex
	queue  []frame // data that has come and was not received yet
	room   int     // how much more the peer may send
	owed   int     // how much was received and not yet granted again
	credit int     // how much this side may send
	ended  bool    // the peer has sent everything
	closed bool    // this side has sent everything
	err    error   // the peer has ended the stream

	came chan struct{} // holds a token when there may be something to receive
	may  chan struct{} // holds a token when there may be something to send
}

func newStream(s *Session, id uint64, method string) *Stream {
	return &Stream{
		s: s, id: id, method: method, room: window, credit: window,
		came: make(chan struct{}, 1), may: make(chan struct{}, 1),
	}
}

// Context ends when the stream does: when the caller gives up, its deadline passes, or the session is lost.
func (st *Stream) Context() context.Context { return st.ctx }

// Send sends one message and waits while the other side has no room for it. io.EOF means that the other side has ended the stream; Recv then says how.
func (st *Stream) Send(message []byte) error { return st.send(message, flagLast) }

// CloseSend tells the other side that no more messages come. On the serving side the return of the handler does that, and this does nothing.
func (st *Stream) CloseSend() error {
	if !st.s.mine(st.id) {
		return nil
	}
	st.mu.Lock()
	closed := st.closed
	st.mu.Unlock()
	if closed {
		return nil
	}
	return st.send(nil, flagEnd)
}

// send sends a message in pieces; flags are those of its last piece.
func (st *Stream) send(message []byte, last flags) error {
	if len(message) > st.s.opts.MaxMessage {
		return Errorf(Invalid, "a message of %d bytes is more than the %d allowed", len(message), st.s.opts.MaxMessage)
	}
	for {
		n, err := st.reserve(len(message))
		if err != nil {
			return err
		}
		f := frame{kind: kindData, stream: st.id, payload: message[:n]}
		message = message[n:]
		if len(message) == 0 {
			f.flags = last
		}
		if err := st.put(f); err != nil {
			return err
		}
		if len(message) == 0 {
			break
		}
	}
	if last&flagEnd != 0 {
		st.mu.Lock()
		st.closed = true
		st.mu.Unlock()
	}
	return nil
}

// reserve waits for credit and returns how much of want may be sent at once.
func (st *Stream) reserve(want int) (int, error) {
	for {
		st.mu.Lock()
		if st.closed {
			st.mu.Unlock()
			return 0, Errorf(Invalid, "sent after CloseSend")
		}
		if st.err != nil || (st.ended && st.s.mine(st.id)) {
			st.mu.Unlock()
			return 0, io.EOF
		}
		n := min(want, maxPayload, st.credit-frameCost)
		if n > 0 || (want == 0 && n == 0) {
			st.credit -= n + frameCost
			st.mu.Unlock()
			return n, nil
		}
		st.mu.Unlock()
		select {
		case <-st.may:
		case <-st.ctx.Done():
			return 0, st.over()
		case <-st.s.done:
			return 0, st.s.ended()
		}
	}
}

func (st *Stream) put(f frame) error {
	if f.flags&flagEnd != 0 && !st.s.mine(st.id) {
		st.release()
	}
	for {
		// Looked at first: there is often room, and then select would never see that the stream is over.
		if st.ctx.Err() != nil {
			return st.over()
		}
		wait := st.s.out.tryPut(f)
		if wait == nil {
			return nil
		}
		select {
		case <-wait:
		case <-st.ctx.Done():
			return st.over()
		case <-st.s.done:
			return st.s.ended()
		}
	}
}

// Recv returns the next message; it is the caller's to keep. io.EOF says that the other side has sent everything, any other error how the stream ended.
func (st *Stream) Recv() ([]byte, error) {
	var message []byte
	whole := true // no piece of this message has come yet
	for {
		f, err := st.next()
		if errors.Is(err, io.EOF) && !whole {
			err = Errorf(Invalid, "the stream ended inside a message")
		}
		if err != nil {
			return nil, err
		}
		if f.flags == flagEnd {
			continue // it has no payload, and next now returns io.EOF
		}
		if len(message)+len(f.payload) > st.s.opts.MaxMessage {
			return nil, Errorf(Invalid, "the other side sent a message of more than %d bytes", st.s.opts.MaxMessage)
		}
		if whole && f.flags&flagLast != 0 {
			return f.payload, nil
		}
		// Grown by what has come, never by what was announced.
		message, whole = append(message, f.payload...), false
		if f.flags&flagLast != 0 {
			return message, nil
		}
	}
}

// next waits for the next piece, and grants the peer room for more.
func (st *Stream) next() (frame, error) {
	for {
		st.mu.Lock()
		if len(st.queue) > 0 {
			f := st.queue[0]
			st.queue[0] = frame{}
			st.queue = st.queue[1:]
			grant := st.take(len(f.payload) + frameCost)
			st.mu.Unlock()
			if grant > 0 {
				payload := binary.BigEndian.AppendUint32(nil, uint32(grant))
				if err := st.s.out.put(frame{kind: kindCredit, stream: st.id, payload: payload}); err != nil {
					st.s.fail(err)
				}
			}
			return f, nil
		}
		err := st.err
		if err == nil && st.ended {
			err = io.EOF
		}
		st.mu.Unlock()
		if err != nil {
			return frame{}, err
		}
		select {
		case <-st.came:
		case <-st.ctx.Done():
			return frame{}, st.over()
		case <-st.s.done:
			return frame{}, st.s.ended()
		}
	}
}

// take accounts for a piece that was received and returns how much to grant, if it is worth a frame. Call with mu held.
func (st *Stream) take(cost int) int {
	st.owed += cost
	if st.owed < window/2 || st.ended {
		return 0
	}
	grant := st.owed
	st.owed = 0
	st.room += grant
	return grant
}

// over returns why the context has ended: the peer's reset first, then the session's end, then the context's own reason.
func (st *Stream) over() error {
	st.mu.Lock()
	err := st.err
	st.mu.Unlock()
	if err != nil {
		return err
	}
	if st.s.Err() != nil {
		return st.s.ended()
	}
	return ctxError(st.ctx)
}

// ctxError turns the end of a context into an Error, whose code is that of the cause, if it has one.
func ctxError(ctx context.Context) error {
	cause := context.Cause(ctx)
	var e *Error
	if errors.As(cause, &e) {
		return e
	}
	return &Error{Code: CodeOf(ctx.Err()), Message: cause.Error(), cause: cause}
}

// deliver takes a piece that has come. It does not wait: the peer sends no more than there is room for, or is cut off.
func (st *Stream) deliver(f frame) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	cost := len(f.payload) + frameCost
	if cost > st.room {
		return fmt.Errorf("%w: stream %d sent more than it was granted", errProtocol, st.id)
	}
	if st.ended {
		return fmt.Errorf("%w: stream %d went on after its end", errProtocol, st.id)
	}
	st.room -= cost
	st.queue = append(st.queue, f)
	st.ended = f.flags&flagEnd != 0
	notify(st.came)
	if st.ended {
		notify(st.may)
	}
	return nil
}

// grant lets this side send more.
func (st *Stream) grant(n uint32) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	// What is in flight and what is granted never exceed the window, so more is a lie that would end in an overflow.
	if int64(st.credit)+int64(n) > window {
		return fmt.Errorf("%w: stream %d was granted more than the window", errProtocol, st.id)
	}
	st.credit += int(n)
	notify(st.may)
	return nil
}

// end records the peer's reset.
func (st *Stream) end(err *Error) {
	st.mu.Lock()
	if st.err == nil {
		st.err = err
	}
	st.mu.Unlock()
	notify(st.came)
	notify(st.may)
	if !st.s.mine(st.id) {
		st.cancel(err) // the caller gave up: the handler should, too
	}
}

// gone reports whether the peer has ended the stream.
func (st *Stream) gone() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.err != nil
}

// release gives back the place of a stream that the peer opened. It comes before the frame that ends the stream: the peer may open
// the next one as soon as it has that.
func (st *Stream) release() {
	st.once.Do(func() {
		st.s.mu.Lock()
		st.s.serving--
		st.s.mu.Unlock()
	})
}

// reset ends the stream both ways and tells the peer why.
func (st *Stream) reset(err error) {
	st.s.forget(st)
	if !st.s.mine(st.id) {
		st.release()
	}
	if putErr := st.s.out.put(frame{kind: kindReset, stream: st.id, payload: encodeError(err)}); putErr != nil {
		st.s.fail(putErr)
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
