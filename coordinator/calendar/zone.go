package calendar

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/teambition/rrule-go"

	"github.com/glidepath/glidepath/internal/timeline"
)

// zone is a VTIMEZONE, which files carry for zones whose names only their program knows.
type zone struct {
	name        string
	observances []observance

	mu   sync.Mutex
	told map[time.Time]time.Duration // what at has returned: the same times are asked for again and again
}

// observance is a part of a zone: from its onsets on the clock is that far ahead of UTC.
type observance struct {
	line           int
	start          time.Time // the first onset, by the clock as it was before
	offset, before time.Duration
	rule           string
}

const (
	maxObservances = 100
	maxTold        = 100_000
	maxZoneName    = 128 // bytes of a name that is looked up
	maxPrefixes    = 6   // parts before a name
)

// instant returns when a clock shows a time.
func (c *Calendar) instant(ctx context.Context, s stamp, loc *time.Location) (timeline.Time, error) {
	switch {
	case s.utc:
		return timeline.Of(s.wall), nil
	case s.zone == "" || s.date:
		return in(loc, s.wall), nil
	}
	if l := c.locations[s.zone]; l != nil {
		return in(l, s.wall), nil
	}
	z := c.zones[s.zone]
	if z == nil {
		return 0, c.fault(s.line, "name one like Europe/Berlin, or give the file its VTIMEZONE", "time zone %q is not known here", clip(s.zone))
	}
	offset, err := z.at(ctx, s.wall)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, c.fault(s.line, "name a zone like Europe/Berlin", "time zone %q: %v", clip(s.zone), err)
	}
	return timeline.Of(s.wall.Add(-offset)), nil
}

// locate looks up the zones that the entries name, once.
func (c *Calendar) locate() error {
	for _, e := range c.entries {
		for _, s := range slices.Concat([]stamp{e.start, e.end, e.instead}, e.also, e.not) {
			if _, known := c.locations[s.zone]; s.zone == "" || known {
				continue
			}
			if len(c.locations) >= maxZones {
				return c.fault(s.line, "name fewer, or part the file", "its entries name more than %d time zones", maxZones)
			}
			c.locations[s.zone] = located(s.zone)
		}
	}
	return nil
}

// located returns the zone of a name, nil for one that only its file knows. Some programs put a prefix before the name: /example.org/20250101/Europe/Berlin.
func located(name string) *time.Location {
	if len(name) > maxZoneName {
		return nil
	}
	ok := true
	for n := 0; ok && n <= maxPrefixes; n++ {
		if l, err := time.LoadLocation(name); err == nil && name != "" && name != "Local" {
			return l
		}
		_, name, ok = strings.Cut(name, "/")
	}
	return nil
}

// beforeChange is how long before a time the clock of its zone is as it was before it was put on or back, if it was about then.
const beforeChange = 4 * time.Hour

// in returns when the clock of a zone shows a time: the first time where it shows it twice, and where it is put on over it, when the clock would show it as it was
// before (RFC 5545, section 3.3.5). What time.Date returns for those depends on the zone.
func in(loc *time.Location, wall time.Time) timeline.Time {
	shows := func(t time.Time) bool {
		_, offset := t.In(loc).Zone()
		return t.Unix()+int64(offset) == wall.Unix()
	}
	y, m, d := wall.Date()
	hour, minute, second := wall.Clock()
	at := time.Date(y, m, d, hour, minute, second, 0, loc)
	_, offset := at.Add(-beforeChange).Zone()
	if before := wall.Add(-time.Duration(offset) * time.Second); !shows(at) || shows(before) {
		at = before
	}
	return timeline.Of(at)
}

// at returns how far the zone's clock is ahead of UTC when it shows a time: as says the observance that began last.
func (z *zone) at(ctx context.Context, wall time.Time) (time.Duration, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if offset, known := z.told[wall]; known {
		return offset, nil
	}
	var last time.Time
	offset := z.observances[0].before
	for _, o := range z.observances {
		onset, err := o.last(ctx, wall)
		if err != nil {
			return 0, err
		}
		if !onset.IsZero() && onset.After(last) {
			if last, offset = onset, o.offset; wall.Before(onset.Add(o.offset - o.before)) {
				offset = o.before // the clock is put on over it
			}
		}
	}
	if len(z.told) >= maxTold || z.told == nil {
		z.told = map[time.Time]time.Duration{}
	}
	z.told[wall] = offset
	return offset, nil
}

// last returns the last onset that is not after a time; zero for none.
func (o observance) last(ctx context.Context, wall time.Time) (time.Time, error) {
	if wall.Before(o.start) {
		return time.Time{}, nil
	}
	if o.rule == "" {
		return o.start, nil
	}
	if len(o.rule) > maxRule {
		return time.Time{}, errYearly
	}
	rule, err := rrule.StrToROption(strings.TrimSuffix(o.rule, ";"))
	if err != nil {
		return time.Time{}, odd(err)
	}
	if rule.Freq != rrule.YEARLY || len(rule.Byhour)+len(rule.Byminute)+len(rule.Bysecond)+len(rule.Byyearday)+len(rule.Byweekno)+len(rule.Bysetpos) > 0 || unbounded(rule) != "" {
		return time.Time{}, errYearly
	}
	for _, d := range rule.Bymonthday { // the library would look for the 30th of a February until the year 9999
		if d > 28 || d < -28 {
			return time.Time{}, errYearly
		}
	}
	latest := wall
	if !rule.Until.IsZero() && rule.Until.Before(wall) {
		latest = rule.Until
	}
	rule.Dtstart = o.start
	if years := latest.Year() - o.start.Year() - 2; years > 0 && rule.Count == 0 && rule.Interval <= 1 { // it is the same each year
		rule.Dtstart = o.start.AddDate(years, 0, 0)
	}
	r, err := rrule.NewRRule(*rule)
	if err != nil {
		return time.Time{}, odd(err)
	}
	found := o.start
	next := r.Iterator()
	for {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		at, ok := next()
		if !ok || at.After(wall) {
			return found, nil
		}
		found = at
	}
}

var errYearly = errors.New("it changes otherwise than by the year")
