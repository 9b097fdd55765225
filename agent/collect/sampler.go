// Package collect samples the host and its instances, and folds the samples into windows.
//
// Instances are read from the files of their cgroups, which are kept open and parsed without allocation, because this
// runs each second beside what it measures. The host is read by gopsutil.
package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
	"golang.org/x/sys/unix"
)

// Interval is the time between two rounds of samples.
const Interval = time.Second

// NetCounters counts an instance's traffic.
type NetCounters interface {
	// NetCounters returns the bytes that the instance has transmitted and received so far; false when they are not
	// counted. It is called for each instance each second, by one goroutine.
	NetCounters(instance string) (tx, rx uint64, ok bool)
}

// NetDrops may be implemented by NetCounters, too.
type NetDrops interface {
	// NetDrops returns the bytes that the instance's limits have dropped so far; false when they are not counted.
	NetDrops(instance string) (tx, rx uint64, ok bool)
}

// Target says where an instance is measured.
type Target struct {
	Instance string
	Cgroup   string // below the mount point of cgroup v2: system.slice/redis-server.service
}

// Config says what is sampled.
type Config struct {
	Cgroups   string      // mount point of cgroup v2
	Interface string      // whose traffic is the host's; "" for all hardware interfaces
	Net       NetCounters // nil: instances' traffic is not measured
}

// Sample is what one round showed of an instance, or of proto.SystemInstance.
type Sample struct {
	Instance    string
	Running     bool // its cgroup exists; what does not run demands nothing, which is no example of its demand
	Observation demand.Observation
}

// Sampler reads the host and the tracked instances. It is used by one goroutine.
type Sampler struct {
	config Config
	owed   [resource.Kinds]float64 // amounts × seconds, at most 0: what instances used beyond what the host did
	drops  NetDrops                // nil when they are not counted

	tracked []tracked // sorted by instance
	host    hostReader
	disks   map[uint64]bool // device numbers that stand for whole hardware disks
	buf     []byte
	samples []Sample
}

type tracked struct {
	Target
	cgroup   cgroup
	before   reading
	primed   bool   // before is there
	refaults uint64 // at the last fresh reading
	counted  bool   // refaults is there
}

// New returns a sampler that tracks nothing yet.
func New(c Config) *Sampler {
	s := &Sampler{config: c, host: hostReader{device: c.Interface}, disks: map[uint64]bool{}, buf: make([]byte, 64<<10)}
	s.drops, _ = c.Net.(NetDrops)
	return s
}

// Track sets which instances are sampled. What is known of those that stay where they were is kept.
func (s *Sampler) Track(targets []Target) {
	next := make([]tracked, 0, len(targets))
	for n, t := range targets {
		i := slices.IndexFunc(s.tracked, func(old tracked) bool { return old.Target == t })
		if i >= 0 {
			next = append(next, s.tracked[i])
			s.tracked = slices.Delete(s.tracked, i, i+1)
			continue
		}
		next = append(next, tracked{Target: t, cgroup: cgroup{path: filepath.Join(s.config.Cgroups, t.Cgroup), phase: n % statEvery}})
	}
	s.Close()
	slices.SortFunc(next, func(a, b tracked) int { return cmp.Compare(a.Instance, b.Instance) })
	s.tracked = next
}

// Close closes all files. Nothing is tracked afterwards.
func (s *Sampler) Close() {
	for i := range s.tracked {
		s.tracked[i].cgroup.close()
	}
	s.tracked = nil
}

// Sample reads everything once and returns what happened since the round before: a sample for each instance, sorted, and last one for
// proto.SystemInstance. An instance that is read for the first time has none yet. What could not be read is left
// out and named in the error; the rest is good. The slice is valid until the next call.
func (s *Sampler) Sample(ctx context.Context) ([]Sample, error) {
	host, err := s.host.observe(ctx)
	if err != nil {
		err = fmt.Errorf("measure the host: %w", err)
	}
	instances, failed := s.instances(host.busy)
	if err == nil && host.measured {
		s.samples = append(s.samples, s.system(host, instances))
	}
	return s.samples, errors.Join(err, failed)
}

