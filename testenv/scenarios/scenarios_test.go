//go:build linux

package scenarios

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/traces"
)

// scenario is one of several that share a fleet.
type scenario struct {
	name string
	run  func(*trial)
}

func TestScenarios(t *testing.T) {
	l := newLab(t, 2)
	for _, s := range []scenario{
		{"a type that the target can't hold is refused, and nothing changes", tooSmall},
		{"all coordinators are away for a minute", coordinatorsAway},         // while the forecast is what was imported: no move has added to it yet
		{"a target that does not become healthy aborts the move", unhealthy}, // before the target has ever had the instance
		{"the target's agent is killed while data are copied", agentKilled},
		{"the target is cut off while data are copied", cutWhen(copying)},
		{"the target is cut off between freeze and commit", cutWhen(frozen)},
		{"the target is cut off while it starts the instance", cutWhen(starting)},
		{"the leader is killed while data are copied, and the next one during the switch", leadersKilled},
		{"a live Redis moves and loses nothing, and its source reboots and does not run it again", sourceReboots},
	} {
		l.run(t, s)
	}
}

// TestFurtherScenarios has those that take too long on emulated hosts to be tried each time. The last one leaves both hosts without their agents.
func TestFurtherScenarios(t *testing.T) {
	if os.Getenv("GLIDEPATH_FURTHER") == "" {
		t.Skip("further scenarios take long: run make guests, or set GLIDEPATH_FURTHER=1")
	}
	l := newLab(t, 4, "rpm") // databases are set up on them, and packages installed: what that takes is held as their own use for minutes
	for _, s := range []scenario{
		{"a move on probation is taken back with what was written since", returned},
		{"a PostgreSQL moves and loses nothing", databaseMoves},
		{"nginx moves with both of its addresses", webMoves},
		{"a Redis moves", moves},
		{"the target's agent hangs while the instance starts", agentHangs},
		{"a host is emptied by one command, and what is in the way is named", drained},
		{"the coordinator's package makes a fleet on a host", packaged},
		{"the coordinators are upgraded and put back while it moves", coordinatorsUpgraded},
		{"hosts die, come back, and are given up", hostsDie},
		{"rpm installs, upgrades and erases the packages", byRPM},
		{"the agent's package is upgraded and removed under an instance", upgraded},
	} {
		l.run(t, s)
	}
}

