package wire_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
)

// memory is a network of one listener.
type memory struct {
	queue  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory { return &memory{queue: make(chan net.Conn), closed: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.queue:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.closed) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

func (m *memory) dial(t *testing.T) net.Conn {
	a, b := net.Pipe()
	select {
	case m.queue <- b:
	case <-m.closed:
		t.Fatal("nobody listens")
	}
	return a
}

func newFleet(t testing.TB) *pki.CA {
	ca, err := pki.NewFleet(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t testing.TB, ca *pki.CA, kind pki.Kind, name string, at time.Time) *pki.Credentials {
	node, err := ca.Issue(kind, name, at)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := node.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

// serve runs a server of a coordinator until the end of the test. Its handlers say who called, then end.
func serve(t *testing.T, ca *pki.CA, opts wire.ServerOptions) *memory {
	opts.Credentials = issue(t, ca, pki.Coordinator, "coord-1", time.Now())
	server := wire.NewServer(opts)
	hello := func(alpn string) wire.ConnHandler {
		return func(_ context.Context, conn *tls.Conn, peer wire.Peer) error {
			_, err := fmt.Fprintf(conn, "%s %s %t", alpn, peer.Identity, peer.ExpiredGrace)
			return err
		}
	}
	server.Handle(wire.RPC, wire.MutualOrExpired, hello(wire.RPC))
	server.Handle(wire.Raft, wire.Mutual, hello(wire.Raft))
	server.Handle(wire.Join, wire.Anonymous, hello(wire.Join))
	net := newMemory()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, net) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return net
}

func ask(conn net.Conn, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer conn.Close()
	b, err := io.ReadAll(conn)
	return string(b), err
}

func TestServerKnowsWhoCallsForWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, other := newFleet(t), newFleet(t)
		dead := issue(t, ca, pki.Agent, "host-c", time.Now())
		time.Sleep(2 * 24 * time.Hour)
		late := issue(t, ca, pki.Agent, "host-b", time.Now())
		time.Sleep(pki.Lifetime + 29*24*time.Hour)
		net := serve(t, ca, wire.ServerOptions{})
		now := time.Now()
		agent := issue(t, ca, pki.Agent, "host-a", now)
		revoked := issue(t, ca, pki.Agent, "host-d", now)
		foreign := issue(t, other, pki.Agent, "host-a", now)
		coordinator := pki.Want{Kind: pki.Coordinator}
		for _, c := range []struct {
			name  string
			alpn  string
			creds *pki.Credentials
			want  pki.Want
			says  string // or the error's text after "!"
		}{
			{"an agent", wire.RPC, agent, coordinator, "gp-rpc/1 agent host-a false"},
			{"an agent that names the coordinator", wire.Raft, agent, pki.Want{Kind: pki.Coordinator, Name: "coord-1"}, "gp-raft/1 agent host-a false"},
			{"an agent that wants another coordinator", wire.RPC, agent, pki.Want{Kind: pki.Coordinator, Name: "coord-2"}, "!wanted coordinator coord-2, reached coordinator coord-1"},
			{"an agent that wants an agent", wire.RPC, agent, pki.Want{Kind: pki.Agent}, "!wanted agent"},
			{"an agent in grace, where it may", wire.RPC, late, coordinator, "gp-rpc/1 agent host-b true"},
			{"an agent in grace, where it may not", wire.Raft, late, coordinator, "!bad certificate"},
			{"an agent after its grace", wire.RPC, dead, coordinator, "!bad certificate"},
			{"an agent of another fleet", wire.RPC, foreign, pki.Want{}, "!not of this fleet"},
			{"a protocol that is not served", wire.Sync, agent, coordinator, "!internal error"},
			{"joining shows no certificate", wire.Join, revoked, coordinator, "gp-join/1 someone without a certificate false"},
		} {
			conn, peer, err := wire.Client(t.Context(), net.dial(t), c.alpn, c.creds, c.want)
			if err == nil && peer.Identity.String() != "coordinator coord-1" {
				t.Errorf("%s: reached %s", c.name, peer.Identity)
			}
			got, err := ask(conn, err)
			if text, wantErr := strings.CutPrefix(c.says, "!"); wantErr {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %q, %v, want an error with %q", c.name, got, err, text)
				}
			} else if err != nil || got != c.says {
				t.Errorf("%s: %q, %v", c.name, got, err)
			}
		}
		joiner, err := wire.ClientJoin(t.Context(), net.dial(t), ca.Pin())
		if got, err := ask(joiner, err); err != nil || !strings.HasPrefix(got, wire.Join) {
			t.Errorf("join: %q, %v", got, err)
		}
		if _, err := wire.ClientJoin(t.Context(), net.dial(t), other.Pin()); !errors.Is(err, pki.ErrPin) {
			t.Errorf("join with another pin: %v", err)
		}
		bare, err := tlsClient(net.dial(t), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.RPC}})
		if got, err := ask(bare, err); err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("RPC without a certificate: %q, %v", got, err)
		}
		old, err := tlsClient(net.dial(t), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.Join}, MaxVersion: tls.VersionTLS12})
		if _, err := ask(old, err); err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("TLS 1.2: %v", err)
		}
	})
}

