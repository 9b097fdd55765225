package wire

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
)

// Auth says what a client must show to use a protocol.
type Auth int

// What a client must show.
const (
	Mutual          Auth = iota // a valid certificate of the fleet
	MutualOrExpired             // the same, or one in its grace; the peer is then marked ExpiredGrace
	Anonymous                   // nothing; the connection lasts at most AnonymousTime
)

// AnonymousTime is how long a connection without a client certificate may last.
const AnonymousTime = time.Minute

// Defaults of ServerOptions.
const (
	DefaultMaxConns      = 16384
	DefaultMaxHandshakes = 512
	DefaultMaxPerSource  = 64
	DefaultMaxAnonymous  = 64
)

// leaveTime is how long handlers may take to end by themselves when the server stops.
const leaveTime = 2 * time.Second

// ConnHandler serves a connection; ctx ends when the server stops. The connection is closed when it returns. Its error is logged.
type ConnHandler func(ctx context.Context, conn *tls.Conn, peer Peer) error

// ServerOptions of a server. Zero values mean the defaults.
type ServerOptions struct {
	Credentials   *pki.Credentials
	MaxConns      int // connections at a time, those in handshakes included
	MaxHandshakes int // handshakes at a time; a newcomer above it is dropped, and tries again
	MaxPerSource  int // handshakes at a time from one address, so that one host can't use up the others' share
	MaxAnonymous  int // connections at a time that showed no certificate
	Log           *slog.Logger
}

// Server is one port for all protocols: the client names one by ALPN, and so gets its handler and its rule for certificates.
type Server struct {
	opts   ServerOptions
	log    *slog.Logger
	routes []route

	mu         sync.Mutex
	conns      map[*inbound]struct{}
	handshakes int
	anonymous  int
	sources    map[string]int // handshakes by address
}

type route struct {
	alpn   string
	auth   Auth
	handle ConnHandler
}

// inbound is an accepted connection, with what its handshake found out.
type inbound struct {
	net.Conn
	route *route
	peer  Peer
}

// NewServer returns a server without protocols.
func NewServer(opts ServerOptions) *Server {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&opts.MaxConns, DefaultMaxConns}, {&opts.MaxHandshakes, DefaultMaxHandshakes},
		{&opts.MaxPerSource, DefaultMaxPerSource}, {&opts.MaxAnonymous, DefaultMaxAnonymous},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{opts: opts, log: opts.Log, conns: map[*inbound]struct{}{}, sources: map[string]int{}}
}

// Handle serves a protocol. Call it before Serve. Setting a protocol twice is a mistake in the program and panics.
func (s *Server) Handle(alpn string, auth Auth, handler ConnHandler) {
	for _, r := range s.routes {
		if r.alpn == alpn {
			panic("wire: protocol " + alpn + " has two handlers")
		}
	}
	s.routes = append(s.routes, route{alpn: alpn, auth: auth, handle: handler})
}

// Serve accepts connections until ctx ends, which is no error, or the listener fails. It owns the listener. When it returns
// every connection is closed and every handler has returned.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	stopped := context.AfterFunc(ctx, func() { _ = listener.Close() })
	var handlers sync.WaitGroup
	err := s.accept(ctx, listener, &handlers)
	cancel() // if the listener failed the handlers do not know yet
	if stopped() {
		_ = listener.Close()
	}

	left := make(chan struct{})
	go func() {
		handlers.Wait()
		close(left)
	}()
	select {
	case <-left:
	case <-time.After(leaveTime):
		s.closeAll()
		<-left
	}
	return err
}

