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

// Shell is what rsync, which knows only remote shells, starts in order to reach the agent: it hands stdin and stdout over to the agent, so that rsync and
// the agent talk to each other without anybody between them, and returns when the agent hangs up, which is when the other side has ended.
func Shell(ctx context.Context, socketPath string, stdin, stdout *os.File) error {
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
	if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(int(stdin.Fd()), int(stdout.Fd())), nil); err != nil {
		return fmt.Errorf("hand rsync over to the agent: %w", err)
	}
	// The agent's are the only ones from here on: what it closes has ended for rsync, too.
	if err := errors.Join(stdin.Close(), stdout.Close()); err != nil {
		return fmt.Errorf("hand rsync over to the agent: %w", err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return fmt.Errorf("wait for the agent: %w", err)
	}
	return ctx.Err()
}

// shellSocket is the agent's end: a socket for one connection, of one rsync, which brings rsync's own ends along.
type shellSocket struct {
	path string
	l    *net.UnixListener

	mu   sync.Mutex
	conn *net.UnixConn // the one connection, as soon as it is there: open as long as rsync is to believe that there is somebody
	over bool          // which is no longer

	ready   chan struct{} // closed when the following are set
	once    sync.Once
	in, out *os.File // from rsync, and to it
	err     error
}

// listenShell makes the socket in dir, which belongs to the agent alone. rsync cuts its remote shell's command at spaces, so the path must have none.
func listenShell(dir, name string) (*shellSocket, error) {
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
	return &shellSocket{path: path, l: l, ready: make(chan struct{})}, nil
}

// accept waits for the one connection, from a process with the agent's own user or root's.
func (s *shellSocket) accept() {
	conn, err := s.l.AcceptUnix()
	_ = s.l.Close() // which unlinks it
	if err != nil {
		s.settle(nil, nil, err)
		return
	}
	s.mu.Lock()
	s.conn = conn
	if s.over {
		_ = conn.Close()
	}
	s.mu.Unlock()
	var in, out *os.File
	if err = checkPeer(conn); err == nil {
		in, out, err = receivePair(conn)
	}
	if err != nil {
		_ = conn.Close()
		s.settle(nil, nil, err)
		return
	}
	if !s.settle(in, out, nil) { // nobody listens any more
		_ = errors.Join(conn.Close(), in.Close(), out.Close())
	}
}

// receivePair receives what a process has handed over as its stdin and stdout.
func receivePair(conn *net.UnixConn) (in, out *os.File, err error) {
	_, fds, err := receiveFiles(conn, make([]byte, 1), 2)
	if err == nil && len(fds) != 2 {
		err = fmt.Errorf("%w: %d files where two were expected", ErrProtocol, len(fds))
	}
	for _, fd := range fds {
		err = errors.Join(err, unix.SetNonblock(fd, true)) // so that closing one ends who waits for it
	}
	if err != nil {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return nil, nil, fmt.Errorf("take rsync over: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "from rsync"), os.NewFile(uintptr(fds[1]), "to rsync"), nil
}

// settle says what has come of the connection, and reports whether it was the first to do so.
func (s *shellSocket) settle(in, out *os.File, err error) (first bool) {
	s.once.Do(func() {
		s.in, s.out, s.err = in, out, err
		first = true
		close(s.ready)
	})
	return first
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
func (s *shellSocket) Read(p []byte) (int, error) {
	<-s.ready
	if s.err != nil {
		return 0, s.err
	}
	return s.in.Read(p)
}

// end lets go of rsync, which has ended. What it has said is still there to be read.
func (s *shellSocket) end() {
	s.l.Close() //nolint:errcheck // closed already if the connection came
	s.hangUp()
}

// Close ends the reading half. What the other side has still to say to rsync goes on.
func (s *shellSocket) Close() error {
	s.settle(nil, nil, net.ErrClosed)
	if s.in == nil {
		return nil
	}
	return s.in.Close()
}

// hangUp ends what rsync hears, and the process that it takes for a remote shell, also one that has said nothing.
func (s *shellSocket) hangUp() {
	s.settle(nil, nil, io.EOF)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.conn != nil {
		_ = s.conn.Close() // which may have been done already
	}
	if s.out != nil {
		_ = s.out.Close()
	}
}

// shellInput is the writing half, whose end does not end the reading one.
type shellInput struct{ s *shellSocket }

func (p shellInput) Write(b []byte) (int, error) {
	<-p.s.ready
	if p.s.err != nil {
		return 0, p.s.err
	}
	return p.s.out.Write(b)
}

func (p shellInput) Close() error {
	p.s.hangUp()
	return nil
}