func tlsClient(raw net.Conn, config *tls.Config) (net.Conn, error) {
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

func TestRevokedPeerIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newFleet(t)
		server := issue(t, ca, pki.Coordinator, "coord-1", time.Now())
		server.SetCheck(func(p pki.Peer) error {
			if p.Name == "host-b" {
				return errors.New("it was removed from the fleet")
			}
			return nil
		})
		s := wire.NewServer(wire.ServerOptions{Credentials: server})
		s.Handle(wire.RPC, wire.Mutual, func(_ context.Context, conn *tls.Conn, _ wire.Peer) error {
			_, err := conn.Write([]byte("welcome"))
			return err
		})
		net := newMemory()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Serve(ctx, net) }()
		for name, welcome := range map[string]bool{"host-a": true, "host-b": false} {
			conn, _, err := wire.Client(t.Context(), net.dial(t), wire.RPC, issue(t, ca, pki.Agent, name, time.Now()), pki.Want{})
			if got, err := ask(conn, err); (got == "welcome") != welcome || (err == nil) != welcome {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestSilentClientsNeitherStayNorStarveOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newFleet(t)
		// All of memory has one address, so the limit for one address is what is met.
		network := serve(t, ca, wire.ServerOptions{MaxPerSource: 5})
		agent := issue(t, ca, pki.Agent, "host-a", time.Now())
		start := time.Now()
		var group sync.WaitGroup
		for i := range 8 {
			conn := network.dial(t)
			group.Go(func() {
				defer conn.Close()
				if _, err := conn.Read(make([]byte, 1)); err == nil {
					t.Error("the server spoke first")
				}
				took := time.Since(start)
				if i < 5 && took != wire.HandshakeTimeout || i >= 5 && took != 0 {
					t.Errorf("client %d was cut off after %v", i, took)
				}
			})
		}
		group.Wait()
		conn, _, err := wire.Client(t.Context(), network.dial(t), wire.RPC, agent, pki.Want{})
		if got, err := ask(conn, err); err != nil {
			t.Errorf("afterwards: %q, %v", got, err)
		}
	})
}

func TestServerStopsWithConnectionsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newFleet(t)
		s := wire.NewServer(wire.ServerOptions{Credentials: issue(t, ca, pki.Coordinator, "coord-1", time.Now())})
		sawCancel := make(chan bool, 2)
		s.Handle(wire.RPC, wire.Mutual, func(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
			session := wire.NewSession(conn, false, wire.Options{Peer: peer})
			defer session.Close()
			select {
			case <-ctx.Done():
				sawCancel <- true
			case <-session.Done():
				sawCancel <- false
			}
			return nil
		})
		s.Handle(wire.Sync, wire.Mutual, func(_ context.Context, conn *tls.Conn, _ wire.Peer) error {
			_, err := conn.Read(make([]byte, 1)) // looks at nothing but its connection
			return err
		})
		network := newMemory()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Serve(ctx, network) }()
		agent := issue(t, ca, pki.Agent, "host-a", time.Now())
		rpc, _, err := wire.Client(t.Context(), network.dial(t), wire.RPC, agent, pki.Want{})
		if err != nil {
			t.Fatal(err)
		}
		session := wire.NewSession(rpc, true, wire.Options{})
		defer session.Close()
		bulk, _, err := wire.Client(t.Context(), network.dial(t), wire.Sync, agent, pki.Want{})
		if err != nil {
			t.Fatal(err)
		}
		defer bulk.Close()
		synctest.Wait()
		start := time.Now()
		cancel()
		if err := <-ended; err != nil || time.Since(start) > 3*time.Second {
			t.Errorf("stopped after %v: %v", time.Since(start), err)
		}
		if !<-sawCancel {
			t.Error("the handler was not told")
		}
		<-session.Done()
	})
}

// failing is a listener whose first calls fail as they do when a process has too many files open.
type failing struct {
	net.Listener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left--; f.left >= 0 {
		return nil, errors.New("accept: too many open files")
	}
	return f.Listener.Accept()
}

func TestServerOutlivesFailingAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newFleet(t)
		s := wire.NewServer(wire.ServerOptions{Credentials: issue(t, ca, pki.Coordinator, "coord-1", time.Now())})
		s.Handle(wire.RPC, wire.Mutual, func(_ context.Context, conn *tls.Conn, _ wire.Peer) error {
			_, err := conn.Write([]byte("x"))
			return err
		})
		network := newMemory()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Serve(ctx, &failing{network, 20}) }()
		conn, _, err := wire.Client(t.Context(), network.dial(t), wire.RPC, issue(t, ca, pki.Agent, "host-a", time.Now()), pki.Want{})
		if got, err := ask(conn, err); err != nil || got != "x" {
			t.Errorf("%q, %v", got, err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}

		broken := newMemory()
		broken.Close()
		if err := s.Serve(t.Context(), broken); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a listener that was closed: %v", err)
		}
	})
}

// The whole way over TCP: dial, sessions, calls both ways, and nothing left (TestMain looks for goroutines).
func TestCallsOverTCP(t *testing.T) {
	ca := newFleet(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := wire.NewServer(wire.ServerOptions{Credentials: issue(t, ca, pki.Coordinator, "coord-1", time.Now())})
	answers := make(chan error, 1)
	s.Handle(wire.RPC, wire.Mutual, func(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
		session := wire.NewSession(conn, false, wire.Options{Peer: peer, Mux: muxOf(map[string]wire.HandlerFunc{"echo": echo})})
		defer session.Close()
		_, err := session.Call(ctx, "agent.echo", []byte("push"))
		answers <- err
		<-session.Done()
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, listener) }()

	conn, peer, err := wire.Dial(t.Context(), listener.Addr().String(), wire.RPC, issue(t, ca, pki.Agent, "host-a", time.Now()), pki.Want{Kind: pki.Coordinator})
	if err != nil {
		t.Fatal(err)
	}
	session := wire.NewSession(conn, true, wire.Options{Peer: peer, Mux: muxOf(map[string]wire.HandlerFunc{"agent.echo": echo})})
	if err := <-answers; err != nil {
		t.Errorf("the coordinator's call: %v", err)
	}
	if got, err := session.Call(t.Context(), "echo", make([]byte, 3<<20)); err != nil || len(got) != 3<<20 {
		t.Errorf("the agent's call: %d bytes, %v", len(got), err)
	}
	session.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
