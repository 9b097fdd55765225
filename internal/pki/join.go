package pki

import (
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ErrPin is what a handshake wraps when the other end is not under the pinned CA: an old token, another fleet, or somebody in between.
var ErrPin = errors.New("the other end is not of the fleet that the token is for")

// JoinTLS returns the configuration of a client that knows of the fleet only its CA's pin: a host or coordinator that joins, or a CLI.
// The server must be a coordinator under the pinned CA. The caller adds NextProtos.
func JoinTLS(pin Pin) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Safe although it says otherwise: crypto/tls then checks no chain and no host name, and VerifyConnection, which runs in
		// every handshake, does what is right here: the chain must lead to the one CA whose key has the pinned hash, which came with the token.
		// That the server holds the certificate's key crypto/tls checks in any case.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyPinned(state.PeerCertificates, pin, time.Now())
		},
	}
}

// verifyPinned checks that a chain is of a coordinator under the CA with the given pin, which must be in the chain.
func verifyPinned(chain []*x509.Certificate, pin Pin, now time.Time) error {
	if len(chain) == 0 || len(chain) > maxCerts {
		return fmt.Errorf("%w: it showed %d certificates", ErrPin, len(chain))
	}
	for _, ca := range chain[1:] {
		hash := pinOf(ca)
		if subtle.ConstantTimeCompare(hash[:], pin[:]) != 1 {
			continue
		}
		fleet, err := fleetOf(ca)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrPin, err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		peer, err := verify(chain, roots, fleet, x509.ExtKeyUsageServerAuth, now, 0)
		if err != nil {
			return err
		}
		return Want{Kind: Coordinator}.check(peer.Identity)
	}
	return ErrPin
}
