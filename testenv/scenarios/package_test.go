//go:build linux

package scenarios

import (
	"path/filepath"
	"strings"

	"github.com/glidepath/glidepath/testenv/fleet"
)

// packaged: the coordinator's package, installed as an operator does, makes a fleet of its own on the host that does not run the instance,
// and is removed and purged again. The fleets of the other scenarios run its programs, but not its unit.
func packaged(tr *trial) {
	host := tr.f.Host(fleet.Other(tr.instance().Owner))
	deb, err := filepath.Glob(filepath.Join(debs(), "glidepath-coordinator_*.deb"))
	must(tr.T, err)
	if len(deb) != 1 {
		tr.Fatalf("want one package of the coordinator, there are %q", deb)
	}
	// Its port is the agent's, too.
	_, err = host.Exec(tr.ctx, "systemctl", "stop", "glidepath-agent.service")
	must(tr.T, err)
	must(tr.T, host.InstallDebs(tr.ctx, deb[0]))
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
		! test -e /etc/glidepath/coordinator.yaml
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
