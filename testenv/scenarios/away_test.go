//go:build linux

package scenarios

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
)

const (
	// away is how long the coordinators are.
	away = time.Minute
	// riseIn is how long after it was registered an event raises the schedule: while they are away.
	riseIn = 45 * time.Second
	// follows is within what time of a step of the document its agent sets it, with what two clocks differ by.
	follows = 4 * time.Second
)

// coordinatorsAway: the agent goes on with its document, a restart of its own included, and its samples arrive when the coordinators are back.
func coordinatorsAway(tr *trial) {
	before := tr.pid()
	start := timeline.Of(time.Now()).Add(riseIn).Ceil(gridStep).Add(gridStep) // limits rise a step of the grid before
	_, err := tr.f.CLI(tr.ctx, "event", "add", "campaign", "--id", "away", "--instance", instance, "--start", start.Std().Format(time.RFC3339), "--for", "1m")
	must(tr.T, err)
	tr.wait("the document has the rise", riseIn, func() (bool, error) {
		s, err := tr.document(tr.source)
		if err != nil {
			return false, err
		}
		rise, there := rises(s)
		return there && rise <= start, fmt.Errorf("the schedule is %v", s)
	})
	for _, c := range tr.f.Coordinators() {
		must(tr.T, c.Stop(tr.ctx))
	}
	gone := time.Now()
	schedule, err := tr.document(tr.source)
	must(tr.T, err)
	rise, there := rises(schedule)
	if !there || rise > start || rise.Std().Sub(gone) < 2*follows {
		tr.Fatalf("the coordinators were gone at %s, and the document rises at %s (%v): this machine is too slow", gone, rise, there)
	}
	_, err = tr.f.Host(tr.source).Exec(tr.ctx, "systemctl", "restart", "glidepath-agent.service")
	must(tr.T, err)
	restarted := time.Now()
	tr.pause(max(time.Until(gone.Add(away)), time.Until(rise.Std().Add(3*follows))))
	if n := tr.metric(tr.source, "glidepath_agent_windows_buffered"); n < 4 {
		tr.Errorf("alone for a minute, the agent keeps %v windows of samples", n)
	}
	returned := time.Now()
	for _, c := range tr.f.Coordinators() {
		must(tr.T, c.Start())
	}
	tr.followed(schedule, rise, gone, restarted, returned)
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
	// What the agent measured before it restarted may be cut in two.
	window := proto.WindowLength * time.Millisecond
	if known, want := tr.windows(restarted)-tr.windows(returned), int(returned.Sub(restarted)/window)-1; known < max(want, 2) {
		tr.Errorf("of the samples between %s and %s %d windows are known, want %d", restarted, returned, known, want)
	} else {
		tr.Logf("%d windows of samples from the time between are known", known)
	}
	if after := tr.pid(); after != before {
		tr.Errorf("Redis was process %s, and is %s", before, after)
	}
	tr.serves(serveWithin)
	if gap := tr.clients.Stats(time.Now()).Longest(gone, returned); gap.Length() > 5*time.Second {
		tr.Errorf("the clients had no answer for %s while the coordinators were away", gap.Length())
	}
	_, err = tr.f.CLI(tr.ctx, "event", "remove", "away")
	must(tr.T, err)
}

// document returns the schedule of the instance in the document that a host's agent has stored.
func (tr *trial) document(host string) (timeline.Profile, error) {
	b, err := tr.f.Host(host).ReadFile(tr.ctx, "/var/lib/glidepath/agent/document")
	if err != nil {
		return nil, err
	}
	var d proto.Document
	if err := proto.Unmarshal(b, &d); err != nil {
		return nil, err
	}
	for _, i := range d.Instances {
		if i.Instance == instance {
			return i.Schedule, nil
		}
	}
	return nil, fmt.Errorf("the document of %s does not know %s", host, instance)
}

// rises returns when a schedule first grants notably more CPU than now.
func rises(p timeline.Profile) (at timeline.Time, there bool) {
	now := timeline.Of(time.Now())
	low, there := p.At(now)
	if !there {
		return 0, false
	}
	for _, step := range p {
		if step.Start > now && step.Amount[resource.CPU]*10 > low[resource.CPU]*11 {
			return step.Start, true
		}
	}
	return 0, false
}

// followed checks by the kernel's limit that an agent held to its document while it was alone, before and after it restarted, and when the document rose.
// Feedback may have lent the instance more for a while, up to what its type may have.
func (tr *trial) followed(schedule timeline.Profile, rise timeline.Time, gone, restarted, returned time.Time) {
	tr.Helper()
	var low, high int // samples of the document's step before the rise, by the agent that has restarted, and of the one after
	var seen []string
	last, below := int64(0), 0
	for _, s := range tr.watch.Samples(tr.source, gone) {
		if s.At.After(returned) {
			break
		}
		if !s.Present || math.IsInf(s.Cores, 1) {
			tr.Errorf("at %s, alone, the agent held no CPU limit: %+v", s.At, s)
			continue
		}
		held, at := int64(math.Round(s.Cores*1000)), timeline.Of(s.At)
		if held != last {
			seen, last = append(seen, fmt.Sprintf("%dm from %s", held, s.At.Format(time.TimeOnly))), held
		}
		least, is := resource.Unlimited, false
		for _, step := range schedule.Clip(timeline.Span{Start: at.Add(-follows), End: at.Add(follows)}) {
			least, is = min(least, step.Amount[resource.CPU]), is || step.Amount[resource.CPU] == held
		}
		if held < least {
			below++
		}
		switch {
		case is && at > rise.Add(follows):
			high++
		case is && at < rise.Add(-follows) && s.At.After(restarted):
			low++
		}
	}
	tr.Logf("alone, the agent restarted within %s, and the document rose at %s; the kernel held %s", restarted.Sub(gone).Round(time.Second/10), rise,
		strings.Join(seen, ", "))
	if below > 0 || low == 0 || high == 0 {
		tr.Errorf("%d samples were below the document %v; %d were its step before the rise, %d that after it", below, schedule, low, high)
	}
}

// windows returns of how many windows of samples since a time the instance's home knows what it asked for.
func (tr *trial) windows(since time.Time) int {
	tr.Helper()
	r, err := fleet.Ask[v1.Schedule](tr.ctx, tr.f, "schedule", "show", instance, "--over", time.Since(since).String())
	must(tr.T, err)
	if r.Above == nil {
		tr.Fatalf("the home of %s does not say which windows it knows", instance)
	}
	for _, of := range r.Above.Of {
		if of.Resource == resource.CPU {
			return of.Windows
		}
	}
	return 0
}
