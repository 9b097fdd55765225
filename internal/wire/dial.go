package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/glidepath/glidepath/internal/pki"
)

// HandshakeTimeout bounds a TLS handshake, on both sides.
const HandshakeTimeout = 10 * time.Second

// Dial connects to addr and returns the connection when the other end has proved to be whom want says.
//
// TLS 1.3 lets a client finish before the server has judged the client's certificate: a server that refuses it shows in the first read.
func Dial(ctx context.Context, addr, alpn string, creds *pki.Credentials, want pki.Want) (*tls.Conn, Peer, error) {
	raw, err := dialTCP(ctx, addr)
	if err != nil {
		return nil, Peer{}, err
	}
	return Client(ctx, raw, alpn, creds, want)
}

// Client is Dial on a connection that exists already; it owns and, on an error, closes it.
func Client(ctx context.Context, raw net.Conn, alpn string, creds *pki.Credentials, want pki.Want) (*tls.Conn, Peer, error) {
	var peer Peer
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{alpn},
		// The certificate is checked by VerifyConnection, against the fleet's CA alone and for the identity in its URI;
		// what crypto/tls would do instead is to compare a host name, which says nothing here.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) (err error) {
			peer, err = creds.VerifyServer(state.PeerCertificates, want)
			return err
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return creds.Certificate(), nil
		},
	}
	conn, err := handshake(ctx, raw, alpn, config)
	if err != nil {
		return nil, Peer{}, err
	}
	return conn, peer, nil
}

// DialJoin connects to a coordinator of which only the CA's pin is known. The connection has shown no certificate of this side.
func DialJoin(ctx context.Context, addr string, pin pki.Pin) (*tls.Conn, error) {
	raw, err := dialTCP(ctx, addr)
	if err != nil {
		return nil, err
	}
	return ClientJoin(ctx, raw, pin)
}

// ClientJoin is DialJoin on a connection that exists already; it owns and, on an error, closes it.
func ClientJoin(ctx context.Context, raw net.Conn, pin pki.Pin) (*tls.Conn, error) {
	config := pki.JoinTLS(pin)
	config.NextProtos = []string{Join}
	return handshake(ctx, raw, Join, config)
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, HandshakeTimeout)
	defer cancel()
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr) // a *net.OpError, which says all
}

func handshake(ctx context.Context, raw net.Conn, alpn string, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, HandshakeTimeout)
	defer cancel()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("handshake with %s for %s: %w", addrOf(raw), alpn, err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != alpn {
		_ = raw.Close()
		return nil, fmt.Errorf("handshake with %s: it speaks %q, not %q", addrOf(raw), got, alpn)
	}
	return conn, nil
}
