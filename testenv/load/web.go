package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxPage bounds what is read of a page.
const maxPage = 1 << 16

// Web is a web server. Instead of writing a record clients ask for its page, each time on a new connection, as browsers that find an old one dead do.
type Web struct {
	Host string // of the request
	Page string // that has to be answered

	mu   sync.Mutex
	seen []Seen
}

// Seen is a page that was answered.
type Seen struct {
	At time.Time
	By string // what the server calls itself in the header X-Host
}

// Connect implements Server. It is for each page that a connection is made.
func (w *Web) Connect(_ context.Context, d Dialer, connect, exchange time.Duration) (Connection, error) {
	return &webConn{w, d, connect, exchange}, nil
}

// Seen returns all pages that were answered, in order.
func (w *Web) Seen() []Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Seen(nil), w.seen...)
}

type webConn struct {
	web               *Web
	dial              Dialer
	connect, exchange time.Duration
}

// Put implements Connection: it asks for the page.
func (c *webConn) Put(ctx context.Context, _, _ string) error {
	dialing, cancel := context.WithTimeout(ctx, c.connect)
	defer cancel()
	connection, err := c.dial(dialing)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(c.exchange)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { connection.Close() })()
	if _, err := fmt.Fprintf(connection, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", c.web.Host); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(io.LimitReader(answer.Body, maxPage))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || string(page) != c.web.Page {
		return ServerError(fmt.Sprintf("%s: %.100q", answer.Status, page))
	}
	c.web.mu.Lock()
	defer c.web.mu.Unlock()
	c.web.seen = append(c.web.seen, Seen{At: time.Now(), By: answer.Header.Get("X-Host")})
	return nil
}

// Get implements Connection.
func (c *webConn) Get(context.Context, []string) (map[string]string, error) {
	return nil, errors.New("a web server keeps no records")
}

// Close implements Connection.
func (c *webConn) Close() {}
