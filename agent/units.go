package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/transfer"
)

// unitRunner runs what reads and writes instances' data as units of its own, confined to where it may write: the agent
// itself needs no rights over the data then, and an agent that is stopped leaves nothing running in its own cgroup.
type unitRunner struct {
	run    func(ctx context.Context, spec systemd.RunSpec) (systemd.RunResult, error)
	work   *activity
	number atomic.Uint64 // of the newest unit
}

// Run implements transfer.Runner.
func (u *unitRunner) Run(ctx context.Context, c transfer.Command) (status int, err error) {
	closeFiles := func() {
		for _, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
			if f != nil {
				_ = f.Close()
			}
		}
	}
	spec, err := u.spec(c)
	if err != nil {
		closeFiles()
		return -1, err
	}
	defer u.work.begin()()
	started := false
	spec.Started = func() { started = true; closeFiles() }
	result, err := u.run(ctx, spec)
	if !started {
		closeFiles()
	}
	switch {
	case err != nil:
		return -1, err
	case result.OK():
		return 0, nil
	case result.Why == "exit-code":
		return result.ExitStatus, nil
	}
	return -1, fmt.Errorf("%s ended with %s %d: %s", c.Name, result.Why, result.ExitStatus, strings.TrimSpace(result.Output))
}

func (u *unitRunner) spec(c transfer.Command) (systemd.RunSpec, error) {
	if !filepath.IsAbs(c.Path) {
		return systemd.RunSpec{}, fmt.Errorf("run %s: %q is no absolute path", c.Name, c.Path)
	}
	// Reading needs the right to read what belongs to others, and no more.
	caps := []uintptr{unix.CAP_DAC_READ_SEARCH}
	if len(c.Write) > 0 {
		caps = append(caps, unix.CAP_DAC_OVERRIDE, unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_MKNOD, unix.CAP_SETFCAP)
	}
	return systemd.RunSpec{
		Unit:        "glidepath-" + c.Name + "-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatUint(u.number.Add(1), 10) + ".service",
		Description: "Glidepath: " + c.Name,
		Command:     append([]string{c.Path}, c.Args...), Env: c.Env, User: "root",
		Writable: c.Write, Hidden: []string{"-/run/dbus", "-/run/systemd/private"}, Caps: caps, NoNetwork: true, FileSizeMax: c.FileSize,
		Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
	}, nil
}
