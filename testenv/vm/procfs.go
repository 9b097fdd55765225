//go:build linux

package vm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fleetVariable is set in the environment of every process that belongs to a fleet, to the
// fleet's directory. It finds those whose number could not be written down in time.
const fleetVariable = "GLIDEPATH_VM_FLEET"

// processID tells a process from a later one with the same number.
type processID struct {
	PID int
	// StartTicks is the time of its start since boot, in clock ticks (proc(5), field 22).
	StartTicks uint64
}

// identify returns the identity of a running process.
func identify(pid int) (processID, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return processID{}, err
	}
	// The second field is the program's name in parentheses, and may hold anything.
	_, rest, found := strings.Cut(string(stat[max(0, bytes.LastIndexByte(stat, ')')):]), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 {
		return processID{}, fmt.Errorf("process %d: unreadable status", pid)
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return processID{}, fmt.Errorf("process %d: start time: %w", pid, err)
	}
	return processID{PID: pid, StartTicks: ticks}, nil
}

// openProcess returns a descriptor that refers to this process alone, also when its number is
// used again. The error wraps os.ErrProcessDone if the process has ended.
func openProcess(id processID) (int, error) {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, os.ErrProcessDone
	}
	if err != nil {
		return -1, fmt.Errorf("open process %d: %w", id.PID, err)
	}
	now, err := identify(id.PID)
	if err != nil || now != id {
		unix.Close(fd)
		return -1, os.ErrProcessDone
	}
	return fd, nil
}

// kill ends a process with SIGKILL and waits until it has ended. A process that has ended
// already is no error.
func kill(id processID, wait time.Duration) error {
	fd, err := openProcess(id)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", id.PID, err)
	}
	ended, err := pollEnd(fd, wait)
	if err == nil && !ended {
		err = fmt.Errorf("process %d did not end within %v of SIGKILL", id.PID, wait)
	}
	return err
}

// pollEnd waits for the end of the process behind fd.
func pollEnd(fd int, wait time.Duration) (bool, error) {
	deadline := time.Now().Add(wait)
	for {
		left := max(0, time.Until(deadline))
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n > 0, err
	}
}

// processesOf finds the processes of a fleet by their environment.
func processesOf(dir string) ([]processID, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	mark := []byte(fleetVariable + "=" + dir)
	var found []processID
	for _, path := range paths {
		environment, err := os.ReadFile(path)
		if err != nil {
			continue // ended, or a kernel thread
		}
		for variable := range bytes.SplitSeq(environment, []byte{0}) {
			if !bytes.Equal(variable, mark) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				return nil, err
			}
			if id, err := identify(pid); err == nil && pid != os.Getpid() {
				found = append(found, id)
			}
			break
		}
	}
	return found, nil
}

// bootID identifies this machine's boot.
func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text)), err
}
