package tasks

import (
	"slices"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	mostRuns  = 1500             // of one task, in the past and to come: what runs more often is part of everything
	punctual  = 15 * time.Minute // a task that comes later than that by chance is placed where it was seen to run, not by its schedule
	alike     = 2 * time.Minute  // runs that lie no further apart are the same, seen and foretold
	foretells = 64               // runs of a timer that counts from its last one
)

// Zones returns a time zone by its name, nil where it is not known.
type Zones func(name string) *time.Location

// Runs returns when a task ran in the past part of the span, before now, and when it is to run in the rest, ascending. zone is that of its host. What its agent saw
// counts as far as it goes back, for it knows of delays and of what was missed; before that, and for an entry of a crontab, of which nobody keeps
// a record, the schedule does. Nothing is returned for a task that runs too often to be told from the rest.
func Runs(t proto.Task, zone string, zones Zones, span timeline.Span, now timeline.Time) []timeline.Time {
	planned, ok := scheduled(t, zone, zones, span)
	if !ok {
		return nil
	}
	onTime := time.Duration(t.Delay)*time.Millisecond <= punctual
	seen := t.Runs
	if len(seen) == 0 && t.Last > 0 {
		seen = []timeline.Time{t.Last}
	}
	var at []timeline.Time
	for _, p := range planned {
		past := p <= now
		switch {
		case past && len(seen) > 0 && p >= seen[0].Add(-punctual): // known
		case !onTime: // nobody knows when
		case !past && t.Next > 0 && p <= t.Next.Add(alike): // systemd says it itself
		default:
			at = append(at, p)
		}
	}
	for _, s := range seen {
		if span.Contains(s) && s <= now {
			at = append(at, s)
		}
	}
	if t.Next > now {
		for n := range int64(foretells) {
			next := t.Next.Add(time.Duration(n*t.Every) * time.Millisecond)
			if !span.Contains(next) {
				break
			}
			at = append(at, next)
			if t.Every == 0 {
				break
			}
		}
	}
	slices.Sort(at)
	if at = slices.Compact(at); len(at) > mostRuns {
		return nil
	}
	return at
}

// scheduled returns when a task's schedules are met; false for one that runs too often, or whose schedule is not known here.
func scheduled(t proto.Task, zone string, zones Zones, span timeline.Span) ([]timeline.Time, bool) {
	var at []timeline.Time
	for _, text := range t.Schedule {
		read := Cron
		if t.Source == proto.TaskTimer {
			read = Calendar
		}
		r, err := read(text)
		if err != nil {
			return nil, false
		}
		loc := zones(zone)
		if r.Zone() != "" {
			loc = zones(r.Zone())
		}
		if loc == nil {
			return nil, false
		}
		some, more := r.Between(span, loc, mostRuns)
		if more {
			return nil, false
		}
		at = append(at, some...)
	}
	slices.Sort(at)
	return slices.Compact(at), true
}
