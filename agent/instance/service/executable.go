package service

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/proto"
	"golang.org/x/sys/unix"
)

// executables remembers what processes run: only one with more rights than the agent may look, and to start it takes a second on a small host.
type executables struct {
	mu    sync.Mutex
	known map[string]executed // by unit
}

// executed is what was answered about a unit's main process, as long as that is what it was, and for a while: it may begin anew in place.
type executed struct {
	stamp [sha256.Size]byte
	path  string
	at    time.Time
}

const executedFor = 10 * time.Minute

// processStamp tells one life of a process, and what it runs, from another: by when it began, its name and its arguments, where these can be read.
func processStamp(pid int) (stamp [sha256.Size]byte, ok bool) {
	folder := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(folder + "stat")
	if err != nil {
		return stamp, false
	}
	arguments, err := os.ReadFile(folder + "cmdline")
	if err != nil {
		return stamp, false
	}
	end := strings.LastIndexByte(string(stat), ')') // of its name, which may hold anything
	if end < 0 {
		return stamp, false
	}
	const began = 22 - 3 // the first field after the name is the third
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) <= began {
		return stamp, false
	}
	return sha256.Sum256(slices.Concat(stat[:end+1], []byte(fields[began]), []byte{0}, arguments)), true
}

// mainProgram says what the main process of a running unit runs, nil where that is what the unit starts, or can't be told. What starts a service may be a
// script of another package than the service's own.
func (d *Driver) mainProgram(ctx context.Context, u systemd.Unit) (*proto.Program, error) {
	if u.MainPID == 0 {
		return nil, nil
	}
	path, err := d.executableOf(ctx, u)
	if err != nil {
		return nil, err
	}
	path = strings.TrimSuffix(path, " (deleted)") // a newer one lies there: that is what starts next
	if !filepath.IsAbs(path) || !exists(path) {
		return nil, nil // it has ended meanwhile, or runs in a file system of its own
	}
	if started, err := filepath.EvalSymlinks(u.ExecStart[0][0]); err == nil && started == path {
		return nil, nil
	}
	p, err := d.program(ctx, u, path)
	return &p, err
}

// executableOf returns the file that a unit's main process runs, as the kernel tells it, "" where it does not.
func (d *Driver) executableOf(ctx context.Context, u systemd.Unit) (string, error) {
	now, known := processStamp(u.MainPID) // before it is asked: what changes meanwhile makes the answer one for once
	d.executables.mu.Lock()
	was := d.executables.known[u.Name]
	d.executables.mu.Unlock()
	if known && was.stamp == now && time.Since(was.at) < executedFor {
		return was.path, nil
	}
	res, err := d.Systemd.RunTransient(ctx, systemd.RunSpec{
		Unit: "glidepath-query-" + strconv.FormatInt(time.Now().UnixNano(), 36) + ".service", Description: "Glidepath: ask what " + u.Name + " runs",
		Command: []string{"/usr/bin/readlink", fmt.Sprintf("/proc/%d/exe", u.MainPID)}, User: "root", Caps: []uintptr{unix.CAP_SYS_PTRACE},
		NoNetwork: true, Timeout: packageQueryTime,
	})
	if err != nil {
		return "", fmt.Errorf("ask what %s runs: %w", u.Name, err)
	}
	path := strings.TrimSpace(res.Output)
	if !res.OK() {
		return "", nil
	}
	if known {
		d.executables.mu.Lock()
		d.executables.known[u.Name] = executed{now, path, time.Now()}
		d.executables.mu.Unlock()
	}
	return path, nil
}
