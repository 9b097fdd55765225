package feeds

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func many(n int) string {
	var b strings.Builder
	b.WriteString("kind,start,end\n")
	for i := range n {
		at := noon.Add(time.Duration(i+1) * time.Minute)
		fmt.Fprintf(&b, "sale,%s,%s\n", at.Std().Format(time.RFC3339), at.Add(time.Minute).Std().Format(time.RFC3339))
	}
	return b.String()
}

func names(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "i%d ", i)
	}
	return b.String()
}

func TestALargeChangeIsProposedInParts(t *testing.T) {
	w := newWorld(t)
	w.add()
	w.body = many(2*proto.MaxCalendarBatch + 100)
	p := w.poll(0)
	if len(w.polls) != 3 || !w.polls[0].More || !w.polls[1].More || w.polls[2].More || p.Events != 1100 || p.At != noon {
		t.Fatalf("%d parts, %+v", len(w.polls), p)
	}
	for _, body := range w.polls {
		if b, err := proto.Marshal(body); err != nil || len(b) > proto.MaxCommand/2 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
	w.body = "kind,start,end\n"
	if w.poll(17 * time.Minute); len(w.polls) != 3 || w.events() == "" || strings.Count(w.events(), ",") > 20 {
		t.Errorf("%d parts; left: %s", len(w.polls), w.events()) // what has begun in 17 minutes is left
	}
	// By their bytes, too: each event names as many instances as it may.
	w.body = "kind,start,end,instances\n"
	for i := range 700 {
		at := noon.Add(time.Duration(i+60) * time.Minute)
		w.body += fmt.Sprintf("sale,%s,%s,%s\n", at.Std().Format(time.RFC3339), at.Add(time.Minute).Std().Format(time.RFC3339), strings.ReplaceAll(names(proto.MaxCalendarInstances), "i", strings.Repeat("i", 50)))
	}
	w.poll(17 * time.Minute)
	if len(w.polls) < 8 {
		t.Fatalf("%d parts", len(w.polls))
	}
	for _, body := range w.polls {
		if b, err := proto.Marshal(body); err != nil || len(b) > proto.MaxCommand/2 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
}

func TestRowsThatAreTheSameEventAndDifferAreToldOf(t *testing.T) {
	const header, row = "kind,start,end,size,instances\n", "sale,2026-03-11T18:00Z,2026-03-11T19:00Z,2,a\n"
	for text, says := range map[string]string{
		row + "sale,2026-03-11T18:00Z,2026-03-11T20:00Z,2,a\n":   "lines 2 and 3 are of the same kind, start and instances",
		row + "\nsale,2026-03-11T18:00Z,2026-03-11T19:00Z,1,a\n": "lines 2 and 4 are",
		row + row: "",
		row + "sale,2026-03-11T18:00Z,2026-03-11T20:00Z,2,b\n": "",
	} {
		c := proto.Calendar{Name: "sales"}
		found, err := rows(c, []byte(header+text), counts(noon))
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %d events, %v", text, len(found), err)
		}
	}
}

func TestEntriesWithoutAUIDAreToldApartByWhatTheySay(t *testing.T) {
	entry := func(summary, ends string, more ...string) string {
		return "BEGIN:VEVENT\r\nCATEGORIES:sale\r\nSUMMARY:" + summary + "\r\nDTSTART:20260311T180000Z\r\nDTEND:20260311T" + ends + "0000Z\r\n" + strings.Join(more, "\r\n") + "\r\nEND:VEVENT\r\n"
	}
	ids := func(text string) (out []string, err error) {
		found, err := read(t.Context(), proto.Calendar{Name: "sales"}, []byte("BEGIN:VCALENDAR\r\n"+text+"END:VCALENDAR\r\n"), noon)
		for _, e := range found {
			out = append(out, e.ID)
		}
		return out, err
	}
	const weekly = "RRULE:FREQ=WEEKLY;COUNT=1"
	for name, c := range map[string]struct {
		text string
		want int
		says string
	}{
		"other summaries":                  {entry("a", "19") + entry("b", "20"), 2, ""},
		"another rule":                     {entry("a", "19") + entry("a", "20", weekly), 2, ""},
		"the same again":                   {entry("a", "19") + entry("a", "19"), 1, ""},
		"the same but for its end":         {entry("a", "19") + entry("b", "19") + entry("a", "20"), 0, "lines 2 and 16 have no UID, are of the same summary, start and rule"},
		"the same, of which one has a UID": {entry("a", "19") + entry("a", "20", "UID:x"), 2, ""},
	} {
		got, err := ids(c.text)
		if len(got) != c.want || c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	before, _ := ids(entry("a", "19"))
	after, err := ids(entry("b", "21") + entry("a", "20"))
	if err != nil || !slices.Contains(after, before[0]) {
		t.Errorf("%q with another end, and beside another one, is %q: %v", before, after, err)
	}
}

func TestTimesOfACSVAreInTheZoneThatWasRegistered(t *testing.T) {
	const text = "kind,start,end\nsale,2026-03-11T18:00,2026-03-11T19:00\n"
	c := proto.Calendar{Name: "sales", Timezone: "Europe/Berlin"}
	found, err := rows(c, []byte(text), counts(noon))
	if err != nil || len(found) != 1 || found[0].Span.Start != timeline.Of(time.Date(2026, 3, 11, 17, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v %v", found, err)
	}
	c.Timezone = ""
	if _, err := rows(c, []byte(text), counts(noon)); err == nil || !strings.Contains(err.Error(), "is no time") {
		t.Errorf("nobody named a zone: %v", err)
	}
}

func TestTheCalendarSaysWhatItsRowsDoNot(t *testing.T) {
	w := newWorld(t)
	w.add(func(c *proto.Calendar) {
		c.Kind, c.Size, c.Timezone, c.Selector = "campaign", 1500, "Europe/Berlin", []proto.Label{{Key: "tier", Value: "cache"}}
	})
	w.body = "kind,start,end,size,instances\nsale,2026-03-11T18:00Z,2026-03-11T19:00Z,2,b a b\nsale,2026-03-12T18:00Z,2026-03-12T19:00Z,,\n"
	w.poll(0)
	var got []string
	for e := range w.view().Events() {
		got = append(got, fmt.Sprint(e.Kind, e.Size, e.Instances, e.Selector, e.Calendar))
	}
	want := []string{"campaign2000 [a b] [{tier cache}]sales", "campaign1500 [cache-1] [{tier cache}]sales"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if w.poll(17 * time.Minute); w.got[1] != Unchanged {
		t.Errorf("the same rows are %s", w.got[1])
	}
	w.body = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:x\r\nSUMMARY:a\\nb " + strings.Repeat("ä", 100) + "\r\nDTSTART:20260320T180000\r\nDURATION:PT1H\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	w.poll(17 * time.Minute)
	if w.events() != "campaign 20T17-18" {
		t.Error(w.events())
	}
	for e := range w.view().Events() {
		if !strings.HasPrefix(e.Title, "a b ää") || !strings.HasSuffix(e.Title, "ä…") || len([]rune(e.Title)) != maxTitle {
			t.Errorf("%q", e.Title)
		}
	}
}

func TestACalendarThatNamesItsEntriesAnewEachTimeDoesNotMultiplyThem(t *testing.T) {
	w := newWorld(t)
	w.add()
	for n := range 3 {
		w.body = ics(fmt.Sprintf("a%d sale 10T08 10", n), fmt.Sprintf("b%d sale 10T11 15", n), fmt.Sprintf("c%d sale 11T18 20", n))
		w.poll(17 * time.Minute)
		if got := w.events(); got != "sale 10T08-10, sale 10T11-15, sale 11T18-20" {
			t.Errorf("read %d times: %s", n+1, got)
		}
	}
}

func TestWhatWasRegisteredWronglyDoesNotTeach(t *testing.T) {
	w := newWorld(t)
	w.add()
	w.body = ics("a wrong 05T08 10", "b wrong 09T18 20", "c wrong 10T11 13")
	w.poll(0)
	w.add()
	w.body = ics("d sale 08T18 20", "e sale 11T18 20")
	if w.poll(time.Hour / 2); w.events() != "wrong 05T08-10, sale 08T18-20, sale 11T18-20" {
		t.Errorf("anew: %s", w.events()) // of the 5th the calendar says nothing any more
	}
	// Later calendars only forget.
	w.body = ics("f sale 01T18 20", "e sale 11T18 20")
	if w.poll(time.Hour); w.events() != "sale 01T18-20, wrong 05T08-10, sale 08T18-20, sale 11T18-20" {
		t.Error(w.events())
	}
}

func FuzzRead(f *testing.F) {
	f.Add(ics("a sale 10T18 20"))
	f.Add("kind,start,end,size,instances\nsale,2026-03-10T18:00Z,2026-03-10T20:00Z,2,a b\n")
	c := proto.Calendar{Name: "sales", Instances: []string{"cache-1"}}
	f.Fuzz(func(t *testing.T, body string) {
		found, err := read(t.Context(), c, []byte(body), noon)
		if err != nil {
			return
		}
		for _, e := range found {
			if what := wrong(c, e); what != "" || !strings.HasPrefix(e.ID, "sales:") {
				t.Errorf("%+v %s", e, what)
			}
		}
	})
}
