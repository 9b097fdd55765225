package feeds

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/glidepath/glidepath/coordinator/calendar"
)

// What a fetch may take.
const (
	fetchTime    = 30 * time.Second // from the first connection to the last byte
	connectTime  = 10 * time.Second
	maxBody      = 8 << 20  // bytes, after it was unpacked
	maxHeader    = 64 << 10 // bytes
	maxRedirects = 5
	maxValidator = 512 // bytes of an ETag or a time that is remembered
	maxWords     = 300 // bytes of an error
)

// Fetcher fetches calendars. It keeps no connection and no cookie, and asks no proxy.
type Fetcher struct {
	transport *http.Transport
	time      time.Duration
	most      int64
}

// NewFetcher returns one that connects to no address that is known to answer for whatever host it runs on, or for the cloud that it runs in, and to none of those that own
// returns: those of the coordinators' hosts. It is asked with every connection, and called concurrently.
func NewFetcher(own func() []netip.Addr) *Fetcher {
	return newFetcher(func(a netip.Addr) string {
		if what := refused(a); what != "" {
			return what
		}
		if slices.Contains(own(), bare(a)) {
			return "a coordinator's host"
		}
		return ""
	}, nil)
}

func newFetcher(refused func(netip.Addr) string, roots *x509.CertPool) *Fetcher {
	dialer := &net.Dialer{
		Timeout: connectTime,
		// Here the name has been looked up: what it meant a moment ago does not count.
		Control: func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return faultf("its address can't be told")
			}
			if what := refused(at.Addr()); what != "" {
				return faultf("it is at %s, which is %s: calendars are not fetched from there", at.Addr(), what)
			}
			return nil
		},
	}
	return &Fetcher{
		time: fetchTime, most: maxBody,
		transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader, TLSHandshakeTimeout: connectTime,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		},
	}
}

// clouds are where clouds answer their machines about themselves, beside the link-local addresses.
var clouds = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"), netip.MustParsePrefix("fd20:ce::254/128"), netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("168.63.129.16/32"), netip.MustParsePrefix("192.0.0.192/32"),
}

// wrapped are prefixes of addresses that lead to one of IPv4, whose four bytes begin at a place.
var wrapped = map[netip.Prefix]int{
	netip.MustParsePrefix("64:ff9b::/96"):   12, // NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"): 12, // NAT64 of a network's own, as most use it
	netip.MustParsePrefix("2002::/16"):      2,  // 6to4
	netip.MustParsePrefix("::/96"):          12, // as it was once written
}

// bare returns the address that one leads to.
func bare(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a == netip.IPv6Loopback() {
		return a
	}
	for prefix, at := range wrapped {
		if prefix.Contains(a) {
			bytes := a.As16()
			return netip.AddrFrom4([4]byte(bytes[at:]))
		}
	}
	return a
}

// refused says what an address is that no calendar is fetched from; "" for others.
func refused(a netip.Addr) string {
	a = bare(a)
	switch {
	case a.IsLoopback() || a.IsUnspecified():
		return "the coordinator's own host"
	case a.IsLinkLocalUnicast():
		return "link-local, where clouds answer about their machines"
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "no single host"
	}
	for _, c := range clouds {
		if c.Contains(a) {
			return "where a cloud answers about its machines"
		}
	}
	return ""
}

// answer is what a server said.
type answer struct {
	unchanged      bool
	body           []byte
	etag, modified string
}

// fetch gets a URL, unless it is as an ETag or a time says that it was. What goes wrong may have the URL in its words: see words.
func (f *Fetcher) fetch(ctx context.Context, address, etag, modified string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, f.time)
	defer cancel()
	u, err := url.Parse(address)
	if err != nil {
		return answer{}, faultf("its URL can't be read")
	}
	login := u.User
	for range maxRedirects + 1 {
		resp, err := f.ask(ctx, u, login, etag, modified)
		if err != nil {
			return answer{}, err
		}
		to, err := redirect(u, resp)
		if to == nil && err == nil {
			return f.take(resp, etag != "" || modified != "")
		}
		_ = resp.Body.Close()
		if err != nil {
			return answer{}, err
		}
		if to.Host != u.Host || to.Scheme != u.Scheme {
			login = nil // it is for whom it was given
		}
		u = to
	}
	return answer{}, faultf("it is redirected more than %d times", maxRedirects)
}

