package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newSpawner returns a runner whose commands are run by another process, and that process.
func newSpawner(t testing.TB) (*Spawner, *exec.Cmd) {
	t.Helper()
	conn, stdin, err := SpawnPair()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, SpawnCommand) //nolint:noctx // it ends with the connection
	cmd.Stdin, cmd.Stderr = stdin, os.Stderr
	if err := errors.Join(cmd.Start(), stdin.Close()); err != nil {
		t.Fatal(err)
	}
	s := NewSpawner(conn, time.Minute)
	var served sync.WaitGroup
	served.Go(func() {
		if err := s.Serve(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = s.Close()
		served.Wait()
		_ = cmd.Wait() // some tests kill it
	})
	return s, cmd
}

// shell is a command whose stdout is returned, too.
func shell(t *testing.T, script string) (Command, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return Command{Name: "test", Path: "sh", Args: []string{"-c", script}, Env: rsyncEnv(), Stdout: w}, r
}

func TestASpawnerRunsCommandsWithTheirFilesAndSaysHowTheyEnd(t *testing.T) {
	s, _ := newSpawner(t)
	var all sync.WaitGroup
	for i := range 20 {
		c, out := shell(t, fmt.Sprintf(`read word; echo "$word to %d and $MINE"; exit %d`, i, i))
		all.Go(func() {
			r, w, err := os.Pipe()
			if err != nil {
				t.Error(err)
				return
			}
			c.Stdin, c.Env = r, append(c.Env, "MINE=mine")
			if _, err := io.WriteString(w, "hello\n"); err != nil {
				t.Error(err)
			}
			defer w.Close() // it is there all the while: a command hears what is sent to it, not an end
			if status, err := s.Run(t.Context(), c); err != nil || status != i {
				t.Errorf("status %d, %v, want %d", status, err, i)
			}
			if said, err := io.ReadAll(out); err != nil || string(said) != fmt.Sprintf("hello to %d and mine\n", i) {
				t.Errorf("it said %q, %v", said, err)
			}
		})
	}
	all.Wait()
	c, _ := shell(t, "")
	c.Path = "/nonexistent"
	if _, err := s.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a program that is not there: %v", err)
	}
	c, _ = shell(t, "kill -9 $$")
	if _, err := s.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "test was ended by a signal: killed") {
		t.Errorf("one that is killed: %v", err)
	}
	c, _ = shell(t, "")
	c.Args = append(c.Args, strings.Repeat("x", maxSpawn))
	if _, err := s.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "the most is") {
		t.Errorf("arguments without end: %v", err)
	}
}

// started runs a command that goes on until it is killed, and returns its process and what comes of it.
func started(ctx context.Context, t *testing.T, s *Spawner) (pid int, out *os.File, ended <-chan error) {
	t.Helper()
	c, out := shell(t, "echo $$; exec sleep 1000")
	done := make(chan error, 1)
	go func() {
		_, err := s.Run(ctx, c)
		done <- err
	}()
	var said [16]byte
	n, err := out.Read(said[:])
	if err != nil {
		t.Fatal(err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(said[:n]))); err != nil {
		t.Fatal(err)
	}
	return pid, out, done
}

func TestACommandOfASpawnerEndsWithItsContext(t *testing.T) {
	s, _ := newSpawner(t)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	pid, _, ended := started(ctx, t, s)
	other, _, _ := started(t.Context(), t, s)
	cancel(enough)
	if err := <-ended; !errors.Is(err, enough) {
		t.Errorf("it ended with %v", err)
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("it runs on: %v", err)
	}
	if err := unix.Kill(other, 0); err != nil {
		t.Errorf("another one: %v", err)
	}
}

func TestWhatASpawnerRunsEndsWithIt(t *testing.T) {
	for name, end := range map[string]func(*Spawner, *exec.Cmd) error{
		"the agent hangs up": func(s *Spawner, _ *exec.Cmd) error { return s.Close() },
		"it is killed":       func(_ *Spawner, c *exec.Cmd) error { return c.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			s, cmd := newSpawner(t)
			_, out, ended := started(t.Context(), t, s)
			if err := end(s, cmd); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, ErrSpawner) {
				t.Errorf("it ended with %v", err)
			}
			_ = cmd.Wait()
			if _, err := io.ReadAll(out); err != nil { // to the end, which comes when the kernel has killed it with the thread that started it
				t.Error(err)
			}
			c, _ := shell(t, "")
			if _, err := s.Run(t.Context(), c); !errors.Is(err, ErrSpawner) {
				t.Errorf("another command: %v", err)
			}
		})
	}
}
