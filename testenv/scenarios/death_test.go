//go:build linux

package scenarios

import (
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
)

// hostsDie follows docs/operations.md, "A host dies", to the letter. First a target dies that clients were served by: the operator accepts the loss,
// and when it is back it gives the instance up. Then the owner dies for good, and is forgotten with its instance; it comes back all the same, stops
// what it owned when it hears of it, joins again, and its unit is had back by hand.
func hostsDie(tr *trial) {
	tr.forfeit = tr.target
	tr.targetDies()
	tr.forfeit = tr.source
	tr.ownerIsForgotten()
}

func (tr *trial) targetDies() {
	tr.Helper()
	m := tr.migrate()
	tr.when(m.ID, warm)
	before := tr.clients.Stats(time.Now()).Acknowledged
	tr.wait("clients have written on the target", time.Minute, func() (bool, error) { return tr.clients.Stats(time.Now()).Acknowledged > before+5, nil })
	host := tr.f.Host(tr.target)
	back := tr.watch.Away(tr.target)
	must(tr.T, host.Kill())

	// "glidepath migration abort ID --accept-loss goes back to the source, after it has said how old the data there are".
	_, err := tr.f.CLI(tr.ctx, "migration", "abort", m.ID, "--accept-loss")
	var exit *fleet.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || !strings.Contains(exit.Stderr, "The data that "+tr.source+" kept are from") {
		tr.Fatalf("it is not said how old they are: %v", err)
	}
	tr.Logf("it says: %s", strings.TrimSpace(exit.Stderr))
	fence := regexp.MustCompile(`--accept-loss=\d+`).FindString(exit.Stderr)
	if fence == "" {
		tr.Fatalf("it is not said how to accept it: %s", exit.Stderr)
	}
	_, err = tr.f.CLI(tr.ctx, "migration", "abort", m.ID, fence, "--reason", "its power supply burnt down")
	must(tr.T, err)
	if owner := tr.serves(serveWithin); owner != tr.source {
		tr.Fatalf("it serves on %s", owner)
	}
	tr.away(tr.target)

	// "It comes back": it starts what it had, as after any reboot, and hears of the decision.
	must(tr.T, host.Boot(tr.ctx))
	back()
	must(tr.T, host.StepClock(tr.ctx, 0))
	if ended := tr.when(m.ID, ended); ended.Outcome != proto.OutcomeReturned {
		tr.Errorf("%s: %s", ended.Outcome, ended.Reason)
	}
	tr.stopped(tr.target)
	if owner := tr.serves(serveWithin); owner != tr.source {
		tr.Errorf("it serves on %s", owner)
	}
	tr.livesOn(tr.source)
}

// away waits until the fleet says that a host is.
func (tr *trial) away(host string) {
	tr.Helper()
	tr.wait(host+" is AWAY", 2*time.Minute, func() (bool, error) {
		s, err := tr.f.Status(tr.ctx)
		return slices.ContainsFunc(s.Away, func(a v1.AwayHost) bool { return a.Host == host }), err
	})
}

// stopped waits until a host does not run the instance.
func (tr *trial) stopped(host string) {
	tr.Helper()
	tr.wait("the instance is stopped on "+host, serveWithin, func() (bool, error) {
		out, err := tr.f.Host(host).Shell(tr.ctx, "pgrep -x redis-server || true; ip -oneline address | grep -o 'inet 10.77.0.60/[0-9]*' || true")
		return err == nil && strings.TrimSpace(out) == "", errors.Join(err, errors.New(out))
	})
}

func (tr *trial) ownerIsForgotten() {
	tr.Helper()
	host := tr.f.Host(tr.source)
	back := tr.watch.Away(tr.source)
	must(tr.T, host.Kill())
	tr.away(tr.source)
	if _, err := tr.f.CLI(tr.ctx, "host", "forget", tr.source); err == nil || !strings.Contains(err.Error(), instance) {
		tr.Fatalf("a host that owns an instance is forgotten by the way: %v", err)
	}
	said, err := tr.f.Command(tr.ctx, "host", "forget", tr.source, "--dead", "--yes", "--reason", "burnt down").CombinedOutput()
	must(tr.T, err)
	if !strings.Contains(string(said), instance) {
		tr.Errorf("it is not said what is lost: %s", said)
	}
	if _, err := tr.f.Instance(tr.ctx, instance); err == nil {
		tr.Error("the instance is still there")
	}

	// "Should it come back, it starts what it owned, and stops it when its agent hears that it was taken out; the data go to its retention folder."
	must(tr.T, host.Boot(tr.ctx))
	back()
	must(tr.T, host.StepClock(tr.ctx, 0))
	tr.stopped(tr.source)
	var kept string
	tr.wait("its data are retained", time.Minute, func() (bool, error) {
		list, err := host.Exec(tr.ctx, "glidepath-agent", "retention")
		if err != nil {
			return false, err
		}
		for _, word := range strings.Fields(list) {
			if strings.Contains(word, instance+"-taken-out-") && strings.HasSuffix(word, "/var/lib/redis") {
				kept = word
			}
		}
		return kept != "", errors.New(list)
	})
	hosts, err := fleet.Ask[v1.List[v1.Host]](tr.ctx, tr.f, "host", "list")
	must(tr.T, err)
	if len(hosts.Items) != 1 {
		tr.Errorf("it is back in the fleet without a token: %+v", hosts.Items)
	}

	// "To have a unit back that was given up like that, after the host has joined again".
	token, err := fleet.Ask[v1.TokenReply](tr.ctx, tr.f, "token", "create", "--role", "agent", "--name", tr.source)
	must(tr.T, err)
	out, err := host.Shell(tr.ctx, "systemctl stop glidepath-agent.service && glidepath-agent join --again --token "+token.Secret+" && systemctl start glidepath-agent.service")
	if err != nil {
		tr.Fatalf("%v: %s", err, out)
	}
	tr.wait("the host is in the fleet again", time.Minute, func() (bool, error) {
		hosts, err := fleet.Ask[v1.List[v1.Host]](tr.ctx, tr.f, "host", "list")
		return len(hosts.Items) == 2 && hosts.Items[0].Home != "" && hosts.Items[1].Home != "", err
	})
	out, err = host.Shell(tr.ctx, fmt.Sprintf(`set -e
		systemctl stop glidepath-agent
		rm /var/lib/glidepath/agent/fence/%s.json
		rm /etc/systemd/system/%s.d/50-glidepath.conf
		test ! -e /var/lib/redis
		mv %s %s
		systemctl daemon-reload
		SYSTEMCTL_SKIP_SYSV=1 systemctl enable --now --quiet %s 2>&1
		systemctl start glidepath-agent`, instance, fleet.Unit, kept, path.Dir("/var/lib/redis"), fleet.Unit))
	if err != nil {
		tr.Fatalf("what the documentation says does not work: %v: %s", err, out)
	}
	tr.write("again", func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Replace(spec, "host: host-a", "host: "+tr.source, 1))
		return err
	})
	tr.wait("it is adopted again", 2*time.Minute, func() (bool, error) {
		if _, err := tr.f.CLIIn(tr.ctx, tr.files, "instance", "apply", "-f", "again"); err != nil {
			return false, err
		}
		i, err := tr.f.Instance(tr.ctx, instance)
		return err == nil && i.State == proto.InstanceRunning && i.Owner == tr.source, err
	})
	if owner := tr.serves(serveWithin); owner != tr.source {
		tr.Errorf("it serves on %s", owner)
	}
	tr.kernelFollowsTheDocument(tr.source)
}