// tooSmall: refused, naming host, step, resource and missing amount; nothing changed anywhere.
func tooSmall(tr *trial) {
	// A campaign that took five cores four times before is about to come again: the host has two.
	now := time.Now()
	spec := traces.Spec{Seed: 1, Length: 14 * 24 * time.Hour, Shapes: traces.Redis()}
	spec.Start = timeline.Of(now).Floor(5 * time.Minute).Add(-spec.Length)
	spec.Shapes[resource.CPU].Campaign = 5000
	// Otherwise more than the clients of the scenarios make it take: what is granted then follows the forecast alone. At all hours that
	// leaves room for a rise below what the type may have.
	spec.Shapes[resource.CPU].Base, spec.Shapes[resource.CPU].Swing = 430, .01
	spec.Shapes[resource.Memory] = traces.Shape{Base: 4 * dataBytes, Swing: .05, Noise: .01}
	spec.Shapes[resource.WriteBytes] = traces.Shape{Base: 4 << 20, Swing: .1, Noise: .05}
	spec.Shapes[resource.NetTx] = traces.Shape{Base: 20e6, Swing: .1, Noise: .05}
	for _, after := range []time.Duration{66 * time.Hour, 133 * time.Hour, 200 * time.Hour, 267 * time.Hour} {
		spec.Campaigns = append(spec.Campaigns, traces.Campaign{Start: spec.Start.Add(after), Length: 2 * time.Hour})
	}
	trace, err := traces.Generate(spec)
	must(tr.T, err)
	tr.write("history.csv", trace.WriteCSV)
	tr.write("campaigns.csv", trace.WriteEvents)
	start := timeline.Of(now).Floor(time.Minute).Add(4 * time.Minute)
	for _, args := range [][]string{
		{"history", "import", instance, "-f", "history.csv"},
		{"event", "add", "--file", "campaigns.csv", "--instance", instance},
		{"event", "add", "campaign", "--id", "next", "--instance", instance, "--start", start.Std().Format(time.RFC3339), "--for", "1m"},
	} {
		_, err := tr.f.CLIIn(tr.ctx, tr.files, args...)
		must(tr.T, err)
	}
	moved := tr.migrations()
	_, err = tr.f.CLI(tr.ctx, "migrate", instance, "--to", tr.target, "--type", "m.huge")
	var exit *fleet.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 {
		tr.Fatalf("not refused: %v", err)
	}
	at := start.Add(-10 * time.Second).Std() // limits rise a step of the grid before the campaign
	said := regexp.MustCompile(`(\S+) is short of cpu by (\S+) in (\S+).*: (\S+) would be needed and (\S+) may be promised`).FindStringSubmatch(exit.Stderr)
	if said == nil || said[1] != tr.target || !strings.Contains(said[3], at.Format("2006-01-02T15:04:05")) {
		tr.Errorf("the refusal does not say that %s is short of cpu at %s, and how much: %s", tr.target, at, exit.Stderr)
	} else if missing, needed, limit := cores(tr.T, said[2]), cores(tr.T, said[4]), cores(tr.T, said[5]); missing <= 0 || needed-limit != missing {
		tr.Errorf("%d of %d millicores are missing, where %d may be promised: %s", missing, needed, limit, exit.Stderr)
	}
	tr.Logf("refused: %s", strings.TrimSpace(exit.Stderr))
	tr.nothingLeft()
	if diff := cmp.Diff(tr.prints[tr.source], tr.footprint(tr.source)); diff != "" {
		tr.Errorf("%s is not as it was:\n%s", tr.source, diff)
	}
	if diff := cmp.Diff(moved, tr.migrations()); diff != "" {
		tr.Errorf("there is another migration:\n%s", diff)
	}
	if i := tr.instance(); i.Owner != tr.source || i.Migration != "" || i.Spec.Type != "m.small" {
		tr.Errorf("the instance has changed: %+v", i)
	}
	_, err = tr.f.CLI(tr.ctx, "event", "remove", "next")
	must(tr.T, err)
}

// cores reads an amount of CPU.
func cores(t *testing.T, text string) int64 {
	t.Helper()
	n, err := resource.Parse(resource.CPU, text)
	must(t, err)
	return n
}

// migrations lists all that there were and are.
func (tr *trial) migrations() []v1.MigrationStatus {
	tr.Helper()
	list, err := fleet.Ask[v1.List[v1.MigrationStatus]](tr.ctx, tr.f, "migration", "list")
	must(tr.T, err)
	return list.Items
}

// write makes a file in the folder that commands are run in.
func (tr *trial) write(name string, content func(io.Writer) error) {
	tr.Helper()
	var text bytes.Buffer
	must(tr.T, content(&text))
	must(tr.T, os.WriteFile(filepath.Join(tr.files, name), text.Bytes(), 0o600))
}

