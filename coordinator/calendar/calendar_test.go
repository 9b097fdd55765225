package calendar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/timeline"
)

// file wraps parts of entries into a calendar.
func file(entries ...string) string {
	var b strings.Builder
	b.WriteString("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n")
	for _, e := range entries {
		b.WriteString("BEGIN:VEVENT\r\n" + strings.ReplaceAll(strings.TrimSpace(e), "\n", "\r\n") + "\r\nEND:VEVENT\r\n")
	}
	b.WriteString("END:VCALENDAR\r\n")
	return b.String()
}

func month(t *testing.T) timeline.Span {
	t.Helper()
	return timeline.Span{Start: timeline.Of(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)), End: timeline.Of(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))}
}

// told returns the occurrences of March 2026 as text.
func told(t *testing.T, text string, loc *time.Location) ([]string, []string) {
	t.Helper()
	c, err := Read(strings.NewReader(text), "c.ics")
	if err != nil {
		t.Fatal(err)
	}
	all, notes, err := c.Between(t.Context(), month(t), loc)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, o := range all {
		out = append(out, fmt.Sprintf("%s %s +%s", o.Kind, o.Span.Start.Std().Format("01-02 15:04"), o.Span.Length()))
	}
	return out, notes
}

func TestOccurrencesOfWhatCalendarsHave(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	const outlook = `BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
`
	const ended = "BEGIN:VTIMEZONE\r\nTZID:Old\r\n" +
		"BEGIN:DAYLIGHT\r\nDTSTART:19930328T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;UNTIL=20150329T010000Z\r\nEND:DAYLIGHT\r\n" +
		"BEGIN:STANDARD\r\nDTSTART:19921025T030000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU;UNTIL=20151025T010000Z\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"one in UTC":                      {file("SUMMARY:Winter sale\nDTSTART:20260310T180000Z\nDTEND:20260310T193000Z"), []string{"winter-sale 03-10 18:00 +1h30m0s"}},
		"a category first":                {file("SUMMARY:Sale\nCATEGORIES:Campaign,Other\nDTSTART:20260310T180000Z\nDURATION:PT1H"), []string{"campaign 03-10 18:00 +1h0m0s"}},
		"in a zone":                       {file("SUMMARY:x\nDTSTART;TZID=Europe/Berlin:20260310T180000\nDURATION:PT1H"), []string{"x 03-10 17:00 +1h0m0s"}},
		"floating":                        {file("SUMMARY:x\nDTSTART:20260310T180000\nDURATION:PT1H"), []string{"x 03-10 17:00 +1h0m0s"}},
		"a day":                           {file("SUMMARY:Holiday\nDTSTART;VALUE=DATE:20260310"), []string{"holiday 03-09 23:00 +24h0m0s"}},
		"days over a change of the clock": {file("SUMMARY:x\nDTSTART;VALUE=DATE:20260328\nDTEND;VALUE=DATE:20260330"), []string{"x 03-27 23:00 +47h0m0s"}},
		"weekly by the clock": {file("SUMMARY:x\nDTSTART;TZID=Europe/Berlin:20250106T100000\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;BYDAY=MO"),
			[]string{"x 03-02 09:00 +2h0m0s", "x 03-09 09:00 +2h0m0s", "x 03-16 09:00 +2h0m0s", "x 03-23 09:00 +2h0m0s", "x 03-30 08:00 +2h0m0s"}},
		"until, an exception and one more": {file("SUMMARY:x\nDTSTART;TZID=Europe/Berlin:20260302T100000\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;UNTIL=20260316T090000Z\nEXDATE;TZID=Europe/Berlin:20260309T100000\nRDATE:20260305T000000Z"),
			[]string{"x 03-02 09:00 +2h0m0s", "x 03-05 00:00 +2h0m0s", "x 03-16 09:00 +2h0m0s"}},
		"one of them moved, one called off": {file("UID:a\nSUMMARY:x\nDTSTART:20260302T100000Z\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;COUNT=3",
			"UID:a\nRECURRENCE-ID:20260309T100000Z\nSUMMARY:x\nDTSTART:20260310T120000Z\nDURATION:PT1H",
			"UID:a\nRECURRENCE-ID:20260316T100000Z\nSTATUS:CANCELLED\nSUMMARY:x\nDTSTART:20260316T100000Z\nDURATION:PT2H"),
			[]string{"x 03-02 10:00 +2h0m0s", "x 03-10 12:00 +1h0m0s"}},
		"one of them moved that have no name": {file("SUMMARY:x\nDTSTART:20260302T100000Z\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;COUNT=2", "SUMMARY:y\nDTSTART:20260302T100000Z\nDURATION:PT3H\nRRULE:FREQ=WEEKLY;COUNT=2",
			"SUMMARY:x\nRECURRENCE-ID:20260309T100000Z\nDTSTART:20260310T120000Z\nDURATION:PT1H"),
			[]string{"x 03-02 10:00 +2h0m0s", "y 03-02 10:00 +3h0m0s", "y 03-09 10:00 +3h0m0s", "x 03-10 12:00 +1h0m0s"}},
		"the end of a month":  {file("SUMMARY:x\nDTSTART:20250131T220000Z\nDURATION:PT4H\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1"), []string{"x 02-28 22:00 +4h0m0s", "x 03-31 22:00 +4h0m0s"}},
		"one that reaches in": {file("SUMMARY:x\nDTSTART:20260228T220000Z\nDURATION:PT4H"), []string{"x 02-28 22:00 +4h0m0s"}},
		"a zone of its own": {strings.Replace(file("SUMMARY:x\nDTSTART;TZID=W. Europe Standard Time:20260327T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=4"), "BEGIN:VEVENT", strings.ReplaceAll(outlook, "\n", "\r\n")+"BEGIN:VEVENT", 1),
			[]string{"x 03-27 09:00 +1h0m0s", "x 03-28 09:00 +1h0m0s", "x 03-29 08:00 +1h0m0s", "x 03-30 08:00 +1h0m0s"}},
		"what a zone of its own never shows": {strings.Replace(file("SUMMARY:x\nDTSTART;TZID=W. Europe Standard Time:20260329T023000\nDURATION:PT1H"), "BEGIN:VEVENT", strings.ReplaceAll(outlook, "\n", "\r\n")+"BEGIN:VEVENT", 1),
			[]string{"x 03-29 01:30 +1h0m0s"}},
		"a zone with a prefix":          {file("SUMMARY:x\nDTSTART;TZID=\"/example.org/2025/Europe/Berlin\":20260310T180000\nDURATION:PT1H"), []string{"x 03-10 17:00 +1h0m0s"}},
		"a zone whose rules have ended": {strings.Replace(file("SUMMARY:x\nDTSTART;TZID=Old:20260310T180000\nDURATION:PT1H"), "BEGIN:VEVENT", ended+"BEGIN:VEVENT", 1), []string{"x 03-10 17:00 +1h0m0s"}},
		"given twice":                   {file("SUMMARY:x\nDTSTART:20260310T180000Z\nDURATION:PT1H\nRDATE:20260310T180000Z"), []string{"x 03-10 18:00 +1h0m0s"}},
		"until for ever":                {file("SUMMARY:x\nDTSTART:20260330T180000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=99991231T235959Z"), []string{"x 03-30 18:00 +1h0m0s", "x 03-31 18:00 +1h0m0s"}},
		"folded lines":                  {strings.Replace(file("SUMMARY:x\nDESCRIPTION:"+strings.Repeat("long", 20_000)+"\nDTSTART:20260310T180000Z\nDURATION:PT1H"), "DTST", "DT\r\n ST", 1), []string{"x 03-10 18:00 +1h0m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, notes := told(t, c.text, berlin)
			if diff := cmp.Diff(c.want, got); diff != "" || len(notes) > 0 {
				t.Error(diff, notes)
			}
		})
	}
}

