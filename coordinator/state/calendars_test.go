package state

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const hour = timeline.Time(3_600_000)

func sales() proto.Calendar {
	return proto.Calendar{Name: "sales", URL: "https://cal.example/sales.ics", Every: 900_000, Instances: []string{"b", "a"}}
}

// follow registers a calendar and returns it.
func (w *world) follow(c proto.Calendar) proto.Calendar {
	w.t.Helper()
	w.must(&proto.CalendarPut{Calendar: c})
	got, ok := w.s.View().Calendar(c.Name)
	if !ok {
		w.t.Fatalf("there is no calendar %s", c.Name)
	}
	return got
}

func entry(id string, from, to timeline.Time) proto.Event {
	return proto.Event{ID: "sales:" + id, Kind: "sale", Title: id, Span: timeline.Span{Start: from, End: to}}
}

// ids returns the events that there are, with the starts of their spans.
func (w *world) ids() string {
	var out []string
	for e := range w.s.View().Events() {
		out = append(out, e.ID)
	}
	return strings.Join(out, " ")
}

func TestAPolledCalendarChangesItsEvents(t *testing.T) {
	w := newWorld(t)
	w.now = start
	c := w.follow(sales())
	poll := &proto.CalendarPoll{
		Calendar: "sales", Revision: c.Revision, ETag: `"1"`, LastModified: "Tue", Events: 3,
		Put: []proto.Event{entry("past", start-10*hour, start-9*hour), entry("now", start-hour, start+hour), entry("next", start+10*hour, start+11*hour)},
	}
	w.must(poll)
	if got := w.ids(); got != "sales:next sales:now sales:past" {
		t.Fatal(got)
	}
	e, _ := w.s.View().Event("sales:next")
	if e.Calendar != "sales" || e.Source != "calendar sales" || strings.Join(e.Instances, " ") != "a b" {
		t.Errorf("%+v", e)
	}
	got, _ := w.s.View().Calendar("sales")
	want := proto.Polled{At: start, FetchedAt: start, ReadAt: start, ChangedAt: start, ETag: `"1"`, LastModified: "Tue", Events: 3}
	if diff := cmp.Diff(want, got.Polled); diff != "" {
		t.Error(diff)
	}

	// The same again changes nothing but when it was looked at.
	before := w.s.View()
	w.now += 1000
	w.must(poll)
	if diff := fmt.Sprint(Difference(before, w.s.View())); diff != "[{calendars sales}]" {
		t.Error(diff)
	}
	if got, _ := w.s.View().Calendar("sales"); got.Polled.ChangedAt != start || got.Polled.ReadAt != w.now {
		t.Errorf("%+v", got.Polled)
	}

	// What went away is removed unless it has begun.
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Remove: []string{"sales:past", "sales:now", "sales:next", "sales:never"}})
	if got := w.ids(); got != "sales:now sales:past" {
		t.Errorf("what has begun is gone, or what has not is there: %s", got)
	}
	// What goes on ends, once.
	ended := w.now
	w.now += 1000
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Remove: []string{"sales:past", "sales:now"}})
	if e, _ := w.s.View().Event("sales:now"); e.Span.End != ended {
		t.Errorf("what was called off ends at %s", e.Span.End)
	}
	// And when it teaches nothing any more.
	w.now = start + timeline.Time(proto.EventsKept) - hour/2
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Remove: []string{"sales:past", "sales:now"}})
	if got := w.ids(); got != "sales:now" {
		t.Errorf("after two months: %s", got)
	}
	// What was registered before may have been wrong.
	c = w.follow(sales())
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Remove: []string{"sales:now"}})
	if got := w.ids(); got != "" {
		t.Errorf("what has been cannot be taken out by what is registered anew: %s", got)
	}
}

func TestAPollThatFailedChangesNoEvents(t *testing.T) {
	w := newWorld(t)
	w.now = start
	c := w.follow(sales())
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, ETag: "e", Events: 1, Put: []proto.Event{entry("next", start+hour, start+2*hour)}})
	for n := range 2 {
		w.now += 1000
		w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Error: "it answers 500"})
		got, _ := w.s.View().Calendar("sales")
		want := proto.Polled{At: w.now, FetchedAt: start, ReadAt: start, ChangedAt: start, ETag: "e", Events: 1, Error: "it answers 500", Failures: n + 1}
		if diff := cmp.Diff(want, got.Polled); diff != "" || w.ids() != "sales:next" {
			t.Errorf("%s %s", w.ids(), diff)
		}
	}
	w.want(proto.ResultInvalid, &proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Error: "no", Remove: []string{"sales:next"}})
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Unchanged: true})
	got, _ := w.s.View().Calendar("sales")
	if p := got.Polled; p.Error != "" || p.Failures != 0 || p.FetchedAt != w.now || p.ReadAt != start || p.ETag != "e" || p.Events != 1 {
		t.Errorf("%+v", p)
	}
}

