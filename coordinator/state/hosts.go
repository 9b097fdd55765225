package state

import (
	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func (x *tx) putHost(h proto.Host) {
	h.ChangedAt = x.now
	put(x, x.hosts, h.Facts.Name, h)
}

// capacity is what the ledger may promise of a host under a policy.
func capacity(h proto.Host, p proto.Policy) ledger.Capacity {
	c := ledger.Capacity{Host: h.Facts.Name, Allocatable: h.Allocatable(), Ratio: p.Ratio, Reduced: Reduced(h), Debt: h.Debt}
	for _, w := range h.Windows {
		if w.Whole {
			c.Away = append(c.Away, w.Span)
		}
	}
	return c
}

func (x *tx) hostRegister(b *proto.HostRegister) proto.Result {
	f := b.Facts
	if r := validFacts(&f); !r.OK() {
		return r
	}
	if b.Incarnation > x.fleet.Incarnation {
		return invalid("host %s reports incarnation %d: the fleet is in %d", f.Name, b.Incarnation, x.fleet.Incarnation)
	}
	if len(b.Identity) > proto.MaxIDLength {
		return invalid("the key of host %s has a digest of %d bytes: at most %d are taken", f.Name, len(b.Identity), proto.MaxIDLength)
	}
	if gone, ok := x.RemovedHost(f.Name, b.Identity); ok {
		return refused("host %s was taken out of the fleet at %s: it has to join again with a token", f.Name, gone.At)
	}
	h, known := x.hosts.get(f.Name)
	if known && h.Facts.MachineID != f.MachineID {
		return conflict("another machine is host %s: forget that host first, or give this one another name", f.Name)
	}
	if !known {
		h.JoinedAt, h.Revision = x.now, 1
	}
	if b.Identity != "" {
		h.Identity = b.Identity
	}
	if len(b.Conflicts) > proto.MaxList || Blocked(b.Conflicts) && b.Incarnation == x.fleet.Incarnation && h.Incarnation != x.fleet.Incarnation {
		return invalid("host %s has conflicts with the tables, or too many of them, and can't count as having reported", f.Name)
	}
	for _, c := range b.Conflicts {
		if err := text("conflict", c.Instance+c.What); err != nil {
			return invalid("host %s: %s", f.Name, err)
		}
	}
	h.Facts, h.Incarnation, h.Conflicts = f, max(h.Incarnation, b.Incarnation), b.Conflicts
	if err := x.ledger.SetHost(capacity(h, x.fleet.Policy)); err != nil {
		return invalid("%s", err)
	}
	x.putHost(h)
	return done()
}

func validFacts(f *proto.HostFacts) proto.Result {
	if err := proto.ValidName("host", f.Name); err != nil {
		return invalid("%s", err)
	}
	if f.MachineID == "" {
		return invalid("host %s does not state its machine ID", f.Name)
	}
	for _, v := range []resource.Vector{f.Capacity, f.Allocatable} {
		if err := v.Valid(); err != nil {
			return invalid("host %s: %s", f.Name, err)
		}
	}
	if err := (proto.CPU{Score: f.CPUScore}).Valid(); err != nil {
		return invalid("host %s: %s", f.Name, err)
	}
	if len(f.Controllers) > proto.MaxList || len(f.Missing) > proto.MaxList {
		return invalid("host %s states more than %d controllers or missing capabilities", f.Name, proto.MaxList)
	}
	return sortLabels("host "+f.Name, &f.Labels)
}

func (x *tx) hostHome(b *proto.HostHome) proto.Result {
	h, ok := x.hosts.get(b.Host)
	if !ok {
		return missing("host", b.Host)
	}
	if h.Home != b.From {
		return stale("the home of %s is %q, not %q", b.Host, h.Home, b.From)
	}
	if !x.coordinators.has(b.Home) {
		return missing("coordinator", b.Home)
	}
	if b.Standby != "" && !x.coordinators.has(b.Standby) {
		return missing("coordinator", b.Standby)
	}
	if b.Standby == b.Home {
		return invalid("%s would be home and standby of %s: a standby is another coordinator", b.Home, b.Host)
	}
	h.Home, h.Standby = b.Home, b.Standby
	x.putHost(h)
	return done()
}

func (x *tx) hostSet(b *proto.HostSet) proto.Result {
	h, ok := x.hosts.get(b.Host)
	if !ok {
		return missing("host", b.Host)
	}
	if b.Revision != 0 && b.Revision != h.Revision {
		return stale("something else was decided on host %s meanwhile: its decisions have revision %d, not %d; read them again", b.Host, h.Revision, b.Revision)
	}
	if err := b.Override.Valid(); err != nil {
		return invalid("override of %s: %s", b.Host, err)
	}
	if len(b.Reduced) > proto.MaxList {
		return invalid("%s would have %d reductions of its capacity: use at most %d", b.Host, len(b.Reduced), proto.MaxList)
	}
	if h.Drain != nil && !b.Cordoned {
		return refused("host %s is being emptied, its drain is %s: nothing is placed there before that is taken back", b.Host, drainWord(h.Drain.State))
	}
	h.Cordoned, h.Override, h.Reduced, h.Revision = b.Cordoned, b.Override, b.Reduced, h.Revision+1
	next := x.ledger.Clone()
	if err := next.SetHost(capacity(h, x.fleet.Policy)); err != nil {
		return invalid("%s", err)
	}
	// An operator's word does not break a promise: what is reserved has to leave first.
	if s := next.Short(b.Host); s != nil && x.ledger.Short(b.Host) == nil {
		return proto.Result{Code: proto.ResultRefused, Message: s.Error() + ": drain the host first", Shortfall: s}
	}
	x.ledger = next
	x.putHost(h)
	return done()
}

func (x *tx) hostDebt(b *proto.HostDebt) proto.Result {
	h, ok := x.hosts.get(b.Host)
	if !ok {
		return missing("host", b.Host)
	}
	h.Debt = b.Debt
	if err := x.ledger.SetHost(capacity(h, x.fleet.Policy)); err != nil {
		return invalid("%s", err)
	}
	x.putHost(h)
	return done()
}

func (x *tx) hostSystem(b *proto.HostSystem) proto.Result {
	if !x.hosts.has(b.Host) {
		return missing("host", b.Host)
	}
	if !b.Envelope.Open() {
		return invalid("the envelope of the system on %s ends: it has to be open", b.Host)
	}
	r := proto.Reservation{
		ID: proto.SystemReservation(b.Host), Host: b.Host, Instance: proto.SystemInstance, Class: proto.Standard,
		Purpose: proto.PurposeSystem, Envelope: b.Envelope, Forced: true,
	}
	if old, ok := x.ledger.Reservation(r.ID); ok {
		r.Revision, r.CreatedAt = old.Revision, old.CreatedAt
		return x.reserve(ledger.Change{Revise: []proto.Reservation{r}})
	}
	return x.reserve(ledger.Change{Hold: []proto.Reservation{r}})
}

// reserve applies a change to the ledger, with the time and revision of each reservation set: in c itself, which is the ledger's from then on. Those that
// yield are revised, too. A reservation that had yielded, and gets another envelope or is released, has not any more.
func (x *tx) reserve(c ledger.Change, yield ...proto.Reservation) proto.Result {
	over := x.unsqueeze(&c)
	c.Revise = append(c.Revise, yield...)
	for i := range c.Hold {
		c.Hold[i].Revision, c.Hold[i].CreatedAt, c.Hold[i].ChangedAt, c.Hold[i].Squeezed = 1, x.now, x.now, nil
		if _, ok := x.ledger.Reservation(c.Hold[i].ID); ok {
			return conflict("there is a reservation %s", c.Hold[i].ID)
		}
	}
	for i := range c.Revise {
		c.Revise[i].Revision++
		c.Revise[i].ChangedAt = x.now
	}
	if err := x.ledger.Apply(c); err != nil {
		return refusal(err)
	}
	for _, list := range [...][]proto.Reservation{c.Hold, c.Revise} {
		for i := range list {
			x.changed(proto.TableReservations, list[i].ID)
		}
	}
	for _, id := range c.Release {
		x.changed(proto.TableReservations, id)
	}
	for _, id := range over {
		x.clearNotice(proto.NoticeID(proto.NoticeSqueezed, id))
	}
	return done()
}
