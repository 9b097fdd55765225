package enforce

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/glidepath/glidepath/agent/enforce/netlimit"
)

// pacer is the programs of one instance; netlimit.Pins is the real one.
type pacer interface {
	SetRate(d netlimit.Direction, bitsPerSecond int64) error
	Rate(d netlimit.Direction) (int64, error)
	Counters(d netlimit.Direction) (netlimit.Counters, error)
	Link(cgroup string) error
	Paths() (egress, ingress string)
	Replaced() bool
	Close() error
}

// network is the kernel's side of network limits; pinned is the real one.
type network interface {
	open(instance string) (pacer, error)
	remove(instance string) error
	pace(device string) error
	unpace(device string) error
}

// pinned keeps the programs of each instance in a folder of the BPF file system, which goes with the last of them.
type pinned struct {
	dir string
	mu  sync.Mutex // one comes while another goes
}

func (p *pinned) open(instance string) (pacer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return netlimit.Open(filepath.Join(p.dir, instance))
}

func (p *pinned) remove(instance string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := netlimit.Remove(filepath.Join(p.dir, instance)); err != nil {
		return err
	}
	if err := os.Remove(p.dir); err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the folder for pinned programs: %w", err)
	}
	return nil
}

func (p *pinned) pace(device string) error   { return netlimit.Pace(device) }
func (p *pinned) unpace(device string) error { return netlimit.Unpace(device) }
