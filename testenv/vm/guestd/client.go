package guestd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"
)

// killGrace bounds the attempt to kill a command in the guest whose context has ended.
const killGrace = 2 * time.Second

// Client talks to the server in one guest. It holds no connection between requests and may be
// used by many goroutines at once.
type Client struct {
	// Dial opens a connection to the server.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Command is a command to run in the guest.
type Command struct {
	Argv []string
	// Env is added to the server's own environment, as NAME=value.
	Env []string
	// Dir is the working directory; /root if empty.
	Dir string
	// Stdin may be nil for no input.
	Stdin io.Reader
	// Stdout and Stderr may be nil, or the same writer; they are never written concurrently.
	Stdout, Stderr io.Writer
}

// ExitError says that a command ran and ended with another code than 0.
type ExitError struct {
	Argv []string
	// Code is the exit code, or 128 plus the number of the signal that ended the command.
	Code int
	// Stderr is what the command said, as far as the caller had it kept.
	Stderr string
}

func (e *ExitError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("%q: exit code %d", e.Argv, e.Code)
	}
	return fmt.Sprintf("%q: exit code %d: %s", e.Argv, e.Code, e.Stderr)
}

// Process is a command that runs in the guest.
type Process struct {
	client *Client
	id     string
	done   chan struct{}
	err    error
}

// Hello asks the guest who it is.
func (c *Client) Hello(ctx context.Context) (Hello, error) {
	result, err := c.call(ctx, request{Op: opHello}, nil, nil)
	if err != nil {
		return Hello{}, err
	}
	if result.Hello == nil {
		return Hello{}, errors.New("empty answer")
	}
	return *result.Hello, nil
}

// SetTime sets the guest's wall clock.
func (c *Client) SetTime(ctx context.Context, now time.Time) error {
	_, err := c.call(ctx, request{Op: opSetTime, UnixNano: now.UnixNano()}, nil, nil)
	return err
}

// ReadFile copies a file of the guest to w.
func (c *Client) ReadFile(ctx context.Context, path string, w io.Writer) error {
	_, err := c.call(ctx, request{Op: opRead, Path: path}, nil, w)
	return err
}

// WriteFile makes or replaces a file in the guest, and its parent directories.
func (c *Client) WriteFile(ctx context.Context, path string, mode fs.FileMode, content io.Reader) error {
	_, err := c.call(ctx, request{Op: opWrite, Path: path, Mode: uint32(mode.Perm())}, content, nil)
	return err
}

// Spawn starts a command that outlives this request, with stdout and stderr appended to the
// file log in the guest, and returns its process identifier there.
func (c *Client) Spawn(ctx context.Context, command Command, log string) (int, error) {
	result, err := c.call(ctx, request{
		Op: opSpawn, Argv: command.Argv, Env: command.Env, Dir: command.Dir, Path: log,
	}, nil, nil)
	return result.PID, err
}

// Run runs a command and waits for its end. The error is an *ExitError if the command failed,
// and ctx's if ctx ended first; the command and its children are then killed.
func (c *Client) Run(ctx context.Context, command Command) error {
	process, err := c.Start(ctx, command)
	if err != nil {
		return err
	}
	return process.Wait()
}

// Start starts a command. The caller must call Wait. The command is killed when ctx ends.
func (c *Client) Start(ctx context.Context, command Command) (*Process, error) {
	p := &Process{client: c, id: rand.Text(), done: make(chan struct{})}
	req := request{Op: opExec, ID: p.id, Argv: command.Argv, Env: command.Env, Dir: command.Dir}
	conn, err := c.open(ctx, req)
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		result, err := converse(ctx, conn, command.Stdin, command.Stdout, command.Stderr)
		if ctx.Err() != nil {
			// The server also notices the hang-up, but not while the command's stdin is stuck.
			kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
			defer cancel()
			if err := p.Signal(kill, syscall.SIGKILL); err != nil {
				p.err = fmt.Errorf("%q: %w (it may go on in the guest: %w)", command.Argv, context.Cause(ctx), err)
				return
			}
			p.err = fmt.Errorf("%q: %w", command.Argv, context.Cause(ctx))
			return
		}
		if err != nil {
			p.err = fmt.Errorf("%q: %w", command.Argv, err)
		} else if result.Code != 0 {
			p.err = &ExitError{Argv: command.Argv, Code: result.Code}
		}
	}()
	return p, nil
}

// Wait waits for the command's end and returns what Run would.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Done is closed when the command has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal to the command and to what it started.
func (p *Process) Signal(ctx context.Context, signal syscall.Signal) error {
	_, err := p.client.call(ctx, request{Op: opSignal, ID: p.id, Signal: int(signal)}, nil, nil)
	return err
}

func (c *Client) call(ctx context.Context, req request, in io.Reader, out io.Writer) (outcome, error) {
	conn, err := c.open(ctx, req)
	if err != nil {
		return outcome{}, err
	}
	return converse(ctx, conn, in, out, nil)
}

func (c *Client) open(ctx context.Context, req request) (net.Conn, error) {
	conn, err := c.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("control channel: %w", err)
	}
	if err := writeJSONFrame(conn, frameRequest, req); err != nil {
		conn.Close()
		return nil, fmt.Errorf("control channel: %w", err)
	}
	return conn, nil
}

// converse carries the streams of one request, and returns when both are done or ctx has ended.
// It closes conn.
func converse(ctx context.Context, conn net.Conn, in io.Reader, out, errOut io.Writer) (outcome, error) {
	var sending sync.WaitGroup
	defer sending.Wait()
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	sending.Go(func() { send(conn, in) })
	for {
		kind, payload, err := readFrame(conn)
		if ctx.Err() != nil {
			return outcome{}, context.Cause(ctx)
		}
		if err != nil {
			return outcome{}, fmt.Errorf("control channel broke: %w", err)
		}
		switch kind {
		case frameStdout:
			err = deliver(out, payload)
		case frameStderr:
			err = deliver(errOut, payload)
		case frameOutcome:
			return decodeOutcome(payload)
		default:
			err = fmt.Errorf("unexpected frame %d", kind)
		}
		if err != nil {
			return outcome{}, err
		}
	}
}

// send carries stdin. When it fails, the receiving side learns why from the connection.
func send(conn net.Conn, in io.Reader) {
	buffer := make([]byte, chunk)
	for in != nil {
		n, err := in.Read(buffer)
		if n > 0 && writeFrame(conn, frameStdin, buffer[:n]) != nil {
			return
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// Half an input must not look like a whole one.
			conn.Close()
			return
		}
	}
	writeFrame(conn, frameStdinEnd, nil) //nolint:errcheck // as above
}

func deliver(w io.Writer, payload []byte) error {
	if w == nil {
		return nil
	}
	_, err := w.Write(payload)
	return err
}

func decodeOutcome(payload []byte) (outcome, error) {
	var result outcome
	if err := json.Unmarshal(payload, &result); err != nil {
		return outcome{}, fmt.Errorf("decode outcome: %w", err)
	}
	if result.Error != "" {
		return outcome{}, errors.New(result.Error)
	}
	return result, nil
}
