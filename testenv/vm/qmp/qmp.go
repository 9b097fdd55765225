// Package qmp is a client of the QEMU Machine Protocol: JSON commands over a Unix socket.
// See https://www.qemu.org/docs/master/interop/qmp-spec.html.
package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// maxLine bounds one message from QEMU, in bytes.
const maxLine = 4 << 20

// Error is a command's refusal by QEMU.
type Error struct {
	// Command is what was asked.
	Command string
	// Class is QEMU's kind of error, mostly GenericError.
	Class string
	// Desc is QEMU's explanation for people.
	Desc string
}

func (e *Error) Error() string { return fmt.Sprintf("QEMU refused %s: %s", e.Command, e.Desc) }

// Client is one connection to a QEMU. It is not safe for concurrent use. After an error that
// is no *Error the connection can't be used any more.
type Client struct {
	conn  net.Conn
	lines *bufio.Scanner
}

type message struct {
	Greeting json.RawMessage `json:"QMP"`
	Event    string          `json:"event"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

// Dial connects to the socket at path and negotiates. QEMU serves one client at a time: Dial
// waits until another has closed its connection, at most until ctx ends.
func Dial(ctx context.Context, path string) (*Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to QEMU: %w", err)
	}
	c := &Client{conn: conn, lines: bufio.NewScanner(conn)}
	c.lines.Buffer(nil, maxLine)
	if err := c.negotiate(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("negotiate with QEMU: %w", err)
	}
	return c, nil
}

// Close ends the connection; QEMU goes on.
func (c *Client) Close() error { return c.conn.Close() }

// Execute runs a command, with arguments and result as in QEMU's reference. Both may be nil.
func (c *Client) Execute(ctx context.Context, command string, arguments, result any) error {
	release := c.bind(ctx)
	defer release()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode %s: %w", command, err)
	}
	if _, err := c.conn.Write(append(text, '\n')); err != nil {
		return c.fault(ctx, command, err)
	}
	for {
		got, err := c.read()
		if err != nil {
			return c.fault(ctx, command, err)
		}
		switch {
		case got.Event != "":
			continue
		case got.Error != nil:
			return &Error{Command: command, Class: got.Error.Class, Desc: got.Error.Desc}
		case result == nil:
			return nil
		}
		if err := json.Unmarshal(got.Return, result); err != nil {
			return fmt.Errorf("decode the result of %s: %w", command, err)
		}
		return nil
	}
}

// Monitor runs a command of the human monitor, which answers in text; most of its commands
// say nothing when they have worked.
func (c *Client) Monitor(ctx context.Context, line string) (string, error) {
	var text string
	err := c.Execute(ctx, "human-monitor-command", map[string]string{"command-line": line}, &text)
	return strings.TrimSpace(text), err
}

func (c *Client) negotiate(ctx context.Context) error {
	release := c.bind(ctx)
	greeting, err := c.read()
	release()
	if err != nil {
		return c.fault(ctx, "greeting", err)
	}
	if greeting.Greeting == nil {
		return errors.New("no greeting: is this QEMU's socket?")
	}
	return c.Execute(ctx, "qmp_capabilities", nil, nil)
}

// bind makes the connection's reads and writes fail when ctx ends.
func (c *Client) bind(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // closed then
	return func() { stop() }
}

func (c *Client) read() (message, error) {
	if !c.lines.Scan() {
		if err := c.lines.Err(); err != nil {
			return message{}, err
		}
		return message{}, errors.New("QEMU closed the connection")
	}
	var got message
	if err := json.Unmarshal(c.lines.Bytes(), &got); err != nil {
		return message{}, fmt.Errorf("decode message: %w", err)
	}
	return got, nil
}

func (c *Client) fault(ctx context.Context, command string, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("%s: %w", command, err)
}
