package calendar

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"

	"github.com/glidepath/glidepath/internal/timeline"
)

// expand returns the starts that a rule gives, as the clock shows them, up to the end of a span. The library is given no rule that it would not
// come to an end with: it looks for the next occurrence until the year 9999.
func (c *Calendar) expand(ctx context.Context, e entry, span timeline.Span, loc *time.Location) ([]time.Time, error) {
	text, until, err := c.untilOf(e)
	if err != nil {
		return nil, err
	}
	bad := func(why string) error {
		return c.fault(e.ruleLine, "use FREQ=DAILY, WEEKLY, MONTHLY or YEARLY, or HOURLY alone", "RRULE %q: %s", clip(e.rule), why)
	}
	if len(text) > maxRule {
		return nil, bad("it is too long")
	}
	rule, err := rrule.StrToROption(text)
	if err != nil {
		return nil, bad(odd(err).Error())
	}
	switch {
	case rule.Freq == rrule.SECONDLY || rule.Freq == rrule.MINUTELY:
		return nil, bad("it recurs more often than hourly")
	case rule.Freq == rrule.HOURLY && strings.Contains(text, "BY"):
		return nil, bad("an hourly rule has no BY… here")
	case len(rule.Bysecond) > 0 || len(rule.Byhour) > 24 || len(rule.Byminute) > 60:
		return nil, bad("it has too many times of day")
	case len(rule.Bysetpos) > maxPositions:
		return nil, bad(fmt.Sprintf("BYSETPOS has more than %d positions", maxPositions))
	case rule.Interval > 10_000 || rule.Interval < 0 || rule.Count < 0:
		return nil, bad("INTERVAL or COUNT is out of range")
	}
	if why := unbounded(rule); why != "" {
		return nil, bad(why)
	}
	rule.Dtstart = e.start.wall
	r, err := rrule.NewRRule(*rule)
	if err != nil {
		return nil, bad(odd(err).Error())
	}
	lasts, err := c.lasts(ctx, e, loc)
	if err != nil {
		return nil, err
	}
	// By the clock, a day beyond the span on either side whatever the zone.
	first := span.Start.Std().Add(-lasts.time).AddDate(0, 0, -lasts.days-1)
	last := span.End.Std().Add(day)
	ends := timeline.Forever
	if !until.wall.IsZero() {
		if ends, err = c.instant(ctx, until, loc); err != nil {
			return nil, err
		}
	}
	next := r.Iterator()
	var out []time.Time
	for range maxExpanded {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at, ok := next()
		if !ok || at.After(last) {
			return out, nil
		}
		if ends < timeline.Forever && at.After(until.wall.Add(-2*day)) { // before that whatever the zone
			s := e.start
			s.wall = at
			if begins, err := c.instant(ctx, s, loc); err != nil || begins > ends {
				return out, err
			}
		}
		if !at.Before(first) {
			if out = append(out, at); len(out) > maxOccurrences {
				return nil, c.fault(e.ruleLine, "let it recur less often", "it recurs more than %d times in the time that counts", maxOccurrences)
			}
		}
	}
	return nil, c.fault(e.ruleLine, "begin it later", "it recurs more than %d times before the time that counts", maxExpanded)
}

// odd quotes what the library says of a rule, which repeats parts of it.
func odd(err error) error { return fmt.Errorf("%q", clip(err.Error())) }

// unbounded says what of a rule the library would look for beyond the year's or the month's days, "" for nothing.
func unbounded(rule *rrule.ROption) string {
	if len(rule.Byeaster) > 0 {
		return "BYEASTER is not known here"
	}
	inMonth := rule.Freq == rrule.MONTHLY || rule.Freq == rrule.YEARLY && len(rule.Bymonth) > 0
	for _, w := range rule.Byweekday {
		if inMonth && (w.N() > 5 || w.N() < -5) {
			return "a month has no more than five of a weekday"
		}
	}
	return ""
}

// untilOf takes UNTIL out of a rule: it is an instant, while the rule is about what the clock shows.
func (c *Calendar) untilOf(e entry) (rule string, until stamp, err error) {
	parts := strings.Split(strings.ToUpper(strings.TrimSuffix(e.rule, ";")), ";")
	i := slices.IndexFunc(parts, func(p string) bool { return strings.HasPrefix(p, "UNTIL=") })
	if i < 0 {
		return strings.Join(parts, ";"), until, nil
	}
	rest := strings.Join(slices.Delete(slices.Clone(parts), i, i+1), ";")
	if year, _ := strconv.Atoi(parts[i][len("UNTIL="):min(len(parts[i]), len("UNTIL=9999"))]); year >= lastYear { // as some programs write for ever
		return rest, until, nil
	}
	r := reader{Calendar: c}
	until, err = r.stamp(property{name: "UNTIL", tzid: e.start.zone, line: e.ruleLine}, strings.TrimPrefix(parts[i], "UNTIL="))
	if until.date && !e.start.date { // that whole day
		until.wall, until.date = until.wall.Add(day-time.Second), false
	}
	return rest, until, err
}
