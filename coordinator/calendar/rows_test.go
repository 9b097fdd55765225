package calendar

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/timeline"
)

func TestRowsOfWhatACSVHas(t *testing.T) {
	at := func(hour int) timeline.Time {
		return timeline.Of(time.Date(2026, 3, 10, hour, 0, 0, 0, time.UTC))
	}
	got, err := Rows(strings.NewReader("# campaigns\nkind,start,end,size,instances\nsale,2026-03-10T18:00Z,2026-03-10T20:00:00Z,1.25,b a\njob,2026-03-10T02:00+01:00,2026-03-10T02:00Z,,\n"), "e.csv", nil)
	want := []Row{{3, "sale", timeline.Span{Start: at(18), End: at(20)}, 1250, []string{"b", "a"}}, {4, "job", timeline.Span{Start: at(1), End: at(2)}, 0, nil}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestTimesOfACSVThatNameNoZoneAreInTheOneThatWasNamed(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const text = "kind,start,end\nsale,2026-03-28T18:00,2026-03-29T18:00:30\njob,2026-03-28T18:00Z,2026-03-28T19:00Z\n"
	got, err := Rows(strings.NewReader(text), "e.csv", berlin)
	at := func(day, hour, second int) timeline.Time {
		return timeline.Of(time.Date(2026, 3, day, hour, 0, second, 0, time.UTC))
	}
	want := []Row{{Line: 2, Kind: "sale", Span: timeline.Span{Start: at(28, 17, 0), End: at(29, 16, 30)}}, {Line: 3, Kind: "job", Span: timeline.Span{Start: at(28, 18, 0), End: at(28, 19, 0)}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := Rows(strings.NewReader(text), "e.csv", nil); err == nil || !strings.Contains(err.Error(), "is no time") {
		t.Errorf("nobody named a zone: %v", err)
	}
}

func TestWhatIsWrongInACSVIsSaidWithItsLine(t *testing.T) {
	const header = "kind,start,end,size\n"
	for name, c := range map[string]struct{ text, says string }{
		"nothing":         {"", "begin with the header"},
		"another column":  {"kind,start,end,colour\n", `e.csv line 1: unknown column "colour"`},
		"a column twice":  {"kind,kind,start,end\n", `"kind", or one that is there twice`},
		"no end":          {"kind,start\n", "no column end: give it one"},
		"no time":         {header + "sale,tomorrow,2026-03-10T18:00Z,\n", `e.csv line 2: start: "tomorrow" is no time: write one like`},
		"a size below 0":  {header + "sale,2026-03-10T18:00Z,2026-03-10T19:00Z,-1\n", `size "-1" is not between 0 and 1000`},
		"NaN":             {header + "sale,2026-03-10T18:00Z,2026-03-10T19:00Z,NaN\n", `size "NaN" is not between`},
		"a row too short": {header + "sale\n", "wrong number of fields"},
		"too many":        {header + strings.Repeat("sale,2026-03-10T18:00Z,2026-03-10T19:00Z,\n", maxOccurrences+1), "more than 10000 events: part it"},
		"a long word":     {strings.Repeat("x", 5000) + "\n", "…"},
	} {
		_, err := Rows(strings.NewReader(c.text), "e.csv", nil)
		var fault *Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 300 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add("kind,start,end,size,instances\nsale,2026-03-10T18:00Z,2026-03-10T20:00:00Z,1.25,b a\n")
	f.Add("kind,start,end\n\"sa\nle\",x,y\n")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := Rows(strings.NewReader(text), "e.csv", time.UTC)
		var fault *Error
		if err != nil && !errors.As(err, &fault) {
			t.Fatalf("%v says no line", err)
		}
		for _, r := range rows {
			if r.Size < 0 || r.Size > 1_000_000 || r.Line < 1 {
				t.Fatalf("%+v", r)
			}
		}
	})
}
