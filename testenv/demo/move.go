//go:build linux

package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
)

// tellEvery is how often a line is said while nothing but figures change.
const tellEvery = 4 * time.Second

// migration is a move that is followed.
type migration struct {
	proto.Migration               // as it began
	source, target  string        // hosts
	serving         chan struct{} // closed when it is confirmed, or has ended
	group           errgroup.Group
}

// migrate begins a move and follows it on the screen. The caller must wait for its group, which ends with the move.
func (d *demo) migrate(ctx context.Context, args ...string) (*migration, error) {
	args = append([]string{"migrate", Instance}, args...)
	d.screen.command(append([]string{"glidepath"}, args...)...)
	begun, err := fleet.Ask[proto.Migration](ctx, d.fleet, args...)
	if err != nil {
		return nil, err
	}
	m := &migration{Migration: begun, source: begun.Source, target: begun.Target, serving: make(chan struct{})}
	d.screen.say("Migration %s has begun: about %s, with clients waiting for about %s.", m.ID,
		milliseconds(m.Plan.Duration).Round(time.Second/10), milliseconds(m.Plan.Downtime).Round(time.Second/10))
	m.group.Go(func() error { return d.follow(ctx, m) })
	return m, nil
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// follow says how a move goes until it has ended. That it ended otherwise than completed is no error.
func (d *demo) follow(ctx context.Context, m *migration) error {
	var said string
	var at time.Time
	confirmed := false
	tell := func(line string) {
		var u v1.MigrationUpdate
		if json.Unmarshal([]byte(line), &u) != nil {
			return
		}
		phase := u.Migration.Phase
		if !confirmed && (phase == proto.PhaseWarm || phase == proto.PhaseSettle || phase == proto.PhaseEnded) {
			confirmed = true
			close(m.serving)
		}
		text, what := describe(u)
		if what == said && (time.Since(at) < tellEvery || phase == proto.PhaseSettle) {
			return
		}
		said, at = what, time.Now()
		d.screen.say("%s", text+d.load(m))
	}
	cmd := d.fleet.Command(ctx, "migration", "watch", m.ID, "--json")
	var errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &lines{each: tell}, &errOut
	err := cmd.Run()
	if !confirmed {
		close(m.serving)
	}
	if code := cmd.ProcessState.ExitCode(); err != nil && code != exitAborted {
		return fmt.Errorf("watch migration %s: %w: %s", m.ID, err, strings.TrimSpace(errOut.String()))
	}
	return nil
}

// exitAborted is the exit code of `glidepath` for a migration that was aborted.
const exitAborted = 5

// describe returns a line about a move, and the part of it that is worth a line of its own when it changes.
func describe(u v1.MigrationUpdate) (text, what string) {
	text = fmt.Sprintf("%-8s %-15s", u.Migration.Phase, u.Operation)
	if u.Migration.Phase == proto.PhaseEnded {
		text = "ended: " + string(u.Migration.Outcome)
		if u.Migration.Reason != "" {
			text += ": " + u.Migration.Reason
		}
		return text, text
	}
	var p proto.MigrationProgress
	what = text
	if len(u.Progress) > 0 && json.Unmarshal(u.Progress, &p) == nil {
		if p.Round > 0 {
			text = fmt.Sprintf("%s round %d", text, p.Round)
		}
		if what = text + p.Stage + p.Trouble; p.Bytes > 0 {
			text += ", " + mebibytes(p.Bytes) + " sent"
		}
		if p.Trouble != "" {
			text += ", " + p.Trouble
		}
	}
	return text, what
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// load says what the instance uses and gets where it runs, by what is seen from outside.
func (d *demo) load(m *migration) string {
	for _, host := range []string{m.target, m.source} {
		seen := d.watch.Samples(host, time.Now().Add(-3*time.Second))
		if len(seen) < 2 || seen[len(seen)-1].Processes == 0 {
			continue
		}
		first, last := seen[0], seen[len(seen)-1]
		took := last.At.Sub(first.At)
		if took <= 0 || last.Used < first.Used {
			continue
		}
		return fmt.Sprintf("  | on %s: uses %.2f of %s cores, %s of %s; throttled %d ms in %.0f s", host,
			float64(last.Used-first.Used)/float64(took), cores(last.Cores), mebibytes(last.Memory), limit(last.High, last.Max),
			(last.Throttled - first.Throttled).Milliseconds(), took.Seconds())
	}
	return "  | runs nowhere"
}

func cores(n float64) string {
	if math.IsInf(n, 1) {
		return "any"
	}
	return fmt.Sprintf("%.2f", n)
}

func limit(high, most int64) string {
	if n := min(high, most); n < math.MaxInt64 {
		return mebibytes(n)
	}
	return "any"
}

// confirmed waits until a move's target serves. That it never will is an error.
func (d *demo) confirmed(ctx context.Context, m *migration) error {
	select {
	case <-m.serving:
	case <-ctx.Done():
		return errors.Join(ctx.Err(), m.group.Wait())
	}
	now, err := d.fleet.Migration(ctx, m.ID)
	if err != nil {
		return errors.Join(err, m.group.Wait())
	}
	if !now.Confirmed() {
		return errors.Join(m.group.Wait(), fmt.Errorf("migration %s was %s: %s", m.ID, now.Outcome, now.Reason))
	}
	return nil
}

// ended waits for the end of a move, and returns it as it was recorded.
func (d *demo) ended(ctx context.Context, m *migration) (proto.Migration, error) {
	if err := m.group.Wait(); err != nil {
		return proto.Migration{}, err
	}
	return d.fleet.Migration(ctx, m.ID)
}

// sleepUntil waits, and says for what.
func (d *demo) sleepUntil(ctx context.Context, t time.Time, what string) error {
	d.screen.wait(what)
	defer d.screen.wait("")
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