func TestATimeThatAClockShowsTwiceIsTheFirstAndOneThatItNeverShowsIsAsItWasBefore(t *testing.T) {
	for zone, times := range map[string]map[string]string{
		"Europe/Berlin": {
			"2026-03-29T01:30": "03-29 00:30", "2026-03-29T02:00": "03-29 01:00", "2026-03-29T02:30": "03-29 01:30", "2026-03-29T03:00": "03-29 01:00", "2026-03-29T05:00": "03-29 03:00",
			"2026-10-25T01:30": "10-24 23:30", "2026-10-25T02:00": "10-25 00:00", "2026-10-25T02:30": "10-25 00:30", "2026-10-25T03:00": "10-25 02:00", "2026-10-25T06:00": "10-25 05:00",
		},
		"America/New_York": {
			"2026-03-08T01:30": "03-08 06:30", "2026-03-08T02:30": "03-08 07:30", "2026-03-08T03:30": "03-08 07:30",
			"2026-11-01T00:30": "11-01 04:30", "2026-11-01T01:30": "11-01 05:30", "2026-11-01T02:00": "11-01 07:00",
		},
		"America/Havana": {"2026-03-08T00:00": "03-08 05:00"}, // a day begins at one
		"UTC":            {"2026-03-08T00:00": "03-08 00:00"},
	} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Skip(err)
		}
		for text, want := range times {
			at, ok := timeOf(text, loc)
			if got := at.Std().Format("01-02 15:04"); !ok || got != want {
				t.Errorf("%s in %s is %s UTC, want %s", text, zone, got, want)
			}
		}
	}
}

