//go:build linux

package demo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/load"
	"github.com/glidepath/glidepath/testenv/report"
)

// move moves the instance, and returns when it serves on the target.
func (d *demo) move(ctx context.Context) error {
	m, err := d.migrate(ctx, "--to", fleet.HostB, "--type", "m.large")
	if err != nil {
		return err
	}
	d.moving = m
	if err := d.confirmed(ctx, m); err != nil {
		return err
	}
	d.screen.say("Clients were without an answer for at most %s.", d.clients.Stats(time.Now()).Longest(m.CreatedAt.Std(), time.Now()).Length().Round(time.Millisecond))
	return nil
}

// live runs the campaign on the target, until it and the move have ended.
func (d *demo) live(ctx context.Context) error {
	m := d.moving
	defer m.group.Wait() //nolint:errcheck // it is waited for below where it matters
	if time.Until(d.campaign.Start.Std()) < campaignNotice {
		d.screen.say("The move took longer than thought, so the campaign is put off a little.")
		if err := d.glidepath(ctx, "event", "remove", campaignID); err != nil {
			return err
		}
		if err := d.register(ctx, time.Now().Add(campaignNotice)); err != nil {
			return err
		}
	}
	start := d.campaign.Start.Std()
	if err := d.sleepUntil(ctx, start, "The campaign begins at "+start.Format("15:04:05 UTC")+"; its limits should rise before"); err != nil {
		return err
	}
	d.screen.say("The campaign begins: requests that cost %.1f cores, and %s more data.", campaignCores, mebibytes(campaignMemory))
	stats, span, err := d.campaignFor(ctx, m)
	if err != nil {
		return err
	}
	if err := d.tellRise(m.target, span.from); err != nil {
		return err
	}
	done, err := d.ended(ctx, m)
	if err != nil {
		return err
	}
	if done.Outcome != proto.OutcomeCompleted {
		return fmt.Errorf("migration %s was %s: %s", done.ID, done.Outcome, done.Reason)
	}
	run, err := d.record(ctx, done, stats, span)
	if err != nil {
		return err
	}
	run.Name = "With the schedule"
	run.Note = fmt.Sprintf("%s moved to type %s; its limits on %s followed the forecast, the campaign in it.", Instance, done.ToType, done.Target)
	d.report.Runs = append(d.report.Runs, run)
	d.screen.say("%d writes acknowledged, %d of them lost; throttled on %s during the campaign: %s.", run.Clients.Acknowledged, run.Clients.Lost, m.target, run.Throttled)
	return nil
}

// rise is a limit that rose, against when the load came.
type rise struct {
	from, to float64       // cores
	lead     time.Duration // before the load; less than 0 is after it
}

// findRise returns what a CPU limit was when the load came, and its last notable rise until then, or else its first one after.
func findRise(samples []fleet.Sample, came time.Time) (held float64, r rise, rose bool) {
	for i, s := range samples {
		if s.Present && !s.At.After(came) {
			held = s.Cores
		}
		late := s.At.After(came)
		if i == 0 || !samples[i-1].Present || s.Cores <= samples[i-1].Cores*1.3 || late && (rose || s.At.After(came.Add(campaignLength))) {
			continue
		}
		r, rose = rise{samples[i-1].Cores, s.Cores, came.Sub(s.At)}, true
	}
	return held, r, rose
}

// tellRise says when the limit rose, against when the load came. It is an error if it was below the load when that came.
func (d *demo) tellRise(host string, came time.Time) error {
	held, r, rose := findRise(d.watch.Samples(host, came.Add(-time.Minute)), came)
	switch {
	case rose && r.lead >= 0:
		d.screen.say("Its CPU limit rose from %s to %s cores %.1f s before the campaign began.", cores(r.from), cores(r.to), r.lead.Seconds())
	case rose:
		d.screen.say("Its CPU limit rose from %s to %s cores only %.1f s after the campaign had begun.", cores(r.from), cores(r.to), -r.lead.Seconds())
	case held >= campaignCores:
		d.screen.say("Its CPU limit was at %s cores already, granted for the start.", cores(held))
	}
	if held < campaignCores || math.IsInf(held, 1) {
		return fmt.Errorf("%s had a limit of %s cores on %s when the campaign began, which takes %.1f: it should have risen before", Instance, cores(held), host, campaignCores)
	}
	return nil
}

// stretch is a time that was watched.
type stretch struct{ from, to time.Time }

// campaignFor runs the campaign for its length and says how it goes.
func (d *demo) campaignFor(ctx context.Context, m *migration) (load.CampaignStats, stretch, error) {
	c := &load.Campaign{Dial: d.fleet.Dial, Cores: campaignCores, Bytes: campaignMemory, GrowIn: campaignLength / 2}
	span := stretch{from: time.Now()}
	limited, cancel := context.WithDeadline(ctx, span.from.Add(campaignLength))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Run(limited) }()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			span.to = time.Now()
			return c.Stats(), span, errors.Join(err, ctx.Err())
		case <-tick.C:
			s := c.Stats()
			d.screen.say("campaign: %d requests served, %d turned away, p99 %s%s", s.Served, s.TurnedAway+s.Failed, s.P99.Round(time.Millisecond), d.load(m))
		}
	}
}

