package enforce

import (
	"path/filepath"

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

// pinned keeps the programs of each instance in a folder of the BPF file system.
type pinned struct{ dir string }

func (p pinned) open(instance string) (pacer, error) {
	return netlimit.Open(filepath.Join(p.dir, instance))
}
func (p pinned) remove(instance string) error { return netlimit.Remove(filepath.Join(p.dir, instance)) }
func (p pinned) pace(device string) error     { return netlimit.Pace(device) }
func (p pinned) unpace(device string) error   { return netlimit.Unpace(device) }