func TestWhatLastsNoTimeIsLeftOutAndToldOf(t *testing.T) {
	got, notes := told(t, file("SUMMARY:x\nDTSTART:20260310T180000Z"), time.UTC)
	if len(got) > 0 || len(notes) != 1 || !strings.Contains(notes[0], "c.ics line 3: x lasts no time") {
		t.Error(got, notes)
	}
}

func TestWhatIsWrongIsSaidWithLineFaultAndRemedy(t *testing.T) {
	recurs := func(rule string) string {
		return file("SUMMARY:x\nDTSTART:19700101T000000Z\nDURATION:PT1M\nRRULE:" + rule)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":             {"", "c.ics: it is cut short, or empty: get it again"},
		"no calendar":       {"time,value\n0,1\n", "c.ics line 1: it is no NAME:VALUE"},
		"something else":    {"BEGIN:VCARD\nEND:VCARD\n", "does not begin with BEGIN:VCALENDAR"},
		"cut short":         {"BEGIN:VCALENDAR\nBEGIN:VEVENT\n", "it is cut short"},
		"crossed ends":      {"BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\n", `line 3: END:"VCALENDAR" where "VEVENT" is to end`},
		"nested deeply":     {strings.Repeat("BEGIN:VCALENDAR\n", 20), "nested too deeply"},
		"no start":          {file("SUMMARY:x"), "c.ics line 3: the entry has no DTSTART"},
		"no time":           {file("DTSTART:tomorrow"), `c.ics line 4: DTSTART: "tomorrow" is no time: write one like`},
		"far off":           {file("DTSTART:99990101T000000Z"), "is no time"},
		"no length":         {file("DTSTART:20260310T180000Z\nDURATION:-PT1H"), "is no length of time"},
		"unknown zone":      {file("DTSTART;TZID=Middle/Earth:20260310T180000\nDURATION:PT1H"), `line 4: time zone "Middle/Earth" is not known here`},
		"ends before":       {file("DTSTART:20260310T180000Z\nDTEND:20260310T170000Z"), "ends before it starts"},
		"no rule":           {recurs("FREQ=SOMETIMES"), `line 7: RRULE "FREQ=SOMETIMES"`},
		"by the second":     {recurs("FREQ=SECONDLY"), "more often than hourly"},
		"never in hours":    {recurs("FREQ=HOURLY;INTERVAL=24;BYHOUR=5"), "an hourly rule has no BY"},
		"many times a day":  {recurs("FREQ=DAILY;BYSECOND=0,0,0,0"), "too many times of day"},
		"many positions":    {recurs("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;BYSETPOS=" + strings.TrimPrefix(numbers(33), "0,")), "BYSETPOS has more than 31 positions"},
		"sixth in a month":  {recurs("FREQ=MONTHLY;BYDAY=-6MO"), "a month has no more than five of a weekday"},
		"53rd in a month":   {recurs("FREQ=YEARLY;BYMONTH=12;BYDAY=53MO"), "a month has no more than five of a weekday"},
		"by Easter":         {recurs("FREQ=YEARLY;BYEASTER=300"), "BYEASTER is not known here"},
		"a zone by Easter":  {strings.Replace(file("DTSTART;TZID=a:20260310T180000\nDURATION:PT1H"), "BEGIN:VEVENT", oddZone("FREQ=YEARLY;BYEASTER=300")+"BEGIN:VEVENT", 1), "changes otherwise than by the year"},
		"a zone that can't": {strings.Replace(file("DTSTART;TZID=a:20260310T180000\nDURATION:PT1H"), "BEGIN:VEVENT", oddZone("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")+"BEGIN:VEVENT", 1), "changes otherwise than by the year"},
		"a long rule":       {recurs("FREQ=YEARLY;BYYEARDAY=" + strings.Repeat("300,", 1000) + "300"), "it is too long"},
		"a zone's too":      {strings.Replace(file("DTSTART;TZID=a:20260310T180000\nDURATION:PT1H"), "BEGIN:VEVENT", oddZone("FREQ=YEARLY;BYMONTH="+strings.Repeat("3,", 2000)+"3")+"BEGIN:VEVENT", 1), "changes otherwise than by the year"},
		"many zones":        {manyZones(maxZones + 1), "name more than 200 time zones"},
		"a long zone":       {file("DTSTART;TZID=" + strings.Repeat("x", 200) + "/UTC:20260310T180000\nDURATION:PT1H"), "is not known here"},
		"a zone far behind": {file("DTSTART;TZID=a/b/c/d/e/f/g/UTC:20260310T180000\nDURATION:PT1H"), "is not known here"},
		"too often":         {recurs("FREQ=DAILY;BYHOUR=" + numbers(24) + ";BYMINUTE=" + numbers(60)), "it recurs more than"},
	} {
		calendar, err := Read(strings.NewReader(c.text), "c.ics")
		if err == nil {
			_, _, err = calendar.Between(t.Context(), month(t), time.UTC)
		}
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

func oddZone(rule string) string {
	return "BEGIN:VTIMEZONE\r\nTZID:a\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nRRULE:" + rule + "\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
}

func numbers(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return strings.Join(all, ",")
}

func TestARuleThatNeverComesTrueEnds(t *testing.T) {
	if got, _ := told(t, file("SUMMARY:x\nDTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30"), time.UTC); len(got) > 0 {
		t.Error(got)
	}
}

func TestExpandingIsEndedByItsContext(t *testing.T) {
	c, err := Read(strings.NewReader(file("DTSTART:20260310T180000Z\nDURATION:PT1H")), "c.ics")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Between(ctx, month(t), time.UTC); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestABareErrorRepeatsNothingOfTheFile(t *testing.T) {
	const secret = `ses"ame-1234\`
	for name, text := range map[string]string{
		"an end":    "BEGIN:VCALENDAR\nBEGIN:" + secret + "\nEND:" + secret + "1\n",
		"a time":    file("DTSTART:" + secret),
		"a length":  file("DTSTART:20260310T180000Z\nDURATION:" + secret),
		"a zone":    file("DTSTART;TZID=ame-1234:20260310T180000"),
		"a rule":    file("DTSTART:20260310T180000Z\nRRULE:FREQ=" + secret),
		"a part":    file("DTSTART:20260310T180000Z\nRRULE:FREQ=DAILY;" + secret + "=1"),
		"its zone":  strings.Replace(file("DTSTART;TZID=a:20260310T180000"), "BEGIN:VEVENT", oddZone("FREQ="+secret)+"BEGIN:VEVENT", 1),
		"an offset": strings.Replace(oddZone("x"), "+0200", secret, 1),
		"a column":  secret,
		"a size":    "kind,start,end,size\nsale,2026-03-10T18:00Z,2026-03-10T19:00Z," + secret,
		"a start":   "kind,start,end\nsale,ame-1234,2026-03-10T19:00Z",
	} {
		if name == "an offset" {
			text = "BEGIN:VCALENDAR\n" + text
		}
		c, err := Read(strings.NewReader(text), "c.ics")
		if err == nil {
			_, _, err = c.Between(t.Context(), month(t), time.UTC)
		}
		if name == "a column" || name == "a size" || name == "a start" {
			_, err = Rows(strings.NewReader(text), "c.csv", nil)
		}
		var fault *Error
		if !errors.As(err, &fault) || strings.Contains(strings.ToLower(fault.Bare()), "ame-1234") || !strings.Contains(fault.Bare(), fault.Remedy) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// patient is a context that ends when it has been asked as often as that.
type patient struct {
	context.Context
	left int
}

func (p *patient) Err() error {
	if p.left--; p.left < 0 {
		return context.Canceled
	}
	return nil
}

func manyZones(n int) string {
	dates := "DTSTART:20260310T180000Z\nDURATION:PT1H"
	for i := range n {
		dates += fmt.Sprintf("\nRDATE;TZID=z%d:20260310T180000", i)
	}
	return file(dates)
}

func TestWhatTakesLongWithinOneEntryIsEndedByItsContext(t *testing.T) {
	odd := func(rule string, entries ...string) string {
		return strings.Replace(file(entries...), "BEGIN:VEVENT", strings.Replace(oddZone(rule), "DTSTART:1970", "DTSTART:0002", 1)+"BEGIN:VEVENT", 1)
	}
	dates := "DTSTART:20260310T180000Z\nDURATION:PT1H\nRDATE;TZID=a:20260301T000000"
	var instead []string
	for i := range 20 {
		dates += fmt.Sprintf(",202603%02dT100000", i+1)
		instead = append(instead, fmt.Sprintf("UID:%d\nDTSTART:20260310T180000Z\nRECURRENCE-ID;TZID=a:202603%02dT100000", i, i+1))
	}
	for name, text := range map[string]string{
		"dates in a zone":                 odd("FREQ=YEARLY;BYMONTH=3", dates),
		"what takes the place of another": odd("FREQ=YEARLY;BYMONTH=3", instead...),
		"a zone since the year 2":         odd("FREQ=YEARLY;INTERVAL=2", "DTSTART;TZID=a:20260310T180000\nDURATION:PT1H"),
		"what recurs":                     file("DTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY"),
	} {
		between := func(asked int) error {
			c, err := Read(strings.NewReader(text), "c.ics")
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = c.Between(&patient{t.Context(), asked}, month(t), time.UTC)
			return err
		}
		if err := between(1 << 20); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := between(15); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadNeverPanics(f *testing.F) {
	f.Add(file("SUMMARY:x\nDTSTART;TZID=Europe/Berlin:20260310T180000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;BYDAY=MO;UNTIL=20270101\nEXDATE:20260317T180000"))
	f.Add("BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:a\nBEGIN:STANDARD\nDTSTART:16010101T000000\nTZOFFSETTO:+0100\nEND:STANDARD\nEND:VTIMEZONE\nBEGIN:VEVENT\nDTSTART;TZID=a:20260310T180000\nEND:VEVENT\nEND:VCALENDAR\n")
	for _, rule := range []string{"FREQ=MONTHLY;BYDAY=-6MO", "FREQ=YEARLY;BYMONTH=12;BYDAY=53MO", "FREQ=YEARLY;BYEASTER=-200", "FREQ=YEARLY;BYDAY=-53SU"} {
		f.Add(file("DTSTART:20260105T100000Z\nDURATION:PT1H\nRRULE:" + rule))
	}
	inner := "BEGIN:VTIMEZONE\nTZID:a\nBEGIN:STANDARD\nDTSTART:16010101T000000\nTZOFFSETTO:+0100\nEND:STANDARD\nEND:VTIMEZONE\n"
	f.Add("BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\n" + inner + "TZID:b\nEND:VTIMEZONE\nEND:VCALENDAR\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := Read(strings.NewReader(text), "c.ics"); err == nil {
			_, _, _ = c.Between(t.Context(), month(t), time.UTC)
		}
	})
}
