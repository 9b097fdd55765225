package tasks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
)

func at(t *testing.T, text string) timeline.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		t.Fatal(err)
	}
	return timeline.Of(v)
}

// iterations are what `systemd-analyze calendar --iterations=4 --base-time="2026-02-01 00:00:00 UTC"` of systemd 252 says.
var iterations = []struct {
	text string
	want []string
}{
	{"*-*-* 00/5:00:00", []string{"2026-02-01 05:00:00", "2026-02-01 10:00:00", "2026-02-01 15:00:00", "2026-02-01 20:00:00"}},
	{"Mon *-*-01..07 00:00:00", []string{"2026-02-02 00:00:00", "2026-03-02 00:00:00", "2026-04-06 00:00:00", "2026-05-04 00:00:00"}},
	{"Mon *-05~07/1 00:00:00", []string{"2026-05-25 00:00:00"}},
	{"*-*~07/2 01:02:00", []string{"2026-02-22 01:02:00", "2026-02-24 01:02:00", "2026-02-26 01:02:00", "2026-02-28 01:02:00"}},
	{"*-*~03..07 01:02:00", []string{"2026-02-22 01:02:00", "2026-02-23 01:02:00", "2026-02-24 01:02:00", "2026-02-25 01:02:00"}},
	{"*-*~01 03:00:00", []string{"2026-02-28 03:00:00", "2026-03-31 03:00:00", "2026-04-30 03:00:00", "2026-05-31 03:00:00"}},
	{"Mon,Wed..Fri *-*-* 03:04:00", []string{"2026-02-02 03:04:00", "2026-02-04 03:04:00", "2026-02-05 03:04:00", "2026-02-06 03:04:00"}},
	{"*-*-* 01,02,05..08:03/7:00", []string{"2026-02-01 01:03:00", "2026-02-01 01:10:00", "2026-02-01 01:17:00", "2026-02-01 01:24:00"}},
	{"Sat,Sun *-*-* 12:00:00 Europe/Berlin", []string{"2026-02-01 11:00:00", "2026-02-07 11:00:00", "2026-02-08 11:00:00", "2026-02-14 11:00:00"}},
	{"*-01,07-01 00:00:00 UTC", []string{"2026-07-01 00:00:00", "2027-01-01 00:00:00"}},
	{"*-*-* *:*:00/30.500000", []string{"2026-02-01 00:00:30", "2026-02-01 00:01:00", "2026-02-01 00:01:30", "2026-02-01 00:02:00"}},
	{"2026..2040/2-*-01/2 04:05:00", []string{"2026-02-01 04:05:00", "2026-02-03 04:05:00", "2026-02-05 04:05:00", "2026-02-07 04:05:00"}},
	{"Sun *-*-* 00:00:00", []string{"2026-02-08 00:00:00", "2026-02-15 00:00:00", "2026-02-22 00:00:00", "2026-03-01 00:00:00"}},
}

func TestACalendarExpressionIsMetWhenSystemdSays(t *testing.T) {
	for _, c := range iterations {
		r, err := Calendar(c.text)
		if err != nil {
			t.Error(err)
			continue
		}
		loc := time.UTC
		if r.Zone() != "" {
			if loc, err = time.LoadLocation(r.Zone()); err != nil {
				t.Fatal(err)
			}
		}
		start := at(t, "2026-02-01 00:00:00") + 1
		got, _ := r.Between(timeline.Span{Start: start, End: start.Add(399 * day)}, loc, len(c.want))
		var words []string
		for _, g := range got {
			words = append(words, g.Std().Format("2006-01-02 15:04:05"))
		}
		if strings.Join(words, "; ") != strings.Join(c.want, "; ") {
			t.Errorf("%s: %v, want %v", c.text, words, c.want)
		}
	}
}