func (s *Server) accept(ctx context.Context, listener net.Listener, handlers *sync.WaitGroup) error {
	delay := time.Duration(0)
	for {
		raw, err := listener.Accept()
		switch {
		case err == nil:
			delay = 0
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept connections on %s: %w", listener.Addr(), err)
		default:
			// Mostly too many open files, which passes. To give up would cut off the fleet.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.log.Warn("accepting a connection failed", "error", err, "retry_in", delay)
			select {
			case <-time.After(delay):
			case <-ctx.Done():
			}
			continue
		}
		conn := &inbound{Conn: raw}
		source := sourceOf(raw)
		if reason := s.admit(conn, source); reason != "" {
			s.log.Warn("connection refused", "addr", addrOf(raw), "reason", reason)
			_ = raw.Close()
			continue
		}
		handlers.Go(func() {
			defer s.drop(conn)
			tlsConn, err := s.handshake(ctx, conn, source)
			if err != nil {
				s.log.Info("handshake failed", "addr", addrOf(raw), "error", err)
				return
			}
			s.serve(ctx, conn, tlsConn)
		})
	}
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

func sourceOf(conn net.Conn) string {
	host, _, err := net.SplitHostPort(addrOf(conn))
	if err != nil {
		return addrOf(conn)
	}
	return host
}

// admit counts a new connection in, or says why not.
func (s *Server) admit(conn *inbound, source string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.conns) >= s.opts.MaxConns:
		return "too many connections"
	case s.handshakes >= s.opts.MaxHandshakes:
		return "too many handshakes at a time"
	case s.sources[source] >= s.opts.MaxPerSource:
		return "too many handshakes at a time from this address"
	}
	s.conns[conn] = struct{}{}
	s.handshakes++
	s.sources[source]++
	return ""
}

func (s *Server) drop(conn *inbound) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

func (s *Server) handshake(ctx context.Context, conn *inbound, source string) (*tls.Conn, error) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.handshakes--
		if s.sources[source]--; s.sources[source] == 0 {
			delete(s.sources, source)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, HandshakeTimeout)
	defer cancel()
	tlsConn := tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: s.configFor})
	if err := tlsConn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return tlsConn, nil
}

// configFor chooses the protocol, and with it the rule for the client's certificate, when the client has named what it speaks.
func (s *Server) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	conn, ok := hello.Conn.(*inbound)
	if !ok {
		return nil, errors.New("connection of an unknown type") // never: Serve made it
	}
	conn.route = s.routeFor(hello.SupportedProtos)
	if conn.route == nil {
		return nil, fmt.Errorf("the client speaks %q, none of which is served here", hello.SupportedProtos)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{conn.route.alpn},
		Certificates: []tls.Certificate{*s.opts.Credentials.Certificate()},
		// A resumed session would skip the check of the certificate as it is now; connections here are few and long.
		SessionTicketsDisabled: true,
	}
	if conn.route.auth == Anonymous {
		return config, nil
	}
	// RequireAny and a check of our own instead of RequireAndVerify: crypto/tls knows no grace and no identities.
	config.ClientAuth = tls.RequireAnyClientCert
	config.VerifyConnection = func(state tls.ConnectionState) (err error) {
		conn.peer, err = s.opts.Credentials.VerifyClient(state.PeerCertificates, conn.route.auth == MutualOrExpired)
		return err
	}
	return config, nil
}

func (s *Server) routeFor(offered []string) *route {
	for i, r := range s.routes {
		for _, o := range offered {
			if o == r.alpn {
				return &s.routes[i]
			}
		}
	}
	return nil
}

func (s *Server) serve(ctx context.Context, conn *inbound, tlsConn *tls.Conn) {
	log := s.log.With("addr", addrOf(conn), "alpn", conn.route.alpn, "peer", conn.peer.Identity.String())
	if conn.route.auth == Anonymous {
		if !s.enterAnonymous() {
			log.Warn("connection refused", "reason", "too many connections without a certificate")
			return
		}
		defer s.leaveAnonymous()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, AnonymousTime)
		defer cancel()
		// Also for a handler that does not look at its context. The handler's session sets write deadlines itself, so only reads.
		if err := tlsConn.SetReadDeadline(time.Now().Add(AnonymousTime)); err != nil {
			return
		}
	}
	defer tlsConn.Close()
	log.Debug("connected")
	if err := conn.route.handle(ctx, tlsConn, conn.peer); err != nil && ctx.Err() == nil {
		log.Warn("connection ended", "error", err)
	}
}

func (s *Server) enterAnonymous() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.anonymous >= s.opts.MaxAnonymous {
		return false
	}
	s.anonymous++
	return true
}

func (s *Server) leaveAnonymous() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.anonymous--
}
