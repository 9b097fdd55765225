package enforce

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/agent/enforce/limit"
	"github.com/glidepath/glidepath/agent/enforce/netlimit"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// fakeHost is a host of plain files: a cgroup that takes what is written, systemd that counts its reloads, programs that remember a rate.
// What the kernel makes of values is tested in guests.
type fakeHost struct {
	t         *testing.T
	cfg       Config
	reloading error // what a reload comes to
	reloads   int
	reloaded  func()
	units     map[string]string // their cgroups
	pacers    map[string]*fakePacer
	paced     map[string]bool
	foreign   bool
}

const fakeUnit = "redis-server.service"

// freshCgroup is what the kernel shows of a cgroup without limits.
var freshCgroup = map[string]string{
	"cgroup.procs": "", "cpu.max": "max 100000", "cpu.max.burst": "0", "cpu.weight": "100", "io.max": "",
	"memory.current": "20971520", "memory.high": "max", "memory.low": "0", "memory.max": "max",
}

func newFakeHost(t *testing.T) (*fakeHost, *Enforcer) {
	dir := t.TempDir()
	h := &fakeHost{
		t: t, units: map[string]string{}, pacers: map[string]*fakePacer{}, paced: map[string]bool{},
		cfg: Config{
			CgroupRoot: filepath.Join(dir, "cgroup"), SysDir: "/sys", PinDir: "/pins", UnitDir: filepath.Join(dir, "etc"),
			RunUnitDir: filepath.Join(dir, "run"), OwnCgroup: "/system.slice/glidepath-agent.service", Device: "eth0",
			AgentUnit: "glidepath-agent.service", MayRun: "/usr/bin/glidepath-agent may-run",
		},
	}
	h.mkdir(h.cfg.UnitDir)
	h.mkdir(h.cfg.RunUnitDir)
	h.addCgroup("/system.slice")
	h.addCgroup("/system.slice/" + fakeUnit)
	h.units[fakeUnit] = "/system.slice/" + fakeUnit
	e := open(h.cfg, h, h, durable.OS{})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, e
}

func (h *fakeHost) mkdir(path string) {
	h.t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		h.t.Fatal(err)
	}
}

func (h *fakeHost) addCgroup(path string) {
	h.t.Helper()
	h.mkdir(filepath.Join(h.cfg.CgroupRoot, path))
	for file, v := range freshCgroup {
		h.put(path, file, v)
	}
}

func (h *fakeHost) put(path, file, value string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.cfg.CgroupRoot, path, file), []byte(value), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// holds checks files of the unit's cgroup.
func (h *fakeHost) holds(want map[string]string) {
	h.t.Helper()
	for file, v := range want {
		b, err := os.ReadFile(filepath.Join(h.cfg.CgroupRoot, "system.slice", fakeUnit, file))
		if err != nil || strings.TrimSpace(string(b)) != v {
			h.t.Errorf("%s holds %q, want %q (%v)", file, b, v, err)
		}
	}
}

// files returns the paths of all files under the drop-in folders.
func (h *fakeHost) dropIns() (all []string) {
	for _, dir := range []string{h.cfg.UnitDir, h.cfg.RunUnitDir} {
		entries, err := filepath.Glob(filepath.Join(dir, "*", "*"))
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, entries...)
	}
	return all
}

func (h *fakeHost) ControlGroup(_ context.Context, unit string) (string, error) {
	group, ok := h.units[unit]
	if !ok {
		return "", systemd.ErrNoUnit
	}
	return group, nil
}

func (h *fakeHost) Reload(context.Context) error {
	h.reloads++
	if h.reloaded != nil {
		h.reloaded()
	}
	return h.reloading
}

func (h *fakeHost) open(instance string) (pacer, error) {
	p := h.pacers[instance]
	fresh := p == nil
	if fresh {
		p = &fakePacer{}
		h.pacers[instance] = p
	}
	p.replaced = fresh
	return p, nil
}

func (h *fakeHost) remove(instance string) error { delete(h.pacers, instance); return nil }

func (h *fakeHost) pace(device string) error {
	if h.foreign {
		return &netlimit.ForeignQueueError{Device: device, Kind: "htb"}
	}
	h.paced[device] = true
	return nil
}

func (h *fakeHost) unpace(device string) error { delete(h.paced, device); return nil }

type fakePacer struct {
	rates    [2]int64
	linked   string
	replaced bool
	broken   bool
}

func (p *fakePacer) SetRate(d netlimit.Direction, n int64) error {
	if p.broken {
		return errors.New("broken")
	}
	p.rates[d] = n
	return nil
}
func (p *fakePacer) Rate(d netlimit.Direction) (int64, error) { return p.rates[d], nil }
func (p *fakePacer) Counters(d netlimit.Direction) (netlimit.Counters, error) {
	return netlimit.Counters{Bytes: 100 + uint64(d)}, nil
}
func (p *fakePacer) Link(cgroup string) error { p.linked = cgroup; return nil }
func (p *fakePacer) Paths() (string, string)  { return "/pins/cache-1/egress", "/pins/cache-1/ingress" }
func (p *fakePacer) Replaced() bool           { return p.replaced }
func (p *fakePacer) Close() error             { return nil }

// cache is the instance of most tests: 2 cores, 256 MiB, 100 Mbit/s at most.
func cache() Target {
	envelope := resource.Uniform(resource.Unlimited)
	envelope[resource.CPU], envelope[resource.Memory] = 2000, 256<<20
	envelope[resource.NetTx], envelope[resource.NetRx] = 100e6, 100e6
	return Target{Instance: "cache-1", Unit: fakeUnit, Class: proto.Critical, Limited: true, Envelope: envelope}
}

func change(k resource.Kind, n int64) limit.Change {
	return limit.Change{Instance: "cache-1", Kind: k, Amount: n}
}

func mustAttach(t *testing.T, e *Enforcer, target Target) Attached {
	t.Helper()
	a, err := e.Attach(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// mustApply applies changes and fails the test where one of them did not hold.
func mustApply(t *testing.T, e *Enforcer, changes ...limit.Change) []Outcome {
	t.Helper()
	outcomes := e.Apply(t.Context(), changes)
	for _, o := range outcomes {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	return outcomes
}
