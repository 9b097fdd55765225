package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
)

// Lifetimes.
const (
	CALifetime = 10 * 365 * 24 * time.Hour
	Lifetime   = 24 * time.Hour
	// Grace is how long after its expiry a certificate may still be used for one thing: to be renewed.
	Grace = 30 * 24 * time.Hour
	// Backdate is how far before the moment of issue a certificate begins to be valid. Bare-metal hosts boot with clocks that are an hour wrong
	// (daylight saving time in a hardware clock), and could otherwise not join the fleet that would tell them. It gives a
	// thief nothing: before the issue there was no key to steal.
	Backdate = time.Hour
)

// maxCSR bounds a certificate request before it is parsed; one of ours has about 300 bytes.
const maxCSR = 8 << 10

// ErrForeignIdentity is what Sign's error wraps when a request asks for more than, or something else than, the identity it may have.
var ErrForeignIdentity = errors.New("the request names another identity")

// Pin is the SHA-256 of a CA's public key (its SubjectPublicKeyInfo).
type Pin [sha256.Size]byte

func pinOf(cert *x509.Certificate) Pin { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// CA is a fleet's certificate authority with its key. Every coordinator holds it.
type CA struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	fleet string
}

// NewFleet makes the CA of a new fleet, whose ID is random.
func NewFleet(now time.Time) (*CA, error) {
	var id [10]byte
	rand.Read(id[:])
	fleet := strings.ToLower(base32.StdEncoding.EncodeToString(id[:]))
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Glidepath"}, CommonName: "Fleet " + fleet},
		URIs:                  []*url.URL{{Scheme: uriScheme, Host: fleet, Path: "/ca"}},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(CALifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // certificates are signed by the CA itself, never by one in between
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make the fleet's CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the fleet's CA: %w", err)
	}
	return &CA{cert: cert, key: key, fleet: fleet}, nil
}

// ParseCA reads a CA from PEM.
func ParseCA(certPEM, keyPEM []byte) (*CA, error) {
	certs, err := parseCerts(certPEM)
	if err != nil {
		return nil, fmt.Errorf("the CA's certificate: %w", err)
	}
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the CA's key: %w", err)
	}
	for _, cert := range certs { // a bundle may hold the CA before this one, too
		if key.PublicKey.Equal(cert.PublicKey) {
			fleet, err := fleetOf(cert)
			if err != nil {
				return nil, err
			}
			return &CA{cert: cert, key: key, fleet: fleet}, nil
		}
	}
	return nil, errors.New("the CA's key belongs to none of the CA's certificates")
}

// fleetOf returns the fleet that a CA certificate is for.
func fleetOf(cert *x509.Certificate) (string, error) {
	if !cert.IsCA || len(cert.URIs) != 1 || cert.URIs[0].Scheme != uriScheme || cert.URIs[0].Path != "/ca" {
		return "", errors.New("the certificate is not that of a fleet's CA")
	}
	return cert.URIs[0].Host, nil
}

// Fleet returns the fleet's ID.
func (ca *CA) Fleet() string { return ca.fleet }

// Pin returns what join tokens carry, so that a joiner knows the fleet's CA when it sees it.
func (ca *CA) Pin() Pin { return pinOf(ca.cert) }

// CertPEM returns the CA's certificate.
func (ca *CA) CertPEM() []byte { return encodeCerts(ca.cert.Raw) }

// KeyPEM returns the CA's key: whoever has it rules the fleet.
func (ca *CA) KeyPEM() ([]byte, error) { return EncodeKey(ca.key) }

// Sign issues a certificate for id to whoever holds the key of the request (PKCS #10, DER), and returns it with the CA's
// after it, as PEM. Nothing but the public key is taken from the request; names in it that are not id's make it refused (ErrForeignIdentity).
// Whether the requester may be id is for the caller to know, by a token or by the certificate it has.
func (ca *CA) Sign(csrDER []byte, id Identity, now time.Time) ([]byte, error) {
	if err := id.Validate(); err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	if id.Fleet != ca.fleet {
		return nil, fmt.Errorf("sign a certificate for %s: it is of fleet %s, this CA of %s", id, id.Fleet, ca.fleet)
	}
	key, err := checkCSR(csrDER, id)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", id, err)
	}
	if !now.Before(ca.cert.NotAfter) {
		return nil, fmt.Errorf("sign a certificate for %s: the fleet's CA expired on %s", id, ca.cert.NotAfter.UTC().Format(time.DateOnly))
	}
	expiry := now.Add(Lifetime)
	if expiry.After(ca.cert.NotAfter) {
		expiry = ca.cert.NotAfter
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{Organization: []string{"Glidepath"}, CommonName: id.Name},
		URIs:         []*url.URL{id.URI()},
		DNSNames:     []string{id.DNSName()},
		NotBefore:    now.Add(-Backdate),
		NotAfter:     expiry,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		// Both: agents are servers, too, for bulk data; coordinators dial each other.
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", id, err)
	}
	return encodeCerts(der, ca.cert.Raw), nil
}

// checkCSR returns the public key of a request that is sound and asks for nothing but id.
func checkCSR(der []byte, id Identity) (*ecdsa.PublicKey, error) {
	if len(der) > maxCSR {
		return nil, fmt.Errorf("the request has %d bytes, more than %d", len(der), maxCSR)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("the request is not readable: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the request was not signed by its own key: %w", err)
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the request's key is not ECDSA P-256")
	}
	if csr.Subject.CommonName != id.Name {
		return nil, fmt.Errorf("%w: %.80q", ErrForeignIdentity, csr.Subject.CommonName)
	}
	for _, u := range csr.URIs {
		if *u != *id.URI() {
			return nil, fmt.Errorf("%w: %.80q", ErrForeignIdentity, u.String())
		}
	}
	for _, d := range csr.DNSNames {
		if d != id.DNSName() {
			return nil, fmt.Errorf("%w: %.80q", ErrForeignIdentity, d)
		}
	}
	if len(csr.IPAddresses)+len(csr.EmailAddresses) > 0 {
		return nil, fmt.Errorf("%w: addresses", ErrForeignIdentity)
	}
	return key, nil
}

// NewKey makes a private key: ECDSA on P-256, which every TLS 1.3 implementation must know (RFC 8446, 9.1).
func NewKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

// NewCSR returns a request (PKCS #10, DER) for a certificate of the given name. The key stays where it is.
func NewCSR(key crypto.Signer, name string) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return der, nil
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f // positive, and at most 20 bytes (RFC 5280, 4.1.2.2)
	return new(big.Int).SetBytes(b)
}

// EncodeKey returns a private key as PEM (PKCS #8).
func EncodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads what EncodeKey wrote.
func ParseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it is no private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("it is no private key: %w", err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, errors.New("it is no ECDSA P-256 key")
	}
	return ec, nil
}

func encodeCerts(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// maxCerts is how many certificates a file or an answer may have.
const maxCerts = 8

func parseCerts(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it has a %s where a certificate should be", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if certs = append(certs, cert); len(certs) > maxCerts {
			return nil, fmt.Errorf("it has more than %d certificates", maxCerts)
		}
	}
	if len(certs) == 0 {
		return nil, errors.New("it has no certificate in PEM")
	}
	return certs, nil
}
