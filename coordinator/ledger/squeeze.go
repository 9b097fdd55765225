package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Yielded is what gives way to a change.
type Yielded struct {
	Revise []proto.Reservation // what to put into the change's Revise, sorted by ID
	Yield  []proto.Yield       // the same as it is proposed, each to the lowest claimant on its host; to nobody where nobody claims
	Harm   int64               // of all of them: see Ledger.Harm
	Says   []string            // who gives way by how much and when
}

// Squeeze proposes which reservations give way so that the change, made for somebody of the class, fits. It changes nothing. Of each
// step and resource that would be short the lowest class yields first, and only to a higher one: than by, and than that of
// everybody who claims more on the host. Within a class it takes what does the least Harm: of the pooled part first, then of the firm
// one down to the floor. Nothing is taken where nothing is short, but from reservations that would have too many segments
// else. Critical ones, facts, the parts of migrations and what may does not allow stay. Memory falls no earlier than
// the rest: agents begin to give it back before its bound falls. Where all of that is not enough it answers the shortfall that is left.
func (l *Ledger) Squeeze(c Change, by proto.Class, may func(proto.Reservation) bool) (Yielded, error) {
	var s *proto.Shortfall
	if err := l.Fits(c); err == nil || !errors.As(err, &s) {
		return Yielded{}, err
	}
	named := l.named(c)
	var out Yielded
	for _, host := range named.hosts {
		to := by
		claimant, ok := l.claimant(c, host)
		if ok && lower(claimant.Class, to) {
			to = claimant.Class
		}
		after, base := named.on(l, host)
		r := l.room(host, after, base, func(r proto.Reservation) bool {
			return !named.ids[r.ID] && MayYield(r, to) == nil && may(r)
		})
		if s := r.make(); s != nil {
			return Yielded{}, s
		}
		out.add(l, r, claimant.ID)
	}
	slices.SortFunc(out.Revise, func(a, b proto.Reservation) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(out.Yield, func(a, b proto.Yield) int { return cmp.Compare(a.ID, b.ID) })
	if err := l.Fits(Change{Hold: c.Hold, Revise: slices.Concat(c.Revise, out.Revise), Release: c.Release}); err != nil {
		return Yielded{}, err
	}
	return out, nil
}

// named is what a change names.
type named struct {
	change Change
	ids    map[string]bool
	hosts  []string // sorted
}

func (l *Ledger) named(c Change) named {
	n := named{change: c, ids: map[string]bool{}}
	for _, id := range c.Release {
		if r, ok := l.get(id); ok {
			n.hosts = append(n.hosts, r.Host)
		}
		n.ids[id] = true
	}
	for _, list := range [...][]proto.Reservation{c.Revise, c.Hold} {
		for i := range list {
			n.hosts = append(n.hosts, list[i].Host)
			n.ids[list[i].ID] = true
		}
	}
	slices.Sort(n.hosts)
	n.hosts = slices.Compact(n.hosts)
	return n
}

// on returns what a host would hold after the change, and what it may be no worse than: what it holds, with the facts of the change.
func (n *named) on(l *Ledger, host string) (after, base []proto.Reservation) {
	put := map[string]proto.Reservation{}
	for _, r := range slices.Concat(n.change.Revise, n.change.Hold) {
		put[r.ID] = r
	}
	for _, old := range l.On(host) {
		r, changed := put[old.ID]
		changed = changed && r.Host == host
		switch {
		case !n.ids[old.ID]:
			after, base = append(after, old), append(base, old)
		case !changed || !r.Forced && (!old.Forced || slices.Contains(n.change.Release, old.ID)):
			base = append(base, old)
		}
	}
	for _, r := range put {
		if r.Host != host {
			continue
		}
		after = append(after, r)
		if r.Forced {
			base = append(base, r)
		}
	}
	for _, list := range [...][]proto.Reservation{after, base} {
		slices.SortFunc(list, func(a, b proto.Reservation) int { return cmp.Compare(a.ID, b.ID) })
	}
	return after, base
}

// room is one host while room is made on it.
type room struct {
	host    string
	z       int64
	steps   []Step
	cells   []cell
	yielder []yielder // sorted by ID
}

// yielder is a reservation that may give way, and what it gives in each step.
type yielder struct {
	proto.Reservation
	gives map[int]*[resource.Kinds]give
}

// room returns the steps and resources of a host in which what would be held is more than its limit and more than base, with those
// that may give way there.
func (l *Ledger) room(host string, after, base []proto.Reservation, yields func(proto.Reservation) bool) *room {
	r := &room{host: host, z: l.z, steps: l.sketch(host, after)}
	for _, a := range after {
		if yields(a) {
			r.yielder = append(r.yielder, yielder{Reservation: a, gives: map[int]*[resource.Kinds]give{}})
		}
	}
	least := l.sketch(host, base)
	for i, s := range r.steps {
		for k, limit := range s.Limit {
			if limit < resource.Unlimited && s.Needed[k] > max(limit, least[i].Needed[k]) {
				c := cell{step: i, kind: k, span: s.Span, needed: s.Needed[k], limit: limit, bound: max(limit, least[i].Needed[k])}
				c.fill(after, r.yielder)
				r.cells = append(r.cells, c)
			}
		}
	}
	return r
}

// sketch returns the steps of a host as if it held the list.
func (l *Ledger) sketch(host string, list []proto.Reservation) []Step {
	h, ok := l.host(host)
	if !ok {
		return nil
	}
	alone, err := New(l.grid, l.z, l.Start())
	if err == nil {
		err = alone.SetHost(h.capacity)
	}
	if err == nil {
		err = alone.Restore(list)
	}
	if err != nil {
		panic("ledger: what a ledger holds was refused by another: " + err.Error())
	}
	return alone.Steps(host)
}

// make has the yielders give way, and returns the first shortfall that is left when they have given all.
func (r *room) make() *proto.Shortfall {
	for i := range r.cells {
		c := &r.cells[i]
		if needed := c.solve(r.z); needed > c.bound {
			return &proto.Shortfall{
				Host: r.host, Span: c.span, Resource: resource.Kind(c.kind), Missing: needed - c.limit, Needed: needed, Limit: c.limit,
			}
		}
	}
	for _, c := range r.cells {
		for _, h := range c.holders {
			if h.give == nothing {
				continue
			}
			gives := r.yielder[h.who].gives
			if gives[c.step] == nil {
				gives[c.step] = new([resource.Kinds]give)
				for k := range gives[c.step] {
					gives[c.step][k] = nothing
				}
			}
			gives[c.step][c.kind] = h.give
		}
	}
	return nil
}

// add adds what the yielders of a host give to a claimant.
func (y *Yielded) add(l *Ledger, r *room, to string) {
	for _, who := range r.yielder {
		if len(who.gives) == 0 {
			continue
		}
		next := who.Reservation
		next.Envelope = cut(who.Reservation, r.steps, who.gives)
		y.Revise = append(y.Revise, next)
		y.Harm += l.Harm(who.Envelope, next.Envelope)
		words := says(who.Reservation, next)
		y.Says = append(y.Says, words...)
		why := strings.Join(words, "; ")
		if len(why) > proto.MaxTextLength {
			why = words[0]
		}
		y.Yield = append(y.Yield, proto.Yield{ID: next.ID, From: who.Revision, Envelope: next.Envelope, For: to, Why: why})
	}
}

// says returns what a reservation gives of each resource, in words.
func says(was, next proto.Reservation) []string {
	var out []string
	for k := range resource.Kinds {
		var span timeline.Span
		most := int64(0)
		for s, p := range together(was.Envelope, next.Envelope) {
			a, b := partOf(p[0], k), partOf(p[1], k)
			if a == b {
				continue
			}
			if most == 0 {
				span.Start = s.Start
			}
			span.End = s.End
			most = max(most, a.all()-b.all())
		}
		if most > 0 {
			kind := resource.Kind(k)
			out = append(out, fmt.Sprintf("%s (%s) gives way by up to %s of %s in %s; its floor is %s", whose(was), was.Class,
				resource.Format(kind, most), kind, span, resource.Format(kind, was.Floor[k])))
		}
	}
	return out
}

// whose returns the instance that holds the reservation; without one, the reservation.
func whose(r proto.Reservation) string {
	if r.Instance != "" {
		return r.Instance
	}
	return "reservation " + r.ID
}
