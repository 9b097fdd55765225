package state

import (
	"fmt"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// typeRevise puts an instance type as the next revision of it, with the envelopes that its instances get. It is refused while anything of the type
// holds more than it then allows, and names what does.
func (x *tx) typeRevise(b *proto.TypeRevise) proto.Result {
	t := b.Type
	if r := validType(t); !r.OK() {
		return r
	}
	old, ok := x.types.get(t.Name)
	if b.From != 0 && (!ok || old.Revision != b.From) {
		return stale("instance type %s has revision %d, not %d: read it again", t.Name, old.Revision, b.From)
	}
	var c ledger.Change
	next := map[string]proto.Reservation{}
	for _, v := range b.Revise {
		r, res := x.revisedAtAll(proto.AuthorReplan, v)
		if !res.OK() {
			return res
		}
		if i, ok := x.instances.get(r.Instance); !ok || x.typeOn(i, r) != t.Name {
			return invalid("reservation %s is of no instance of type %s: it is not revised with the type", r.ID, t.Name)
		}
		c.Revise = append(c.Revise, r)
		next[r.ID] = r
	}
	if way := x.inTheWay(t, next); len(way) > 0 {
		return refused("instance type %s would allow less than it is used for: %s; revise them with it, or migrate them to another type first", t.Name, named(way))
	}
	if r := x.reserve(c); !r.OK() {
		return r
	}
	t.Revision = old.Revision + 1
	put(x, x.types, t.Name, t)
	return done()
}

// inTheWay says which reservations of instances of a type would hold more than it would allow, with those in next as they are there.
func (x *tx) inTheWay(t proto.InstanceType, next map[string]proto.Reservation) []string {
	var way []string
	for _, id := range x.reservationsOfType(t.Name) {
		r, revised := next[id]
		if !revised {
			r, _ = x.ledger.Reservation(id)
		}
		if s, k, over := r.Envelope.Above(t.Max); over && !r.Forced {
			way = append(way, fmt.Sprintf("instance %s holds %s of %s on %s in %s, and %s would be allowed", r.Instance,
				resource.Format(k, s.Firm[k]), k, r.Host, s.Span, resource.Format(k, t.Max[k])))
		}
	}
	return way
}

// reservationsOfType returns the identifiers, sorted, of what instances of a type have reserved. It goes by the instances: most are of another type, and to
// read what they hold takes longer than everything else.
func (x *tx) reservationsOfType(name string) []string {
	var out []string
	add := func(id, typeName string) {
		if typeName == name && id != "" {
			out = append(out, id)
		}
	}
	for i := range x.instances.all() {
		m, moving := x.migrations.get(i.Migration)
		if !moving {
			add(i.Reservation, i.Spec.Type)
			continue
		}
		add(m.SourceReservation, m.FromType)
		add(m.TargetReservation, m.ToType)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// appRevise puts what is known of an application, as the next revision of that.
func (x *tx) appRevise(b *proto.AppRevise) proto.Result {
	a := b.Application
	if r := validApp(a); !r.OK() {
		return r
	}
	old, ok := x.applications.get(a.Name)
	if b.From != 0 && (!ok || old.Revision != b.From) {
		return stale("application %s has revision %d, not %d: read it again", a.Name, old.Revision, b.From)
	}
	a.Revision = old.Revision + 1
	put(x, x.applications, a.Name, a)
	return done()
}
