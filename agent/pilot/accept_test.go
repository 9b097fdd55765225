package pilot

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const epoch timeline.Time = 1_700_000_000_000

var hour = timeline.Span{Start: epoch, End: epoch + 3_600_000}

// limited returns the schedule of an instance that has the same amounts for an hour.
func limited(name string, class proto.Class, safe, schedule, bound resource.Vector) proto.InstanceSchedule {
	return proto.InstanceSchedule{
		Instance: name, Limited: true, Fence: 5, Spec: proto.InstanceSpec{Name: name, Class: class},
		Safe: safe, Schedule: timeline.Flat(hour, schedule), Promised: timeline.Flat(hour, schedule), Max: bound,
	}
}

func amounts(n int64) resource.Vector { return resource.Uniform(n) }

func documentOf(schedules ...proto.InstanceSchedule) proto.Document {
	return proto.Document{
		Host: "host-a", Version: proto.DocumentVersion{Incarnation: 1, Revision: 2},
		Headroom: timeline.Flat(hour, amounts(resource.Unlimited)), Instances: schedules,
	}
}

func TestAcceptTakesANewerDocumentInOrder(t *testing.T) {
	d := documentOf(limited("a", proto.Critical, amounts(1), amounts(2), amounts(3)), limited("b", proto.Critical, amounts(1), amounts(2), amounts(3)))
	if err := Accept("host-a", proto.Document{}, d); err != nil {
		t.Fatal(err)
	}
	older := d
	older.Version.Revision = 1
	if err := Accept("host-a", older, d); err != nil {
		t.Fatal(err)
	}
}

func TestAcceptRefusesWithTheReason(t *testing.T) {
	for _, c := range []struct {
		name  string
		want  error
		text  string
		spoil func(*proto.Document)
	}{
		{"another host's", ErrInvalid, `"host-b"`, func(d *proto.Document) { d.Host = "host-b" }},
		{"the stored revision", ErrStale, "revision 1", func(d *proto.Document) { d.Version.Revision = 1 }},
		{"an older incarnation", ErrStale, "incarnation 1", func(d *proto.Document) { d.Version = proto.DocumentVersion{Revision: 99} }},
		{"a lower fence", ErrStale, "fence 4, 5 was seen", func(d *proto.Document) { d.Instances[0].Fence = 4 }},
		{"instances out of order", ErrInvalid, "order", func(d *proto.Document) { d.Instances[1].Instance = "a" }},
		{"no name", ErrInvalid, "name", func(d *proto.Document) { d.Instances[0].Instance = "" }},
		{"limits for the system", ErrInvalid, "system", func(d *proto.Document) { d.Instances[0].Instance = proto.SystemInstance }},
		{"too many instances", ErrInvalid, "1001 instances", func(d *proto.Document) { d.Instances = make([]proto.InstanceSchedule, 1001) }},
		{"too many steps", ErrInvalid, "5000 steps", func(d *proto.Document) { d.Headroom = make(timeline.Profile, 5000) }},
		{"overlapping steps", ErrInvalid, "headroom", func(d *proto.Document) { d.Headroom = append(d.Headroom, d.Headroom...) }},
		{"a negative floor", ErrInvalid, "negative", func(d *proto.Document) { d.Instances[0].Floor[0] = -1 }},
		{"floor above safe", ErrInvalid, "floor 2 is above safe 1", func(d *proto.Document) { d.Instances[0].Floor[resource.ReadIOPS] = 2 }},
		{"safe above the schedule", ErrInvalid, "above schedule", func(d *proto.Document) { d.Instances[0].Safe = amounts(3) }},
		{"schedule above what is promised", ErrInvalid, "above promised", func(d *proto.Document) { d.Instances[0].Promised = timeline.Flat(hour, amounts(1)) }},
		{"promise above the maximum", ErrInvalid, "above max", func(d *proto.Document) { d.Instances[0].Promised = timeline.Flat(hour, amounts(4)) }},
		{"a promise that ends early", ErrInvalid, "nothing is promised at", func(d *proto.Document) {
			d.Instances[0].Promised = timeline.Flat(timeline.Span{Start: epoch, End: epoch + 1000}, amounts(3))
		}},
		{"a gap in the schedule", ErrInvalid, "gap", func(d *proto.Document) {
			s := &d.Instances[0].Schedule
			*s = timeline.Profile{{Span: timeline.Span{Start: epoch, End: epoch + 10}, Amount: amounts(2)}, {Span: timeline.Span{Start: epoch + 20, End: epoch + 30}, Amount: amounts(2)}}
		}},
		{"one unordered step of several", ErrInvalid, "above promised", func(d *proto.Document) {
			half := epoch + 1000
			d.Instances[0].Promised = timeline.Profile{
				{Span: timeline.Span{Start: epoch, End: half}, Amount: amounts(3)}, {Span: timeline.Span{Start: half, End: hour.End}, Amount: amounts(1)},
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stored := documentOf(limited("a", proto.Critical, amounts(1), amounts(2), amounts(3)))
			stored.Version.Revision = 1
			d := documentOf(limited("a", proto.Critical, amounts(1), amounts(2), amounts(3)), limited("b", proto.Critical, amounts(1), amounts(2), amounts(3)))
			c.spoil(&d)
			err := Accept("host-a", stored, d)
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Fatalf("%v; want %v with %q", err, c.want, c.text)
			}
		})
	}
}

func TestRestoredControlPlaneMayCountFencesAnew(t *testing.T) {
	stored := documentOf(limited("a", proto.Critical, amounts(1), amounts(2), amounts(3)))
	d := documentOf(limited("a", proto.Critical, amounts(1), amounts(2), amounts(3)))
	d.Version, d.Instances[0].Fence = proto.DocumentVersion{Incarnation: 2, Revision: 1}, 1
	if err := Accept("host-a", stored, d); err != nil {
		t.Fatal(err)
	}
}
