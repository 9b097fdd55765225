package feeds

import (
	"compress/gzip"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// anywhere connects to this host, too, where the tests' servers are.
func anywhere(roots *x509.CertPool) *Fetcher {
	return newFetcher(func(netip.Addr) string { return "" }, roots)
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestAFetchAsksOnlyForWhatChanged(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"7"`)
		w.Header().Set("Last-Modified", "Tue, 10 Mar 2026 18:00:00 GMT")
		if r.Header.Get("If-None-Match") == `"7"` && r.Header.Get("If-Modified-Since") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, "all of it")
	})
	f := anywhere(nil)
	first, err := f.fetch(t.Context(), s.URL, "", "")
	if err != nil || first.unchanged || string(first.body) != "all of it" || first.etag != `"7"` || first.modified != "Tue, 10 Mar 2026 18:00:00 GMT" {
		t.Fatalf("%+v %v", first, err)
	}
	if second, err := f.fetch(t.Context(), s.URL, first.etag, first.modified); err != nil || !second.unchanged {
		t.Errorf("%+v %v", second, err)
	}
}

func TestALoginIsToldToNobodyElse(t *testing.T) {
	var told []string
	hear := func(r *http.Request) {
		user, password, _ := r.BasicAuth()
		told = append(told, user+" "+password+" "+r.URL.Path)
	}
	other := serve(t, func(w http.ResponseWriter, r *http.Request) { hear(r); fmt.Fprint(w, "other") })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		hear(r)
		switch r.URL.Path {
		case "/a":
			http.Redirect(w, r, "/b", http.StatusFound)
		case "/b":
			http.Redirect(w, r, other.URL+"/c", http.StatusMovedPermanently)
		}
	})
	address := strings.Replace(s.URL, "http://", "http://ann:hunter2@", 1)
	got, err := anywhere(nil).fetch(t.Context(), address+"/a", "", "")
	if err != nil || string(got.body) != "other" || strings.Join(told, ",") != "ann hunter2 /a,ann hunter2 /b,  /c" {
		t.Errorf("%v %q %q", err, got.body, told)
	}
}

func TestWhatCannotBeFetchedIsSaidInWords(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/file":
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		case "/nowhere":
			w.Header().Set("Location", "http://%zz/secret-elsewhere")
			w.WriteHeader(http.StatusFound)
		case "/signin":
			w.WriteHeader(http.StatusUnauthorized)
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "secret of the server")
		case "/unasked":
			w.WriteHeader(http.StatusNotModified)
		case "/large":
			fmt.Fprint(w, strings.Repeat("x", 2<<10))
		case "/declared":
			w.Header().Set("Content-Length", "1099511627776")
			w.WriteHeader(http.StatusOK)
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 64 {
				_, _ = z.Write(make([]byte, 64<<10))
			}
			_ = z.Close()
		case "/short":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "ten bytes.")
		case "/hdr":
			w.Header().Set("X", strings.Repeat("x", maxHeader+1))
		case "/echo":
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				fmt.Fprintf(conn, "%s\r\n\r\n", r.RequestURI)
				conn.Close()
			}
		case "/slow":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	})
	f := anywhere(nil)
	f.most = 1 << 10
	for path, says := range map[string]string{
		"/loop": "redirected more than 5 times", "/file": "another scheme than https and http", "/nowhere": "redirected to what is no URL",
		"/signin": "answers 401: it wants to know who asks", "/gone": "answers 410: there is no calendar there", "/broken": "answers 500 Internal Server Error",
		"/unasked": "answers 304 Not Modified", "/large": "larger than", "/declared": "larger than", "/bomb": "larger than", "/short": "broke off after 10 bytes",
		"/echo": "malformed HTTP", "/hdr": "server response headers exceeded",
	} {
		address := s.URL + path + "?token=hunter2hunter2"
		got, err := f.fetch(t.Context(), address, "", "")
		if err == nil {
			t.Errorf("%s: %+v", path, got)
			continue
		}
		if text := words(err, address); !strings.Contains(text, says) || strings.Contains(text, "hunter2") || strings.Contains(text, "secret") || len(text) > maxWords+len("…") {
			t.Errorf("%s: %q", path, text)
		}
	}
	f.time = 100 * time.Millisecond
	if _, err := f.fetch(t.Context(), s.URL+"/slow", "", ""); err == nil || words(err, s.URL) != "the server has not answered within 30s, or let nobody connect within 10s" {
		t.Errorf("slow: %v", err)
	}
	s.Close()
	if _, err := f.fetch(t.Context(), s.URL, "", ""); err == nil || !strings.Contains(words(err, s.URL), "refused") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(w, r, "http://"+r.Host, http.StatusFound)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that is refused
	s.StartTLS()
	t.Cleanup(s.Close)
	if _, err := anywhere(x509.NewCertPool()).fetch(t.Context(), s.URL, "", ""); err == nil || !strings.Contains(words(err, s.URL), "certificate") {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
	known := x509.NewCertPool()
	known.AddCert(s.Certificate())
	if _, err := anywhere(known).fetch(t.Context(), s.URL, "", ""); err != nil {
		t.Error(err)
	}
	if _, err := anywhere(known).fetch(t.Context(), s.URL+"/down", "", ""); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("from https to http: %v", err)
	}
}

func TestAddressesThatAnswerForTheHostOrItsCloudAreRefused(t *testing.T) {
	for address, bad := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "0.0.0.0": true, "::": true, "::ffff:127.0.0.1": true,
		"169.254.169.254": true, "::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true, "fe80::1": true, "fe80::1%eth0": true,
		"fd00:ec2::254": true, "fd00:ec2::23": true, "64:ff9b:1::a9fe:a9fe": true, "2002:a9fe:a9fe::1": true, "::127.0.0.1": true, "::a9fe:a9fe": true, "2002:0a00:0001::1": false, "100.100.100.200": true, "168.63.129.16": true, "224.0.0.1": true, "ff02::1": true, "255.255.255.255": true,
		"10.0.0.1": false, "192.168.1.1": false, "fd00::1": false, "93.184.215.14": false, "2606:2800:21f::1": false, "64:ff9b::5db8:d70e": false,
	} {
		if got := refused(netip.MustParseAddr(address)); (got != "") != bad {
			t.Errorf("%s: %q", address, got)
		}
	}
	// It is looked at when a name has been looked up, and after a redirect, too.
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "reached") })
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost"} {
		got, err := NewFetcher(func() []netip.Addr { return nil }).fetch(t.Context(), "http://"+host+":"+port, "", "")
		var ours *fault
		if !errors.As(err, &ours) || !strings.Contains(ours.what, "the coordinator's own host") {
			t.Errorf("%s: %q %v", host, got.body, err)
		}
	}
}

func TestAddressesOfCoordinatorsAreRefused(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("fd00::7")}
	f := NewFetcher(func() []netip.Addr { return own })
	for _, host := range []string{"192.0.2.7", "[::ffff:192.0.2.7]", "[64:ff9b::192.0.2.7]", "[fd00::7]"} {
		_, err := f.fetch(t.Context(), "http://"+host+":7648/metrics", "", "")
		var ours *fault
		if !errors.As(err, &ours) || !strings.Contains(ours.what, "a coordinator's host") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestARedirectLeadsToNoRefusedAddress(t *testing.T) {
	inside := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "reached") })
	outside := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inside.URL, http.StatusFound) })
	at := netip.MustParseAddrPort(strings.TrimPrefix(outside.URL, "http://"))
	first := true
	f := newFetcher(func(a netip.Addr) string {
		if first && a == at.Addr() {
			first = false
			return ""
		}
		return refused(a)
	}, nil)
	if got, err := f.fetch(t.Context(), outside.URL, "", ""); err == nil || !strings.Contains(err.Error(), "not fetched from there") {
		t.Errorf("%q %v", got.body, err)
	}
}

func TestNothingOfAURLIsShownThatMayBeASecret(t *testing.T) {
	for address, want := range map[string]string{
		"https://cal.example":                                    "https://cal.example",
		"https://cal.example:8443/":                              "https://cal.example:8443",
		"https://cal.example/private-1234/basic.ics":             "https://cal.example/…",
		"https://cal.example?token=1234":                         "https://cal.example/…",
		"http://ann:hunter2@cal.example/x.ics":                   "http://…@cal.example/…",
		"https://cal.example/%zz":                                "…",
		"https://hunter2@/":                                      "…",
		"https://cal.example/private-1234/basic.ics?a=b&c=token": "https://cal.example/…",
	} {
		if got := Shown(address); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
	const address = "https://ann:hunter2@cal.example/private-1234/basic.ics?key=sesame"
	text := without("GET /private-1234/basic.ics?key=sesame of ann with hunter2: private-1234, sesame at cal.example", address)
	if text != "GET … of ann with …: …, … at cal.example" {
		t.Error(text)
	}
}

func TestAURLThatCannotBeFetchedIsNotRegistered(t *testing.T) {
	for address, bad := range map[string]bool{
		"https://cal.example/a.ics": false, "http://10.0.0.1:8080/": false, "ftp://cal.example": true, "https:///a.ics": true, "https://:80/": true,
		"HTTPS://cal.example/a.ics": true, "https://cal.example/ä": true, "https://cal.example/" + strings.Repeat("a", 2048): true, "https://cal.example/#top": true, "cal.example": true, "https://%zz": true, "webcal://cal.example/a.ics": true,
	} {
		if got := Check(address); (got != "") != bad {
			t.Errorf("%s: %q", address, got)
		}
	}
}
