package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/transfer"
)

const (
	spawnIdle = 8 * time.Second  // from one round of a transfer to the next on a slow host
	spawnKill = 15 * time.Second // for a command that was killed
	spawnEnd  = 15 * time.Second // for a unit to end by itself before systemd ends it
)

// counted counts what a runner does as the agent's work.
type counted struct {
	transfer.Runner
	work *activity
}

// Run implements transfer.Runner.
func (r counted) Run(ctx context.Context, c transfer.Command) (status int, err error) {
	defer r.work.begin()()
	return r.Runner.Run(ctx, c)
}

// newUnitRunner returns a runner of units that are started by run.
func newUnitRunner(run func(context.Context, systemd.RunSpec) (systemd.RunResult, error), program func() string) *unitRunner {
	return &unitRunner{run: run, program: program, idle: spawnIdle, grace: spawnKill, open: map[string]*spawnUnit{}}
}

// unitRunner runs what reads and writes instances' data in units confined to where it may write: the agent itself needs no rights over the data then, and an
// agent that is stopped leaves nothing running in its own cgroup. Commands that may write the same share a unit, whose main process starts them (transfer.Spawn).
type unitRunner struct {
	run     func(ctx context.Context, spec systemd.RunSpec) (systemd.RunResult, error)
	program func() string // that calls transfer.Spawn
	idle    time.Duration // for which a unit that runs nothing is kept
	grace   time.Duration // for a command that was killed to end

	units  sync.WaitGroup
	mu     sync.Mutex
	number uint64 // of the newest unit
	open   map[string]*spawnUnit
}

// spawnUnit is a unit that runs commands.
type spawnUnit struct {
	*transfer.Spawner
	key    string
	users  int
	idle   *time.Timer
	ending bool
	stop   context.CancelFunc
	ended  chan struct{} // closed when nothing of the unit is left
	err    error         // why it ended by itself
}

// Run implements transfer.Runner.
func (u *unitRunner) Run(ctx context.Context, c transfer.Command) (status int, err error) {
	unit, err := u.take(c.Write)
	if err != nil {
		c.CloseFiles()
		return -1, fmt.Errorf("run %s: %w", c.Name, err)
	}
	defer u.leave(unit)
	status, err = unit.Run(ctx, c)
	switch {
	case errors.Is(err, transfer.ErrSpawner):
		u.drop(unit)
		<-unit.ended // what it ran has ended with it
		err = errors.Join(err, unit.err)
	case errors.Is(err, transfer.ErrLate):
		u.avoid(unit)
	}
	return status, err
}

// take returns the unit that may write the given places and no others.
func (u *unitRunner) take(write []string) (*spawnUnit, error) {
	// What a unit may write is bound to the directories that were there when it began: one that was replaced since needs another unit.
	key := ""
	for _, path := range write {
		var st unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
			return nil, &os.PathError{Op: "statx", Path: path, Err: err}
		}
		// A file system gives the number of a directory that was removed to the next one that is made.
		key += fmt.Sprintf("%s\x00%d:%d:%d:%d.%d\x00", path, st.Dev_major, st.Dev_minor, st.Ino, st.Btime.Sec, st.Btime.Nsec)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	unit := u.open[key]
	if unit == nil {
		var err error
		if unit, err = u.begin(key, write); err != nil {
			return nil, err
		}
		u.open[key] = unit
	}
	unit.users++
	unit.idle.Stop()
	return unit, nil
}

// leave gives a unit back.
func (u *unitRunner) leave(unit *spawnUnit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch unit.users--; {
	case unit.users > 0:
	case u.open[unit.key] == unit:
		unit.idle.Reset(u.idle)
	default:
		u.remove(unit)
	}
}

// avoid has nobody take the unit any more. It goes on with what others run in it, and ends with the last of them.
func (u *unitRunner) avoid(unit *spawnUnit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.open[unit.key] == unit {
		delete(u.open, unit.key)
	}
}

// drop has nobody take the unit any more, and ends it.
func (u *unitRunner) drop(unit *spawnUnit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.remove(unit)
}

func (u *unitRunner) remove(unit *spawnUnit) {
	if u.open[unit.key] == unit {
		delete(u.open, unit.key)
	}
	unit.idle.Stop()
	if unit.ending {
		return
	}
	unit.ending = true
	_ = unit.Close() // which it may have done itself
	late := time.AfterFunc(spawnEnd, unit.stop)
	u.units.Go(func() { <-unit.ended; late.Stop() })
}

// Release ends the units that run nothing, and returns when nothing is left of them or ctx ends.
func (u *unitRunner) Release(ctx context.Context) {
	var ending []*spawnUnit
	u.mu.Lock()
	for _, unit := range u.open {
		if unit.users == 0 {
			u.remove(unit)
			ending = append(ending, unit)
		}
	}
	u.mu.Unlock()
	for _, unit := range ending {
		select {
		case <-unit.ended:
		case <-ctx.Done():
		}
	}
}

// Close ends all units with what they run, and returns when nothing is left of them.
func (u *unitRunner) Close() error {
	u.mu.Lock()
	for _, unit := range u.open {
		u.remove(unit)
	}
	u.mu.Unlock()
	u.units.Wait()
	return nil
}

// begin starts a unit. It need not be up for commands to be sent to it.
func (u *unitRunner) begin(key string, write []string) (*spawnUnit, error) {
	conn, stdin, err := transfer.SpawnPair()
	if err != nil {
		return nil, err
	}
	u.number++
	spec := spawnSpec(u.program(), u.number, write)
	spec.Stdin, spec.Started = stdin, func() { _ = stdin.Close() }
	ctx, stop := context.WithCancel(context.Background()) // its end is that of the connection
	unit := &spawnUnit{Spawner: transfer.NewSpawner(conn, u.grace), key: key, stop: stop, ended: make(chan struct{})}
	unit.idle = time.AfterFunc(u.idle, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if unit.users == 0 {
			u.remove(unit)
		}
	})
	heard := make(chan error, 1)
	u.units.Go(func() {
		heard <- unit.Serve()
		u.drop(unit)
	})
	u.units.Go(func() {
		defer stop()
		defer close(unit.ended)
		result, err := u.run(ctx, spec)
		if err == nil && !result.OK() {
			err = fmt.Errorf("%s ended with %s %d: %s", spec.Unit, result.Why, result.ExitStatus, strings.TrimSpace(result.Output))
		}
		_ = stdin.Close() // it may never have started
		_ = unit.Close()  // so that nobody waits for it
		unit.err = errors.Join(err, <-heard)
	})
	return unit, nil
}

// spawnSpec describes a unit whose processes may write the given places, and read everything.
func spawnSpec(program string, number uint64, write []string) systemd.RunSpec {
	// Reading needs the right to read what belongs to others, and no more.
	caps, what := []uintptr{unix.CAP_DAC_READ_SEARCH}, "reads data of instances"
	if len(write) > 0 {
		caps = append(caps, unix.CAP_DAC_OVERRIDE, unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_MKNOD, unix.CAP_SETFCAP)
		what = "writes data of an instance"
	}
	return systemd.RunSpec{
		Unit:        "glidepath-sync-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatUint(number, 10) + ".service",
		Description: "Glidepath: " + what,
		Command:     []string{program, transfer.SpawnCommand}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, User: "root",
		Writable: write, Hidden: []string{"-/run/dbus", "-/run/systemd/private"}, Caps: caps, NoNetwork: true, Spares: true,
	}
}
