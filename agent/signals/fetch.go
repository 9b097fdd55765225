package signals

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/glidepath/glidepath/proto"
)

const (
	fetchTime  = 3 * time.Second
	maxHeaders = 32 << 10 // bytes
	maxWords   = 2 << 10  // bytes of what is said of a fault: a refusal names the URL twice
)

// dialling is the key of a request's own context among the values of the one that it is dialled with.
type dialling struct{}

// newClient returns what fetches pages. It uses no proxy and follows no redirection, which could lead to another host; the URLs that it is
// given have addresses, so nothing is resolved either. Left alone a transport dials on when its request is over, for minutes where nothing answers.
func newClient(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeaders,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if request, ok := ctx.Value(dialling{}).(context.Context); ok {
					ctx = request
				}
				return dial(ctx, network, addr)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetch reads the signals that are on one page. at is when the answer began.
func (s *Scraper) fetch(ctx context.Context, url string, of []proto.Signal) (out []found, faults []error, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(context.WithValue(ctx, dialling{}, ctx), http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, at, err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, nil, at, said(ctx, err)
	}
	defer resp.Body.Close()
	at = time.Now()
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return nil, nil, at, fmt.Errorf("it answered %s: redirections are not followed", status(resp))
	case resp.StatusCode != http.StatusOK:
		return nil, nil, at, fmt.Errorf("it answered %s", status(resp))
	}
	out, faults, err = read(resp.Body, of, s.seed)
	return out, faults, at, said(ctx, err)
}

// status returns the code of an answer with its usual words, whatever those of the server are.
func status(resp *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
}

// said says that the time was over where that is why something failed. Of what failed in the network it leaves out the ends of the connection, the
// near one of which is another each time: it would not be the same fault again.
func said(ctx context.Context, err error) error {
	var network *net.OpError
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("it did not answer within %s", fetchTime)
	case errors.As(err, &network):
		return network.Err
	}
	return err
}

// words returns a fault as one bounded line without control characters: pages have a part in it, and it goes to terminals.
func words(err error) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(err.Error(), "?"))
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}
