package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/calendar"
	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/backtest"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// maxEventFile bounds a file of events, in bytes.
const maxEventFile = 16 << 20

// Of a calendar that is registered, what lies so far back and ahead.
const (
	registeredBefore = 60 * 24 * time.Hour
	registeredAfter  = 100 * 24 * time.Hour
)

func isCalendar(name string) bool { return strings.EqualFold(filepath.Ext(name), ".ics") }

func openCalendar(name string) (*calendar.Calendar, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return calendar.Read(f, name)
}

// readEventFile reads the events of a file, and returns what says those of a span, and the file's sum. Without a name there are none.
func readEventFile(name string, loc *time.Location) (backtest.Events, string, error) {
	if name == "" {
		return func(context.Context, timeline.Span) ([]forecast.Event, []string, error) { return nil, nil, nil }, "", nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxEventFile+1))
	if err != nil {
		return nil, "", err
	}
	if len(text) > maxEventFile {
		return nil, "", fmt.Errorf("%s is larger than %d MiB: part it", name, maxEventFile>>20)
	}
	sum := sha256.Sum256(text)
	id := hex.EncodeToString(sum[:])
	if isCalendar(name) {
		c, err := calendar.Read(bytes.NewReader(text), name)
		if err != nil {
			return nil, "", err
		}
		return func(ctx context.Context, span timeline.Span) ([]forecast.Event, []string, error) {
			all, notes, err := c.Between(ctx, span, loc)
			var out []forecast.Event
			for _, o := range all {
				out = append(out, forecast.Event{Kind: o.Kind, Span: o.Span})
			}
			return out, notes, err
		}, id, nil
	}
	rows, err := calendar.Rows(bytes.NewReader(text), name, nil)
	if err != nil {
		return nil, "", err
	}
	return func(_ context.Context, span timeline.Span) ([]forecast.Event, []string, error) {
		var out []forecast.Event
		for _, e := range rows {
			if e.Span.Overlaps(span) {
				out = append(out, forecast.Event{Kind: e.Kind, Span: e.Span, Size: float64(e.Size) / 1000})
			}
		}
		return out, nil, nil
	}, id, nil
}

// eventsOfFile returns what a file of events has, over what base says of all of them.
func (a *app) eventsOfFile(ctx context.Context, f *eventFlags, base v1.EventRequest) ([]v1.EventRequest, error) {
	loc, err := time.LoadLocation(f.timezone)
	if err != nil || f.timezone == "Local" {
		return nil, usagef("--timezone %q is not known here: name one like Europe/Berlin", f.timezone)
	}
	if !isCalendar(f.file) {
		if f.timezone == "" {
			loc = nil
		}
		return readEvents(f.file, base, loc)
	}
	c, err := openCalendar(f.file)
	if err != nil {
		return nil, err
	}
	now := timeline.Of(time.Now())
	all, notes, err := c.Between(ctx, timeline.Span{Start: now.Add(-registeredBefore), End: now.Add(registeredAfter)}, loc)
	if err != nil {
		return nil, err
	}
	for _, n := range notes {
		fmt.Fprintf(a.stderr, "glidepath: %s\n", oneLine(n))
	}
	var out []v1.EventRequest
	for _, o := range all {
		e := base
		e.Kind, e.Start, e.End = proto.EventKind(o.Kind), o.Span.Start, o.Span.End
		if e.Title == "" {
			e.Title = cut(oneLine(o.Title), longestTitle)
		}
		e.ID = rowID(e)
		out = append(out, e)
	}
	return out, nil
}

// longestTitle is how much of a title is registered, in characters.
const longestTitle = 80