// instances samples the tracked instances.
func (s *Sampler) instances(busy float64) ([]Sample, error) {
	if s.host.rounds%hardwareEvery == 1 {
		clear(s.disks) // device numbers are given anew when disks come and go
	}
	s.samples = s.samples[:0]
	var failed []error
	for i := range s.tracked {
		t := &s.tracked[i]
		r, err := t.cgroup.read(s.buf, s.wholeDisk)
		if err != nil {
			failed = append(failed, fmt.Errorf("instance %s: %w", t.Instance, err))
			continue
		}
		s.count(t.Instance, &r)
		if o, ok := t.next(r, s.host.cpus); ok {
			o.HostBusy = busy
			s.samples = append(s.samples, Sample{t.Instance, r.running, o})
		}
	}
	return s.samples, errors.Join(failed...)
}

// count adds what the kernel does not count by cgroup.
func (s *Sampler) count(instance string, r *reading) {
	if s.config.Net != nil {
		r.netTx, r.netRx, r.traffic = s.config.Net.NetCounters(instance)
	}
	if s.drops != nil {
		r.droppedTx, r.droppedRx, r.drops = s.drops.NetDrops(instance)
	}
}

// next takes r as the newest reading and returns what happened since the one before. A cgroup that is new counts from
// nothing; its traffic does not, whose counters outlive it and may have begun long before they are seen. cpus is 0
// where it is not known.
func (t *tracked) next(r reading, cpus int) (demand.Observation, bool) {
	before := t.before
	primed := t.primed
	t.before, t.primed = r, true
	elapsed := r.at.Sub(before.at)
	if !primed || elapsed <= 0 {
		if r.fresh {
			t.refaults, t.counted = r.refaults, true
		}
		return demand.Observation{}, false
	}
	if r.anew {
		before.counters = counters{
			netTx: before.netTx, netRx: before.netRx, droppedTx: before.droppedTx, droppedRx: before.droppedRx,
		}
		t.refaults = 0
	}
	if !before.traffic {
		before.netTx, before.netRx = r.netTx, r.netRx
	}
	if !before.drops {
		before.droppedTx, before.droppedRx = r.droppedTx, r.droppedRx
	}
	o := observe(r.counters, before.counters, elapsed)
	if cpus > 0 {
		o.Usage[resource.CPU] = min(o.Usage[resource.CPU], 1000*int64(cpus))
	}
	o.Usage[resource.Memory] = r.memory
	if r.running {
		o.Reclaimable = min(t.cgroup.stat.reclaimable, r.memory)
	}
	if r.fresh {
		if t.counted || r.anew {
			o.Refaulted = int64(since(r.refaults, t.refaults)) * int64(unix.Getpagesize())
		}
		o.CacheFresh, t.refaults, t.counted = true, r.refaults, true
	}
	return o, true
}

// system returns the host without its instances: what the system and everything unmanaged used. Of the host's memory what can be taken back counts
// for nobody. Host and instances are not read at the same instant: what instances seem to have used beyond the host is made up for by the next
// sample, or their bursts would look like the system's.
func (s *Sampler) system(host hostObservation, instances []Sample) Sample {
	var used resource.Vector
	for _, i := range instances {
		used = used.Add(i.Observation.Usage)
		used[resource.Memory] += demand.Unreclaimable(i.Observation) - i.Observation.Usage[resource.Memory]
	}
	rest := host.usage.Sub(used)
	seconds := host.elapsed.Seconds()
	for k := range rest {
		if resource.Kind(k) == resource.Memory {
			continue
		}
		amount := float64(host.usage[k]-used[k])*seconds + s.owed[k]
		// More than one sample's worth is no matter of time: it is traffic that never leaves the host, for example.
		s.owed[k] = max(min(amount, 0), -float64(used[k])*seconds)
		rest[k] = int64(max(amount, 0) / seconds)
	}
	return Sample{
		Instance: proto.SystemInstance, Running: true,
		Observation: demand.Observation{Elapsed: host.elapsed, Usage: rest, HostBusy: host.busy},
	}
}
