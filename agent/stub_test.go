package agent_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// coordinator is as much of one as an agent notices: it lets hosts join, answers hellos, gives permits, and keeps what is sent to it.
type coordinator struct {
	t       *testing.T
	ca      *pki.CA
	addr    string
	listen  func() (net.Listener, error)
	stop    func()
	refused error // what joining is answered

	mu       sync.Mutex
	sessions map[string]*wire.Session // of agents, by host
	hello    proto.Hello              // the last
	hellos   int
	permits  int
	windows  []proto.Window
	joins    int
}

func newCoordinator(t *testing.T, addr string, listen func() (net.Listener, error)) *coordinator {
	t.Helper()
	ca, err := pki.NewFleet(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &coordinator{t: t, ca: ca, addr: addr, listen: listen, sessions: map[string]*wire.Session{}}
	c.start()
	t.Cleanup(func() { c.stop() })
	return c
}

// start serves until stop.
func (c *coordinator) start() {
	c.t.Helper()
	node, err := c.ca.Issue(pki.Coordinator, "c1", time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	creds, err := node.Credentials()
	if err != nil {
		c.t.Fatal(err)
	}
	listener, err := c.listen()
	if err != nil {
		c.t.Fatal(err)
	}
	server := wire.NewServer(wire.ServerOptions{Credentials: creds, Log: slog.New(slog.DiscardHandler)})
	server.Handle(wire.RPC, wire.MutualOrExpired, c.serve)
	server.Handle(wire.Join, wire.Anonymous, c.serve)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(ctx, listener); err != nil {
			c.t.Error(err)
		}
	})
	c.stop = sync.OnceFunc(func() { cancel(); serving.Wait() })
}

func (c *coordinator) serve(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
	m := wire.NewMux()
	if peer.Kind == pki.Agent {
		rpc.Handle(m, proto.MethodHello, c.onHello)
		rpc.Handle(m, proto.MethodSamples, c.onSamples)
		rpc.Handle(m, proto.MethodPermit, c.onPermit)
		rpc.Handle(m, proto.MethodRenew, func(_ context.Context, peer wire.Peer, r proto.RenewRequest) (proto.RenewReply, error) {
			cert, err := c.ca.Sign(r.CSR, peer.Identity, time.Now())
			return proto.RenewReply{Certificate: cert, CA: c.ca.CertPEM()}, err
		})
		m.AllowExpired(proto.MethodRenew)
	} else {
		rpc.Handle(m, proto.MethodJoin, c.onJoin)
	}
	s := wire.NewSession(conn, false, wire.Options{Peer: peer, Mux: m})
	defer s.Close()
	if peer.Kind == pki.Agent {
		c.mu.Lock()
		c.sessions[peer.Name] = s
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.sessions[peer.Name] == s {
				delete(c.sessions, peer.Name)
			}
		}()
	}
	select {
	case <-ctx.Done():
	case <-s.Done():
	}
	return nil
}

func (c *coordinator) onJoin(_ context.Context, _ wire.Peer, r proto.JoinRequest) (proto.JoinReply, error) {
	c.mu.Lock()
	c.joins++
	c.mu.Unlock()
	if c.refused != nil {
		return proto.JoinReply{}, c.refused
	}
	cert, err := c.ca.Sign(r.CSR, pki.Identity{Fleet: c.ca.Fleet(), Kind: pki.Kind(r.Role), Name: r.Name}, time.Now())
	return proto.JoinReply{Fleet: c.ca.Fleet(), Certificate: cert, CA: c.ca.CertPEM(), Coordinators: []string{c.addr}}, err
}

func (c *coordinator) onHello(_ context.Context, _ wire.Peer, h proto.Hello) (proto.HelloReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hello = h
	c.hellos++
	return proto.HelloReply{
		Version: proto.Version, Fleet: c.ca.Fleet(), Incarnation: 1, Home: "c1", HomeAddr: c.addr, Coordinators: []string{c.addr},
		ReceivedAt: timeline.Of(time.Now()), GridStep: 10_000,
	}, nil
}

func (c *coordinator) onSamples(_ context.Context, _ wire.Peer, s proto.Samples) (proto.SamplesReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.windows = append(c.windows, s.Windows...)
	return proto.SamplesReply{Sequence: s.Sequence}, nil
}

func (c *coordinator) onPermit(context.Context, wire.Peer, proto.PermitRequest) (proto.PermitReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.permits++
	return proto.PermitReply{Milliseconds: 15_000}, nil
}

// window returns the first window that is wanted.
func (c *coordinator) window(wanted func(proto.Window) bool) (proto.Window, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.windows, wanted); i >= 0 {
		return c.windows[i], true
	}
	return proto.Window{}, false
}

// lastHello returns what the agent said last, and how often it has.
func (c *coordinator) lastHello() (proto.Hello, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hello, c.hellos
}

// agent returns the session of a host's agent; nil while there is none.
func (c *coordinator) agent(host string) *wire.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[host]
}

// call calls a host's agent, which must answer.
func call[Reply any](c *coordinator, host, method string, request any) Reply {
	c.t.Helper()
	reply, err := tryCall[Reply](c, host, method, request)
	if err != nil {
		c.t.Fatalf("%s: %s: %v", host, method, err)
	}
	return reply
}

func tryCall[Reply any](c *coordinator, host, method string, request any) (Reply, error) {
	s := c.agent(host)
	if s == nil {
		var none Reply
		return none, errors.New("the agent has no session")
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 3*time.Minute)
	defer cancel()
	return rpc.Call[Reply](ctx, s, method, request)
}

// token makes a join token for a host of any name.
func (c *coordinator) token() string {
	c.t.Helper()
	t, err := pki.MintJoin(pki.Agent, "", c.ca.Pin(), []string{c.addr}, time.Now(), 0)
	if err != nil {
		c.t.Fatal(err)
	}
	return t.Encode()
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, within time.Duration, holds func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); ; <-tick.C {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
	}
}

// want is an error unless got is what is wanted.
func want[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}
