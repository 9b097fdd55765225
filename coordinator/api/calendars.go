package api

import (
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/feeds"
	"github.com/glidepath/glidepath/proto"
)

// everyDefault is how often a calendar is polled of which nothing is said.
const everyDefault = 15 * time.Minute

// shown returns what is told of a calendar: not all of its URL, whoever asks. Those who may make backups can find it there.
func shown(c proto.Calendar) v1.Calendar { return v1.Calendar{Calendar: c, URL: feeds.Shown(c.URL)} }

func listCalendars(c *call) (any, error) {
	out := []v1.Calendar{}
	for x := range c.view.Calendars() {
		out = append(out, shown(x))
	}
	return items(out), nil
}

func getCalendar(c *call) (any, error) {
	name := c.r.PathValue("name")
	x, ok := c.view.Calendar(name)
	if !ok {
		return nil, missing("calendar", name, "calendar list")
	}
	return shown(x), nil
}

func putCalendar(c *call) (any, error) {
	var in v1.CalendarRequest
	if err := c.read(&in); err != nil {
		return nil, err
	}
	name := c.r.PathValue("name")
	if err := proto.ValidName("calendar", name); err != nil {
		return nil, invalid("%s", err)
	}
	if in.URL == "" {
		return nil, invalid("calendar %s has no URL: give it one, like https://calendar.example/campaigns.ics", name)
	}
	if what := feeds.Check(in.URL); what != "" {
		return nil, invalid("the URL of calendar %s: %s: give one like https://calendar.example/campaigns.ics", name, what)
	}
	if in.Every == 0 {
		in.Every = everyDefault.Milliseconds()
	}
	if len(in.Instances) == 0 && len(in.Selector) == 0 {
		return nil, invalid("calendar %s touches nothing: name instances, or labels to select them by", name)
	}
	for _, i := range in.Instances {
		if _, ok := c.view.Instance(i); !ok {
			return nil, missing("instance", i, "instance list")
		}
	}
	if _, err := time.LoadLocation(in.Timezone); err != nil || in.Timezone == "Local" {
		return nil, invalid("time zone %.40q is not known here: name one like Europe/Berlin", in.Timezone)
	}
	_, err := c.propose(&proto.CalendarPut{Calendar: proto.Calendar{
		Name: name, URL: in.URL, Every: in.Every, Kind: in.Kind, Size: in.Size, Timezone: in.Timezone, Instances: in.Instances, Selector: in.Selector,
		Source: c.who.Actor(),
	}})
	if err != nil {
		return nil, err
	}
	return getCalendar(c)
}

func removeCalendar(c *call) (any, error) {
	_, err := c.propose(&proto.CalendarRemove{Name: c.r.PathValue("name")})
	return v1.Empty{}, err
}
