package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/proto"
)

// find returns the unit of an instance, refusing what can't be one.
func (d *Driver) find(ctx context.Context, name string) (systemd.Unit, error) {
	u, err := d.Systemd.Unit(ctx, name)
	if errors.Is(err, systemd.ErrNoUnit) {
		return u, d.refusal(fmt.Sprintf("there is no unit %s", name), "install its package there, or correct the name in the instance's file")
	}
	if err != nil {
		return u, err
	}
	switch {
	case u.LoadState == "masked":
		return u, d.refusal(fmt.Sprintf("unit %s is masked", name), "systemctl unmask "+name)
	case u.LoadState != "loaded":
		return u, d.refusal(fmt.Sprintf("unit %s can't be loaded (%s)", name, u.LoadState), "see `systemctl status "+name+"`")
	case u.Name != name:
		return u, d.refusal(fmt.Sprintf("%s is another name of unit %s", name, u.Name), "write "+u.Name+" in the instance's file")
	case u.Type == "oneshot":
		remedy := "name the service that runs"
		if parts := services(u.ConsistsOf); len(parts) > 0 {
			remedy = "name the service that runs: " + strings.Join(parts, " or ")
		}
		return u, d.refusal(fmt.Sprintf("unit %s is a oneshot: it does not keep running", name), remedy)
	}
	return u, nil
}

// services returns those of the units that are services, sorted.
func services(units []string) []string {
	var out []string
	for _, name := range units {
		if strings.HasSuffix(name, ".service") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// refusal returns a fault that names this host.
func (d *Driver) refusal(what, remedy string) error {
	return &proto.Fault{Code: proto.FaultRefused, What: "host " + d.Host + ": " + what, Remedy: remedy}
}

// companions splits what belongs to a unit into what starts it, and so moves with it, and what else is tied to it.
func companions(u systemd.Unit, more []string) (starters, others []string) {
	for _, name := range slices.Concat(u.TriggeredBy, more, u.ConsistsOf) {
		if name == u.Name {
			continue
		}
		switch filepath.Ext(name) {
		case ".socket", ".timer", ".path":
			starters = append(starters, name)
		default:
			others = append(others, name)
		}
	}
	slices.Sort(starters)
	slices.Sort(others)
	return slices.Compact(starters), slices.Compact(others)
}

// isSocket tells the companions that the service may need to start at all from those that start it at times of their own.
func isSocket(name string) bool { return strings.HasSuffix(name, ".socket") }

// stopCompanions stops what could start the unit: sockets first, since every client would.
func (d *Driver) stopCompanions(ctx context.Context, names []string) error {
	ordered := slices.Clone(names)
	slices.SortStableFunc(ordered, func(a, b string) int {
		switch {
		case isSocket(a) == isSocket(b):
			return 0
		case isSocket(a):
			return -1
		}
		return 1
	})
	for _, name := range ordered {
		if err := d.Systemd.Stop(ctx, name); err != nil && !errors.Is(err, systemd.ErrNoUnit) {
			return err
		}
	}
	return nil
}

// startCompanions starts those companions that are sockets, or those that are not.
func (d *Driver) startCompanions(ctx context.Context, names []string, sockets bool) error {
	for _, name := range names {
		if isSocket(name) != sockets {
			continue
		}
		if err := d.Systemd.Start(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// stop stops a unit and makes sure that none of its processes is left. A unit that leaves some behind (KillMode=process or none)
// has them killed: they could still write to the data.
func (d *Driver) stop(ctx context.Context, name string) error {
	group, err := d.Systemd.ControlGroup(ctx, name)
	if errors.Is(err, systemd.ErrNoUnit) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.stopIn(ctx, name, group)
}

// stopIn is stop for a unit whose cgroup is known.
func (d *Driver) stopIn(ctx context.Context, name, group string) error {
	if err := d.Systemd.Stop(ctx, name); err != nil && !errors.Is(err, systemd.ErrNoUnit) {
		return err
	}
	if group != "" {
		if populated, err := d.populated(group); err != nil || !populated {
			return err
		}
	}
	running, err := d.Systemd.Running(ctx, []string{name})
	if err != nil {
		return err
	}
	if running[name] {
		return &proto.Fault{Code: proto.FaultFailed, What: fmt.Sprintf("unit %s on host %s runs after it was stopped", name, d.Host), Remedy: "see journalctl -u " + name}
	}
	return d.empty(ctx, name, group)
}

// empty makes sure that a stopped unit's cgroup holds no process.
func (d *Driver) empty(ctx context.Context, name, group string) error {
	if group == "" {
		return nil
	}
	killed := false
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		populated, err := d.populated(group)
		if err != nil || !populated {
			return err
		}
		if !killed {
			d.Log.Warn("a stopped unit left processes behind; they are killed", "unit", name, "cgroup", group)
			if err := d.killAll(group); err != nil {
				return fmt.Errorf("kill what unit %s left behind: %w", name, err)
			}
			killed = true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the processes of unit %s to end: %w", name, ctx.Err())
		}
	}
}

// populated reports whether a cgroup, or one below it, holds processes. One that is gone holds none.
func (d *Driver) populated(group string) (bool, error) {
	data, err := os.ReadFile(filepath.Join(d.CgroupRoot, group, "cgroup.events"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for processes: %w", err)
	}
	return slices.Contains(strings.Split(string(data), "\n"), "populated 1"), nil
}

// killAll kills all processes in a cgroup at once.
func (d *Driver) killAll(group string) error {
	if group == "" || group == "/" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(d.CgroupRoot, group, "cgroup.kill"), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString("1")
	return errors.Join(err, f.Close())
}

// stopNow ends a unit that may not run a moment longer. Nobody has been served by it, so nothing is lost by killing it.
func (d *Driver) stopNow(ctx context.Context, name string) error {
	group, err := d.Systemd.ControlGroup(ctx, name)
	if errors.Is(err, systemd.ErrNoUnit) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := d.killAll(group); err != nil {
		d.Log.Warn("processes could not be killed at once; the unit is stopped", "unit", name, "error", err)
	}
	return d.stop(ctx, name)
}
