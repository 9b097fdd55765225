package wire

import (
	"errors"
	"sync"
)

const (
	// outboxSoft is where senders of messages begin to wait. Low, so that a ping or a cancellation is not long behind them.
	outboxSoft = 64 << 10
	// outboxHard is how much may be waiting at all. Only a peer that makes us answer and does not read gets there.
	outboxHard = 1 << 20
)

var errNotReading = errors.New("the peer does not read what it asked for")

// outbox gathers frames until the connection can take them, so that what many goroutines send leaves in one write.
type outbox struct {
	mu    sync.Mutex
	buf   []byte
	spare []byte
	space chan struct{} // closed when buf has been taken; nil while nobody waits for that
	ready chan struct{} // holds a token when buf may have something
}

func newOutbox() *outbox { return &outbox{ready: make(chan struct{}, 1)} }

// tryPut adds a frame of a message. While there is no room it returns a channel that is closed when there may be.
func (o *outbox) tryPut(f frame) (wait <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.buf) >= outboxSoft {
		if o.space == nil {
			o.space = make(chan struct{})
		}
		return o.space
	}
	o.add(f)
	return nil
}

// put adds a frame that must not wait. It fails only when the peer does not read.
func (o *outbox) put(f frame) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.buf) >= outboxHard {
		return errNotReading
	}
	o.add(f)
	return nil
}

func (o *outbox) add(f frame) {
	o.buf = appendFrame(o.buf, f)
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// take returns all that is waiting; it is valid until the next take.
func (o *outbox) take() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	full := o.buf
	o.buf, o.spare = o.spare[:0], full
	if cap(full) > 2*outboxSoft {
		o.spare = nil // a rare burst must not be held on to by every idle session
	}
	if o.space != nil {
		close(o.space)
		o.space = nil
	}
	return full
}
