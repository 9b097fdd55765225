// Package netlimit paces what an instance sends and receives with eBPF programs on its cgroup.
package netlimit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

//go:generate go tool -modfile=../../../internal/tools/go.mod bpf2go -tags linux -target bpfel -type limit -type state net net.bpf.c -- -O2 -g -Wall -Werror -I/usr/include/x86_64-linux-gnu

// Direction is a way that packets go, seen from the instance.
type Direction uint32

// The directions. Their values are the keys of the programs' maps.
const (
	Transmit Direction = 0
	Receive  Direction = 1
)

// String returns net.tx or net.rx, the names under which the limits are read back.
func (d Direction) String() string {
	if d == Transmit {
		return "net.tx"
	}
	return "net.rx"
}

// How long the paced link's queue gets. DESIGN.md says where the figures come from.
const (
	transmitQueue = 2 * time.Second        // above it packets are dropped; senders' socket buffers fill long before
	receiveQueue  = 100 * time.Millisecond // what a sender can be ahead of the rate: the depth of a router's queue
	receiveMark   = 10 * time.Millisecond  // above it senders that speak ECN are told to slow down
	slack         = 10 * time.Millisecond  // idle time that can be caught up: what a sender's wake-up may take
	leastQueue    = 4 * maxPacket          // bytes: at low rates the queue must still take a few merged packets
	maxPacket     = 64 << 10
)

// The names of the pins in an instance's folder.
const (
	egressPin  = "egress"
	ingressPin = "ingress"
	limitsPin  = "limits"
	statesPin  = "states"
	linkSuffix = "-link"
)

// Counters is what passed the programs since they were first loaded for the instance, loopback left out.
type Counters struct {
	Bytes   uint64 // of IP packets, with the headers of each segment
	Packets uint64 // segments as they are on the wire
	Drops   uint64 // packets dropped because the queue was full
	Marks   uint64 // packets marked with ECN's congestion experienced
}

// Pins are the programs and maps of one instance, pinned in a folder of the BPF file system so that they outlive the agent.
type Pins struct {
	dir      string
	objects  netObjects
	replaced bool
}

// Open takes over what is pinned in dir, or loads and pins it. Rates and counters of earlier pins are kept. When the pinned
// programs are of another version they are replaced under the same names; Replaced then says that they must be attached again.
func Open(dir string) (*Pins, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for pinned programs: %w (is the BPF file system mounted on /sys/fs/bpf?)", err)
	}
	p := &Pins{dir: dir}
	if err := p.load(); err != nil {
		return nil, fmt.Errorf("load the network programs of %s: %w", filepath.Base(dir), err)
	}
	if err := p.pin(); err != nil {
		return nil, errors.Join(fmt.Errorf("pin the network programs of %s: %w", filepath.Base(dir), err), p.objects.Close())
	}
	return p, nil
}

func (p *Pins) load() error {
	kept, err := p.pinnedMaps()
	if err != nil {
		return err
	}
	err = loadNetObjects(&p.objects, &ebpf.CollectionOptions{MapReplacements: kept})
	if errors.Is(err, ebpf.ErrMapIncompatible) { // pinned by another version: its counters start anew
		err = loadNetObjects(&p.objects, nil)
	}
	for _, m := range kept {
		err = errors.Join(err, m.Close()) // the objects hold clones
	}
	return err
}

