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
	got, err := Rows(strings.NewReader("# campaigns\nkind,start,end,size,instances\nsale,2026-03-10T18:00Z,2026-03-10T20:00:00Z,1.25,b a\njob,2026-03-10T02:00+01:00,2026-03-10T02:00Z,,\n"), "e.csv")
	want := []Row{{3, "sale", timeline.Span{Start: at(18), End: at(20)}, 1250, []string{"b", "a"}}, {4, "job", timeline.Span{Start: at(1), End: at(2)}, 0, nil}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
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
		_, err := Rows(strings.NewReader(c.text), "e.csv")
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
		rows, err := Rows(strings.NewReader(text), "e.csv")
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