func TestPartsOfAPollAreOnePoll(t *testing.T) {
	w := newWorld(t)
	w.now = start
	c := w.follow(sales())
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, More: true, Put: []proto.Event{entry("x", start+hour, start+2*hour)}})
	got, _ := w.s.View().Calendar("sales")
	if p := got.Polled; p.At != 0 || p.ReadAt != 0 || p.ChangedAt != start || w.ids() != "sales:x" {
		t.Errorf("%+v %s: a part says that all was read", p, w.ids())
	}
	many := make([]string, proto.MaxCalendarBatch+1)
	for i := range many {
		many[i] = fmt.Sprint("sales:", i)
	}
	w.want(proto.ResultInvalid, &proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Remove: many})
}

func TestAPollOfWhatWasRegisteredBeforeIsStale(t *testing.T) {
	w := newWorld(t)
	w.now = start
	c := w.follow(sales())
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, ETag: "e", Events: 1, Put: []proto.Event{entry("x", start+hour, start+2*hour)}})
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Error: "it answers 500"})
	again := sales()
	again.Kind = "campaign"
	next := w.follow(again)
	if next.Polled.Error != "it answers 500" || next.Polled.Failures != 1 {
		t.Errorf("one that fails looks well when it is added again: %+v", next.Polled)
	}
	if next.Revision == c.Revision || next.Polled.ETag != "" || next.Polled.At != 0 || next.Polled.Events != 1 {
		t.Errorf("what was read for what was registered before still counts: %+v", next)
	}
	w.want(proto.ResultStale, &proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Remove: []string{"sales:x"}})
	w.must(&proto.CalendarRemove{Name: "sales"})
	w.want(proto.ResultNotFound, &proto.CalendarPoll{Calendar: "sales", Revision: next.Revision})
	back := w.follow(again)
	if back.Revision == c.Revision || back.Revision == next.Revision {
		t.Error("one that came back is taken for what it was")
	}
}

func TestEventsOfACalendarAreNotChangedByHand(t *testing.T) {
	w := newWorld(t)
	w.now = start
	byHand := proto.Event{ID: "sales:mine", Kind: "k", Span: timeline.Span{Start: start, End: start + hour}, Instances: []string{"i"}}
	w.must(&proto.EventPut{Event: byHand})
	c := w.follow(sales())
	w.must(&proto.CalendarPoll{
		Calendar: "sales", Revision: c.Revision, Remove: []string{"sales:mine"},
		Put: []proto.Event{entry("now", start-hour, start+hour), entry("next", start+hour, start+2*hour), entry("mine", start+hour, start+2*hour)},
	})
	if e, _ := w.s.View().Event("sales:mine"); e.Calendar != "" || e.Kind != "k" {
		t.Errorf("a calendar took an event over: %+v", e)
	}
	byHand.ID = "sales:next"
	for _, body := range []proto.Body{&proto.EventPut{Event: byHand}, &proto.EventRemove{ID: "sales:next"}} {
		if r := w.want(proto.ResultRefused, body); !strings.Contains(r.Message, "follows calendar sales: change it there") {
			t.Error(r.Message)
		}
	}
	byHand.ID = "sales:guessed"
	if r := w.want(proto.ResultRefused, &proto.EventPut{Event: byHand}); !strings.Contains(r.Message, "named as those of calendar sales are") {
		t.Error(r.Message)
	}
	// What has begun can be taken out.
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Put: []proto.Event{entry("wrong", start-hour, start)}})
	w.must(&proto.EventRemove{ID: "sales:wrong"})
	byHand.ID, byHand.Calendar = "x", "sales"
	w.want(proto.ResultInvalid, &proto.EventPut{Event: byHand})

	// What has begun outlives the calendar, and is then like others, unless it teaches nothing any more.
	old := start - proto.EventsKept - hour
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Put: []proto.Event{entry("old", old, old+hour)}})
	w.must(&proto.CalendarRemove{Name: "sales"})
	if got := w.ids(); got != "sales:mine sales:now" {
		t.Errorf("after the calendar: %s", got)
	}
	w.must(&proto.EventRemove{ID: "sales:now"})
	w.want(proto.ResultNotFound, &proto.CalendarRemove{Name: "sales"})
}

