package wire_test

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
)

// The life of a host, with the real parts: it joins with a token and no more knowledge than the token's, is switched off for
// three weeks, comes back, may do nothing but renew, renews, and is a full member again.
func TestHostJoinsIsOffForWeeksAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newFleet(t)
		token, err := pki.MintJoin(pki.Agent, "host-a", ca.Pin(), nil, time.Now(), 0)
		if err != nil {
			t.Fatal(err)
		}
		text := token.Encode()
		network, stop := coordinator(t, ca, token.Hash())

		joining, err := pki.ParseJoin(text)
		if err != nil {
			t.Fatal(err)
		}
		key, err := pki.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		csr, err := pki.NewCSR(key, joining.Name)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := wire.ClientJoin(t.Context(), network.dial(t), joining.Pin)
		if err != nil {
			t.Fatal(err)
		}
		session := wire.NewSession(conn, true, wire.Options{})
		if _, err := session.Call(t.Context(), "join", append([]byte("gpj1.wrong\n"), csr...)); wire.CodeOf(err) != wire.Unauthorized {
			t.Errorf("a wrong token: %v", err)
		}
		cert, err := session.Call(t.Context(), "join", append([]byte(text+"\n"), csr...))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := session.Call(t.Context(), "hello", nil); wire.CodeOf(err) != wire.NotFound {
			t.Errorf("without a certificate: %v", err)
		}
		session.Close()

		keyPEM, err := pki.EncodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		creds, err := pki.NewCredentials(cert, keyPEM, ca.CertPEM())
		if err != nil {
			t.Fatal(err)
		}
		hello := func() error {
			conn, peer, err := wire.Client(t.Context(), network.dial(t), wire.RPC, creds, pki.Want{Kind: pki.Coordinator})
			if err != nil {
				return err
			}
			s := wire.NewSession(conn, true, wire.Options{Peer: peer})
			defer s.Close()
			_, err = s.Call(t.Context(), "hello", nil)
			if wire.CodeOf(err) != wire.Unauthorized {
				return err
			}
			csr, csrErr := creds.CSR()
			if csrErr != nil {
				return csrErr
			}
			renewed, renewErr := s.Call(t.Context(), "renew", csr)
			if renewErr != nil {
				return renewErr
			}
			if installErr := creds.Install(renewed, ca.CertPEM()); installErr != nil {
				return installErr
			}
			return err
		}
		if err := hello(); err != nil {
			t.Errorf("a new member: %v", err)
		}

		stop() // the whole fleet is off
		time.Sleep(21 * 24 * time.Hour)
		network, stop = coordinator(t, ca, token.Hash()) // a coordinator holds the CA's key, and renews for itself
		defer stop()
		if err := hello(); wire.CodeOf(err) != wire.Unauthorized || !strings.Contains(err.Error(), "renewed") {
			t.Errorf("after three weeks: %v", err)
		}
		if err := hello(); err != nil {
			t.Errorf("after renewing: %v", err)
		}
	})
}

// coordinator runs a coordinator that knows one join token.
func coordinator(t *testing.T, ca *pki.CA, known pki.TokenHash) (network *memory, stop func()) {
	creds := issue(t, ca, pki.Coordinator, "coord-1", time.Now())
	joinMux, mux := wire.NewMux(), wire.NewMux()
	joinMux.Handle("join", func(_ context.Context, _ wire.Peer, body []byte) ([]byte, error) {
		text, csr, _ := strings.Cut(string(body), "\n")
		token, err := pki.ParseJoin(text)
		if err != nil || !known.Matches(token.Hash()) {
			return nil, wire.Errorf(wire.Unauthorized, "the token is not known here")
		}
		return ca.Sign([]byte(csr), pki.Identity{Fleet: ca.Fleet(), Kind: token.Kind, Name: token.Name}, time.Now())
	})
	mux.Handle("hello", echo)
	mux.Handle("renew", func(_ context.Context, peer wire.Peer, csr []byte) ([]byte, error) {
		return ca.Sign(csr, peer.Identity, time.Now())
	})
	mux.AllowExpired("renew")

	server := wire.NewServer(wire.ServerOptions{Credentials: creds})
	sessions := func(mux *wire.Mux) wire.ConnHandler {
		return func(ctx context.Context, conn *tls.Conn, peer wire.Peer) error {
			s := wire.NewSession(conn, false, wire.Options{Peer: peer, Mux: mux})
			defer s.Close()
			select {
			case <-s.Done():
			case <-ctx.Done():
			}
			return nil
		}
	}
	server.Handle(wire.Join, wire.Anonymous, sessions(joinMux))
	server.Handle(wire.RPC, wire.MutualOrExpired, sessions(mux))
	network = newMemory()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Serve(ctx, network) }()
	return network, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
