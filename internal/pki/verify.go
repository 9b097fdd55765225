package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Why a certificate is not accepted; errors of verification wrap one of these.
var (
	ErrExpired     = errors.New("certificate has expired")
	ErrNotYetValid = errors.New("certificate is not valid yet")
	ErrForeign     = errors.New("certificate is not of this fleet")
	ErrWrongPeer   = errors.New("certificate speaks for another")
)

// Want says whom a dialler expects at the other end. An empty name is any of the kind; an empty kind is anyone of the fleet.
type Want struct {
	Kind Kind
	Name string
}

func (w Want) check(id Identity) error {
	if (w.Kind != "" && w.Kind != id.Kind) || (w.Name != "" && w.Name != id.Name) {
		return fmt.Errorf("%w: wanted %s %s, reached %s", ErrWrongPeer, w.Kind, w.Name, id)
	}
	return nil
}

// verify checks a chain as TLS presented it, whose first certificate's key the peer has proved to hold.
func verify(chain []*x509.Certificate, roots *x509.CertPool, fleet string, usage x509.ExtKeyUsage, now time.Time, grace time.Duration) (Peer, error) {
	if len(chain) == 0 {
		return Peer{}, fmt.Errorf("%w: there is none", ErrForeign)
	}
	leaf := chain[0]
	at, expired := now, false
	switch late := now.Sub(leaf.NotAfter); {
	case now.Before(leaf.NotBefore):
		return Peer{}, fmt.Errorf("%w: it is from %s, here it is %s; set the clocks right", ErrNotYetValid, stamp(leaf.NotBefore), stamp(now))
	case late > grace:
		return Peer{}, fmt.Errorf("%w: on %s; here it is %s; set the clocks right or, where they are, join again with a token", ErrExpired, stamp(leaf.NotAfter), stamp(now))
	case late > 0:
		at, expired = leaf.NotAfter, true
	}
	// No intermediates: the CA signs every certificate itself, so nothing else that the peer sent is looked at.
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return Peer{}, foreign(leaf, fleet, err)
	}
	id, err := identityOf(leaf)
	if err != nil {
		return Peer{}, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if leaf.IsCA || id.Fleet != fleet {
		return Peer{}, foreign(leaf, fleet, errors.New("this CA has signed it for something else"))
	}
	return Peer{Identity: id, Cert: leaf, ExpiredGrace: expired}, nil
}

// foreign says whose a certificate claims to be that is not of the fleet.
func foreign(leaf *x509.Certificate, fleet string, err error) error {
	if id, none := identityOf(leaf); none == nil && id.Fleet != fleet {
		return fmt.Errorf("%w: it says %s of fleet %s, here it is %s; whoever is to belong here joins with a token of this fleet: glidepath token create --role %s (%w)", ErrForeign, id, id.Fleet, fleet, id.Kind, err)
	}
	return fmt.Errorf("%w: %w", ErrForeign, err)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
