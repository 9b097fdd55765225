package proto

import (
	"slices"

	"github.com/glidepath/glidepath/internal/timeline"
)

// Calendar is where events come from by a URL, and what came of looking there.
type Calendar struct {
	Name      string        `msgpack:"n" json:"name"`
	URL       string        `msgpack:"u" json:"-"` // may have a secret in it: nobody is shown all of it
	Every     int64         `msgpack:"ev" json:"every_ms"`
	Kind      EventKind     `msgpack:"k,omitempty" json:"kind,omitzero"`       // of all its events; "": what each entry says
	Size      int64         `msgpack:"z,omitempty" json:"size_milli,omitzero"` // of events whose row says none, in thousandths; 0: as usual
	Timezone  string        `msgpack:"tz,omitempty" json:"timezone,omitzero"`  // of days, and of times that name no zone; "": UTC
	Instances []string      `msgpack:"i,omitempty" json:"instances,omitempty"` // that its events touch; sorted
	Selector  []Label       `msgpack:"l,omitempty" json:"selector,omitempty"`  // sorted by key
	Source    string        `msgpack:"s,omitempty" json:"source,omitzero"`     // who registered it
	Revision  uint64        `msgpack:"rv" json:"revision"`                     // of what was registered; it rises with each change of that
	ChangedAt timeline.Time `msgpack:"ca" json:"changed_at"`                   // of what was registered
	Polled    Polled        `msgpack:"p" json:"polled"`
}

// Polled is what came of polling a calendar so far. ETag, LastModified and ReadAt are of what was registered last.
type Polled struct {
	At           timeline.Time `msgpack:"at" json:"at,omitzero"`                     // the last time that it was tried; 0: never
	FetchedAt    timeline.Time `msgpack:"f,omitempty" json:"fetched_at,omitzero"`    // the last time that the server answered as it should
	ReadAt       timeline.Time `msgpack:"r,omitempty" json:"read_at,omitzero"`       // the last time that all of it was read: not when it was unchanged
	ChangedAt    timeline.Time `msgpack:"c,omitempty" json:"changed_at,omitzero"`    // the last time that events changed by it
	ETag         string        `msgpack:"e,omitempty" json:"etag,omitzero"`          // of what was read
	LastModified string        `msgpack:"m,omitempty" json:"last_modified,omitzero"` // of what was read
	Events       int           `msgpack:"n,omitempty" json:"events"`                 // that it had, in the time that counts, when it was read
	Error        string        `msgpack:"x,omitempty" json:"error,omitzero"`         // of the last time, in words; "": it went well
	Failures     int           `msgpack:"fs,omitempty" json:"failures,omitzero"`     // in a row
}

// Limits of calendars.
const (
	MaxCalendars         = 32                    // of a fleet
	MaxCalendarURL       = 2048                  // bytes
	MaxCalendarEvents    = 5000                  // of one calendar, in the time that counts
	MaxCalendarKept      = 2 * MaxCalendarEvents // of one calendar, with those that it has no more
	MaxCalendarInstances = 64                    // that it, or an event of it, names, and labels
	MaxCalendarBatch     = 500                   // events that one command puts and removes
	MinCalendarEvery     = 60_000                // milliseconds
	MaxCalendarEvery     = 7 * 24 * 3_600_000
)

// EventsKept is for how long events that a calendar told of stay after their end, in milliseconds: history of demand is not kept for longer.
const EventsKept = 60 * 24 * 3_600_000

// Event returns an event of the calendar as it is kept, from what an entry says: what the entry leaves open is as the calendar says.
func (c Calendar) Event(e Event) Event {
	if c.Kind != "" {
		e.Kind = c.Kind
	}
	if e.Size == 0 {
		e.Size = c.Size
	}
	if len(e.Instances) == 0 {
		e.Instances = c.Instances
	}
	e.Selector = c.Selector
	e.Calendar, e.Source = c.Name, "calendar "+c.Name
	return e
}

// Same reports whether two events are the same but for when they were changed.
func (e Event) Same(o Event) bool {
	return e.ID == o.ID && e.Kind == o.Kind && e.Title == o.Title && e.Span == o.Span && e.Size == o.Size && e.Source == o.Source && e.Calendar == o.Calendar &&
		slices.Equal(e.Instances, o.Instances) && slices.Equal(e.Selector, o.Selector)
}

// CalendarPut registers a calendar, or changes what was registered. Of what Calendar says of polling nothing counts.
type CalendarPut struct {
	Calendar Calendar `msgpack:"c"`
}

// CalendarRemove removes a calendar, and of its events those that have not begun.
type CalendarRemove struct {
	Name string `msgpack:"n"`
}

// CalendarPoll states what came of polling a calendar. One with an error changes no event.
type CalendarPoll struct {
	Calendar     string   `msgpack:"c"`
	Revision     uint64   `msgpack:"rv"`           // of what was registered when it was polled; it is stale when another is
	Put          []Event  `msgpack:"p,omitempty"`  // new or changed, as entries say them: the calendar says the rest
	Remove       []string `msgpack:"r,omitempty"`  // that the calendar has no more. One that goes on ends; one that is over is kept until it teaches nothing any more, but by the first read
	More         bool     `msgpack:"mo,omitempty"` // other parts follow, the last of which says the rest
	Unchanged    bool     `msgpack:"u,omitempty"`  // the server said that it is as it was read last
	ETag         string   `msgpack:"e,omitempty"`
	LastModified string   `msgpack:"m,omitempty"`
	Events       int      `msgpack:"n,omitempty"`
	Error        string   `msgpack:"x,omitempty"`
}
