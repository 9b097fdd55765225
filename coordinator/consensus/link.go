package consensus

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Link is how Raft reaches the other coordinators: connections that others make are handed to Handle, and those that
// this one needs are made by the function it was given.
type Link struct {
	addr linkAddr
	dial func(ctx context.Context, addr string) (net.Conn, error)

	inbound chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

var _ raft.StreamLayer = (*Link)(nil)

// NewLink returns a link of the coordinator whose RPC address is addr. dial makes an authenticated connection to a coordinator;
// its context bounds the dialling, not the connection's life.
func NewLink(addr string, dial func(ctx context.Context, addr string) (net.Conn, error)) *Link {
	return &Link{addr: linkAddr(addr), dial: dial, inbound: make(chan net.Conn), closed: make(chan struct{})}
}

// Handle hands a connection of another coordinator to Raft, and returns when Raft has closed it or ctx has ended.
func (l *Link) Handle(ctx context.Context, conn net.Conn) error {
	c := &tracked{Conn: conn, done: make(chan struct{})}
	select {
	case l.inbound <- c:
	case <-l.closed:
		return net.ErrClosed
	case <-ctx.Done():
		return nil
	}
	select {
	case <-c.done:
	case <-ctx.Done():
	case <-l.closed:
	}
	return nil
}

// tracked tells when a connection is closed.
type tracked struct {
	net.Conn
	once sync.Once
	done chan struct{}
}

func (c *tracked) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.Conn.Close()
		close(c.done)
	})
	return err
}

// Accept waits for a connection that another coordinator makes.
func (l *Link) Accept() (net.Conn, error) {
	select {
	case c := <-l.inbound:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Dial makes a connection to a coordinator.
func (l *Link) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, errors.New("raft is stopping")
	default:
	}
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return l.dial(ctx, string(addr))
}

// Close ends Accept.
func (l *Link) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns the address under which the others know this coordinator.
func (l *Link) Addr() net.Addr { return l.addr }

type linkAddr string

func (linkAddr) Network() string  { return "tcp" }
func (a linkAddr) String() string { return string(a) }