// TestAScheduleOfCronIsMetAtEveryMinuteThatItsFieldsHave compares with a twin that reads crontab(5) word by word and asks at every minute.
func TestAScheduleOfCronIsMetAtEveryMinuteThatItsFieldsHave(t *testing.T) {
	span := timeline.Span{Start: at(t, "2026-01-30 00:00:00"), End: at(t, "2026-03-15 00:00:00")}
	for text, met := range map[string]func(time.Time) bool{
		"*/7 * * * *":  func(m time.Time) bool { return m.Minute()%7 == 0 },
		"17 */5 * * *": func(m time.Time) bool { return m.Minute() == 17 && m.Hour()%5 == 0 },
		"47 6 * * 7":   func(m time.Time) bool { return m.Minute() == 47 && m.Hour() == 6 && m.Weekday() == time.Sunday }, // Debian's own
		"52 6 1 * *":   func(m time.Time) bool { return m.Minute() == 52 && m.Hour() == 6 && m.Day() == 1 },
		"0 4 13 * fri": func(m time.Time) bool {
			return m.Minute() == 0 && m.Hour() == 4 && (m.Day() == 13 || m.Weekday() == time.Friday)
		},
		"0 4 */2 * Fri": func(m time.Time) bool {
			return m.Minute() == 0 && m.Hour() == 4 && m.Day()%2 == 1 && m.Weekday() == time.Friday
		},
		"5-10/5,30 1,2 * * 1-5": func(m time.Time) bool {
			return (m.Minute() == 5 || m.Minute() == 10 || m.Minute() == 30) && (m.Hour() == 1 || m.Hour() == 2) && m.Weekday() >= 1 && m.Weekday() <= 5
		},
		"0 0 * feb 5-7": func(m time.Time) bool {
			return m.Minute() == 0 && m.Hour() == 0 && m.Month() == 2 && (m.Weekday() == 0 || m.Weekday() >= 5)
		},
		"@weekly": func(m time.Time) bool { return m.Minute() == 0 && m.Hour() == 0 && m.Weekday() == time.Sunday },
	} {
		r, err := Cron(text)
		if err != nil {
			t.Error(err)
			continue
		}
		got, more := r.Between(span, time.UTC, 1<<20)
		var want []timeline.Time
		for m := span.Start; m < span.End; m = m.Add(time.Minute) {
			if met(m.Std()) {
				want = append(want, m)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || more {
			t.Errorf("%s: %d times, want %d", text, len(got), len(want))
		}
	}
}

func TestAScheduleFollowsTheClockOfItsHost(t *testing.T) {
	for _, c := range []struct {
		zone, schedule, from string
		want                 []string
	}{
		// An hour that the clock leaves out is the one after it.
		{"Europe/Berlin", "30 2 * * *", "2026-03-28 00:00:00", []string{"2026-03-28 01:30:00", "2026-03-29 01:30:00", "2026-03-30 00:30:00"}},
		{"America/New_York", "30 2 * * *", "2026-03-07 05:00:00", []string{"2026-03-07 07:30:00", "2026-03-08 07:30:00", "2026-03-09 06:30:00"}},
		{"America/New_York", "0 */1 8 3 *", "2026-03-08 05:30:00", []string{"2026-03-08 06:00:00", "2026-03-08 07:00:00", "2026-03-08 08:00:00"}},
		// One that it shows twice is the first.
		{"Europe/Berlin", "30 2 * * *", "2026-10-24 00:00:00", []string{"2026-10-24 00:30:00", "2026-10-25 00:30:00", "2026-10-26 01:30:00"}},
		{"America/New_York", "30 1 * * *", "2026-10-31 04:00:00", []string{"2026-10-31 05:30:00", "2026-11-01 05:30:00", "2026-11-02 06:30:00"}},
		// Santiago's leaves out midnight: the day is there all the same.
		{"America/Santiago", "0 12 * * *", "2026-09-05 04:00:00", []string{"2026-09-05 16:00:00", "2026-09-06 15:00:00", "2026-09-07 15:00:00"}},
		{"America/Santiago", "0 0 * * *", "2026-09-05 03:00:00", []string{"2026-09-05 04:00:00", "2026-09-06 04:00:00", "2026-09-07 03:00:00"}},
		{"America/Santiago", "0 12 6 9 0", "2026-09-05 04:00:00", []string{"2026-09-06 15:00:00"}},
	} {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Skip(err)
		}
		r, err := Cron(c.schedule)
		if err != nil {
			t.Fatal(err)
		}
		start := at(t, c.from)
		got, _ := r.Between(timeline.Span{Start: start, End: start.Add(3 * day)}, loc, 3)
		var words []string
		for _, g := range got {
			words = append(words, g.Std().Format("2006-01-02 15:04:05"))
		}
		if strings.Join(words, "; ") != strings.Join(c.want, "; ") {
			t.Errorf("%s in %s: %v, want %v", c.schedule, c.zone, words, c.want)
		}
	}
}

func TestNoDayIsWithoutItsRunsWhereTheClockGoesForward(t *testing.T) {
	for _, c := range []struct{ zone, schedule, from, to, want string }{
		// On 8 March the clock goes from 2:00 to 3:00 in New York, and from 0:00 to 1:00 in Havana; on 24 April from 0:00 to 1:00 in Cairo.
		{"America/New_York", "30 2 * * *", "2026-03-07 12:00:00", "2026-03-09 12:00:00", "2026-03-08 07:30:00; 2026-03-09 06:30:00"},
		{"America/New_York", "*/30 1-3 * * *", "2026-03-08 05:00:00", "2026-03-08 12:00:00", "2026-03-08 06:00:00; 2026-03-08 06:30:00; 2026-03-08 07:00:00; 2026-03-08 07:30:00"},
		{"America/Havana", "0 12 8 * *", "2026-03-07 12:00:00", "2026-03-10 12:00:00", "2026-03-08 16:00:00"},
		{"America/Havana", "30 0 * * *", "2026-03-07 12:00:00", "2026-03-10 00:00:00", "2026-03-08 05:30:00; 2026-03-09 04:30:00"},
		{"Africa/Cairo", "30 0 * * *", "2026-04-23 12:00:00", "2026-04-25 12:00:00", "2026-04-23 22:30:00; 2026-04-24 21:30:00"},
	} {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Skip(err)
		}
		r, err := Cron(c.schedule)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := r.Between(timeline.Span{Start: at(t, c.from), End: at(t, c.to)}, loc, 10)
		var words []string
		for _, g := range got {
			words = append(words, g.Std().Format("2006-01-02 15:04:05"))
		}
		if text := strings.Join(words, "; "); text != c.want {
			t.Errorf("%s in %s: %s, want %s", c.schedule, c.zone, text, c.want)
		}
	}
}

