//go:build linux

package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// home is as much of a coordinator as an agent notices. It pushes documents when it is told to, so that what the agent makes of them
// is measured and not how often a coordinator has something to say.
type home struct {
	ca   *pki.CA
	addr string

	mu      sync.Mutex
	session *wire.Session // of the agent, the newest; nil while there is none

	stop    context.CancelFunc
	serving sync.WaitGroup
	failed  error
}

// startHome serves on a listener until close.
func startHome(listener net.Listener, addr string) (*home, error) {
	ca, err := pki.NewFleet(time.Now())
	if err != nil {
		return nil, err
	}
	node, err := ca.Issue(pki.Coordinator, "c1", time.Now())
	if err != nil {
		return nil, err
	}
	creds, err := node.Credentials()
	if err != nil {
		return nil, err
	}
	h := &home{ca: ca, addr: addr}
	server := wire.NewServer(wire.ServerOptions{Credentials: creds, Log: slog.New(slog.DiscardHandler)})
	server.Handle(wire.RPC, wire.MutualOrExpired, h.serve)
	server.Handle(wire.Join, wire.Anonymous, h.serve)
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.serving.Go(func() { h.failed = server.Serve(ctx, listener) })
	return h, nil
}

func (h *home) close() error {
	h.stop()
	h.serving.Wait()
	return h.failed
}

// token is what the agent joins with.
func (h *home) token() (string, error) {
	t, err := pki.MintJoin(pki.Agent, "", h.ca.Pin(), []string{h.addr}, time.Now(), 0)
	return t.Encode(), err
}

// Call implements rpc.Caller on whatever session the agent has. Like a coordinator it calls again when that was lost: an agent ends its
// session when systemd leaves it waiting, as it does while fifty units are changed.
func (h *home) Call(ctx context.Context, method string, body []byte) ([]byte, error) {
	for {
		h.mu.Lock()
		s := h.session
		h.mu.Unlock()
		err := errors.New("the agent has no session")
		if s != nil {
			var answer []byte
			if answer, err = s.Call(ctx, method, body); err == nil {
				return answer, nil
			}
			if wire.CodeOf(err) != wire.Unavailable {
				return nil, err
			}
		}
		if rest(ctx, 100*time.Millisecond) != nil {
			return nil, errors.Join(err, context.Cause(ctx))
		}
	}
}

func (h *home) serve(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
	m := wire.NewMux()
	said := make(chan struct{}, 1)
	if peer.Kind == pki.Agent {
		rpc.Handle(m, proto.MethodHello, func(context.Context, wire.Peer, proto.Hello) (proto.HelloReply, error) {
			select {
			case said <- struct{}{}:
			default:
			}
			return proto.HelloReply{
				Version: proto.Version, Fleet: h.ca.Fleet(), Incarnation: 1, Home: "c1", HomeAddr: h.addr, Coordinators: []string{h.addr},
				ReceivedAt: timeline.Of(time.Now()), GridStep: 10_000,
			}, nil
		})
		rpc.Handle(m, proto.MethodSamples, func(_ context.Context, _ wire.Peer, s proto.Samples) (proto.SamplesReply, error) {
			return proto.SamplesReply{Sequence: s.Sequence}, nil
		})
	} else {
		rpc.Handle(m, proto.MethodJoin, h.join)
	}
	s := wire.NewSession(conn, false, wire.Options{Peer: peer, Mux: m})
	defer s.Close()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.session == s {
			h.session = nil
		}
	}()
	for {
		select {
		case <-said:
			h.mu.Lock()
			h.session = s
			h.mu.Unlock()
		case <-ctx.Done():
			return nil
		case <-s.Done():
			return nil
		}
	}
}

func (h *home) join(_ context.Context, _ wire.Peer, r proto.JoinRequest) (proto.JoinReply, error) {
	cert, err := h.ca.Sign(r.CSR, pki.Identity{Fleet: h.ca.Fleet(), Kind: pki.Agent, Name: r.Name}, time.Now())
	return proto.JoinReply{Fleet: h.ca.Fleet(), Certificate: cert, CA: h.ca.CertPEM(), Coordinators: []string{h.addr}}, err
}

// operate has the agent carry out an operation.
func operate(ctx context.Context, h *home, op proto.Operation) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	r, err := rpc.Call[proto.OperationResult](ctx, h, proto.MethodOperate, op)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", op.Kind, op.Instance, err)
	}
	if r.Error != nil {
		return fmt.Errorf("%s of %s: %w", op.Kind, op.Instance, r.Error)
	}
	return nil
}

// roundTrip calls what the agent answers at once, and returns how long it took: there is no such operation.
func roundTrip(ctx context.Context, h *home) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	began := time.Now()
	_, err := rpc.Call[proto.Progress](ctx, h, proto.MethodProgress, proto.OperationRef{ID: "none"})
	if err == nil {
		return 0, errors.New("the agent knows an operation that was never begun")
	}
	if wire.CodeOf(err) != wire.NotFound {
		return 0, err
	}
	return time.Since(began), nil
}