// returned: the way back begins when the target has just begun to serve, and brings along what clients write there all the while.
func returned(tr *trial) {
	m, err := fleet.Ask[proto.Migration](tr.ctx, tr.f, "migrate", instance, "--to", tr.target, "--type", "m.large")
	must(tr.T, err)
	tr.when(m.ID, warm)
	before := tr.clients.Stats(time.Now()).Acknowledged
	tr.wait("clients have written on the target", time.Minute, func() (bool, error) { return tr.clients.Stats(time.Now()).Acknowledged > before+10, nil })
	back, err := fleet.Ask[proto.Migration](tr.ctx, tr.f, "migration", "return", m.ID, "--reason", "slower than before")
	must(tr.T, err)
	if done := tr.when(back.ID, ended); done.Outcome != proto.OutcomeCompleted {
		tr.Fatalf("the way back was %s: %s", done.Outcome, done.Reason)
	}
	if m := tr.when(m.ID, ended); m.Outcome != proto.OutcomeReturned {
		tr.Errorf("the move was %s: %s", m.Outcome, m.Reason)
	}
	if host := tr.serves(serveWithin); host != tr.source {
		tr.Errorf("it serves on %s", host)
	}
	if i := tr.instance(); i.Owner != tr.source || i.Spec.Type != m.FromType {
		tr.Errorf("it is of type %s on %s", i.Spec.Type, i.Owner)
	}
	tr.livesOn(tr.source)
}

// breakHealth makes the unit listen where nobody looks for it, on the target, and returns what takes that back.
func (tr *trial) breakHealth() (mend func()) {
	tr.Helper()
	const folder = "/run/systemd/system/redis-server.service.d"
	host := tr.f.Host(tr.target)
	_, err := host.Shell(tr.ctx, "mkdir -p "+folder+" && printf '[Service]\\nExecStart=\\n"+
		"ExecStart=/usr/bin/redis-server /etc/redis/redis.conf --port 6380 --supervised systemd --daemonize no\\n' >"+folder+"/90-broken.conf && systemctl daemon-reload")
	must(tr.T, err)
	tr.prints[tr.target] = tr.footprint(tr.target)
	return func() {
		_, err := host.Shell(tr.ctx, "rm "+folder+"/90-broken.conf && systemctl daemon-reload")
		must(tr.T, err)
	}
}

// dropIn is what tells systemd on a host that the instance has to do with it.
const dropIn = "/etc/systemd/system/" + fleet.Unit + ".d/50-glidepath.conf"

// unhealthy: aborted, the source serves again, nothing is left on the target, which has never had the instance.
func unhealthy(tr *trial) {
	defer tr.breakHealth()()
	if slices.Contains(tr.prints[tr.target], dropIn) {
		tr.Fatalf("%s had the instance before, so that its drop-in stays as a fence: this scenario has to come before those that complete a move", tr.target)
	}
	id := tr.migrate().ID
	tr.when(id, copying)
	if !slices.Contains(tr.footprint(tr.target), dropIn) {
		tr.Errorf("data come to %s, and there is no %s", tr.target, dropIn)
	}
	m := tr.when(id, ended)
	failed := slices.ContainsFunc(m.Operations, func(o proto.OperationRecord) bool {
		return o.Kind == proto.OpStart && o.Result != nil && o.Result.Error != nil && o.Result.Error.Code == proto.FaultUnhealthy
	})
	if m.Outcome != proto.OutcomeAborted || !failed {
		tr.Errorf("%s, and not for the target's health: %s", m.Outcome, m.Reason)
	}
	if host := tr.serves(serveWithin); host != tr.source {
		tr.Errorf("it serves on %s", host)
	}
	if slices.Contains(tr.footprint(tr.target), dropIn) {
		tr.Errorf("%s was left on %s", dropIn, tr.target)
	}
	tr.nothingLeft()
}

// agentHangs: when its permit has run out the instance is ended on the target, though its agent does nothing, before the source gets it back.
func agentHangs(tr *trial) {
	defer tr.breakHealth()() // it goes on starting
	host := tr.f.Host(tr.target)
	running := func() (bool, error) {
		out, err := host.Shell(tr.ctx, "pgrep -x redis-server || true")
		return strings.TrimSpace(out) != "", err
	}
	m := tr.migrate()
	tr.wait("the instance starts on the target", moveWithin, running)
	signal := func(name string) {
		_, err := host.Exec(tr.ctx, "systemctl", "kill", "--signal="+name, "--kill-whom=main", "glidepath-agent.service")
		must(tr.T, err)
	}
	signal("STOP")
	defer signal("CONT") // also of a test that fails
	tr.wait("its guard ends it", 30*time.Second, func() (bool, error) {
		is, err := running()
		return !is, err
	})
	if host := tr.serves(serveWithin); host != tr.source {
		tr.Errorf("it serves on %s", host)
	}
	signal("CONT")
	tr.settled(m.ID)
}

