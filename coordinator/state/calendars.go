package state

import (
	"cmp"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/proto"
)

func (x *tx) calendarPut(b *proto.CalendarPut) proto.Result {
	c := b.Calendar
	if r := validCalendar(&c); !r.OK() {
		return r
	}
	old, known := x.calendars.get(c.Name)
	if !known && x.calendars.rows.Len() >= proto.MaxCalendars {
		return refused("there are %d calendars already, as many as a fleet may have: remove one, or put several into one", proto.MaxCalendars)
	}
	// What was read before was read for what was registered before: it is read anew, at once. What failed does so until that went well.
	c.Polled = old.Polled
	c.Polled.At, c.Polled.ReadAt, c.Polled.ETag, c.Polled.LastModified = 0, 0, "", ""
	// One that was removed and comes back is not what it was either: a poll of that may be on its way.
	c.Revision, c.ChangedAt = x.applied, x.now
	put(x, x.calendars, c.Name, c)
	return done()
}

// validCalendar refuses what can be no calendar, and sorts its lists. What is a URL is looked at where it is registered, and fetched: what a library takes for one
// may differ from one version to the next, and tables must not.
func validCalendar(c *proto.Calendar) proto.Result {
	if err := proto.ValidName("calendar", c.Name); err != nil {
		return invalid("%s", err)
	}
	if len(c.URL) > proto.MaxCalendarURL || !strings.HasPrefix(c.URL, "https://") && !strings.HasPrefix(c.URL, "http://") ||
		strings.ContainsFunc(c.URL, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return invalid("the URL of calendar %s is none of at most %d bytes that begins with https:// or http://", c.Name, proto.MaxCalendarURL)
	}
	if c.Every < proto.MinCalendarEvery || c.Every > proto.MaxCalendarEvery {
		return invalid("calendar %s would be polled every %d ms: use 1 minute to 7 days", c.Name, c.Every)
	}
	if c.Kind != "" {
		if err := proto.ValidName("kind of event", string(c.Kind)); err != nil {
			return invalid("calendar %s: %s", c.Name, err)
		}
	}
	if err := text("time zone", c.Timezone+c.Source); err != nil {
		return invalid("calendar %s: %s", c.Name, err)
	}
	if c.Size < 0 {
		return invalid("calendar %s has a negative size", c.Name)
	}
	if len(c.Instances) == 0 && len(c.Selector) == 0 {
		return invalid("calendar %s touches nothing: name instances, or labels to select them by", c.Name)
	}
	if len(c.Instances) > proto.MaxCalendarInstances || len(c.Selector) > proto.MaxCalendarInstances {
		return invalid("calendar %s names more than %d instances or labels: select instances by a label that they have in common", c.Name, proto.MaxCalendarInstances)
	}
	for _, i := range c.Instances {
		if err := proto.ValidName("instance", i); err != nil {
			return invalid("calendar %s: %s", c.Name, err)
		}
	}
	c.Instances = slices.Compact(slices.Sorted(slices.Values(c.Instances)))
	return sortLabels("calendar "+c.Name, &c.Selector)
}

func (x *tx) calendarRemove(b *proto.CalendarRemove) proto.Result {
	if !x.calendars.has(b.Name) {
		return missing("calendar", b.Name)
	}
	for _, e := range x.eventsOf(b.Name) {
		if e.Span.Start > x.now || e.Span.End <= x.now-proto.EventsKept { // nobody polls it any more who would find that it is over for so long
			drop(x, x.events, e.ID)
		}
	}
	drop(x, x.calendars, b.Name)
	return done()
}

