//go:build linux

package scenarios

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/vm"
)

// byRPM: rpm itself runs the packages' scripts, with its own arguments and a real systemd: it installs, upgrades, puts back and erases the agent's
// package under an instance that feels none of it, and the coordinator's. What they depend on has other names with Debian, which is not looked at.
func byRPM(tr *trial) {
	tr.agentByRPM()
	tr.coordinatorByRPM(tr.f.Host(tr.target))
}

// put copies a package to a host, and returns where it is there and its version.
func (tr *trial) put(host *vm.Guest, folder, begins string) (remote, version string) {
	tr.Helper()
	local, version := tr.one(folder, begins, ".rpm")
	remote = "/var/tmp/" + filepath.Base(local)
	must(tr.T, host.CopyTo(tr.ctx, local, remote))
	return remote, version
}

// rpm is how it is called on a host that is not one of its own.
const rpm = "rpm --force-debian --nosignature --nodeps "

func (tr *trial) agentByRPM() {
	tr.Helper()
	host := tr.f.Host(tr.source)
	now, version := tr.put(host, debs(), "glidepath-agent-")
	next, later := tr.put(host, filepath.Join(debs(), "next"), "glidepath-agent-")
	before := tr.life()
	run := func(script string) {
		tr.Helper()
		if out, err := host.Shell(tr.ctx, script); err != nil {
			tr.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	same := func(what string) {
		tr.Helper()
		if now := tr.life(); now != before {
			tr.Errorf("%s: the instance was %s, and is %s", what, before, now)
		}
	}
	runs := func(version string) {
		tr.Helper()
		tr.wait("the agent "+version+" has a session", time.Minute, func() (bool, error) {
			out, err := host.Shell(tr.ctx, "systemctl is-enabled glidepath-agent.service && systemctl is-active glidepath-agent.service && glidepath-agent version")
			if err != nil || !strings.Contains(out, version) {
				return false, errors.Join(err, errors.New(out))
			}
			return tr.metric(tr.source, "glidepath_agent_connected") == 1, nil
		})
		if tr.metric(tr.source, fmt.Sprintf("glidepath_agent_build_info{version=%q}", version)) != 1 {
			tr.Errorf("%s runs another version than %s", tr.source, version)
		}
	}
	// The records of the other package, which was removed, are this one's.
	run("dpkg --remove glidepath-agent 2>&1 && sha256sum /etc/glidepath/allow.yaml /etc/glidepath/agent.yaml >/var/tmp/configuration")
	run(rpm + "--install " + now + " 2>&1")
	runs(version)
	run("sha256sum --check /var/tmp/configuration")
	tr.kernelFollowsTheDocument(tr.source)
	same("installed")

	began, granted := time.Now(), tr.granted(tr.source)
	run(rpm + "--upgrade " + next + " 2>&1")
	runs(later)
	run(rpm + "--upgrade --oldpackage " + now + " 2>&1")
	runs(version)
	run("sha256sum --check /var/tmp/configuration")
	tr.limitedSince(began, granted())
	tr.kernelFollowsTheDocument(tr.source)
	same("upgraded and put back")

	run(`set -eu
		` + rpm + `--erase glidepath-agent 2>&1
		test "$(systemctl is-active glidepath-agent.service || true)" != active
		test ! -e /usr/bin/glidepath-agent
		test ! -e /etc/systemd/system/multi-user.target.wants/glidepath-agent.service
		test ! -e /etc/systemd/system/redis-server.service.d/50-glidepath.conf
		ls /var/lib/glidepath/agent/fence/cache-1.json`)
	tr.wait("the limits are lifted", 30*time.Second, func() (bool, error) {
		s, fresh := tr.watch.Last(tr.source)
		return fresh && s.Present && math.IsInf(s.Cores, 1) && s.High == math.MaxInt64 && s.Max == math.MaxInt64, nil
	})
	same("erased")

	// As it was: what was edited is put aside by rpm.
	run("for f in allow agent; do test ! -e /etc/glidepath/$f.yaml.rpmsave || mv /etc/glidepath/$f.yaml.rpmsave /etc/glidepath/$f.yaml; done; sha256sum --check /var/tmp/configuration")
	deb, _ := tr.one(debs(), "glidepath-agent_", ".deb")
	must(tr.T, host.InstallDebs(tr.ctx, deb))
	run("sha256sum --check /var/tmp/configuration")
	run("systemctl enable --now glidepath-agent.service") // to dpkg, which has had it before, what rpm disabled is an operator's decision
	runs(version)
	tr.kernelFollowsTheDocument(tr.source)
	if owner := tr.serves(serveWithin); owner != tr.source {
		tr.Errorf("it serves on %s", owner)
	}
	same("put back")
}

func (tr *trial) coordinatorByRPM(host *vm.Guest) {
	tr.Helper()
	now, version := tr.put(host, debs(), "glidepath-coordinator-")
	next, later := tr.put(host, filepath.Join(debs(), "next"), "glidepath-coordinator-")
	address := host.Addr().String()
	// Its port is the agent's, too.
	out, err := host.Shell(tr.ctx, `set -eu
		systemctl stop glidepath-agent.service
		`+rpm+`--install `+now+` 2>&1
		getent passwd glidepath
		stat -c '%U %a' /var/lib/glidepath/coordinator
		test "$(systemctl is-active glidepathd.service || true)" != active
		systemctl is-enabled glidepathd.service
		echo "rpc: {advertise: `+address+`:7647}" >>/etc/glidepath/coordinator.yaml
		echo "gossip: {advertise: `+address+`:7646}" >>/etc/glidepath/coordinator.yaml
		echo "api: {advertise: `+address+`:7648}" >>/etc/glidepath/coordinator.yaml
		exports=$(glidepathd init | grep '^  export ')
		eval "$exports"
		leads() { for n in $(seq 300); do glidepath status 2>/dev/null | grep -F " $1 " && return; sleep .2; done; journalctl --no-pager -n 30 -u glidepathd.service; exit 1; }
		systemctl start glidepathd.service
		leads `+version+`
		`+rpm+`--upgrade `+next+` 2>&1
		leads `+later+`
		`+rpm+`--upgrade --oldpackage `+now+` 2>&1
		leads `+version+`
		`+rpm+`--erase glidepath-coordinator 2>&1
		test "$(systemctl is-active glidepathd.service || true)" != active
		test ! -e /usr/bin/glidepathd
		ls /var/lib/glidepath/coordinator/pki/ca.key
		tail -n 1 /etc/glidepath/coordinator.yaml.rpmsave
		rm -r /var/lib/glidepath/coordinator /etc/glidepath/coordinator.yaml.rpmsave
		systemctl start glidepath-agent.service`)
	if err != nil {
		tr.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "glidepath 700") {
		tr.Errorf("its folder is not its own: %s", out)
	}
	tr.wait(fleet.Other(tr.source)+" has a session again", time.Minute, func() (bool, error) { return tr.metric(tr.target, "glidepath_agent_connected") == 1, nil })
}
