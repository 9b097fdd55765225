package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Pipe is what stands between rsync, which knows only remote shells, and the agent: it joins stdin and stdout to the agent's socket until
// either side ends. It returns when the socket has ended; a read of stdin that never returns is left behind, for the
// process is about to exit.
func Pipe(ctx context.Context, socketPath string, stdin io.Reader, stdout io.Writer) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socketPath)
	if err != nil {
		return fmt.Errorf("connect to the agent: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return errors.New("connect to the agent: not a unix socket")
	}
	go func() {
		_, err := io.Copy(conn, stdin)
		if err != nil {
			_ = conn.Close()
			return
		}
		_ = conn.CloseWrite()
	}()
	if _, err := io.Copy(stdout, conn); err != nil {
		return fmt.Errorf("copy from the agent: %w", err)
	}
	return ctx.Err()
}

// pipeSocket is the agent's end: a socket for one connection, of one rsync.
type pipeSocket struct {
	path string
	l    *net.UnixListener

	ready chan struct{} // closed when conn or err is set
	once  sync.Once
	conn  *net.UnixConn
	err   error
}

// listenPipe makes the socket in dir, which belongs to the agent alone. rsync cuts its remote shell's command at spaces, so the path must have none.
func listenPipe(dir, name string) (*pipeSocket, error) {
	path := filepath.Join(dir, name+".sock")
	if strings.ContainsAny(path, " \t\n'\"\\") {
		return nil, fmt.Errorf("the state directory %q has characters that rsync's remote shell can't: choose another", dir)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return &pipeSocket{path: path, l: l, ready: make(chan struct{})}, nil
}

// accept waits for the one connection, from a process with the agent's own user or root's.
func (s *pipeSocket) accept() {
	conn, err := s.l.AcceptUnix()
	if err == nil {
		if err = checkPeer(conn); err != nil {
			_ = conn.Close()
		}
	}
	s.settle(conn, err)
	_ = s.l.Close() // which unlinks it
}

func (s *pipeSocket) settle(conn *net.UnixConn, err error) {
	s.once.Do(func() {
		s.conn, s.err = conn, err
		close(s.ready)
	})
}

func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: user %d on the agent's socket", ErrRefused, cred.Uid)
	}
	return nil
}

// Read implements io.Reader for an exchange: nothing comes before the connection does.
func (s *pipeSocket) Read(p []byte) (int, error) {
	<-s.ready
	if s.err != nil {
		return 0, s.err
	}
	return s.conn.Read(p)
}

// end closes and unlinks everything: the process at the other end has ended.
func (s *pipeSocket) end() {
	s.l.Close() //nolint:errcheck // closed already if the connection came
	s.settle(nil, io.EOF)
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

// Close ends the reading half. What the other side has still to say to rsync goes on.
func (s *pipeSocket) Close() error {
	s.settle(nil, net.ErrClosed)
	if s.conn == nil {
		return nil
	}
	return s.conn.CloseRead()
}

// pipeInput is the writing half, whose end does not end the reading one.
type pipeInput struct{ s *pipeSocket }

func (p pipeInput) Write(b []byte) (int, error) {
	<-p.s.ready
	if p.s.err != nil {
		return 0, p.s.err
	}
	return p.s.conn.Write(b)
}

func (p pipeInput) Close() error {
	p.s.settle(nil, io.EOF)
	if p.s.conn == nil {
		return nil
	}
	return p.s.conn.CloseWrite()
}
