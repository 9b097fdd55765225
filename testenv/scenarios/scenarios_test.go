//go:build linux

package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
	l := newLab(t)
	for _, s := range []scenario{
		{"a type that the target can't hold is refused, and nothing changes", tooSmall},
		{"a move on probation is taken back with what was written since", returned},
		{"a target that does not become healthy aborts the move", unhealthy},
		{"the target's agent is killed while data are copied", agentKilled},
		{"the target is cut off while data are copied", cutWhen("copying", copying)},
		{"the target is cut off between freeze and commit", cutWhen("frozen", decided(proto.DecideFreeze))},
		{"the target is cut off while it starts the instance", cutWhen("committed", decided(proto.DecideCommit))},
		{"the target's agent hangs while the instance starts", agentHangs},
		{"the leader is killed while data are copied", leaderKilled("copying", copying)},
		{"the leader is killed during the switch", leaderKilled("frozen", decided(proto.DecideFreeze))},
		{"all coordinators are away for a minute", coordinatorsAway},
		{"a live Redis moves and loses nothing, and its source reboots and does not run it again", sourceReboots},
		{"the coordinator's package makes a fleet on a host", packaged},
	} {
		l.run(t, s)
	}
}

// TestFurtherScenarios has those that take too long on emulated hosts to be tried each time. The last one leaves both hosts without their agents.
func TestFurtherScenarios(t *testing.T) {
	if os.Getenv("GLIDEPATH_FURTHER") == "" {
		t.Skip("further scenarios take long: run make guests, or set GLIDEPATH_FURTHER=1")
	}
	l := newLab(t, "rpm")
	for _, s := range []scenario{
		{"a PostgreSQL moves and loses nothing", databaseMoves},
		{"nginx moves with both of its addresses", webMoves},
		{"a Redis moves", moves},
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
	// Otherwise more than the clients of the scenarios make it take: what is granted then follows the forecast alone.
	spec.Shapes[resource.CPU].Base, spec.Shapes[resource.CPU].Swing = 500, .1
	spec.Shapes[resource.Memory] = traces.Shape{Base: 4 * dataBytes, Swing: .05, Noise: .01}
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
	_, err = tr.f.CLI(tr.ctx, "migrate", instance, "--to", tr.target, "--type", "m.huge")
	var exit *fleet.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 {
		tr.Fatalf("not refused: %v", err)
	}
	at := start.Add(-10 * time.Second).Std() // limits rise a step of the grid before the campaign
	for _, word := range []string{tr.target, "short of cpu by ", at.Format("2006-01-02T15:04:05")} {
		if !strings.Contains(exit.Stderr, word) {
			tr.Errorf("the refusal does not say %q: %s", word, exit.Stderr)
		}
	}
	tr.Logf("refused: %s", strings.TrimSpace(exit.Stderr))
	tr.nothingLeft()
	if i := tr.instance(); i.Owner != tr.source || i.Migration != "" || i.Spec.Type != "m.small" {
		tr.Errorf("the instance has changed: %+v", i)
	}
	_, err = tr.f.CLI(tr.ctx, "event", "remove", "next")
	must(tr.T, err)
}

// write makes a file in the folder that commands are run in.
func (tr *trial) write(name string, content func(io.Writer) error) {
	tr.Helper()
	var text bytes.Buffer
	must(tr.T, content(&text))
	must(tr.T, os.WriteFile(filepath.Join(tr.files, name), text.Bytes(), 0o600))
}

// moves: the move of the demo, with the limits read from the target's kernel.
func moves(tr *trial) {
	m, err := fleet.Ask[proto.Migration](tr.ctx, tr.f, "migrate", instance, "--to", tr.target, "--type", "m.large")
	must(tr.T, err)
	tr.when(m.ID, "warm", func(m proto.Migration) bool { return m.Phase == proto.PhaseWarm || m.Phase == proto.PhaseSettle })
	tr.kernelFollowsTheDocument(tr.target)
	done := tr.when(m.ID, "ended", ended)
	if done.Outcome != proto.OutcomeCompleted {
		tr.Fatalf("%s: %s", done.Outcome, done.Reason)
	}
	if host := tr.serves(serveWithin); host != tr.target {
		tr.Errorf("it serves on %s", host)
	}
	tr.livesOn(tr.target)
	actual := time.Duration(0)
	for _, p := range done.Phases {
		if p.Phase == proto.PhaseSettle {
			actual = p.At.Sub(done.CreatedAt)
		}
	}
	silence := tr.clients.Stats(time.Now()).Longest(done.CreatedAt.Std(), time.Now()).Length()
	tr.Logf("duration: predicted %.1f s, actual %.1f s; downtime: predicted %.2f s, actual %.2f s",
		float64(done.Plan.Duration)/1e3, actual.Seconds(), float64(done.Plan.Downtime)/1e3, silence.Seconds())
}

// kernelFollowsTheDocument waits until a host's kernel, read past the agent, holds what the document schedules now: what feedback has
// added for the start is given back by then.
func (tr *trial) kernelFollowsTheDocument(host string) {
	tr.Helper()
	var said, held resource.Vector
	tr.wait("the kernel holds what the document schedules", 4*time.Minute, func() (bool, error) {
		r, err := fleet.Ask[proto.ReadBack](tr.ctx, tr.f, "schedule", "show", instance)
		if err != nil {
			return false, err
		}
		s, fresh := tr.watch.Last(host)
		if !fresh || !s.Present || math.IsInf(s.Cores, 1) {
			return false, nil
		}
		said = r.Scheduled
		held[resource.CPU], held[resource.Memory] = int64(math.Round(s.Cores*1000)), s.High
		// The kernel counts memory in pages.
		if held[resource.CPU] != said[resource.CPU] || held[resource.Memory] > said[resource.Memory] {
			err = fmt.Errorf("scheduled %v, in the kernel %v: %v", said, held, r)
		}
		return held[resource.CPU] == said[resource.CPU] && said[resource.Memory]-held[resource.Memory] < 4096 && held[resource.Memory] <= said[resource.Memory], err
	})
	tr.Logf("scheduled cpu=%dm memory=%d, in the kernel cpu=%dm memory=%d", said[resource.CPU], said[resource.Memory], held[resource.CPU], held[resource.Memory])
}

// returned: the way back begins when the target has just begun to serve, and brings along what clients write there all the while.
func returned(tr *trial) {
	m, err := fleet.Ask[proto.Migration](tr.ctx, tr.f, "migrate", instance, "--to", tr.target, "--type", "m.large")
	must(tr.T, err)
	tr.when(m.ID, "warm", func(m proto.Migration) bool { return m.Phase == proto.PhaseWarm })
	before := tr.clients.Stats(time.Now()).Acknowledged
	tr.wait("clients have written on the target", time.Minute, func() (bool, error) { return tr.clients.Stats(time.Now()).Acknowledged > before+10, nil })
	back, err := fleet.Ask[proto.Migration](tr.ctx, tr.f, "migration", "return", m.ID, "--reason", "slower than before")
	must(tr.T, err)
	if done := tr.when(back.ID, "ended", ended); done.Outcome != proto.OutcomeCompleted {
		tr.Fatalf("the way back was %s: %s", done.Outcome, done.Reason)
	}
	if m := tr.when(m.ID, "ended", ended); m.Outcome != proto.OutcomeReturned {
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

// unhealthy: aborted, the source serves again, nothing is left on the target.
func unhealthy(tr *trial) {
	defer tr.breakHealth()()
	m := tr.when(tr.migrate().ID, "ended", ended)
	failed := slices.ContainsFunc(m.Operations, func(o proto.OperationRecord) bool {
		return o.Kind == proto.OpStart && o.Result != nil && o.Result.Error != nil && o.Result.Error.Code == proto.FaultUnhealthy
	})
	if m.Outcome != proto.OutcomeAborted || !failed {
		tr.Errorf("%s, and not for the target's health: %s", m.Outcome, m.Reason)
	}
	if host := tr.serves(serveWithin); host != tr.source {
		tr.Errorf("it serves on %s", host)
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
func (tr *trial) settled(id string) {
	tr.Helper()
	m := tr.when(id, "ended", ended)
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
}

func agentKilled(tr *trial) {
	m := tr.migrate()
	tr.when(m.ID, "copying", copying)
	_, err := tr.f.Host(tr.target).Exec(tr.ctx, "systemctl", "kill", "--signal=KILL", "--kill-whom=main", "glidepath-agent.service")
	must(tr.T, err)
	tr.settled(m.ID)
}

// cutWhen cuts the target off for half a minute when the migration is at a point.
func cutWhen(what string, is func(proto.Migration) bool) func(*trial) {
	return func(tr *trial) {
		m := tr.migrate()
		tr.when(m.ID, what, is)
		must(tr.T, tr.f.VM.Cut(tr.ctx, tr.target))
		healed := time.NewTimer(30 * time.Second)
		defer healed.Stop()
		select {
		case <-healed.C:
		case <-tr.ctx.Done():
		}
		must(tr.T, tr.f.VM.Heal(tr.ctx, tr.target))
		tr.serves(serveWithin)
		tr.settled(m.ID)
	}
}

// leaderKilled kills the leader at a point: the next one finishes what it began.
func leaderKilled(what string, is func(proto.Migration) bool) func(*trial) {
	return func(tr *trial) {
		leader, err := tr.f.Leader(tr.ctx)
		must(tr.T, err)
		m := tr.migrate()
		tr.when(m.ID, what, is)
		must(tr.T, leader.Kill9())
		defer func() { must(tr.T, leader.Start()) }()
		done := tr.when(m.ID, "ended", ended)
		if done.Outcome != proto.OutcomeCompleted {
			tr.Errorf("%s: %s", done.Outcome, done.Reason)
		}
		if host := tr.serves(serveWithin); host != tr.target {
			tr.Errorf("it serves on %s", host)
		}
		tr.livesOn(tr.target)
	}
}

// coordinatorsAway: the agent goes on with its document, and its samples arrive when the coordinators are back.
func coordinatorsAway(tr *trial) {
	before := tr.pid()
	gone := time.Now()
	for _, c := range tr.f.Coordinators() {
		must(tr.T, c.Stop(tr.ctx))
	}
	back := time.NewTimer(time.Minute)
	defer back.Stop()
	select {
	case <-back.C:
	case <-tr.ctx.Done():
	}
	if s, fresh := tr.watch.Last(tr.source); !fresh || math.IsInf(s.Cores, 1) {
		tr.Errorf("alone, the agent holds no CPU limit: %+v", s)
	}
	if n := tr.metric(tr.source, "glidepath_agent_windows_buffered"); n < 4 {
		tr.Errorf("alone for a minute, the agent keeps %v windows of samples", n)
	}
	returned := time.Now()
	for _, c := range tr.f.Coordinators() {
		must(tr.T, c.Start())
	}
	tr.wait("there is a leader", time.Minute, func() (bool, error) {
		_, err := tr.f.Leader(tr.ctx)
		return err == nil, err
	})
	tr.wait("the samples of the time between arrive", 2*time.Minute, func() (bool, error) {
		return tr.metric(tr.source, "glidepath_agent_windows_buffered") <= 1, nil
	})
	if n := tr.metric(tr.source, "glidepath_agent_windows_dropped_total"); n != 0 {
		tr.Errorf("%v windows of samples were lost", n)
	}
	csv, err := tr.f.CLI(tr.ctx, "history", "export", instance, "--from", gone.UTC().Format(time.RFC3339), "--to", returned.UTC().Format(time.RFC3339))
	must(tr.T, err)
	if strings.Count(csv, "\n") < 2 {
		tr.Errorf("nothing is known of the time between: %s", csv)
	}
	if after := tr.pid(); after != before {
		tr.Errorf("Redis was process %s, and is %s", before, after)
	}
	tr.serves(serveWithin)
	if gap := tr.clients.Stats(time.Now()).Longest(gone, returned); gap.Length() > 5*time.Second {
		tr.Errorf("the clients had no answer for %s while the coordinators were away", gap.Length())
	}
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

// sourceReboots: after a move neither the reboot nor an operator's start makes a second one.
func sourceReboots(tr *trial) {
	moves(tr)
	source := tr.f.Host(tr.source)
	back := tr.watch.Away(tr.source)
	must(tr.T, source.HardReboot(tr.ctx))
	back()
	// systemd skips the unit, which is not an error for it: what counts is the process.
	out, err := source.Shell(tr.ctx, "systemctl start "+fleet.Unit+" 2>&1 || true; systemctl is-active "+fleet.Unit+" || true; pgrep redis-server || true")
	must(tr.T, err)
	if strings.TrimSpace(out) != "inactive" {
		tr.Errorf("after a reboot and systemctl start on %s: %s", tr.source, out)
	}
	if host := tr.serves(serveWithin); host != tr.target {
		tr.Errorf("it serves on %s", host)
	}
	tr.wait("the host is back in the fleet", time.Minute, func() (bool, error) {
		hosts, err := fleet.Ask[v1.List[v1.Host]](tr.ctx, tr.f, "host", "list")
		return err == nil && len(hosts.Items) == 2, err
	})
}
