package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is a process that reads or changes an instance's data.
type Command struct {
	Name string   // for a unit's name and for errors: letters, digits and -
	Path string   // absolute, or to be found in PATH
	Args []string // without the name
	Env  []string // the whole environment
	Stdin, Stdout,
	Stderr *os.File // nil is /dev/null
	Write    []string // the only places below which it may write
	FileSize int64    // bytes of the largest file that it may make; 0 is unlimited
}

// CloseFiles closes what the command's process has its own copies of, or will never have. It may have been done already.
func (c Command) CloseFiles() {
	for _, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// Runner runs commands confined to what they may write. Run returns when the process and all that it started have ended; the end of ctx
// kills them. Run closes the command's files as soon as the process has its own copies, or has failed to start. An exit
// status other than 0 is no error. Run may be called concurrently.
type Runner interface {
	Run(ctx context.Context, c Command) (status int, err error)
}

// Exec runs commands as children, in a process group of their own, confined by Landlock. They die with the agent.
type Exec struct {
	Unconfined bool // allow kernels without Landlock (before 5.19)
}

// Run implements Runner.
func (x Exec) Run(ctx context.Context, c Command) (status int, err error) {
	done := make(chan struct{})
	// A thread of its own, which ends with the goroutine since it is never unlocked: Landlock binds it and its children for good, and
	// the kernel kills the child when the thread that started it ends (that is what Pdeathsig means by parent).
	go func() {
		defer close(done)
		runtime.LockOSThread()
		status, err = x.run(ctx, c)
	}()
	<-done
	return status, err
}

func (x Exec) run(ctx context.Context, c Command) (int, error) {
	defer c.CloseFiles()
	path, err := exec.LookPath(c.Path)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", c.Name, err)
	}
	if err := confineThread(c.Write); err != nil && !(x.Unconfined && errors.Is(err, errNoLandlock)) {
		return -1, fmt.Errorf("confine %s: %w", c.Name, err)
	}
	args := c.Args
	if c.FileSize > 0 {
		// Before it begins: what it starts itself is held by it, too.
		limiter, err := exec.LookPath("prlimit")
		if err != nil {
			return -1, fmt.Errorf("limit the files of %s: %w: install util-linux", c.Name, err)
		}
		path, args = limiter, append([]string{fmt.Sprintf("--fsize=%d:%d", c.FileSize, c.FileSize), path}, c.Args...)
	}
	// Not CommandContext: the group has to be killed, not only its first process.
	cmd := exec.Command(path, args...) //nolint:noctx // see above
	cmd.Env = c.Env
	cmd.Dir = "/"
	// One by one: a nil *os.File would become an interface that is not nil.
	if c.Stdin != nil {
		cmd.Stdin = c.Stdin
	}
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	if c.Stderr != nil {
		cmd.Stderr = c.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return -1, fmt.Errorf("start %s: %w", c.Name, err)
	}
	c.CloseFiles()
	group := cmd.Process.Pid
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(-group, unix.SIGKILL) })
	waitErr := cmd.Wait()
	stop()
	killGroup(group)
	var exit *exec.ExitError
	switch {
	case waitErr != nil && !errors.As(waitErr, &exit):
		return -1, fmt.Errorf("wait for %s: %w", c.Name, waitErr)
	case ctx.Err() != nil:
		return -1, context.Cause(ctx)
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return -1, fmt.Errorf("%s was ended by a signal: %s", c.Name, ws.Signal())
	}
	return cmd.ProcessState.ExitCode(), nil
}

// killGroup kills what a process has left behind and returns when none of it runs any more.
func killGroup(group int) {
	for wait := time.Millisecond; wait < 5*time.Second; wait *= 2 {
		if err := unix.Kill(-group, unix.SIGKILL); err != nil || !groupRuns(group) {
			return
		}
		time.Sleep(wait)
	}
}

// groupRuns reports whether a process group has members other than zombies, which hold nothing and are for init to bury.
func groupRuns(group int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return true
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		// pid (name) state parent group …; the name may have brackets itself.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) > 2 && fields[0] != "Z" && fields[0] != "X" && fields[2] == strconv.Itoa(group) {
			return true
		}
	}
	return false
}
