package home

import (
	"fmt"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
)

// zoneLabel is the label of an instance that names the time zone of who uses it.
const zoneLabel = "timezone"

// zone returns the time zone in which an instance's days and weeks repeat, as its label says, else UTC; and what is wrong with the label.
func zone(view *state.View, instance string) (loc *time.Location, wrong string) {
	i, _ := view.Instance(instance)
	for _, l := range i.Spec.Labels {
		if l.Key != zoneLabel {
			continue
		}
		loc, err := time.LoadLocation(l.Value)
		if err != nil || l.Value == "" || l.Value == "Local" { // which is the coordinator's own, and another on the next one
			return time.UTC, fmt.Sprintf("its label %s names no time zone, %q: its days are those of UTC; use a name such as Europe/Berlin", zoneLabel, l.Value)
		}
		return loc, ""
	}
	return time.UTC, ""
}
