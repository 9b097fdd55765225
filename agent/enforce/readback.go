package enforce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup2"

	"github.com/glidepath/glidepath/agent/enforce/netlimit"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// Held is what the kernel holds for an instance.
type Held struct {
	Limits resource.Vector   // Unlimited where nothing is limited
	Debt   int64             // bytes of memory that could not be taken back
	Files  []proto.LimitFile // as the kernel prints them, sorted by name
}

// limitFiles are the files that hold limits.
var limitFiles = []string{"cpu.max", "cpu.max.burst", "cpu.weight", "io.max", "memory.high", "memory.low", "memory.max"}

// ReadBack reads from the kernel what it holds for an instance. ErrNotRunning where there is nothing to hold it for; a controller that is
// missing limits nothing, and its files are left out.
func (e *Enforcer) ReadBack(ctx context.Context, instance string) (Held, error) {
	t, err := e.target(instance)
	if err != nil {
		return Held{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := e.locate(ctx, t); err != nil {
		return Held{}, fmt.Errorf("read back %s: %w", instance, err)
	}
	held := Held{Debt: t.debt, Limits: resource.Uniform(resource.Unlimited)}
	var missing *MissingError
	for _, k := range resource.All() {
		n, err := e.held(t, k)
		if errors.As(err, &missing) {
			continue
		}
		if err != nil {
			return Held{}, fmt.Errorf("read back %s of %s: %w", k, instance, err)
		}
		held.Limits[k] = n
	}
	for _, name := range limitFiles {
		v, err := t.cg.read(name)
		if errors.As(err, &missing) {
			continue
		}
		if err != nil {
			return Held{}, fmt.Errorf("read back %s: %w", instance, err)
		}
		held.Files = append(held.Files, proto.LimitFile{Name: name, Value: v})
	}
	for _, k := range []resource.Kind{resource.NetTx, resource.NetRx} {
		held.Files = append(held.Files, proto.LimitFile{Name: direction(k).String(), Value: resource.Format(k, held.Limits[k])})
	}
	slices.SortFunc(held.Files, func(a, b proto.LimitFile) int { return strings.Compare(a.Name, b.Name) })
	return held, nil
}

// wantedControllers are those that limits need.
var wantedControllers = []string{"cpu", "io", "memory"}

// Probe returns the controllers that the host offers, sorted, and what is missing for limiting all eight resources.
func (e *Enforcer) Probe() (controllers []string, missing []proto.Missing, err error) {
	if cgroups.Mode() != cgroups.Unified {
		return nil, []proto.Missing{{What: "cgroup v2", Remedy: "boot with systemd.unified_cgroup_hierarchy=1"}}, nil
	}
	root, err := cgroup2.Load("/", cgroup2.WithMountpoint(e.cfg.CgroupRoot))
	if err != nil {
		return nil, nil, fmt.Errorf("cgroup root %s: %w", e.cfg.CgroupRoot, err)
	}
	if controllers, err = root.Controllers(); err != nil {
		return nil, nil, fmt.Errorf("controllers of %s: %w", e.cfg.CgroupRoot, err)
	}
	slices.Sort(controllers)
	for _, c := range wantedControllers {
		if !slices.Contains(controllers, c) {
			missing = append(missing, proto.Missing{What: "cgroup controller " + c, Remedy: controllerRemedy(c)})
		}
	}
	if err := netlimit.Supported(); err != nil {
		missing = append(missing, proto.Missing{What: "network limits", Remedy: err.Error()})
	}
	return controllers, missing, nil
}