func TestACalendarThatTellsAnewOfThePastDoesNotFillTheTables(t *testing.T) {
	w := newWorld(t)
	w.now = start
	c := w.follow(sales())
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Put: []proto.Event{entry("next", start+hour, start+2*hour)}})
	const per = proto.MaxCalendarBatch
	for n := range proto.MaxCalendarKept/per + 1 {
		poll := &proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, More: true}
		for i := range per {
			end := start - hour + timeline.Time(n*per+i)
			poll.Put = append(poll.Put, entry(fmt.Sprint("past-", n, "-", i), end-1, end))
		}
		w.must(poll)
	}
	events := 0
	for range w.s.View().Events() {
		events++
	}
	if _, ok := w.s.View().Event("sales:next"); events != proto.MaxCalendarKept || !ok {
		t.Errorf("%d events; one to come is there: %v", events, ok)
	}
	if _, first := w.s.View().Event("sales:past-0-0"); first {
		t.Error("it is not what ended first that makes room")
	}
}

func TestAnEventOfACalendarNamesInstances(t *testing.T) {
	w := newWorld(t)
	w.now = start
	c := w.follow(sales())
	for _, names := range [][]string{{"a\xffb"}, {"a b"}, {""}, {strings.Repeat("a", proto.MaxNameLength+1)}, make([]string, proto.MaxCalendarInstances+1)} {
		e := entry("next", start+hour, start+2*hour)
		e.Instances = names
		w.want(proto.ResultInvalid, &proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, Put: []proto.Event{e}})
	}
	if got := w.ids(); got != "" {
		t.Error(got)
	}
}

func TestWhatCanBeNoCalendarIsRefused(t *testing.T) {
	w := newWorld(t)
	w.now = start
	for name, change := range map[string]func(*proto.Calendar){
		"no name":        func(c *proto.Calendar) { c.Name = "" },
		"another scheme": func(c *proto.Calendar) { c.URL = "file:///etc/passwd" },
		"a space":        func(c *proto.Calendar) { c.URL = "https://a b/" },
		"a long URL":     func(c *proto.Calendar) { c.URL = "https://" + strings.Repeat("a", proto.MaxCalendarURL) },
		"too often":      func(c *proto.Calendar) { c.Every = proto.MinCalendarEvery - 1 },
		"too seldom":     func(c *proto.Calendar) { c.Every = proto.MaxCalendarEvery + 1 },
		"no kind":        func(c *proto.Calendar) { c.Kind = "a kind" },
		"touches none":   func(c *proto.Calendar) { c.Instances = nil },
		"instances":      func(c *proto.Calendar) { c.Instances = make([]string, proto.MaxCalendarInstances+1) },
		"no instance":    func(c *proto.Calendar) { c.Instances = []string{"a b"} },
		"a size below 0": func(c *proto.Calendar) { c.Size = -1 },
		"a label twice":  func(c *proto.Calendar) { c.Selector = []proto.Label{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}} },
	} {
		c := sales()
		change(&c)
		if r := w.want(proto.ResultInvalid, &proto.CalendarPut{Calendar: c}); strings.Contains(r.Message, "passwd") {
			t.Errorf("%s: the URL is told: %s", name, r.Message)
		}
	}
	for n := range proto.MaxCalendars {
		c := sales()
		c.Name = fmt.Sprint("c", n)
		w.must(&proto.CalendarPut{Calendar: c})
	}
	w.want(proto.ResultRefused, &proto.CalendarPut{Calendar: sales()})
	again := sales()
	again.Name = "c1"
	w.must(&proto.CalendarPut{Calendar: again}) // one that is there is changed all the same
}

func TestCalendarsAreExported(t *testing.T) {
	w := newWorld(t)
	w.now = start
	c := w.follow(sales())
	w.must(&proto.CalendarPoll{Calendar: "sales", Revision: c.Revision, ETag: "e", Events: 1, Put: []proto.Event{entry("x", start+hour, start+2*hour)}})
	text := export(t, w.s.View())
	back, err := Import(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := back.View().Calendar("sales")
	want, _ := w.s.View().Calendar("sales")
	if diff := cmp.Diff(want, got); diff != "" || got.URL != sales().URL || !bytes.Equal(text, export(t, back.View())) {
		t.Error(diff)
	}
}
