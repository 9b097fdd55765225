package enforce

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/glidepath/glidepath/agent/enforce/limit"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/resource"
)

// The names of the drop-ins. The first is kept over a reboot. The second names pinned programs, which a reboot takes away; a
// unit whose program is missing does not start: so it lies in /run, and goes with them.
const (
	dropInName    = "50-glidepath.conf"
	netDropInName = "50-glidepath-net.conf"
)

// limitedBy begins a line that a drop-in has if, and only if, the unit is limited.
const limitedBy = "CPUWeight="

const dropInHead = "# Written by glidepath-agent, which rewrites and removes it. Put changes of your own into another drop-in.\n"

// dropIn returns the drop-in of an adopted unit: the question whether it may run here, accounting, and where it is limited the
// most that is ever granted, so that a start by hand or while the agent is down is inside it, too. mayRun is the command that is asked.
func dropIn(t Target, disks []Disk, agentUnit, mayRun string) string {
	var b strings.Builder
	b.WriteString(dropInHead)
	// Ordering only: the unit starts without the agent, too.
	fmt.Fprintf(&b, "[Unit]\nAfter=%s\n\n[Service]\n", agentUnit)
	// The + lets it read the record whatever the unit's user and sandbox.
	fmt.Fprintf(&b, "ExecCondition=+%s %%n\n", mayRun)
	b.WriteString("CPUAccounting=yes\nMemoryAccounting=yes\nIOAccounting=yes\n")
	if !t.Limited {
		return b.String()
	}
	fmt.Fprintf(&b, limitedBy+"%d\n", limit.CPUWeight(t.Class))
	settable := func(k resource.Kind) (int64, bool) {
		n := limit.Settable(k, t.Envelope[k], t.Envelope[k])
		return n, n < resource.Unlimited
	}
	if n, ok := settable(resource.CPU); ok {
		fmt.Fprintf(&b, "CPUQuota=%d.%d%%\nCPUQuotaPeriodSec=%dms\n", n/10, n%10, cpuPeriod/1000)
	}
	if n, ok := settable(resource.Memory); ok {
		n = pageDown(n)
		fmt.Fprintf(&b, "MemoryHigh=%d\nMemoryMax=%d\n", n, maxAbove(n))
	}
	for _, l := range []struct {
		kind resource.Kind
		name string
	}{
		{resource.ReadIOPS, "IOReadIOPSMax"}, {resource.WriteIOPS, "IOWriteIOPSMax"},
		{resource.ReadBytes, "IOReadBandwidthMax"}, {resource.WriteBytes, "IOWriteBandwidthMax"},
	} {
		n, ok := settable(l.kind)
		if !ok {
			continue
		}
		for _, d := range disks {
			fmt.Fprintf(&b, "%s=%s %d\n", l.name, d.Node, n)
		}
	}
	return b.String()
}

// netDropIn returns the drop-in by which systemd puts the pinned programs on the unit's cgroup, now and after each start.
func netDropIn(egress, ingress string) string {
	return dropInHead + fmt.Sprintf("[Service]\nIPEgressFilterPath=%s\nIPIngressFilterPath=%s\n", egress, ingress)
}

// maxDropIn bounds what is read of a drop-in to compare it.
const maxDropIn = 64 << 10

// writeDropIns writes both drop-ins of a unit where they are not as they should be.
func (e *Enforcer) writeDropIns(t *target) error {
	if err := e.writeDropIn(e.cfg.UnitDir, t.Unit, dropInName, dropIn(t.Target, t.disks, e.cfg.AgentUnit, e.cfg.MayRun)); err != nil {
		return err
	}
	return e.writeDropIn(e.cfg.RunUnitDir, t.Unit, netDropInName, netDropIn(t.pacer.Paths()))
}

func (e *Enforcer) writeDropIn(unitDir, unit, name, content string) error {
	dir := filepath.Join(unitDir, unit+".d")
	path := filepath.Join(dir, name)
	is, err := durable.ReadFile(e.files, path, maxDropIn)
	if err == nil && string(is) == content {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	e.unread = true // also when it fails: it may be there all the same
	return durable.WriteFile(e.files, path, []byte(content), 0o644)
}

// removeDropIn removes a drop-in, and its folder where nothing else is in it.
func (e *Enforcer) removeDropIn(unitDir, unit, name string) error {
	dir := filepath.Join(unitDir, unit+".d")
	path := filepath.Join(dir, name)
	if !exists(path) {
		return nil
	}
	e.unread = true
	if err := durable.Remove(e.files, path); err != nil {
		return err
	}
	if left, err := os.ReadDir(dir); err == nil && len(left) == 0 {
		return os.Remove(dir)
	}
	return nil
}

// DropInLimits reports whether a unit's drop-in limits it, in systemd's words; a unit without one is not limited by us.
func (c Config) DropInLimits(unit string) (bool, error) {
	text, err := durable.ReadFile(durable.OS{}, filepath.Join(c.UnitDir, unit+".d", dropInName), maxDropIn)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.Contains(string(text), "\n"+limitedBy), err
}

// inPlace reports whether the drop-ins of a target are still there.
func (e *Enforcer) inPlace(t *target) bool {
	return t.Unit == "" || exists(e.dropInPath(t.Target)) && exists(filepath.Join(e.cfg.RunUnitDir, t.Unit+".d", netDropInName))
}
