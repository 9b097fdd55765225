package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func mustFleet(t testing.TB, now time.Time) *CA {
	t.Helper()
	ca, err := NewFleet(now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func mustIssue(t testing.TB, ca *CA, kind Kind, name string, now time.Time) *Credentials {
	t.Helper()
	node, err := ca.Issue(kind, name, now)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := node.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

func chainOf(c *Credentials) []*x509.Certificate {
	var chain []*x509.Certificate
	for _, der := range c.Certificate().Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		chain = append(chain, cert)
	}
	return chain
}

func TestCertificateIsAcceptedFromBackdateToExpiryAndThenForRenewalOnly(t *testing.T) {
	ca := mustFleet(t, noon.Add(-24*time.Hour))
	creds := mustIssue(t, ca, Agent, "host-a", noon)
	chain, roots := chainOf(creds), creds.now.Load().roots
	for _, c := range []struct {
		after time.Duration // since the issue
		grace time.Duration
		want  error
		late  bool
	}{
		{-time.Hour - time.Second, 0, ErrNotYetValid, false},
		{-59 * time.Minute, 0, nil, false},
		{0, 0, nil, false},
		{24 * time.Hour, 0, nil, false},
		{24*time.Hour + time.Second, 0, ErrExpired, false},
		{24 * time.Hour, Grace, nil, false},
		{24*time.Hour + time.Second, Grace, nil, true},
		{31 * 24 * time.Hour, Grace, nil, true},
		{31*24*time.Hour + time.Second, Grace, ErrExpired, false},
	} {
		peer, err := verify(chain, roots, ca.Fleet(), x509.ExtKeyUsageClientAuth, noon.Add(c.after), c.grace)
		if !errors.Is(err, c.want) || (err == nil && (peer.ExpiredGrace != c.late || peer.Name != "host-a")) {
			t.Errorf("after %v, grace %v: %+v, %v; want %v", c.after, c.grace, peer.ExpiredGrace, err, c.want)
		}
	}
}

func TestOnlyCertificatesOfThisFleetAreAccepted(t *testing.T) {
	ca, other := mustFleet(t, noon), mustFleet(t, noon)
	creds := mustIssue(t, ca, Agent, "host-a", noon)
	foreign := mustIssue(t, other, Agent, "host-a", noon)
	for name, chain := range map[string][]*x509.Certificate{
		"none":                  nil,
		"another fleet's":       chainOf(foreign),
		"the CA's own":          {ca.cert},
		"signed by an agent":    {forge(t, creds.key, creds.Certificate().Leaf, ca.fleet), creds.Certificate().Leaf},
		"with two identities":   {signed(t, ca, Identity{ca.fleet, Agent, "a"}.URI(), Identity{ca.fleet, Agent, "b"}.URI())},
		"without identity":      {signed(t, ca)},
		"with another fleet":    {signed(t, ca, Identity{other.fleet, Agent, "a"}.URI())},
		"with an unknown kind":  {signed(t, ca, Identity{ca.fleet, "root", "a"}.URI())},
		"with a name like a/b":  {signed(t, ca, Identity{ca.fleet, Agent, "a/b"}.URI())},
		"with a port in its ID": {signed(t, ca, &url.URL{Scheme: uriScheme, Host: ca.fleet + ":1", Path: "/agent/a"})},
		"with a query":          {signed(t, ca, &url.URL{Scheme: uriScheme, Host: ca.fleet, Path: "/agent/a", RawQuery: "x"})},
	} {
		if peer, err := verify(chain, creds.now.Load().roots, ca.fleet, x509.ExtKeyUsageClientAuth, noon, 0); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: accepted as %s: %v", name, peer.Identity, err)
		}
	}
	_, err := verify(chainOf(foreign), creds.now.Load().roots, ca.fleet, x509.ExtKeyUsageClientAuth, noon, 0)
	for _, says := range []string{"agent", "host-a", other.fleet, ca.fleet, "glidepath token create"} {
		if !strings.Contains(fmt.Sprint(err), says) {
			t.Errorf("%v: it does not say %q", err, says)
		}
	}
}

// signed returns a certificate that the CA itself made, with any URIs.
func signed(t *testing.T, ca *CA, uris ...*url.URL) *x509.Certificate {
	return make509(t, ca.cert, ca.key, uris)
}

// forge returns a certificate for a coordinator that a key other than the CA's signed.
func forge(t *testing.T, key *ecdsa.PrivateKey, parent *x509.Certificate, fleet string) *x509.Certificate {
	return make509(t, parent, key, []*url.URL{Identity{fleet, Coordinator, "evil"}.URI()})
}

func make509(t *testing.T, parent *x509.Certificate, key *ecdsa.PrivateKey, uris []*url.URL) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), URIs: uris, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, parent, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestSignTakesNothingButTheKeyFromARequest(t *testing.T) {
	ca := mustFleet(t, noon)
	id := Identity{ca.fleet, Agent, "host-a"}
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request := func(csr x509.CertificateRequest) []byte {
		if csr.Subject.CommonName == "" {
			csr.Subject.CommonName = id.Name
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, &csr, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	sound := request(x509.CertificateRequest{URIs: []*url.URL{id.URI()}, DNSNames: []string{id.DNSName()}, Subject: pkix.Name{Organization: []string{"root"}}})
	certPEM, err := ca.Sign(sound, id, noon)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := parseCerts(certPEM)
	if err != nil || len(certs) != 2 {
		t.Fatalf("%d certificates, %v; want its own and the CA's", len(certs), err)
	}
	if got := certs[0]; got.IsCA || got.Subject.Organization[0] == "root" || !key.PublicKey.Equal(got.PublicKey) || got.NotAfter != noon.Add(Lifetime) {
		t.Errorf("issued %+v", got.Subject)
	}

	for name, csr := range map[string]x509.CertificateRequest{
		"another name":     {Subject: pkix.Name{CommonName: "host-b"}},
		"another identity": {URIs: []*url.URL{Identity{ca.fleet, Coordinator, "host-a"}.URI()}},
		"a further one":    {URIs: []*url.URL{id.URI(), Identity{ca.fleet, Agent, "host-b"}.URI()}},
		"a host name":      {DNSNames: []string{"example.com"}},
		"an address":       {IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}},
		"a mail address":   {EmailAddresses: []string{"root@example.com"}},
	} {
		if _, err := ca.Sign(request(csr), id, noon); !errors.Is(err, ErrForeignIdentity) {
			t.Errorf("%s: %v", name, err)
		}
	}

	broken := bytes.Clone(sound)
	broken[len(broken)-1] ^= 1
	small, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherCurve, err := NewCSR(small, id.Name)
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{
		"a broken signature": broken, "another curve": otherCurve, "nothing": nil, "too much": make([]byte, maxCSR+1),
	} {
		if _, err := ca.Sign(der, id, noon); err == nil {
			t.Errorf("%s was signed", name)
		}
	}
	for name, bad := range map[string]Identity{
		"another fleet": {"other", Agent, "host-a"}, "no kind": {ca.fleet, "", "host-a"}, "no name": {ca.fleet, Agent, ""},
	} {
		if _, err := ca.Sign(sound, bad, noon); err == nil {
			t.Errorf("%s was signed", name)
		}
	}
	if _, err := ca.Sign(sound, id, noon.Add(CALifetime)); err == nil || !strings.Contains(err.Error(), "CA expired") {
		t.Errorf("after the CA's end: %v", err)
	}
}

func TestNamesAreLowerCaseLabels(t *testing.T) {
	for _, good := range []string{"a", "host-a", "0", "cache-1", strings.Repeat("a", 63)} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "-a", "a-", "A", "a.b", "a/b", "a b", "é", "a\x00", strings.Repeat("a", 64), "../x"} {
		if CheckName(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseURIGivesBackWhatItRead(f *testing.F) {
	f.Add("glidepath://abc234/agent/host-a")
	f.Add("glidepath://abc234/coordinator/%61")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		if id, err := ParseURI(u); err == nil && id.URI().String() != text {
			t.Errorf("%q was read as %q", text, id.URI())
		}
	})
}

// handshake runs a TLS handshake between a joiner with the pin and a server with the credentials.
func joinHandshake(t *testing.T, pin Pin, server *Credentials) error {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer b.Close()
		conn := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{*server.Certificate()}})
		if conn.Handshake() == nil {
			_, _ = conn.Write([]byte("x"))
		}
	}()
	err := tls.Client(a, JoinTLS(pin)).Handshake()
	a.Close()
	<-done
	return err
}

