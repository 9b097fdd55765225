//go:build linux

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/load"
)

const (
	silenceData  = 60 << 20
	silenceMoves = 3 // of either kind, there and back and there, of which the median counts: one may meet a busy machine
	silenceBar   = .4
	probation    = 3 * time.Second
	moveWithin   = 8 * time.Minute
	instance     = "cache-1"
	// connectFor bounds a client's attempt to connect: it is how exactly the return of the service is noticed.
	connectFor = 50 * time.Millisecond
)

const instanceType = `name: bench
max: {cpu: 1, memory: 384MiB}
`

// A script limits nothing; what Glidepath knows of Redis is that a start takes a whole core, for as long as it reads its data.
const applicationFile = `name: redis
class: critical
startup: {cpu: 1, memory: 64MiB}
decay: 5s
`

const instanceFile = `name: cache-1
driver: service
service: {unit: redis-server.service, data: [/var/lib/redis], config: [/etc/redis]}
host: host-a
address: 10.77.0.60/24
health: {tcp: 6379}
type: bench
class: critical
application: redis
mode: enforce
`

// silence is what clients of one move waited for, in seconds.
type silence struct{ all, stop, start float64 }

// own is what is left beside the unit's own stop and start.
func (s silence) own() float64 { return s.all - s.stop - s.start }

// measureSilence moves a Redis that is written to, there and back: by a script, and by Glidepath. Both stop the same unit, move the same data and
// address between the same hosts, and have the same clients.
func measureSilence(ctx context.Context, b *bench) (rows []Row, err error) {
	say := func(text string) { b.Progress("silence: " + text) }
	f, err := fleet.Up(ctx, fleet.Options{Name: "bench-silence", Debs: b.Debs, GridStep: 10 * time.Second, Probation: probation, Progress: say})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	m := &mover{fleet: f, say: say}
	// Glidepath first: what the script's copies use is otherwise taken for the hosts' own demand, and capacity is held for it.
	if err := m.adopt(ctx); err != nil {
		return nil, err
	}
	ours, err := m.repeat(ctx, "by Glidepath", m.byGlidepath)
	if err != nil {
		return nil, withJournal(ctx, f.Host(fleet.HostB), withJournal(ctx, f.Host(fleet.HostA), err))
	}
	if err := m.release(ctx); err != nil {
		return nil, err
	}
	script, err := m.repeat(ctx, "by a script", m.byScript)
	if err != nil {
		return nil, err
	}
	const peer = "rsync ×3; stop; rsync; start"
	row := func(what string, of func(silence) float64, bar *Bar) Row {
		return Row{What: what, Value: middle(ours, of), Unit: "s", Peer: peer, Of: middle(script, of), Bar: bar}
	}
	return []Row{
		row("clients' silence − the unit's stop − its start", silence.own, atMost(silenceBar)),
		row("clients' silence", func(s silence) float64 { return s.all }, nil),
		row("of this the unit's stop", func(s silence) float64 { return s.stop }, nil),
		row("and its start", func(s silence) float64 { return s.start }, nil),
	}, nil
}

func middle(all []silence, of func(silence) float64) float64 {
	values := make([]float64, len(all))
	for i, s := range all {
		values[i] = of(s)
	}
	return median(values)
}

// moveFunc moves from host to host, and returns how long the unit took to stop, in seconds.
type moveFunc func(ctx context.Context, from, to string) (stop float64, err error)

// mover moves the Redis of a fleet.
type mover struct {
	fleet *fleet.Fleet
	say   func(string)
	moves int
}

