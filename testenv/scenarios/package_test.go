//go:build linux

package scenarios

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/vm"
)

// packaged: the coordinator's package, installed as an operator does, makes a fleet of its own on the host that does not run the instance,
// and is removed and purged again. The fleets of the other scenarios run its programs, but not its unit.
func packaged(tr *trial) {
	host := tr.f.Host(fleet.Other(tr.instance().Owner))
	deb, _ := tr.one(debs(), "glidepath-coordinator_", ".deb")
	// Its port is the agent's, too.
	_, err := host.Exec(tr.ctx, "systemctl", "stop", "glidepath-agent.service")
	must(tr.T, err)
	must(tr.T, host.InstallDebs(tr.ctx, deb))
	address := host.Addr().String()
	out, err := host.Shell(tr.ctx, `
		set -eu
		systemctl is-active glidepathd.service && exit 1
		echo "rpc: {advertise: `+address+`:7647}" >>/etc/glidepath/coordinator.yaml
		echo "gossip: {advertise: `+address+`:7646}" >>/etc/glidepath/coordinator.yaml
		echo "api: {advertise: `+address+`:7648}" >>/etc/glidepath/coordinator.yaml
		exports=$(glidepathd init | grep '^  export ')
		systemctl start glidepathd.service
		eval "$exports"
		for n in $(seq 100); do glidepath status && break; sleep .1; done
		glidepath status
		systemctl show --property=User,ActiveState glidepathd.service
		stat -c '%U %a' /var/lib/glidepath/coordinator
		dpkg --remove glidepath-coordinator >&2
		test -e /etc/glidepath/coordinator.yaml
		test -d /var/lib/glidepath/coordinator
		dpkg --purge glidepath-coordinator >&2
		test ! -e /etc/glidepath/coordinator.yaml
		test ! -e /var/lib/glidepath/coordinator
		! systemctl is-active glidepathd.service`)
	if err != nil {
		journal, _ := host.Exec(tr.ctx, "journalctl", "--no-pager", "--lines=30", "--unit=glidepathd.service")
		tr.Fatalf("%v\n%s\n%s", err, out, journal)
	}
	for _, want := range []string{address + ":7648", "leader", "User=glidepath", "ActiveState=active", "glidepath 700"} {
		if !strings.Contains(out, want) {
			tr.Errorf("it did not say %q: %s", want, out)
		}
	}
	_, err = host.Exec(tr.ctx, "systemctl", "start", "glidepath-agent.service")
	must(tr.T, err)
	tr.serves(serveWithin)
}

