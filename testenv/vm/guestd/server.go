//go:build linux

package guestd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipeGrace is how long a command's output is read on after its end, for the sake of children
// that hold on to its pipes.
const pipeGrace = time.Second

// hangUpGrace is how long a client is given to hang up after it has been answered.
const hangUpGrace = 10 * time.Second

// Server answers requests in the guest.
type Server struct {
	logger *slog.Logger

	mu      sync.Mutex
	running map[string]int // process group by request ID
}

// NewServer returns a server that logs to logger.
func NewServer(logger *slog.Logger) *Server {
	return &Server{logger: logger, running: map[string]int{}}
}

// Serve answers on listener until ctx ends, then closes it, kills the commands that still run
// and returns when all connections are done.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	var connections sync.WaitGroup
	defer connections.Wait()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept control connection: %w", err)
		}
		connections.Go(func() {
			defer conn.Close()
			if err := s.handle(ctx, conn); err != nil {
				s.logger.Warn("control connection failed", "error", err)
			}
		})
	}
}

func (s *Server) handle(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	kind, payload, err := readFrame(conn)
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if kind != frameRequest {
		return fmt.Errorf("connection begins with frame %d instead of a request", kind)
	}
	var req request
	if err := json.Unmarshal(payload, &req); err != nil {
		return fmt.Errorf("decode request: %w", err)
	}
	result, err := s.perform(ctx, conn, req)
	if err != nil {
		result.Error = err.Error()
	}
	if err := writeJSONFrame(conn, frameOutcome, result); err != nil {
		return err
	}
	return linger(conn)
}

// linger waits for the client to hang up: closing a connection on which input is still unread
// resets it, and the client would lose the outcome.
func linger(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return err
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(hangUpGrace)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, conn)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

func (s *Server) perform(ctx context.Context, conn net.Conn, req request) (outcome, error) {
	switch req.Op {
	case opExec:
		return s.exec(ctx, conn, req)
	case opSpawn:
		return spawn(req)
	case opSignal:
		return outcome{}, s.signal(req)
	case opRead:
		return outcome{}, readFile(conn, req)
	case opWrite:
		return outcome{}, writeFile(conn, req)
	case opSetTime:
		now := unix.NsecToTimespec(req.UnixNano)
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
			return outcome{}, fmt.Errorf("set the clock: %w", err)
		}
		return outcome{}, nil
	case opHello:
		return hello()
	default:
		return outcome{}, fmt.Errorf("unknown operation %q", req.Op)
	}
}

func hello() (outcome, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return outcome{}, err
	}
	return outcome{Hello: &Hello{BootID: strings.TrimSpace(string(id)), UnixNano: time.Now().UnixNano()}}, nil
}

// exec runs a command until it ends or the client is gone, whichever is first.
func (s *Server) exec(ctx context.Context, conn net.Conn, req request) (outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &frameWriter{w: conn, kind: frameStdout, mu: &sync.Mutex{}}
	errOut := &frameWriter{w: conn, kind: frameStderr, mu: out.mu}

	cmd, err := command(ctx, req)
	if err != nil {
		return outcome{}, err
	}
	cmd.Stdout, cmd.Stderr = out, errOut
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeGrace
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return outcome{}, fmt.Errorf("open stdin: %w", err)
	}
	if err := s.start(req.ID, cmd); err != nil {
		return outcome{}, err
	}
	defer s.forget(req.ID)

	var input sync.WaitGroup
	input.Go(func() {
		// A client that hangs up is not interested any more: the command goes with it.
		if err := feed(conn, stdin); err != nil {
			cancel()
		}
	})
	err = cmd.Wait()
	// The reader may be waiting for a client that sends nothing more.
	if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return outcome{}, err
	}
	input.Wait()

	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return outcome{}, err
	}
	return outcome{Code: exitCode(cmd.ProcessState)}, nil
}

// feed copies stdin frames to the command until the client ends them or hangs up. It then goes
// on reading, so that a hang-up is noticed while the command runs.
func feed(conn io.Reader, stdin io.WriteCloser) error {
	defer stdin.Close()
	for {
		kind, payload, err := readFrame(conn)
		if err != nil {
			return err
		}
		switch kind {
		case frameStdin:
			// A command that does not read its input may still do its work.
			if _, err := stdin.Write(payload); err != nil {
				stdin.Close()
			}
		case frameStdinEnd:
			stdin.Close()
		default:
			return fmt.Errorf("unexpected frame %d", kind)
		}
	}
}

// spawn starts a command that lives on when the connection ends.
func spawn(req request) (outcome, error) {
	cmd, err := command(context.Background(), req)
	if err != nil {
		return outcome{}, err
	}
	log, err := os.OpenFile(req.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return outcome{}, fmt.Errorf("open the command's log: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	// Reaps the child whenever it ends; it may outlive the server, and nobody waits for it.
	go cmd.Wait()
	return outcome{PID: cmd.Process.Pid}, nil
}

func command(ctx context.Context, req request) (*exec.Cmd, error) {
	if len(req.Argv) == 0 {
		return nil, errors.New("no command given")
	}
	cmd := exec.CommandContext(ctx, req.Argv[0], req.Argv[1:]...)
	cmd.Env = append(os.Environ(), req.Env...)
	cmd.Dir = req.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/root"
	}
	// A session of its own: what the command starts is signalled together with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, nil
}

// start starts a command that can be signalled by its ID. Under the lock: its first output may reach the client, and a
// signal come back, before this returns.
func (s *Server) start(id string, cmd *exec.Cmd) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	s.running[id] = cmd.Process.Pid
	return nil
}

func (s *Server) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, id)
}

func (s *Server) signal(req request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, found := s.running[req.ID]
	if !found {
		return errors.New("the command has ended")
	}
	return syscall.Kill(-pid, syscall.Signal(req.Signal))
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// frameWriter sends what is written as frames of one kind. Writers of one connection share mu.
type frameWriter struct {
	w    io.Writer
	kind frameKind
	mu   *sync.Mutex
}

func (f *frameWriter) Write(data []byte) (int, error) {
	written := 0
	for len(data) > 0 {
		part := data[:min(len(data), chunk)]
		f.mu.Lock()
		err := writeFrame(f.w, f.kind, part)
		f.mu.Unlock()
		if err != nil {
			return written, err
		}
		written += len(part)
		data = data[len(part):]
	}
	return written, nil
}