// adopt starts Redis on the first host, fills it, and makes it an instance. Neither side rewrites its log meanwhile: that would be more data
// for one move than for the other.
func (m *mover) adopt(ctx context.Context) error {
	m.say(fmt.Sprintf("adopting Redis, and filling it with %d MiB", silenceData>>20))
	for _, g := range m.fleet.Hosts() {
		if _, err := g.Shell(ctx, "echo 'auto-aof-rewrite-percentage 0' >>/etc/redis/redis.conf"); err != nil {
			return err
		}
	}
	if err := m.fleet.StartRedis(ctx, fleet.HostA); err != nil {
		return err
	}
	// Before anybody measures it: the rush would be held for it, and leave no room for the transfer.
	if err := load.Fill(ctx, m.fleet.DialHost(fleet.HostA), "data", silenceData); err != nil {
		return err
	}
	for _, f := range []struct{ kind, text string }{{"type", instanceType}, {"app", applicationFile}, {"instance", instanceFile}} {
		path := filepath.Join(m.fleet.VM.Dir(), f.kind+".yaml")
		if err := os.WriteFile(path, []byte(f.text), 0o600); err != nil {
			return err
		}
		if _, err := m.fleet.CLI(ctx, f.kind, "apply", "-f", path); err != nil {
			return err
		}
	}
	return m.until(ctx, "the instance is adopted", func() (bool, error) {
		i, err := m.fleet.Instance(ctx, instance)
		return err == nil && i.State == proto.InstanceRunning, err
	})
}

// release gives Redis back, as it runs and with its address. The agents, which would stop what the script starts where
// they have given it away, are stopped themselves.
func (m *mover) release(ctx context.Context) error {
	m.say("releasing it")
	if _, err := m.fleet.CLI(ctx, "instance", "release", instance); err != nil {
		return err
	}
	if err := m.until(ctx, "the instance is released", func() (bool, error) {
		_, err := m.fleet.Instance(ctx, instance)
		var exit *fleet.ExitError
		return errors.As(err, &exit) && exit.Code == exitNotFound, nil
	}); err != nil {
		return err
	}
	for _, g := range m.fleet.Hosts() {
		if _, err := g.Shell(ctx, `
			systemctl stop glidepath-agent
			rm -rf {/etc,/run}/systemd/system/`+fleet.Unit+`.d
			systemctl daemon-reload`); err != nil {
			return err
		}
	}
	return nil
}

// exitNotFound is the exit code of the command line for what is not there.
const exitNotFound = 4

// repeat moves there and back, while clients write.
func (m *mover) repeat(ctx context.Context, how string, move moveFunc) ([]silence, error) {
	var all []silence
	for range silenceMoves {
		from, to := fleet.HostA, fleet.HostB
		if m.moves%2 == 1 {
			from, to = to, from
		}
		m.say(fmt.Sprintf("moving it from %s to %s %s", from, to, how))
		s, err := m.measured(ctx, from, to, move)
		if err != nil {
			return nil, fmt.Errorf("move from %s to %s %s: %w", from, to, how, err)
		}
		m.say(fmt.Sprintf("clients waited for %.2f s; the unit took %.2f s to stop and %.2f s to start", s.all, s.stop, s.start))
		all = append(all, s)
	}
	return all, nil
}

// measured makes one move under the eyes of clients.
func (m *mover) measured(ctx context.Context, from, to string, move moveFunc) (s silence, err error) {
	m.moves++
	clients := &load.Clients{Dial: m.fleet.Dial, Prefix: fmt.Sprint("move", m.moves), Connect: connectFor}
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group errgroup.Group
	group.Go(func() error { return clients.Run(writing) })
	defer func() { stop(); err = errors.Join(err, group.Wait()) }()
	if err := m.written(ctx, clients); err != nil {
		return s, err
	}
	began := time.Now()
	if s.stop, err = move(ctx, from, to); err != nil {
		return s, err
	}
	if err := m.written(ctx, clients); err != nil {
		return s, err
	}
	s.all = clients.Stats(time.Now()).Longest(began, time.Now()).Length().Seconds()
	if s.start, err = m.took(ctx, to, "ExecMainStart", "ActiveEnter"); err != nil {
		return s, err
	}
	read, err := clients.Verify(ctx)
	if err == nil && read.Lost > 0 {
		err = fmt.Errorf("%d acknowledged writes are lost, like %s", read.Lost, strings.Join(read.First, ", "))
	}
	return s, err
}

// written waits until all clients go on.
func (m *mover) written(ctx context.Context, c *load.Clients) error {
	before := c.Stats(time.Now()).Acknowledged
	return m.until(ctx, "the clients write", func() (bool, error) { return c.Stats(time.Now()).Acknowledged > before+100, nil })
}

