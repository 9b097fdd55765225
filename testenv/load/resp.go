package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Dialer connects to the server under test.
type Dialer func(ctx context.Context) (net.Conn, error)

// Limits of a reply: nothing here asks for more.
const (
	maxBulk  = 1 << 20
	maxItems = 1 << 12
	maxDepth = 4
)

// ServerError is what the server answered instead of carrying out a command.
type ServerError string

func (e ServerError) Error() string { return "the server answered: " + string(e) }

// reply is a decoded reply: text for strings, n for integers, items for arrays; null for what is not there.
type reply struct {
	text  string
	n     int64
	items []reply
	null  bool
	err   error // a ServerError
}

// conn is one connection. Its methods are called by one goroutine at a time; after an error other than a ServerError it
// must be closed.
type conn struct {
	net     net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	timeout time.Duration // of one exchange
}

// dial connects within timeout, which also bounds each exchange on the connection.
func dial(ctx context.Context, d Dialer, connect, exchange time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connect)
	defer cancel()
	c, err := d(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &conn{net: c, r: bufio.NewReader(c), w: bufio.NewWriter(c), timeout: exchange}, nil
}

func (c *conn) close() { c.net.Close() }

// do sends a command and returns its reply. It fails at once when ctx ends.
func (c *conn) do(ctx context.Context, args ...string) (reply, error) {
	if err := c.net.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return reply{}, err
	}
	stop := context.AfterFunc(ctx, func() { c.net.Close() })
	defer stop()
	fmt.Fprintf(c.w, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c.w, "$%d\r\n%s\r\n", len(a), a)
	}
	if err := c.w.Flush(); err != nil { // which has the first error
		return reply{}, fmt.Errorf("send the command: %w", err)
	}
	r, err := c.read(0)
	if err != nil {
		return reply{}, fmt.Errorf("read the reply: %w", err)
	}
	return r, r.err
}

func (c *conn) read(depth int) (reply, error) {
	line, err := c.line()
	if err != nil {
		return reply{}, err
	}
	if line == "" {
		return reply{}, errors.New("an empty line instead of a reply")
	}
	rest := line[1:]
	switch line[0] {
	case '+':
		return reply{text: rest}, nil
	case '-':
		return reply{err: ServerError(rest)}, nil
	case ':':
		n, err := strconv.ParseInt(rest, 10, 64)
		return reply{n: n}, err
	case '$':
		return c.bulk(rest)
	case '*':
		return c.array(rest, depth)
	}
	return reply{}, fmt.Errorf("%.20q is not a reply", line)
}

func (c *conn) line() (string, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(line), "\r\n"), nil
}

func (c *conn) bulk(size string) (reply, error) {
	n, err := length(size, maxBulk)
	if err != nil || n < 0 {
		return reply{null: true}, err
	}
	content := make([]byte, n+2)
	if _, err := io.ReadFull(c.r, content); err != nil {
		return reply{}, err
	}
	return reply{text: string(content[:n])}, nil
}

func (c *conn) array(size string, depth int) (reply, error) {
	n, err := length(size, maxItems)
	if err != nil || n < 0 {
		return reply{null: true}, err
	}
	if depth == maxDepth {
		return reply{}, fmt.Errorf("a reply nested deeper than %d", maxDepth)
	}
	var r reply
	for range n {
		item, err := c.read(depth + 1)
		if err != nil {
			return reply{}, err
		}
		r.items = append(r.items, item)
	}
	return r, nil
}

// length reads a declared length; -1 stands for null.
func length(text string, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < -1 || n > most {
		return 0, fmt.Errorf("a reply of length %q: at most %d is taken", text, most)
	}
	return n, nil
}
