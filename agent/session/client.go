// Package session is an agent's side of its session with the coordinators: documents and operations come in, samples go out.
package session

import (
	"context"
	"errors"
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
	helloEvery   = time.Minute // facts and clock offset are stated again
	sendEvery    = 2 * time.Second
	sendTimeout  = 20 * time.Second
	retryFirst   = 500 * time.Millisecond
	retryMost    = 5 * time.Second
)

// ClientConfig is what a client needs.
type ClientConfig struct {
	Addrs  []string                                                            // of coordinators, until others are learned
	Dial   func(ctx context.Context, addr string) (net.Conn, wire.Peer, error) // authenticated
	Hello  func(ctx context.Context) (proto.Hello, error)                      // made anew for each
	Answer func(r proto.HelloReply, sent time.Time, took time.Duration)        // what came back, when it was asked for, and how long it took
	Learn  func(addrs []string)                                                // the coordinators changed; sorted
	Mux    *wire.Mux                                                           // what coordinators may call
	Buffer *Buffer
	Host   string
	Boot   string // of this life of the agent
	Log    *slog.Logger
}

// Client keeps a session with this host's home. Its methods may be called concurrently.
type Client struct {
	cfg ClientConfig

	mu       sync.Mutex
	session  *wire.Session // nil while there is none
	addrs    []string
	sequence uint64
}

// NewClient returns a client; Run makes it work.
func NewClient(cfg ClientConfig) *Client {
	return &Client{cfg: cfg, addrs: slices.Clone(cfg.Addrs)}
}

// Run keeps a session until ctx ends: with the home when that can be reached, and it goes to wherever the home has gone.
func (c *Client) Run(ctx context.Context) error {
	wait, next, turn := retryFirst, "", 0
	for ctx.Err() == nil {
		addr := next
		if addr == "" {
			addrs := c.known()
			if len(addrs) == 0 {
				return errors.New("no coordinator is known: join a fleet first, or name one in the configuration")
			}
			addr = addrs[turn%len(addrs)]
			turn++
		}
		home, served, err := c.serve(ctx, addr)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case home != "" && home != addr && next == "":
			next = home // the answer to who the home is; no time is lost
			continue
		case served:
			wait = retryFirst
		}
		next = ""
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

// serve keeps one session at addr. It returns where the home is if that is elsewhere, and whether this was a session
// with the home.
func (c *Client) serve(ctx context.Context, addr string) (home string, served bool, err error) {
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	conn, peer, err := c.cfg.Dial(dialCtx, addr)
	cancel()
	if err != nil {
		return "", false, err
	}
	s := wire.NewSession(conn, true, wire.Options{Peer: peer, Mux: c.cfg.Mux, Log: c.cfg.Log})
	defer s.Close()
	reply, err := c.hello(ctx, s)
	if err != nil {
		return "", false, err
	}
	if reply.Home != "" && reply.Home != peer.Name {
		return reply.HomeAddr, false, errors.New("the home is " + reply.Home)
	}
	c.set(s)
	defer c.set(nil)
	c.cfg.Log.Info("session with the home", "coordinator", peer.Name, "address", addr)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Done():
			return s.Err()
		}
	})
	g.Go(func() error { return c.repeatHello(ctx, s, peer.Name) })
	g.Go(func() error { return c.send(ctx, s) })
	return "", true, g.Wait()
}

func (c *Client) set(s *wire.Session) {
	c.mu.Lock()
	c.session = s
	c.mu.Unlock()
}

// hello states this host's facts and hears who the home is.
func (c *Client) hello(ctx context.Context, s *wire.Session) (proto.HelloReply, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	h, err := c.cfg.Hello(ctx)
	if err != nil {
		return proto.HelloReply{}, err
	}
	sent := time.Now()
	reply, err := rpc.Call[proto.HelloReply](ctx, s, proto.MethodHello, h)
	if err != nil {
		return reply, err
	}
	c.cfg.Answer(reply, sent, time.Since(sent))
	if len(reply.Coordinators) > 0 && !slices.Equal(reply.Coordinators, c.known()) {
		c.mu.Lock()
		c.addrs = slices.Clone(reply.Coordinators)
		c.mu.Unlock()
		c.cfg.Learn(reply.Coordinators)
	}
	return reply, nil
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
		if err != nil {
			return err
		}
		if more {
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

// Call calls a method of the home. Without a session it is an error of code unavailable.
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
	return c.session != nil
}
