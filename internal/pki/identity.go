// Package pki is the fleet's trust: its certificate authority, who a certificate speaks for, tokens, and renewal.
package pki

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Kind is what a process of the fleet is.
type Kind string

// The kinds that certificates are issued for.
const (
	Agent       Kind = "agent"
	Coordinator Kind = "coordinator"
)

// Valid reports whether k is a kind that certificates are issued for.
func (k Kind) Valid() bool { return k == Agent || k == Coordinator }

// MaxName is the length of the longest name of a host or a coordinator, in bytes: that of a DNS label.
const MaxName = 63

// maxFleet bounds a fleet ID before it is looked at; ours have 16 characters.
const maxFleet = 32

const (
	uriScheme = "glidepath"
	// dnsZone is under .internal, which is reserved for private use and can never be a public name.
	dnsZone = ".glidepath.internal"
)

// Identity says whom a certificate speaks for.
type Identity struct {
	Fleet string
	Kind  Kind
	Name  string
}

// String returns the identity for people: "agent host-a".
func (i Identity) String() string {
	if i == (Identity{}) {
		return "someone without a certificate"
	}
	return string(i.Kind) + " " + i.Name
}

// Validate reports what is wrong with the identity.
func (i Identity) Validate() error {
	if !i.Kind.Valid() {
		return fmt.Errorf("%q is neither agent nor coordinator", i.Kind)
	}
	if err := CheckName(i.Name); err != nil {
		return err
	}
	if i.Fleet == "" || len(i.Fleet) > maxFleet || strings.ContainsFunc(i.Fleet, notNameByte) {
		return fmt.Errorf("%.40q is no fleet ID", i.Fleet)
	}
	return nil
}

const nameBytes = "abcdefghijklmnopqrstuvwxyz0123456789-"

// CheckName reports whether name can be the name of a host or a coordinator: a lower-case DNS label.
// Anything wider would have to be escaped in URIs, DNS names, file names and metrics, each in its own way.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > MaxName:
		return fmt.Errorf("the name %.20q… is longer than %d bytes", name, MaxName)
	case strings.ContainsFunc(name, notNameByte):
		return fmt.Errorf("the name %q has other characters than a-z, 0-9 and -", name)
	case name[0] == '-' || name[len(name)-1] == '-':
		return fmt.Errorf("the name %q begins or ends with -", name)
	}
	return nil
}

func notNameByte(r rune) bool { return !strings.ContainsRune(nameBytes, r) }

// URI returns the form that stands in the certificate: glidepath://FLEET/KIND/NAME.
func (i Identity) URI() *url.URL {
	return &url.URL{Scheme: uriScheme, Host: i.Fleet, Path: "/" + string(i.Kind) + "/" + i.Name}
}

// DNSName returns NAME.KIND.glidepath.internal, for libraries that want a host name in a certificate. Nothing here trusts it.
func (i Identity) DNSName() string { return i.Name + "." + string(i.Kind) + dnsZone }

// ParseURI reads what URI wrote, and nothing else.
func ParseURI(u *url.URL) (Identity, error) {
	kind, name, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	id := Identity{Fleet: u.Host, Kind: Kind(kind), Name: name}
	if !ok || id.Validate() != nil || *u != *id.URI() {
		return Identity{}, fmt.Errorf("%.200q is no identity of a fleet", u.String())
	}
	return id, nil
}

// Peer is whom a verified certificate speaks for.
type Peer struct {
	Identity
	Cert *x509.Certificate
	// ExpiredGrace says that the certificate has expired, but not longer ago than Grace: it may be renewed and serves nothing else.
	ExpiredGrace bool
}

// Key returns the SHA-256 of the peer's public key in hex, "" for a peer without a certificate. A renewal keeps the key; who joins anew has another.
func (p Peer) Key() string {
	if p.Cert == nil {
		return ""
	}
	return keyDigest(p.Cert)
}

// KeyOf returns the SHA-256, in hex, of the public key in the first certificate of a PEM text.
func KeyOf(certPEM []byte) (string, error) {
	certs, err := parseCerts(certPEM)
	if err != nil {
		return "", err
	}
	return keyDigest(certs[0]), nil
}

func keyDigest(cert *x509.Certificate) string {
	sum := pinOf(cert)
	return hex.EncodeToString(sum[:])
}

// identityOf reads the one identity that a certificate of the fleet has.
func identityOf(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 {
		return Identity{}, fmt.Errorf("the certificate has %d URIs, not one identity", len(cert.URIs))
	}
	return ParseURI(cert.URIs[0])
}