// calendarPoll changes a calendar's events by what was found in it. Applied again it changes nothing.
func (x *tx) calendarPoll(b *proto.CalendarPoll) proto.Result {
	c, ok := x.calendars.get(b.Calendar)
	switch {
	case !ok:
		return missing("calendar", b.Calendar)
	case c.Revision != b.Revision:
		return proto.Result{Code: proto.ResultStale, Message: "calendar " + c.Name + " was changed while it was polled"}
	case len(b.Put)+len(b.Remove) > proto.MaxCalendarBatch:
		return invalid("a poll of calendar %s changes more than %d events at once", c.Name, proto.MaxCalendarBatch)
	case (b.Error != "" || b.Unchanged) && len(b.Put)+len(b.Remove) > 0:
		return invalid("a poll of calendar %s that read nothing changes events", c.Name)
	case b.Events < 0 || b.Events > proto.MaxCalendarEvents:
		return invalid("a poll of calendar %s found %d events: at most %d are followed", c.Name, b.Events, proto.MaxCalendarEvents)
	}
	if err := text("answer", b.ETag+b.LastModified+b.Error); err != nil {
		return invalid("a poll of calendar %s: %s", c.Name, err)
	}
	events := make([]proto.Event, len(b.Put))
	for i, e := range b.Put {
		events[i] = c.Event(e)
		if r := validEvent(&events[i]); !r.OK() {
			return r
		}
		if !strings.HasPrefix(e.ID, c.Name+":") {
			return invalid("event %s is of another calendar than %s", e.ID, c.Name)
		}
		if len(e.Instances) > proto.MaxCalendarInstances {
			return invalid("event %s names more than %d instances: select them by labels", e.ID, proto.MaxCalendarInstances)
		}
		for _, i := range e.Instances {
			if err := proto.ValidName("instance", i); err != nil {
				return invalid("event %s: %s", e.ID, err)
			}
		}
	}
	changed := x.follow(c, events, b.Remove)
	if changed {
		c.Polled.ChangedAt = x.now
	}
	if !b.More {
		c.Polled = polled(c.Polled, b, x)
	} else if !changed {
		return done()
	}
	put(x, x.calendars, c.Name, c)
	return done()
}

// follow puts and removes a calendar's events, and reports whether any of them changed. What another has told of is not touched.
func (x *tx) follow(c proto.Calendar, events []proto.Event, remove []string) (changed bool) {
	for _, e := range events {
		was, known := x.events.get(e.ID)
		if known && (was.Calendar != c.Name || was.Same(e)) {
			continue
		}
		e.ChangedAt = x.now
		put(x, x.events, e.ID, e)
		changed = true
	}
	for _, id := range remove {
		e, known := x.events.get(id)
		begun := e.Span.Start <= x.now && e.Span.End > x.now-proto.EventsKept
		switch {
		case !known || e.Calendar != c.Name:
			continue
		case !begun || c.Polled.ReadAt == 0: // nothing that was read of what was registered before has to be true
			drop(x, x.events, id)
		case e.Span.Start < x.now && e.Span.End > x.now: // called off
			e.Span.End, e.ChangedAt = x.now, x.now
			put(x, x.events, id, e)
		default: // what has been teaches, as long as there is history of demand of that time
			continue
		}
		changed = true
	}
	if len(events) > 0 {
		x.bound(c.Name)
	}
	return changed
}

// bound drops the events of a calendar that ended first, where it has more than are kept: one that tells of the past anew each time must not fill the tables.
func (x *tx) bound(calendar string) {
	all := x.eventsOf(calendar)
	if len(all) <= proto.MaxCalendarKept {
		return
	}
	slices.SortStableFunc(all, func(a, b proto.Event) int { return cmp.Compare(a.Span.End, b.Span.End) })
	for _, e := range all[:len(all)-proto.MaxCalendarKept] {
		drop(x, x.events, e.ID)
	}
}

func polled(p proto.Polled, b *proto.CalendarPoll, x *tx) proto.Polled {
	p.At, p.Error = x.now, b.Error
	if b.Error != "" {
		p.Failures++
		return p
	}
	p.FetchedAt, p.Failures = x.now, 0
	if !b.Unchanged {
		p.ReadAt, p.ETag, p.LastModified, p.Events = x.now, b.ETag, b.LastModified, b.Events
	}
	return p
}

// eventsOf returns the events of a calendar, sorted by ID.
func (v *View) eventsOf(calendar string) (out []proto.Event) {
	for e := range v.events.all() {
		if e.Calendar == calendar {
			out = append(out, e)
		}
	}
	return out
}

// byHand refuses to change an event that follows a calendar, or to put one that looks like that. Those that a calendar has left that is gone are like others.
func (x *tx) byHand(id string) proto.Result {
	e, known := x.events.get(id)
	if of, _, _ := strings.Cut(id, ":"); !known && of != id && x.calendars.has(of) {
		return refused("event %s would be named as those of calendar %s are: name it otherwise", id, of)
	}
	if e.Calendar == "" || !x.calendars.has(e.Calendar) {
		return done()
	}
	return refused("event %s follows calendar %s: change it there, or remove the calendar", id, e.Calendar)
}
