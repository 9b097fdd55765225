// Package session is an agent's side of its session with the coordinators: documents and operations come in, samples go out.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

const (
	dialTimeout  = 5 * time.Second
	helloTimeout = 5 * time.Second
	helloEvery   = time.Minute     // facts and clock offset are stated again
	standInFor   = 2 * time.Second // until the home is looked for again
	sendEvery    = 2 * time.Second
	sendTimeout  = 20 * time.Second
	retryFirst   = 500 * time.Millisecond
	retryMost    = 5 * time.Second
)

// ClientConfig is what a client needs.
type ClientConfig struct {
	Addrs []string                                                            // of coordinators, until others are learned
	Dial  func(ctx context.Context, addr string) (net.Conn, wire.Peer, error) // authenticated
	Hello func(ctx context.Context) (proto.Hello, error)                      // made anew for each
	// Answer is told what came back, when it was asked for, and how long it took. It reports whether what was stated is not so any more: then it is
	// stated again, once.
	Answer func(r proto.HelloReply, sent time.Time, took time.Duration) (outdated bool)
	Learn  func(addrs []string)                 // the coordinators changed; sorted
	Gone   func(ctx context.Context, why error) // a coordinator said that this host was taken out of the fleet; may be nil
	Mux    *wire.Mux                            // what coordinators may call
	Buffer *Buffer
	Host   string
	Boot   string // of this life of the agent
	Log    *slog.Logger
}

// Client keeps a session with this host's home. Its methods may be called concurrently.
type Client struct {
	cfg   ClientConfig
	again chan struct{} // facts changed

	mu       sync.Mutex
	session  *wire.Session // nil while there is none
	home     bool          // it is with the home, not with one that stands in
	addrs    []string
	sequence uint64
}

// NewClient returns a client; Run makes it work.
func NewClient(cfg ClientConfig) *Client {
	return &Client{cfg: cfg, again: make(chan struct{}, 1), addrs: slices.Clone(cfg.Addrs)}
}

// Restate has the home told soon of facts that changed. Without a session it is told when there is one.
func (c *Client) Restate() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// Run keeps a session until ctx ends: with the home when that can be reached, and it goes to wherever the home has gone. While the home can't be
// reached another coordinator stands in for it.
func (c *Client) Run(ctx context.Context) error {
	wait := retryFirst
	var lost string // address of the home whose session has just ended: the others are asked first, for what can't wait would wait for its answer
	for turn := 0; ctx.Err() == nil; turn++ {
		addrs := c.known()
		if len(addrs) == 0 {
			return errors.New("no coordinator is known: join a fleet first, or name one in the configuration")
		}
		if addrs[turn%len(addrs)] == lost {
			turn++
		}
		addr := addrs[turn%len(addrs)]
		served, home, err := c.serve(ctx, addr)
		if ctx.Err() != nil {
			return nil
		}
		lost = home
		if served {
			wait = retryFirst
		}
		c.cfg.Log.Warn("no session with the coordinators; the stored document is followed", "coordinator", addr, "error", err, "retry_in", wait)
		jitter := time.Duration(rand.Int64N(int64(wait / 2)))
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + jitter):
		}
		wait = min(2*wait, retryMost)
	}
	return nil
}

func (c *Client) known() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addrs
}

// serve asks the coordinator at addr who the home is, and keeps a session with that. It reports whether there was a session,
// and the address of the home that it was with or that was not reached.
func (c *Client) serve(ctx context.Context, addr string) (served bool, home string, err error) {
	s, peer, reply, err := c.open(ctx, addr)
	if err != nil {
		return false, "", err
	}
	defer s.Close()
	defer c.set(nil, false)
	if reply.Home == "" || reply.Home == peer.Name {
		c.set(s, true)
		return true, addr, c.keep(ctx, s, peer.Name)
	}
	// From here on, since a home that has gone dark does not even refuse a connection.
	c.set(s, false)
	at, peer, again, err := c.open(ctx, reply.HomeAddr)
	if err != nil {
		return true, reply.HomeAddr, c.standIn(ctx, s, reply)
	}
	defer at.Close()
	if again.Home != "" && again.Home != peer.Name {
		return false, "", fmt.Errorf("the home is %s, or %s: the coordinators don't agree yet", reply.Home, again.Home)
	}
	c.set(at, true)
	_ = s.Close() // it was for the question alone
	return true, reply.HomeAddr, c.keep(ctx, at, peer.Name)
}

// open makes a session and says hello.
func (c *Client) open(ctx context.Context, addr string) (*wire.Session, wire.Peer, proto.HelloReply, error) {
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	conn, peer, err := c.cfg.Dial(dialCtx, addr)
	cancel()
	if err != nil {
		return nil, peer, proto.HelloReply{}, err
	}
	s := wire.NewSession(conn, true, wire.Options{Peer: peer, Mux: c.cfg.Mux, Log: c.cfg.Log})
	reply, err := c.hello(ctx, s)
	if err != nil {
		_ = s.Close() // the hello's error says more
		return nil, peer, reply, err
	}
	return s, peer, reply, nil
}