// settled waits for the end of a move that met with a fault, and checks that all is in order on either side.
func (tr *trial) settled(id string) proto.Migration {
	tr.Helper()
	m := tr.when(id, ended)
	tr.Logf("it was %s: %s", m.Outcome, m.Reason)
	host := tr.serves(serveWithin)
	switch m.Outcome {
	case proto.OutcomeCompleted:
		if host != tr.target {
			tr.Errorf("completed, and it serves on %s", host)
		}
		tr.livesOn(tr.target)
	case proto.OutcomeAborted:
		if host != tr.source {
			tr.Errorf("aborted, and it serves on %s", host)
		}
		tr.nothingLeft()
	default:
		tr.Errorf("%s: %s", m.Outcome, m.Reason)
	}
	return m
}

func agentKilled(tr *trial) {
	m := tr.migrate()
	hit := tr.strike(m.ID, copying, func() error {
		_, err := tr.f.Host(tr.target).Exec(tr.ctx, "systemctl", "kill", "--signal=KILL", "--kill-whom=main", "glidepath-agent.service")
		return err
	})
	hit(tr.settled(m.ID))
}

// cutWhen cuts the target off for half a minute when the migration is at a point.
func cutWhen(p point) func(*trial) {
	return func(tr *trial) {
		m := tr.migrate()
		hit := tr.strike(m.ID, p, func() error { return tr.f.VM.Cut(tr.ctx, tr.target) })
		tr.pause(30 * time.Second)
		must(tr.T, tr.f.VM.Heal(tr.ctx, tr.target))
		tr.serves(serveWithin)
		hit(tr.settled(m.ID))
	}
}

// leadersKilled: the leader is killed at a point of a move, and the next one at another. Whoever leads then finishes what those began.
func leadersKilled(tr *trial) {
	m := tr.migrate()
	var hits []func(proto.Migration)
	var leader *fleet.Coordinator
	for _, p := range []point{copying, frozen} {
		killed := leader
		tr.wait("another leads", time.Minute, func() (bool, error) {
			var err error
			leader, err = tr.f.Leader(tr.ctx)
			return err == nil && leader != killed, err
		})
		if killed != nil { // not before: it may be elected again
			must(tr.T, killed.Start())
		}
		hits = append(hits, tr.strike(m.ID, p, leader.Kill9))
	}
	must(tr.T, leader.Start())
	done := tr.when(m.ID, ended)
	for _, hit := range hits {
		hit(done)
	}
	if done.Outcome != proto.OutcomeCompleted {
		tr.Errorf("%s: %s", done.Outcome, done.Reason)
	}
	if host := tr.serves(serveWithin); host != tr.target {
		tr.Errorf("it serves on %s", host)
	}
	tr.livesOn(tr.target)
}

// metric returns a figure of a host's agent.
func (tr *trial) metric(host, name string) float64 {
	tr.Helper()
	out, err := tr.f.Host(host).Shell(tr.ctx, `exec 3<>/dev/tcp/127.0.0.1/7649; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; grep '^`+name+` ' <&3 | cut -d' ' -f2`)
	must(tr.T, err)
	n, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
	must(tr.T, err)
	return n
}

// pid returns the process identifier of Redis.
func (tr *trial) pid() string {
	tr.Helper()
	out, err := tr.f.Host(tr.source).Exec(tr.ctx, "systemctl", "show", "--property=MainPID", "--value", fleet.Unit)
	must(tr.T, err)
	return strings.TrimSpace(out)
}