func TestJoinerBelievesOnlyACoordinatorUnderThePin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		ca, other := mustFleet(t, now), mustFleet(t, now)
		coordinator := mustIssue(t, ca, Coordinator, "coord-1", now)
		if err := joinHandshake(t, ca.Pin(), coordinator); err != nil {
			t.Errorf("a coordinator: %v", err)
		}
		if err := joinHandshake(t, ca.Pin(), mustIssue(t, other, Coordinator, "coord-1", now)); !errors.Is(err, ErrPin) {
			t.Errorf("another fleet: %v", err)
		}
		// An agent has a certificate of the fleet, and must not be able to pose as a coordinator.
		if err := joinHandshake(t, ca.Pin(), mustIssue(t, ca, Agent, "host-a", now)); !errors.Is(err, ErrWrongPeer) {
			t.Errorf("an agent: %v", err)
		}
		// Somebody in between shows the true CA's certificate after one of his own.
		evil := mustIssue(t, other, Coordinator, "coord-1", now)
		evil.Certificate().Certificate = [][]byte{evil.Certificate().Leaf.Raw, ca.cert.Raw}
		if err := joinHandshake(t, ca.Pin(), evil); !errors.Is(err, ErrForeign) {
			t.Errorf("somebody in between: %v", err)
		}
		time.Sleep(Lifetime + time.Minute)
		if err := joinHandshake(t, ca.Pin(), coordinator); !errors.Is(err, ErrExpired) {
			t.Errorf("an expired coordinator: %v", err)
		}
	})
}

func TestCredentialsMustFitTogether(t *testing.T) {
	ca, other := mustFleet(t, noon), mustFleet(t, noon)
	a, err := ca.Issue(Agent, "host-a", noon)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ca.Issue(Agent, "host-a", noon)
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]Node{
		"the key of another":   {Cert: a.Cert, Key: b.Key, CA: a.CA},
		"the CA of another":    {Cert: a.Cert, Key: a.Key, CA: other.CertPEM()},
		"no CA":                {Cert: a.Cert, Key: a.Key},
		"no CA but a leaf":     {Cert: a.Cert, Key: a.Key, CA: b.Cert},
		"a key as certificate": {Cert: a.Key, Key: a.Key, CA: a.CA},
		"a CA as identity":     {Cert: a.CA, Key: a.Key, CA: a.CA},
	} {
		if _, err := n.Credentials(); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	creds, err := a.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := creds.CSR()
	if err != nil {
		t.Fatal(err)
	}
	later, err := ca.Sign(csr, creds.Identity(), noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := creds.Install(later, a.CA); err != nil {
		t.Fatal(err)
	}
	if got := creds.Certificate().Leaf.NotAfter; !got.Equal(noon.Add(25 * time.Hour)) {
		t.Errorf("in use until %v", got)
	}
	if err := creds.Install(a.Cert, a.CA); err == nil {
		t.Error("an older certificate replaced a newer one")
	}
}
