package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Credentials are what a process of the fleet shows and checks: its own certificate and key, and the fleet's CA.
// They are replaced while in use when the certificate is renewed. All methods may be called from several goroutines.
type Credentials struct {
	id    Identity
	key   *ecdsa.PrivateKey
	now   atomic.Pointer[material]
	check atomic.Pointer[func(Peer) error]
}

// material is what a renewal replaces, at once.
type material struct {
	own   *tls.Certificate
	roots *x509.CertPool
}

// NewCredentials puts together a certificate (PEM, what follows it is the CA's), its key and the fleet's CA certificates.
// A certificate that has expired is taken: it may still be renewed.
func NewCredentials(certPEM, keyPEM, caPEM []byte) (*Credentials, error) {
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("own key: %w", err)
	}
	certs, err := parseCerts(certPEM)
	if err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	id, err := identityOf(certs[0])
	if err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	c := &Credentials{id: id, key: key}
	if err := c.Install(certPEM, caPEM); err != nil {
		return nil, err
	}
	return c, nil
}

// Install replaces the certificate and the CA's, for every handshake from now on, if Check finds nothing wrong with them.
func (c *Credentials) Install(certPEM, caPEM []byte) error {
	m, err := c.assemble(certPEM, caPEM)
	if err != nil {
		return err
	}
	c.now.Store(m)
	return nil
}

// Check reports what keeps a certificate from being installed: it must be of the same identity and key, be signed by the CA, and
// not end before the one in use.
func (c *Credentials) Check(certPEM, caPEM []byte) error {
	_, err := c.assemble(certPEM, caPEM)
	return err
}

func (c *Credentials) assemble(certPEM, caPEM []byte) (*material, error) {
	certs, err := parseCerts(certPEM)
	if err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	cas, err := parseCerts(caPEM)
	if err != nil {
		return nil, fmt.Errorf("the CA's certificate: %w", err)
	}
	leaf := certs[0]
	if !c.key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("own certificate: it is not for this key")
	}
	roots := x509.NewCertPool()
	own := &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: c.key, Leaf: leaf}
	for _, ca := range cas {
		if fleet, err := fleetOf(ca); err != nil {
			return nil, fmt.Errorf("the CA's certificate: %w", err)
		} else if fleet != c.id.Fleet {
			return nil, fmt.Errorf("the CA's certificate: %w: it is of fleet %s", ErrForeign, fleet)
		}
		roots.AddCert(ca)
		if leaf.CheckSignatureFrom(ca) == nil {
			// The CA's certificate goes with ours: a joiner that knows only its pin must see it.
			own.Certificate = append(own.Certificate, ca.Raw)
		}
	}
	peer, err := verify(certs, roots, c.id.Fleet, x509.ExtKeyUsageClientAuth, leaf.NotAfter, 0)
	if err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	if peer.Identity != c.id {
		return nil, fmt.Errorf("own certificate: it is for %s, not %s", peer.Identity, c.id)
	}
	if old := c.now.Load(); old != nil && leaf.NotAfter.Before(old.own.Leaf.NotAfter) {
		return nil, errors.New("own certificate: it ends before the one in use")
	}
	return &material{own: own, roots: roots}, nil
}

// Identity returns whom these credentials speak for.
func (c *Credentials) Identity() Identity { return c.id }

// Key returns the SHA-256 of the own public key in hex.
func (c *Credentials) Key() string { return keyDigest(c.now.Load().own.Leaf) }

// Certificate returns the certificate to show in a handshake now. Do not change it.
func (c *Credentials) Certificate() *tls.Certificate { return c.now.Load().own }

// SetCheck sets a further check of every peer whose certificate is in order: whether it has been revoked. It is called in
// handshakes, concurrently, and must not block.
func (c *Credentials) SetCheck(check func(Peer) error) { c.check.Store(&check) }

// CSR returns a request to renew the certificate, for the same key: renewing then replaces one file, which is atomic,
// and a crash can't leave a key beside the certificate of another.
func (c *Credentials) CSR() ([]byte, error) { return NewCSR(c.key, c.id.Name) }

// VerifyClient returns whom the certificates of a client speak for. With grace, one that expired no longer than Grace ago
// is accepted, too, and marked so.
func (c *Credentials) VerifyClient(chain []*x509.Certificate, grace bool) (Peer, error) {
	allowed := time.Duration(0)
	if grace {
		allowed = Grace
	}
	return c.verify(chain, x509.ExtKeyUsageClientAuth, allowed)
}

// VerifyServer returns whom the certificates of a server speak for, if that is whom the caller wants.
func (c *Credentials) VerifyServer(chain []*x509.Certificate, want Want) (Peer, error) {
	peer, err := c.verify(chain, x509.ExtKeyUsageServerAuth, 0)
	if err != nil {
		return Peer{}, err
	}
	if err := want.check(peer.Identity); err != nil {
		return Peer{}, err
	}
	return peer, nil
}

func (c *Credentials) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage, grace time.Duration) (Peer, error) {
	peer, err := verify(chain, c.now.Load().roots, c.id.Fleet, usage, time.Now(), grace)
	if err != nil {
		return Peer{}, err
	}
	if check := c.check.Load(); check != nil {
		if err := (*check)(peer); err != nil {
			return Peer{}, fmt.Errorf("%s: %w", peer.Identity, err)
		}
	}
	return peer, nil
}
