package api

import (
	"fmt"
	"math"
	"slices"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// named returns an error unless the name in a body is that of the path, or left out; it is then filled in.
func (c *call) named(what string, name *string) error {
	inPath := c.r.PathValue("name")
	if *name == "" {
		*name = inPath
	}
	if *name != inPath {
		return invalid("the body is of %s %q, the path of %q: use one name", what, *name, inPath)
	}
	if err := proto.ValidName(what, *name); err != nil {
		return invalid("%s", err)
	}
	return nil
}

func listTypes(c *call) (any, error) {
	return items(slices.Collect(c.view.Types())), nil
}

func putType(c *call) (any, error) {
	var t proto.InstanceType
	if err := c.read(&t); err != nil {
		return nil, err
	}
	if err := c.named("instance type", &t.Name); err != nil {
		return nil, err
	}
	if t.Max.IsZero() {
		return nil, invalid("instance type %s allows nothing: give it max, with null for what it does not limit", t.Name)
	}
	if _, there := c.view.Type(t.Name); !there && t.Revision != 0 {
		return nil, notThereAnyMore("instance type", t.Name, t.Revision, "type list")
	}
	if c.view.Knows(proto.CmdTypeRevise, 1) {
		return c.reviseType(t)
	}
	if _, err := c.propose(&proto.TypePut{Type: t}); err != nil {
		return nil, err
	}
	return v1.TypeReply{InstanceType: t, Revised: []string{}}, nil
}

// notThereAnyMore refuses to change what is not there in a revision that was read.
func notThereAnyMore(what, name string, revision uint64, list string) error {
	return &v1.Error{
		Code: v1.CodeConflict, Message: fmt.Sprintf("there is no %s %q whose revision %d could be replaced", what, name, revision),
		Remedy: "leave out revision to define it anew, or see glidepath " + list,
	}
}

func removeType(c *call) (any, error) {
	_, err := c.propose(&proto.TypeRemove{Name: c.r.PathValue("name")})
	return v1.Empty{}, err
}

func listApplications(c *call) (any, error) {
	return items(slices.Collect(c.view.Applications())), nil
}

func putApplication(c *call) (any, error) {
	var a proto.Application
	if err := c.read(&a); err != nil {
		return nil, err
	}
	if err := c.named("application", &a.Name); err != nil {
		return nil, err
	}
	for _, x := range []struct {
		field    string
		have, up int64
	}{{"decay_s", a.Decay, math.MaxInt64}, {"memory_floor", a.MemoryFloor, math.MaxInt64}, {"max_downtime_ms", a.Downtime, math.MaxInt64}, {"max_throttled", int64(a.Throttled), 10_000}} {
		switch {
		case x.have < 0:
			return nil, invalid("application %s: %s is negative (%d): use 0 or more", a.Name, x.field, x.have)
		case x.have > x.up:
			return nil, invalid("application %s: %s is %d: use at most %d", a.Name, x.field, x.have, x.up)
		}
	}
	for what, v := range map[string]resource.Vector{"floor": a.Floor, "startup": a.Startup} {
		for k, n := range v {
			if n >= resource.Unlimited {
				return nil, invalid("application %s: its %s of %s is unlimited, which no host has: name an amount, or leave it out", a.Name, what, resource.Kind(k))
			}
		}
	}
	if a.MemoryFloor >= resource.Unlimited {
		return nil, invalid("application %s: its memory_floor is unlimited, which no host has: name an amount, or leave it out", a.Name)
	}
	if _, there := c.view.Application(a.Name); !there && a.Revision != 0 {
		return nil, notThereAnyMore("application", a.Name, a.Revision, "app list")
	}
	var body proto.Body = &proto.AppPut{Application: a}
	if c.view.Knows(proto.CmdAppRevise, 1) {
		body = &proto.AppRevise{Application: a, From: a.Revision}
	}
	if _, err := c.propose(body); err != nil {
		return nil, err
	}
	a, _ = c.view.Application(a.Name)
	return a, nil
}

func removeApplication(c *call) (any, error) {
	_, err := c.propose(&proto.AppRemove{Name: c.r.PathValue("name")})
	return v1.Empty{}, err
}

func listEvents(c *call) (any, error) {
	return items(slices.Collect(c.view.Events())), nil
}

func addEvent(c *call) (any, error) {
	var in v1.EventRequest
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.ID == "" {
		in.ID = c.key
	}
	if len(in.Instances) == 0 && len(in.Selector) == 0 {
		return nil, invalid("the event touches nothing: name instances, or labels to select them by")
	}
	for _, name := range in.Instances {
		if _, ok := c.view.Instance(name); !ok {
			return nil, missing("instance", name, "instance list")
		}
	}
	_, err := c.propose(&proto.EventPut{Event: proto.Event{
		ID: in.ID, Kind: in.Kind, Title: in.Title, Span: timeline.Span{Start: in.Start, End: in.End}, Size: in.Size,
		Instances: in.Instances, Selector: in.Selector, Source: c.who.Actor(),
	}})
	if err != nil {
		return nil, err
	}
	event, _ := c.view.Event(in.ID)
	return event, nil
}

func removeEvent(c *call) (any, error) {
	_, err := c.propose(&proto.EventRemove{ID: c.r.PathValue("id")})
	return v1.Empty{}, err
}
