package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/proto"
)

// SpawnCommand as the first argument makes a program a spawner, which calls Spawn.
const SpawnCommand = "sync-spawn"

// maxSpawn is the length of the longest message between the agent and a spawner, in bytes.
const maxSpawn = 64 << 10

// spawnRequest has a spawner run a command, or kill one that runs. The command's files come along, those that there are, in order.
type spawnRequest struct {
	ID    uint64   `msgpack:"i"`
	Kill  bool     `msgpack:"k,omitempty"`
	Name  string   `msgpack:"n,omitempty"`
	Path  string   `msgpack:"p,omitempty"`
	Args  []string `msgpack:"a,omitempty"`
	Env   []string `msgpack:"e,omitempty"`
	Write []string `msgpack:"w,omitempty"`
	Files [3]bool  `msgpack:"f,omitempty"` // of stdin, stdout and stderr, which are there

	FileSize int64 `msgpack:"s,omitempty"`
}

// spawnReply says how a command has ended.
type spawnReply struct {
	ID     uint64 `msgpack:"i"`
	Status int    `msgpack:"s"`
	Error  string `msgpack:"e,omitempty"`
}

// SpawnPair returns a connection to a spawner, and what the spawner is to have as its stdin.
func SpawnPair() (ours *net.UnixConn, theirs *os.File, err error) {
	// Packets: a request, its files and its end belong together.
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to a spawner: %w", err)
	}
	own, theirs := os.NewFile(uintptr(fds[0]), "spawner"), os.NewFile(uintptr(fds[1]), "agent")
	ours, err = packetConn(own)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// packetConn takes the file over.
func packetConn(f *os.File) (*net.UnixConn, error) {
	c, err := net.FileConn(f) // a copy
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("connect to a spawner: %w", err)
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("connect to a spawner: not a unix socket"), c.Close())
	}
	return conn, nil
}

// Spawn runs what the agent asks for on stdin, as children of its own, until the agent hangs up or ctx ends; then it kills what still runs, and returns. It is one process
// in a unit that confines them all: for the host a unit of its own costs more than most of what is run.
func Spawn(ctx context.Context, stdin *os.File, runner Runner) error {
	conn, err := packetConn(stdin)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	// Not only closed: systemd has a copy of it, too.
	defer context.AfterFunc(ctx, func() { _ = errors.Join(conn.CloseWrite(), conn.CloseRead(), conn.Close()) })()
	s := spawner{conn: conn, runner: runner, running: map[uint64]context.CancelFunc{}}
	defer s.all.Wait()
	defer cancel()
	for {
		q, files, err := receiveSpawn(conn)
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case q.Kill:
			s.kill(q.ID)
		default:
			s.start(ctx, q, files)
		}
	}
}

// spawner is the server's side.
type spawner struct {
	conn   *net.UnixConn
	runner Runner
	all    sync.WaitGroup

	mu      sync.Mutex
	running map[uint64]context.CancelFunc
}

func (s *spawner) kill(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.running[id]; cancel != nil { // else it has just ended
		cancel()
	}
}

func (s *spawner) start(ctx context.Context, q spawnRequest, files []*os.File) {
	c := Command{Name: q.Name, Path: q.Path, Args: q.Args, Env: q.Env, Write: q.Write, FileSize: q.FileSize}
	for i, to := range []**os.File{&c.Stdin, &c.Stdout, &c.Stderr} {
		if q.Files[i] {
			*to, files = files[0], files[1:]
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	s.running[q.ID] = cancel
	s.mu.Unlock()
	s.all.Go(func() {
		reply := spawnReply{ID: q.ID}
		var err error
		if reply.Status, err = s.runner.Run(ctx, c); err != nil {
			reply.Error = fmt.Sprintf("%.1000s", err)
		}
		s.mu.Lock()
		delete(s.running, q.ID)
		s.mu.Unlock()
		cancel()
		if b, err := proto.Marshal(reply); err == nil {
			_, _ = s.conn.Write(b) // an agent that is gone needs no answer
		}
	})
}

// receiveSpawn receives one request with its files. The error is io.EOF when the agent has hung up.
func receiveSpawn(conn *net.UnixConn) (q spawnRequest, files []*os.File, err error) {
	buf := make([]byte, maxSpawn)
	n, fds, err := receiveFiles(conn, buf, 3)
	if err != nil {
		return q, nil, err
	}
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "of a command"))
	}
	want := 0
	if err = proto.Unmarshal(buf[:n], &q); err == nil {
		for _, there := range q.Files {
			if there {
				want++
			}
		}
		if want != len(files) {
			err = fmt.Errorf("%w: %d files where %d were expected", ErrProtocol, len(files), want)
		}
	}
	if err != nil {
		for _, f := range files {
			_ = f.Close()
		}
		return q, nil, err
	}
	return q, files, nil
}

// receiveFiles receives a message and the files that come with it, at most so many. The error is io.EOF when there is nobody to send one any more.
func receiveFiles(conn *net.UnixConn, buf []byte, most int) (n int, fds []int, err error) {
	oob := make([]byte, unix.CmsgSpace(most*4))
	n, oobn, flags, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return 0, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range messages {
		got, notRights := unix.ParseUnixRights(&m)
		fds, err = append(fds, got...), errors.Join(err, notRights)
	}
	switch {
	case err != nil:
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = fmt.Errorf("%w: a message or its files are too long", ErrProtocol)
	case n == 0 && len(fds) == 0:
		err = io.EOF
	}
	if err != nil {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return 0, nil, err
	}
	return n, fds, nil
}
