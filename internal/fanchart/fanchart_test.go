package fanchart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/fanchart"
	"github.com/glidepath/glidepath/internal/timeline"
)

func panel(values ...float64) fanchart.Panel {
	const step = 5 * time.Minute
	high := make([]float64, len(values))
	for i, v := range values {
		high[i] = 2 * v
	}
	return fanchart.Panel{
		Title: "cpu & <memory>", Span: timeline.Span{Start: 0, End: timeline.Time(0).Add(time.Duration(len(values)+1) * step)},
		Label:    func(v float64) string { return fmt.Sprintf("%g", v) },
		Past:     fanchart.Steps{Start: 0, Step: step, Values: []float64{1}},
		Forecast: []fanchart.Quantile{{"p50", fanchart.Steps{Start: 300_000, Step: step, Values: values}}, {"p95", fanchart.Steps{Start: 300_000, Step: step, Values: high}}},
		Marks:    []fanchart.Mark{{"sale \x00 \"x\"", timeline.Span{Start: 300_000, End: 600_000}}},
	}
}

// paths returns the d of the paths of a class, of a picture that is well-formed.
func paths(t *testing.T, class string, panels ...fanchart.Panel) []string {
	t.Helper()
	var b bytes.Buffer
	if err := fanchart.Write(&b, "t", panels); err != nil {
		t.Fatal(err)
	}
	var out []string
	d := xml.NewDecoder(&b)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" {
			attrs := map[string]string{}
			for _, a := range e.Attr {
				attrs[a.Name.Local] = a.Value
			}
			if attrs["class"] == class {
				out = append(out, attrs["d"])
			}
		}
	}
}

func TestThePictureIsWellFormedWhateverTheNames(t *testing.T) {
	if got := paths(t, "past", panel(1, 2, 3)); len(got) != 1 {
		t.Errorf("%d lines of the past", len(got))
	}
}

func TestAStepIsDrawnWhereItIsAndAsHighAsItIs(t *testing.T) {
	got := paths(t, "middle", panel(1, 2, 3))
	// A quarter of the width each; 3 of 6 is half the height.
	if want := "M276.0 234.7H472.0V199.3H668.0V164.0H864.0"; len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
	if fans := paths(t, "fan", panel(1, 2, 3)); len(fans) != 1 || !strings.HasSuffix(fans[0], "Z") {
		t.Errorf("%q", fans)
	}
}

func TestNothingIsDrawnWhereNothingIsKnown(t *testing.T) {
	p := panel(1, 2, 3)
	p.Past.Values = []float64{1, math.NaN(), 2}
	if got := paths(t, "past", p); strings.Count(got[0], "M") != 2 {
		t.Errorf("%q", got)
	}
	empty := panel()
	empty.Past.Values, empty.Forecast = nil, nil
	if got := paths(t, "past", empty); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestAMillionStepsAreAPictureOfOrdinarySizeWithEveryPeak(t *testing.T) {
	values := make([]float64, 1_000_000)
	values[123_456] = 7
	p := panel(values...)
	var b bytes.Buffer
	if err := fanchart.Write(&b, "t", []fanchart.Panel{p}); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 200_000 {
		t.Errorf("%d bytes", b.Len())
	}
	if got := paths(t, "middle", p); strings.Count(got[0], "V146") == 0 && !strings.Contains(got[0], "V1") {
		t.Error("the peak is not there")
	}
}
