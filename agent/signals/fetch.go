package signals

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/glidepath/glidepath/proto"
)

const (
	fetchTime  = 3 * time.Second
	maxHeaders = 32 << 10 // bytes
)

// newClient returns what fetches pages. It uses no proxy and follows no redirection, which could lead to another host; the URLs that it is
// given have addresses, so nothing is resolved either.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeaders},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetch reads the signals that are on one page. at is when the answer began.
func (s *Scraper) fetch(ctx context.Context, url string, of []proto.Signal) (values []float64, faults []error, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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
		return nil, nil, at, fmt.Errorf("it answered %s: redirections are not followed", resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, nil, at, fmt.Errorf("it answered %s", resp.Status)
	}
	values, faults, err = read(resp.Body, of)
	return values, faults, at, said(ctx, err)
}

// said says that the time was over where that is why something failed.
func said(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it did not answer within %s", fetchTime)
	}
	return err
}