// breakMove begins a move whose target can't become healthy, and shows that the instance goes on where it was.
func (d *demo) breakMove(ctx context.Context) error {
	const broken = "on host-a, somebody's drop-in lets Redis listen on another port, so that its health check can't pass"
	d.startClients("abort")
	host := d.fleet.Host(fleet.HostA)
	const folder = "/run/systemd/system/redis-server.service.d"
	_, err := host.Shell(ctx, "mkdir -p "+folder+" && printf '[Service]\\nExecStart=\\n"+
		"ExecStart=/usr/bin/redis-server /etc/redis/redis.conf --port 6380 --supervised systemd --daemonize no\\n' >"+folder+"/90-demo.conf && systemctl daemon-reload")
	if err != nil {
		return err
	}
	d.screen.say("Broken: %s.", broken)
	d.screen.say("The campaign is over, so that it may go back to the type that it came from.")
	m, err := d.migrate(ctx, "--to", fleet.HostA, "--type", "m.small")
	if err != nil {
		return err
	}
	done, err := d.ended(ctx, m)
	if err != nil {
		return err
	}
	if done.Outcome != proto.OutcomeAborted || !unhealthy(done) {
		return fmt.Errorf("migration %s was %s, and not for its target's health: %s", done.ID, done.Outcome, done.Reason)
	}
	if err := d.glidepath(ctx, "migration", "show", done.ID); err != nil {
		return err
	}
	if err := d.sleepUntil(ctx, time.Now().Add(2*time.Second), "Letting the clients write on"); err != nil {
		return err
	}
	stats, read, err := d.stopClients(ctx)
	if err != nil {
		return err
	}
	d.report.Abort = &report.Abort{
		Migration: done.ID, Broken: broken, Outcome: string(done.Outcome), Reason: done.Reason,
		Took:    done.EndedAt.Sub(done.CreatedAt).Milliseconds(),
		Silence: stats.Longest(done.CreatedAt.Std(), time.Now()).Length().Milliseconds(), Acknowledged: stats.Acknowledged, Lost: read.Lost,
	}
	d.screen.say("%s serves on %s again; %d writes acknowledged, %d of them lost.", Instance, done.Source, stats.Acknowledged, read.Lost)
	if read.Lost > 0 {
		return fmt.Errorf("%d acknowledged writes were lost, like %s", read.Lost, read.First)
	}
	_, err = host.Shell(ctx, "rm "+folder+"/90-demo.conf && systemctl daemon-reload")
	return err
}

// unhealthy reports whether a migration's target failed its health check.
func unhealthy(m proto.Migration) bool {
	return slices.ContainsFunc(m.Operations, func(o proto.OperationRecord) bool {
		return o.Kind == proto.OpStart && o.Result != nil && o.Result.Error != nil && o.Result.Error.Code == proto.FaultUnhealthy
	})
}

// compare moves the instance again under the same load, without a schedule: the target gets what the source was configured with
// at first, the limits of m.small, fixed.
func (d *demo) compare(ctx context.Context) error {
	d.screen.say("Without Glidepath's schedule, an operator would copy the unit's configuration: here CPUQuota=25%% and MemoryMax=128M,")
	d.screen.say("what %s had on host-a as m.small. The move itself is the same; the instance is only observed, so no limit follows anything.", Instance)
	if err := d.glidepath(ctx, "instance", "observe", Instance); err != nil {
		return err
	}
	d.startClients("compare")
	m, err := d.migrate(ctx, "--to", fleet.HostA, "--type", "m.small")
	if err != nil {
		return err
	}
	if err := d.confirmed(ctx, m); err != nil {
		return err
	}
	defer m.group.Wait() //nolint:errcheck // it is waited for below where it matters
	const limits = "systemctl set-property --runtime redis-server.service CPUQuota=25% MemoryMax=128M"
	d.screen.command("ssh", fleet.HostA, limits)
	if _, err := d.fleet.Host(fleet.HostA).Shell(ctx, limits); err != nil {
		return err
	}
	if err := d.sleepUntil(ctx, time.Now().Add(5*time.Second), "Letting it run for a moment"); err != nil {
		return err
	}
	d.screen.say("The same campaign begins: requests that cost %.1f cores, and %s more data.", campaignCores, mebibytes(campaignMemory))
	stats, span, err := d.campaignFor(ctx, m)
	if err != nil {
		return err
	}
	done, err := d.ended(ctx, m)
	if err != nil {
		return err
	}
	if done.Outcome != proto.OutcomeCompleted {
		return fmt.Errorf("migration %s was %s: %s", done.ID, done.Outcome, done.Reason)
	}
	run, err := d.record(ctx, done, stats, span)
	if err != nil {
		return err
	}
	run.Name = "Configuration copied unchanged"
	run.Note = fmt.Sprintf("%s moved back to %s under the same load, in mode observe, with the fixed limits that it began with: 0.25 cores and 128 MiB.", Instance, done.Target)
	d.report.Runs = append(d.report.Runs, run)
	if _, err := d.fleet.Host(fleet.HostA).Shell(ctx, "systemctl set-property --runtime redis-server.service CPUQuota= MemoryMax="); err != nil {
		return err
	}
	return d.glidepath(ctx, "instance", "enforce", Instance)
}