// upgraded: the agent's package is upgraded, put back to the version before, and removed, on the host of an instance that feels none of it;
// it is not purged while the host has a part in a migration. It comes last: the hosts have no agents afterwards.
func upgraded(tr *trial) {
	owner, other := tr.f.Host(tr.source), tr.f.Host(tr.target)
	tr.kernelFollowsTheDocument(tr.source)
	before, began, granted := tr.life(), time.Now(), tr.granted(tr.source)
	for _, folder := range []string{filepath.Join(debs(), "next"), debs()} {
		deb, version := tr.one(folder, "glidepath-agent_", ".deb")
		must(tr.T, owner.InstallDebs(tr.ctx, deb))
		if tr.metric(tr.source, fmt.Sprintf("glidepath_agent_build_info{version=%q}", version)) != 1 {
			tr.Errorf("%s runs another version than %s", tr.source, version)
		}
		tr.wait("the agent "+version+" has a session", time.Minute, func() (bool, error) { return tr.metric(tr.source, "glidepath_agent_connected") == 1, nil })
	}
	tr.limitedSince(began, granted())
	tr.kernelFollowsTheDocument(tr.source)
	if now := tr.life(); now != before {
		tr.Errorf("the instance was %s before the upgrade, and is %s", before, now)
	}

	// In the middle of a copy that takes long.
	must(tr.T, tr.f.VM.Slow(tr.ctx, tr.target, 2_000_000))
	m := tr.migrate()
	tr.when(m.ID, copying)
	tr.wait("data are sent", time.Minute, func() (bool, error) {
		_, err := owner.Exec(tr.ctx, "glidepath-agent", "may-purge")
		return err != nil, nil
	})
	for _, host := range []*vm.Guest{owner, other} {
		out, err := host.Shell(tr.ctx, `! dpkg --purge glidepath-agent 2>&1 && systemctl is-active glidepath-agent.service && ls /etc/glidepath/allow.yaml /var/lib/glidepath/agent/fence`)
		if err != nil || !strings.Contains(out, "stays as it is") || !strings.Contains(out, "glidepath migration abort "+m.ID) {
			tr.Errorf("a purge of %s: %v: %s", host.Name(), err, out)
		}
	}
	must(tr.T, tr.f.VM.Slow(tr.ctx, tr.target, 0))
	_, err := tr.f.CLI(tr.ctx, "migration", "abort", m.ID, "--reason", "the packages are looked at")
	must(tr.T, err)
	tr.when(m.ID, ended)
	tr.serves(serveWithin)

	// Removed, the agent leaves an instance that may run here without limits and drop-in, and keeps its configuration and records.
	out, err := owner.Shell(tr.ctx, `dpkg --remove glidepath-agent 2>&1
		ls /etc/glidepath/allow.yaml /var/lib/glidepath/agent/fence/cache-1.json
		! test -e /etc/systemd/system/redis-server.service.d/50-glidepath.conf`)
	if err != nil {
		tr.Errorf("the agent is removed from %s: %v: %s", tr.source, err, out)
	}
	tr.wait("the limits are lifted", 30*time.Second, func() (bool, error) {
		s, fresh := tr.watch.Last(tr.source)
		return fresh && s.Present && math.IsInf(s.Cores, 1) && s.High == math.MaxInt64 && s.Max == math.MaxInt64, nil
	})
	if now := tr.life(); now != before {
		tr.Errorf("the instance was %s before the agent was removed, and is %s", before, now)
	}
	// Where the instance has moved away from, the fence outlives the agent. It goes with the records.
	out, err = other.Shell(tr.ctx, `dpkg --remove glidepath-agent 2>&1
		systemctl start redis-server.service 2>&1 || true
		if pgrep redis-server; then exit 1; fi
		ls /etc/systemd/system/redis-server.service.d/50-glidepath.conf
		dpkg --purge glidepath-agent 2>&1
		! ls /etc/glidepath/allow.yaml /var/lib/glidepath/agent /etc/systemd/system/redis-server.service.d/50-glidepath.conf 2>/dev/null | grep .`)
	if err != nil {
		tr.Errorf("the agent is purged from %s: %v: %s", tr.target, err, out)
	}
}

// one returns the one package in a folder whose name begins and ends like that, and its version.
func (tr *trial) one(folder, begins, ends string) (path, version string) {
	tr.Helper()
	found, err := filepath.Glob(filepath.Join(folder, begins+"[0-9]*"+ends))
	must(tr.T, err)
	if len(found) != 1 {
		tr.Fatalf("want one package %s*%s in %s, there are %q: run make clean deb rpm next", begins, ends, folder, found)
	}
	version, _, _ = strings.Cut(strings.TrimPrefix(filepath.Base(found[0]), begins), "-1")
	return found[0], version
}

// life tells one run of the instance from another.
func (tr *trial) life() string {
	tr.Helper()
	out, err := tr.f.Host(tr.source).Exec(tr.ctx, "systemctl", "show", "--property=MainPID,InvocationID", fleet.Unit)
	must(tr.T, err)
	return strings.Join(strings.Fields(out), " ")
}

// granted begins to ask what the document schedules for the instance, and what its agent grants it, twice a second. The function returned ends that, and
// returns the most that there was of each; the agent may be away meanwhile.
func (tr *trial) granted(host string) (most func() resource.Vector) {
	ctx, cancel := context.WithCancel(tr.ctx)
	var all resource.Vector
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			if r, err := fleet.Ask[proto.ReadBack](ctx, tr.f, "schedule", "show", instance); err == nil && r.Measured {
				for k := range all {
					all[k] = max(all[k], r.Scheduled[k], r.Granted[k])
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	stop := func() { cancel(); <-done }
	tr.Cleanup(stop)
	return func() resource.Vector {
		stop()
		if all.IsZero() {
			tr.Fatalf("the agent on %s has said nothing of what it grants", host)
		}
		return all
	}
}

// limitedSince checks that the kernel has held limits of the instance in every sample since a time, and none above an amount.
func (tr *trial) limitedSince(since time.Time, most resource.Vector) {
	tr.Helper()
	samples := tr.watch.Samples(tr.source, since)
	if len(samples) < 4 {
		tr.Fatalf("%d samples in %s", len(samples), time.Since(since))
	}
	for _, s := range samples {
		if !s.Present || math.Round(s.Cores*1000) > float64(most[resource.CPU]) || s.High > most[resource.Memory] {
			tr.Errorf("at %s it had cpu=%vm memory=%d, which is above what was granted: %v", s.At.Format(time.TimeOnly), s.Cores*1000, s.High, most)
		}
	}
}
