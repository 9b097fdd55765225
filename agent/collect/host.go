package collect

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
)

const (
	sysBlock = "/sys/block"
	sysNet   = "/sys/class/net"
	loopback = "lo"

	// hardwareEvery is how many rounds lie between two looks at which disks and interfaces there are.
	hardwareEvery = 60
)

// A hostReader measures the host as a whole.
type hostReader struct {
	device string // interface whose traffic counts; "" for all of nics

	rounds int
	cpus   int      // 0 until it is known
	blocks []string // whole hardware disks
	nics   []string // hardware interfaces

	before hostReading
	primed bool
}

type hostReading struct {
	at          time.Time
	busy, total float64 // seconds over all CPUs
	work        float64 // seconds of busy in which this host's own processes ran
	used        int64   // bytes of memory that can't be taken back
	counters    counters
}

// hostObservation is what happened on the host between two readings.
type hostObservation struct {
	measured bool // false for the first reading
	elapsed  time.Duration
	usage    resource.Vector // memory: what can't be taken back
	busy     float64         // share of CPU time not idle, 0 to 1
}

func (h *hostReader) observe(ctx context.Context) (hostObservation, error) {
	if h.rounds%hardwareEvery == 0 {
		if err := h.look(ctx); err != nil {
			return hostObservation{}, err
		}
	}
	h.rounds++
	now, err := h.read(ctx)
	if err != nil {
		return hostObservation{}, err
	}
	before, primed := h.before, h.primed
	h.before, h.primed = now, true
	elapsed := now.at.Sub(before.at)
	if !primed || elapsed <= 0 {
		return hostObservation{}, nil
	}
	o := hostObservation{measured: true, elapsed: elapsed, usage: observe(now.counters, before.counters, elapsed).Usage}
	cores := max(0, now.work-before.work) / elapsed.Seconds()
	o.usage[resource.CPU] = min(int64(1000*cores+0.5), 1000*int64(h.cpus))
	o.usage[resource.Memory] = now.used
	if total := now.total - before.total; total > 0 {
		o.busy = min(1, max(0, (now.busy-before.busy)/total))
	}
	return o, nil
}

// look finds out what the host is made of. CPUs are counted by the kernel's list, because the agent itself may be
// confined to some of them.
func (h *hostReader) look(ctx context.Context) (err error) {
	if h.cpus, err = cpu.CountsWithContext(ctx, true); err != nil {
		return fmt.Errorf("count CPUs: %w", err)
	}
	h.blocks, h.nics = hardware(sysBlock), hardware(sysNet)
	return nil
}

// counts reports whether the traffic of an interface is the host's. A host that has no hardware interface, such as a container,
// has those that somebody made for it.
func (h *hostReader) counts(nic string) bool {
	switch {
	case h.device != "":
		return nic == h.device
	case len(h.nics) > 0:
		return slices.Contains(h.nics, nic)
	default:
		return nic != loopback
	}
}

func (h *hostReader) read(ctx context.Context) (r hostReading, err error) {
	times, err := cpu.TimesWithContext(ctx, false)
	if err != nil || len(times) == 0 {
		return r, fmt.Errorf("read CPU times: %w", orEmpty(err))
	}
	r.at = time.Now()
	t := times[0] // guests' time is part of user's
	r.work = t.User + t.Nice + t.System + t.Irq + t.Softirq
	r.busy = r.work + t.Steal
	r.total = r.busy + t.Idle + t.Iowait

	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return r, fmt.Errorf("read memory: %w", err)
	}
	r.used = max(0, int64(memory.Total)-int64(memory.Available))

	if len(h.blocks) > 0 {
		disks, err := disk.IOCountersWithContext(ctx, slices.Clone(h.blocks)...)
		if err != nil {
			return r, fmt.Errorf("read disk counters: %w", err)
		}
		for _, d := range disks {
			r.counters.readOps += d.ReadCount
			r.counters.writeOps += d.WriteCount
			r.counters.readBytes += d.ReadBytes
			r.counters.writeBytes += d.WriteBytes
		}
	}
	nics, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return r, fmt.Errorf("read interface counters: %w", err)
	}
	for _, n := range nics {
		if h.counts(n.Name) {
			r.counters.netTx += n.BytesSent
			r.counters.netRx += n.BytesRecv
		}
	}
	return r, nil
}

func orEmpty(err error) error {
	if err == nil {
		return fmt.Errorf("the kernel gave none")
	}
	return err
}

// hardware returns the devices of a class folder of /sys that are not made of others: what passes through a logical
// volume, a bridge or a loop device passes through hardware, too, and is to be counted once.
func hardware(class string) []string {
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil // no such devices here
	}
	var names []string
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(class, e.Name())); err == nil && !virtual(to) {
			names = append(names, e.Name())
		}
	}
	return names
}

// virtual reports whether a device of /sys is made of others. A multipath NVMe disk stands under virtual, too, but not
// under virtual/block: the paths that it is made of are hidden.
func virtual(device string) bool {
	return strings.Contains(device, "/devices/virtual/block/") || strings.Contains(device, "/devices/virtual/net/")
}

// wholeDisk reports whether the device is a hardware disk. Where /sys does not tell, it counts.
func (s *Sampler) wholeDisk(major, minor uint32) bool {
	key := uint64(major)<<32 | uint64(minor)
	whole, known := s.disks[key]
	if !known {
		to, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", major, minor))
		whole = err != nil || !virtual(to)
		s.disks[key] = whole
	}
	return whole
}
