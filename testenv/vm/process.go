//go:build linux

package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// starter starts processes from one thread that lives as long as the fleet: a process that is
// to die with its parent dies when the thread ends that started it.
type starter struct {
	requests chan func()
	done     chan struct{}
}

func newStarter() *starter {
	s := &starter{requests: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for request := range s.requests {
			request()
		}
	}()
	return s
}

func (s *starter) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.requests <- func() { result <- cmd.Start() }
	return <-result
}

func (s *starter) close() {
	close(s.requests)
	<-s.done
}

// watchPeriod is how soon a watcher notices that it is to stop watching.
const watchPeriod = 200 * time.Millisecond

// watched is a process of the fleet whose end is noticed. It need not be our child: a fleet
// that was opened again has processes of an earlier program.
type watched struct {
	id   processID
	fd   int
	cmd  *exec.Cmd // nil unless it is our child
	stop chan struct{}
	// ended is closed at the process's end, after which state is valid if it was our child.
	ended chan struct{}
	state *os.ProcessState

	watcher sync.WaitGroup
	release sync.Once
}

// watch begins to watch a process; cmd is nil if it is not our child. The error wraps
// os.ErrProcessDone if it has ended.
func watch(id processID, cmd *exec.Cmd) (*watched, error) {
	fd, err := openProcess(id)
	if err != nil {
		return nil, err
	}
	p := &watched{id: id, fd: fd, cmd: cmd, stop: make(chan struct{}), ended: make(chan struct{})}
	p.watcher.Go(p.run)
	return p, nil
}

func (p *watched) run() {
	for {
		ended, err := pollEnd(p.fd, watchPeriod)
		if ended || err != nil {
			if p.cmd != nil {
				p.cmd.Wait() //nolint:errcheck // the state says it
				p.state = p.cmd.ProcessState
			}
			close(p.ended)
			return
		}
		select {
		case <-p.stop:
			return
		default:
		}
	}
}

// abandon stops watching; the process goes on if it has not ended.
func (p *watched) abandon() {
	p.release.Do(func() {
		close(p.stop)
		p.watcher.Wait()
		unix.Close(p.fd)
	})
}

func (p *watched) signal(signal syscall.Signal) error {
	select {
	case <-p.ended:
		return os.ErrProcessDone
	default:
	}
	err := unix.PidfdSendSignal(p.fd, signal, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// kill ends the process with SIGKILL, waits for its end and stops watching.
func (p *watched) kill() error {
	defer p.abandon()
	if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(killWait):
		return fmt.Errorf("process %d did not end within %v of SIGKILL", p.id.PID, killWait)
	}
}

// wait waits for the end.
func (p *watched) wait(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