func TestWhatIsNoScheduleIsRefused(t *testing.T) {
	for _, text := range []string{"", "@reboot", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5/2 * * * *", "9-3 * * * *",
		"*/0 * * * *", "*/61 * * * *", "a * * * *", "1,,2 * * * *", strings.Repeat("1,", 200) + "1 * * * *", "- * * * *", "1~5 * * * *"} {
		if r, err := Cron(text); err == nil {
			t.Errorf("cron %q: %+v", text, r)
		}
	}
	for _, text := range []string{"", "daily", "*-*-*", "00:00:00", "Mon *-*-* 00:00", "Foo *-*-* 00:00:00", "*-*-* 24:00:00", "*-13-* 00:00:00", "*-*-32 00:00:00",
		"*-*-* 00:00:00 UTC more", "1969-*-* 00:00:00", "*-*-*/0 00:00:00", "@1700000000", strings.Repeat("x", 300)} {
		if r, err := Calendar(text); err == nil {
			t.Errorf("calendar %q: %+v", text, r)
		}
	}
}

// FuzzSchedules: whatever an agent reports, reading it ends, and what is returned lies in the span, in order, and is not more than was asked for.
func FuzzSchedules(f *testing.F) {
	for _, c := range iterations {
		f.Add(c.text)
	}
	f.Add("*/7 1-5 * jan-mar mon")
	f.Fuzz(func(t *testing.T, text string) {
		span := timeline.Span{Start: 1_767_571_200_000, End: 1_767_571_200_000 + 40*timeline.Time(day.Milliseconds())}
		for _, read := range []func(string) (*Rule, error){Cron, Calendar} {
			r, err := read(text)
			if err != nil {
				continue
			}
			got, _ := r.Between(span, time.UTC, 100)
			if len(got) > 100 {
				t.Fatalf("%q: %d times", text, len(got))
			}
			for i, g := range got {
				if !span.Contains(g) || i > 0 && g <= got[i-1] {
					t.Fatalf("%q: %v", text, got)
				}
			}
		}
	})
}