// keep works with the home over s, until that ends or the home moves.
func (c *Client) keep(ctx context.Context, s *wire.Session, name string) error {
	c.cfg.Log.Info("session with the home", "coordinator", name)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Done():
			return s.Err()
		}
	})
	g.Go(func() error { return c.repeatHello(ctx, s, name) })
	g.Go(func() error { return c.send(ctx, s) })
	return g.Wait()
}

// standIn stays with a coordinator that is not the home, until the home is back or has moved: what can't wait, operations and permits, goes by way
// of it. Samples wait in the buffer.
func (c *Client) standIn(ctx context.Context, s *wire.Session, was proto.HelloReply) error {
	c.cfg.Log.Warn("the home is not reached; another coordinator stands in for it", "home", was.Home, "stand_in", s.Peer().Name)
	tick := time.NewTicker(standInFor)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Done():
			return s.Err()
		case <-tick.C:
		}
		reply, err := c.hello(ctx, s)
		if err != nil {
			return err
		}
		if reply.Home != was.Home || reply.HomeAddr != was.HomeAddr {
			return errors.New("the home has moved to " + reply.Home)
		}
		if home, _, _, err := c.open(ctx, reply.HomeAddr); err == nil {
			_ = home.Close() // it was for the question alone
			return errors.New("the home " + reply.Home + " is back")
		}
	}
}

func (c *Client) set(s *wire.Session, home bool) {
	c.mu.Lock()
	c.session, c.home = s, home
	c.mu.Unlock()
}

// hello states this host's facts and hears who the home is.
func (c *Client) hello(ctx context.Context, s *wire.Session) (proto.HelloReply, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	reply, outdated, err := c.state(ctx, s)
	if outdated && err == nil {
		reply, _, err = c.state(ctx, s)
	}
	if err != nil {
		return reply, err
	}
	if len(reply.Coordinators) > 0 && !slices.Equal(reply.Coordinators, c.known()) {
		c.mu.Lock()
		c.addrs = slices.Clone(reply.Coordinators)
		c.mu.Unlock()
		c.cfg.Learn(reply.Coordinators)
	}
	return reply, nil
}

// state states this host's facts once, and tells whether they are others since the answer.
func (c *Client) state(ctx context.Context, s *wire.Session) (reply proto.HelloReply, outdated bool, err error) {
	h, err := c.cfg.Hello(ctx)
	if err != nil {
		return reply, false, err
	}
	sent := time.Now()
	reply, err = rpc.Call[proto.HelloReply](ctx, s, proto.MethodHello, h)
	if wire.TakenOut(err) && c.cfg.Gone != nil {
		c.cfg.Gone(ctx, err)
	}
	if err != nil {
		return reply, false, err
	}
	return reply, c.cfg.Answer(reply, sent, time.Since(sent)), nil
}

// repeatHello keeps facts and offset fresh. It ends the session when the home has moved.
func (c *Client) repeatHello(ctx context.Context, s *wire.Session, name string) error {
	tick := time.NewTicker(helloEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-c.again:
		}
		reply, err := c.hello(ctx, s)
		if err != nil {
			return err
		}
		if reply.Home != "" && reply.Home != name {
			return errors.New("the home has moved to " + reply.Home)
		}
	}
}

// send brings buffered windows to the home, oldest first.
func (c *Client) send(ctx context.Context, s *wire.Session) error {
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for {
		more, err := c.sendBatch(ctx, s)
		switch {
		case wire.CodeOf(err) == wire.Unavailable: // for now: the coordinators may be without a leader. An end of the session is seen elsewhere
			c.cfg.Log.Debug("the home takes no samples at the moment", "error", err)
		case err != nil:
			return err
		case more:
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *Client) sendBatch(ctx context.Context, s *wire.Session) (sent bool, err error) {
	windows, stored, err := c.cfg.Buffer.Next()
	if err != nil || len(windows) == 0 {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	c.mu.Lock()
	c.sequence++
	batch := proto.Samples{Host: c.cfg.Host, Boot: c.cfg.Boot, Sequence: c.sequence, Windows: windows}
	c.mu.Unlock()
	if _, err := rpc.Call[proto.SamplesReply](ctx, s, proto.MethodSamples, batch); err != nil {
		return false, err
	}
	return true, stored()
}

// Call calls a method of the home, or of who stands in for it. Without a session it is an error of code unavailable.
func (c *Client) Call(ctx context.Context, method string, body []byte) ([]byte, error) {
	c.mu.Lock()
	s := c.session
	c.mu.Unlock()
	if s == nil {
		return nil, wire.Errorf(wire.Unavailable, "there is no session with the coordinators")
	}
	return s.Call(ctx, method, body)
}

// Connected reports whether there is a session with the home.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.home
}
