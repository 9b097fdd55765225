package feeds

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/glidepath/glidepath/coordinator/calendar"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	before      = proto.EventsKept * time.Millisecond // that events are registered which have been
	after       = 100 * 24 * time.Hour                // that events are registered which are to come
	longestRead = 20 * time.Second                    // that working out when events are may take
	maxTitle    = 80                                  // characters of a title that are kept
	fileName    = "the calendar"                      // as errors about what is in it call it
)

// counts returns the time that counts: whole days, so that what is in it changes once a day.
func counts(now timeline.Time) timeline.Span {
	day := timeline.Of(now.Std().Truncate(24 * time.Hour))
	return timeline.Span{Start: day.Add(-before), End: day.Add(24*time.Hour + after)}
}

// read returns the events that a calendar has in the time that counts, sorted by ID: as its entries say them, in what it is, iCalendar or CSV.
func read(ctx context.Context, c proto.Calendar, body []byte, now timeline.Time) ([]proto.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, longestRead)
	defer cancel()
	body = bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\ufeff")), " \t\r\n")
	const begin = "BEGIN:VCALENDAR"
	var found []proto.Event
	var err error
	switch {
	case len(body) >= len(begin) && strings.EqualFold(string(body[:len(begin)]), begin):
		found, err = entries(ctx, c, body, counts(now))
	case bytes.HasPrefix(body, []byte("<")):
		return nil, faultf("it is a web page, or XML: give the URL of the iCalendar or CSV file itself, and see that it takes no signing in")
	default:
		found, err = rows(c, body, counts(now))
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, faultf("working out when its entries are takes longer than %s: let fewer recur", longestRead)
	}
	if err != nil {
		return nil, err
	}
	for _, e := range found {
		if what := wrong(c, e); what != "" {
			return nil, faultf("the event that begins at %s %s", e.Span.Start, what)
		}
	}
	slices.SortStableFunc(found, func(x, y proto.Event) int { return strings.Compare(x.ID, y.ID) })
	found = slices.CompactFunc(found, func(x, y proto.Event) bool { return x.ID == y.ID })
	if len(found) > proto.MaxCalendarEvents {
		return nil, faultf("it has more than %d events from %s to %s: part it", proto.MaxCalendarEvents, counts(now).Start, counts(now).End)
	}
	return found, nil
}

// wrong says what is wrong with an event, "" for nothing. It repeats nothing of it: see words.
func wrong(c proto.Calendar, e proto.Event) string {
	const name = "use letters, digits, '-', '_' and '.', at most %d of them"
	if proto.ValidName("kind of event", string(c.Event(e).Kind)) != nil {
		return fmt.Sprintf("has a kind that is no name: "+name, proto.MaxNameLength)
	}
	if e.Span.Start < 0 {
		return "begins before 1970: let it begin later"
	}
	if e.Span.Empty() || e.Span.End >= timeline.Forever {
		return fmt.Sprintf("ends at %s: it needs a later end, and one at all", e.Span.End)
	}
	if len(e.Instances) > proto.MaxCalendarInstances {
		return fmt.Sprintf("names more than %d instances: select them by labels", proto.MaxCalendarInstances)
	}
	for _, i := range e.Instances {
		if proto.ValidName("instance", i) != nil {
			return fmt.Sprintf("names what can be no instance: "+name, proto.MaxNameLength)
		}
	}
	return ""
}

// entries returns the events of an iCalendar file. Entries without a UID are told apart by what they say; two that are the same event by that, and differ in their end, are an
// error: one of them would be lost.
func entries(ctx context.Context, c proto.Calendar, body []byte, span timeline.Span) ([]proto.Event, error) {
	loc, err := zone(c)
	if err != nil {
		return nil, err
	}
	file, err := calendar.Read(bytes.NewReader(body), fileName)
	if err != nil {
		return nil, err
	}
	all, _, err := file.Between(ctx, span, loc)
	if err != nil {
		return nil, err
	}
	out := make([]proto.Event, 0, len(all))
	first := map[string]calendar.Occurrence{}
	for _, o := range all {
		if o.Span.Empty() {
			continue // an entry that lasts no time moves no demand
		}
		which := []string{o.UID}
		if o.UID == "" {
			which = []string{"", o.Kind, o.Title, o.Rule}
		}
		e := proto.Event{ID: id(c.Name, o.Span.Start, which...), Kind: proto.EventKind(o.Kind), Title: title(o.Title), Span: o.Span}
		if was, twice := first[e.ID]; twice && o.UID == "" && was.Span != o.Span {
			return nil, faultf("%s lines %d and %d have no UID, are of the same summary, start and rule, and differ in their end: give each entry a UID, or leave one out", fileName, was.Line, o.Line)
		}
		first[e.ID] = o
		out = append(out, e)
	}
	return out, nil
}

// zone returns the time zone that was registered.
func zone(c proto.Calendar) (*time.Location, error) {
	loc, err := time.LoadLocation(c.Timezone)
	if err != nil || c.Timezone == "Local" {
		return nil, faultf("time zone %q is not known on this coordinator: install tzdata", c.Timezone)
	}
	return loc, nil
}

