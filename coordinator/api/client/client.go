// Package client asks the coordinators' HTTP API, at whichever of them answers.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/pki"
)

// Config is where the coordinators are, and what is shown to them.
type Config struct {
	Addresses []string // host:port; the first that answers is asked
	Token     string   // gpa1.…
	Pin       pki.Pin  // of the fleet's CA: any coordinator of the fleet is believed, and nobody else
}

// Bounds of a request and of what is read of its answer.
const (
	dialTime    = 5 * time.Second
	requestTime = 60 * time.Second
	uploadTime  = 5 * time.Minute
	maxAnswer   = 64 << 20
	watchPause  = 500 * time.Millisecond
)

// Client asks one fleet. Its methods may be called concurrently. Errors that coordinators answer are *v1.Error.
type Client struct {
	cfg  Config
	http *http.Client
	good atomic.Int32 // index of the address that answered last
}

// New returns a client. Close it when done.
func New(cfg Config) *Client {
	transport := &http.Transport{
		// No proxy: the coordinators are where the hosts are, and the token is for them alone.
		DialContext:         (&net.Dialer{Timeout: dialTime}).DialContext,
		TLSClientConfig:     pki.JoinTLS(cfg.Pin),
		TLSHandshakeTimeout: dialTime,
		ForceAttemptHTTP2:   true,
	}
	return &Client{cfg: cfg, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// UnreachableError says that no coordinator answered, and why not.
type UnreachableError struct {
	Addresses []string
	Errs      []error // one for each
}

// Error names every address with what went wrong there.
func (e *UnreachableError) Error() string {
	if len(e.Addresses) == 0 {
		return "no coordinator's address is known"
	}
	parts := make([]string, len(e.Addresses))
	for i, a := range e.Addresses {
		parts[i] = a + ": " + reason(e.Errs[i])
	}
	return "no coordinator answers: " + strings.Join(parts, "; ")
}

// Unwrap returns the errors.
func (e *UnreachableError) Unwrap() []error { return e.Errs }

// reason leaves out of a transport's error what repeats the address.
func reason(err error) string {
	var op *net.OpError
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.Is(err, pki.ErrPin):
		return "it is not of the fleet whose CA is pinned"
	case errors.As(err, &unknown):
		return unknown.Error()
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

// request is what is sent, to as many addresses as it takes.
type request struct {
	method, path string
	media        string                        // of the body
	body         func() (io.ReadCloser, error) // nil for none
	accept       string
}

// Call sends in (nil for no body) as JSON and reads the answer into out, which may be a *json.RawMessage, or nil.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	r := request{method: method, path: path, accept: "application/json"}
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		r.media = "application/json"
		r.body = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	}
	return c.read(ctx, r, out)
}

// Upload sends what open opens, which may be several times, as CSV.
func (c *Client) Upload(ctx context.Context, path string, open func() (io.ReadCloser, error), out any) error {
	ctx, cancel := context.WithTimeout(ctx, uploadTime)
	defer cancel()
	return c.read(ctx, request{method: http.MethodPost, path: path, media: "text/csv", body: open, accept: "application/json"}, out)
}

func (c *Client) read(ctx context.Context, r request, out any) error {
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", r.method, r.path, err)
	}
	if len(text) > maxAnswer {
		return fmt.Errorf("%s %s: the answer is larger than %d bytes", r.method, r.path, maxAnswer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not what was expected: %w", r.method, r.path, err)
	}
	return nil
}

// Download writes the answer to w as it comes: as the media type that is accepted, or "" for what the method answers by itself.
func (c *Client) Download(ctx context.Context, path, accept string, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, uploadTime)
	defer cancel()
	resp, err := c.do(ctx, request{method: http.MethodGet, path: path, accept: accept})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// do sends a request to one coordinator after the other until one answers it. All of them get it under the same key, so
// that it is carried out once. A coordinator that is cut off from the others can't answer: the next may.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	key := ulid.Make().String()
	first := int(c.good.Load())
	gone := &UnreachableError{}
	var unavailable error
	for i := range c.cfg.Addresses {
		at := (first + i) % len(c.cfg.Addresses)
		addr := c.cfg.Addresses[at]
		resp, err := c.send(ctx, addr, key, r)
		if err != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%s %s at %s: %w", r.method, r.path, addr, context.Cause(ctx))
			}
			gone.Addresses, gone.Errs = append(gone.Addresses, addr), append(gone.Errs, err)
			continue
		}
		if resp.StatusCode < 300 {
			c.good.Store(int32(at))
			return resp, nil
		}
		err = failure(resp)
		if resp.StatusCode != http.StatusServiceUnavailable {
			c.good.Store(int32(at))
			return nil, err
		}
		unavailable = err
	}
	if unavailable != nil {
		return nil, unavailable
	}
	return nil, gone
}

func (c *Client) send(ctx context.Context, addr, key string, r request) (*http.Response, error) {
	var body io.ReadCloser
	if r.body != nil {
		var err error
		if body, err = r.body(); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "https://"+addr+r.path, body)
	if err != nil {
		return nil, err
	}
	req.GetBody = r.body
	h := req.Header
	h.Set("Authorization", "Bearer "+c.cfg.Token)
	if r.accept != "" {
		h.Set("Accept", r.accept)
	}
	if r.method != http.MethodGet {
		h.Set(v1.HeaderKey, key)
	}
	if r.media != "" {
		h.Set("Content-Type", r.media)
	}
	return c.http.Do(req)
}

// failure returns the error that an answer says, and closes it.
func failure(resp *http.Response) error {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var body v1.ErrorBody
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err != nil || body.Error.Code == "" {
		return fmt.Errorf("%s %s: %s: %.200q", resp.Request.Method, resp.Request.URL, resp.Status, text)
	}
	return &body.Error
}
