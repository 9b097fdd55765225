package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/proto"
)

var (
	// ErrSpawner says that the process that was to run a command is gone.
	ErrSpawner = errors.New("the spawner is gone")

	// ErrLate says that a command that was killed does not end: it waits for a disk that does not answer, perhaps.
	ErrLate = errors.New("it does not end")
)

// sendTime is how long a spawner gets to take a request.
const sendTime = 15 * time.Second

// Spawner runs commands by a process that calls Spawn, at the other end of a connection.
type Spawner struct {
	conn  *net.UnixConn
	grace time.Duration

	mu      sync.Mutex
	number  uint64
	waiting map[uint64]chan spawnReply
	gone    chan struct{} // closed when the connection has ended
}

// NewSpawner returns a runner over the connection, which it owns from here on. Serve must be running for commands to end. One that was killed gets a time of grace to
// end, before it is ErrLate.
func NewSpawner(conn *net.UnixConn, grace time.Duration) *Spawner {
	return &Spawner{conn: conn, grace: grace, waiting: map[uint64]chan spawnReply{}, gone: make(chan struct{})}
}

// Serve hears what the other side says until it has nothing more to say, or the connection is closed.
func (s *Spawner) Serve() error {
	defer close(s.gone)
	buf := make([]byte, maxSpawn)
	for {
		n, err := s.conn.Read(buf)
		if n == 0 || err != nil {
			return nil //nolint:nilerr // the end of either side: commands that still wait learn of it
		}
		var r spawnReply
		if err := proto.Unmarshal(buf[:n], &r); err != nil {
			return errors.Join(err, s.conn.Close())
		}
		s.mu.Lock()
		done := s.waiting[r.ID]
		delete(s.waiting, r.ID)
		s.mu.Unlock()
		if done != nil {
			done <- r
		}
	}
}

// Close hangs up, which ends the other side and all that it runs.
func (s *Spawner) Close() error { return s.conn.Close() }

// Run implements Runner. When the error is ErrSpawner or ErrLate, what was run may still be ending.
func (s *Spawner) Run(ctx context.Context, c Command) (status int, err error) {
	q := spawnRequest{Name: c.Name, Path: c.Path, Args: c.Args, Env: c.Env, Write: c.Write, FileSize: c.FileSize}
	var fds []int
	for i, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
		if f != nil {
			q.Files[i] = true
			fds = append(fds, int(f.Fd()))
		}
	}
	done := make(chan spawnReply, 1)
	s.mu.Lock()
	s.number++
	q.ID = s.number
	s.waiting[q.ID] = done
	s.mu.Unlock()
	err = s.send(q, fds)
	c.CloseFiles()
	if err != nil {
		s.mu.Lock()
		delete(s.waiting, q.ID)
		s.mu.Unlock()
		return -1, fmt.Errorf("start %s: %w", c.Name, err)
	}
	over := ctx.Done()
	var late <-chan time.Time
	for {
		select {
		case r := <-done:
			switch {
			case ctx.Err() != nil && r.Error != "":
				return r.Status, context.Cause(ctx)
			case r.Error != "":
				return r.Status, errors.New(r.Error)
			}
			return r.Status, nil
		case <-over:
			over = nil
			if err := s.send(spawnRequest{ID: q.ID, Kill: true}, nil); err != nil {
				return -1, fmt.Errorf("end %s: %w", c.Name, err)
			}
			late = time.After(s.grace)
		case <-late:
			return -1, fmt.Errorf("%s was killed: %w", c.Name, ErrLate)
		case <-s.gone:
			if len(done) == 0 {
				return -1, fmt.Errorf("run %s: %w", c.Name, ErrSpawner)
			}
			// It is told in the next turn.
		}
	}
}

func (s *Spawner) send(q spawnRequest, fds []int) error {
	b, err := proto.Marshal(q)
	if err != nil {
		return err
	}
	if len(b) > maxSpawn {
		return fmt.Errorf("its arguments and environment take %d bytes, the most is %d", len(b), maxSpawn)
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(sendTime)); err != nil { // it waits for nobody who takes nothing
		return fmt.Errorf("%w: %w", ErrSpawner, err)
	}
	if _, _, err := s.conn.WriteMsgUnix(b, unix.UnixRights(fds...), nil); err != nil {
		return fmt.Errorf("%w: %w", ErrSpawner, err)
	}
	return nil
}