// rows returns the events of a CSV. Two rows that are the same event by kind, start and instances, and differ, are an error: one of them would be lost.
func rows(c proto.Calendar, body []byte, span timeline.Span) ([]proto.Event, error) {
	loc, err := zone(c)
	if err != nil {
		return nil, err
	}
	if c.Timezone == "" {
		loc = nil
	}
	all, err := calendar.Rows(bytes.NewReader(body), fileName, loc)
	if err != nil {
		return nil, err
	}
	var out []proto.Event
	first := map[string]calendar.Row{}
	for _, r := range all {
		if r.Span.Empty() {
			return nil, faultf("%s line %d: the event ends before it starts", fileName, r.Line)
		}
		if !r.Span.Overlaps(span) {
			continue
		}
		instances := slices.Compact(slices.Sorted(slices.Values(r.Instances)))
		e := proto.Event{
			ID: id(c.Name, r.Span.Start, append([]string{r.Kind}, instances...)...), Kind: proto.EventKind(r.Kind), Span: r.Span, Size: r.Size, Instances: instances,
		}
		if was, twice := first[e.ID]; twice && (was.Span != r.Span || was.Size != r.Size) {
			return nil, faultf("%s lines %d and %d are of the same kind, start and instances, and differ in their end or size: leave one out, or name other instances", fileName, was.Line, r.Line)
		}
		first[e.ID] = r
		out = append(out, e)
	}
	return out, nil
}

// id names an event so that it is the same one each time that its calendar is read, though its end changes, or its kind or title where it has a UID.
func id(name string, start timeline.Time, which ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(which, "\x00")))
	return fmt.Sprintf("%s:%s-%s", name, start.Std().Format("20060102T150405"), hex.EncodeToString(sum[:6]))
}

// title returns what is kept of a title.
func title(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if utf8.RuneCountInString(text) > maxTitle {
		text = string([]rune(text)[:maxTitle-1]) + "…"
	}
	return text
}

// change is how events differ from what was found.
type change struct {
	put    []proto.Event
	remove []string
}

// difference returns what has to change for the events of a calendar to be those that were found. What is over stays, whether it was found or not, for as long as it
// teaches: calendars forget what is over. By the first read of what is registered now it goes, too, from the time that the calendar tells of: it may have been wrong.
func difference(view *state.View, c proto.Calendar, found []proto.Event, now timeline.Time) (out change) {
	// Some programs name an entry otherwise each time. What such a one says of what has begun must not be taken for another event each time.
	same := func(e proto.Event) string { return fmt.Sprint(e.Kind, e.Span, e.Instances, e.Selector) }
	known, alike := map[string]bool{}, map[string]bool{}
	covered := timeline.Span{Start: timeline.Forever}
	for _, e := range found {
		known[e.ID] = true
		alike[same(c.Event(e))] = true
		covered.Start, covered.End = min(covered.Start, e.Span.Start), max(covered.End, e.Span.End)
	}
	begun := map[string]bool{}
	for e := range view.Events() {
		if e.Calendar != c.Name || known[e.ID] {
			continue
		}
		switch s := e.Span; {
		case s.Start > now || s.End <= now.Add(-before):
			out.remove = append(out.remove, e.ID)
		case alike[same(e)]:
			begun[same(e)] = true
		case s.Start < now && s.End > now, c.Polled.ReadAt == 0 && s.Start >= covered.Start && s.End <= covered.End:
			out.remove = append(out.remove, e.ID)
		}
	}
	for _, e := range found {
		want := c.Event(e)
		was, there := view.Event(e.ID)
		switch {
		case there && (was.Calendar != c.Name || was.Same(want)):
		case !there && e.Span.Start <= now && begun[same(want)]:
		default:
			out.put = append(out.put, e)
		}
	}
	return out
}

// maxPart bounds what one command says, in bytes, well below what can be committed.
const maxPart = proto.MaxCommand / 4

// parts returns the commands that say a change, the last of which is last.
func parts(last proto.CalendarPoll, all change) []*proto.CalendarPoll {
	part := func() *proto.CalendarPoll {
		return &proto.CalendarPoll{Calendar: last.Calendar, Revision: last.Revision, More: true}
	}
	out := []*proto.CalendarPoll{part()}
	size := 0
	room := func(n int) *proto.CalendarPoll {
		now := out[len(out)-1]
		if count := len(now.Put) + len(now.Remove); count > 0 && (count >= proto.MaxCalendarBatch || size+n > maxPart) {
			now = part()
			out, size = append(out, now), 0
		}
		size += n
		return now
	}
	for _, e := range all.put {
		n := 200 + len(e.ID) + len(e.Title)
		for _, name := range e.Instances {
			n += len(name) + 5
		}
		p := room(n)
		p.Put = append(p.Put, e)
	}
	for _, id := range all.remove {
		p := room(len(id) + 5)
		p.Remove = append(p.Remove, id)
	}
	end := out[len(out)-1]
	last.Put, last.Remove, last.More = end.Put, end.Remove, false
	out[len(out)-1] = &last
	return out
}