func (f *Fetcher) ask(ctx context.Context, u *url.URL, login *url.Userinfo, etag, modified string) (*http.Response, error) {
	bare := *u
	bare.User, bare.Fragment, bare.RawFragment = nil, "", ""
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, bare.String(), nil)
	if err != nil {
		return nil, faultf("its URL can't be asked for")
	}
	if login != nil {
		password, _ := login.Password()
		r.SetBasicAuth(login.Username(), password)
	}
	r.Header.Set("User-Agent", "glidepath")
	r.Header.Set("Accept", "text/calendar, text/csv, */*;q=0.1")
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	if modified != "" {
		r.Header.Set("If-Modified-Since", modified)
	}
	// Not by a client, whose errors have the URL in them, and those of redirects.
	return f.transport.RoundTrip(r)
}

// redirect returns where a server sends on to; nil where it does not.
func redirect(from *url.URL, resp *http.Response) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	to, err := from.Parse(resp.Header.Get("Location"))
	switch {
	case err == nil && to.Scheme != "https" && to.Scheme != "http":
		return nil, faultf("it is redirected to another scheme than https and http")
	case err != nil || to.Host == "":
		return nil, faultf("it is redirected to what is no URL")
	case from.Scheme == "https" && to.Scheme != "https":
		return nil, faultf("it is redirected from https to http")
	}
	to.User = nil
	return to, nil
}

// take takes what a server answers, bounded.
func (f *Fetcher) take(resp *http.Response, conditional bool) (answer, error) {
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && conditional:
		return answer{unchanged: true}, nil
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return answer{}, faultf("the server answers %d: it wants to know who asks, or does not let everybody read it", resp.StatusCode)
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		return answer{}, faultf("the server answers %d: there is no calendar there, or none any more", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return answer{}, faultf("the server answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	long := faultf("it is larger than %d MiB: part it", f.most>>20)
	if resp.ContentLength > f.most {
		return answer{}, long
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, f.most+1))
	if err != nil {
		return answer{}, fmt.Errorf("it broke off after %d bytes: %w", len(body), err)
	}
	if int64(len(body)) > f.most {
		return answer{}, long
	}
	return answer{body: body, etag: remembered(resp.Header.Get("ETag")), modified: remembered(resp.Header.Get("Last-Modified"))}, nil
}

// remembered returns what may be sent to a server again.
func remembered(value string) string {
	if len(value) > maxValidator || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return value
}

// fault is an error whose words are ours.
type fault struct{ what string }

func (f *fault) Error() string { return f.what }

func faultf(format string, args ...any) error { return &fault{fmt.Sprintf(format, args...)} }

// words says an error to whoever looks at calendars, which more may do than may know all of a URL: what could be a secret in it is left out.
func words(err error, address string) string {
	var ours *fault
	var inside *calendar.Error
	var name *net.DNSError
	text := without(err.Error(), address)
	switch {
	case errors.As(err, &ours):
		text = ours.what // which repeat nothing of a URL
	case errors.As(err, &inside):
		text = inside.Bare() // a server may answer with what it was asked for
	case errors.Is(err, context.DeadlineExceeded):
		text = fmt.Sprintf("the server has not answered within %s, or let nobody connect within %s", fetchTime, connectTime)
	case errors.As(err, &name):
		text = "the server's name can't be looked up: " + name.Err
	}
	return plain(text)
}

// plain bounds a text, and leaves out what is not to be printed.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}
