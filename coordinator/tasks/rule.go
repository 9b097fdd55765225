// Package tasks says when what runs by schedule on a host runs, and which of it moves an instance's demand.
package tasks

import (
	"slices"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

// Rule says when a task runs, by the clock of its host: at every time whose parts are all in their fields. Those of cron and those of systemd are
// the same but for two words: cron's days of the month and of the week may be one or the other, and systemd counts days from a month's end.
//
// It is a reader of its own, and no library's: robfig/cron, the one that is used most, refuses day 7, which stands in Debian's own /etc/crontab, and knows
// nothing of what systemd writes.
type Rule struct {
	year, month, day, weekday, hour, minute, second field

	fromEnd bool // day counts from the end of the month, its last being 1
	either  bool // a day of the month or a day of the week is enough
	zone    string
}

// field is what a part of a time may be: any of its ranges.
type field []stretch

// stretch is first, first+every, … up to last.
type stretch struct{ first, last, every int }

func (f field) has(v int) bool {
	return slices.ContainsFunc(f, func(s stretch) bool { return s.first <= v && v <= s.last && (v-s.first)%s.every == 0 })
}

// hasFromEnd reports the same of a day that is so many days from the end. Days go on towards the end, where the count falls.
func (f field) hasFromEnd(v int) bool {
	return slices.ContainsFunc(f, func(s stretch) bool {
		first, last := max(s.first, s.last), min(s.first, s.last)
		return last <= v && v <= first && (first-v)%s.every == 0
	})
}

// values returns those from low to high that are in the field.
func (f field) values(low, high int) []int {
	var out []int
	for v := low; v <= high; v++ {
		if f.has(v) {
			out = append(out, v)
		}
	}
	return out
}

// Zone returns the time zone that the rule itself names, "" for that of its host.
func (r *Rule) Zone() string { return r.zone }

// daySpan is the most days that Between looks at.
const daySpan = 400

// Between returns when the rule is met in the span, ascending, by the clock of loc; at most most of them: more reports that there are others. Of a span of more than
// 400 days the first are looked at.
func (r *Rule) Between(span timeline.Span, loc *time.Location, most int) (at []timeline.Time, more bool) {
	hours, minutes, seconds := r.hour.values(0, 23), r.minute.values(0, 59), r.second.values(0, 59)
	first := span.Start.Std().In(loc)
	for n := range daySpan {
		day := time.Date(first.Year(), first.Month(), first.Day()+n, 12, 0, 0, 0, loc) // there are clocks that leave out midnight
		if shown(day, 0, 0, 0) >= span.End {
			break
		}
		if !r.onDay(day) {
			continue
		}
		for _, h := range hours {
			for _, m := range minutes {
				for _, s := range seconds {
					t := shown(day, h, m, s)
					if !span.Contains(t) || len(at) > 0 && t <= at[len(at)-1] {
						continue
					}
					if len(at) == most {
						return at, true
					}
					at = append(at, t)
				}
			}
		}
	}
	return at, false
}

// aroundChange is longer than what a clock is put forward or back by.
const aroundChange = 3 * time.Hour

// shown returns when the clock shows a time on a day. An hour that it leaves out is the one after it, and one that it shows twice is the first; time.Date does either, as the
// zone's distance from UTC has it.
func shown(day time.Time, hour, minute, second int) timeline.Time {
	t := time.Date(day.Year(), day.Month(), day.Day(), hour, minute, second, 0, day.Location())
	_, east := t.Add(-aroundChange).Zone()
	before := time.Date(day.Year(), day.Month(), day.Day(), hour, minute, second, 0, time.UTC).Add(-time.Duration(east) * time.Second).In(day.Location())
	if is := func(t time.Time) bool { return t.Hour() == hour && t.Minute() == minute }; is(before) || !is(t) {
		return timeline.Of(before)
	}
	return timeline.Of(t)
}

// onDay reports whether the rule is met at some time of the day.
func (r *Rule) onDay(day time.Time) bool {
	if !r.year.has(day.Year()) || !r.month.has(int(day.Month())) {
		return false
	}
	inMonth := r.day.has(day.Day())
	if r.fromEnd {
		last := time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		inMonth = r.day.hasFromEnd(last - day.Day() + 1)
	}
	inWeek := r.weekday.has(int(day.Weekday()))
	if r.either {
		return inMonth || inWeek
	}
	return inMonth && inWeek
}
