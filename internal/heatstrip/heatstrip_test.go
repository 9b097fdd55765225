package heatstrip_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/heatstrip"
	"github.com/glidepath/glidepath/internal/timeline"
)

// strip has a cell of an hour for each heat, and one that has no end.
func strip(name string, later heatstrip.Heat, heats ...heatstrip.Heat) heatstrip.Strip {
	const hour = 3_600_000
	s := heatstrip.Strip{Name: name, Note: "note of " + name}
	for i, h := range heats {
		s.Cells = append(s.Cells, heatstrip.Cell{Span: timeline.Span{Start: timeline.Time(i * hour), End: timeline.Time((i + 1) * hour)}, Heat: h, Says: "a < b"})
	}
	s.Cells = append(s.Cells, heatstrip.Cell{Span: timeline.Span{Start: timeline.Time(len(heats) * hour), End: timeline.Forever}, Heat: later})
	return s
}

func TestHeatIsToldInEighths(t *testing.T) {
	for _, c := range []struct {
		used, limit int64
		want        heatstrip.Heat
	}{
		{0, 100, heatstrip.Free}, {1, 100, 1}, {12, 100, 1}, {13, 100, 2}, {50, 100, 5}, {99, 100, 8}, {100, 100, 8}, {101, 100, heatstrip.Over},
		{0, 0, heatstrip.Gone}, {1, 0, heatstrip.Over},
	} {
		if got := heatstrip.Of(c.used, c.limit); got != c.want {
			t.Errorf("Of(%d, %d) = %d, want %d", c.used, c.limit, got, c.want)
		}
	}
}

func TestAStripIsDrawnInText(t *testing.T) {
	strips := []heatstrip.Strip{
		strip("cpu", 3, heatstrip.Free, 1, 8, heatstrip.Over, heatstrip.Gone, heatstrip.Unlimited),
		strip("memory", heatstrip.Free, 1, 2, 3, 4, 5, 6),
	}
	want := []string{"cpu     ·▁█!× │▃  note of cpu", "memory  ▁▂▃▄▅▆│·  note of memory"}
	if got := heatstrip.Text(strips, 6, false); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	// A character shows the hottest of what it covers: nobody is told of room that is not there throughout.
	if got := heatstrip.Text(strips, 3, false); got[0] != "cpu     ▁!×│▃  note of cpu" || got[1] != "memory  ▂▄▆│·  note of memory" {
		t.Errorf("%q", got)
	}
	wide := heatstrip.Text(strips, 12, false)
	if !strings.Contains(wide[0], "··▁▁██!!××") {
		t.Errorf("%q", wide)
	}
	if got := heatstrip.Text(strips, 6, true); !strings.Contains(got[0], "\x1b[38;5;196m!") || !strings.HasSuffix(got[0], "\x1b[0m  note of cpu") {
		t.Errorf("%q", got)
	}
	if got := heatstrip.Text(nil, 6, false); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestThePictureIsWellFormedAndSaysWhatItShows(t *testing.T) {
	var out bytes.Buffer
	s := strip("cpu <", 3, 1, 8, heatstrip.Over, heatstrip.Gone, heatstrip.Free, heatstrip.Unlimited)
	if err := heatstrip.Write(&out, "Calendar of <host> & more\x01", []heatstrip.Strip{s}); err != nil {
		t.Fatal(err)
	}
	rects := map[string]int{}
	d := xml.NewDecoder(&out)
	d.Strict = true
	text := ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if e.Name.Local == "rect" {
				rects[e.Attr[0].Value]++
			}
		case xml.CharData:
			text += string(e)
		}
	}
	if rects["used"] != 3 || rects["over"] != 1 || rects["gone"] != 1 {
		t.Errorf("%v", rects)
	}
	for _, want := range []string{"Calendar of <host> & more", "cpu <", "note of cpu <", "a < b", "later", "01-01 01:00"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q: %s", want, text)
		}
	}
	if err := heatstrip.Write(io.Discard, "empty", nil); err != nil {
		t.Error(err)
	}
}