func (p *Pins) pinnedMaps() (map[string]*ebpf.Map, error) {
	kept := map[string]*ebpf.Map{}
	for name, pin := range map[string]string{netMapLimits: limitsPin, netMapStates: statesPin} {
		m, err := ebpf.LoadPinnedMap(filepath.Join(p.dir, pin), nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		kept[name] = m
	}
	return kept, nil
}

// pin puts everything under its name, replacing what is another version.
func (p *Pins) pin() error {
	for pin, m := range map[string]*ebpf.Map{limitsPin: p.objects.Limits, statesPin: p.objects.States} {
		if m.IsPinned() {
			continue
		}
		if err := p.replace(pin, m.Pin); err != nil {
			return err
		}
	}
	for pin, prog := range map[string]*ebpf.Program{egressPin: p.objects.PaceEgress, ingressPin: p.objects.PaceIngress} {
		same, err := samePinned(filepath.Join(p.dir, pin), prog, p.objects.Limits)
		if err != nil {
			return err
		}
		if same {
			continue
		}
		p.replaced = true
		if err := p.replace(pin, prog.Pin); err != nil {
			return err
		}
	}
	return nil
}

// replace pins under a temporary name and renames: whoever opens the name finds the old object or the new.
func (p *Pins) replace(pin string, do func(string) error) error {
	tmp := filepath.Join(p.dir, pin+"-new")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := do(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(p.dir, pin))
}

// samePinned reports whether the program pinned at path is the same code as prog and uses the map limits.
func samePinned(path string, prog *ebpf.Program, limits *ebpf.Map) (bool, error) {
	old, err := ebpf.LoadPinnedProgram(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer old.Close()
	is, err := old.Info()
	if err != nil {
		return false, err
	}
	want, err := prog.Info()
	if err != nil {
		return false, err
	}
	mapInfo, err := limits.Info()
	if err != nil {
		return false, err
	}
	id, ok := mapInfo.ID()
	if !ok {
		return false, errors.New("the kernel does not number its maps: 4.13 or later is needed")
	}
	used, _ := is.MapIDs()
	for _, u := range used {
		if u == id {
			return is.Tag == want.Tag, nil
		}
	}
	return false, nil
}

// Replaced reports whether Open pinned programs that were not there before.
func (p *Pins) Replaced() bool { return p.replaced }

// Paths returns the pinned programs, for systemd's IPEgressFilterPath= and IPIngressFilterPath=.
func (p *Pins) Paths() (egress, ingress string) {
	return filepath.Join(p.dir, egressPin), filepath.Join(p.dir, ingressPin)
}

// SetRate sets the rate of a direction in bits per second of IP packets; 0 is unlimited. It holds from the next packet.
func (p *Pins) SetRate(d Direction, bitsPerSecond int64) error {
	l := limitOf(d, bitsPerSecond)
	if err := p.objects.Limits.Put(uint32(d), &l); err != nil {
		return fmt.Errorf("set %s of %s: %w", d, filepath.Base(p.dir), err)
	}
	return nil
}

func limitOf(d Direction, bitsPerSecond int64) netLimit {
	if bitsPerSecond <= 0 {
		return netLimit{}
	}
	rate := uint64(bitsPerSecond)
	if d == Transmit {
		return netLimit{Rate: rate, Queue: uint64(transmitQueue), Slack: uint64(slack)}
	}
	least := uint64(leastQueue) * 8 * uint64(time.Second) / rate
	return netLimit{Rate: rate, Queue: max(uint64(receiveQueue), least), Mark: uint64(receiveMark), Slack: uint64(slack)}
}

// Rate returns the rate that the kernel holds for a direction, in bits per second; 0 is unlimited.
func (p *Pins) Rate(d Direction) (int64, error) {
	var l netLimit
	if err := p.objects.Limits.Lookup(uint32(d), &l); err != nil {
		return 0, fmt.Errorf("read %s of %s: %w", d, filepath.Base(p.dir), err)
	}
	return int64(l.Rate), nil
}

// Counters returns what passed in a direction.
func (p *Pins) Counters(d Direction) (Counters, error) {
	var s netState
	if err := p.objects.States.Lookup(uint32(d), &s); err != nil {
		return Counters{}, fmt.Errorf("read the counters of %s: %w", filepath.Base(p.dir), err)
	}
	return Counters{Bytes: s.Bytes, Packets: s.Packets, Drops: s.Drops, Marks: s.Marks}, nil
}

// Link attaches the programs to a cgroup that systemd does not manage, by links that are pinned beside them. For a cgroup that
// was removed and made again it must be called again. Calling it for the cgroup that they are on changes nothing.
func (p *Pins) Link(cgroup string) error {
	for pin, on := range map[string]link.CgroupOptions{
		egressPin:  {Path: cgroup, Attach: ebpf.AttachCGroupInetEgress, Program: p.objects.PaceEgress},
		ingressPin: {Path: cgroup, Attach: ebpf.AttachCGroupInetIngress, Program: p.objects.PaceIngress},
	} {
		path := filepath.Join(p.dir, pin+linkSuffix)
		if err := relink(path, on); err != nil {
			return fmt.Errorf("attach %s of %s to %s: %w", pin, filepath.Base(p.dir), cgroup, err)
		}
	}
	return nil
}

// relink makes the pinned link at path lead to what on names. The new link is made before the old one goes, so that
// there is no gap; for that moment packets are counted twice.
func relink(path string, on link.CgroupOptions) error {
	old, err := link.LoadPinnedLink(path, nil)
	switch {
	case err == nil:
		defer old.Close()
		if same, err := sameLink(old, on); err != nil || same {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	l, err := link.AttachCgroup(on)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.Pin(path)
}

// sameLink reports whether a link is on the cgroup, with the program, that on names.
func sameLink(l link.Link, on link.CgroupOptions) (bool, error) {
	info, err := l.Info()
	if err != nil {
		return false, err
	}
	prog, err := on.Program.Info()
	if err != nil {
		return false, err
	}
	id, _ := prog.ID()
	cgroup, err := cgroupID(on.Path)
	if err != nil {
		return false, err
	}
	is := info.Cgroup()
	return is != nil && info.Program == id && is.CgroupId == cgroup, nil
}

// Close lets go of the programs and maps; they stay pinned and attached.
func (p *Pins) Close() error { return p.objects.Close() }

// Remove deletes all pins of the folder dir and the folder itself. Programs that systemd's drop-in names must be out of the
// drop-in first: a unit whose pinned program is missing does not start. It is no error when nothing is there.
func Remove(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("unpin: %w", err)
		}
	}
	return os.Remove(dir)
}

// Supported returns nil when the kernel takes the programs, else why it does not and what to do.
func Supported() error {
	var o netObjects
	if err := loadNetObjects(&o, nil); err != nil {
		return fmt.Errorf("the kernel (5.10 or later, with CONFIG_CGROUP_BPF) does not take the programs: %w", err)
	}
	return o.Close()
}
