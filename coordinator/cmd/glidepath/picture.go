package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/fanchart"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// picture is a drawing with its title.
type picture struct {
	title  string
	panels []fanchart.Panel
}

// writePicture writes a drawing of a forecast.
func writePicture(name string, p picture) error {
	return writeDrawing(name, func(w io.Writer) error { return fanchart.Write(w, p.title, p.panels) })
}

// writeDrawing writes a drawing that everybody may read, all or nothing.
func writeDrawing(name string, draw func(io.Writer) error) error {
	full, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(full)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: there is no folder %s", name, filepath.Dir(full))
	}
	var out bytes.Buffer
	if err := draw(&out); err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, full, out.Bytes(), 0o644)
}

// filePicture draws the forecast of a file, after as much of what was before as is forecast.
func filePicture(f fileForecast, past forecast.Series) picture {
	span := f.span()
	span.Start = max(past.Start, span.Start.Add(-span.Length()))
	shown := past.Before(f.Start) // and no more: what was long ago would make all else small
	if before := int(span.Start.Sub(shown.Start) / shown.Step); before > 0 {
		shown.Start, shown.Values = shown.Start.Add(time.Duration(before)*shown.Step), shown.Values[min(before, len(shown.Values)):]
	}
	title := f.Column + " in " + f.File
	p := fanchart.Panel{
		Title: title, Span: span, Label: number,
		Past: fanchart.Steps{Start: shown.Start, Step: shown.Step, Values: shown.Values},
	}
	for qi, q := range f.Quantiles {
		p.Forecast = append(p.Forecast, fanchart.Quantile{Name: fraction(q), Steps: fanchart.Steps{
			Start: f.Start, Step: time.Duration(f.Step) * time.Millisecond, Values: f.Values[qi],
		}})
	}
	for _, e := range f.Events {
		p.Marks = append(p.Marks, fanchart.Mark{Name: e.Kind, Span: e.Span})
	}
	return picture{"Forecast of " + title, []fanchart.Panel{p}}
}

// replyPicture draws what an instance is expected to ask for, a panel for each resource.
func replyPicture(f proto.ForecastReply, kinds []resource.Kind) picture {
	out := picture{title: "Forecast of " + f.Instance}
	if len(f.Profiles) == 0 {
		return out
	}
	span := f.Profiles[0].Span()
	step := time.Duration(f.Step) * time.Millisecond
	for _, k := range kinds {
		p := fanchart.Panel{Title: k.String() + " of " + f.Instance, Span: span, Label: func(v float64) string { return short(k, int64(v+.5)) }}
		if k == resource.CPU {
			p.Unit = 1000
		}
		for i, profile := range f.Profiles {
			steps := fanchart.Steps{Start: span.Start, Step: step}
			for at := span.Start; at < span.End; at = at.Add(step) {
				n := profile.MaxOver(timeline.Span{Start: at, End: min(at.Add(step), span.End)})[k]
				if n >= resource.Unlimited { // nothing is known, and nothing limits it
					n = 0
				}
				steps.Values = append(steps.Values, float64(n))
			}
			p.Forecast = append(p.Forecast, fanchart.Quantile{Name: quantile(f.Quantiles[i]), Steps: steps})
		}
		out.panels = append(out.panels, p)
	}
	return out
}
