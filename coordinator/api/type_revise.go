package api

import (
	"fmt"
	"strings"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// reviseType changes an instance type, and with it the envelopes of its instances that would hold more than it allows then: to what their demand is expected to
// be. It is refused, with all who are in the way, where that is more than it would allow.
func (c *call) reviseType(t proto.InstanceType) (v1.TypeReply, error) {
	for try := 0; ; try++ {
		body := &proto.TypeRevise{Type: t, From: t.Revision}
		names, err := c.shrunk(body)
		if err != nil {
			return v1.TypeReply{}, err
		}
		if text, err := proto.Marshal(body); err == nil && len(text) > proto.MaxCommand {
			return v1.TypeReply{}, &v1.Error{
				Code: v1.CodeRefused, Message: fmt.Sprintf("instance type %s would shrink with the envelopes of %d instances: that is more than can be decided at once", t.Name, len(names)),
				Remedy: "make another type, and migrate instances to it",
			}
		}
		id := c.id
		if try > 0 {
			id = fmt.Sprintf("%s/%d", c.id, try)
		}
		r, err := c.proposeAs(id, body)
		if err == nil {
			got, _ := c.view.Type(t.Name)
			return v1.TypeReply{InstanceType: got, Revised: items(names).Items}, nil
		}
		if now, _ := c.view.Type(t.Name); r.Code != proto.ResultStale || t.Revision != 0 && t.Revision != now.Revision || try+1 == decideTries {
			return v1.TypeReply{}, err
		}
		c.view = c.cfg.View() // an envelope was revised meanwhile
	}
}

// shrunk puts into a revision of a type the envelopes that it changes, and returns whose they are.
func (c *call) shrunk(body *proto.TypeRevise) (names []string, err error) {
	t := body.Type
	var way []string
	for i := range c.view.Instances() {
		r, ok := c.view.Reservation(i.Reservation)
		if !ok || i.Spec.Type != t.Name || r.Forced || !exceeds(r.Envelope, t.Max) {
			continue
		}
		if i.Migration != "" {
			way = append(way, fmt.Sprintf("instance %s is moved by migration %s: wait for its end", i.Name(), i.Migration))
			continue
		}
		app, _ := c.view.Application(i.Spec.Application)
		sizing := planner.NewSizing(i.Spec.Class, t, app, c.view.Fleet().Policy)
		demand, err := c.forecast(i.Name())
		if err != nil {
			return nil, err
		}
		if len(demand.Profiles) == 0 { // nothing is known of it: it gets what the type allows
			demand = sizing.Cold(planner.Grid(c.now, c.gridStep()))
		}
		if most, k, above := expected(demand, sizing); above {
			way = append(way, fmt.Sprintf("instance %s is expected to take up to %s of %s", i.Name(), resource.Format(k, most), k))
			continue
		}
		allocation, _ := sizing.Allocation(demand)
		names = append(names, i.Name())
		body.Revise = append(body.Revise, proto.Revision{ID: r.ID, From: r.Revision, Envelope: sizing.Envelope(allocation, demand), Floor: sizing.Floor})
	}
	if len(way) == 0 {
		return names, nil
	}
	e := &v1.Error{
		Code: v1.CodeRefused, Message: fmt.Sprintf("instance type %s would allow less than it is used for: %s", t.Name, strings.Join(way, "; ")),
		Remedy: "make another type, and migrate to it those that are to have less; or these to a larger one: glidepath migrate INSTANCE --type TYPE",
	}
	return nil, withDetail(e, v1.ErrorDetail{Problems: way})
}

// exceeds reports whether an envelope is anywhere expected above a maximum.
func exceeds(e proto.Envelope, most resource.Vector) bool {
	for _, s := range e {
		if !s.Firm.Add(s.Mean).Fits(most) {
			return true
		}
	}
	return false
}

// expected returns the most that an instance is expected to take of the first resource of which that is more than its type allows.
func expected(f proto.ForecastReply, s planner.Sizing) (int64, resource.Kind, bool) {
	p := f.At(s.Quantile)
	for k, n := range p.MaxOver(p.Span()) {
		if n > s.Type[k] {
			return n, resource.Kind(k), true
		}
	}
	return 0, 0, false
}