// stopped returns how long the unit took to stop, the last time. It is in the journal: systemd itself forgets a unit that nothing wants any more.
func (m *mover) stopped(ctx context.Context, host string) (float64, error) {
	const stopping, stopped = "de5b426a63be47a7b6ac3eaac82e2f6f", "9d1aaa27d60140bd96365438aad20286" // systemd's message identifiers
	out, err := m.fleet.Host(host).Exec(ctx, "journalctl", "--boot", "--output=json", "--output-fields=MESSAGE_ID", "UNIT="+fleet.Unit)
	if err != nil {
		return 0, err
	}
	at := map[string]int64{} // microseconds, of the last message
	for line := range strings.Lines(out) {
		var entry struct {
			Monotonic string `json:"__MONOTONIC_TIMESTAMP"`
			ID        string `json:"MESSAGE_ID"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			return 0, fmt.Errorf("the journal of %s: %w", host, err)
		}
		if at[entry.ID], err = strconv.ParseInt(entry.Monotonic, 10, 64); err != nil {
			return 0, fmt.Errorf("the journal of %s: %w", host, err)
		}
	}
	if at[stopping] == 0 || at[stopped] < at[stopping] {
		return 0, fmt.Errorf("the journal of %s does not say when %s stopped", host, fleet.Unit)
	}
	return float64(at[stopped]-at[stopping]) / 1e6, nil
}

// took returns how long the unit was on its way from one state to another, the last time, by systemd's own clock. What systemd does before the
// unit's process, as asking whether it may run at all, is no part of its start.
func (m *mover) took(ctx context.Context, host, from, to string) (float64, error) {
	out, err := m.fleet.Host(host).Exec(ctx, "systemctl", "show", "--value",
		"--property="+from+"TimestampMonotonic", "--property="+to+"TimestampMonotonic", fleet.Unit)
	if err != nil {
		return 0, err
	}
	var a, b int64 // microseconds; systemctl has an order of its own
	if _, err := fmt.Sscan(out, &a, &b); err != nil || a == 0 || b == 0 {
		return 0, fmt.Errorf("when %s went from %s to %s: systemctl said %q", fleet.Unit, from, to, out)
	}
	return float64(max(a, b)-min(a, b)) / 1e6, nil
}

// byGlidepath moves the instance as an operator does who follows it.
func (m *mover) byGlidepath(ctx context.Context, from, to string) (stop float64, err error) {
	begun, err := fleet.Ask[proto.Migration](ctx, m.fleet, "migrate", instance, "--to", to)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, moveWithin)
	defer cancel()
	_, failed := m.fleet.CLI(ctx, "migration", "watch", begun.ID)
	now, err := m.fleet.Migration(context.WithoutCancel(ctx), begun.ID)
	if err != nil {
		return 0, errors.Join(failed, err)
	}
	if failed != nil {
		return 0, fmt.Errorf("%w: in phase %s, %s", failed, now.Phase, steps(now))
	}
	m.say(steps(now))
	return m.stopped(ctx, from)
}

// steps says what took how long, above all while the clients waited.
func steps(m proto.Migration) string {
	text := "its operations took"
	var ended timeline.Time // of the one before, as the coordinators saw it
	for _, o := range m.Operations {
		switch o.Kind {
		case proto.OpSyncRound, proto.OpFreeze, proto.OpFinalSync, proto.OpStart, proto.OpConfirm:
		default:
			continue
		}
		if o.Result == nil {
			continue
		}
		if ended != 0 {
			text += fmt.Sprintf(", %d ms later", o.SentAt.Sub(ended).Milliseconds())
		}
		ended = o.EndedAt
		text += fmt.Sprintf(", %s %d ms", o.Kind, o.Result.Took)
		for _, s := range o.Result.Steps {
			text += fmt.Sprintf(" (%s %d)", s.Name, s.Took)
		}
	}
	return text
}

// until looks until something holds. An error ends it only with true.
func (m *mover) until(ctx context.Context, what string, holds func() (bool, error)) error {
	end := time.Now().Add(moveWithin)
	for {
		done, err := holds()
		if done {
			return err
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("waited %s until %s", moveWithin, what), err)
		}
		if err := rest(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}
