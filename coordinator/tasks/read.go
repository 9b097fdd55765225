package tasks

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What a schedule may be.
const (
	maxSchedule = 256 // bytes
	maxParts    = 64  // of a field
	lastYear    = 2200
)

var (
	months   = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// bounds are what a field's values may be.
type bounds struct {
	what      string
	low, high int
	names     []string // of low, low+1, …
}

var (
	aYear    = bounds{"year", 1970, lastYear, nil}
	aMonth   = bounds{"month", 1, 12, months}
	aDay     = bounds{"day", 1, 31, nil}
	aWeekday = bounds{"day of the week", 0, 7, weekdays}
	anHour   = bounds{"hour", 0, 23, nil}
	aMinute  = bounds{"minute", 0, 59, nil}
	aSecond  = bounds{"second", 0, 59, nil}
)

// cronWords are what stands for a schedule in a crontab. @reboot is none.
var cronWords = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// Cron reads the schedule of an entry of a crontab, as crontab(5) has it: five fields, or a word like @daily.
func Cron(text string) (*Rule, error) {
	bad := func(err error) (*Rule, error) { return nil, fmt.Errorf("schedule %q of cron: %w", clip(text), err) }
	if len(text) > maxSchedule {
		return bad(fmt.Errorf("it is longer than %d bytes", maxSchedule))
	}
	if s, ok := cronWords[strings.ToLower(text)]; ok {
		text = s
	}
	part := strings.Fields(text)
	if len(part) != 5 {
		return bad(fmt.Errorf("it has %d fields, and not five", len(part)))
	}
	r := &Rule{year: field{{aYear.low, aYear.high, 1}}, second: field{{0, 0, 1}}}
	for i, f := range []struct {
		to *field
		bounds
	}{{&r.minute, aMinute}, {&r.hour, anHour}, {&r.day, aDay}, {&r.month, aMonth}, {&r.weekday, aWeekday}} {
		var err error
		if *f.to, err = f.read(part[i], "-", noEnd); err != nil {
			return bad(err)
		}
	}
	// Where both are restricted either will do; "*/2" counts as not restricted, as in cron itself.
	r.either = part[2][0] != '*' && part[4][0] != '*'
	r.weekday = sundays(r.weekday)
	return r, nil
}

// Calendar reads a calendar expression as systemd writes it, which is the normalized form of what it takes: "Mon..Fri *-*-01..07 03:00/15:00 Europe/Berlin".
// It has to have a date and a time of day.
func Calendar(text string) (*Rule, error) {
	bad := func(err error) (*Rule, error) { return nil, fmt.Errorf("calendar expression %q: %w", clip(text), err) }
	if len(text) > maxSchedule {
		return bad(fmt.Errorf("it is longer than %d bytes", maxSchedule))
	}
	part := strings.Fields(text)
	r := &Rule{weekday: field{{0, 6, 1}}}
	var err error
	if len(part) > 0 && !strings.ContainsAny(part[0], "-:") {
		if r.weekday, err = aWeekday.read(part[0], "..", noEnd); err != nil {
			return bad(err)
		}
		r.weekday, part = sundays(r.weekday), part[1:]
	}
	if len(part) == 3 {
		r.zone, part = part[2], part[:2]
	}
	if len(part) != 2 {
		return bad(errors.New("it is no date and time of day"))
	}
	year, rest, ok := strings.Cut(part[0], "-")
	at := strings.IndexAny(rest, "-~")
	clock := strings.Split(part[1], ":")
	if !ok || at < 0 || len(clock) != 3 {
		return bad(errors.New("it is no date and time of day"))
	}
	r.fromEnd = rest[at] == '~'
	for _, f := range []struct {
		to   *field
		text string
		bounds
	}{
		{&r.year, year, aYear}, {&r.month, rest[:at], aMonth}, {&r.day, rest[at+1:], aDay},
		{&r.hour, clock[0], anHour}, {&r.minute, clock[1], aMinute}, {&r.second, whole(clock[2]), aSecond},
	} {
		end := f.high
		if f.what == aDay.what && r.fromEnd {
			end = f.low // towards the month's end the count falls
		}
		if *f.to, err = f.read(f.text, "..", end); err != nil {
			return bad(err)
		}
	}
	return r, nil
}

// whole takes fractions of seconds off.
func whole(seconds string) string {
	parts := strings.Split(seconds, ",")
	for i, p := range parts {
		if n, fraction, ok := strings.Cut(p, "."); ok && !strings.HasPrefix(fraction, ".") {
			parts[i] = n
		}
	}
	return strings.Join(parts, ",")
}

// sundays makes 0 of 7, which is Sunday, too.
func sundays(f field) field {
	out := field{}
	for _, s := range f {
		if s.first == 7 {
			s.first, s.last = 0, 0
		}
		out = append(out, s)
	}
	if f.has(7) {
		out = append(out, stretch{0, 0, 1})
	}
	return out
}

// noEnd refuses a value with a step, and no range that it goes through.
const noEnd = -1

// read reads a field: parts between commas, each a value, a range whose ends dots part, or either with a step after a slash. A value with a step goes
// on to end.
func (b bounds) read(text, dots string, end int) (field, error) {
	parts := strings.Split(text, ",")
	if len(parts) > maxParts {
		return nil, fmt.Errorf("its %s has more than %d parts", b.what, maxParts)
	}
	var out field
	for _, p := range parts {
		of, step, stepped := strings.Cut(p, "/")
		s := stretch{b.low, b.high, 1}
		if b.what == aWeekday.what {
			s.last = 6 // day 7 is Sunday again
		}
		if stepped {
			n, err := strconv.Atoi(whole(step))
			if err != nil || n < 1 || n > b.high-b.low+1 {
				return nil, fmt.Errorf("the step of its %s %q is no number from 1 to %d", b.what, clip(p), b.high-b.low+1)
			}
			s.every = n
		}
		if of != "*" {
			from, to, ranged := strings.Cut(of, dots)
			var err error
			if s.first, err = b.value(from); err != nil {
				return nil, err
			}
			switch {
			case ranged:
				if s.last, err = b.value(to); err != nil {
					return nil, err
				}
				if s.last < s.first {
					return nil, fmt.Errorf("its %s %q runs backwards", b.what, clip(p))
				}
			case !stepped:
				s.last = s.first
			case end == noEnd:
				return nil, fmt.Errorf("its %s %q has a step, and no range that it goes through", b.what, clip(p))
			default:
				s.last = end
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// value reads a number or a name.
func (b bounds) value(text string) (int, error) {
	if len(text) >= 3 {
		for i, name := range b.names {
			if strings.EqualFold(text, name) {
				return b.low + i, nil
			}
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < b.low || n > b.high {
		return 0, fmt.Errorf("its %s %q is none from %d to %d", b.what, clip(text), b.low, b.high)
	}
	return n, nil
}

// clip shortens what an error repeats.
func clip(s string) string { return s[:min(len(s), 80)] }
